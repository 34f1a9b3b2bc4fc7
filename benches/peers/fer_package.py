#!/usr/bin/env python3
"""The package `fer` (PyPI) with the weights that come with it: its cascade, or MTCNN with --mtcnn, and its classifier.

python3 benches/peers/fer_package.py TAKE [--mtcnn] [--results FILE]
"""

import argparse

import cv2
from fer.fer import FER

import take as takes

NAMES = {
    "angry": "angry",
    "disgust": "disgusted",
    "fear": "afraid",
    "happy": "happy",
    "sad": "sad",
    "surprise": "surprised",
    "neutral": "neutral",
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("take")
    parser.add_argument("--mtcnn", action="store_true")
    parser.add_argument("--results")
    arguments = parser.parse_args()
    detector = FER(mtcnn=arguments.mtcnn)

    def read(file):
        faces = detector.detect_emotions(cv2.imread(file))
        if not faces:
            return None
        best = max(faces, key=lambda face: face["box"][2] * face["box"][3])
        return [float(v) for v in best["box"]], {NAMES[name]: float(p) for name, p in best["emotions"].items()}

    takes.run(arguments.take, read, arguments.results)


if __name__ == "__main__":
    main()

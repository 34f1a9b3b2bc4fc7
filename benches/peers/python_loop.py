#!/usr/bin/env python3
"""The usual loop that one would write in Python with the same two models: the yardstick for CPU time a set.

    pip install numpy opencv-python-headless onnxruntime
    python3 benches/peers/python_loop.py TAKE [--threads N] [--results FILE]

Without --threads ONNX Runtime has as many as it likes, as in most such loops.

Every set takes the frame of each camera nearest to the first camera's. Each frame is decoded, YuNet runs on it whole
at 320 pixels' width, the best face is cut out, and the built-in encoder reads it; the views' logarithms are averaged.
"""

import argparse
import math
import pathlib

import cv2
import numpy as np
import onnxruntime

import take as takes


def session(name, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    path = str(pathlib.Path(__file__).resolve().parents[2] / "models" / f"{name}.onnx")
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def detect(yunet, picture):
    """The best face: box and score, in pixels of `picture`."""
    scale = 320 / picture.shape[1]
    small = cv2.resize(picture, None, fx=scale, fy=scale)
    height, width = small.shape[:2]
    padded = np.zeros((-(-height // 32) * 32, 320, 3), np.float32)
    padded[:height, :width] = small
    names = [o.name for o in yunet.get_outputs()]
    out = dict(zip(names, yunet.run(None, {"input": padded.transpose(2, 0, 1)[None]})))
    best = (0.6, None)
    for stride in (8, 16, 32):
        score = np.sqrt(np.clip(out[f"cls_{stride}"], 0, 1) * np.clip(out[f"obj_{stride}"], 0, 1))[0, :, 0]
        k = int(score.argmax())
        if score[k] > best[0]:
            column, row = k % (padded.shape[1] // stride), k // (padded.shape[1] // stride)
            dx, dy, w, h = out[f"bbox_{stride}"][0, k]
            w, h = math.exp(w) * stride, math.exp(h) * stride
            x, y = (column + dx) * stride - w / 2, (row + dy) * stride - h / 2
            best = (score[k], np.array([x, y, w, h]) / scale)
    return best


def read(encoder, picture, box):
    x, y, w, h = box
    side = max(w, h)
    x, y = int(max(0, x + w / 2 - side / 2)), int(max(0, y + h / 2 - side / 2))
    face = cv2.cvtColor(picture[y : y + int(side), x : x + int(side)], cv2.COLOR_BGR2GRAY)
    face = (cv2.resize(face, (64, 64)).astype(np.float32) - 127.5) / 64
    scores = np.exp(encoder.run(["logits"], {"faces": face[None, None]})[0][0])
    return scores / scores.sum()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("take")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--results")
    arguments = parser.parse_args()
    yunet, encoder = session("yunet_2023mar", arguments.threads), session("vultus-slim", arguments.threads)

    def look(file):
        picture = cv2.imread(file)
        _, box = detect(yunet, picture)
        if box is None:
            return None
        return box.tolist(), dict(zip(takes.CLASSES, map(float, read(encoder, picture, box))))

    takes.run(arguments.take, look, arguments.results)


if __name__ == "__main__":
    main()

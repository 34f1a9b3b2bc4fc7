#!/usr/bin/env python3
"""An int8 variant of an encoder, and its time beside the original's: whether it is worth it is measured, not believed.

    pip install numpy onnx onnxruntime opencv-python-headless
    python3 benches/peers/precision.py models/vultus-slim.onnx FACES OUTPUT

FACES has pictures that are faces (FER2013's training pictures, say), from which the ranges of values are learnt. OUTPUT becomes a
folder of models with a manifest, for `vultus train evaluate --model OUTPUT/NAME-int8.onnx`. Weights are quantised by
channel, activations by tensor (static, QDQ). What x86 CPUs can do with bf16, ONNX Runtime does not use; f16 it converts
to f32.
"""

import argparse
import hashlib
import pathlib
import random
import re
import time

import cv2
import numpy as np
import onnx
import onnxruntime
from onnxruntime import quantization

CALIBRATION_FACES = 512


class Faces(quantization.CalibrationDataReader):
    def __init__(self, files, side):
        self.batches = ({"faces": face(file, side)[None, None]} for file in files)

    def get_next(self):
        return next(self.batches, None)


def face(file, side):
    picture = cv2.resize(cv2.imread(str(file), cv2.IMREAD_GRAYSCALE), (side, side), interpolation=cv2.INTER_LINEAR)
    return (picture.astype(np.float32) - 127.5) / 64


def milliseconds(paths, side, batch):
    """Of each model, on one thread, in turn; the median."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    sessions = [onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"]) for path in paths]
    faces = np.random.default_rng(1).normal(size=(batch, 1, side, side)).astype(np.float32)
    times = [[] for _ in sessions]
    for _ in range(200):
        for session, of in zip(sessions, times):
            began = time.perf_counter()
            session.run(None, {"faces": faces})
            of.append(time.perf_counter() - began)
    return [1e3 * float(np.median(of[20:])) for of in times]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("faces", type=pathlib.Path)
    parser.add_argument("output", type=pathlib.Path)
    arguments = parser.parse_args()
    model, output = arguments.model, arguments.output
    side = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"]).get_inputs()[0].shape[-1]
    files = sorted(file for file in arguments.faces.rglob("*") if file.suffix in (".png", ".jpg"))
    files = random.Random(1).sample(files, CALIBRATION_FACES)
    output.mkdir(parents=True, exist_ok=True)
    prepared, small = output / "prepared.onnx", output / f"{model.stem}-int8.onnx"
    quantization.quant_pre_process(str(model), str(prepared))
    quantization.quantize_static(
        str(prepared),
        str(small),
        Faces(files, side),
        quant_format=quantization.QuantFormat.QDQ,
        per_channel=True,
        reduce_range=True,
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
    )
    prepared.unlink()
    # The shapes that were noted on the way say "one face", which tract holds against the batch.
    graph = onnx.load(small)
    del graph.graph.value_info[:]
    onnx.save(graph, small)
    manifest = (model.parent / "manifest.toml").read_text()
    mine = next(part for part in re.split(r"(?m)^(?=\[\[)", manifest) if f'"{model.name}"' in part)
    others = "".join(part for part in re.split(r"(?m)^(?=\[\[)", manifest) if "yunet" in part)
    sha256 = hashlib.sha256(small.read_bytes()).hexdigest()
    mine = re.sub(r'sha256 = "[0-9a-f]+"', f'sha256 = "{sha256}"', mine).replace(model.stem, small.stem)
    (output / "manifest.toml").write_text(others + mine)
    for file in model.parent.glob("yunet*"):
        (output / file.name).write_bytes(file.read_bytes())
    for batch in (1, 4):
        whole, quantised = milliseconds([model, small], side, batch)
        print(f"{batch} faces, one thread: f32 {whole:.2f} ms, int8 {quantised:.2f} ms, ratio {quantised / whole:.2f}")


if __name__ == "__main__":
    main()

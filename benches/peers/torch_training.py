#!/usr/bin/env python3
"""The product's networks in PyTorch: the yardstick for the speed of training on the CPU.

    pip install torch --index-url https://download.pytorch.org/whl/cpu
    python3 benches/peers/torch_training.py slim|resnet18 [--side N] [--batch N] [--steps N] [--threads N]

A step is a forward pass, a backward pass and AdamW, on the same random pictures every time, as in `cargo bench --bench
training`. Pictures are stored channels-last, which is the faster way here; `--channels-first` shows the other one.
"""
import argparse
import time

import torch
from torch import nn
from torch.nn import functional as F

WIDTHS = {"slim": (32, 64, 128, 256), "resnet18": (64, 128, 256, 512)}
BLOCKS = {"slim": 1, "resnet18": 2}
WARM_UP = 3


def convolution(channels, filters, kernel, stride):
    return nn.Conv2d(channels, filters, kernel, stride, kernel // 2, bias=False)


class Block(nn.Module):
    def __init__(self, channels, width, stride):
        super().__init__()
        self.conv1, self.bn1 = convolution(channels, width, 3, stride), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = convolution(width, width, 3, 1), nn.BatchNorm2d(width)
        changes = stride != 1 or channels != width
        self.past = nn.Sequential(convolution(channels, width, 1, stride), nn.BatchNorm2d(width)) if changes else None

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + (x if self.past is None else self.past(x)))


class Network(nn.Module):
    def __init__(self, kind):
        super().__init__()
        widths = WIDTHS[kind]
        stem = [convolution(1, widths[0], 3 if kind == "slim" else 7, 2), nn.BatchNorm2d(widths[0]), nn.ReLU()]
        pool = [] if kind == "slim" else [nn.MaxPool2d(3, 2, 1)]
        blocks, channels = [], widths[0]
        for stage, width in enumerate(widths):
            for block in range(BLOCKS[kind]):
                blocks.append(Block(channels, width, 2 if stage > 0 and block == 0 else 1))
                channels = width
        self.encoder = nn.Sequential(*stem, *pool, *blocks)
        self.classifier = nn.Linear(channels, 7)

    def forward(self, x):
        x = (x - x.mean((1, 2, 3), keepdim=True)) / (x.var((1, 2, 3), correction=0, keepdim=True) + 1e-2).sqrt()
        return self.classifier(self.encoder(x).mean((2, 3)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=WIDTHS)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--channels-last", action="store_true")
    options = parser.parse_args()

    torch.manual_seed(1)
    torch.set_num_threads(options.threads)
    network = Network(options.kind)
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3)
    x = torch.randn(options.batch, 1, options.side, options.side)
    y = torch.arange(options.batch) % 7
    if options.channels_last:
        network, x = network.to(memory_format=torch.channels_last), x.contiguous(memory_format=torch.channels_last)
    spent = {"forward": 0.0, "backward": 0.0, "optimiser": 0.0}
    for step in range(WARM_UP + options.steps):
        if step == WARM_UP:
            spent = dict.fromkeys(spent, 0.0)
            cpu = time.process_time()
        began = time.perf_counter()
        loss = F.cross_entropy(network(x), y)
        loss.item()
        forward = time.perf_counter()
        optimizer.zero_grad()
        loss.backward()
        backward = time.perf_counter()
        optimizer.step()
        ended = time.perf_counter()
        for name, time_s in zip(spent, (forward - began, backward - forward, ended - backward)):
            spent[name] += time_s
    cpu = time.process_time() - cpu
    images = options.batch * options.steps
    parts = ", ".join(f"{name} {1e3 * time_s / images:.3f}" for name, time_s in spent.items())
    print(f"{images / sum(spent.values()):.1f} images/s; ms an image: {parts}; CPU {1e3 * cpu / images:.3f}")


main()

#!/usr/bin/env python3
"""vultus and its peers on one take, one after another in one run; prints the table of docs/results/latency.md.

    pip install -r benches/peers/requirements.txt           # in one environment
    pip install fer==25.10.3                                # in another
    npm --prefix benches/peers install
    python3 benches/peers/compare.py TAKE [--vultus PROGRAM] [--fer-python PYTHON] [--rounds 3] [--only PATTERN]

Each reads every frame of every camera from disk as fast as it can. What a peer needs and is not there is left out, and
said.
"""

import argparse
import json
import pathlib
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time

import take as takes

HERE = pathlib.Path(__file__).resolve().parent


def peer(command):
    """What the last line of a peer's output says."""
    ran = subprocess.run(command, capture_output=True, text=True)
    if ran.returncode:
        said = ran.stderr.strip() or f"exit code {ran.returncode}"
        raise RuntimeError(said.splitlines()[-1])
    return json.loads(ran.stdout.strip().splitlines()[-1])


def vultus(command, take, results):
    """Of a replay of the whole take less one of its first moment: the peers' own figures leave out start and models."""
    replay = [*command, "replay", take, "--headless", "--as-fast-as-possible", "--results", results]

    def cost(*more):
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        subprocess.run([*replay, *more], check=True, capture_output=True)
        after, seconds = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic() - began
        sets = takes.of_sets(results)
        frames = sum(len(frames) for frames, _ in sets)
        cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return {"frames": frames, "sets": len(sets), "seconds": seconds, "cpu_s": cpu_s}

    start, whole = cost("--to", "0.2"), cost()
    return {figure: whole[figure] - start[figure] for figure in whole}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("take")
    parser.add_argument("--vultus", default=str(HERE.parents[1] / "target/release/vultus"))
    parser.add_argument("--fer-python", default=sys.executable)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="those whose names hold this regular expression")
    arguments = parser.parse_args()
    take, folder = arguments.take, pathlib.Path(tempfile.mkdtemp())
    int8 = folder / "int8.toml"
    int8.write_text('[models]\nencoder = "vultus-slim-int8"\n')

    def ours(*options):
        return lambda file: vultus([arguments.vultus, *options], take, file)

    def python(script, *options, program=sys.executable):
        return lambda file: peer([program, str(HERE / script), take, *options, "--results", file])

    def javascript(package):
        return lambda file: peer(["node", str(HERE / "javascript.mjs"), package, take, file])

    peers = {
        "vultus": ours(),
        "vultus, `vultus-slim-int8`": ours("--config", str(int8)),
        "OpenCV + ONNX Runtime, the same models": python("python_loop.py"),
        "the same, one thread": python("python_loop.py", "--threads", "1"),
        "`fer` with its cascade": python("fer_package.py", program=arguments.fer_python),
        "`fer` with MTCNN": python("fer_package.py", "--mtcnn", program=arguments.fer_python),
        "`@vladmandic/face-api`, wasm": javascript("face-api"),
        "`@vladmandic/human`, wasm": javascript("human"),
    }
    peers = {name: measure for name, measure in peers.items() if re.search(arguments.only, name)}
    costs, results = {name: [] for name in peers}, {}
    for _ in range(arguments.rounds):
        for number, (name, measure) in enumerate(peers.items()):
            file = str(folder / f"{number}.jsonl")
            try:
                costs[name].append(measure(file))
            except (OSError, RuntimeError, ValueError, IndexError, subprocess.CalledProcessError) as error:
                print(f"{name} is left out: {error}", file=sys.stderr)
                continue
            results[name] = takes.score(take, file)
    print("| | frames/s | CPU ms a frame | CPU ms a set | faces found, % | macro accuracy, single views, % |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for name in filter(costs.get, peers):

        def median(of):
            return statistics.median(map(of, costs[name]))

        figures = [
            f"{median(lambda c: c['frames'] / c['seconds']):.0f}",
            f"{median(lambda c: 1e3 * c['cpu_s'] / c['frames']):.1f}",
            f"{median(lambda c: 1e3 * c['cpu_s'] / c['sets']):.1f}",
            f"{results[name]['found_percent']:.1f}",
            f"{results[name]['macro_percent']:.1f}",
        ]
        print(f"| {name} | {' | '.join(figures)} |")


if __name__ == "__main__":
    main()

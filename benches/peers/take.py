"""What the peers in Python share: the sets of a take, and the results that they write.

A set takes of every camera the frame that is nearest to the first camera's. A line of results is one set with the views
in which a face was found:
{"set": 0, "frames": {"cam0": 0}, "person": 1, "expression": "happy", "views": [{"camera": "cam0",
"seq": 0, "box": [x, y, w, h], "probabilities": {"happy": 0.9, ...}}]}.
"""

import collections
import csv
import json
import math
import resource
import time

CLASSES = ["angry", "disgusted", "afraid", "happy", "sad", "surprised", "neutral"]


def sets(take):
    """Of every set the frame of each camera: its camera, number and file."""
    cameras = [camera["name"] for camera in json.load(open(f"{take}/rig.json"))["cameras"]]
    rows = {}
    for camera in cameras:
        rows[camera] = [
            {k: int(v) for k, v in row.items()} for row in csv.DictReader(open(f"{take}/{camera}/timestamps.csv"))
        ]
    for reference in rows[cameras[0]]:
        found = []
        for camera in cameras:
            row = min(rows[camera], key=lambda row: abs(row["captured_ns"] - reference["captured_ns"]))
            found.append((camera, row["seq"], f"{take}/{camera}/{row['seq']:06d}.jpg"))
        yield found


def run(take, read, results):
    """Reads every frame by `read`, which gives the best face's box and probabilities by class (or None) of a file,
    writes `results`, and prints what it cost as JSON."""

    def cpu_s():
        used = resource.getrusage(resource.RUSAGE_SELF)
        return used.ru_utime + used.ru_stime

    everything = list(sets(take))
    read(everything[0][0][2])
    out = open(results, "w") if results else None
    before, began, frames = cpu_s(), time.monotonic(), 0
    for number, of_set in enumerate(everything):
        views = []
        for camera, seq, file in of_set:
            frames += 1
            face = read(file)
            if face:
                box, probabilities = face
                views.append({"camera": camera, "seq": seq, "box": box, "probabilities": probabilities})
        if out:
            row = {
                "set": number,
                "frames": {camera: seq for camera, seq, _ in of_set},
                "person": None,
                "expression": None,
                "views": views,
            }
            if views:
                logs = {c: sum(math.log(max(v["probabilities"][c], 1e-6)) for v in views) for c in CLASSES}
                row |= {"person": 1, "expression": max(logs, key=logs.get)}
            out.write(json.dumps(row) + "\n")
    print(
        json.dumps(
            {"frames": frames, "sets": len(everything), "seconds": time.monotonic() - began, "cpu_s": cpu_s() - before}
        )
    )


def score(take, results):
    """Of the frames that `results` speak of: the share of visible faces that were found, and the mean of the classes'
    recalls where the truth is clear (strongest weight at least 0.6), a face that was not found being wrong. In per cent."""
    truth = {}
    for line in open(f"{take}/truth.jsonl"):
        row = json.loads(line)
        truth[row["camera"], row["seq"]] = row["persons"]
    visible = found = 0
    classes = collections.defaultdict(lambda: [0, 0])
    for frames, views in of_sets(results):
        for camera, seq in frames.items():
            for person in truth.get((camera, seq), []):
                if not person["visible"]:
                    continue
                visible += 1
                hits = [view for view in views if view["camera"] == camera and inside(view["box"], person["box"])]
                hit, view = bool(hits), hits[0] if hits else None
                found += hit
                if max(person["weights"].values()) >= 0.6:
                    said = hit and max(view["probabilities"], key=view["probabilities"].get)
                    classes[person["expression"]][0] += said == person["expression"]
                    classes[person["expression"]][1] += 1
    macro = sum(right / count for right, count in classes.values()) / len(classes)
    return {"found_percent": 100 * found / visible, "macro_percent": 100 * macro}


def of_sets(results):
    """The frames and the views of every set; vultus writes a line a person."""
    merged = {}
    for row in map(json.loads, open(results)):
        if "set" in row:
            frames, views = merged.setdefault(row["set"], (row["frames"], []))
            views.extend(row["views"])
    return list(merged.values())


def inside(box, true_box):
    x, y = box[0] + box[2] / 2, box[1] + box[3] / 2
    return true_box[0] <= x <= true_box[0] + true_box[2] and true_box[1] <= y <= true_box[1] + true_box[3]

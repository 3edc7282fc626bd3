#!/usr/bin/python3
"""Score the memory estimate on measured runs, one tab-separated line a figure: name, value, unit, target.

usage: LEAT_MEMORY_TABLE=measured.csv bench_estimate.py [--rows]        (BUILD names the build folder)

Rows of grades A and B count. The profiles' constants were fitted on public rows, possibly the same: how well they
do on rows that a fit did not see is in docs/measurements/estimate.md. Vision models count when their layer list is
known here. --rows prints every row to standard error.
"""
import csv
import json
import os
import re
import statistics
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, os.environ.get("BUILD", "build"))
WHOLE = "total_all_gpus"


def resnet(counts, bottleneck):
    """(elements saved per image, largest tensor): the output of every convolution and what its rectifier leaves."""
    saved, widest = 3 * 224 * 224 + 2 * 64 * 112 * 112 + 3 * 64 * 56 * 56, 64 * 112 * 112
    for stage, count in enumerate(counts):
        width, side = 64 << stage, 56 >> stage
        for block in range(count):
            entry = side * 2 if block == 0 and stage else side
            if bottleneck:
                saved += 2 * width * entry ** 2 + 2 * width * side ** 2 + 2 * 4 * width * side ** 2
                saved += 4 * width * side ** 2 if block == 0 else 0
                widest = max(widest, 4 * width * side ** 2)
            else:
                saved += 4 * width * side ** 2 + (width * side ** 2 if block == 0 and stage else 0)
    return saved, widest


def vgg16(normalised):
    saved = 3 * 224 * 224
    for count, width, side in ((2, 64, 224), (2, 128, 112), (3, 256, 56), (3, 512, 28), (3, 512, 14)):
        saved += count * width * side ** 2 * (2 if normalised else 1)
        saved += 3 * width * (side // 2) ** 2  # pooled, and where each maximum was, in 8 bytes
    return saved, 64 * 224 * 224


def vit(hidden, blocks):
    tokens = 14 * 14 + 1
    return 3 * 224 * 224 + blocks * tokens * hidden * 16, tokens * hidden * 4


VISION = {"resnet18": resnet((2, 2, 2, 2), False), "resnet34": resnet((3, 4, 6, 3), False),
          "resnet50": resnet((3, 4, 6, 3), True), "resnet101": resnet((3, 4, 23, 3), True),
          "vgg16": vgg16(False), "vgg16_bn": vgg16(True),
          "vit_small_patch16_224": vit(384, 12), "deit_small_patch16_224": vit(384, 12),
          "vit_base_patch16_224": vit(768, 12), "vit_large_patch16_224": vit(1024, 24)}
CONVOLUTIONAL = ("resnet", "vgg")
NUMBERS = {"params": "params", "trainable_params": "trainable_params", "hidden": "hidden", "layers": "layers",
           "heads": "heads", "kv_heads": "kv_heads", "head_dim": "head_dim", "ffn": "ffn",
           "mlp_mats": "mlp_matrices", "vocab": "vocab", "lora_rank": "rank", "batch": "batch",
           "seq_len": "sequence", "new_tokens": "new_tokens", "gpus": "gpus"}
TEXTS = {"task": "task", "method": "method", "lora_targets": "targets", "weights": "weights",
         "compute_dtype": "compute", "optimizer": "optimizer", "sharding": "sharding", "framework": "framework"}


def request_of(row):
    """What the table says of a run, as a request; None when its layers are not known."""
    request = {name: int(row[column]) for column, name in NUMBERS.items() if row[column]}
    request.update({name: row[column] for column, name in TEXTS.items() if row[column]})
    if row["tied"] == "1":
        request["tied"] = True
    if row["grad_ckpt"] == "1":
        request["checkpointing"] = True
    if row["metric"] == "max_allocated":
        request["allocated_only"] = True
    if "kv cache int8" in row["notes"]:
        request["kv_cache"] = "int8"
    if row["hidden"]:
        return request
    layers = re.search(r"input (\d+); linear outputs ([\d-]+).*sum of layer outputs (\d+)", row["notes"])
    if layers:
        widths = [int(width) for width in layers.group(2).split("-")]
        request["saved_elements"] = int(layers.group(3)) + int(layers.group(1))
        request["widest_elements"] = max(widths)
    elif row["model"] in VISION:
        request["saved_elements"], request["widest_elements"] = VISION[row["model"]]
        request["convolutions"] = row["model"].startswith(CONVOLUTIONAL)
        request.setdefault("optimizer", "sgd-momentum")
    else:
        return None
    return request


def kind_of(row):
    if not row["hidden"]:
        return "mlp" if row["model"].startswith("mlp") else "cnn"
    return "llm_train" if row["task"] == "train" else "infer"


class Run:
    def __init__(self, row, request, answer):
        self.row, self.kind, self.measured = row, kind_of(row), float(row["measured_bytes"])
        gpus = int(row["gpus"] or 1)
        devices = gpus if row["metric"] == WHOLE or row["sharding"] == "layers" else 1
        self.point, self.safe = answer["point_bytes"] * devices, answer["safe_bytes"] * devices
        self.params = answer["params"]
        self.error = 100 * abs(self.point - self.measured) / self.measured

    def error_of(self, rule):
        return 100 * abs(rule(self.params) - self.measured) / self.measured


def figure(name, value, unit, target=""):
    print(name, f"{value:.2f}".rstrip("0").rstrip("."), unit, target, sep="\t", flush=True)


def mean_error(runs):
    return statistics.mean(run.error for run in runs) if runs else 0


def load(table):
    rows = [row for row in csv.DictReader(open(table)) if row["grade"] in "AB"]
    known = [(row, request) for row, request in ((row, request_of(row)) for row in rows) if request]
    lines = "".join(json.dumps(request) + "\n" for _, request in known)
    program = [os.path.join(BUILD, "tests/bench/bench_estimate"), os.path.join(ROOT, "estimate/profiles.yaml")]
    answers = subprocess.run(program, input=lines, capture_output=True, text=True)
    if answers.returncode:
        raise SystemExit(answers.stderr)
    return len(rows), [Run(row, request, json.loads(line))
                       for (row, request), line in zip(known, answers.stdout.splitlines())]


def main():
    table = os.environ.get("LEAT_MEMORY_TABLE")
    if not table:
        raise SystemExit("LEAT_MEMORY_TABLE names the table of measured runs")
    total, runs = load(table)
    if "--rows" in sys.argv:
        for run in runs:
            row = run.row
            print(f"# {row['id']} {row['model']} {row['method']} {row['weights']} B={row['batch']} S={row['seq_len']} "
                  f"{row['sharding']}: {run.point / 1e9:.2f} for {run.measured / 1e9:.2f} GB "
                  f"{100 * (run.point / run.measured - 1):+.1f} %", file=sys.stderr)
    for kind, target in (("llm_train", 10), ("infer", 5), ("mlp", 2), ("cnn", 15)):
        some = [run for run in runs if run.kind == kind]
        if not some:
            continue
        figure(f"estimate.{kind}_rows", len(some), "rows")
        figure(f"estimate.{kind}_mape_pct", mean_error(some), "%", f"<= {target}")
        if kind == "llm_train":
            figure("estimate.llm_train_median_pct", statistics.median(run.error for run in some), "%", "<= 5")
        if kind in ("llm_train", "infer"):
            four = statistics.mean(run.error_of(lambda params: 4 * 2 * params) for run in some)
            figure(f"estimate.{kind}_four_times_model_pct", four, "%")
            billions = statistics.mean(run.error_of(lambda params: 20 * params) for run in some)
            figure(f"estimate.{kind}_20_gb_per_billion_pct", billions, "%")
    figure("estimate.safe_coverage_pct", 100 * sum(run.safe >= run.measured for run in runs) / len(runs), "%", ">= 95")
    over = statistics.mean(100 * (run.safe / run.measured - 1) for run in runs)
    figure("estimate.safe_over_pct", over, "%", "<= 20")
    figure("estimate.rows_without_layers", total - len(runs), "rows")


if __name__ == "__main__":
    main()

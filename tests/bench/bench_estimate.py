#!/usr/bin/python3
"""Score the memory estimate on measured runs, one tab-separated line a figure: name, value, unit, target.

usage: LEAT_MEMORY_TABLE=measured.csv bench_estimate.py [--rows]        (BUILD names the build folder)

The figures of the knowledge base (bench_knowledge.py) come first; they need no table.

Rows of grades A and B count. The profiles' constants were fitted on public rows, possibly the same: how well they
do on rows that a fit did not see is in docs/measurements/estimate.md. Vision models count when their layer list is
known (networks.py). --rows prints every row to standard error.
"""
import csv
import json
import os
import re
import statistics
import struct
import subprocess
import sys
import tempfile
import time

import networks

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, os.environ.get("BUILD", "build"))
WHOLE = "total_all_gpus"
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
    elif row["model"] in networks.NETWORKS:
        saved, widest = networks.NETWORKS[row["model"]]
        request.update(saved_elements=round(saved), widest_elements=widest)
        request["convolutions"] = not row["model"].startswith(networks.WITHOUT_CONVOLUTIONS)
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
        self.row, self.request, self.kind = row, request, kind_of(row)
        self.measured = float(row["measured_bytes"])
        gpus = int(row["gpus"] or 1)
        self.devices = gpus if row["metric"] == WHOLE or row["sharding"] == "layers" else 1
        self.point, self.safe = answer["point_bytes"] * self.devices, answer["safe_bytes"] * self.devices
        self.params, self.weight_bytes = answer["params"], 4 if row["weights"] == "fp32" else 2
        self.context = answer["terms"].get("context", 0)
        self.error = 100 * abs(self.point - self.measured) / self.measured

    def error_of(self, bytes_said):
        return 100 * abs(bytes_said - self.measured) / self.measured


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


def leat(*words):
    """How long the command took, in milliseconds."""
    begun = time.monotonic()
    subprocess.run([os.path.join(BUILD, "src/cli/leat"), *words], stdout=subprocess.DEVNULL, check=True)
    return 1000 * (time.monotonic() - begun)


def read_large():
    """Milliseconds that leat estimate takes for a model of 20 GB in four sparse shards of a thousand tensors."""
    rows, tensors, shards, index = 2500, 1000, 4, {}
    with tempfile.TemporaryDirectory() as folder:
        for shard in range(shards):
            names = [f"blocks.{shard * tensors + i}.weight" for i in range(tensors)]
            header = json.dumps({name: {"dtype": "BF16", "shape": [rows, 1000],
                                        "data_offsets": [i * rows * 2000, (i + 1) * rows * 2000]}
                                 for i, name in enumerate(names)}).encode()
            index.update({name: f"{shard}.safetensors" for name in names})
            with open(os.path.join(folder, f"{shard}.safetensors"), "wb") as file:
                file.write(struct.pack("<Q", len(header)) + header)
                file.truncate(8 + len(header) + tensors * rows * 2000)
        with open(os.path.join(folder, "model.safetensors.index.json"), "w", encoding="utf-8") as file:
            json.dump({"weight_map": index}, file)
        runs = [leat("--run-dir", folder, "estimate", folder, "--json") for _ in range(5)]
    return statistics.median(runs)


def main():
    subprocess.run([sys.executable, os.path.join(os.path.dirname(os.path.abspath(__file__)), "bench_knowledge.py")],
                   check=True)
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
        if kind == "mlp":
            # Of runs that have a part of their own worth the name, in percent of that part.
            own = [run for run in some if run.measured > 1.1 * run.context]
            above = statistics.mean(100 * abs(run.point - run.measured) / (run.measured - run.context) for run in own)
            figure("estimate.mlp_above_context_rows", len(own), "rows")
            figure("estimate.mlp_above_context_pct", above, "%", "<= 8")
        four = statistics.mean(run.error_of(4 * run.weight_bytes * run.params) for run in some)
        figure(f"estimate.{kind}_four_times_model_pct", four, "%")
        billions = statistics.mean(run.error_of(20 * run.params) for run in some)
        figure(f"estimate.{kind}_20_gb_per_billion_pct", billions, "%")
    figure("estimate.safe_coverage_pct", 100 * sum(run.safe >= run.measured for run in runs) / len(runs), "%", ">= 95")
    over = statistics.mean(100 * (run.safe / run.measured - 1) for run in runs)
    figure("estimate.safe_over_pct", over, "%", "<= 20")
    figure("estimate.rows_without_layers", total - len(runs), "rows")
    figure("estimate.read_20gb_ms", read_large(), "ms", "<= 1000")


if __name__ == "__main__":
    main()

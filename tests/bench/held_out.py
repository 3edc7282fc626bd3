#!/usr/bin/python3
"""Score the memory estimate on rows that its constants were not fitted on: name, value, unit, one line a figure.

usage: LEAT_MEMORY_TABLE=measured.csv held_out.py [--rows]        (BUILD names the build folder)

For each framework of the table with several language models: the mean error with its profile as shipped; with the
constants fitted anew on all models but the one that is scored, for each in turn; and with the default profile, as for a
framework that nobody has measured. A fit begins at the default profile and changes one constant at a time; of the
shipped profile it knows what is no measure but a fact of the framework.
"""
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile

import bench_estimate as bench

FACTS = ("quantised_head", "adapter_bytes", "fsdp_resident", "sharded_checkpointing")
FITTED = ("block_scale", "head_bytes", "quantised_inputs", "dequantised_copies", "generate_dequantised", "kv_scale",
          "kv_int8_scale", "logits_scale", "adapter_input_bytes", "module_copy_bytes", "shard_scale", "context_bytes")
UNITS = {"context_bytes": 5e8, "logits_scale": 100}  # where one is not about the size of a step from zero
FACTORS = (0, 0.5, 0.75, 0.9, 0.97, 1.03, 1.1, 1.33, 2)
ROUNDS = 40
MODELS_MIN = 3


def profiles_read():
    """{name: (frameworks, constants)} of the shipped profiles, the default one first."""
    found = {}
    with open(os.path.join(bench.ROOT, "estimate/profiles.yaml"), encoding="utf-8") as file:
        for block in re.split(r"\n  - ", file.read())[1:]:
            pairs = dict(re.findall(r"^\s*(\w+): ([^#\n]+)", block, re.M))
            named = re.findall(r'"([^"]+)"|([^\[\]",]+)', pairs.pop("frameworks", ""))
            name = pairs.pop("name").strip()
            constants = {key: float(value) for key, value in pairs.items()}
            base = next(iter(found.values()))[1] if found else {}
            found[name] = ([(quoted or plain).strip() for quoted, plain in named] + [name], {**base, **constants})
    return found


def errors(variants, runs):
    """For each variant of the constants the list of the runs' errors."""
    document = {"profiles": [{"name": f"v{i}", **variant} for i, variant in enumerate(variants)]}
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        json.dump(document, file)
        file.flush()
        lines = "".join(json.dumps({**run.request, "framework": f"v{i}"}) + "\n"
                        for i in range(len(variants)) for run in runs)
        answers = subprocess.run([os.path.join(bench.BUILD, "tests/bench/bench_estimate"), file.name], input=lines,
                                 capture_output=True, text=True, check=True).stdout.splitlines()
    points = [json.loads(line)["point_bytes"] for line in answers]
    return [[run.error_of(point * run.devices) for run, point in zip(runs, points[i * len(runs):])]
            for i in range(len(variants))]


def steps(constants):
    """The constants with one of them changed, in every way."""
    for name in FITTED:
        for factor in FACTORS:
            value = constants[name] * factor if constants[name] else UNITS.get(name, 1) * factor
            if value != constants[name]:
                yield {**constants, name: value}


def fit(constants, runs):
    best = statistics.mean(errors([constants], runs)[0])
    for _ in range(ROUNDS):
        variants = list(steps(constants))
        means = [statistics.mean(some) for some in errors(variants, runs)]
        if min(means) > best - 0.01:
            break
        best = min(means)
        constants = variants[means.index(best)]
    return constants


def held_out(default, shipped, runs):
    """The errors of each model's runs, with constants from the others."""
    start = {**default, **{name: shipped[name] for name in FACTS}}
    found = []
    for model in sorted({run.row["model"] for run in runs}):
        own = [run for run in runs if run.row["model"] == model]
        constants = fit(start, [run for run in runs if run.row["model"] != model])
        some = errors([constants], own)[0]
        if "--rows" in sys.argv:
            print(f"# {runs[0].row['framework']} without {model}: {statistics.mean(some):.1f} % on its {len(own)} rows",
                  file=sys.stderr)
        found += some
    return found


def main():
    profiles = profiles_read()
    default = next(iter(profiles.values()))[1]
    _, runs = bench.load(os.environ["LEAT_MEMORY_TABLE"])
    groups = {}
    for run in runs:
        if run.row["hidden"]:
            groups.setdefault((run.kind, run.row["framework"]), []).append(run)
    everything = {"fitted": [], "held_out": [], "default": []}
    for (kind, framework), some in groups.items():
        if len({run.row["model"] for run in some}) < MODELS_MIN:
            continue
        shipped = next(constants for frameworks, constants in profiles.values() if framework in frameworks)
        found = {"fitted": errors([shipped], some)[0], "held_out": held_out(default, shipped, some),
                 "default": errors([default], some)[0]}
        for name, values in found.items():
            everything[name] += values if kind == "llm_train" else []
            bench.figure(f"estimate.{name}.{kind}.{re.sub('[^a-z0-9]+', '-', framework.lower()).strip('-')}",
                         statistics.mean(values), "%")
    for name, values in everything.items():
        bench.figure(f"estimate.{name}.llm_train_mape_pct", statistics.mean(values), "%")


if __name__ == "__main__":
    main()

#!/usr/bin/python3
"""The figures of the knowledge base, one tab-separated line a figure: name, value, unit, target.

usage: bench_knowledge.py [--tasks]      (BUILD names the build folder)

How long searches take with 100,000 entries, and how often the right model of tests/data/knowledge is among the first
three suggested; its README.md says what the right model is. --tasks prints every task to standard error.
"""
import csv
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
DATA = os.path.join(os.path.dirname(HERE), "data", "knowledge")
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))
import house as houses  # noqa: E402

UNITS = {"MiB": 1 << 20, "GiB": 1 << 30}
SMALLER_IS_BETTER = ("wer",)
SPARE = 1.2  # of what the weights take


def figure(name, value, unit, target=""):
    print(name, f"{value:.2f}".rstrip("0").rstrip("."), unit, target, sep="\t", flush=True)


def table(name):
    with open(os.path.join(DATA, name), encoding="utf-8") as file:
        return list(csv.DictReader(file))


def right_model(task, models, results):
    """By the rule of the set, from the tables alone."""
    room = int(task["memory"][:-3]) * UNITS[task["memory"][-3:]]
    able = {model["name"] for model in models
            if model["task"] == task["task"] and int(model["params"]) * int(model["bytes"]) * SPARE <= room
            and task["license"] in ("", model["license"])
            and (not model["language"] or task["language"] in ["", *model["language"].split()])}
    scored = [(float(result["value"]), result["model"]) for result in results
              if result["model"] in able and (result["dataset"], result["metric"]) == (task["dataset"], task["metric"])]
    return (min if task["metric"] in SMALLER_IS_BETTER else max)(scored)[1]


def fill(house, models, results):
    for model in models:
        attributes = {"params": int(model["params"]), "license": model["license"],
                      "weights": {"4": "fp32", "2": "bf16"}[model["bytes"]]}
        if model["language"]:
            attributes["language"] = model["language"].split()
        house.request("POST", "/v1/knowledge", {"kind": "model", "name": model["name"], "task": model["task"],
                                                "attributes": attributes})
    kinds = {model["name"]: model["task"] for model in models}
    return {(result["dataset"], result["metric"], result["model"]): house.request(
        "POST", "/v1/knowledge",
        {"kind": "metric", "name": f"{result['model']}/{result['dataset']}/{result['metric']}", "model": result["model"],
         "task": kinds[result["model"]], "attributes": {"dataset": result["dataset"], "metric": result["metric"],
                                                        "value": float(result["value"])}}) for result in results}


def suggest(house, task):
    where = [f"{name}={task[name]}" for name in ("license", "language") if task[name]]
    answer = house.request("POST", "/v1/knowledge/suggest", {
        "name": task["name"], "task": task["task"], "where": where, "fits": {"memory": task["memory"]}, "limit": 3,
        "attributes": {"dataset": task["dataset"], "metric": task["metric"]}})
    return [model["name"] for model in answer["models"]]


def withhold(house, stored, task):
    """Take the results that the task asks for out of the knowledge base."""
    for (dataset, metric, _), entry in stored.items():
        if (dataset, metric) == (task["dataset"], task["metric"]):
            house.request("DELETE", f"/v1/knowledge/{entry['id']}")


def top_three():
    models, results, tasks = table("models.csv"), table("results.csv"), table("tasks.csv")
    hits = 0
    with houses.House() as house:
        stored = fill(house, models, results)
        for task in sorted(tasks, key=lambda task: task["unseen"]):  # withheld results do not come back
            if task["unseen"]:
                withhold(house, stored, task)
            right, named = right_model(task, models, results), suggest(house, task)
            hits += right in named
            if "--tasks" in sys.argv:
                print(f"# {'hit ' if right in named else 'miss'} {task['name']}: {right}; named {named}", file=sys.stderr)
    figure("kb.top3_pct", 100 * hits / len(tasks), "%", ">= 90")


def search():
    out = subprocess.run([os.path.join(houses.BUILD, "tests/bench/bench_knowledge")], capture_output=True, text=True,
                         check=True).stdout
    times = dict(line.split("\t") for line in out.splitlines())
    figure("kb.search_100k_p50_ms", float(times["p50_ms"]), "ms")
    figure("kb.search_100k_p99_ms", float(times["p99_ms"]), "ms", "<= 20")


if __name__ == "__main__":
    top_three()
    if "--tasks" not in sys.argv:
        search()

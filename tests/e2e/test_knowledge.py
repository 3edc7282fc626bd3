"""The knowledge base through the command: what is put in is found, shown, and taken out."""
import json

import pytest

import house as houses
from conftest import needs
from test_api import FakeHouse


@pytest.fixture(scope="module")
def centre():
    with FakeHouse() as running:
        running.leat("kb", "add", "model", "org/small", "--task", "image-classification", "--text", "A small network",
                     "-a", "params=5000000", "-a", "license=mit", "-a", "language=en", "-a", "language=de")
        running.leat("kb", "add", "model", "org/large", "--task", "image-classification",
                     "-a", "params=7e9", "-a", "license=apache-2.0", "-a", "weights=bf16")
        running.leat("kb", "add", "task", "image-classification", "-a", "classes=1000")
        yield running


def found(centre, *words):
    return [entry["name"] for entry in json.loads(centre.leat("kb", "search", *words, "--json").stdout)["entries"]]


def test_search(centre):
    assert found(centre, "image classification", "-k", "model") == ["org/large", "org/small"]
    assert found(centre, "image classification < 8 GiB") == ["org/small"]
    assert found(centre, "image", "--fits", "64GiB", "--batch", "4") == ["org/large", "org/small"]
    assert found(centre, "--licence", "mit") == ["org/small"]
    assert found(centre, "-w", "params>1e6", "-s", "-params", "-n", "1") == ["org/large"]
    assert found(centre, "-w", "language=DE") == ["org/small"]
    said = centre.leat("kb", "search", "small", "networking", "absurdity")
    assert "org/small" in said.stdout and "hold some" in said.stderr
    assert "nothing of that" in centre.leat("kb", "search", "absurdity").stderr
    assert centre.leat("kb", "search", "-w", "params~3", check=False).returncode == 1


def test_show_replace_and_remove(centre):
    shown = centre.leat("kb", "show", "org/small").stdout
    assert "A small network" in shown and "params: 5000000" in shown and "en" in shown
    centre.leat("kb", "add", "data", "org/small", "-a", "rows=3")
    refused = centre.leat("kb", "rm", "org/small", check=False)
    assert refused.returncode == 2 or "--kind" in refused.stderr
    centre.leat("kb", "add", "data", "org/small", "-a", "rows=4")
    assert json.loads(centre.leat("kb", "show", "org/small", "-k", "data", "--json").stdout)["attributes"] == {"rows": 4}
    centre.leat("kb", "rm", "org/small", "--kind", "data")
    assert centre.leat("kb", "show", "org/small", "-k", "data", check=False).returncode == 1


CARD = """---
license: mit
pipeline_tag: image-classification
model-index:
- name: org/carded
  results:
  - task: {type: image-classification}
    dataset: {type: digits}
    metrics: [{type: accuracy, value: 0.97}]
---
Reads digits.
"""


def test_a_model_card_and_a_run_go_in_and_out(centre, tmp_path):
    card, run = tmp_path / "README.md", tmp_path / "run.json"
    card.write_text(CARD)
    assert "model org/carded" in centre.leat("kb", "import", card).stdout
    assert found(centre, "accuracy>0.9", "-m", "org/carded") == ["org/carded/digits/accuracy"]
    out = centre.leat("kb", "export", "org/carded").stdout
    card.write_text(out)
    centre.leat("kb", "import", card)
    assert centre.leat("kb", "export", "org/carded").stdout == out and "0.97" in out and out.endswith("Reads digits.\n")

    run.write_text(json.dumps({"run": {"info": {"run_id": "1"}, "data": {
        "metrics": [{"key": "loss", "value": 0.5}], "params": [{"key": "lr", "value": "0.1"}],
        "tags": [{"key": "mlflow.user", "value": "me"}]}}}))
    assert "left out: mlflow.user" in centre.leat("kb", "import", run, "--name", "calm-fox").stderr
    data = json.loads(centre.leat("kb", "export", "calm-fox", "--format", "mlflow").stdout)["run"]["data"]
    assert data["metrics"] == [{"key": "loss", "value": 0.5}] and data["params"][0]["key"] == "lr"
    whole = tmp_path / "all.json"
    whole.write_text(centre.leat("kb", "export", "org/carded", "--format", "leat").stdout)
    assert len(centre.leat("kb", "import", whole).stdout.splitlines()) == 2


def test_similar_tasks_and_suggested_models(centre):
    for name, classes, value in (("seen/digits", 10, None), ("seen/signs", 43, None)):
        centre.leat("kb", "add", "task", name, "--task", "sign-reading", "-a", f"classes={classes}", "-a", "modality=image",
                    "-a", "samples=60000")
    for name, params, value in (("best", 7e9, 0.99), ("good", 1e6, 0.98), ("weak", 2e6, 0.5), ("unknown", 1e6, None)):
        centre.leat("kb", "add", "model", name, "--task", "sign-reading", "-a", f"params={params}", "-a", "license=mit")
        if value:
            centre.leat("kb", "add", "metric", f"{name}/signs", "-m", name, "-t", "sign-reading", "-a", "dataset=signs",
                        "-a", "metric=accuracy", "-a", f"value={value}")
    answer = json.loads(centre.leat("kb", "similar", "-t", "sign-reading", "-a", "classes=12", "--json").stdout)
    assert [task["name"] for task in answer["similar"]][:2] == ["seen/digits", "seen/signs"]
    assert set(answer["missing"]) == {"modality", "samples"}

    centre.leat("kb", "add", "task", "far/away", "--task", "weather", "-a", "pressure=3")
    centre.leat("kb", "add", "relation", "signs-weather", "--task", "far/away", "-a", "to=seen/signs")
    answer = json.loads(centre.leat("kb", "similar", "seen/signs", "--json").stdout)
    assert [task["similarity"] for task in answer["similar"] if task["name"] == "far/away"] == [0.9]

    words = ("-t", "sign-reading", "-a", "dataset=signs")
    ranked = [model["name"] for model in json.loads(
        centre.leat("kb", "suggest", *words, "--fits", "64GiB", "--json").stdout)["models"]]
    assert ranked[:2] == ["best", "good"] and set(ranked) == {"best", "good", "weak", "unknown"}
    answer = json.loads(centre.leat("kb", "suggest", *words, "--fits", "4GiB", "--json").stdout)
    assert [model["name"] for model in answer["models"]][0] == "good" and answer["device"] is None
    here = json.loads(centre.leat("kb", "suggest", *words, "--json").stdout)
    assert here["device"] and here["memory_bytes"] > 0
    assert "good" in centre.leat("kb", "suggest", "seen/signs", "--fits", "4GiB").stdout
    assert centre.leat("kb", "suggest", *words, "--own", "--json").stdout.find('"models":[]') > 0
    assert centre.leat("kb", "similar", check=False).returncode == 2


def test_what_is_known_survives_a_restart(centre):
    centre.leat("kb", "add", "model", "kept", "--text", "unforgettable")
    centre.restart()
    assert found(centre, "unforgettable") == ["kept"]


def test_jobs_and_registrations_fill_it(house, tmp_path):
    needs("digits")
    for runs in (1, 2):
        house.leat("run", "--memory", "256MiB", houses.built("digits"), "--steps", "40")
        model = houses.eventually("the lesson", lambda: next((
            entry for entry in json.loads(house.leat("kb", "search", "-k", "model", "--json").stdout)["entries"]
            if entry["name"] == "digits" and entry["attributes"]["runs"] == runs), None))
    about = model["attributes"]
    assert (model["task"], model["source"], about["dataset"], about["batch"]) == (
        "image-classification", "job", "digits", 128)
    assert 0 < about["memory_peak_bytes"] <= 256 << 20 and about["wall_ms"] > 0 and 0 < about["accuracy"] <= 1
    assert found(house, "image classification < 256 MiB", "--train", "--batch", "128") == ["digits"]
    assert [name for name in found(house, "-k", "metric", "-m", "digits") if name.startswith("digits on ")]

    config = tmp_path / "config.json"
    config.write_text(json.dumps({"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
                                  "intermediate_size": 256, "vocab_size": 1000}))
    house.leat("model", "register", "tiny", config)
    known = houses.eventually("the registration", lambda: found(house, "registered=true"))
    assert known == ["tiny"]
    about = json.loads(house.leat("kb", "show", "tiny", "--json").stdout)["attributes"]
    assert about["params"] > 0 and about["layers"] == 2
    house.leat("model", "rm", "tiny")
    houses.eventually("its end", lambda: found(house, "registered=false") == ["tiny"])

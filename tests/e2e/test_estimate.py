"""`leat estimate`: with a centre whose devices it names, and without one."""
import json
import os
import struct
import subprocess

import house as houses

SHAPES = {"model_type": "llama", "hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4,
          "num_key_value_heads": 2, "intermediate_size": 688, "vocab_size": 1000, "torch_dtype": "float32"}


def make_model(folder):
    """A folder as Hugging Face lays it out, with one tensor."""
    rows = 5000000
    header = json.dumps({"lm_head.weight": {"dtype": "F32", "shape": [rows], "data_offsets": [0, 4 * rows]}}).encode()
    (folder / "config.json").write_text(json.dumps(SHAPES))
    with open(folder / "model.safetensors", "wb") as weights:
        weights.write(struct.pack("<Q", len(header)) + header)
        weights.truncate(8 + len(header) + 4 * rows)
    return str(folder)


def alone(tmp_path, *words):
    environment = dict(os.environ, LEAT_RUN_DIR=str(tmp_path / "nowhere"))
    return subprocess.run([houses.built("leat"), "estimate", *words], capture_output=True, text=True, env=environment)


def test_cards_of_this_centre(house, tmp_path):
    answer = json.loads(house.leat("estimate", make_model(tmp_path), "--batch", "2", "--seq", "64", "--json").stdout)
    assert answer["params"] == 5000000
    assert sum(answer["terms"].values()) == answer["point_bytes"] < answer["safe_bytes"]
    assert answer["terms"]["optimizer"] == 8 * 5000000
    device, = {(one["device"], one["memory_bytes"]) for one in answer["cards"]}
    assert device[1] == house.get("/v1/devices")["devices"][0]["memory_bytes"]
    assert answer["cards"][0]["cards"] >= 1


def test_without_a_centre(tmp_path):
    model, drawing = make_model(tmp_path), tmp_path / "bar.svg"
    full = alone(tmp_path, model, "--batch", "4", "--svg", str(drawing))
    assert full.returncode == 0, full.stderr
    assert "to be safe" in full.stdout and "--method lora" in full.stdout and "Assumed" in full.stdout
    assert drawing.read_text().startswith("<svg ") and "weights" in drawing.read_text()
    lora = json.loads(alone(tmp_path, model, "--method", "lora", "--rank", "8", "--json").stdout)
    assert lora["trainable_params"] == 4 * 8 * (256 + 256 + 256 + 128) and lora["cards"] == []


def test_refusals(tmp_path):
    model = make_model(tmp_path)
    for words, says in (((model, "--optimizer", "magic"), "adamw-8bit"), ((model, "--batch", "many"), "batch"),
                        ((str(tmp_path / "none"),), "cannot open"), ((), "MODEL")):
        answer = alone(tmp_path, *words)
        assert answer.returncode != 0 and says in answer.stderr, answer.stderr


def test_over_http(house, tmp_path):
    body = {"layers": 4, "hidden": 256, "heads": 4, "vocab": 1000, "batch": 2, "sequence": 128, "weights": "fp32"}
    status, answer = post(house, body)
    assert status == 200 and sum(answer["terms"].values()) == answer["point_bytes"]
    assert [one["cards"] for one in answer["cards"]] and answer["alternatives"]
    status, refusal = post(house, dict(body, colour="red"))
    assert status == 400 and "colour" in refusal["detail"]


def test_run_sizes_the_card(house, tmp_path):
    """The reservation holds the estimate without the context, and an explicit --memory goes before it."""
    model = make_model(tmp_path)
    words = ("--model-setting", "batch=1", "--model-setting", "seq=16")
    estimate = json.loads(house.leat("estimate", model, "--batch", "1", "--seq", "16", "--json").stdout)
    wanted = (estimate["point_bytes"] - estimate["terms"]["context"]) * 1.15
    house.leat("run", "--model", model, *words, "--name", "sized", "--", "true")
    house.leat("run", "--model", model, "--memory", "64MiB", "--name", "said", "--", "true")
    memory = {job["name"]: job["memory_bytes"] for job in house.jobs()}
    assert abs(memory["sized"] - wanted) < 16 << 20 and memory["said"] == 64 << 20
    refused = house.leat("run", "--model", model, "--model-setting", "colour=red", "--", "true", check=False)
    assert refused.returncode == 2 and "colour=red" in refused.stderr, refused.stderr


def test_registered_models(house, tmp_path):
    """Registered by name, with the licence of the model card; a job that names one gets a card of its size."""
    folder = make_model(tmp_path)
    (tmp_path / "README.md").write_text("---\nlicense: apache-2.0\ntags: [small]\n---\n# A model\n")
    shown = house.leat("model", "register", "small", folder, "--batch", "1", "--seq", "16").stdout
    assert "apache-2.0" in shown and "5,000,000" in shown
    model = house.get("/v1/models/small")
    assert model["params"] == model["trainable_params"] == 5000000 and model["dtype"] == "fp32"
    assert model["run"]["layers"] == 4 and model["card"]["tags"] == ["small"] and model["path"] == folder
    assert "small" in house.leat("model", "list").stdout
    for settings, name in ((), "plain"), (("--model-setting", "batch=64"), "wide"):
        house.leat("run", "--model", "small", *settings, "--name", name, "--", "true")
    jobs = {job["name"]: job for job in house.jobs()}
    assert jobs["plain"]["memory_bytes"] == model["safe_bytes"] < jobs["wide"]["memory_bytes"]
    assert jobs["plain"]["model"] == "small" and "model small" in jobs["plain"]["memory_basis"]
    house.leat("model", "rm", "small")
    refused = house.leat("run", "--model", "small", "--", "true", check=False)
    assert refused.returncode == 125 and "leat model register" in refused.stderr, refused.stderr


def test_registered_models_outlive_leatd(house):
    house.request("PUT", "/v1/models/kept", {"run": {"params": 1000, "weights": "fp32"}})
    house.kill()
    house.start()
    assert house.get("/v1/models")["models"][0]["name"] == "kept"


def test_the_demo_gets_what_it_needs(house):
    """Sized by its registered model alone, the card holds and is no fifth larger than what was used."""
    house.leat("model", "register", "digits", os.path.join(houses.ROOT, "examples/digits/model.yaml"))
    house.leat("run", "--model", "digits", "--type", "training", "--name", "demo", "--library", "opencl-c",
               houses.built("digits"), "--steps", "20", "--report", "10")
    job, = house.jobs()
    assert job["state"] == "succeeded" and job["usage"]["refusals"] == 0
    assert job["memory_bytes"] <= 1.2 * job["usage"]["memory_peak_bytes"]


HOLDER = os.path.join(os.path.dirname(__file__), "programs", "holder.py")


def error_of_second(house, *words):
    """Run twice; how far the peak of the second was from what the first one taught, in percent."""
    for name in ("first", "second"):
        house.leat("run", "--type", "training", "--name", name, *words)
    jobs = {job["name"]: job for job in house.jobs()}
    first, second = jobs["first"], jobs["second"]
    peak = second["usage"]["memory_peak_bytes"]
    assert second["usage"]["refusals"] == 0 and second["state"] == "succeeded"
    assert "earlier runs" in second["memory_basis"], second["memory_basis"]
    assert peak <= second["memory_bytes"] <= 1.2 * peak < first["memory_bytes"]
    assert second["prediction"]["runs"] == 1 and second["prediction"]["duration_ms"] > 0
    for job in (first, second):
        house.request("DELETE", "/v1/jobs/" + job["id"])
    return 100 * abs(second["prediction"]["memory_bytes"] - peak) / peak


def test_one_run_teaches_the_next(house):
    assert error_of_second(house, "--library", "opencl-c", houses.built("digits"), "--steps", "20") <= 3
    assert error_of_second(house, "--library", "pyopencl", HOLDER, "4") <= 3
    assert error_of_second(house, "--library", "pyopencl", HOLDER, "8") <= 3


def test_refused_memory_is_learned_and_given(house):
    """Sized too small by its model, the job goes on from its checkpoint on a card of what it wanted."""
    house.request("PUT", "/v1/models/tiny", {"run": {"params": 1000, "weights": "fp32", "framework": "opencl"}})
    words = ("--model", "tiny", "--library", "pyopencl", HOLDER, "4")
    log = house.leat("run", "--name", "grows", "--restarts", "4", *words).stdout
    assert "from 1 restarts 1" in log, log
    job, = house.jobs()
    assert job["state"] == "succeeded" and job["memory_restarts"] >= 1 and "refused" in job["memory_basis"]
    assert "job.requeued" in [event["kind"] for event in house.events() if event["job"] == job["id"]]
    refused = house.leat("run", "--memory", "2MiB", "--restarts", "4", *words, check=False)
    assert refused.returncode == 1  # who says an amount gets that


def post(house, body):
    try:
        return 200, house.request("POST", "/v1/estimates", body)
    except houses.Problem as error:
        return error.status, error.body

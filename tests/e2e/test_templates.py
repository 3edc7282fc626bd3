"""A library type and a job type are all that a request needs: the pair picks template and image."""
import os
import signal

import pytest

import house as houses

OWN = """
library: shell
defaults: {command: [sh, "${program}", "${args}"], memory: 1MiB, share: 1%, cpus: "1", ram: 64MiB, network: none,
           idle_after: 1m, grace: 1s}
types: {batch: {text: run a shell script}}
"""


def test_every_listed_pair_can_be_filled(shared_house):
    templates = shared_house.get("/v1/templates")["templates"]
    assert {"opencl-c", "pyopencl", "tinygrad", "pytorch", "tensorflow", "jax", "vllm", "generic"} <= {entry["library"] for entry in templates}
    for entry in templates:
        request = {"library": entry["library"], "type": entry["type"], "program": houses.built("digits"), "args": ["-n"]}
        description = shared_house.request("POST", "/v1/jobs?dry_run=true", request)["description"]
        assert description["library"] == entry["library"] and description["type"] == entry["type"]
        assert description["image"] in (entry["image"], "host")  # host: as long as the other is not built
        assert not [word for word in description["command"] if "${" in word]
    assert shared_house.jobs() == []


def test_dry_run_prints_what_would_run(shared_house):
    text = shared_house.leat("run", "--dry-run", "--library", "opencl-c", "--type", "training", "--memory", "64MiB",
                             houses.built("digits"), "--steps", "5").stdout
    assert "- /src/digits" in text and "memory: 64MiB" in text and 'share: "50%"' in text


@pytest.mark.parametrize("asked, said", [
    ({"library": "fortran"}, "generic, jax, opencl-c, pyopencl, pytorch, tensorflow, tinygrad, vllm"),
    ({"library": "opencl-c", "type": "notebook"}, "batch, inference, training"),
    ({"library": "opencl-c"}, "name one"),
    ({"program": "/bin/true", "image": "nowhere"}, "nowhere"),
    ({"program": "/bin/true", "memory": "1000TiB"}, "memory"),
    ({"program": "/bin/true", "share": "150%"}, "share"),
    ({"program": "/bin/true", "colour": "red"}, "colour"),
])
def test_what_cannot_be_is_refused_with_its_reason(shared_house, asked, said):
    with pytest.raises(houses.Problem) as refused:
        shared_house.request("POST", "/v1/jobs", asked)
    assert refused.value.status in (400, 422)
    assert said in refused.value.body["detail"]
    assert shared_house.jobs() == []


def test_a_site_adds_its_own_and_a_wrong_one_changes_nothing(house):
    folder = os.path.join(house.state_dir, "templates")
    os.makedirs(folder)
    path = os.path.join(folder, "shell.yaml")

    def libraries():
        return {entry["library"] for entry in house.get("/v1/templates")["templates"]}

    with open(path, "w", encoding="utf-8") as file:
        file.write(OWN)
    house.daemon.send_signal(signal.SIGHUP)
    houses.eventually("the new template", lambda: "shell" in libraries())
    with open(path, "w", encoding="utf-8") as file:
        file.write(OWN.replace("${args}", "${arguments}"))
    house.daemon.send_signal(signal.SIGHUP)
    houses.eventually("the refusal", lambda: "shell/batch: 'command': unknown placeholder ${arguments}" in house.log())
    assert {"shell", "generic", "pyopencl"} <= libraries()

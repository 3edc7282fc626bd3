"""A library type and a job type are all that a request needs: the pair picks template and image."""
import pytest

import house as houses


def test_every_listed_pair_can_be_filled(shared_house):
    templates = shared_house.get("/v1/templates")["templates"]
    assert {"opencl-c", "pyopencl", "tinygrad", "pytorch", "generic"} <= {entry["library"] for entry in templates}
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
    ({"library": "jax"}, "generic, opencl-c, pyopencl, pytorch, tinygrad"),
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

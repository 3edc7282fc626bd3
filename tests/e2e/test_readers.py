"""Readers of model files against independent writers: Python's own zip and pickle, and the formats' tools where installed."""
import collections
import io
import json
import pickle
import subprocess
import sys
import types
import zipfile

import pytest

import house as houses

SIDES = {"embed.weight": (1000, 64), "block.0.attn.weight": (64, 64), "block.0.attn.bias": (64,), "head.weight": (10, 64)}
PARAMS = sum(rows * (rest[0] if rest else 1) for rows, *rest in SIDES.values())


def estimate(path, check=True):
    done = subprocess.run([houses.built("leat"), "estimate", str(path), "--batch", "1", "--json"], capture_output=True,
                          text=True, check=False)
    if not check:
        return done
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


class Tensor:
    """What torch.save makes of a tensor, without PyTorch: a call by name over a storage by number."""

    def __init__(self, key, sides, storage="FloatStorage", offset=0):
        self.key, self.sides, self.storage, self.offset = key, sides, storage, offset

    def __reduce__(self):
        strides = tuple(1 for _ in self.sides)
        return (fake("torch._utils", "_rebuild_tensor_v2"),
                (Storage(self), self.offset, self.sides, strides, False, collections.OrderedDict()))


class Storage:
    def __init__(self, tensor):
        self.tensor = tensor


def fake(module, name):
    """A function that pickles as `module.name`; nobody calls it."""
    for length in range(1, module.count(".") + 2):
        package = ".".join(module.split(".")[:length])
        if package not in sys.modules:
            sys.modules[package] = types.ModuleType(package)
            sys.modules[package].__path__ = []
    if not hasattr(sys.modules[module], name):
        function = type(name, (), {"__module__": module, "__qualname__": name})
        setattr(sys.modules[module], name, function)
    return getattr(sys.modules[module], name)


class Pickler(pickle.Pickler):
    def persistent_id(self, obj):
        if not isinstance(obj, Storage):
            return None
        tensor, elements = obj.tensor, 1
        for side in tensor.sides:
            elements *= side
        return "storage", fake("torch", tensor.storage), tensor.key, "cpu", elements


@pytest.fixture
def archive(tmp_path):
    """Writes an archive that holds `thing`, and takes the stand-ins for PyTorch's modules away again."""
    kept = set(sys.modules)

    def write(thing, protocol=2, name="model.pt", data=b"\0" * 16):
        text = io.BytesIO()
        Pickler(text, protocol).dump(thing)
        path = tmp_path / name
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as zipped:
            zipped.writestr("model/data.pkl", text.getvalue())
            zipped.writestr("model/data/0", data)
            zipped.writestr("model/version", "3\n")
        return path
    yield write
    for name in set(sys.modules) - kept:
        if name.startswith("torch"):
            del sys.modules[name]


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_archive_of_a_state(archive, protocol):
    state = collections.OrderedDict((name, Tensor(str(i), sides)) for i, (name, sides) in enumerate(SIDES.items()))
    answer = estimate(archive(state, protocol))
    assert answer["params"] == PARAMS
    assert answer["terms"]["weights"] == int(4 * PARAMS * 1.2)  # PyTorch's profile, in fp32


def test_archive_of_a_checkpoint(archive):
    """Tied weights count once, the optimizer's states not at all."""
    state = {"a.weight": Tensor("0", (100, 10), "BFloat16Storage"), "b.weight": Tensor("0", (100, 10), "BFloat16Storage"),
             "c.weight": Tensor("1", (7,), "BFloat16Storage")}
    moments = {0: {"step": 3, "exp_avg": Tensor("2", (100, 10)), "exp_avg_sq": Tensor("3", (100, 10))}}
    answer = estimate(archive({"model": state, "optimizer": {"state": moments, "param_groups": [{"lr": 0.1}]}, "epoch": 4}))
    assert answer["params"] == 1007


def test_archive_that_builds_something_else(archive):
    """Nothing in it is called; its storages are counted."""
    thing = {"weights": Tensor("0", (5, 5)), "more": fake("torch.elsewhere", "Model")}
    assert estimate(archive(thing, data=b"\0" * 400))["params"] == 100


def test_broken_archives_are_refused(archive, tmp_path):
    whole = archive({"a": Tensor("0", (3, 3))}).read_bytes()
    for name, data in (("cut.pt", whole[:-30]), ("empty.pt", b""), ("text.pt", b"no archive at all"),
                       ("zip.bin", whole.replace(b"data.pkl", b"nope.pkl"))):
        (tmp_path / name).write_bytes(data)
        refused = estimate(tmp_path / name, check=False)
        assert refused.returncode != 0 and "PyTorch" in refused.stderr, refused.stderr


def test_against_pytorch(tmp_path):
    torch = pytest.importorskip("torch", reason="python3-torch is not installed")
    model = torch.nn.Sequential(torch.nn.Linear(30, 20), torch.nn.ReLU(), torch.nn.Linear(20, 5))
    torch.save({"model": model.state_dict(), "optimizer": torch.optim.Adam(model.parameters()).state_dict()},
               tmp_path / "real.pt")
    assert estimate(tmp_path / "real.pt")["params"] == sum(each.numel() for each in model.parameters())


def test_against_safetensors(tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy", reason="python3-safetensors is not installed")
    numpy = pytest.importorskip("numpy")
    safetensors.save_file({name: numpy.zeros(sides, "float32") for name, sides in SIDES.items()}, tmp_path / "a.safetensors")
    assert estimate(tmp_path / "a.safetensors")["params"] == PARAMS

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


def estimate(path, *words, check=True):
    done = subprocess.run([houses.built("leat"), "estimate", str(path), "--batch", "1", "--json", *words],
                          capture_output=True, text=True, check=False)
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


class Graph:
    """An ONNX graph, a node at a time; parameters are made of zeros."""

    def __init__(self, onnx):
        self.onnx, self.nodes, self.weights, self.params = onnx, [], [], 0

    def parameter(self, *sides):
        name = f"w{len(self.weights)}"
        count = 1
        for side in sides:
            count *= side
        self.params += count
        self.weights.append(self.onnx.helper.make_tensor(name, self.onnx.TensorProto.FLOAT, sides, [0.0] * count))
        return name

    def constant(self, *numbers, scalar=False, real=False):
        kind = self.onnx.TensorProto.FLOAT if real else self.onnx.TensorProto.INT64
        tensor = self.onnx.helper.make_tensor("", kind, [] if scalar else [len(numbers)], numbers)
        return self("Constant", value=tensor)

    def __call__(self, kind, *inputs, outputs=1, **attributes):
        names = [f"v{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(self.onnx.helper.make_node(kind, list(inputs), names, **attributes))
        return names[0] if outputs == 1 else names

    def linear(self, name, width, out):
        return self("Add", self("MatMul", name, self.parameter(width, out)), self.parameter(out))

    def normalise(self, name, width):
        apart = self("Sub", name, self("ReduceMean", name, axes=[-1]))
        spread = self("ReduceMean", self("Pow", apart, self.constant(2.0, scalar=True, real=True)), axes=[-1])
        root = self("Sqrt", self("Add", spread, self.constant(1e-5, scalar=True, real=True)))
        return self("Add", self("Mul", self("Div", apart, root), self.parameter(width)), self.parameter(width))

    def model(self, name, kind, sides, last, last_sides):
        value = self.onnx.helper.make_tensor_value_info
        graph = self.onnx.helper.make_graph(self.nodes, "graph", [value(name, kind, sides)],
                                            [value(last, self.onnx.TensorProto.FLOAT, last_sides)], self.weights)
        return self.onnx.helper.make_model(graph, opset_imports=[self.onnx.helper.make_opsetid("", 13)])


def attend(graph, name, width, heads, sides):
    """As PyTorch exports it: sides are reckoned from the shape unless given, three parts are split and turned."""
    shape = graph("Shape", name)
    rows, tokens = (graph("Unsqueeze", graph("Gather", shape, graph.constant(i, scalar=True), axis=0), graph.constant(0))
                    for i in (0, 1))
    apart = graph("Concat", rows, tokens, graph.constant(heads, width // heads), axis=0)
    joined = graph("Concat", rows, tokens, graph.constant(-1), axis=0)
    if sides:
        apart, joined = graph.constant(*sides, heads, width // heads), graph.constant(*sides, -1)
    q, k, v = (graph("Transpose", graph("Reshape", part, apart), perm=[0, 2, 1, 3])
               for part in graph("Split", graph.linear(name, width, 3 * width), outputs=3, axis=-1))
    scores = graph("MatMul", q, graph("Transpose", k, perm=[0, 1, 3, 2]))
    scores = graph("Div", scores, graph.constant(4.0, scalar=True, real=True))
    mixed = graph("Transpose", graph("MatMul", graph("Softmax", scores, axis=-1), v), perm=[0, 2, 1, 3])
    return graph.linear(graph("Reshape", mixed, joined), width, width)


def gelu(graph, name):
    bent = graph("Erf", graph("Div", name, graph.constant(1.4142135, scalar=True, real=True)))
    product = graph("Mul", name, graph("Add", bent, graph.constant(1.0, scalar=True, real=True)))
    return graph("Mul", product, graph.constant(0.5, scalar=True, real=True))


@pytest.mark.parametrize("batch,reckoned", [(1, False), (3, False), (1, True), (3, True)])
def test_against_onnx(tmp_path, batch, reckoned):
    """A transformer: parameters and largest tensor as ONNX's own shape inference has them, and what is kept by the rule:
    what each product and norm reads once, the probabilities, GELU's input, and the logits for the loss."""
    onnx = pytest.importorskip("onnx", reason="python3-onnx is not installed")
    tokens, width, heads, blocks, words = 24, 32, 4, 2, 100
    graph = Graph(onnx)
    name = graph("Gather", graph.parameter(words, width), "ids")
    for _ in range(blocks):
        name = graph("Add", name, attend(graph, graph.normalise(name, width), width, heads, not reckoned and (batch, tokens)))
        inner = gelu(graph, graph.linear(graph.normalise(name, width), width, 4 * width))
        name = graph("Add", name, graph.linear(inner, 4 * width, width))
    first = graph("Squeeze", graph("Slice", name, graph.constant(0), graph.constant(1), graph.constant(1)), graph.constant(1))
    last = graph.linear(first, width, words)
    model = graph.model("ids", onnx.TensorProto.INT64, [batch, tokens], last, [batch, words])
    onnx.checker.check_model(model)
    onnx.save(model, tmp_path / "model.onnx")

    answer = estimate(tmp_path / "model.onnx", "--framework", "opencl")
    assert answer["params"] == graph.params
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    sizes = [4 * width * tokens] if reckoned else []  # that inference does not follow sides through their arithmetic
    for value in inferred.graph.value_info:
        size = 1
        for side in value.type.tensor_type.shape.dim:
            size *= side.dim_value
        sizes.append(size // batch)
    kept = blocks * (tokens * (8 * width + 2 * 4 * width) + heads * tokens ** 2 + 2 * tokens)  # and two roots of variances
    assert answer["terms"]["activations"] == 4 * (kept + tokens * width + words + 2 * max(sizes))


def test_unknown_operators_are_named(tmp_path):
    onnx = pytest.importorskip("onnx", reason="python3-onnx is not installed")
    graph = Graph(onnx)
    last = graph("Einsum", "x", "x", equation="ij,ij->i")
    onnx.save(graph.model("x", onnx.TensorProto.FLOAT, [1, 4], last, [1]), tmp_path / "model.onnx")
    refused = estimate(tmp_path / "model.onnx", check=False)
    assert refused.returncode != 0 and "'Einsum'" in refused.stderr, refused.stderr

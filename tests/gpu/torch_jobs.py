#!/usr/bin/env python3
"""What tests/gpu/run.sh runs with PyTorch: one job, one line `name=value ...` of what came of it.

usage: torch_jobs.py transformer|cnn SECONDS [compile|graph]   train, print steps per second after a warm-up
       torch_jobs.py quota                                     take memory until it is refused, and go on working
       torch_jobs.py nccl                                      reduce in a group of one process
       torch_jobs.py cudnn|cublas                              compute on the device and on the processor: the largest difference
       torch_jobs.py estimate LEAT                             memory of small models, measured and by `leat estimate`, a line each,
                                                               then the mean error
"""
import json
import os
import subprocess
import sys
import tempfile
import time

import torch
from torch import nn

WARM_UP_STEPS = 10
BATCH = 32


def transformer():
    model = nn.TransformerEncoder(nn.TransformerEncoderLayer(512, 8, 2048, batch_first=True), 6)
    return model, torch.randn(BATCH, 128, 512)


def cnn():
    layers, channels = [], 3
    for width in (64, 128, 256):
        layers += [nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(2)]
        channels = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10)), torch.randn(BATCH, 3, 64, 64)


def make_step(model, batch):
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)

    def step():
        optimizer.zero_grad(set_to_none=False)
        loss = model(batch).square().mean()
        loss.backward()
        optimizer.step()
        return loss
    return step


def captured(step):
    """The step as a CUDA graph."""
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def train(kind, seconds, way):
    torch.manual_seed(1)
    model, batch = {"transformer": transformer, "cnn": cnn}[kind]()
    model, batch = model.cuda(), batch.cuda()
    step = make_step(torch.compile(model) if way == "compile" else model, batch)
    if way == "graph":
        step = captured(step)
    for _ in range(WARM_UP_STEPS):
        step()
    torch.cuda.synchronize()
    start, steps = time.monotonic(), 0
    while time.monotonic() - start < seconds:
        step()
        steps += 1
        if steps % 10 == 0:
            torch.cuda.synchronize()
    torch.cuda.synchronize()
    print(f"steps_per_s={steps / (time.monotonic() - start):.3f} peak_bytes={torch.cuda.max_memory_reserved()}")


def quota():
    """PyTorch's own error, at the quota, and memory that serves again afterwards."""
    free, total = torch.cuda.mem_get_info()
    held, chunk = [], 64 << 20
    try:
        while len(held) * chunk <= 2 * total:
            held.append(torch.empty(chunk, dtype=torch.uint8, device="cuda"))
        caught = 0
    except torch.cuda.OutOfMemoryError:
        caught = 1
    granted = len(held) * chunk
    held.clear()
    torch.cuda.empty_cache()
    again = torch.ones(1 << 20, device="cuda").sum().item() == 1 << 20
    print(f"total={total} free={free} granted={granted} caught={caught} works_again={int(again)}")


def nccl():
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="29531", RANK="0", WORLD_SIZE="1")
    torch.distributed.init_process_group("nccl")
    values = torch.ones(1 << 20, device="cuda")
    torch.distributed.all_reduce(values)
    print(f"sum={values.sum().item():.0f}")
    torch.distributed.destroy_process_group()


def differ(work, *inputs):
    """By how much the device's answer differs from the processor's, of the largest value."""
    here, there = work(*inputs), work(*[one.cuda() for one in inputs]).cpu()
    print(f"error={((here - there).abs().max() / here.abs().max()).item():.6f}")


def cudnn():
    assert torch.backends.cudnn.is_available()
    torch.backends.cudnn.allow_tf32 = False
    differ(nn.functional.conv2d, torch.randn(8, 16, 64, 64), torch.randn(32, 16, 3, 3))


def cublas():
    differ(torch.matmul, torch.randn(1024, 512), torch.randn(512, 768))


# ---- estimates: (name, what leat estimate is told) of models made here, and of language models by their configuration ----

PERCEPTRONS = [(width, batch) for width in (1024, 4096, 8192, 12288, 16384) for batch in (256, 16384)]
DECODERS = [(layers, width, batch) for layers, width in ((4, 512), (8, 1024), (12, 1536), (16, 2048), (24, 2048)) for batch in (1, 8)]
TOKENS, WORDS = 512, 32000


def perceptron(width, batch):
    widths = (width, width, width, 10)
    model = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10)).cuda()
    told = {"task": "train", "params": sum(p.numel() for p in model.parameters()), "weights": "fp32", "optimizer": "adam",
            "batch": batch, "saved_elements": sum(widths) + 2 * width, "widest_elements": width}
    data, wanted = torch.randn(batch, width, device="cuda"), torch.randint(10, (batch,), device="cuda")
    return told, (), model, lambda: nn.functional.cross_entropy(model(data), wanted), torch.optim.Adam


def decoder(layers, width, batch):
    from transformers import LlamaConfig, LlamaForCausalLM  # only some machines have it
    config = LlamaConfig(num_hidden_layers=layers, hidden_size=width, num_attention_heads=width // 64, intermediate_size=width * 4,
                         num_key_value_heads=width // 64, vocab_size=WORDS, use_cache=False, torch_dtype="bfloat16")
    model = LlamaForCausalLM(config).to(torch.bfloat16).cuda()
    words = torch.randint(WORDS, (batch, TOKENS), device="cuda")
    return (json.loads(config.to_json_string(use_diff=False)), ("--batch", str(batch), "--seq", str(TOKENS), "--optimizer", "adamw"),
            model, lambda: model(input_ids=words, labels=words).loss, torch.optim.AdamW)


def row(kind, *numbers):
    """Train a few steps in a process of its own; what the whole device held at the peak."""
    told, options, model, loss_of, optimizer_of = {"perceptron": perceptron, "decoder": decoder}[kind](*map(int, numbers))
    optimizer = optimizer_of(model.parameters())
    for _ in range(4):
        optimizer.zero_grad()
        loss_of().backward()
        optimizer.step()
    torch.cuda.synchronize()
    free, total = torch.cuda.mem_get_info()
    beside = total - free - torch.cuda.memory_reserved()
    print(json.dumps({"measured": beside + torch.cuda.max_memory_reserved(), "told": told, "options": options}))


def estimate(leat):
    errors = []
    for kind, all_numbers in (("perceptron", PERCEPTRONS), ("decoder", DECODERS)):
        for numbers in all_numbers:
            name = "-".join(map(str, (kind, *numbers)))
            run = subprocess.run([sys.executable, __file__, "row", kind, *map(str, numbers)], capture_output=True, text=True, check=False)
            if run.returncode:
                print(f"left_out={name} {run.stderr.strip().splitlines()[-1]}", file=sys.stderr)
                continue
            got = json.loads(run.stdout.splitlines()[-1])
            with tempfile.TemporaryDirectory() as folder:
                path = os.path.join(folder, "model.yaml" if kind == "perceptron" else "config.json")
                with open(path, "w", encoding="utf-8") as file:
                    json.dump(got["told"], file)
                answer = subprocess.run([leat, "estimate", path, *got["options"], "--json"], capture_output=True, text=True, check=True)
            point = json.loads(answer.stdout)["point_bytes"]
            errors.append(abs(point - got["measured"]) * 100 / got["measured"])
            print(f"row={name} measured={got['measured']} estimated={point} error_percent={errors[-1]:.1f}")
    print(f"rows={len(errors)} mean_error_percent={sum(errors) / len(errors) if errors else 100:.1f}")


PLAIN = {"quota": quota, "nccl": nccl, "cudnn": cudnn, "cublas": cublas, "estimate": estimate, "row": row}


def main():
    words = sys.argv[1:]
    if words and words[0] in PLAIN:
        PLAIN[words[0]](*words[1:])
    elif len(words) in (2, 3) and words[0] in ("transformer", "cnn"):
        train(words[0], float(words[1]), words[2] if len(words) == 3 else "")
    else:
        sys.exit(__doc__)


main()

#!/usr/bin/env python3
"""What tests/gpu/run.sh runs with PyTorch: one job, one line `name=value ...` of what came of it.

usage: torch_jobs.py transformer|cnn SECONDS [compile|graph]   train, print steps per second after a warm-up
       torch_jobs.py quota                                     take memory until it is refused, and go on working
       torch_jobs.py nccl                                      reduce in a group of one process
"""
import os
import sys
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


def main():
    words = sys.argv[1:]
    if words == ["quota"]:
        quota()
    elif words == ["nccl"]:
        nccl()
    elif len(words) in (2, 3) and words[0] in ("transformer", "cnn"):
        train(words[0], float(words[1]), words[2] if len(words) == 3 else "")
    else:
        sys.exit(__doc__)


main()

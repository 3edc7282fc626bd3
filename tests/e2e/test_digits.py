"""The trainer of examples/digits by itself, directly on the device."""
import json
import signal
import subprocess

import pytest

import house as houses
from conftest import needs


@pytest.fixture(scope="module", autouse=True)
def built():
    needs("digits")


def digits(*args, status=0):
    done = subprocess.run([houses.built("digits"), *map(str, args)], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=120, check=False)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout if status == 0 else done.stderr


def test_it_learns():
    text = digits("--steps", 1200)
    assert float(text.rsplit("validation accuracy", 1)[1].split()[0]) >= 0.95


def test_same_seed_same_net_other_seed_other_net(tmp_path):
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        digits("--steps", 40, "--seed", seed, "--checkpoint", tmp_path / name)
    a, b, c = ((tmp_path / name).read_bytes() for name in "abc")
    assert a == b != c


def test_resumed_run_ends_with_the_same_bytes(tmp_path):
    digits("--steps", 300, "--checkpoint", tmp_path / "whole")
    digits("--steps", 130, "--checkpoint", tmp_path / "parts")
    assert "resumed at step 130" in digits("--steps", 300, "--checkpoint", tmp_path / "parts", "--resume")
    assert (tmp_path / "whole").read_bytes() == (tmp_path / "parts").read_bytes()


def test_stopped_by_sigterm_it_saves_and_can_go_on(tmp_path):
    words = [houses.built("digits"), "--steps", "100000", "--report", "10", "--checkpoint", str(tmp_path / "net")]
    program = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    for line in program.stdout:
        if line.startswith("step     30"):
            program.send_signal(signal.SIGTERM)
            break
    rest = program.stdout.read()
    assert program.wait(30) == 0
    stopped = int(rest.rsplit("stopped at step ", 1)[1].split()[0])
    assert f"resumed at step {stopped}" in digits("--steps", stopped + 10, "--checkpoint", tmp_path / "net", "--resume")


def test_metrics_are_lines_of_json(tmp_path):
    digits("--steps", 60, "--report", 20, "--metrics", tmp_path / "metrics")
    lines = [json.loads(line) for line in (tmp_path / "metrics").read_text().splitlines()]
    assert [line["step"] for line in lines] == [20, 40, 60]
    assert all(0 < line["loss"] < 10 and 0 <= line["validation_accuracy"] <= 1 for line in lines)
    assert lines[2]["loss"] < lines[0]["loss"]


def test_what_is_wrong_is_said(tmp_path):
    net = tmp_path / "net"
    digits("--steps", 8, "--checkpoint", net)
    resume = ("--steps", 16, "--resume", "--checkpoint")
    assert "--seed 1 --batch 128" in digits(*resume, net, "--seed", 2, status=1)
    good = net.read_bytes()
    for damage, said in ((good[:-1], "damaged"), (good[:5000] + b"\x00\x01" + good[5002:], "damaged"),
                         (b"nonsense" + good[8:], "not a checkpoint"), (good[:8] + b"\x63" + good[9:], "version 99"),
                         (b"", "not a checkpoint")):
        net.write_bytes(damage)
        assert said in digits(*resume, net, status=1)
    assert "power of two" in digits("--batch", 100, status=1)
    assert "whole number" in digits("--steps", "many", status=1)
    assert "--checkpoint" in digits("--resume", status=1)
    assert "STEP:SECONDS" in digits("--sleep-at", "5", status=1)
    assert "opening" in digits("--steps", 8, "--checkpoint", tmp_path / "no" / "folder", status=1)

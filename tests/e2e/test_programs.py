"""Unmodified OpenCL programs give the same results on a card as on the device directly."""
import os
import re
import shutil
import subprocess

import pytest

import house as houses
from conftest import needs

# Their values change from run to run.
CLPEAK_FIGURES = re.compile(r"-?\d+(\.\d+)?|\binf\b")  # inf: too short for its clock
DIGITS_TIMES = re.compile(r" +[\d.]+ s$", re.MULTILINE)


def directly(*words, **options):
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False,
                          **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def on_card(house, *words, **options):
    return house.card_exec(*words, memory="512MiB", **options).stdout


def clinfo_fields(text):
    """{field: value} of `clinfo --raw` for the device, as the device answers them."""
    fields = {}
    for line in text.splitlines():
        found = re.match(r"\s*(?:\[[^]]*\]\s*)?(CL_DEVICE_\w+)\s+(.*)", line)
        if found:
            fields.setdefault(found.group(1), found.group(2).strip())
    return fields


# The fields that a card answers for itself. Everything else is the device's own answer.
CLINFO_A_CARDS_OWN = {
    "the quota": {"GLOBAL_MEM_SIZE", "MAX_MEM_ALLOC_SIZE", "GLOBAL_VARIABLE_PREFERRED_TOTAL_SIZE"},
    "what a card does not offer": {"SVM_CAPABILITIES", "EXECUTION_CAPABILITIES", "OPENCL_C_FEATURES"},
    "the driver's spaces": {"EXTENSIONS"},
}


def test_clinfo(card_house):
    if not shutil.which("clinfo"):
        pytest.skip("clinfo is not installed")
    direct = clinfo_fields(directly("clinfo", "--raw"))
    carded = clinfo_fields(on_card(card_house, "clinfo", "--raw"))
    assert len(carded) > 60
    own = {"CL_DEVICE_" + name for names in CLINFO_A_CARDS_OWN.values() for name in names}
    differences = {name: (value, carded.get(name)) for name, value in direct.items()
                   if carded.get(name) != value and name not in own}
    assert differences == {}
    told = [fields["CL_DEVICE_EXTENSIONS"].split() for fields in (direct, carded)]
    assert told[0] == told[1]
    assert carded["CL_DEVICE_GLOBAL_MEM_SIZE"] == str(512 << 20)


def test_clpeak(card_house):
    if not shutil.which("clpeak"):
        pytest.skip("clpeak is not installed")
    words = ["clpeak", "--kernel-latency", "--transfer-bandwidth"]

    def shape(text):
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return [CLPEAK_FIGURES.sub("N", line) for line in lines
                if not re.match(r"Platform|Device|Driver version|Compute units|Clock", line)]

    direct, carded = directly(*words), on_card(card_house, *words)
    assert shape(carded) == shape(direct)
    assert "Kernel launch latency" in carded and "enqueueWriteBuffer" in carded


def test_clblast_sgemm(card_house):
    if not os.path.exists(houses.built("sgemm")):
        pytest.skip("libclblast-dev was not there at build time")
    direct = directly(houses.built("sgemm"))
    carded = on_card(card_house, houses.built("sgemm"))
    assert direct.count("right") == 3
    assert carded == direct  # to the last bit: the lines hold fingerprints


def test_a_blas_call_crosses_little(card_house):
    """CLBlast makes a kernel for each call and releases it: the executor keeps it, and only the launch crosses."""
    if not os.path.exists(houses.built("sgemm")):
        pytest.skip("libclblast-dev was not there at build time")
    records = []
    for calls in ("10", "60"):
        lease = card_house.card("card.create", card="one", memory_bytes=256 << 20, share_permille=1000)
        program = card_house.on_card(lease, houses.built("sgemm"), "64", calls)
        out, errors = program.communicate(timeout=120)
        assert program.returncode == 0, out + errors
        records.append(card_house.card("card.remove", card="one")["records"])
    assert records[1] - records[0] <= 50 * 2


def test_digits_trainer(card_house, tmp_path):
    needs("digits")
    words = [houses.built("digits"), "--steps", "400", "--report", "100", "--checkpoint"]
    direct = directly(*words, str(tmp_path / "direct"))
    carded = on_card(card_house, *words, str(tmp_path / "carded"))
    lines = [DIGITS_TIMES.sub("", text).splitlines()[1:-1] for text in (direct, carded)]
    assert len(lines[0]) == 5  # four reports and the metrics
    assert lines[1] == lines[0]
    assert (tmp_path / "carded").read_bytes() == (tmp_path / "direct").read_bytes()


def test_digits_resumes_on_a_card(card_house, tmp_path):
    """Stopped and resumed on a card ends with the bytes of an unbroken run."""
    needs("digits")
    whole, parts = str(tmp_path / "whole"), str(tmp_path / "parts")
    on_card(card_house, houses.built("digits"), "--steps", "200", "--checkpoint", whole)
    on_card(card_house, houses.built("digits"), "--steps", "90", "--checkpoint", parts)
    text = on_card(card_house, houses.built("digits"), "--steps", "200", "--checkpoint", parts, "--resume")
    assert "resumed at step 90" in text
    assert (tmp_path / "parts").read_bytes() == (tmp_path / "whole").read_bytes()


def test_pyopencl_script(card_house):
    if subprocess.run(["/usr/bin/python3", "-c", "import pyopencl, numpy"], capture_output=True, check=False).returncode:
        pytest.skip("python3-pyopencl is not installed")
    words = ["/usr/bin/python3", houses.built("train.py"), "--steps", "100"]
    lines = [DIGITS_TIMES.sub("", text).splitlines()[1:] for text in (directly(*words), on_card(card_house, *words))]
    assert len(lines[0]) == 1
    assert lines[1] == lines[0]


def test_hello(card_house):
    needs("hello")
    assert on_card(card_house, houses.built("hello")) == "11 22 33 44\n"

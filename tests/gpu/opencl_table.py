"""The table that opencl.sh prints; it also sets the environment in which directly run programs and cards have the same
driver."""
import collections
import contextlib
import io
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
for folder in ("e2e", "bench"):
    sys.path.insert(0, os.path.join(os.path.dirname(HERE), folder))
import house as houses  # noqa: E402
import run as bench  # noqa: E402

GIB, MIB = 1 << 30, 1 << 20
CARD_BYTES = int(os.environ.get("CARD_BYTES", 8 * GIB))
PIECES = 8
PROGRAMS = ["hello", "compiling", "semantics", "strict", "printing", "sgemm", "digits"]
WRONG_CALLS = ["images", "wrong_calls"]  # a card refuses what the standard says; some drivers do not
# Lines that name the device or a time differ rightly.
NAMES = re.compile(r"(?im)^.*\b(platform|device|vendor|driver)\b.*$|[0-9.]+ s$|_p50_ms.*$|[0-9.]+ images/s")
TIMEOUT_S = 600

broken = 0


def row(what, value, target="", kept=None):
    """`kept` None: nothing was promised."""
    global broken
    broken += kept is False
    print(f"| {what} | {value} | {target} | {'' if kept is None else 'yes' if kept else 'NO'} |", flush=True)


def outcome(process):
    """What a program printed and how it ended."""
    try:
        output = process.communicate(timeout=TIMEOUT_S)[0]
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return "timeout"
    return process.returncode, sorted(NAMES.sub("", output).split("\n"))


def programs(house):
    """The same programs, directly and on a card."""
    for name in PROGRAMS + WRONG_CALLS:
        if not os.path.exists(houses.built(name)):
            row(name, "not built")
            continue
        words = [houses.built(name)] + (["--steps", "60"] if name == "digits" else [])
        direct = outcome(subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        lease = bench.make_card(house, "program", GIB, 1000)
        carded = outcome(house.on_card(lease, *words))
        house.card("card.remove", card="program")
        if name in WRONG_CALLS:
            row(f"`{name}`: lines that differ", sum((collections.Counter(carded[1]) - collections.Counter(direct[1])).values())
                if "timeout" not in (direct, carded) else "timeout")
        else:
            row(f"`{name}`, directly and on a card", "same" if direct == carded else "different", "same", direct == carded)


def tabled(script_lines):
    """Lines of the bench: name, value, unit, target. What they are compared with was set for a CPU device."""
    for line in script_lines:
        name, value, unit, target = (line.split("\t") + ["", "", ""])[:4]
        if unit or target:
            row(f"`{name}`", f"{value} {unit}".strip(), target)


def calls(house):
    lines = io.StringIO()
    with contextlib.redirect_stdout(lines):
        bench.bench_calls(house)
    tabled(lines.getvalue().splitlines())


def shares():
    """Two and three cards, and more with LEAT_LONG: the table goes to standard error, its errors to ours."""
    done = subprocess.run([sys.executable, os.path.join(os.path.dirname(HERE), "bench", "bench_share.py")],
                          stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        row("shares of neighbours", "failed", "", False)
    for line in done.stdout.splitlines():
        name, value, unit, target = line.split("\t")
        row(f"`{name}`", f"{value} {unit}", target, float(value) <= float(target.split()[1]))


def quota(house):
    piece = CARD_BYTES // PIECES
    lease = bench.make_card(house, "quota", CARD_BYTES, 1000)
    process = house.on_card(lease, houses.built("quota_probe"), str(piece), str(2 * CARD_BYTES))
    output = process.communicate(timeout=TIMEOUT_S)[0]
    house.card("card.remove", card="quota")
    got = bench.figures(output)
    row("memory that a program is told of", f"{got.get('device_bytes', 0):.0f} bytes", CARD_BYTES,
        got.get("device_bytes") == CARD_BYTES)
    row("memory that a program gets", f"{got.get('fitted_bytes', 0):.0f} bytes", CARD_BYTES,
        got.get("fitted_bytes") == CARD_BYTES)
    row("one piece more", f"error {got.get('refusal', 0):.0f}", "-4", got.get("refusal") == -4)
    row("what was freed, again", f"error {got.get('again', 1):.0f}", "0", got.get("again") == 0)


def away_and_back(house):
    """A full card is suspended and resumed; then its program looks at every byte."""
    lease = bench.make_card(house, "away", CARD_BYTES, 1000)
    holder = house.on_card(lease, houses.built("holder"), stdin=subprocess.PIPE)

    def tell(line):
        holder.stdin.write(line + "\n")
        holder.stdin.flush()
        return holder.stdout.readline().strip()
    filled = [tell(f"+{CARD_BYTES // PIECES}") for _ in range(PIECES)]
    row("a card filled in eight buffers", " ".join(sorted(set(filled))), "ok", filled == ["ok"] * PIECES)
    suspended = house.card("card.suspend", card="away")
    row("held by the suspended card", f"{suspended['memory_used_bytes']} bytes", "0", suspended["memory_used_bytes"] == 0)
    resumed = house.card("card.resume", card="away")
    answer = tell("=")
    row("all bytes after it came back", answer, "ok", answer == "ok")
    for name in ("suspend_ns", "resume_ns"):
        took_ns = max(resumed[name], 1)
        row(f"{name.split('_', maxsplit=1)[0]} of {CARD_BYTES / GIB:g} GiB", f"{took_ns / 1e6:.0f} ms, "
            f"{CARD_BYTES / took_ns:.1f} GB/s")
    holder.stdin.close()
    holder.wait(TIMEOUT_S)
    house.card("card.remove", card="away")


def main():
    print("| measure | value | target | kept |\n| --- | --- | --- | --- |")
    with houses.House(cards_only=True) as house:
        device = house.card("device.list")["devices"][0]
        row("device", f"{device['name']}, driver {device['driver']}, {device['memory_bytes'] / GIB:.1f} GiB")
        for part in (programs, calls, quota, away_and_back):
            part(house)
    shares()
    print(f"\n{broken} promises were not kept")
    sys.exit(min(broken, 100))


main()

"""leat-cardd with the fake CUDA devices, and cards of them; what the devices really did is read from the truth file. Used
by the tests and the bench."""
import itertools
import os
import struct
import subprocess
import tempfile

import house as houses

MIB = 1 << 20
TRUTH = struct.Struct("=IIQ2Q2Q2Q2Q")  # the beginning of struct fake_truth
PROCESS, PROCESSES = struct.Struct("=ixxxx2Q2Q"), 2048
PROBE = os.path.join(houses.BUILD, "tests/fake-cuda/cuda-probe")
PROGRAM = os.path.join(houses.BUILD, "tests/fake-cuda/cuda-program")
CLOCK = os.path.join(houses.BUILD, "tests/fake-cuda/libfake-clock.so")
DRIVER = os.path.join(houses.BUILD, "tests/fake-cuda/libfake-cuda.so")
CUDA_ENVIRONMENT = {"LD_LIBRARY_PATH": os.path.dirname(DRIVER), "LEAT_CUDA_DRIVER": DRIVER,
                    "LEAT_NVML_DRIVER": os.path.join(os.path.dirname(DRIVER), "libnvidia-ml.so.1")}


class CudaHouse(houses.House):
    """leat-cardd that finds the fake devices, whose truth is in a file of its own."""

    def __init__(self, *arguments, **environment):
        super().__init__(cards_only=True, arguments=arguments, environment=environment)
        self.truth_folder = tempfile.TemporaryDirectory(prefix="leat-", dir="/dev/shm")  # where executors may write
        self.truth_file = os.path.join(self.truth_folder.name, "truth")
        self.environment["LD_LIBRARY_PATH"] = os.path.join(houses.BUILD, "tests/fake-cuda")
        self.environment["LEAT_FAKE_CUDA"] = self.truth_file
        self.environment["LEAT_CUDA_DRIVER"] = DRIVER
        self.environment["LEAT_NVML_DRIVER"] = os.path.join(houses.BUILD, "tests/fake-cuda/libnvidia-ml.so.1")

    def __exit__(self, *exception):
        super().__exit__(*exception)
        self.truth_folder.cleanup()

    def truth(self, device=0):
        with open(self.truth_file, "rb") as file:
            values = TRUTH.unpack(file.read(TRUTH.size))
        return {"used": values[3 + device], "peak": values[5 + device], "busy_ns": values[9 + device]}

    def busy_ns(self, pid, device=0):
        """Of one device, for one process; an ended one is kept until another begins."""
        with open(self.truth_file, "rb") as file:
            slots = file.read()[TRUTH.size:]
        return sum(slot[3 + device] for slot in PROCESS.iter_unpack(slots[:PROCESS.size * PROCESSES]) if slot[0] == pid)

    def lease(self, name, memory_bytes=256 * MIB, share_permille=1000, device="cuda-0", **more):
        return self.card("card.create", card=name, memory_bytes=memory_bytes, share_permille=share_permille,
                         device=device, **more)

    def leases(self, *cards):
        """A card of each device for one process: (memory, share in permille) each."""
        made = [self.lease(f"card-{number}", memory, share, device=f"cuda-{number}")
                for number, (memory, share) in enumerate(cards)]
        return {"token": ",".join(lease["token"] for lease in made)}

    def start_program(self, lease, program, *words, **environment):
        there = dict(self.environment, LEAT_CARD_TOKEN=lease["token"],
                     LEAT_CARD_SOCKET=os.path.join(self.run_dir, "card", "card.sock"), **environment)
        return subprocess.Popen([program, *map(str, words)], env=there, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True)

    def start_probe(self, lease, *words, **environment):
        return self.start_program(lease, PROBE, *words, **environment)

    def probe(self, lease, *words, **environment):
        out, err = self.start_probe(lease, *words, **environment).communicate(timeout=60)
        assert not err, err
        return out.strip()

    def show(self, name):
        return self.card("card.show", card=name)


# Cards that want the device at once: (share in percent, microseconds of a kernel, way of launching) each.
SHARES = [
    [(10, 100, "plain")],
    [(30, 2000, "graph")],
    [(60, 200, "plain")],
    [(80, 20000, "cooperative")],
    [(30, 100, "mixed")],
    [(60, 500, "streams")],
    [(30, 20, "streams")],
    [(60, 50, "many")],
    [(30, 1000, "plain"), (70, 1000, "extended")],
    [(10, 100, "plain"), (60, 20000, "graph")],
    [(10, 2000, "mixed"), (80, 200, "plain")],
    [(20, 2000, "mixed"), (30, 200, "graph"), (50, 10000, "plain")],
]
ALL_SHARES = SHARES + [[setting] for setting in itertools.product(
    (10, 30, 60, 80), (100, 1000, 5000, 20000), ("plain", "graph", "cooperative", "mixed", "streams"))] + [
    [(small, us, way), (90 - small, other_us, "plain")] for small, us, way, other_us in itertools.product(
        (10, 30), (100, 2000), ("plain", "graph", "mixed"), (200, 10000))]


# Short kernels in several streams: two, eight, and eight that are waited for in each round. On a device that runs them one
# after the other, and on one that runs those of several streams at once.
STREAM_SHARES = [(setting, at_once) for setting in (
    [(share, us, way)] for share, us, way in itertools.product((10, 30, 60), (10, 50, 100, 1000), ("streams", "many", "joined"))
) for at_once in (False, True)]
AT_ONCE = {"LEAT_FAKE_CUDA_CONCURRENT": "1"}


def share_errors(cuda, setting):
    """Run the cards of a setting at once in virtual time: by how many points of the device each missed its share, by the
    device's own count."""
    leases = [cuda.lease(f"share-{number}", share_permille=share * 10) for number, (share, _, _) in enumerate(setting)]
    clock = {"LD_PRELOAD": CLOCK, "LEAT_FAKE_CLOCK": cuda.truth_file + ".clock", "LEAT_FAKE_CLOCK_PARTIES": str(len(leases))}
    window_ms = max(4000, *(us // 2 for _, us, _ in setting))  # of long kernels, many enough for an average
    running = [cuda.start_probe(lease, "spin", window_ms, us, way, **clock)
               for lease, (_, us, way) in zip(leases, setting)]
    for program in running:
        _, err = program.communicate(timeout=120)
        assert program.returncode == 0 and not err, err
    os.unlink(clock["LEAT_FAKE_CLOCK"])
    got = [cuda.busy_ns(program.pid) / (window_ms * 1e4) for program in running]
    for lease in leases:
        cuda.card("card.remove", card=lease["card"])
    return [busy - share for busy, (share, _, _) in zip(got, setting)]

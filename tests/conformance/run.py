"""Programs of others, on the device directly and on a card: one line a program, `program  direct  card  same?`.

usage: run.py [--list] [--verbose] [--jobs N] [NAME ...]     NAME: a program, or the start of some programs' names

An outcome is the exit status (or signal, or `timeout`) and what the program printed on its standard output, without what
changes from run to run; the order of lines is left out of account, for what kernels print does not wait for a program's
own buffer. Programs come from the Debian packages of the group `conformance` in tools/deps-debian.txt; nothing
is known here about what they do with OpenCL.
"""
import argparse
import collections
import concurrent.futures
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../e2e"))
import house as houses  # noqa: E402

POCL = "/usr/share/pocl-tests"
MADE = os.path.join(houses.BUILD, "conformance")
TIMEOUT = 900
MEMORY = "1GiB"

# command: words; `made` is what has to be compiled for it: (name, sources, libraries).
Program = collections.namedtuple("Program", "name command made cwd hide", defaults=(None, None, r"$^"))

EVERYTHING = r"(?s).*"  # only the exit status counts
# Lines that name the device or the platform, addresses, and sizes of binaries, which name files of the driver's cache.
NAMES = r"(?im)^.*(platform|device|vendor|driver|pthread|portable computing|leat).*$|0x[0-9a-f]+|^binary size .*$"

TEMPORARY = r"\S*/tempfile_\w+"  # what the driver calls a program's source in its log

# Programs of pocl-tests that cannot be judged by themselves, or look for what belongs to PoCL alone.
POCL_LEFT_OUT = {
    "test_cl_pocl_content_size": "a header of PoCL's source",
    "test_version": "PoCL's own version",
    "test_dlopen": "PoCL's own library",
}
POCL_WORDS = {"test_alignment_with_dynamic_wg": ["1", "2", "3"]}
WRITES_HERE = os.path.join(MADE, "tests/runtime")  # a header that the next kernel includes
KERNEL_CASES = ["as_type", "convert_type_1", "convert_type_4", "bitselect", "hadd", "rhadd", "min_max", "length_distance",
                "fmin_fmax_fma", "local_struct_array", "convert_sat_regression", "rotate", "fabs", "ilogb", "isnan",
                "short16", "ucharn", "printf", "printf_vectors", "sizeof", "block"]
WORKGROUP_CASES = ["implicit_barriers 1 2 1 1", "forloops 2 2 1 1", "loopbarriers 1 4 1 1", "switch_case 1 4 1 1",
                   "tricky_for 1 2 1 1", "for_with_divergent_return 1 6 1 1", "cond_barriers_in_for 2 4 1 1",
                   "basic_barriers 2 2 2 2", "conditional_barriers 1 2 1 1", "outerlooppar 2 2 1 1", "for_bug 1 2 1 1",
                   "multilatch_bloop 1 3 1 1", "print_all_ids 1 1 1 4", "issue_548 1 2 1 1", "range_md 1 13 1 1"]
EXAMPLES = ["example0", "example1", "example2", "example2a", "matadd", "matrix1 64", "trig", "vecadd", "boxadd",
            "EinsteinToolkit"]
OUTCOME_ONLY = {"example0", "matrix1", "EinsteinToolkit"}  # random input, or times
PIGLIT_LEFT_OUT = ("program-tester", "interop")  # reads the files below; needs OpenGL
BLAS_TESTS = ["xaxpy", "xscal", "xswap"]
PICTURES = ["-f", "lavfi", "-i", "testsrc=duration=0.2:size=64x64:rate=10"]
FILTERS = "format=yuv420p,hwupload,avgblur_opencl=sizeX=3,unsharp_opencl,hwdownload,format=yuv420p"
TUNERS = ["xaxpy", "xdot", "copy_fast", "copy_pad", "transpose_fast", "transpose_pad", "invert"]


def pocl_tests():
    if not os.path.isdir(POCL):
        return
    for part in ("runtime", "regression"):
        for source in sorted(glob.glob(f"{POCL}/tests/{part}/test_*.c*")):
            name = os.path.basename(source).split(".")[0]
            if source.endswith((".c", ".cpp")) and name not in POCL_LEFT_OUT:
                cwd = WRITES_HERE if name == "test_kernel_cache_includes" else os.path.dirname(source)
                yield Program(f"pocl-tests/{part}/{name}", [name, *POCL_WORDS.get(name, [])], (name, [source], []), cwd, NAMES)
    kernels = f"{POCL}/tests/kernel"
    for case in KERNEL_CASES:
        yield Program(f"pocl-tests/kernel/{case}", ["kernel", f"test_{case}"], ("kernel", [f"{kernels}/kernel.c"], []),
                      kernels, EVERYTHING if case == "printf_vectors" else NAMES)  # PoCL prints what it never wrote
    for name in ("image_query_funcs", "sampler_address_clamp"):
        yield Program(f"pocl-tests/kernel/{name}", [name], (name, [f"{kernels}/{name}.c"], []), kernels, NAMES)
    for kind in ("char", "ushort", "int", "float", "ulong", "double"):
        yield Program(f"pocl-tests/kernel/shuffle-{kind}", ["test_shuffle", kind],
                      ("test_shuffle", [f"{kernels}/test_shuffle.cc"], []), kernels, NAMES)
    groups = f"{POCL}/tests/workgroup"
    for case in WORKGROUP_CASES:
        kernel, *sizes = case.split()
        yield Program(f"pocl-tests/workgroup/{kernel}", ["run_kernel", f"{kernel}.cl", *sizes],
                      ("run_kernel", [f"{groups}/run_kernel.c"], []), groups, NAMES)
    for case in EXAMPLES:
        name, *words = case.split()
        folder = f"{POCL}/examples/{name}"
        yield Program(f"pocl-tests/examples/{name}", [name, *words], (name, sorted(glob.glob(f"{folder}/*.c")), []), folder,
                      EVERYTHING if name in OUTCOME_ONLY else NAMES)


def piglit():
    """Its OpenCL tests: programs of their own, and kernels with what they are to compute, which one program reads."""
    for home in glob.glob("/usr/lib/*/piglit"):
        for path in sorted(glob.glob(f"{home}/bin/cl-*")):
            name = os.path.basename(path)[len("cl-"):]
            if not name.startswith(PIGLIT_LEFT_OUT):
                yield Program(f"piglit/{name}", [path], cwd=f"{home}/tests/cl", hide=NAMES)
        for root in ("tests/cl", "generated_tests/cl"):
            for path in sorted(glob.glob(f"{home}/{root}/**/*.cl", recursive=True)):
                yield Program(f"piglit/{os.path.relpath(path, f'{home}/{root}')}", [f"{home}/bin/cl-program-tester", path],
                              cwd=home, hide=NAMES)


def others():
    yield Program("clinfo", ["clinfo", "-l"], hide=NAMES)
    yield Program("clpeak", ["clpeak", "--kernel-latency", "--transfer-bandwidth"],
                  hide=EVERYTHING)
    for tuner in TUNERS:
        yield Program(f"clblast/tuner_{tuner}", [f"clblast_tuner_{tuner}", "-precision", "32", "-runs", "1", "-fraction", "64",
                                                 *(["-n", "65536"] if tuner in ("xaxpy", "xdot") else
                                                   ["-n", "128"] if tuner == "invert" else ["-m", "128", "-n", "128"])],
                      cwd="", hide=EVERYTHING)
    yield Program("clblast/sgemm", [houses.built("sgemm")])
    for routine in BLAS_TESTS:
        yield Program(f"clblast/test_{routine}", [f"clblast_test_{routine}"], hide=NAMES)
    yield Program("clfft/client", ["clFFT-client", "-x", "64", "-y", "16", "-b", "2", "-p", "1"], cwd="", hide=NAMES)
    yield Program("clfft/fft", ["fft"], ("fft", [f"{HERE}/programs/fft.c"], ["-lclFFT", "-lm"]))
    yield Program("viennacl/viennacl", ["viennacl"], ("viennacl", [f"{HERE}/programs/viennacl.cpp"], []))
    yield Program("opencv/umat", ["/usr/bin/python3", f"{HERE}/programs/umat.py"])
    yield Program("pyopencl/arrays", ["/usr/bin/python3", f"{HERE}/programs/arrays.py"])
    yield Program("ffmpeg/filters", ["ffmpeg", "-v", "error", "-init_hw_device", "opencl=card", "-filter_hw_device", "card",
                                     *PICTURES, "-vf", FILTERS, "-f", "framemd5", "-"], hide=NAMES)
    yield Program("hashcat/md5", ["/bin/sh", f"{HERE}/programs/crack.sh"], cwd="")


def make(program):
    """Compile what the program needs; None, or why that does not go."""
    name, sources, libraries = program.made
    target = os.path.join(MADE, name)
    if os.path.exists(target):
        return None
    plus = any(not source.endswith(".c") for source in sources)
    folder = os.path.dirname(sources[0])
    with open(sources[0], encoding="utf-8", errors="replace") as first:  # some count from the top of PoCL's source
        folder = POCL if re.search(r'SRCDIR "/(tests|examples)', first.read()) else folder
    poclu = f"{HERE}/poclu"
    words = [*(["g++", "-std=c++17"] if plus else ["gcc", "-std=gnu11"]), "-w", "-O1", "-DCL_TARGET_OPENCL_VERSION=300",
             "-DCL_HPP_TARGET_OPENCL_VERSION=120", "-DCL_HPP_MINIMUM_OPENCL_VERSION=120", "-DCL_HPP_ENABLE_EXCEPTIONS",
             f'-DSRCDIR="{folder}"', f'-DBUILDDIR="{MADE}"', f"-I{poclu}", *sources]
    with tempfile.TemporaryDirectory() as scratch:
        helper = os.path.join(scratch, "poclu.o")
        subprocess.run(["gcc", "-std=gnu11", "-w", "-O1", "-DCL_TARGET_OPENCL_VERSION=300", f'-DSRCDIR="{folder}"', f"-I{poclu}",
                        "-c", f"{poclu}/poclu.c", "-o", helper], check=True)
        built = subprocess.run([*words, helper, "-o", f"{target}.new", *libraries, "-lOpenCL", "-lpthread", "-ldl", "-lm"],
                               capture_output=True, text=True, check=False)
    if built.returncode:
        error = next((line for line in built.stderr.splitlines() if "error" in line), built.stderr)
        return f"does not compile: {error.split('error:')[-1].strip()[:90]}"
    os.rename(f"{target}.new", target)
    return None


def outcome(program, start, environment):
    """(short word, everything that is compared)"""
    command = [os.path.join(MADE, program.command[0]) if program.made else program.command[0], *program.command[1:]]
    with tempfile.TemporaryDirectory() as scratch:
        try:
            done = subprocess.run([*start, *command], cwd=program.cwd or scratch, env=dict(environment, HOME=scratch),
                                  stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT, check=False)
        except subprocess.TimeoutExpired:
            return "timeout", None, ""
    status = done.returncode if done.returncode <= 128 else 128 - done.returncode  # leat tells a signal as a shell does
    word = "ok" if status == 0 else f"exit {status}" if status > 0 else f"signal {-status}"
    text = re.sub(program.hide, "", re.sub(TEMPORARY, "", done.stdout.decode(errors="replace")))
    return word, (status, sorted(line.rstrip() for line in text.splitlines() if line.strip())), done.stderr.decode(errors="replace")


def compare(program, house, share, verbose):
    missing = None if program.made or shutil.which(program.command[0]) else "not installed"
    missing = missing or (program.made and make(program))
    if missing:
        return program.name, "-", "-", missing
    environment = {key: value for key, value in os.environ.items() if not key.startswith("LEAT_CARD_")}
    direct, there, _ = outcome(program, [], environment)
    card, here, errors = outcome(program, [houses.built("leat"), "card", "exec", "--memory", MEMORY, "--share", f"{share}%", "--"],
                                 house.environment)
    if verbose and there != here:
        print(f"--- {program.name}\n{there}\n{here}\n{errors[-2000:]}", file=sys.stderr)
    return program.name, direct, card, "same" if there == here else "output differs" if direct == card else "DIFFERENT"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--list", action="store_true", help="only the names")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--verbose", action="store_true", help="say what differs")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    programs = [p for p in [*pocl_tests(), *others(), *piglit()] if not options.names or p.name.startswith(tuple(options.names))]
    if options.list:
        print("\n".join(p.name for p in programs))
        return
    os.makedirs(WRITES_HERE, exist_ok=True)
    differing = 0
    with houses.House(cards_only=True) as house, concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        print(f"{'program':58} {'direct':12} {'card':12} same?")
        for name, direct, card, verdict in pool.map(lambda p: compare(p, house, 100 // options.jobs, options.verbose), programs):
            print(f"{name:58} {direct:12} {card:12} {verdict}", flush=True)
            differing += verdict in ("DIFFERENT", "output differs")
    print(f"{len(programs)} programs, {differing} not the same")
    sys.exit(1 if differing else 0)


main()

"""The programs of others that run.py compares: where each comes from, its command, and what of its output changes by itself.

Nothing is known here about what they do with OpenCL. A program that is not there says why (`missing`). Sources that no package
installs are looked for in the folders that LEAT_CONFORMANCE_SOURCES names, as `apt-get source` leaves them.
"""
import collections
import glob
import os
import re
import shutil

import house as houses

HERE = os.path.dirname(os.path.abspath(__file__))
POCL = "/usr/share/pocl-tests"
MADE = os.path.join(houses.BUILD, "conformance")
PYTHON = "/usr/bin/python3"
PACKAGES = "/usr/lib/python3/dist-packages"

# command: words; `made` is what has to be compiled for it: (name, sources, words for the compiler); `driver`: what stands in front
# of PoCL, from tests/e2e/programs.
Program = collections.namedtuple("Program", "name command made cwd hide environment missing driver",
                                 defaults=(None, None, r"$^", {}, None, ""))
GPU = "graphics_icd"  # a device that says it is a GPU

EVERYTHING = r"(?s).*"  # only the exit status counts
# Lines that name the device, the platform or how much memory there is, addresses, and sizes of binaries, which name cache files.
NAMES = r"(?im)^.*(platform|device|vendor|driver|pthread|portable computing|leat|global memory size).*$|0x[0-9a-f]+|^binary size .*$"
# What pytest tells of durations and progress, and objects' names, which hold that of the device.
PYTEST = [PYTHON, "-m", "pytest", "-q", "-rA", "--tb=no", "-p", "no:cacheprovider"]
PYTEST_HIDES = r"(?m) in [0-9.]+s.*$|^[.FsxXE]+( +\[.*)?$|<[^>\n]*'[^>\n]*>|0x[0-9a-f]+"

# Programs of pocl-tests that cannot be judged by themselves, or look for what belongs to PoCL alone.
POCL_LEFT_OUT = {
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
# Programs of Boost.Compute that only time something, or need what is not OpenCL.
BOOST_LEFT_OUT = ("amd_cpp_kernel", "inline_ptx", "opencv_", "opengl_", "qimage_", "resize_image", "time_copy", "random_walk",
                  "test_no_device_found", "test_amd_", "list_devices", "mandelbrot")
SILX_TESTS = ["addition", "array_utils", "backprojection", "convolution", "doubleword", "image", "kahan", "linalg", "medfilt",
              "projection", "sparse", "stats"]
PYGPU_TESTS = ["basic", "blas", "elemwise", "gpu_ndarray", "operations", "reduction", "tools"]
STARPU = glob.glob("/usr/lib/*/starpu/examples")
STARPU_TESTS = ["axpy", "block", "complex", "custom_mf_filter", "dot_product", "fblock", "incrementer", "matvecmult",
                "multiformat", "bcsr_data_interface", "block_data_interface", "coo_data_interface", "csr_data_interface",
                "matrix_data_interface", "multiformat_data_interface", "variable", "variable_data_interface", "vector_scal",
                "vector_data_interface", "acquire_release", "acquire_release2", "scratch", "sync_and_notify_data"]
STARPU_ENVIRONMENT = {"STARPU_NCPU": "1", "STARPU_NOPENCL": "1", "STARPU_OPENCL_ON_CPUS": "1", "STARPU_OPENCL_ONLY_ON_CPUS": "1",
                      "STARPU_SILENT": "1", "STARPU_SCHED": "eager"}
ERLANG_EXAMPLES = ["cl_square_float", "cl_map", "cl_mul", "cl_bandwidth"]
ERLANG_HIDES = NAMES + (r"|^ *(execution_capabilities|global_mem_size|max_mem_alloc_size):.*$"
                        r"|#Ref<[0-9.]+>|\b[a-z_]+_t,\d+|[0-9.]+ KB per second|milliseconds: [0-9.e-]+|^ +| +(?= )")
ASL_TESTS = ["testACL/testKernel", "testACL/testKernelMerger", "testACL/testMatrixOfElements", "testACL/testOperators",
             "testACL/testVectorOfElements", "testMath/testASLData", "testMath/testReductionFunction"]
ASL_WORDS = ["-O0", "-I/usr/include/ASL", *(f"-lasl{part}" for part in ("acl", "num", "numext", "common", "", "vtk", "matio"))]
HASHES = ["md5", "sha1", "sha256", "sha512", "md5crypt", "sha256crypt"]
VIDEO_FILTERS = {
    "boxblur": "boxblur_opencl=2", "convolution": "convolution_opencl='0 -1 0 -1 5 -1 0 -1 0'", "dilation": "dilation_opencl",
    "erosion": "erosion_opencl", "nlmeans": "nlmeans_opencl=s=2:p=3:r=5", "pad": "pad_opencl=80:80:8:8",
    "prewitt": "prewitt_opencl", "roberts": "roberts_opencl", "sobel": "sobel_opencl", "transpose": "transpose_opencl=clock",
    "deshake": "deshake_opencl=tripod=1",
}


def sources(pattern):
    """Folders of source packages that were unpacked by hand."""
    return [folder for home in os.environ.get("LEAT_CONFORMANCE_SOURCES", "").split(":") if home
            for folder in sorted(glob.glob(os.path.join(home, pattern)))]


def absent(name, why):
    return Program(name, ["false"], missing=why)


def boost_compute():
    """Its tests and examples: templates that make kernels of C++."""
    homes = sources("boost1.*/libs/compute")
    if not homes:
        yield absent("boost-compute", "no source: apt-get source boost1.74")
        return
    home = homes[0]
    words = ["-O0", "-DBOOST_TEST_DYN_LINK", "-DBOOST_COMPUTE_DEBUG_KERNEL_COMPILATION", f"-I{home}/test",
             f'-DBOOST_COMPUTE_TEST_DATA_PATH="{home}/test/data"', "-lboost_unit_test_framework"]
    for path in sorted([*glob.glob(f"{home}/test/test_*.cpp"), *glob.glob(f"{home}/example/*.cpp")]):
        name = os.path.basename(path)[:-len(".cpp")]
        if not name.startswith(BOOST_LEFT_OUT):
            report = ["--report_level=detailed", "--report_sink=stdout", "--log_level=nothing"] if "/test/" in path else []
            yield Program(f"boost-compute/{name}", [f"boost-{name}", *report], (f"boost-{name}", [path], words), "", NAMES)


def python_suites():
    """Suites of pytest, a file a program."""
    suites = {
        "silx": (f"{PACKAGES}/silx/opencl", [f"test/test_{name}.py" for name in SILX_TESTS] + ["codec/test/test_byte_offset.py"]),
        "pygpu": (f"{PACKAGES}/pygpu/tests", [f"test_{name}.py" for name in PYGPU_TESTS]),
        "gpyfft": (f"{PACKAGES}/gpyfft/test", ["test_gpyfft.py", "test_gpyfftlib.py", "test_batched.py", "test_callback.py"]),
    }
    for home in sources("pyopencl-*/test"):
        suites["pyopencl"] = (home, sorted(os.path.basename(path) for path in glob.glob(f"{home}/test_*.py")))
    for suite, (home, files) in suites.items():
        if not os.path.isdir(home):
            yield absent(suite, "not installed")
            continue
        for file in files:
            name = os.path.basename(file)[len("test_"):-len(".py")]
            yield Program(f"{suite}/{name}", [*PYTEST, os.path.join(home, file)], cwd="", hide=PYTEST_HIDES,
                          environment={"DEVICE": "opencl0:0", "PYTHONHASHSEED": "0"})
    if "pyopencl" not in suites:
        yield absent("pyopencl/tests", "no source: apt-get source pyopencl")


def starpu():
    """A runtime system that shares tasks out between devices, with threads of its own."""
    if not STARPU:
        yield absent("starpu", "not installed")
    for home in STARPU:
        for name in STARPU_TESTS:
            if os.path.exists(f"{home}/{name}"):
                yield Program(f"starpu/{name}", [f"{home}/{name}"], cwd="", hide=EVERYTHING, environment=STARPU_ENVIRONMENT)


def oclgrind():
    """The tests of Oclgrind's runtime, and its examples."""
    home = next(iter(sources("[Oo]clgrind-*/tests")), None)
    if not home:
        yield absent("oclgrind", "no source: apt-get source oclgrind")
        return
    for path in sorted([*glob.glob(f"{home}/runtime/*.c"), *glob.glob(f"{home}/apps/*/*.c")]):
        name = os.path.basename(path)[:-len(".c")]
        if name == "build_program":
            continue  # its build system writes a path into it
        yield Program(f"oclgrind/{name}", [f"oclgrind-{name}"],
                      (f"oclgrind-{name}", [path, f"{HERE}/programs/oclgrind_common.c"], [f"-I{home}/common"]),
                      f"{home}/runtime", NAMES)


def asl():
    """Tests of ASL, the Advanced Simulation Library: kernels that templates put together, merge and reduce."""
    home = next(iter(sources("asl-*/test")), None)
    if not home:
        yield absent("asl", "no source: apt-get source asl")
        return
    for case in ASL_TESTS:
        name = os.path.basename(case)
        yield Program(f"asl/{name}", [f"asl-{name}"], (f"asl-{name}", [f"{home}/{case}.cc"], ASL_WORDS), None,
                      EVERYTHING if name == "testKernelMerger" else NAMES)  # it prints a kernel in the order of addresses


def erlang():
    """The examples and tests of Erlang's binding."""
    paths = [path for name in ERLANG_EXAMPLES for path in glob.glob(f"/usr/share/doc/erlang-cl/examples/{name}.erl")]
    if not paths:
        yield absent("erlang-cl", "not installed")
    paths += [path for home in sources("*cl-1.*/test") for path in sorted(glob.glob(f"{home}/cl_*.erl")) if "SUITE" not in path]
    for path in paths:
        name = os.path.basename(path)[:-len(".erl")]
        yield of_ours(f"erlang/{name}", "erlc", "erlang.sh", path, hide=ERLANG_HIDES)._replace(cwd=None)


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


def of_ours(name, needs, script, *words, hide=NAMES):
    """A client that we wrote, of something that may not be installed."""
    there = not needs or os.path.exists(needs) or shutil.which(needs)
    interpreter = PYTHON if script.endswith(".py") else "/bin/sh"
    return Program(name, [interpreter, f"{HERE}/programs/{script}", *words], cwd="", hide=hide,
                   missing=None if there else "not installed")


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
    yield Program("vkfft/vkfft", ["vkfft"], ("vkfft", [f"{HERE}/programs/vkfft.c"], ["-lm"]),
                  missing=None if os.path.exists("/usr/include/vkFFT.h") else "not installed")
    yield Program("viennacl/viennacl", ["viennacl"], ("viennacl", [f"{HERE}/programs/viennacl.cpp"], []))
    yield Program("opencv/umat", ["/usr/bin/python3", f"{HERE}/programs/umat.py"])
    yield Program("pyopencl/arrays", ["/usr/bin/python3", f"{HERE}/programs/arrays.py"])
    yield Program("ffmpeg/filters", ["ffmpeg", "-v", "error", "-init_hw_device", "opencl=card", "-filter_hw_device", "card",
                                     *PICTURES, "-vf", FILTERS, "-f", "framemd5", "-"], hide=NAMES)
    for name, chain in VIDEO_FILTERS.items():
        yield Program(f"ffmpeg/{name}", ["ffmpeg", "-v", "error", "-init_hw_device", "opencl=card", "-filter_hw_device", "card",
                                         *PICTURES, "-vf", f"format=yuv420p,hwupload,{chain},hwdownload,format=yuv420p",
                                         "-f", "framemd5", "-"], hide=NAMES)
    for name in HASHES:
        yield of_ours(f"hashcat/{name}", "hashcat", "crack.sh", name)
    yield of_ours("pyopencl/infos", "", "infos.py")
    yield of_ours("openmm/box", f"{PACKAGES}/openmm", "openmm_box.py")
    yield of_ours("gegl/pictures", "gegl", "gegl.sh")
    yield of_ours("ufo/pictures", "ufo-launch", "pictures.sh")
    yield of_ours("sasmodels/scattering", f"{PACKAGES}/sasmodels", "scattering.py")._replace(cwd=None)
    yield Program("hcxkeys/wlangenpmkocl", ["wlangenpmkocl", "-e", "networkname", "-p", "password1"], hide=NAMES + r"|^using:.*$")
    yield Program("hwloc/devices", ["lstopo-no-graphics", "--only", "osdev", "-v"],
                  hide=r'(?m)^Block.*$|OpenCLPlatformName=("[^"]*"|\S+)|OpenCLGlobalMemorySize=\d+', driver=GPU)
    yield of_ours("mandelbulber/fractal", "mandelbulber2", "fractal.sh")._replace(cwd=None, driver=GPU)
    yield of_ours("x264/video", "x264", "video.sh")._replace(cwd=None, driver=GPU)


ALL = [pocl_tests, others, boost_compute, python_suites, starpu, piglit, oclgrind, asl, erlang]

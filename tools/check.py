#!/usr/bin/env python3
"""Everything that must hold before a change lands: builds (gcc, clang, sanitizers), checkers, unit tests, fuzz corpora
and end-to-end tests with the real daemons. Prints every failure and every skipped test by name with its reason, and ends
with a line `N passed, N failed, N skipped`.

usage: check.py [STAGE ...]     (stages: see STAGES below; default all; BUILD names the build folder)
"""
import concurrent.futures
import json
import os
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as xml

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(ROOT, os.environ.get("BUILD", "build"))
PYTHON = "/usr/bin/python3"
TOTAL = {"passed": 0, "failed": 0, "skipped": 0}
FAILURES = []  # said once more at the end: of a long log often only the tail is kept
ENV = dict(os.environ, ASAN_OPTIONS="detect_leaks=1:abort_on_error=0",
           # Without the second that a process waits at its end for races of threads that it does not wait for itself.
           TSAN_OPTIONS=f"halt_on_error=1:atexit_sleep_ms=20:suppressions={ROOT}/tests/tsan.supp",
           UBSAN_OPTIONS="halt_on_error=1:print_stacktrace=1")


def report(outcome, name, reason="", output=""):
    TOTAL[outcome] += 1
    line = f"  {outcome}: {name}{': ' + reason if reason else ''}"
    if outcome != "passed":
        print(line, flush=True)
    if outcome == "failed":
        FAILURES.append(line + "".join(f"\n    | {text}" for text in output.splitlines()[-40:]))


def command(name, *words):
    """Run a command that passes or fails as one test; its output is shown when it fails."""
    done = subprocess.run(words, cwd=ROOT, env=ENV, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    output = done.stdout + done.stderr
    if done.returncode:
        print(output[-6000:])
    report("failed" if done.returncode else "passed", name, output=output)
    return done.returncode == 0


def compile_tree(folder, name, *options, cc=None, targets=lambda folder: ()):
    """Configure when needed and build all, or what `targets` names; failing to build is one failed test."""
    if not os.path.exists(os.path.join(folder, "build.ninja")):
        env = dict(ENV, **({"CC": cc} if cc else {}))
        done = subprocess.run(["meson", "setup", folder, *options], cwd=ROOT, env=env, capture_output=True, text=True,
                              check=False)
        if done.returncode:
            print((done.stdout + done.stderr)[-3000:])
            report("failed", f"{name}: meson setup")
            return False
    elif not command(f"{name}: configure again", "ninja", "-C", folder, "--quiet", "build.ninja"):
        return False  # what there is to build may have changed
    return command(name, "ninja", "-C", folder, "--quiet", *targets(folder))


def test_targets(suite):
    """What the unit tests of a suite are made of: for compile_tree."""
    def targets(folder):
        told = [json.loads(subprocess.run(["meson", "introspect", kind, folder], capture_output=True, text=True,
                                          check=True).stdout) for kind in ("--tests", "--targets")]
        wanted = {one for test in told[0] if f"leat:{suite}" in test["suite"] for one in test["depends"]}
        return [os.path.relpath(made, folder) for target in told[1] if target["id"] in wanted for made in target["filename"]]
    return targets


def ninja_tool(folder, *words):
    return subprocess.run(["ninja", "-C", folder, "-t", *words], capture_output=True, text=True, check=True).stdout.split()


def tested(folder):
    """All unit tests, and what is generated for them and for others."""
    generated = [name for rule in ("CUSTOM_COMMAND", "CUSTOM_COMMAND_DEP") for name in ninja_tool(folder, "targets", "rule", rule)
                 if name.endswith((".c", ".h"))]
    return [*generated, *test_targets("unit")(folder)]


def only_compile(folder, targets):
    """What else there is gets the compiler's looks and no code: it is run where it was built with gcc."""
    made = set(ninja_tool(folder, "inputs", *targets))
    every = json.loads(subprocess.run(["ninja", "-C", folder, "-t", "compdb", "c_COMPILER"], capture_output=True, text=True,
                                      check=True).stdout)
    rest = [one["command"] + " -fsyntax-only" for one in every if one["output"] not in made]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        looks = pool.map(lambda words: subprocess.run(words, shell=True, cwd=folder, capture_output=True, text=True, check=False),
                         rest)
    bad = "".join(look.stderr for look in looks if look.returncode)
    print(bad[-6000:], end="")
    report("failed" if bad else "passed", f"clang's warnings, {len(rest)} more files", output=bad)


def meson_tests(folder, label, *options):
    """Run the unit tests of a build folder and count them."""
    log = os.path.join(folder, "meson-logs/testlog.json")
    if os.path.exists(log):
        os.remove(log)
    subprocess.run(["meson", "test", "-C", folder, "--no-rebuild", "--print-errorlogs", "--quiet", *options], cwd=ROOT,
                   env=ENV, check=False)
    if not os.path.exists(log):
        report("failed", f"{label}: no test ran")
        return
    with open(log, encoding="utf-8") as lines:
        for line in lines:
            test = json.loads(line)
            outcome = {"OK": "passed", "EXPECTEDFAIL": "passed", "SKIP": "skipped"}.get(test["result"], "failed")
            report(outcome, f"{label}: {test['name']}", "" if outcome == "passed" else test["result"],
                   test.get("stdout", "") + test.get("stderr", ""))


def build():
    """A folder that `make demo` configured knows nothing of the test packages installed since: look again once."""
    seen = os.path.join(BUILD, "configured-for-tests")
    if os.path.exists(os.path.join(BUILD, "build.ninja")) and not os.path.exists(seen):
        command("configure with the test packages", "meson", "setup", "--reconfigure", BUILD)
    if compile_tree(BUILD, "build with gcc"):
        open(seen, "w", encoding="utf-8").close()


def clang():
    """Everything once more with the other compiler; what tests run with ASan and UBSan."""
    folder = BUILD + "-clang-asan"
    if not shutil.which("clang"):
        report("skipped", "build with clang", "clang is not installed")
    elif compile_tree(folder, "build with clang, ASan and UBSan", "-Db_sanitize=address,undefined", cc="clang", targets=tested):
        only_compile(folder, tested(folder))
        meson_tests(folder, "unit (ASan, UBSan)", "--timeout-multiplier", "4")


def checkers():
    for tool in ("check-includes.py", "check-size.py", "check-pages.py"):
        command(tool, PYTHON, os.path.join("tools", tool))
    command("check-symbols.py", PYTHON, "tools/check-symbols.py", BUILD)
    version = subprocess.run(["clang-format", "--version"], capture_output=True, text=True, check=False).stdout
    if "version 14" in version:
        files = subprocess.run(["git", "ls-files", "*.c", "*.h"], cwd=ROOT, capture_output=True, text=True,
                               check=True).stdout.split()
        command("clang-format", "clang-format", "--dry-run", "--Werror", *files)
    else:
        report("skipped", "clang-format", f"the layout is that of version 14; here: {version.strip() or 'none'}")


def unit():
    meson_tests(BUILD, "unit")


def threads():
    folder = BUILD + "-tsan"
    if compile_tree(folder, "build with TSan", "-Db_sanitize=thread", targets=test_targets("card")):
        meson_tests(folder, "unit (TSan)", "--timeout-multiplier", "6", "--suite", "card")


def fuzz():
    command("fuzz targets, short", PYTHON, "tools/fuzz.py", "--seconds", "3")


def e2e():
    result = os.path.join(BUILD, "e2e.xml")
    if os.path.exists(result):
        os.remove(result)
    # Two files of tests at once: each test has daemons and folders of its own, and most of its time it waits. One that
    # hangs ends with its worker and is named, instead of taking all others with it.
    done = subprocess.run([PYTHON, "-m", "pytest", "-q", "-x" if "--stop" in sys.argv else "-q", "--tb=short", "-n", "2",
                           "--dist", "loadfile", "--timeout", "400", "--timeout-method", "thread", f"--junitxml={result}",
                           "tests/e2e"], cwd=ROOT, env=dict(ENV, BUILD=BUILD), stdin=subprocess.DEVNULL, check=False)
    if not os.path.exists(result):
        report("failed", "e2e: pytest did not run")
        return
    cases = list(xml.parse(result).getroot().iter("testcase"))
    for case in cases:
        name = f"e2e: {case.get('classname')}.{case.get('name')}"
        skipped = case.find("skipped")
        bad = [found for found in (case.find("failure"), case.find("error")) if found is not None]
        report("failed" if bad else "skipped" if skipped is not None else "passed", name,
               skipped.get("message", "") if skipped is not None else "", "".join(found.text or "" for found in bad))
    if done.returncode and not TOTAL["failed"]:
        report("failed", f"e2e: pytest ended with {done.returncode}")


STAGES = {"build": build, "checkers": checkers, "unit": unit, "clang": clang, "threads": threads, "fuzz": fuzz,
          "e2e": e2e}


def main():
    wanted = [word for word in sys.argv[1:] if not word.startswith("-")] or list(STAGES)
    for name in wanted:
        start = time.monotonic()
        print(f"== {name}", flush=True)
        STAGES[name]()
        print(f"== {name}: {time.monotonic() - start:.0f} s", flush=True)
    if FAILURES:
        print("== failed", *FAILURES, sep="\n")
    print(f"{TOTAL['passed']} passed, {TOTAL['failed']} failed, {TOTAL['skipped']} skipped")
    sys.exit(1 if TOTAL["failed"] else 0)


main()

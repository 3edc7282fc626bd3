#!/usr/bin/python3
"""What the demonstration's job did and used, and where to go on.

usage: demo-summary.py LEAT JOB_NAME STARTED     (STARTED: seconds since 1970 when the demonstration began)
"""
import json
import os
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ACCURACY_WANTED = 0.95


def ask(leat, *words):
    return subprocess.run([leat, *words], capture_output=True, text=True, check=True).stdout


def job_named(leat, name):
    for job in json.loads(ask(leat, "ps", "--all", "--json"))["jobs"]:
        if job["name"] == name:
            return job
    sys.exit(f"demo: there is no job '{name}'")


def mib(size):
    return f"{size / (1 << 20):.1f} MiB"


def percent(permille):
    return f"{permille / 10:.1f} %"


def main():
    leat, name, started = sys.argv[1:]
    job = json.loads(ask(leat, "show", "--json", str(job_named(leat, name)["id"])))
    log = ask(leat, "logs", str(job["id"]))
    done = log.rsplit("done: validation accuracy ", 1)[1].split()
    usage = job["usage"]
    crossed = usage["calls_posted"] + usage["calls_waited"]
    share = max(usage["calls_local"] + crossed, 1)
    lines = [
        ("accuracy", f"{float(done[0]):.4f} on images it was not trained with (wanted: {ACCURACY_WANTED})"),
        ("time", f"{done[2]} s of training, {time.time() - float(started):.1f} s in total"),
        ("card memory", f"peak {mib(usage['memory_peak_bytes'])} of a quota of {mib(job['memory_bytes'])}"),
        ("compute share", f"{percent(usage['share_measured_permille'])} of the device measured, "
                          f"{percent(job['share_permille'])} granted, the most it may use"),
        ("API calls", f"{usage['calls_local']:,} answered in the program ({100 * usage['calls_local'] / share:.1f} %), "
                      f"{crossed:,} crossed, of which {usage['calls_waited']:,} waited for an answer"),
        ("container", f"image {job['image']}, job {job['id']}, files in {job['directory']}"),
    ]
    print("== Summary")
    for label, text in lines:
        print(f"  {label:14} {text}")
    print(f"""
== Next
  alias leat={os.path.abspath(leat)}
  leat device                                     what there is to share
  leat show {job['id']:<38}all about the job
  leat run --share 25% --memory 512MiB -- clinfo  any OpenCL program, on a quarter of the device
  leat run --library pyopencl {os.path.relpath(os.path.join(ROOT, 'examples/pyopencl/train.py'))}
  leat ps --all; leat events; leat top            what runs, what happened
  leat down                                       end the centre; leat up starts it again""")
    if float(done[0]) < ACCURACY_WANTED:
        sys.exit(f"demo: the accuracy {done[0]} is below {ACCURACY_WANTED}")


if __name__ == "__main__":
    main()

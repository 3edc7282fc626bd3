#!/usr/bin/python3
"""Kill -9 what a centre is made of, at random moments, while jobs run; look after each kill and at the end whether
everything is true, nothing is lost and nothing is left behind.

usage: kill_storm.py [--kills N] [--seed N] [--verbose]

Victims: leatd, leat-cardd, its keeper, an executor, a container's program, the command line. Prints
`kill.invariant_violations<TAB>N<TAB>violations<TAB>0` and ends with status 1 when N is not 0.
"""
import argparse
import json
import os
import random
import re
import stat
import subprocess
import sys
import time
import uuid

import house as houses

JOBS_ALIVE = 3
DRAIN_EVERY = 12  # kills between two looks at an empty house
SETTLE_SECONDS = 60
STEPS = "250"
DONE = "done: validation accuracy"


def environment_of(pid):
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return dict(item.split("=", 1) for item in file.read().decode(errors="replace").split("\0") if "=" in item)
    except OSError:
        return {}


def cgroups_of(pid):
    """Folders of the process's control groups."""
    try:
        with open(f"/proc/{pid}/cgroup", encoding="utf-8") as file:
            paths = {line.rstrip("\n").split(":", 2)[2] for line in file}
    except OSError:
        return set()
    return {path for path in paths if "leat" in path}


def sockets_below(folder):
    """Paths of the sockets in a folder, relative to it."""
    found = set()
    for here, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(here, name)
            if stat.S_ISSOCK(os.lstat(path).st_mode):
                found.add(os.path.relpath(path, folder))
    return found


def cgroup_folders():
    return [folder for folder, _, _ in os.walk("/sys/fs/cgroup")]


class Storm:
    def __init__(self, house, seed, verbose):
        self.house = house
        self.random = random.Random(seed)
        self.verbose = verbose
        self.mark = uuid.uuid4().hex  # in the environment of every job: its processes are known by it
        self.violations = []
        self.submitted = {}  # id: what may have harmed it, a set
        self.lines = {}      # process of a command line: the job's name
        self.cgroups = set()
        self.kills = 0
        self.counts = {}

    def say(self, text):
        if self.verbose:
            print(f"# {text}", file=sys.stderr, flush=True)

    def violation(self, text):
        self.violations.append(text)
        print(f"VIOLATION after {self.kills} kills: {text}", file=sys.stderr, flush=True)

    # Work.

    def request(self):
        return {"library": "opencl-c", "type": "training", "program": houses.built("digits"), "image": "host",
                "args": ["--steps", STEPS, "--report", "50"], "memory": "64MiB", "share": "30%", "network": "none",
                "env": {"LEAT_STORM": self.mark}, "grace": "1s"}

    def submit(self):
        """A job is ours from the moment that leatd has said so. With its key it is never made twice."""
        key = uuid.uuid4().hex

        def accepted():
            try:
                return self.house.request("POST", "/v1/jobs", self.request(), {"Idempotency-Key": key})
            except (OSError, houses.http.client.HTTPException):
                return None  # killed in the middle: ask again

        job = houses.eventually("a submit is accepted", accepted, SETTLE_SECONDS)
        self.submitted[job["id"]] = set()

    def submit_by_command_line(self):
        name = "line-" + uuid.uuid4().hex[:8]
        words = [houses.built("leat"), "run", "--name", name, "--library", "opencl-c", "--type", "training", "--image",
                 "host", "--memory", "64MiB", "--share", "30%", "--network", "none", "--env", f"LEAT_STORM={self.mark}",
                 houses.built("digits"), "--steps", STEPS]
        line = subprocess.Popen(words, env=self.house.environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL)
        self.lines[line] = name

    def adopt(self, jobs):
        """What command lines have submitted is found by its name."""
        names = set(self.lines.values())
        for job in jobs:
            if job["name"] in names:
                self.submitted.setdefault(job["id"], set())

    def jobs(self):
        jobs = {job["id"]: job for job in self.house.jobs()}
        self.adopt(jobs.values())
        return jobs

    # Victims. Each gives (pid, the jobs that may be harmed); None: there is none now.

    def programs(self):
        """{pid: job id} of the jobs' programs: the first process of each container that carries our mark."""
        found = {}
        for pid in houses.processes_naming(self.mark):
            environment = environment_of(pid)
            if environment.get("LEAT_STORM") == self.mark and "LEAT_JOB_ID" in environment and \
                    environment_of(houses.parent_of(pid)).get("LEAT_STORM") != self.mark:
                found[pid] = environment["LEAT_JOB_ID"]
                self.cgroups |= cgroups_of(pid)
        return found

    def alive(self):
        return {job_id for job_id, job in self.jobs().items()
                if job["state"] not in houses.ENDED and job_id in self.submitted}

    def victim_leatd(self):
        return self.house.daemon.pid, set()

    def victim_cardd(self):
        """Another follows it, and takes over the cards."""
        return self.house.cardd_pid(), set()

    def victim_keeper(self):
        return self.house.keeper_pid(), self.alive()

    def victim_executor(self):
        executors = self.house.executors()
        for pid in executors:
            self.cgroups |= cgroups_of(pid)
        return (self.random.choice(executors), self.alive()) if executors else None

    def victim_program(self):
        programs = list(self.programs().items())
        if not programs:
            return None
        pid, job_id = self.random.choice(programs)
        self.jobs()  # a command line's job is known from here on
        return pid, {job_id} & set(self.submitted)

    def victim_line(self):
        """The program goes on or is stopped, as the command line's end is seen or not: both are true ends."""
        lines = [line for line in self.lines if line.poll() is None]
        return (self.random.choice(lines).pid, set()) if lines else None

    VICTIMS = {"leatd": victim_leatd, "leat-cardd": victim_cardd, "keeper": victim_keeper, "executor": victim_executor,
               "program": victim_program, "line": victim_line}

    def find_victim(self, kind):
        """Wait a while for one to be there: a program has to be started first."""
        end = time.monotonic() + 8
        while time.monotonic() < end:
            try:
                victim = self.VICTIMS[kind](self)
            except (OSError, ConnectionError, houses.Problem, houses.http.client.HTTPException):
                victim = None  # who would have named it is away
            if victim:
                return victim
            time.sleep(0.05)
        return None

    def kill_one(self):
        kind = self.random.choice(list(self.VICTIMS))
        victim = self.find_victim(kind)
        if not victim:
            return False
        pid, harmed = victim
        time.sleep(self.random.random() ** 2 * 0.6)  # the random moment, more often a short one
        try:
            os.kill(pid, 9)
        except ProcessLookupError:
            return False
        for job_id in harmed:
            self.submitted[job_id].add(kind)
        self.kills += 1
        self.counts[kind] = self.counts.get(kind, 0) + 1
        self.say(f"kill {self.kills}: {kind} {pid}")
        if kind == "leatd":
            self.house.daemon.wait()
            self.house.start(wait=False)
        return True

    # Invariants.

    def check(self, what, holds, seconds=SETTLE_SECONDS):
        try:
            houses.eventually(what, holds, seconds)
            return True
        except AssertionError:
            detail = getattr(holds, "detail", lambda: "")()
            self.violation(f"{what} {detail}")
            return False

    def check_alive(self):
        """After each kill: it answers again, no job is lost, no job says that it runs while nothing does."""
        def answers():
            try:
                return self.house.answers() and self.house.card("hello")
            except (OSError, ConnectionError, AssertionError):
                return False
        if not self.check("leatd and leat-cardd answer again", answers):
            return
        jobs = self.jobs()
        for job_id in self.submitted:
            if job_id not in jobs:
                self.violation(f"job {job_id} is lost")

        def true_states():
            running = [job_id for job_id, job in self.jobs().items() if job["state"] in ("running", "idle")]
            true_states.detail = lambda: f"({len(running)} say so, {len(self.programs())} do)"
            return len(self.programs()) >= len(running)
        self.check("each running job has a running program", true_states)

    def check_end(self, job):
        """An ended job says the truth: what ended well did its work, and what nobody harmed ended well."""
        harm = self.submitted[job["id"]]
        if job["state"] == "succeeded":
            log = self.house.logs(job["id"])
            if job["exit_status"] != 0 or DONE not in log:
                self.violation(f"job {job['id']} says succeeded without having done its work: {job}\n{log}")
        elif not harm and job["name"] not in self.lines.values():
            self.violation(f"job {job['id']} was not harmed and is {job['state']}: {job['code']} {job['text']}\n"
                           f"{self.house.logs(job['id'])}")

    def drain(self):
        """Let everything end, then nothing may be left."""
        def all_ended():
            left = [f"{job['id']}:{job['state']}" for job in self.jobs().values() if job["state"] not in houses.ENDED]
            all_ended.detail = lambda: " ".join(left)
            return not left
        self.check("all jobs end", all_ended, 240)
        for line in self.lines:
            line.wait()
        for job_id, job in self.jobs().items():
            if job_id in self.submitted and job["state"] in houses.ENDED:
                self.check_end(job)
                self.house.request("DELETE", f"/v1/jobs/{job_id}")
        self.submitted.clear()
        self.lines.clear()
        self.check_nothing_left()

    def leftovers(self):
        """Everything by which an ended job could still be there, by kind."""
        folder = self.house.folder
        with open("/proc/self/mountinfo", encoding="utf-8") as file:
            mounts = [line.split()[4] for line in file if folder in line]
        devices = self.house.card("device.list")["devices"]
        folders = {"jobs": os.path.join(self.house.state_dir, "jobs"),
                   "records": os.path.join(self.house.run_dir, "runtime")}
        daemons = {self.house.daemon.pid, self.house.cardd_pid(), self.house.keeper_pid()}
        processes = {pid: words for pid, words in houses.processes_naming(folder).items()
                     if pid not in daemons and houses.parent_of(pid) not in daemons | {1} | {os.getpid()} or "conmon" in words}
        found = {
            "processes": list(houses.processes_naming(self.mark).items()) + list(processes.items()),
            "executors": self.house.executors(),
            "mounts": mounts,
            "cards": self.house.card("card.list")["cards"],
            "granted": [device for device in devices if device["granted_bytes"] or device["granted_permille"]],
            "cgroups": [path for path in cgroup_folders() if any(path.endswith(own) for own in self.cgroups)],
            "sockets": sockets_below(self.house.run_dir) - {"leatd.sock", "cardd.sock", "card/card.sock"},
            **{kind: os.listdir(path) if os.path.isdir(path) else [] for kind, path in folders.items()},
        }
        return {kind: things for kind, things in found.items() if things}

    def check_nothing_left(self):
        def nothing():
            try:
                left = self.leftovers()
            except ConnectionError as none:  # a leat-cardd was killed, and the next one does not listen yet
                left = {"leat-cardd": str(none)}
            nothing.detail = lambda: json.dumps(left, default=str)[:4000]
            return not left
        self.check("nothing is left behind", nothing)

    # The storm.

    def run(self, kills):
        while self.kills < kills and len(self.violations) < 10:
            alive = [job_id for job_id in self.alive()]
            for _ in range(JOBS_ALIVE - len(alive) - len([line for line in self.lines if line.poll() is None])):
                if self.random.random() < 0.4:
                    self.submit_by_command_line()
                else:
                    self.submit()
            if self.kill_one():
                self.check_alive()
                if self.kills % DRAIN_EVERY == 0:
                    self.drain()
        self.drain()
        self.say(f"kills: {self.counts}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=int(os.environ.get("LEAT_SEED", "1")))
    parser.add_argument("--verbose", action="store_true")
    args = parser.parse_args()
    with houses.House() as house:
        storm = Storm(house, args.seed, args.verbose)
        try:
            storm.run(args.kills)
        finally:
            if storm.violations:
                print(house.log(), file=sys.stderr)
    for kind, count in sorted(storm.counts.items()):
        print(f"kill.count_{re.sub('[^a-z]', '_', kind)}\t{count}\tkills\t")
    print(f"kill.count\t{storm.kills}\tkills\t>= {args.kills}")
    print(f"kill.invariant_violations\t{len(storm.violations)}\tviolations\t0")
    return 1 if storm.violations else 0


if __name__ == "__main__":
    sys.exit(main())

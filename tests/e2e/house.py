"""The real daemons, each with folders of its own, and the ways to talk to them. Used by the tests, the bench and the
kill storm; needs nothing but Python's standard library."""
import glob
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, os.environ.get("BUILD", "build"))
PATHS = {
    "leat": "src/cli/leat",
    "leatd": "src/leatd/leatd",
    "leat-cardd": "src/card/cardd/leat-cardd",
    "leat-relay": "src/card/relay/leat-relay",
    "libleat-opencl.so": "src/card/opencl/libleat-opencl.so",
    "digits": "examples/digits/digits",
    "hello": "examples/hello/hello",
    "train.py": "examples/pyopencl/train.py",
    "sgemm": "tests/e2e/programs/sgemm",
    "every_call": "tests/e2e/programs/every_call",
    "builds": "tests/e2e/programs/builds",
    "command_buffer": "tests/e2e/programs/command_buffer",
    "content": "tests/e2e/programs/content",
    "commands": "tests/e2e/programs/commands",
    "device": "tests/e2e/programs/device",
    "limits": "tests/e2e/programs/limits",
    "compiling": "tests/e2e/programs/compiling",
    "graphics_icd": "tests/e2e/programs/graphics_icd.so",
    "images": "tests/e2e/programs/images",
    "moving": "tests/e2e/programs/moving",
    "printing": "tests/e2e/programs/printing",
    "promises": "tests/e2e/programs/promises",
    "together": "tests/e2e/programs/together",
    "told": "tests/e2e/programs/told",
    "twice_wrong": "tests/e2e/programs/twice_wrong",
    "churn": "tests/e2e/programs/churn",
    "holder": "tests/e2e/programs/holder",
    "cards": "tests/e2e/programs/cards",
    "random_calls": "tests/e2e/programs/random_calls",
    "refusing": "tests/e2e/programs/refusing",
    "refusing_driver": "tests/e2e/programs/refusing_driver.so",
    "semantics": "tests/e2e/programs/semantics",
    "apart_icd": "tests/e2e/programs/apart_icd.so",
    "strict_icd": "tests/e2e/programs/strict_icd.so",
    "subdevices": "tests/e2e/programs/subdevices",
    "strict": "tests/e2e/programs/strict",
    "svm": "tests/e2e/programs/svm",
    "spir": "tests/e2e/programs/spir",
    "survive": "tests/e2e/programs/survive",
    "quota_storm": "tests/e2e/programs/quota_storm",
    "quota_probe": "tests/e2e/programs/quota_probe",
    "bench_card": "tests/bench/bench_card",
    "bench_load": "tests/bench/bench_load",
    "bench_crowd": "tests/bench/bench_crowd",
    "bench_daemon": "tests/bench/bench_daemon",
    "bench_relay": "tests/bench/bench_relay",
    "bench_sched": "tests/bench/bench_sched",
}
ENDED = ("succeeded", "failed", "stopped")


def built(name):
    """The path of what the build made; BUILD names the build folder."""
    return os.path.join(BUILD, PATHS[name])


def eventually(what, check, seconds=60.0):
    """Wait until `check()` gives something true, and return that. For what no event announces."""
    end = time.monotonic() + seconds
    while True:
        found = check()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.02)


def stat_of(pid):
    """What /proc/PID/stat says after the name, from the state's letter on; of no process, that its state is None."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
            return stat.read().rsplit(")", 1)[1].split()
    except OSError:
        return [None, "0"]


def process_state(pid):
    return stat_of(pid)[0]


def parent_of(pid):
    return int(stat_of(pid)[1])


def children_of(pid):
    """Live child processes. What the kernel itself lists as children (proc(5)) leaves some out while others end."""
    return [child for child in map(int, filter(str.isdigit, os.listdir("/proc"))) if parent_of(child) == pid and process_alive(child)]


def process_alive(pid):
    return process_state(pid) not in (None, "Z", "X")


def holds_pidfd(holder, pid):
    """Whether one process can wait for the end of another: leat-cardd knows of the fork of its executor."""
    for entry in glob.glob(f"/proc/{holder}/fdinfo/*"):
        try:
            with open(entry, encoding="utf-8") as lines:
                if f"Pid:\t{pid}\n" in lines:
                    return True
        except OSError:
            continue  # closed meanwhile
    return False


def processes_naming(text):
    """{pid: command line} of all processes whose command line or environment holds `text`."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                words = file.read()
            with open(f"/proc/{pid}/environ", "rb") as file:
                environment = file.read()
        except OSError:
            continue
        if (text.encode() in words or text.encode() in environment) and process_alive(int(pid)):
            found[int(pid)] = words.replace(b"\0", b" ").decode(errors="replace").strip()
    found.pop(os.getpid(), None)
    return found


class CardError(Exception):
    """A refusal of leat-cardd: `code` is stable, the text is for people."""

    def __init__(self, error):
        super().__init__(f"{error['code']}: {error['text']}")
        self.code = error["code"]


class CardControl:
    """One connection to leat-cardd's control socket."""

    def __init__(self, run_dir):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(30)
        try:
            self.socket.connect(os.path.join(run_dir, "cardd.sock"))
        except OSError:
            self.socket.close()
            raise
        self.lines = self.socket.makefile("r", encoding="utf-8")
        self.events = []
        self.number = 0

    def __call__(self, op, **members):
        self.number += 1
        self.socket.sendall((json.dumps({"id": self.number, "op": op, **members}) + "\n").encode())
        while True:
            line = self.lines.readline()
            if not line:
                raise ConnectionError("leat-cardd closed the connection")
            answer = json.loads(line)
            if "event" in answer:
                self.events.append(answer)
            elif answer.get("id") == self.number:
                if "error" in answer:
                    raise CardError(answer["error"])
                return answer["result"]

    def close(self):
        self.lines.close()
        self.socket.close()


class Problem(Exception):
    """An answer of 400 and above: the problem document."""

    def __init__(self, status, body):
        super().__init__(f"{status}: {body}")
        self.status = status
        self.body = body
        self.code = body.get("code") if isinstance(body, dict) else None


class Connection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("leat", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class House:
    """A centre on folders of its own: leatd, the leat-cardd it starts, and the command line.

    With `cards_only` there is no leatd: leat-cardd is started alone."""

    def __init__(self, cards_only=False, arguments=(), environment=None):
        self.folder = tempfile.mkdtemp(prefix="leat-", dir="/tmp")  # short: paths of sockets are
        self.run_dir = os.path.join(self.folder, "run")
        self.state_dir = os.path.join(self.folder, "state")
        self.cards_only = cards_only
        self.arguments = list(arguments)
        self.daemon = None
        self.environment = dict(os.environ, LEAT_RUN_DIR=self.run_dir, LEAT_STATE_DIR=self.state_dir)
        self.environment.setdefault("LEAT_CACHE_DIR", "/tmp/leat-test-cache")  # shared: compiling takes long
        self.environment.update(environment or {})
        os.makedirs(self.run_dir)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *reason):
        self.finish()

    # The daemons.

    def start(self, wait=True):
        name = "leat-cardd" if self.cards_only else "leatd"
        words = [built(name), "--run-dir", self.run_dir]
        if not self.cards_only:
            words += ["--state-dir", self.state_dir]
        with open(os.path.join(self.folder, name + ".log"), "ab") as log:
            self.daemon = subprocess.Popen(words + self.arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                           env=self.environment, start_new_session=True)
        if wait:
            self.wait_ready()

    def wait_ready(self):
        eventually("the daemon's first answer", self.answers, 60)

    def answers(self):
        if self.daemon.poll() is not None:
            raise AssertionError(f"the daemon ended with {self.daemon.returncode}:\n{self.log()}")
        try:
            return self.card("hello") if self.cards_only else self.get("/v1/health")["status"] == "ok"
        except (OSError, Problem, http.client.HTTPException):
            return False

    def log(self):
        text = ""
        for name in ("leatd.log", "leat-cardd.log", "run/cardd.log", "state/cardd.log"):
            path = os.path.join(self.folder, name)
            if os.path.exists(path):
                with open(path, encoding="utf-8", errors="replace") as file:
                    text += f"--- {name}\n{file.read()[-8000:]}"
        return text

    def kill(self):
        self.daemon.kill()
        self.daemon.wait()

    def stop(self):
        if self.daemon and self.daemon.poll() is None:
            self.daemon.terminate()
            try:
                self.daemon.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()

    def cardd_pid(self):
        return self.card("hello")["pid"]

    def keeper_pid(self):
        """The process that outlives leat-cardd; in a house of cards only, the one that was started."""
        return parent_of(self.cardd_pid())

    def executors(self):
        """Pids of executors, spare ones too: what the keeper has forked beside leat-cardd."""
        cardd = self.cardd_pid()
        return [pid for pid in children_of(parent_of(cardd)) if pid != cardd]

    def finish(self):
        """End everything that belongs to this house and remove its folders."""
        try:
            if not self.cards_only and self.daemon and self.daemon.poll() is None:
                self.end_jobs()
        finally:
            try:
                cardd = self.cardd_pid()
            except (OSError, ConnectionError, CardError):
                cardd = None
            self.stop()
            if cardd and process_alive(cardd):
                os.kill(cardd, signal.SIGTERM)
                eventually("leat-cardd's end", lambda: not process_alive(cardd))
            shutil.rmtree(self.folder, ignore_errors=True)

    def end_jobs(self):
        for job in self.jobs():
            if job["state"] not in ENDED:
                self.request("POST", f"/v1/jobs/{job['id']}/stop", {"grace": "0s"})
        for job in self.jobs():
            self.wait(job["id"], 60)

    # The card control.

    def control(self):
        return CardControl(self.run_dir)

    def card(self, op, **members):
        control = self.control()
        try:
            return control(op, **members)
        finally:
            control.close()

    # The REST interface.

    def request(self, method, path, body=None, headers=None, timeout=90):
        connection = Connection(os.path.join(self.run_dir, "leatd.sock"), timeout)
        try:
            data = None if body is None else json.dumps(body)
            connection.request(method, path, data, {"Content-Type": "application/json", **(headers or {})})
            answer = connection.getresponse()
            text = answer.read().decode(errors="replace")
        finally:
            connection.close()
        is_json = "json" in (answer.getheader("Content-Type") or "")
        value = json.loads(text) if is_json and text else text
        if answer.status >= 400:
            raise Problem(answer.status, value)
        return value

    def get(self, path, **options):
        return self.request("GET", path, **options)

    def submit(self, **request):
        return self.request("POST", "/v1/jobs", request)

    def jobs(self):
        return self.get("/v1/jobs?limit=500")["jobs"]

    def job(self, job_id):
        return self.get(f"/v1/jobs/{job_id}")

    def wait(self, job_id, seconds=120):
        """The job when it has ended; fails when it does not in time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            job = self.get(f"/v1/jobs/{job_id}/wait?timeout=20s", timeout=60)
            if job["state"] in ENDED:
                return job
        raise AssertionError(f"job {job_id} has not ended: {self.job(job_id)}\n{self.log()}")

    def wait_state(self, job_id, states, seconds=60):
        """The job once it is in one of the states; fails when it ended in another."""
        def there():
            job = self.job(job_id)
            if job["state"] in ENDED and job["state"] not in states:
                raise AssertionError(f"job {job_id} ended: {job}\n{self.log()}")
            return job if job["state"] in states else None
        return eventually(f"job {job_id} {'/'.join(states)}", there, seconds)

    def logs(self, job_id):
        return self.get(f"/v1/jobs/{job_id}/logs")

    def events(self, since=0):
        found = []
        while True:
            page = self.get(f"/v1/events?since={since}&limit=500")
            found += page["events"]
            if len(page["events"]) < 500:
                return found
            since = found[-1]["seq"]

    # The command line.

    def leat(self, *words, timeout=300, check=True, **options):
        done = subprocess.run([built("leat"), *words], env=self.environment, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=timeout, check=False, **options)
        if check and done.returncode != 0:
            raise AssertionError(f"leat {' '.join(words)} ended with {done.returncode}\n{done.stdout}{done.stderr}"
                                 f"\n{self.log()}")
        return done

    def on_card(self, lease, *words, stdin=subprocess.DEVNULL):
        """Start a program on a card that stays when the program has ended; `lease` is what card.create answered."""
        vendors = os.path.join(self.folder, "vendors")
        if not os.path.isdir(vendors):  # not again: a program that was just started reads it
            os.makedirs(vendors)
            with open(os.path.join(vendors, "leat.icd"), "w", encoding="utf-8") as icd:
                icd.write(built("libleat-opencl.so") + "\n")
        environment = dict(self.environment, OCL_ICD_VENDORS=vendors, LEAT_CARD_TOKEN=lease["token"],
                           LEAT_CARD_SOCKET=os.path.join(self.run_dir, "card", "card.sock"))
        return subprocess.Popen(words, env=environment, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                text=True)

    def card_exec(self, *words, memory="1GiB", share="100%", **options):
        return self.leat("card", "exec", "--memory", memory, "--share", share, "--", *words, **options)

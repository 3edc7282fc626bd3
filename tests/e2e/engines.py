"""An engine in a process of its own (engine_driver), spoken to with JSON lines."""
import json
import os
import select
import subprocess
import time

import house

DRIVER = os.path.join(house.BUILD, "tests/e2e/programs/engine_driver")


class Engine:
    """One life of an engine on the folders `run` and `state`."""

    def __init__(self, run, state, data, as_user=()):
        self.process = subprocess.Popen([*as_user, DRIVER, str(run), str(state), str(data)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)
        self.events = []
        self.rest = b""

    def send(self, **command):
        self.process.stdin.write(json.dumps(command).encode() + b"\n")
        self.process.stdin.flush()

    def wait(self, event, seconds=60.0, **members):
        """The next event of that name with these members; others before it are kept for later."""
        def matches(e):
            return e["event"] == event and all(e.get(k) == v for k, v in members.items())
        end = time.monotonic() + seconds
        while True:
            for i, e in enumerate(self.events):
                if matches(e):
                    return self.events.pop(i)
            left = end - time.monotonic()
            assert left > 0 and select.select([self.process.stdout], [], [], left)[0], \
                f"no event {event} {members}; there was {self.events}"
            data = os.read(self.process.stdout.fileno(), 65536)
            assert data, f"the engine ended (status {self.process.wait()}) before {event} {members}"
            *lines, self.rest = (self.rest + data).split(b"\n")
            self.events += [json.loads(line, strict=False) for line in lines]

    def start(self, id, argv, image="host", network="none", mounts=(), **spec):
        """Start and wait until it runs; the answer of a refusal otherwise."""
        self.send(do="start", network=network, mounts=list(mounts),
                  spec=dict(id=id, image=image, argv=argv, **spec))
        return self.wait("started", id=id)

    def run(self, id, argv, **spec):
        """Run to the end: (exit, output)."""
        started = self.start(id, argv, **spec)
        assert started["errno"] == 0, started
        exit = self.wait("exit", id=id)["exit"]
        return exit, self.log(id)

    def log(self, id, offset=0):
        self.send(do="log", id=id, offset=offset)
        return self.wait("log", id=id)["text"]

    def ask(self, do, **members):
        self.send(do=do, **members)
        return self.wait("list" if do == "list" else do)

    def remove(self, id):
        self.send(do="remove", id=id)
        return self.wait("removed", id=id)

    def tasks(self):
        self.send(do="list")
        return {t["id"]: t for t in self.wait("list")["tasks"]}

    def kill(self):
        self.process.kill()
        self.process.wait()

    def close(self):
        """A clean end of the process; its tasks stay."""
        self.process.stdin.close()
        return self.process.wait(timeout=60)

"""A leat-relay that lends the cards of a house, with a token and a certificate of its own, and a slow line to it."""
import os
import queue
import re
import socket
import subprocess
import threading
import time

import house as houses


class Lender:
    """Serves behind the words `within`, which may lead into a network namespace; `address` without a certificate must be a
    loopback one."""

    def __init__(self, house, address, secure=True, within=()):
        self.house = house
        self.address = address
        self.token = os.path.join(house.folder, "relay.token")
        self.log = os.path.join(house.folder, "relay.log")
        self.within = list(within)
        self.words = [houses.built("leat-relay"), "--listen", address, "--token-file", self.token, "--run-dir",
                      house.run_dir]
        self.process = None
        self.fingerprint = None
        with open(self.token, "w", encoding="utf-8") as file:
            file.write("correct horse battery staple 1234".replace(" ", "-") + "\n")
        if secure:
            key, cert = (os.path.join(house.folder, name) for name in ("relay.key", "relay.crt"))
            subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=relay",
                            "-keyout", key, "-out", cert], check=True, capture_output=True)
            self.words += ["--tls-cert", cert, "--tls-key", key]

    def __enter__(self):
        with open(self.log, "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(self.within + self.words, stdin=subprocess.DEVNULL, stderr=log)
        houses.eventually("the relay's first line", self.ready)
        return self

    def ready(self):
        with open(self.log, encoding="utf-8") as log:
            found = re.search(r"relay.ready .* fingerprint=(\S*)", log.read())
        if not found:
            return False
        self.fingerprint = found[1]
        return True

    def options(self, fingerprint=None, token=None, address=None):
        """What `leat card exec` needs to take a card from here."""
        fingerprint = fingerprint or self.fingerprint
        return ["--on", address or self.address, "--host-token", token or self.token] + (
            ["--host-fingerprint", fingerprint] if fingerprint else [])

    def __exit__(self, *reason):
        self.process.terminate()
        self.process.wait(10)


class DelayLine:
    """A TCP line on loopback that takes its time: every byte arrives `delay_s` after it was sent. `cut()` closes all
    connections, `swallow()` leaves them open and loses what is sent, while `moves` is not set nothing arrives. `turns` counts
    how often the program's side spoke after the other had: round trips."""

    def __init__(self, target, delay_s):
        self.target = target.rsplit(":", 1)
        self.delay_s = delay_s
        self.lost = False
        self.moves = threading.Event()
        self.moves.set()
        self.turns = 0
        self.sockets = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near = self.listener.accept()[0]
                far = socket.create_connection(self.target)
            except OSError:
                return
            for end in (near, far):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.sockets.append(end)
            talk = {"last": far}
            for source, sink in ((near, far), (far, near)):
                line = queue.Queue()
                threading.Thread(target=self.take, args=(source, line, talk, near), daemon=True).start()
                threading.Thread(target=self.give, args=(line, sink), daemon=True).start()

    def take(self, source, line, talk, near):
        data = True
        while data:
            try:
                data = source.recv(1 << 18)
            except OSError:
                data = b""
            if data:
                self.turns += source is near and talk["last"] is not near
                talk["last"] = source
            line.put((time.monotonic() + self.delay_s, data))

    def give(self, line, sink):
        while True:
            due, data = line.get()
            time.sleep(max(0, due - time.monotonic()))
            self.moves.wait()
            try:
                if not self.lost:
                    sink.sendall(data) if data else sink.shutdown(socket.SHUT_WR)
            except OSError:
                return
            if not data:
                return

    def swallow(self):
        self.lost = True

    def cut(self):
        self.moves.set()
        self.listener.close()
        for end in self.sockets:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # ended by itself
            end.close()

    def __enter__(self):
        return self

    def __exit__(self, *reason):
        self.cut()

"""A leat-relay that lends the cards of a house, with a token and a certificate of its own."""
import os
import re
import subprocess

import house as houses


class Lender:
    """Serves in the network namespace `netns`, or in ours; `address` without a certificate must be a loopback one."""

    def __init__(self, house, address, secure=True, netns=None):
        self.house = house
        self.address = address
        self.token = os.path.join(house.folder, "relay.token")
        self.log = os.path.join(house.folder, "relay.log")
        self.within = ["ip", "netns", "exec", netns] if netns else []
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

    def options(self, fingerprint=None, token=None):
        """What `leat card exec` needs to take a card from here."""
        fingerprint = fingerprint or self.fingerprint
        return ["--on", self.address, "--host-token", token or self.token] + (
            ["--host-fingerprint", fingerprint] if fingerprint else [])

    def __exit__(self, *reason):
        self.process.terminate()
        self.process.wait(10)

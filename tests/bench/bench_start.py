#!/usr/bin/python3
"""Clients that all start at once: how long each waits for its session, and whether any got another's.

usage: bench_start.py [CLIENTS]      (BUILD names the build folder)

Each client says hello with the token of its card and waits for the welcome, as the library does at a program's first call.
Cards differ in their quota, which stands in the ledger page that comes along: a client with another quota, or with a slot
that somebody else has, was mixed up.
"""
import array
import mmap
import os
import socket
import struct
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))
import house as houses  # noqa: E402

HELLO = struct.Struct("=IIII72s")
WELCOME = struct.Struct("=IIiIQ256s")
MAGIC, VERSION = 0x5441454C, 2
MIB = 1 << 20
CLIENTS_PER_CARD = 100
WAIT_S = 60


class Client:
    def __init__(self, house, card, token, quota_bytes):
        self.path = os.path.join(house.run_dir, "card", "card.sock")
        self.card, self.token, self.quota_bytes = card, token, quota_bytes
        self.slot = self.seconds = None
        self.wrong = "no welcome"

    def start(self, gate):
        gate.wait()
        begin = time.monotonic()
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(WAIT_S)
        self.socket.connect(self.path)
        self.socket.sendall(HELLO.pack(MAGIC, VERSION, os.getpid(), 0, self.token.encode()))
        data, ancillary, _, _ = self.socket.recvmsg(WELCOME.size, socket.CMSG_SPACE(16))
        self.seconds = time.monotonic() - begin
        self.look(data, ancillary)

    def look(self, data, ancillary):
        if len(data) < WELCOME.size:
            return
        _, _, status, self.slot, _, text = WELCOME.unpack(data)
        if status:
            self.wrong = text.split(b"\0")[0].decode()
            return
        fds = array.array("i")
        fds.frombytes(ancillary[0][2])
        with mmap.mmap(fds[1], 4096, mmap.MAP_SHARED, mmap.PROT_READ) as ledger:
            quota_bytes, = struct.unpack_from("=Q", ledger, 8)
        for fd in fds:
            os.close(fd)
        self.wrong = "" if quota_bytes == self.quota_bytes else f"the ledger of a card with {quota_bytes} bytes"


def measure(house, count):
    """(seconds of each client in rising order, what was wrong)."""
    clients = []
    for first in range(0, count, CLIENTS_PER_CARD):
        card, quota_bytes = f"start-{first}", (16 + first // CLIENTS_PER_CARD) * MIB
        lease = house.card("card.create", card=card, memory_bytes=quota_bytes, share_permille=100)
        clients += [Client(house, card, lease["token"], quota_bytes)
                    for _ in range(min(CLIENTS_PER_CARD, count - first))]
    gate = threading.Barrier(count)
    threads = [threading.Thread(target=client.start, args=(gate,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wrong = [client.wrong for client in clients if client.wrong]
    wrong += ["a slot twice"] * (count - len({(client.card, client.slot) for client in clients}))
    for client in clients:
        client.socket.close()
    return sorted(client.seconds or WAIT_S for client in clients), wrong


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    with houses.House(cards_only=True) as house:
        alone, _ = measure(house, 1)
        house.card("card.remove", card="start-0")
        seconds, wrong = measure(house, count)
    print("card.start_alone_ms", f"{alone[0] * 1e3:.1f}", "ms", "", sep="\t")
    print(f"card.start_{count}_p50_ms", f"{seconds[count // 2] * 1e3:.1f}", "ms", "", sep="\t")
    print(f"card.start_{count}_p99_ms", f"{seconds[-1 - count // 100] * 1e3:.1f}", "ms", "<= 100", sep="\t")
    print(f"card.start_{count}_mixed_up", len(wrong), "clients", "0", sep="\t")
    for text in sorted(set(wrong)):
        print(f"# {text}", file=sys.stderr)


if __name__ == "__main__":
    main()

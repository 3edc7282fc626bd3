#!/usr/bin/env python3
"""Record what a program posts to its card, as a seed for the fuzz target `records`.

usage: record.py SEED PROGRAM [ARGUMENT ...]

The program runs on a card of a leat-cardd of its own. Between the two stands a socket that passes the session's
memory on and keeps a descriptor of it: when the program has ended its rings still hold what it posted, as long as
that was less than a ring for each thread. A seed holds the first of it; records that are too long are left out.
"""
import array
import mmap
import os
import re
import socket
import struct
import sys
import threading

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "e2e"))
import house as houses  # noqa: E402

with open(os.path.join(ROOT, "src", "card", "wire", "wire.h"), encoding="utf-8") as wire:
    WIRE = wire.read()
LANES = int(re.search(r"#define WIRE_LANES (\d+)", WIRE)[1])
LANE_BYTES = int(re.search(r"#define WIRE_LANE_BYTES \((\d+)u \* 1024\)", WIRE)[1]) * 1024
SESSION = struct.Struct("=IIQQ")  # magic, version, lanes_offset, rings_offset
LANE_STATE = 3 * 64  # bytes of a struct wire_lane, which begins with its tail
HEADER = struct.Struct("=IHHII")  # sequence, opcode, flags, length, reserved
HELLO_BYTES, WELCOME_BYTES, FDS_BYTES = 16 + 72 + 16, 24 + 256, 16
BODY_UNIT, BODY_MAX = 8, 255 * 8
SEED_MAX = 8000  # longer ones only slow the fuzzer
MODE = 7  # of the seed: records, an arena, memory that host and device share; see ring.h


def take(connection, length):
    data = b""
    while len(data) < length:
        piece = connection.recv(length - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data


def stand_between(listener, card_socket, sessions):
    """Serve programs one after the other; the memory of each is read when it has ended."""
    while True:
        try:
            program, _ = listener.accept()
        except OSError:
            return  # closed: that was all
        with program, socket.socket(socket.AF_UNIX) as card:
            card.connect(card_socket)
            try:
                card.sendall(take(program, HELLO_BYTES))
                welcome, ancillary, _, _ = card.recvmsg(WELCOME_BYTES, socket.CMSG_SPACE(FDS_BYTES))
            except EOFError:
                continue  # it thought better of it
            welcome += take(card, WELCOME_BYTES - len(welcome))
            fds = array.array("i")
            for _, _, data in ancillary:
                fds.frombytes(data[:len(data) - len(data) % fds.itemsize])
            program.sendmsg([welcome], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
            program.recv(1)  # its end
            with mmap.mmap(fds[0], 0, prot=mmap.PROT_READ) as memory:
                sessions.append(records_of(memory))
            for fd in fds:
                os.close(fd)


def records_of(memory):
    """(sequence, opcode, body) of each record in the rings, in the order of the session."""
    _, _, lanes, rings = SESSION.unpack_from(memory)
    records = []
    for lane in range(LANES):
        tail, = struct.unpack_from("=Q", memory, lanes + lane * LANE_STATE)
        if tail > LANE_BYTES:
            sys.exit(f"record.py: {tail} bytes in a ring of {LANE_BYTES}: the first are gone")
        at, end = rings + lane * LANE_BYTES, rings + lane * LANE_BYTES + tail
        while at < end:
            sequence, opcode, _, length, _ = HEADER.unpack_from(memory, at)
            records.append((sequence, opcode, memory[at + HEADER.size:at + length]))
            at += length
    return sorted(records)


def seed_of(records):
    seed = bytes([MODE])
    for sequence, opcode, body in records:
        units = -(-len(body) // BODY_UNIT)
        if len(body) > BODY_MAX:
            print(f"record.py: record {sequence} of {len(body)} bytes is left out", file=sys.stderr)
        elif len(seed) + 2 + units * BODY_UNIT <= SEED_MAX:
            seed += bytes([opcode, units]) + body.ljust(units * BODY_UNIT, b"\0")
        else:
            break
    return seed


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    sessions = []
    with houses.House(cards_only=True) as house, socket.socket(socket.AF_UNIX) as listener:
        lease = house.card("card.create", card="recorded", memory_bytes=1 << 30, share_permille=1000)
        path = os.path.join(house.folder, "between")
        listener.bind(path)
        listener.listen()
        threading.Thread(target=stand_between, daemon=True,
                         args=(listener, os.path.join(house.run_dir, "card", "card.sock"), sessions)).start()
        program = house.on_card(lease, "/usr/bin/env", f"LEAT_CARD_SOCKET={path}", *sys.argv[2:])
        output, errors = program.communicate(timeout=600)
        houses.eventually("the session's records", lambda: sessions)
    if program.returncode:
        print(f"record.py: the program ended with {program.returncode}\n{output}{errors}", file=sys.stderr)
    longest = max(sessions, key=len)
    with open(sys.argv[1], "wb") as seed:
        seed.write(seed_of(longest))
    print(f"{sys.argv[1]}: {len(longest)} records")


main()

"""Two network namespaces and a wire between them that delays and loses packets: what netem does, without its kernel module,
and with the packets in the test's own hands."""
import fcntl
import heapq
import os
import random
import select
import struct
import subprocess
import threading
import time

TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
PACKET_MAX = 65535
MTU = 1500
TCP = 6
HELD_S = 0.02  # how often a line that does not move looks whether it does
NEAR_ADDRESS, FAR_ADDRESS = "198.18.0.1", "198.18.0.2"  # for such tests, RFC 2544; known in the namespaces only


def impossible():
    """Why a link cannot be made here, or None."""
    try:
        with open("/dev/net/tun", "rb"):
            pass
        made = subprocess.run(["unshare", "--net", "ip", "link"], capture_output=True, text=True, check=False)
    except OSError as error:
        return str(error)
    return made.stderr.strip() if made.returncode else None


class Space:
    """A network namespace without a name, which lives as long as a process in it."""

    def __init__(self):
        self.holder = subprocess.Popen(["unshare", "--net", "sh", "-c", "echo; exec cat"], stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE)
        self.holder.stdout.readline()  # it is in
        self.within = ["nsenter", "--target", str(self.holder.pid), "--net", "--"]

    def run(self, words):
        subprocess.run([*self.within, *words.split()], check=True, capture_output=True)

    def close(self):
        self.holder.communicate()


class NarrowLoop:
    """Both sides in one namespace, whose loopback carries so much in both directions together, as `rate` (tc's words) says."""

    def __init__(self, rate):
        self.rate, self.address = rate, "127.0.0.1"

    def __enter__(self):
        self.near = self.far = Space()
        try:
            self.near.run(f"ip link set lo mtu {MTU} up")
            self.near.run(f"tc qdisc add dev lo root tbf rate {self.rate} burst 64kb latency 50ms")
        except BaseException:
            self.near.close()
            raise
        return self

    def __exit__(self, *reason):
        self.near.close()


def rate_impossible():
    """Why a rate cannot be set here, or None."""
    try:
        with NarrowLoop("1gbit"):
            return None
    except subprocess.CalledProcessError as error:
        return error.stderr.decode().strip()


def payload_bytes(packet):
    """Of a TCP packet of IPv4; 0 of any other."""
    if packet[0] >> 4 != 4 or packet[9] != TCP:
        return 0
    head = (packet[0] & 15) * 4
    return struct.unpack_from("!H", packet, 2)[0] - head - (packet[head + 12] >> 4) * 4


class Link:
    """A program in the namespace `near` reaches `address` of the namespace `far`. Each packet takes half the round trip and
    is lost with probability `loss`; all are while `up` is false. `turns` counts how often the near side spoke after the far
    side had. While `moves` is false nothing arrives."""

    def __init__(self, round_trip_ms, loss=0.0, seed=1, mtu=MTU):
        self.delay_s, self.loss, self.up = round_trip_ms / 2000, loss, True
        self.moves = True
        self.mtu = mtu
        self.address = FAR_ADDRESS
        self.turns = self.lost = self.carried = 0
        self.random = random.Random(seed)
        self.talked_last = self.near = self.far = None
        self.ends = []
        self.wake, self.waker = os.pipe()
        self.thread = threading.Thread(target=self.carry, daemon=True)

    def __enter__(self):
        try:
            self.near, self.far = Space(), Space()
            self.ends = [self.make_end(self.near, NEAR_ADDRESS), self.make_end(self.far, FAR_ADDRESS)]
        except BaseException:
            self.remove()
            raise
        self.thread.start()
        return self

    def make_end(self, space, address):
        end = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        name = f"leat{space.holder.pid}"
        fcntl.ioctl(end, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
        subprocess.run(["ip", "link", "set", name, "netns", str(space.holder.pid)], check=True, capture_output=True)
        for words in ("ip link set lo up", f"ip addr add {address}/24 dev {name}", f"ip link set {name} mtu {self.mtu} up"):
            space.run(words)
        return end

    def __exit__(self, *reason):
        os.close(self.waker)
        self.thread.join()
        self.remove()

    def remove(self):
        for end in [*self.ends, self.wake]:
            os.close(end)
        for space in filter(None, (self.near, self.far)):
            space.close()

    def within(self, *words):
        """The command, run on the program's side."""
        return [*self.near.within, *words]

    def carry(self):
        near, far = self.ends
        under_way = []  # (when it arrives, number, where, packet)
        while True:
            patience = max(0.0, under_way[0][0] - time.monotonic()) if under_way else None
            if not self.moves:
                patience = HELD_S
            ready = select.select([near, far, self.wake], [], [], patience)[0]
            if self.wake in ready:
                return
            for end in ready:
                self.take(end, far if end == near else near, under_way)
            while self.moves and under_way and under_way[0][0] <= time.monotonic():
                _, _, end, packet = heapq.heappop(under_way)
                try:
                    os.write(end, packet)
                except OSError:
                    pass  # the namespace is going

    def take(self, source, sink, under_way):
        try:
            packet = os.read(source, PACKET_MAX)
        except OSError:
            return
        self.carried += 1
        if payload_bytes(packet):
            is_near = source == self.ends[0]
            self.turns += is_near and self.talked_last is False
            self.talked_last = is_near
        if not self.up or self.random.random() < self.loss:
            self.lost += 1
        else:
            heapq.heappush(under_way, (time.monotonic() + self.delay_s, self.carried, sink, packet))

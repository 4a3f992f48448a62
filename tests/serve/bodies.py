#!/usr/bin/env python3
"""./dev bodies [--size BYTES] [--rate BYTES] [--stall SECONDS] [--requests N]: large bodies, both ways, through a guest that passes them on to a peer which
is slow, and stalls in the middle of each: by how much the server grows meanwhile, a request. Prints a line; exit 1 when that is a mebibyte or more."""
import argparse, sys, time

from harness import Connection, Many, Server, check, shared_guest
from peers import Peer

PIECE = 1 << 20
ROOM = 1 << 20  # bytes a request
KIB = 1024


class Pace:
    """Lets `rate` bytes a second go, and none for `stall` seconds when half of `size` has gone."""

    def __init__(self, size, rate, stall):
        self.size, self.rate, self.stall, self.gone, self.began = size, rate, stall, 0, time.monotonic()

    def go(self, n):
        before, self.gone = self.gone, self.gone + n
        if before < self.size // 2 <= self.gone:
            time.sleep(self.stall)
            self.began += self.stall
        late = self.began + self.gone / self.rate - time.monotonic()
        if late > 0:
            time.sleep(late)


class SlowPeer(Peer):
    """Reads a body of `size` bytes at its pace, then answers with as many; connections beside each other."""

    def __init__(self, size, rate, stall):
        self.size, self.rate, self.stall = size, rate, stall
        super().__init__()

    def _serve(self, c):
        with c, c.makefile("rb", PIECE) as f:
            try:
                while self._answer(c, f):
                    pass
            except OSError:
                pass  # who asked has gone

    def _answer(self, c, f):
        """One request; False: there is no other."""
        if not f.readline():
            return False
        length = None
        while (line := f.readline()) not in (b"\r\n", b""):
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        pace, got = Pace(self.size, self.rate, self.stall), 0
        for n in [length] if length is not None else iter(lambda: int(f.readline().split(b";")[0] or b"0", 16), 0):
            got += len(f.read(n))
            pace.go(n)
            if length is None:
                f.readline()
        if length is None:
            f.readline()
        c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nX-Got: %d\r\n\r\n" % (self.size, got))
        pace, piece = Pace(self.size, self.rate, self.stall), bytes(PIECE)
        for at in range(0, self.size, PIECE):
            n = min(PIECE, self.size - at)
            c.sendall(piece[:n])
            pace.go(n)
        return True


def pass_on(server, port, size):
    """One request: a body of `size` bytes up, what comes down; how many bytes that was, and how many the peer had."""
    with Connection(server.addr, timeout=600) as c:
        c.send(f"POST /fetch?url=http%3A%2F%2F127.0.0.1%3A{port}%2F HTTP/1.1\r\nHost: t\r\nContent-Length: {size}\r\n\r\n")
        piece = bytes(PIECE)
        for at in range(0, size, PIECE):
            c.send(piece[:min(PIECE, size - at)])
        line, fields = c.reader.line(), dict((k.lower(), v) for k, v in c.reader.fields())
        check(" 200 " in line, line)
        down = 0
        if "content-length" in fields:
            while down < int(fields["content-length"]):
                down += len(c.reader.file.read1(PIECE)) or check(False, f"cut after {down} bytes")
            return down, int(fields["x-got"])
        while n := int(c.reader.line().split(";")[0], 16):
            while n:
                part = len(c.reader.file.read1(min(n, PIECE))) or check(False, f"cut after {down} bytes")
                n, down = n - part, down + part
            c.reader.line()
        return down, int(fields["x-got"])


def growth(size, rate, stall, requests):
    """(bytes a request by which the server's private memory grew at most, seconds it took)."""
    with Server(shared_guest("http/proxy-rust.wasm"), "--net", "127.0.0.1", "--deadline", "1h", "--cpu", "10m", "--body-timeout", "10m", "--write-timeout",
            "10m") as s, SlowPeer(size, rate, stall) as peer:
        pass_on(s, peer.port, 1000)  # what is made once
        s.settle()
        before = most = s.private_kib()
        began = time.monotonic()
        all_ = Many([lambda: pass_on(s, peer.port, size)] * requests)
        while any(t.is_alive() for t in all_.threads):
            most = max(most, s.private_kib())
            time.sleep(0.02)
        for found in all_.join(1):
            check(found == (size, size), f"of {size} bytes each way {found} came")
        return (most - before) * KIB // requests, time.monotonic() - began


def main():
    p = argparse.ArgumentParser(prog="./dev bodies")
    p.add_argument("--size", type=int, default=4 << 30, help="bytes each way (4 GiB)")
    p.add_argument("--rate", type=int, default=100_000_000, help="of the peer, bytes a second")
    p.add_argument("--stall", type=float, default=10, help="seconds that the peer does nothing in the middle of each body")
    p.add_argument("--requests", type=int, default=1, help="at once")
    o = p.parse_args()
    grown, seconds = growth(o.size, o.rate, o.stall, o.requests)
    print(f"{o.requests} × {o.size / (1 << 20):g} MiB each way in {seconds:.1f} s: at most {grown / KIB:.0f} KiB a request")
    return 1 if grown >= ROOM else 0


if __name__ == "__main__":
    sys.exit(main())

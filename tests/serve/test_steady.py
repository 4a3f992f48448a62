"""The steady state: no failure, memory flat, no page fault and no memory-mapping call a request."""
import os, re, signal, subprocess, tempfile, time
from pathlib import Path
from unittest import mock

from collecting import collecting
from harness import HELLO, MISBEHAVE, Server, Skip, Wrk, check, config, cores, first_in_line, needs

MAPPING = ("mmap", "munmap", "mprotect", "madvise", "mremap", "brk", "process_madvise")


def _counted():
    if not config.release:
        raise Skip("only the release build is measured")


def _sequence(c, n, path="/"):
    request = f"GET {path} HTTP/1.1\r\nHost: steady\r\n\r\n".encode()
    want = None
    for k in range(n):
        c.sock.sendall(request)
        a = c.answer()
        want = want or a.body
        check(a.status == 200 and a.body == want, f"request {k}: {a.status} {a.error}")


def _warm(server, c):
    _sequence(c, 1000)
    server.settle()
    _sequence(c, 1000)


def _flat(server, before, what):
    grown = server.private_kib() - before
    check(grown <= 256, f"{what}: private memory grew by {grown} KiB")


def ten_thousand_requests_in_sequence():
    with Server(HELLO) as s, s.connect() as c:
        _warm(s, c)
        kib, faults = s.private_kib(), s.faults()
        _sequence(c, 10000)
        faults = s.faults() - faults
        if not config.release:
            return
        _flat(s, kib, "10,000 in sequence")
        check(faults <= 20, f"{faults} page faults in 10,000 requests")
        return f"{faults} faults, {s.private_kib() - kib:+} KiB"


def a_hundred_thousand_requests_at_64_connections():
    _counted()
    with Server(HELLO, core=cores()[0]) as s:
        first_in_line(s.pid)
        check(Wrk(s, 64, 1).result()["errors"] == 0, "errors at once")
        s.settle()
        kib, faults, cpu, done, errors = s.private_kib(), s.faults(), s.cpu_seconds(), 0, 0
        for _ in range(20):
            r = Wrk(s, 64, 2).result()
            done, errors = done + r["requests"], errors + r["errors"]
            if done >= 100000:
                break
        faults, cpu = s.faults() - faults, s.cpu_seconds() - cpu
        check(done >= 100000 and errors == 0, f"{errors} failures in {done} requests")
        _flat(s, kib, f"{done} requests")
        check(faults <= 100, f"{faults} page faults in {done} requests")
        return f"{done} requests, {errors} failures, {faults} faults, {s.private_kib() - kib:+} KiB, {cpu / done * 1e6:.1f} us of CPU a request"


def connections_that_come_and_go_leave_no_memory_behind():
    _counted()
    with Server(HELLO) as s:
        for _ in range(500):
            check(s.get("/").status == 200, "no answer")
        s.settle()
        kib = s.private_kib()
        for _ in range(2000):
            check(s.get("/").status == 200, "no answer")
        _flat(s, kib, "2,000 connections")


def objects_of_a_guest_leave_no_memory_behind():
    """Two thousand a request; `./dev bench gc` makes a million of these."""
    _counted()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "collecting.wasm"
        file.write_bytes(collecting())
        with Server(file) as s, s.connect() as c:
            _warm(s, c)
            kib = s.private_kib()
            _sequence(c, 10000)
            _flat(s, kib, "10,000 requests that make objects")


def failures_leave_no_memory_behind():
    _counted()
    with Server(MISBEHAVE, "--deadline", "50ms", "--cpu", "20ms", "--log-bytes", "1KiB") as s:
        def burst(n):
            for _ in range(n):
                for path in ("/trap", "/silent", "/unfinished", "/recurse", "/mark-trap", "/handles"):
                    s.get(path)
            for path in ("/spin", "/sleep", "/mark-spin", "/mark-sleep", "/memory"):
                s.get(path)
        burst(20)
        s.settle()
        for _ in range(2):
            burst(20)
        kib, fds = s.private_kib(), len(os.listdir(f"/proc/{s.pid}/fd"))
        for _ in range(5):
            burst(30)
        grown = s.private_kib() - kib
        check(grown < 1024, f"900 failures cost {grown} KiB")
        check(len(os.listdir(f"/proc/{s.pid}/fd")) <= fds + 1, "descriptors leak")
        return f"{grown:+} KiB"


def no_allocation_a_request():
    """Counted by a library of ours that stands before libc's malloc."""
    _counted()
    with tempfile.TemporaryDirectory() as folder:
        counter, library = Path(folder) / "count", Path(folder) / "allocations.so"
        compiler = os.environ.get("CC", "clang-19").split()
        subprocess.run([*compiler, "-O2", "-shared", "-fPIC", "-o", library, Path(__file__).parent / "files/allocations.c"], check=True)
        counter.write_bytes(bytes(8))

        def count():
            return int.from_bytes(counter.read_bytes(), "little")

        with mock.patch.dict(os.environ, {"LD_PRELOAD": str(library), "ALLOCATIONS": str(counter)}):
            s = Server(HELLO)
        with s, s.connect() as c:
            check(count() > 0, "nothing was counted while it started")
            _warm(s, c)
            before = count()
            _sequence(c, 3000)
            found = count() - before
            check(found <= 30, f"{found} allocations in 3,000 requests")
            return f"{found} allocations in 3,000 requests"


def _traced(s, c):
    """{system call: how often} in 3,000 requests."""
    with tempfile.NamedTemporaryFile("r") as out:
        trace = subprocess.Popen(["strace", "-f", "-c", "-o", out.name, "-p", str(s.pid)], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        said = trace.stderr.readline()
        if "attached" not in said:
            trace.wait(10)
            raise Skip(f"strace may not attach: {said.strip()[:60]}")
        time.sleep(0.2)
        _sequence(c, 3000)
        trace.send_signal(signal.SIGINT)
        trace.wait(20)
        return {m.group(2): int(m.group(1)) for m in re.finditer(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$", out.read(), re.M)}


def no_memory_mapping_call_a_request():
    needs("strace")
    _counted()
    with Server(HELLO) as s, s.connect() as c:
        _warm(s, c)
        for _ in range(3):  # what a start leaves to be done behind its first answers may still go on
            calls = _traced(s, c)
            mapping = {k: v for k, v in calls.items() if k in MAPPING}
            check(calls.get("recvfrom", 0) + calls.get("recv", 0) + calls.get("read", 0) >= 3000, f"strace saw too little: {calls}")
            if sum(mapping.values()) <= 10:
                break
        check(sum(mapping.values()) <= 10, f"in 3,000 requests: {mapping}")
        each = {k: round(v / 3000, 2) for k, v in calls.items() if v > 30}
        return f"calls a request: {each}"

"""Each limit of src/platform/app/limits.def at 1, at the most that its flag takes and beyond, and at none. What a limit does in between is test_limits."""
import re, signal, struct, subprocess, tempfile, time
from pathlib import Path

import work
from assemble import *
from harness import FILES, HELLO, MANY, MISBEHAVE, TOP, Many, Server, check, config
from h2_client import SETTINGS, Connection

MOST, MAX_CONCURRENT_STREAMS = 2**64 - 1, 3
TABLE = (TOP / "src/platform/app/limits.def").read_text()
ROWS = dict(re.findall(r'^SERVE_LIMIT\(\w+, \w+, "([\w-]+)", (\w+)', TABLE, re.M))
# The most where that is less than all; `none` is beyond it.
RANGES = {field.replace("_", "-"): eval(most, {"KIB": 1024}) for field, most in re.findall(r"^SERVE_RANGE\(\w+, (\w+), 1, ([\w* ]+)\)", TABLE, re.M)}
POLICIES = {"requests-per-instance": "reuse", "idle": "reuse", "concurrency": "concurrent"}
OF_FOLDERS = ("open-files", "file-size")


def _flags(flag, value):
    return [f"--{flag}", f"{value}{'ns' if ROWS[flag] == 'NS' and value != 'none' else ''}", *(["--policy", POLICIES[flag]] if flag in POLICIES else [])]


def _served(flag, value, file=MISBEHAVE, *more):
    return Server(file, *_flags(flag, value), *more)


def _refused(flag, value, code, *words):
    """It doesn't start: the exit code, and what it says."""
    argv = [str(config.tenon), "serve", str(MISBEHAVE), "--addr", "127.0.0.1:0", *_flags(flag, value)]
    p = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
    check(p.returncode == code and all(w in p.stderr for w in words) and not p.stdout, f"--{flag} {value}: {p.returncode} {p.stdout!r} {p.stderr!r}")


def _statuses(s, *paths):
    return [s.get(p, timeout=120).status for p in paths]


def _get(flag, value, path, status, *more, trap="", file=MISBEHAVE):
    with _served(flag, value, file, *more) as s:
        check(s.get(path, timeout=120).status == status and (not trap or trap in s.receipt(path)["trap"]), f"--{flag} {value}: {path} {s.receipts()}")


# ---- what a client does, and how it ends -------------------------------------------------------------------------------------------------

def _part(s, text):
    """The status that who sends no more than this gets; None: none, and the connection stays open for half a second."""
    with s.connect(timeout=0.5) as c:
        c.send(text)
        c.sock.settimeout(0.5)
        try:
            first = c.sock.recv(100)
        except TimeoutError:
            return None
        return int(first.split()[1]) if first else 0


HEAD, BODY = "GET / HTTP/1.1\r\nHo", "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345"


def _parts(flag, value, text, statuses, then="GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n"):
    with _served(flag, value, HELLO) as s:
        got = _part(s, text)
        check(got in statuses, f"--{flag} {value}: {got}")
        if flag != "idle-timeout":
            with s.connect(timeout=120) as c:
                c.send(then)
                check(c.answer().status == 200, "it doesn't go on")


def _unread(value, is_cut):
    with _served("write-timeout", value) as s, s.connect(rcvbuf=16384) as c:
        c.ask("/flood")
        time.sleep(1)
        check(bool(s.receipts("/flood")) == is_cut, f"--write-timeout {value}: {s.receipts('/flood')}")
        c.reset()
        check(s.get("/").status == 200, "it doesn't go on")


def _second_call(*flags):
    """What the second of two calls gets, where one place is: the first takes 300 ms."""
    with Server(MISBEHAVE, "--calls", "1", *flags) as s:
        first = Many([lambda: s.get("/delay", timeout=120)])
        time.sleep(0.1)
        status = s.get("/", timeout=120).status
        check(first.join()[0].status == 200, "the first suffers")
        return status


def _drained(flag, value):
    """What who is at work gets when it is to end."""
    s = _served(flag, value)
    with s, s.connect(timeout=120) as c:
        c.ask("/delay")
        time.sleep(0.1)
        s.signal()
        status = c.answer().status
        check(s.wait(60) == 0, "it does not end")
        return status


def _ended_twice(flag, value):
    """One signal is not enough, the second is."""
    s = _served(flag, value)
    try:
        s.signal()
        check(s.get("/check").status == 200, "it ends")
    finally:
        s.ended = False
        status = s.stop()
    check(status == 128 + signal.SIGTERM, f"{status}")


def _printed(value):
    with _served("log-bytes", value) as s:
        check(s.get("/print").status == 200, "the answer suffers")
        for _ in range(100):
            text = [o["guest"] for o in s.objects() if "guest" in o]
            if any("cut" in t for t in text) or sum(t.count("x") for t in text) > 4096:
                break
            time.sleep(0.02)
        return sum(t.count("x") for t in text), any("cut" in t for t in text)


def _connections(value, n):
    """How many of n that ask and stay are still open."""
    with _served("connections", value, HELLO) as s:
        held = []
        for _ in range(n):
            held.append(s.connect(timeout=20))
            check(held[-1].get("/").status == 200, "a new one is not served")
        still = sum(c.ends_within(0.5) is None for c in held)
        for c in held:
            c.close()
        return still


def _of_one_client(value):
    """What the second of two gets that are open."""
    with _served("connections-per-client", value, HELLO) as s, s.connect() as a, s.connect() as b:
        check(a.get("/").status == 200, "the first is not served")
        return b.get("/").status


def _streams(value):
    """How many a client of HTTP/2 is told that it may have at once; what happens beyond is in test_http2."""
    with _served("max-streams", value) as s, Connection(s.addr) as c:
        values = c.until(SETTINGS).payload
        return dict(struct.unpack(">HI", values[i:i + 6]) for i in range(0, len(values), 6)).get(MAX_CONCURRENT_STREAMS)


def _marks(flag, value, wait=0.0):
    """Whether the second request finds the instance that the first has marked."""
    with _served(flag, value) as s:
        fresh = s.get("/check").body
        check(s.get("/mark").status == 200, "no answer")
        time.sleep(wait)
        return s.get("/check").body != fresh


class _Files(work.Handler):
    """Opens a file so many times, then writes so many bytes to it; traps if it can't."""

    def __init__(self, opens, n):
        super().__init__(work.Wit(), pages=2, apart=8192)
        at = "wasi:filesystem/types"
        for f in (self._func("wasi:filesystem/preopens", "get-directories"), self._func(at, "[method]descriptor.open-at"), self._func(at, "[method]descriptor.write")):
            self._need(f)
        self.n_locals += 2
        self._import()
        must = const(work.RESULT) + b"\x2d\0\0\x04\x40" + UNREACHABLE + b"\x0b"
        open_ = (get(3) + const(0) + const(work.FILE) + const(1) * 2 + const(3) + const(work.RESULT) + self.c.call("[method]descriptor.open-at") + must +
            load(work.RESULT + 4) + put(4))
        write_ = (get(4) + const(4096) + const(n) + const64(0) + const(work.RESULT) + self.c.call("[method]descriptor.write") + must +
            load(work.RESULT + 8) + const(n) + b"\x47\x04\x40" + UNREACHABLE + b"\x0b")
        self.made = self._component(const(work.RESULT) + self.c.call("get-directories") + load(work.RESULT) + b"\x28\x02\0" + put(3) + open_ * opens + write_ +
            self._answer(), start=write(work.FILE, b"f"))


class _Sockets(work.Handler):
    """Makes so many; traps if it can't."""

    def __init__(self, n):
        super().__init__(work.Wit())
        self._need(self._func("wasi:sockets/tcp-create-socket", "create-tcp-socket"))
        self._import()
        make = const(0) + const(work.RESULT) + self.c.call("create-tcp-socket") + const(work.RESULT) + b"\x2d\0\0\x04\x40" + UNREACHABLE + b"\x0b"
        self.made = self._component(make * n + self._answer())


def _posted(flag, value, guest):
    """The status of a request to it."""
    with tempfile.TemporaryDirectory() as d:
        at, share = Path(d) / "guest.wasm", Path(d) / "share"
        share.mkdir()
        at.write_bytes(guest.made)
        with _served(flag, value, at, "--dir", f"{share}::/", "--net", "all") as s:
            return s.post("/").status


def _files(flag, value, opens, n):
    return _posted(flag, value, _Files(opens, n))


def _sockets(value, n):
    return _posted("open-sockets", value, _Sockets(n))


def _same(got, want):
    check(got == want, f"{got}, not {want}")


def _still_served(flag):
    return lambda: _get(flag, "none", "/", 200)


# ---- the table: flag → (at 1, at none); at its most: below -------------------------------------------------------------------------------

AT = {
    "cpu": (lambda: _get("cpu", 1, "/spin", 503), lambda: _get("cpu", "none", "/spin", 504, "--deadline", "500ms")),
    "deadline": (lambda: _get("deadline", 1, "/sleep", 504), lambda: _get("deadline", "none", "/delay", 200)),
    "linger": (lambda: _get("linger", 1, "/late", 200), lambda: _get("linger", "none", "/late", 200, "--drain", "100ms")),
    "memory": (lambda: _refused("memory", 1, 3, "--memory"), _still_served("memory")),
    "process-memory": (lambda: _refused("process-memory", 1, 5, "--process-memory"), _still_served("process-memory")),
    "stack": (lambda: _get("stack", 1, "/", 500, trap="call stack exhausted"), lambda: _get("stack", "none", "/recurse", 500, trap="call stack exhausted")),
    "table-elements": (lambda: _refused("table-elements", 1, 3, "--table-elements"), _still_served("table-elements")),
    "handles": (lambda: _refused("handles", 1, 3, "--handles"), lambda: _get("handles", "none", "/handles", 200)),
    "open-files": (lambda: _same((_files("open-files", 1, 1, 1), _files("open-files", 1, 2, 1)), (200, 500)), lambda: _same(_files("open-files", "none", 300, 1), 200)),
    "file-size": (lambda: _same((_files("file-size", 1, 1, 1), _files("file-size", 1, 1, 2)), (200, 500)), lambda: _same(_files("file-size", "none", 1, 5000), 200)),
    "open-sockets": (lambda: _same((_sockets(1, 1), _sockets(1, 2)), (200, 500)), lambda: _same(_sockets("none", 300), 200)),
    "call-depth": (lambda: _get("call-depth", 1, "/", 500, trap="nested too deeply", file=FILES / "chain.wasm"),
        lambda: _get("call-depth", "none", "/", 200, file=FILES / "chain.wasm")),
    "head-bytes": (lambda: _get("head-bytes", 1, "/", 414), lambda: _refused("head-bytes", "none", 2, "from 1 to 65536 bytes")),
    "head-fields": (lambda: _parts("head-fields", 1, "GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n\r\n", [431], "GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        lambda: _refused("head-fields", "none", 2, "from 1 to 128")),
    "max-body": (lambda: _parts("max-body", 1, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nxx", [413]),
        lambda: _parts("max-body", "none", f"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 50000\r\n\r\n{'x' * 50000}", [200])),
    "max-streams": (lambda: _same(_streams(1), 1), lambda: _same(_streams("none"), None)),
    "idle-timeout": (lambda: _parts("idle-timeout", 1, "", [0]), lambda: _parts("idle-timeout", "none", "", [None])),
    "head-timeout": (lambda: _parts("head-timeout", 1, HEAD, [408, 0]), lambda: _parts("head-timeout", "none", HEAD, [None])),
    "body-timeout": (lambda: _parts("body-timeout", 1, BODY, [408]), lambda: _parts("body-timeout", "none", BODY, [None])),
    "body-total": (lambda: _parts("body-total", 1, BODY, [408]), lambda: _parts("body-total", "none", BODY, [None])),
    "write-timeout": (lambda: _unread(1, True), lambda: _unread("none", False)),
    "min-rate": (lambda: _get("min-rate", 1, "/delay", 200), _still_served("min-rate")),
    "connections": (lambda: _same(_connections(1, 3), 1), lambda: _same(_connections("none", 9), 9)),
    "connections-per-client": (lambda: _same(_of_one_client(1), None), lambda: _same(_of_one_client("none"), 200)),
    "calls": (lambda: _same(_second_call("--queue-timeout", "1ms"), 503), lambda: _same(_second_call("--calls", "none", "--queue-timeout", "1ms"), 200)),
    "queue": (lambda: _same(_second_call("--queue", "1", "--queue-timeout", "60s"), 200), lambda: _same(_second_call("--queue", "none", "--queue-timeout", "60s"), 200)),
    "queue-timeout": (lambda: _same(_second_call("--queue-timeout", "1ns"), 503), lambda: _same(_second_call("--queue-timeout", "none"), 200)),
    "drain": (lambda: _same(_drained("drain", 1), 503), lambda: _same(_drained("drain", "none"), 200)),
    "drain-delay": (lambda: _same(_drained("drain-delay", 1), 200), lambda: _same(_drained("drain-delay", "none"), 200)),
    "log-bytes": (lambda: _same(_printed(1), (1, True)), lambda: check(_printed("none")[0] > 4096 and not _printed("none")[1], "it is cut")),
    "concurrency": (lambda: _same(_most_at_once(1), 1), lambda: _same(_most_at_once("none"), 30)),
    "requests-per-instance": (lambda: _same(_marks("requests-per-instance", 1), False), lambda: _same(_marks("requests-per-instance", "none"), True)),
    "idle": (lambda: _same(_marks("idle", 1, 0.5), False), lambda: _same(_marks("idle", "none", 0.5), True)),
}


def _most_at_once(value):
    """How many of thirty requests were in one instance."""
    with _served("concurrency", value, MANY) as s:
        s.get("/")
        answers = Many([lambda: s.get("/wait=500") for _ in range(30)]).join()
        return max(int(dict(a.headers)["x-most"]) for a in answers)


def every_limit_is_tried_at_one_and_at_none():
    check(len(ROWS) > 25 and set(AT) == set(ROWS), f"without a row: {set(ROWS) ^ set(AT)}")
    bad = []
    for flag, (at_one, at_none) in AT.items():
        for when, fn in (("1", at_one), ("none", at_none)):
            try:
                fn()
            except Exception as e:
                bad.append(f"--{flag} {when}: {type(e).__name__}: {e}")
    check(not bad, "\n".join(bad))
    return f"{len(AT)} limits"


def every_limit_means_what_it_says_at_its_most_and_is_refused_beyond():
    bad = []
    for flag in ROWS:
        most = RANGES.get(flag, MOST)
        try:
            if flag == "connections":  # descriptors allow less
                _refused(flag, most, 5, "descriptors allow")
            elif flag == "drain-delay":
                _ended_twice(flag, most)
            else:
                _get(flag, most, "/check", 200, *(["--dir", "/tmp::/tmp:ro"] if flag in OF_FOLDERS else []), file=MANY if flag == "concurrency" else MISBEHAVE)
            _refused(flag, most + 1, 2, f"--{flag}")
        except Exception as e:
            bad.append(f"--{flag}: {type(e).__name__}: {e}")
    check(not bad, "\n".join(bad))

"""What the tests of the whole server share: servers, connections that stay open, load, and how a test says that it can't run here."""
import json, os, re, resource, shutil, signal, socket, struct, subprocess, sys, threading, time
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("TENON_SHARED", TOP.parent / "shared"))
sys.path[:0] = [str(TOP / "tests/conform"), str(TOP / "tests")]
from http_client import Answer, Reader, Truncated, encode, read_answer  # noqa: E402
from over import ByHand, Streams, Way  # noqa: E402

HELLO = TOP / "examples/hello/hello.wasm"
MISBEHAVE = TOP / "examples/misbehave/misbehave.wasm"
MANY = TOP / "examples/many/many.wasm"
FILES = Path(__file__).resolve().parent / "files"


class Skip(Exception):
    """Why a test can't run on this machine."""


class NotReady(AssertionError):
    """A server that ended before its ready line; `log`: what it said."""

    def __init__(self, ready, log):
        super().__init__(f"no ready line but {ready!r}: {log[:1000]}")
        self.log = log


class config:
    tenon = TOP / "build/tenon"
    release = True  # False: a build whose speed and faults say nothing
    way = Way()  # what `exchange` and `connect` go over, and every server speaks


def breaks():
    """The program that ends where TENON_TEST_BREAK says."""
    return config.tenon.resolve().parent / "tenon-breaks"


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def exchange(addr, request, timeout=60):
    return config.way.exchange(addr, request, timeout)


def by_hand():
    """What follows is HTTP/1.1, byte by byte."""
    if config.way.http2:
        raise ByHand


def in_clear():
    """What follows is by a program, or about what is seen of a connection, that knows nothing of TLS and HTTP/2."""
    if config.way.name != "h1":
        raise ByHand


def unfinished():
    """The statuses of an answer that its guest did not finish: the reset of a stream of HTTP/2 may pass by its head."""
    return (200, None) if config.way.http2 else (200,)


def shared_guest(name):
    at = SHARED / "guests" / name
    if not at.exists():
        raise Skip("../shared is not there")
    return at


# ---- a server ---------------------------------------------------------------------------------------------------------------------------

class Server:
    """`tenon serve FILE FLAGS…` on a port of its own, one shard unless said; ends with the `with` block, and must have ended well."""

    def __init__(self, file, *flags, shards=1, log=None, port=0, core=None, limits=(), uid=None, wrap=(), command="serve"):
        argv = [*wrap, str(config.tenon)] + (["--log", log] if log else []) + [command, str(file), "--addr", f"127.0.0.1:{port}", "--shards", str(shards), *map(str, flags)]
        argv += config.way.flags if command in ("serve", "up") and "--tls-cert" not in flags else []
        if core is not None:
            argv = ["taskset", "-c", str(core)] + argv
        self.lines, self.ended, self.shards = [], False, shards
        self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            start_new_session=True, **({} if uid is None else {"user": uid, "group": uid, "extra_groups": []}), preexec_fn=lambda: [resource.setrlimit(what, value if isinstance(value, tuple) else (value, value)) for what, value in limits])
        self.pid = self.process.pid
        self.reader = threading.Thread(target=self._read_log, daemon=True)
        self.reader.start()
        timer = threading.Timer(30, self.process.kill)
        timer.start()
        self.ready = self.process.stdout.readline().decode()
        timer.cancel()
        m = re.fullmatch(r"ready https?://([\d.]+):(\d+)\n", self.ready)
        if not m:
            self.process.kill()
            self.process.wait()
            self.reader.join(5)
            raise NotReady(self.ready, self.log_text())
        self.addr = (m.group(1), int(m.group(2)))

    def _read_log(self):
        for line in self.process.stderr:
            self.lines.append(line.decode("utf-8", "replace"))

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        status = self.stop()
        if kind is None:
            check(status == 0, f"the server ended with {status}: {self.log_text()[-800:]}")
        elif kind is AssertionError:
            print(f"    log: {self.log_text()[-1500:]}")

    def log_text(self):
        return "".join(self.lines)

    def logged(self, text, seconds=10):
        """How often it stands in the log, once it does: a line is written a moment after what it tells of."""
        for _ in range(seconds * 50):
            if text in self.log_text():
                break
            time.sleep(0.02)
        return self.log_text().count(text)

    def stop(self, sig=signal.SIGTERM, seconds=40):
        """Its exit status; None: it did not end by itself."""
        if not self.ended and self.process.poll() is None:
            self.process.send_signal(sig)
        status = self.wait(seconds)
        if status is None:
            self.process.kill()
            self.process.wait()
        self.ended = True
        self.reader.join(5)
        return status

    def signal(self, sig=signal.SIGTERM):
        """What follows waits for it to end; no second signal is sent."""
        self.process.send_signal(sig)
        self.ended = True

    def wait(self, seconds):
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    # ---- requests
    def get(self, path="/", timeout=20, **more):
        return exchange(self.addr, {"method": "GET", "path": path, **more}, timeout)

    def post(self, path, body=b"", timeout=20, **more):
        return exchange(self.addr, {"method": "POST", "path": path, "body_hex": body.hex(), **more}, timeout)

    def connect(self, **kw):
        return Streams(self.addr, tls=config.way.tls, **kw) if config.way.http2 else Connection(self.addr, **kw)

    # ---- what it says of itself
    def objects(self):
        for line in list(self.lines):
            try:
                yield json.loads(line)
            except ValueError:
                pass

    def receipts(self, path=None):
        return [o for o in self.objects() if "receipt" in o and (path is None or o["request"]["path"] == path)]

    def receipt(self, path, n=1):
        """The n-th receipt of a path; the log may come a little after the answer."""
        for _ in range(500):
            found = self.receipts(path)
            if len(found) >= n:
                return {**found[n - 1], **found[n - 1]["receipt"]}
            time.sleep(0.02)
        raise AssertionError(f"no receipt of {path}")

    def outcome(self, path, n=1):
        """The outcome of that; "ok" also of guests of tests that only end well, without an answer."""
        outcome = self.receipt(path, n)["outcome"]
        return "ok" if outcome == "no response" else outcome

    def status(self, name):
        m = re.search(rf"^{name}:\s+(\d+)", Path(f"/proc/{self.pid}/status").read_text(), re.M)
        return int(m.group(1))

    def private_kib(self):
        return self.status("RssAnon")

    def _stat(self):
        text = Path(f"/proc/{self.pid}/stat").read_text()
        return [int(x) if x.lstrip("-").isdigit() else 0 for x in text[text.rindex(")") + 2:].split()]

    def settle(self):
        """Waits for what is done behind the first answers (the cache written): its thread ends then; those of the watchdog,
        of the control socket and of who looks at certificates stay."""
        for _ in range(400):
            if self.status("Threads") <= self.shards + 2 + config.way.tls:
                return
            time.sleep(0.02)
        raise AssertionError(f"{self.status('Threads')} threads and no end")

    def faults(self):
        """Page faults of all its threads so far."""
        return self._stat()[7] + self._stat()[9]

    def cpu_seconds(self):
        return sum(self._stat()[11:13]) / os.sysconf("SC_CLK_TCK")


# ---- a connection that stays open -------------------------------------------------------------------------------------------------------

class Connection:
    def __init__(self, addr, timeout=20, rcvbuf=None):
        self.sock = socket.socket()
        if rcvbuf:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        self.sock.settimeout(timeout)
        self.sock.connect(addr)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = config.way.over(self.sock, timeout)
        self.reader = Reader(self.sock)
        self.host = f"{addr[0]}:{addr[1]}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.reader.file.close()
        self.sock.close()

    def reset(self):
        """Ends it in the way that tells the server that nobody is there any more (after a FIN alone an answer may still be wanted)."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def send(self, data):
        self.sock.sendall(data.encode() if isinstance(data, str) else data)

    def ask(self, path="/", method="GET", **more):
        self.send(encode({"method": method, "path": path, **more}, self.host))

    def answer(self, method="GET"):
        """The next answer; aborted if the connection ends within it."""
        a = Answer()
        try:
            read_answer(self.reader, method, a)
        except (Truncated, OSError, ValueError, IndexError) as e:
            a.aborted, a.error = True, f"{type(e).__name__}: {e}"
        return a

    def get(self, path="/", method="GET", **more):
        self.ask(path, method, **more)
        return self.answer(method)

    def ends_within(self, seconds):
        """No byte comes any more and the other side closes; how long that took, or None."""
        began = time.monotonic()
        self.sock.settimeout(seconds)
        try:
            rest = self.reader.file.read1(100)
        except ConnectionError:
            rest = b""
        except OSError:
            return None
        check(rest == b"", f"unexpected bytes: {rest!r}")
        return time.monotonic() - began


class Many:
    """Threads that run one function each, with their results in order."""

    def __init__(self, jobs):
        self.results = [None] * len(jobs)
        self.threads = [threading.Thread(target=self._run, args=(i, fn), daemon=True) for i, fn in enumerate(jobs)]
        for t in self.threads:
            t.start()

    def _run(self, i, fn):
        try:
            self.results[i] = fn()
        except Exception as e:
            self.results[i] = e

    def join(self, seconds=60):
        end = time.monotonic() + seconds
        for t in self.threads:
            t.join(max(0, end - time.monotonic()))
        check(not any(t.is_alive() for t in self.threads), "clients that do not end")
        return self.results


def stays_flat(server, ask, n, settled):
    """Memory after `ask(i)` for each i below n: not much more than after the first `settled` of them. The last receipts, calls and lines of the log are kept, and
    fill in the first thousands; a build with ASan keeps what was freed."""
    for i in range(n):
        ask(i)
        if i == settled:
            before = server.private_kib()
    grew = server.private_kib() - before
    check(grew < 1536 or not config.release, f"{grew} KiB more after {n - settled} requests")


class Arrivals:
    """Requests one after the other, until nobody listens any more."""

    def __init__(self, server, path):
        self.late, self.over = [], False
        self.thread = threading.Thread(target=self._arrive, args=(server.addr, path), daemon=True)
        self.thread.start()

    def _arrive(self, addr, path):
        while not self.over and not any(a.error.startswith("cannot connect") for a in self.late[-1:]):
            self.late.append(exchange(addr, {"method": "GET", "path": path}, 10))

    def end(self):
        self.over = True
        self.thread.join(10)

    def were_served(self, but):
        """A connection whose handshake ends between the last accept and the close of the listener is the kernel's to drop: at most `but`, one a listener."""
        lost = [a for a in self.late if a.status != 200 and not a.error.startswith("cannot connect")]
        check(len(lost) <= but, f"{len(lost)} of {len(self.late)} requests that arrived meanwhile were cut: {lost and lost[0].error}")
        check(any(a.error.startswith("cannot connect") for a in self.late), "it still accepted when all was over")


# ---- load -------------------------------------------------------------------------------------------------------------------------------

def cores():
    """(core of the server, core of the load)."""
    have = sorted(os.sched_getaffinity(0))
    return have[0], have[-1]


def first_in_line(pid):
    """Before all else that this machine does, where that is allowed: what is measured is the server, not its neighbours on the machine."""
    try:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            os.setpriority(os.PRIO_PROCESS, int(thread.name), -19)
        Path(f"/proc/{pid}/autogroup").write_text("-19")  # of its session: priorities count within one only
    except OSError:
        pass


def needs(program):
    if not shutil.which(program):
        raise Skip(f"{program} is not installed")


def rises_little(ms, busy_ms, alone, beside):
    """`beside()` is a p99 (ms) of others and what else is to be said; `alone()` theirs when there is nobody else, measured before and after it, and the worse of
    these is what it is judged against: what this machine does otherwise. It must rise by less than `ms`; twice more than that while it was quiet on both sides fails."""
    before, too_much = alone(), []
    for _ in range(5):
        p99, said = beside()
        if before < busy_ms and p99 - before < ms:
            return f"p99 {before:.2f} -> {p99:.2f} ms{said}"
        after = alone()
        base, before = max(before, after), after
        note = f"p99 {base:.2f} -> {p99:.2f} ms{said}"
        if base < busy_ms and p99 - base < ms:
            return note
        if base < busy_ms:
            too_much.append(note)
        check(len(too_much) < 2, "; ".join(too_much))
    raise Skip("this machine is too busy to measure latencies")


class Wrk:
    """wrk beside what the test does meanwhile."""

    def __init__(self, server, connections, seconds, path="/"):
        needs("wrk")
        in_clear()
        self.process = subprocess.Popen(["taskset", "-c", str(cores()[1]), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency",
            f"http://{server.addr[0]}:{server.addr[1]}{path}"], stdout=subprocess.PIPE, text=True, start_new_session=True)
        time.sleep(0.02)  # its thread is there then
        first_in_line(self.process.pid)

    def result(self):
        out = self.process.communicate()[0]
        m = re.search(r"(\d+) requests in", out)
        unit = {"us": 1e-3, "ms": 1, "s": 1e3}
        p99 = re.search(r"^\s+99%\s+([\d.]+)(us|ms|s)", out, re.M)
        errors = sum(int(x) for x in re.findall(r"(?:connect|read|write|timeout) (\d+)", out)) + sum(int(x) for x in re.findall(r"Non-2xx[^\d]*[\d]*[^\d]*: (\d+)", out))
        return {"requests": int(m.group(1)) if m else 0, "p99_ms": float(p99.group(1)) * unit[p99.group(2)] if p99 else 1e9, "errors": errors, "out": out}

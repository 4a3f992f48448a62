"""What the tests of a server's front share: servers with several addresses, requests to any kind of address, sockets handed over, a service manager."""
import json, os, re, shutil, socket, struct, subprocess, sys, tempfile, threading, time
from pathlib import Path

from harness import Answer, Reader, Truncated, check, config, encode, read_answer


class Folder:
    """A short one: the path of a socket has a hundred bytes."""

    def __enter__(self):
        self.path = Path(tempfile.mkdtemp(prefix="t", dir="/tmp"))
        return self.path

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)


def preload_library(folder, name):
    """tests/preload/NAME.c, for LD_PRELOAD."""
    library = Path(folder) / f"{name}.so"
    compiler = os.environ.get("CC", "clang-19").split()[-1]
    subprocess.run([compiler, "-std=gnu17", "-D_GNU_SOURCE", "-O2", "-shared", "-fPIC", "-o", library, Path(__file__).resolve().parents[1] / f"preload/{name}.c"], check=True)
    return library


def clock_library(folder):
    """What moves the clocks of a process that has it in LD_PRELOAD."""
    return preload_library(folder, "clock")


class Clients:
    """So many threads that each do `one(i)` again and again while the block lasts. What goes wrong is in `.failed`; so is a connection that a client lost, or one that is not over in
    a minute."""

    def __init__(self, n):
        self.over, self.failed, self.lock = threading.Event(), [], threading.Lock()
        self.threads = [threading.Thread(target=self._run, args=(i,), daemon=True) for i in range(n)]

    def _run(self, i):
        while not self.over.is_set():
            try:
                self.one(i)
            except OSError as e:
                self.failed.append((0, repr(e)))

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for t in self.threads:
            t.join(60)
            if t.is_alive():
                self.failed.append((0, "not over"))


def where(url):
    """What a ready line names, as `connect` takes it."""
    if url.startswith("unix:"):
        return url[5:]
    host, port = re.fullmatch(r"https?://(.+):(\d+)", url).groups()
    return host.strip("[]"), int(port)


def connect(at, timeout=20):
    s = socket.socket(socket.AF_UNIX if isinstance(at, str) else socket.AF_INET6 if ":" in at[0] else socket.AF_INET)
    if isinstance(at, str):  # where the queue is full, only who blocks is made to wait
        s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", timeout, 0))
    else:
        s.settimeout(timeout)
    try:
        s.connect(at)
    except OSError:
        s.close()
        raise
    s.settimeout(timeout)
    return s


def ask(at, path="/", method="GET", timeout=20, sock=None, **more):
    """One request and its answer, on a connection of its own; the answer is read while the request is sent."""
    with sock or connect(at, timeout) as s:
        sender = threading.Thread(target=_send, args=(s, encode({"method": method, "path": path, **more}, "localhost")), daemon=True)
        sender.start()
        a = Answer()
        try:
            read_answer(Reader(s), method, a)
        except Truncated as e:
            a.aborted, a.error = True, str(e)
        sender.join(timeout)
        return a


def _send(s, data):
    try:
        s.sendall(data)
    except OSError:
        pass  # an answer may come before the end of the request, and then the connection ends


class Front:
    """`tenon serve FILE FLAGS…` with addresses as the flags say; `.urls` of its ready lines. Ends with the `with` block, and must have ended well."""

    def __init__(self, file, *flags, addresses=1, shards=1, json=False, wrap=(), env=None, before=None):
        argv = [*wrap, str(config.tenon), *(["--json"] if json else []), "serve", str(file), "--shards", str(shards), *map(str, flags)]
        self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
            env={**os.environ, **(env or {})}, close_fds=False, preexec_fn=before)
        self.pid, self.lines, self.out = self.process.pid, [], []
        self.reader = threading.Thread(target=lambda: [self.lines.append(line.decode("utf-8", "replace")) for line in self.process.stderr], daemon=True)
        self.reader.start()
        timer = threading.Timer(30, self.process.kill)
        timer.start()
        for _ in range(1 if json else addresses):
            self.out.append(self.process.stdout.readline().decode())
        timer.cancel()
        if not self.out[-1]:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"no ready line: {self.log()[:1000]}")
        lines = _lines_of(self.out[0]) if json else self.out
        self.urls = [m.group(1) for line in lines if (m := re.fullmatch(r"ready (\S+)\n", line))]
        self.admin = next((where(m.group(1)) for line in lines if (m := re.fullmatch(r"admin (\S+)\n", line))), None)
        self.at = [where(u) for u in self.urls]

    def log(self):
        return "".join(self.lines)

    def logged(self, text, seconds=30):
        """Whether it stands in the log, once it does: a line comes through a pipe, a moment after what it tells of."""
        end = time.monotonic() + seconds
        while text not in self.log() and time.monotonic() < end:
            time.sleep(0.02)
        return text in self.log()

    def stop(self, sig=15, seconds=15):
        if self.process.poll() is None and sig:
            self.process.send_signal(sig)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return None
        finally:
            self.reader.join(5)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        status = self.stop()
        if kind is None:
            check(status == 0, f"the server ended with {status}: {self.log()[-800:]}")
        elif kind is AssertionError:
            print(f"    log: {self.log()[-1500:]}")


def _lines_of(text):
    """What stands in lines where it is not JSON."""
    o = json.loads(text)
    check(o.keys() - {"admin"} == {"event", "urls"} and o["event"] == "ready", text)
    return [f"ready {u}\n" for u in o["urls"]] + [f"admin {u}\n" for u in [o.get("admin")] if u]


def refused(file, *flags, wrap=(), env=None):
    """(exit status, stderr) of a server that must not start."""
    r = subprocess.run([*wrap, str(config.tenon), "serve", str(file), *map(str, flags)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30,
        env={**os.environ, **(env or {})}, close_fds=False)
    check(r.stdout == "" and r.stderr.startswith("error: "), f"{r.returncode} {r.stdout!r} {r.stderr!r}")
    return r.returncode, r.stderr


HAND_OVER = """
import os, sys
fds = [os.dup(int(n)) if n != '-' else None for n in sys.argv[1].split(',')]
fds = [fd if fd is None else __import__('fcntl').fcntl(fd, 0, 100) for fd in fds]
for i, fd in enumerate(fds):
    os.closerange(3 + i, 4 + i) if fd is None else os.dup2(fd, 3 + i, inheritable=True)
for fd in fds:
    fd is None or os.close(fd)
os.environ['LISTEN_FDS'] = str(len(fds))
os.environ['LISTEN_PID'] = str(os.getpid() + int(sys.argv[2]))
os.execv(sys.argv[3], sys.argv[3:])
"""


def handed(*socks, other_pid=0):
    """The words before a command so that it gets these sockets as a service manager hands them over; None: a descriptor that is not open."""
    for s in socks:
        if s is not None:
            s.set_inheritable(True)
    return [sys.executable, "-c", HAND_OVER, ",".join("-" if s is None else str(s.fileno()) for s in socks), str(other_pid)]


def listening(family=socket.AF_INET, at=("127.0.0.1", 0)):
    s = socket.socket(family)
    s.bind(at)
    s.listen(64)
    return s

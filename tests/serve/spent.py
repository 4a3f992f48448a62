"""What a server is without: memory, address space, descriptors, threads, disk. Each runs out at its start, while a component is loaded, in a request, at
a reset and in a drain. TABLE has a function for each: it fails, or says what was seen. `./dev spent` prints it whole."""
import os, re, resource, subprocess, tempfile, threading, time
from collections import Counter
from pathlib import Path

import component
from harness import HELLO, MISBEHAVE, Many, Server, Skip, check, config, exchange

PHASES = ("start", "load", "request", "reset", "drain")
REFUSED = (3, 5)  # exit codes of a start that can't be: a limit, the environment
ANSWERS = (200, 503)


def _file(text):
    f = tempfile.NamedTemporaryFile(suffix=".wasm")
    f.write(text)
    f.flush()
    os.chmod(f.name, 0o644)
    return f


def _large():
    """A megabyte of code, 2 MiB in the image; a request returns without an answer: 500."""
    touch = b"".join(b"\x41" + component.s(at) + b"\x41\x01\x36\x02\x00" for at in range(0, 2 << 20, 4096))
    return _file(component.handler(start=touch, handle=b"\x41\x01\x1a" * 300000, memory=32))


LARGE = _large()


def counted(statuses):
    return " ".join(f"{status}×{n}" for status, n in sorted(Counter(statuses).items()))


# ---- one start under a limit ------------------------------------------------------------------------------------------------------------

def start(file, *flags, limits=(), uid=None, wrap=(), env=None):
    """(status of the first answer or None: it was not ready, exit code, stderr). It must end by itself, within 30 s."""
    p = subprocess.Popen([*wrap, str(config.tenon), "serve", str(file), "--addr", "127.0.0.1:0", "--shards", "2", *map(str, flags)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, env={**os.environ, **(env or {})},
        preexec_fn=lambda: [resource.setrlimit(what, (value, value)) for what, value in limits], **as_user(uid))
    watch = threading.Timer(30, p.kill)
    watch.start()
    status = None
    try:
        if m := re.fullmatch(r"ready http://([\d.]+):(\d+)\n", p.stdout.readline().decode()):
            status = exchange((m.group(1), int(m.group(2))), {"method": "GET", "path": "/"}, 20).status
            p.terminate()
        return status, *reversed((p.communicate()[1].decode(), p.returncode))
    finally:
        watch.cancel()
        p.kill()


def as_user(uid):
    return {} if uid is None else {"user": uid, "group": uid, "extra_groups": []}


def sweep(file, what, values, *flags, **more):
    """Starts with each of the values until three in a row serve: those before are refused in words."""
    seen, in_a_row = Counter(), 0
    for value in values:
        status, code, err = start(file, *flags, limits=[(what, value)], **more)
        if status is None:
            check(code in REFUSED and "error: " in err, f"at {value}: it is not ready and ends with {code}: {err[-500:]}")
            seen[f"refused with {code}"] += 1
        else:
            check(status in (200, 500, 503) and code == 0, f"at {value}: ready, answered {status}, ended with {code}: {err[-500:]}")
            seen["served" if status != 503 else "ready, then 503"] += 1
        in_a_row = in_a_row + 1 if status in (200, 500) else 0
        if in_a_row == 3:
            break
    check(in_a_row == 3 and any(k[0] == "r" for k in seen), f"it doesn't go from refused to served: {dict(seen)}")
    return ", ".join(f"{n} {k}" for k, n in seen.items())


def growing(what, ratio):
    """From where the program's own libraries can be loaded."""
    value = 1 << 20
    while subprocess.run([str(config.tenon), "--version"], capture_output=True, preexec_fn=lambda: resource.setrlimit(what, (value, value))).returncode:
        value = int(value * 1.2)
    while value < 1 << 40:
        yield value
        value = int(value * ratio)


# ---- a server that runs while it runs out -----------------------------------------------------------------------------------------------

class Spending:
    """A server from which something is taken by `spend` and given back by `give_back`: here a limit of the system's."""

    def __init__(self, what, value, uid=None):
        self.what, self.value = what, value
        self.open(uid=uid)
        self.before = resource.prlimit(self.server.pid, what)

    def open(self, *flags, **more):
        self.server = Server(MISBEHAVE, "--deadline", "1500ms", "--queue-timeout", "500ms", "--drain", "5s", "--cpu", "50ms", *flags, shards=2, **more)
        for _ in range(4):
            check(self.server.get("/").status == 200, "no answer before anything was spent")

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.server.__exit__(kind, value, trace)

    def spend(self):
        resource.prlimit(self.server.pid, self.what, (self.value, self.before[1]))

    def give_back(self):
        resource.prlimit(self.server.pid, self.what, self.before)


class ProcessMemory(Spending):
    """As little as it starts with: there are a few slots, and no more are made."""

    def __init__(self):
        self.open("--process-memory", int(process_memory_at_least(MISBEHAVE)[0] * 1024 * 1.3))

    def spend(self):
        pass

    def give_back(self):
        pass


class Threads(Spending):
    """Of a user who has no others: theirs would count. The limit can be changed by that user only."""

    def __init__(self):
        self.uid = own_uid()
        self.open(uid=self.uid)

    def limit(self, value):
        subprocess.run(["prlimit", "--pid", str(self.server.pid), f"--nproc={value}:"], check=True, **as_user(self.uid))

    def spend(self):
        self.limit(1)

    def give_back(self):
        self.limit(1000)


def ask(server, path, n):
    answers = Many([lambda: server.get(path, timeout=30) for _ in range(n)]).join()
    bad = [a.error or a.status for a in answers if a.status not in ANSWERS]
    check(not bad, f"{len(bad)} of {n} to {path}: {bad[:3]}")
    return [a.status for a in answers]


def goes_on(server):
    """All is well again: answered, without traces of others, and nothing runs on for nothing."""
    for _ in range(20):
        a = server.get("/check")
        check(a.status == 200 and a.body == b"clean\n", f"afterwards: {a.status} {a.body!r}")
    ticks = server.cpu_seconds()
    time.sleep(0.3)
    check(server.cpu_seconds() - ticks < 0.25, "a shard computes though there is nothing to do")


def in_a_request(spending):
    with spending as x:
        x.spend()
        seen = ask(x.server, "/delay", 24) + ask(x.server, "/mark", 8) + ask(x.server, "/check", 8)
        check(x.server.get("/spin").status in (503, 504), "a guest that computes for ever")
        x.give_back()
        goes_on(x.server)
        return counted(seen)


def at_a_reset(spending):
    """Twelve calls have written to much of their memory when it happens; they end by their deadline."""
    with spending as x:
        held = [x.server.connect(timeout=30) for _ in range(4)]
        for c in held:
            check(c.get("/").status == 200, "no answer before anything was spent")
        flying = Many([lambda: x.server.get("/mark-sleep", timeout=30) for _ in range(12)])
        time.sleep(0.5)
        x.spend()
        seen = [a.status for a in flying.join()]
        check(all(s in (503, 504) for s in seen), f"those in flight: {counted(seen)}")
        for n in range(8):
            a = held[n % 4].get("/check")
            check(a.status == 503 or (a.status == 200 and a.body == b"clean\n"), f"after the reset: {a.status} {a.body!r} {a.error}")
            seen.append(a.status)
        x.give_back()
        goes_on(x.server)
        for c in held:
            c.close()
        return counted(seen)


def in_a_drain(spending):
    with spending as x:
        flying = Many([lambda: x.server.get("/delay", timeout=30) for _ in range(12)])
        time.sleep(0.1)
        x.spend()
        x.server.signal()
        check(x.server.wait(20) == 0, "SIGTERM does not end it")
        seen = [a.status for a in flying.join()]
        check(all(s in ANSWERS for s in seen), f"those in flight: {counted(seen)}")
        return counted(seen) + ", ends with 0"


# ---- descriptors: who has a connection is served, who comes waits -----------------------------------------------------------------------

def descriptors_in_a_request(spending):
    with spending as x:
        held = [x.server.connect(timeout=30) for _ in range(24)]
        for c in held:
            check(c.get("/").status == 200, "no answer before anything was spent")
        x.spend()
        seen = [a.status for a in Many([lambda c=c: c.get("/delay") for c in held[:12]]).join()]
        check(all(s in ANSWERS for s in seen), f"on connections that were open: {counted(seen)}")
        check(held[0].get("/spin").status in (503, 504), "a guest that computes for ever")
        late = Many([lambda: x.server.get("/", timeout=30) for _ in range(8)])
        time.sleep(0.5)
        x.give_back()
        came = [a.status for a in late.join()]
        check(came == [200] * 8, f"who came meanwhile: {counted(came)}")
        goes_on(x.server)
        for c in held:
            c.close()
        return f"{counted(seen)}; who comes waits: {counted(came)}"


# ---- the disk: the cache and the log ----------------------------------------------------------------------------------------------------

AT = "/mnt"  # in a mount namespace of its own


def disk(options, then=""):
    """In front of a command: it runs with a disk of its own at AT, its cache and its log there."""
    if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        raise Skip("only root has disks of its own")
    script = f"mount --make-rprivate / && mount -t tmpfs -o {options} none {AT} && {then or 'true'} && TENON_CACHE={AT}/cache exec \"$@\""
    return ["unshare", "-m", "sh", "-c", script, "sh"]


FULL = f"! head -c 100000 /dev/zero > {AT}/fill 2>/dev/null"
DISKS = {"full": dict(wrap=("size=16k", FULL)), "read-only": dict(wrap=("ro",)), "not ours": dict(wrap=("mode=0700",), uid=True)}


def disk_at_a_start():
    seen = []
    for kind, how in DISKS.items():
        wrap = disk(*how["wrap"])
        if how.get("uid"):
            wrap = [*wrap, "setpriv", "--reuid", str(own_uid()), "--clear-groups", "env", f"TENON_CACHE={AT}/cache"]
        status, code, err = start(HELLO, wrap=wrap)
        check(status == 200 and code == 0, f"{kind}: {status}, ended with {code}: {err}")
        seen.append(f"{kind}: {status}")
    return ", ".join(seen)


def disk_during_a_load():
    """Wherever it is full while the cache is written; a second start takes none of what is left for whole."""
    seen = []
    for pages in (1, 2, 3, 5, 9, 17, 33, 65, 129, 257, 513, 1025):
        again = f"({config.tenon} serve {LARGE.name} --addr 127.0.0.1:0 --shards 1 > {AT}/out & p=$!; sleep 0.4; kill $p; wait $p; true)"
        status, code, err = start(LARGE.name, wrap=disk(f"size={pages * 4}k", "export TENON_CACHE=" + AT + "/cache && " + again))
        check(status == 500 and code == 0, f"{pages} pages: {status}, ended with {code}: {err}")
        seen.append(status)
    return f"{counted(seen)} (a start after one that filled it; the guest gives no answer)"


class FullDisk(Spending):
    """The log and the cache are on a disk that is full after `spend`."""

    def __init__(self):
        self.open(wrap=[*disk("size=256k"), "sh", "-c", f"exec \"$@\" 2>{AT}/log", "sh"])
        self.root = Path(f"/proc/{self.server.pid}/root{AT}")

    def spend(self):
        with open(self.root / "fill", "wb") as f:
            try:
                f.write(bytes(1 << 20))
            except OSError:
                pass

    def give_back(self):
        (self.root / "fill").unlink()


def own_uid():
    if os.geteuid() != 0:
        raise Skip("only root runs programs as somebody else")
    return 50000 + os.getpid() % 10000


def row(what, values, value):
    """The five phases of what has a limit of the system's: `values` for starts, `value` for a server that runs."""
    return {"start": lambda: sweep(HELLO, what, values(), "--no-cache"), "load": lambda: sweep(LARGE.name, what, values(), "--no-cache"),
        "request": lambda: in_a_request(Spending(what, value)), "reset": lambda: at_a_reset(Spending(what, value)),
        "drain": lambda: in_a_drain(Spending(what, value))}


def process_memory_at_least(file):
    """(what it starts with, in KiB; how many starts with less were refused)"""
    refused = 0
    for kib in (0.001, 1024, 2048, 3072, 4096, 6144, 8192, 12288, 16384, 24576, 32768, 65536, 131072):
        status, code, err = start(file, "--no-cache", "--process-memory", max(1, int(kib * 1024)))
        if status is not None:
            check(status in (200, 500, 503) and code == 0, f"{kib} KiB: {status}, ended with {code}: {err[-500:]}")
            return kib, refused
        check(code in REFUSED and "error: " in err and "--process-memory" in err, f"{kib} KiB: not ready, ended with {code}: {err[-500:]}")
        refused += 1
    raise AssertionError("it never starts")


def little_process_memory(file):
    kib, refused = process_memory_at_least(file)
    check(refused, "it starts with nothing")
    return f"{refused} refused with 5, served with {kib} KiB"


TABLE = {
    "memory": row(resource.RLIMIT_DATA, lambda: growing(resource.RLIMIT_DATA, 1.15), 4096),
    "process memory": {"start": lambda: little_process_memory(HELLO), "load": lambda: little_process_memory(LARGE.name),
        "request": lambda: in_a_request(ProcessMemory()), "reset": lambda: at_a_reset(ProcessMemory()), "drain": lambda: in_a_drain(ProcessMemory())},
    "address space": row(resource.RLIMIT_AS, lambda: growing(resource.RLIMIT_AS, 1.3), 4096),
    "descriptors": {**row(resource.RLIMIT_NOFILE, lambda: range(4, 200), 4),
        "request": lambda: descriptors_in_a_request(Spending(resource.RLIMIT_NOFILE, 4))},
    "threads": {"start": lambda: sweep(HELLO, resource.RLIMIT_NPROC, range(20), "--no-cache", uid=own_uid()),
        "load": lambda: sweep(LARGE.name, resource.RLIMIT_NPROC, range(20), "--no-cache", uid=own_uid()),
        "request": lambda: in_a_request(Threads()), "reset": lambda: at_a_reset(Threads()), "drain": lambda: in_a_drain(Threads())},
    "disk": {"start": disk_at_a_start, "load": disk_during_a_load, "request": lambda: in_a_request(FullDisk()), "reset": lambda: at_a_reset(FullDisk()),
        "drain": lambda: in_a_drain(FullDisk())},
}

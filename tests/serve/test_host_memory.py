"""Memory that the host keeps on a guest's behalf is the guest's: within --memory, whatever it is kept for."""
import functools, re, subprocess, tempfile
from pathlib import Path

import hungry, watched, work
from assemble import *
from harness import SHARED, Server, Skip, check, config


def _run(component, *flags):
    """(exit status, stderr)"""
    with tempfile.TemporaryDirectory() as d:
        at = component.write(Path(d) / "guest.wasm")
        p = subprocess.run([str(config.tenon), "run", *map(str, flags), str(at)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        return p.returncode, p.stderr


def _grown(kind):
    """MiB by which a server grew for a guest that made as much of a kind as 16 MiB allow."""
    with tempfile.TemporaryDirectory() as d, Server(hungry.MEMORY[kind]().write(Path(d) / "guest.wasm"), "--memory", "16MiB", "--handles", "none") as s:
        before = s.status("VmRSS")
        a = s.get("/")
        mib, trap = (s.status("VmHWM") - before) / 1024, s.receipt("/").get("trap", "")
        check(a.status >= 500 and "--memory" in trap and mib <= 16 * 1.1, f"{kind}: {a.status}, {mib:.1f} MiB, {trap}")
        return mib


# What a function of these gives, or what it is called on (True).
HOARDS = {"descriptors": ("wasi:filesystem/types", "[method]descriptor.sync-data", True),
    "file_input": ("wasi:filesystem/types", "[method]descriptor.read-via-stream", False),
    "file_output": ("wasi:filesystem/types", "[method]descriptor.write-via-stream", False),
    "directory_streams": ("wasi:filesystem/types", "[method]descriptor.read-directory", False),
    "outgoing_requests": ("wasi:http/types", "[method]future-incoming-response.subscribe", True),
    "incoming_responses": ("wasi:http/types", "[method]incoming-response.status", True), "errors": ("wasi:io/error", "[method]error.to-debug-string", True)}


def _hoarded(kind):
    """The same of objects of files and of requests that it sends; it ends at its memory or, where descriptors allow no more, at its time."""
    guest = work.Hoard(work.wit(), *HOARDS[kind])
    with tempfile.TemporaryDirectory() as d:
        at, share = Path(d) / "guest.wasm", Path(d) / "share"
        at.write_bytes(guest.assemble(work.peer().authority))
        share.mkdir()
        with Server(at, "--memory", "16MiB", "--handles", "none", "--open-files", "none", "--cpu", "1s", "--deadline", "300s", "--net", "127.0.0.1", "--dir",
                f"{share}::/") as s:
            check(s.get("/others").status == 200, "nobody is answered")
            before = s.status("VmRSS")
            s.post("/", timeout=300)
            r = s.receipt("/")
            mib = (s.status("VmHWM") - before) / 1024
            ends = ("trap", "cpu budget spent")  # a trap at the limit, or for what wasn't given there
            check(r["outcome"] in ends and r["host_calls"] > 500 and mib <= 16 * 1.1, f"{kind}: {r['outcome']}, {mib:.1f} MiB, {r['host_calls']} calls, {r.get('trap')}")
            return mib


GROWN = {**{kind: functools.partial(_grown, kind) for kind in hungry.MEMORY}, **{kind: functools.partial(_hoarded, kind) for kind in HOARDS}}


def each_kind_of_host_object_is_within_memory():
    if not config.release:
        raise Skip("another build's memory says nothing")
    return "MiB of 16: " + ", ".join(f"{kind} {grown():.1f}" for kind, grown in GROWN.items())


def what_was_given_back_is_no_longer_counted():
    """10,000 times 60 KB in a field that is set anew, and in one that is appended to and deleted; a request's texts likewise."""
    c = Component()
    h = hungry.http(c)
    hungry.new_fields(h)
    hungry.append(h)
    h.func("[method]fields.delete", [("self", h.borrow(h.f)), ("name", STRING)], h.result(None, h.error), ([I32] * 4, []))
    h.func("[method]fields.set", [("self", h.borrow(h.f)), ("name", STRING), ("value", h.list(h.bytes))], h.result(None, h.error), ([I32] * 6, []))
    h.func("[constructor]outgoing-request", [("headers", h.own(h.f))], h.own(h.rq), ([I32], [I32]))
    h.func("[method]outgoing-request.set-path-with-query", [("self", h.borrow(h.rq)), ("path-with-query", h.option(STRING))], h.result(), ([I32] * 4, [I32]))
    name_ = const(0) + const(1)
    body = (store(0, 97, 1) + store(32, 4096) + store(36, 60000) + fill(4096, 47, 60000) + c.call("[constructor]fields") + put(1) +
        c.call("[constructor]fields") + c.call("[constructor]outgoing-request") + put(2) + times(0, 10000,
        get(1) + name_ + const(4096) + const(60000) + const(16) + c.call("[method]fields.append") + load(16) + b"\x04\x40" + UNREACHABLE + b"\x0b" +
        get(1) + name_ + const(16) + c.call("[method]fields.delete") +
        get(1) + name_ + const(32) + const(1) + const(16) + c.call("[method]fields.set") + load(16) + b"\x04\x40" + UNREACHABLE + b"\x0b" +
        get(1) + name_ + const(16) + c.call("[method]fields.delete") +
        get(2) + const(1) + const(4096) + const(60000) + c.call("[method]outgoing-request.set-path-with-query") + b"\x04\x40" + UNREACHABLE + b"\x0b"))
    status, err = _run(hungry.command(body, (I32, I32, I32), c), "--memory", "1MiB")
    check(status == 0, err)


def the_limit_that_was_met_is_named():
    for flags, words in ((["--memory", "1"], ["memory limit exceeded", "--memory"]), (["--handles", "1"], ["--handles"])):
        status, err = _run(hungry.long_fields(), *flags)
        check(status != 0 and all(w in err for w in words) and "table" not in err, f"{flags}: {status} {err}")
    with tempfile.TemporaryDirectory() as d:
        at = hungry.random_bytes().write(Path(d) / "guest.wasm")
        for flags, words in ((["--memory", "1"], ["memory limit exceeded", "--memory"]), (["--handles", "1"], ["two handles", "--handles"])):
            p = subprocess.run([str(config.tenon), "serve", "--addr", "127.0.0.1:0", *flags, str(at)], capture_output=True, text=True, timeout=30)
            check(p.returncode not in (0, 5) and "ready" not in p.stdout and all(w in p.stderr for w in words), f"{flags}: {p.returncode} {p.stdout}{p.stderr}")


def destructors_of_ones_own_resources_are_no_calls_between_components():
    c = Component()
    c.resource()
    status, err = _run(hungry.command(times(0, 100, const(7) + c.call("resource.new") + c.call("resource.drop")), c=c), "--call-depth", "1")
    check(status == 0, err)


def chains_of_destructors_are_bounded_by_the_stack():
    at = SHARED / "faults/dtor.wasm"
    if not at.exists():
        raise Skip("../shared is not there")
    for n, ok in ((33, True), (500, True), (1000000, False)):
        p = subprocess.run([str(config.tenon), "run", "--handles", "none", "--invoke", f"run({n})", str(at)], capture_output=True, text=True, timeout=60)
        check(p.returncode == 0 if ok else "call stack exhausted" in p.stderr, f"{n}: {p.returncode} {p.stderr[:200]}")


def nothing_is_allocated_in_a_guests_call_that_no_account_knows_of():
    """The guests of ../shared by a build that sees each allocation, those of libraries as well."""
    if not config.release:
        raise Skip("another build is watched")
    with tempfile.TemporaryDirectory() as d:
        told, n = Path(d) / "told", 0
        for folder in ("http", "cli"):
            out = watched.run_guests(folder, told)
            m = re.search(r"^(\d+) passed, (\d+) failed", out, re.M)  # what fails here fails among the guests; some take long by the clock
            check(m and int(m.group(1)) > 20 * int(m.group(2)), f"{folder}: {out[-2000:]}")
            n += int(m.group(1))
        lines = told.read_text().splitlines()
        check(len(lines) > 50, f"{len(lines)} allocations were seen: fewer than lines of the log are made")
        found = watched.unaccounted(lines)
        check(not found, "\n".join(f"{k} times {how}" for how, k in found.most_common(20)))
        return f"{n} cases; {len(lines)} allocations that need no account"

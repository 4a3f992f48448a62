"""Memory that the host keeps on a guest's behalf is the guest's: within --memory, whatever it is kept for."""
import subprocess, tempfile
from pathlib import Path

import hungry
from assemble import *
from harness import SHARED, Server, Skip, check, config


def _run(component, *flags):
    """(exit status, stderr)"""
    with tempfile.TemporaryDirectory() as d:
        at = component.write(Path(d) / "guest.wasm")
        p = subprocess.run([str(config.tenon), "run", *map(str, flags), str(at)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        return p.returncode, p.stderr


def each_kind_of_host_object_is_within_memory():
    if not config.release:
        raise Skip("another build's memory says nothing")
    table, bad = [], []
    for kind, make in hungry.MEMORY.items():
        with tempfile.TemporaryDirectory() as d, Server(make().write(Path(d) / "guest.wasm"), "--memory", "16MiB", "--handles", "none") as s:
            before = s.status("VmRSS")
            a = s.get("/")
            grown, trap = (s.status("VmHWM") - before) / 1024, s.receipt("/").get("trap", "")
            table.append(f"{kind} {grown:.1f}")
            if a.status < 500 or "--memory" not in trap or grown > 16 * 1.1:
                bad.append(f"{kind}: {a.status}, {grown:.1f} MiB, {trap}")
    check(not bad, "; ".join(bad))
    return "MiB of 16: " + ", ".join(table)


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

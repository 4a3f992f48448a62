"""Places among the calls (instances.max, limits.calls): a request that waits for one has it as soon as it is there, whoever gave it back."""
import socket, struct, tempfile, time
from pathlib import Path

from assemble import Component, I32, I64, STRING, U32, U64, UNREACHABLE, const, const64, get, handler, put, s
from front import ask, connect
from harness import Many, Server, check
from test_apply import Host
from test_kept_turns import MATH
from writing import until

LONG = 60_000_000_000  # of a guest that only sleeps, in ns: until its client goes


def _component():
    """(component, wasi:http/types, code that sleeps and needs a local)."""
    c = Component()
    poll = c.interface("wasi:io/poll@0.2.0")
    pollable = poll.resource("pollable")
    poll.func("[method]pollable.block", [("self", poll.borrow(pollable))], None, ([I32], []))
    clock = c.interface("wasi:clocks/monotonic-clock@0.2.0")
    clock.func("subscribe-duration", [("when", U64)], clock.own(clock.use(poll, "pollable")), ([I64], [I32]))
    h = c.interface("wasi:http/types@0.2.0")
    h.resource("incoming-request")
    h.resource("response-outparam")
    return c, h, lambda local, ns: const64(ns) + c.call("subscribe-duration") + put(local) + get(local) + c.call("[method]pollable.block")


def _handler(c, h, body):
    c.code("handle", ([I32, I32], []), [I32], body, handler(c, h), "wasi:http/incoming-handler@0.2.0")
    return c


def _fails():
    """Answers requests at once; `fail` of a call traps after a while, which the caller is told."""
    c, h, sleep = _component()
    _handler(c, h, b"")
    c.code("fail", ([], [I32]), [I32], sleep(0, 500_000_000) + UNREACHABLE, [b"\x6a\1" + U32 + b"\1" + STRING, lambda n: b"\x40\0\0" + s(n)], MATH)
    return c


def _calls():
    """Calls that, and goes on for long."""
    c, h, sleep = _component()
    i = c.interface(MATH)
    i.func("fail", [], i.result(U32, STRING), ([I32], []))
    return _handler(c, h, const(64) + c.call("fail") + sleep(2, LONG))


def _route(label, more=""):
    return f'[component.{label}]\nsource = "{label}.wasm"\n{more}\n[[trigger.http]]\nroute = "/{label}/..."\ncomponent = "{label}"\n'


def a_place_that_a_call_gives_back_is_the_next_requests():
    for shards in (1, 2):
        with tempfile.TemporaryDirectory() as folder:
            _fails().write(Path(folder, "one.wasm"))
            _calls().write(Path(folder, "by.wasm"))
            Path(folder, "tenon.toml").write_text('tenon = 1\n[app]\nname = "places"\n' + _route("one", "instances = { max = 1 }") +
                _route("by", f'links = {{ "{MATH}" = "one" }}') + '[link.one]\ntype = "component"\ncomponent = "one"\n')
            with Server(folder, "--queue-timeout", "60s", shards=shards, command="up") as server:
                for _ in range(1 if shards == 1 else 4):  # the two come to one thread, or to two
                    held = server.connect(timeout=60)
                    held.ask("/by/")
                    time.sleep(0.2)
                    check(server.get("/one/", timeout=60).status == 500, server.log_text()[-1000:])
                    check(not server.receipts("/by/"), "who has called goes on: what it gave back was not taken before its end")
                    held.reset()
                    server.receipt("/by/")
                    server.lines.clear()


def who_waits_begins_when_there_may_be_more_calls():
    with tempfile.TemporaryDirectory() as top, Host(top) as host:
        c, h, sleep = _component()
        _handler(c, h, sleep(2, LONG)).write(Path(top) / "slow.wasm")
        c, h, _ = _component()
        _handler(c, h, b"").write(Path(top) / "quick.wasm")

        def app(calls):
            limits = f"limits = {{ calls = {calls} }}\n" if calls else ""
            return host.write("a", limits + _route("slow") + _route("quick"), slow=Path(top) / "slow.wasm", quick=Path(top) / "quick.wasm")
        host.start(app(1), flags=("--addr", "127.0.0.1:0", "--queue-timeout", "60s"))

        def has(label, what, n):
            return [c[what] for c in host.json("/v1/apps/a/status")["components"] if c["component"] == label] == [n]
        with connect(host.at[0], 60) as held:
            held.sendall(b"GET /slow/ HTTP/1.1\r\nHost: a\r\n\r\n")
            check(until(lambda: has("slow", "in_flight", 1)), "it does not begin")
            asked = Many([lambda: ask(host.at[0], "/quick/", timeout=60).status] * 4)
            check(until(lambda: has("quick", "queued", 4)), "they don't wait")
            host.tenon("apply", app(100))
            got = asked.join(120)
            check(got == [500] * 4 and has("slow", "in_flight", 1), got)
            held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # who has gone for good ends what he asked for

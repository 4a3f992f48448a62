"""A component that is kept, asked by a route and called by others at once: neither waits for the end of the other's load."""
import tempfile
from pathlib import Path

from assemble import Component, I32, U32, const, handler, one_call, times
from harness import Many, Server, check

MATH = "test:math/ops@1.0.0"
WORK = 8_000_000  # turns of a loop: milliseconds, about what clients take to ask again
ENOUGH = 96  # answers
COUNT = [b"\x40\0\0" + U32]  # func() -> u32


def _kept():
    """Answers requests by nothing, and calls by a number; both take their time."""
    c = Component()
    h = c.interface("wasi:http/types@0.2.0")
    h.resource("incoming-request")
    h.resource("response-outparam")
    c.code("handle", ([I32, I32], []), [I32], times(2, WORK, b""), handler(c, h), "wasi:http/incoming-handler@0.2.0")
    c.code("count", ([], [I32]), [I32], times(0, WORK, b"") + const(7), COUNT, MATH)
    return c.assemble()


def _route(label, more):
    return f'[component.{label}]\nsource = "{label}.wasm"\n{more}\n[[trigger.http]]\nroute = "/{label}/..."\ncomponent = "{label}"\n'


def _up(folder, shards):
    Path(folder, "kept.wasm").write_bytes(_kept())
    Path(folder, "by.wasm").write_bytes(one_call(MATH, "count"))
    Path(folder, "tenon.toml").write_text('tenon = 1\n[app]\nname = "turns"\n' + _route("kept", 'policy = "keep"\nlimits = { deadline = "60s" }') +
        _route("by", f'links = {{ "{MATH}" = "kept" }}\nlimits = {{ deadline = "60s" }}') + '[link.kept]\ntype = "component"\ncomponent = "kept"\n')
    return Server(folder, shards=shards, command="up")


def _load(server, clients, until):
    """Of so many clients by label, each asking again when it was answered: how many answers each label has when the first of them has `until`."""
    done, ends = dict.fromkeys(clients, 0), []

    def run(label):
        while not ends:
            status = server.get(f"/{label}/").status
            check(status == 500, f"{label}: {status}: {server.log_text()[-1000:]}")  # of a guest that doesn't answer
            done[label] += 1
            if max(done.values()) >= until:
                ends.append(dict(done))
    bad = [r for r in Many([lambda label=label: run(label) for label, n in clients.items() for _ in range(n)]).join(120) if r]
    check(not bad, bad[:3])
    return ends[0]


def requests_without_end_leave_turns_to_calls_and_calls_to_requests():
    for shards in (1, 2):
        for clients in ({"kept": 12, "by": 2}, {"kept": 2, "by": 8}, {"kept": 4, "by": 4}):
            with tempfile.TemporaryDirectory() as folder, _up(folder, shards) as server:
                done = _load(server, clients, ENOUGH)
                few = min(done, key=done.get)
                # By turns it is one request, and then the calls that wait by then: at most as many as there are callers.
                least = ENOUGH // (16 if few == "by" else 4 * clients["by"])
                check(done[few] >= least, f"{shards} threads, clients {clients}: answered were {done}")

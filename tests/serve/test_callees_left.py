"""What a component leaves that others call over a link: its instances are emptied in pieces, and who calls it meanwhile waits for one."""
import tempfile
from pathlib import Path

from assemble import *
from harness import Many, Server, check
from test_components import MATH

THINGS = 40_000  # streams that a call makes and leaves, both ends


def _leaves():
    c = Component()
    c.builtin("stream.new", ([], [I64]), b"\x0e" + u(c.define(b"\x66\x01" + U8)))
    c.code("count", ([], [I32]), [I32], times(0, THINGS, c.call("stream.new") + DROP) + const(7), [b"\x40\0\0" + U32], MATH)
    return c.assemble()


def _up(folder, shards):
    Path(folder, "leaves.wasm").write_bytes(_leaves())
    Path(folder, "asks.wasm").write_bytes(one_call(MATH, "count"))
    limits = 'limits = { deadline = "none", cpu = "none", handles = "none", memory = "1GiB" }\n'
    Path(folder, "tenon.toml").write_text(f'tenon = 1\n[app]\nname = "left"\n[component.leaves]\nsource = "leaves.wasm"\n{limits}'
        f'[component.asks]\nsource = "asks.wasm"\n{limits}links = {{ "{MATH}" = "leaves" }}\n[link.leaves]\ntype = "component"\ncomponent = "leaves"\n'
        '[[trigger.http]]\nroute = "/..."\ncomponent = "asks"\n')
    return Server(folder, shards=shards, command="up")


def calls_wait_while_instances_that_were_filled_are_emptied():
    clients, each = 10, 3
    with tempfile.TemporaryDirectory() as folder, _up(folder, 1) as s:
        def ask():
            for _ in range(each):
                a = s.get("/", timeout=120)
                check(a.status == 500, f"{a.status}")
        bad = [r for r in Many([ask] * clients).join(300) if r]
        check(not bad, bad[:1])
        ends = [s.receipt("/", n + 1) for n in range(clients * each)]
        check({r["outcome"] for r in ends} == {"no response"}, f"{[r for r in ends if r['outcome'] != 'no response'][:2]}")

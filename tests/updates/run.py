#!/usr/bin/env python3
"""A component that gets another version under load, many times (docs/testing.md): two components by turns, of which one was never compiled before; a share of the
requests, counted. Nothing may fail, memory and descriptors of the server stay as they are.

    run.py [--short] [--updates N] [--requests N] [--clients N] [--shards N]

The last line is the total."""
import argparse, asyncio, sys
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP / "tests/swaps"), str(TOP / "tests")]
from common import distinct  # noqa: E402
from load import Client, Load, Tenon, conclude  # noqa: E402

HELLO, OTHER = TOP / "examples/hello/hello.wasm", TOP / "examples/misbehave/misbehave.wasm"
SAYS = {HELLO: b"Hello from a component!\n", OTHER: b"well-behaved\n"}
MANIFEST = f"""tenon = 1
[app]
name = "shop"
[component.api]
source = "{HELLO}"
[[trigger.http]]
route = "/..."
component = "api"
"""
SHARES, PIPELINED = (1, 10, 50, 90), 100


class Marks:
    """How much it uses, where it has come to rest."""

    def __init__(self, t):
        self.t, self.seen = t, []

    async def take(self, most):
        descriptors = await self.t.descriptors_at_most(most)
        self.seen.append((self.t.memory_kib(), descriptors))


async def updates(t, n, clients, top):
    at_start, marks, fresh = t.descriptors(), Marks(t), top / "fresh.wasm"
    for lap in range(4):  # each with a load of its own: in between it comes to rest
        load = Load(t.port, clients, "GET", "/")
        for i in range(lap * n // 4, (lap + 1) * n // 4):
            file = HELLO
            if i % 2 == 0:
                fresh.write_bytes(distinct(OTHER, i))
                file = fresh
            code, _, said = await t.run("update", "shop/api", file)
            assert code == 0, f"update {i}: {code} {said}"
            status, body = await Client(t.port).ask("GET", "/")
            assert (status, body) == (200, SAYS[OTHER if file == fresh else HELLO]), f"update {i}: {status} {body}"
        await load.end()
        assert not load.failed, f"{len(load.failed)} of {len(load.times)} requests failed: {load.failed[:3]}"
        await marks.take(at_start + 4)
        times = sorted(load.times)
        print(f"{(lap + 1) * n // 4} updates, {len(times)} requests meanwhile, 0 failed; p50 {times[len(times) // 2] * 1000:.1f} ms, p99 {times[len(times) * 99 // 100] * 1000:.1f} ms; "
            f"memory {marks.seen[-1][0]} KiB, descriptors {at_start} to {marks.seen[-1][1]}", flush=True)
    first, last = marks.seen[0], marks.seen[-1]
    assert last[1] <= at_start + 4, f"descriptors are left: {at_start} to {last[1]}"
    assert last[0] <= first[0] * 1.1 + 4096, f"memory grows: {marks.seen}"


async def ask_many(port, n):
    """How many of so many requests, which follow each other on a connection, each version answered."""
    c, counts = Client(port), {}
    while n > 0:
        some = min(n, PIPELINED)
        await c.send("GET", "/", some)
        for _ in range(some):
            status, body = await c.read_answer()
            assert status == 200, (status, body)
            counts[body] = counts.get(body, 0) + 1
        n -= some
    c.w.close()
    return counts


async def shares(t, requests, clients):
    code, _, said = await t.run("update", "shop/api", HELLO)
    assert code == 0, said
    for i, share in enumerate(SHARES):
        code, _, said = await t.run("update", "shop/api", *([] if i else [OTHER]), "--percent", share)
        assert code == 0, said
        counts = await asyncio.gather(*(ask_many(t.port, requests // clients) for _ in range(clients)))
        tried, all_of_them = sum(c.get(SAYS[OTHER], 0) for c in counts), sum(sum(c.values()) for c in counts)
        print(f"--percent {share}: {tried} of {all_of_them} requests, {100 * tried / all_of_them:.3f} %", flush=True)
        assert abs(100 * tried / all_of_them - share) < 1, f"--percent {share}: {tried} of {all_of_them}"
    code, _, said = await t.run("update", "shop/api", "--rollback")
    assert code == 0, said


async def whole(args, top):
    t = Tenon(top, MANIFEST, args.shards)
    try:
        await shares(t, args.requests, args.clients)
        await updates(t, args.updates, args.clients, top)
    finally:
        t.end()


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--short", action="store_true")
    p.add_argument("--updates", type=int, default=1000)
    p.add_argument("--requests", type=int, default=100000, help="for each share")
    p.add_argument("--clients", type=int, default=16)
    p.add_argument("--shards", type=int, default=2)
    args = p.parse_args()
    if args.short:
        args.updates, args.requests, args.clients = 40, 4000, 8
    return conclude("updates", whole, args)


sys.exit(main())

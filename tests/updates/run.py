#!/usr/bin/env python3
"""A component that gets another version under load, many times (docs/testing.md): two components by turns, of which one was never compiled before; a share of the
requests, counted. Nothing may fail, memory and descriptors of the server stay as they are.

    run.py [--short] [--guest async] [--updates N] [--requests N] [--clients N] [--shards N]

--guest async: a component of WASI 0.3 with twenty calls in each instance, each version with bytes of its own; it keeps a name for each request in a store, and all are
there after each load. Shares are counted without it. The last line is the total."""
import argparse, asyncio, sys
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP / "tests/swaps"), str(TOP / "tests")]
from common import distinct  # noqa: E402
from load import IN_EACH, TALLY, Client, Load, Names, Tenon, ask_once, conclude, tally  # noqa: E402

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


class Answers:
    """Two components by turns, which are known by what they answer."""
    component, manifest = "shop/api", MANIFEST
    room = 4  # descriptors that come with a first load

    def __init__(self, clients):
        self.clients = clients

    def load(self, port):
        return Load(port, self.clients, "GET", "/")

    async def update(self, t, i, fresh):
        file = HELLO
        if i % 2 == 0:
            fresh.write_bytes(distinct(OTHER, i))
            file = fresh
        code, _, said = await t.run("update", self.component, file)
        assert code == 0, f"update {i}: {code} {said}"
        status, body = await ask_once(t.port, "GET", "/")
        assert (status, body) == (200, SAYS[OTHER if file == fresh else HELLO]), f"update {i}: {status} {body}"

    async def look(self, t, load):
        return


class Kept:
    """One that keeps a name for each request, asynchronously."""
    component = "counter/c"
    room = 8  # those of a store's file, which is moved to, besides

    def __init__(self, clients):
        self.manifest, self.clients, self.n = tally(TALLY, 'type = "file"', 'path = "0.db"', 'deadline = "20s"'), clients, 0

    def load(self, port):
        return Names(port, self.clients)

    async def update(self, t, i, fresh):
        fresh.write_bytes(distinct(TALLY, i))
        code, _, said = await t.run("update", self.component, fresh)
        assert code == 0, f"update {i}: {code} {said}"

    async def look(self, t, load):
        """After each load all of them are there; the next one begins with a store of its own."""
        there = await Names.count(t.port)
        assert there == load.acknowledged, f"{there} names are there, {load.acknowledged} were acknowledged"
        self.n += 1
        code, _, said = await t.run("link", "counter", "@store", f"file:{t.top}/{self.n}.db")
        assert code == 0, said
        assert Names.most >= IN_EACH * 3 // 4, f"at most {Names.most} calls were in an instance at once"


async def updates(t, guest, n, top):
    at_start, marks, fresh = t.descriptors(), Marks(t), top / "fresh.wasm"
    for lap in range(4):  # each with a load of its own: in between it comes to rest
        load = guest.load(t.port)
        for i in range(lap * n // 4, (lap + 1) * n // 4):
            await guest.update(t, i, fresh)
        await load.end()
        assert not load.failed, f"{len(load.failed)} of {len(load.times)} requests failed: {load.failed[:3]}"
        await guest.look(t, load)
        await marks.take(at_start + guest.room)
        times = sorted(load.times)
        print(f"{(lap + 1) * n // 4} updates, {len(times)} requests meanwhile, 0 failed; p50 {times[len(times) // 2] * 1000:.1f} ms, p99 {times[len(times) * 99 // 100] * 1000:.1f} ms; "
            f"memory {marks.seen[-1][0]} KiB, descriptors {at_start} to {marks.seen[-1][1]}", flush=True)
    first, last = marks.seen[1], marks.seen[-1]  # what the first load made stays
    assert last[1] <= at_start + guest.room, f"descriptors are left: {at_start} to {last[1]}"
    assert last[0] <= first[0] * 1.1 + 4096, f"memory grows: {marks.seen}"


async def ask_many(port, n):
    """How many of so many requests, which follow each other on a connection, each version answered."""
    counts = {}
    with Client(port) as c:
        while n > 0:
            some = min(n, PIPELINED)
            await c.send("GET", "/", some)
            for _ in range(some):
                status, body = await c.read_answer()
                assert status == 200, (status, body)
                counts[body] = counts.get(body, 0) + 1
            n -= some
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
    is_async = args.guest == "async"
    guest = Kept(args.clients or 2 * IN_EACH * args.shards) if is_async else Answers(args.clients or 16)
    t = Tenon(top, guest.manifest, args.shards)
    try:
        if not is_async:
            await shares(t, args.requests, guest.clients)
        await updates(t, guest, args.updates, top)
    finally:
        t.end()


def main():
    p = argparse.ArgumentParser(prog="./dev updates", )
    p.add_argument("--short", action="store_true")
    p.add_argument("--updates", type=int, default=1000)
    p.add_argument("--requests", type=int, default=100000, help="for each share")
    p.add_argument("--clients", type=int, help="16, or as many as make each instance of an async guest full")
    p.add_argument("--guest", choices=("sync", "async"), default="sync")
    p.add_argument("--shards", type=int, default=2)
    args = p.parse_args()
    if args.short:
        args.updates, args.requests = 40, 4000
        args.clients = args.clients or (8 if args.guest == "sync" else None)
    return conclude("updates", whole, args)


sys.exit(main())

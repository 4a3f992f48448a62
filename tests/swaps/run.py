#!/usr/bin/env python3
"""Stores changed under load, many times (docs/testing.md): one component, clients that increment all the time, its store moved by `tenon link --copy` through all
types and back; of some changes the target is killed in the middle. Counts must be exact, nothing may fail, memory and descriptors of the server stay as they are.

    run.py [--short] [--guest async] [--swaps N] [--kills N] [--clients N] [--shards N]

A machine that is too slow for its clients is given fewer (how often is told): a change that is refused for that is asked for again with half of them.
--guest async: one of WASI 0.3, twenty calls in each instance, that keeps names; between the loads a store without any takes the place. A change whose target was killed must leave the store of before in force, or be whole. The last line is the total."""
import argparse, asyncio, random, sys
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP / "tests/real")]
import servers  # noqa: E402
from load import IN_EACH, SHARED, TALLY, Client, Load, Names, Tenon, ask_once, conclude, counter, tally as tally_app  # noqa: E402

GUEST = SHARED / "guests/kv/kv-counter-c.wasm"
STORE = ('type = "memory"', 'deadline = "20s"')
COLD = 300  # keys that nobody writes meanwhile
# Why a change is refused on a machine that doesn't keep up with its clients: it is asked for again, with half of them.
TOO_BUSY = ("within the longest pause", "after the longest pause", "before the deadline of the call", "the server does not answer")
PAUSES = (1, 4, 16, 16, 16)


class Sequence:
    """Which store is next: through all types, there and back."""

    def __init__(self, top, running):
        self.top, self.running, self.n = top, running, 0

    def next(self, fragile):
        """fragile: one of a server that can be killed."""
        self.n += 1
        kinds = (["redis", "nats"] if fragile else ["file", "redis", "nats", "redis", "file", "memory"])
        kind = kinds[self.n % len(kinds)]
        if kind in ("redis", "nats") and kind not in self.running:
            kind = "file" if not fragile else next(iter(self.running))
        at = self.n % 2
        if kind == "file":
            return None, f"file:{self.top}/{at}.db"
        if kind == "memory":
            return None, f"memory:m{at}"
        s = self.running[kind]
        return s, f"redis://127.0.0.1:{s.port}/{at}" if kind == "redis" else f"nats://127.0.0.1:{s.port}/links{at}"


class Increments:
    """By a guest in C: one key, and as many beside it that nobody writes."""

    def __init__(self, clients):
        self.manifest, self.clients, self.known = counter(GUEST, *STORE), clients, "/get/cold-0"

    def load(self, port):
        return Load(port, self.clients)

    async def count(self, port):
        status, body = await ask_once(port, "GET", "/get/n")
        assert status in (200, 404), (status, body)
        return int(body) if status == 200 else 0

    async def begin(self, t):
        with Client(t.port) as c:
            for i in range(COLD):
                assert (await c.ask("PUT", f"/set/cold-{i}"))[0] == 200

    async def end(self, t):
        with Client(t.port) as c:
            for i in range(COLD):
                assert (await c.ask("GET", f"/get/cold-{i}"))[0] == 200, f"cold-{i} is lost"

    async def between(self, t, n):
        return


class Sets:
    """By an async guest: names, each written once and never again."""

    def __init__(self, clients, shards):
        self.manifest, self.clients, self.known = tally_app(TALLY, *STORE), clients or 2 * IN_EACH * shards, "/first"

    def load(self, port):
        return Names(port, self.clients)

    async def count(self, port):
        return await Names.count(port)

    async def begin(self, t):
        return

    async def end(self, t):
        assert Names.most >= IN_EACH * 3 // 4, f"at most {Names.most} calls were in an instance at once"

    async def between(self, t, n):
        """There would be more names than the changes are about."""
        for _ in PAUSES:
            code, _, said = await t.run("link", "counter", "@store", f"memory:none{n}")
            if code == 0 or not is_too_busy(said):
                break
        assert code == 0, said


def is_too_busy(said):
    return any(why in said for why in TOO_BUSY)


async def count(guest, port):
    for _ in range(200):
        try:
            return await guest.count(port)
        except (OSError, AssertionError) as e:
            said = e
        await asyncio.sleep(0.1)
    raise AssertionError(f"the count can't be read: {said!r}")


async def swap(t, guest, sequence, kills, load, tally):
    status = (await t.run("status", "counter"))[1]
    server, target = sequence.next(kills)
    for _ in range(20):
        if target != status["target"] and not (kills and f":{server.port}/" in status["target"]):  # its server is not to be the source's
            break
        server, target = sequence.next(kills)
    ask = lambda pause: t.run("link", "counter", "@store", target, "--copy", "--replace", "--max-pause", f"{pause}s")
    change = asyncio.create_task(ask(PAUSES[0]))
    if kills:
        await asyncio.sleep(random.random() * 0.25)
        server.kill()
    code, o, said = await change
    for pause in PAUSES[1:] if not kills else ():
        if code == 0 or not is_too_busy(said):
            break
        load.fewer()
        tally["fewest"] = min(tally["fewest"], load.active)
        assert (await t.run("status", "counter"))[1]["target"] == status["target"], f"{target}: refused, but it is in force: {said}"
        tally["again"] += 1
        code, o, said = await ask(pause)
    if not kills:
        if code:
            raise AssertionError(f"{target}: {code} {said}")
        tally["done"] += 1
        tally["pauses"].append(o["pause_ms"])
        return
    in_force = (await t.run("status", "counter"))[1]["target"]
    if in_force != (target if code == 0 else status["target"]):
        raise AssertionError(f"{target}: {code}, but {in_force} is in force: {said}")
    server.start()
    while isinstance(server, servers.Redis) and server.ask("ping") != "PONG":  # it loads what it has
        await asyncio.sleep(0.05)
    tally["died" if code else "whole"] += 1
    if code == 0:  # it stood there when its server died: what is not answered since is not known
        await load.end()
        tally["unknown"] += len(load.failed)
        await t.answers([guest.known] * 32)  # of each shard, whose next try to connect may be a moment away


async def phase(t, guest, sequence, kills, swaps, tally):
    """A load with its swaps; a killed target that was in force already ends the load, and the next swap has another."""
    if tally["n"]:
        await guest.between(t, tally["n"])
    before, failed_before = await count(guest, t.port), tally["unknown"]
    load = guest.load(t.port)
    await asyncio.sleep(0.2)
    for _ in range(swaps):
        await swap(t, guest, sequence, kills, load, tally)
        tally["n"] += 1
        if load.over:
            break
    if not load.over:
        await load.end()
    after, unknown = await count(guest, t.port), tally["unknown"] - failed_before
    if len(load.failed) != unknown:
        raise AssertionError(f"{len(load.failed)} requests failed: {load.failed[:3]}")
    if not before + load.acknowledged <= after <= before + load.acknowledged + unknown:
        raise AssertionError(f"{after} are counted, {before} were there, {load.acknowledged} acknowledged, {unknown} are not known")
    tally["acknowledged"] += load.acknowledged
    tally["times"] += load.times


async def whole(args, top, running):
    guest = Sets(args.clients, args.shards) if args.guest == "async" else Increments(args.clients or 64)
    t = Tenon(top, guest.manifest, args.shards)
    sequence, tally = Sequence(top, running), {"n": 0, "fewest": 1 << 30, "done": 0, "died": 0, "whole": 0, "again": 0, "unknown": 0, "acknowledged": 0, "times": [], "pauses": []}
    try:
        at_start = t.descriptors()
        await guest.begin(t)
        kills, swaps, marks = (args.kills if len(running) == 2 else 0), args.swaps, []
        while tally["n"] < swaps:
            left = swaps - tally["n"]
            await phase(t, guest, sequence, False, min(6, max(1, left - (1 if kills else 0))), tally)
            for _ in range(2):
                if kills and tally["n"] < swaps:
                    await phase(t, guest, sequence, True, 1, tally)
                    kills -= 1
            marks.append((t.memory_kib(), t.descriptors()))
        await guest.end(t)
        for end in ("memory:end0", "memory:end1"):  # the store before the last one stays open
            assert (await t.run("link", "counter", "@store", end, "--copy", "--replace"))[0] == 0
        marks.append((t.memory_kib(), await t.descriptors_at_most(at_start + 4)))
        first, last = marks[len(marks) // 3], marks[-1]
        times, pauses = sorted(tally["times"]), sorted(tally["pauses"])
        fewer = f" with fewer clients, at least {tally['fewest']}" if tally["again"] else ""
        print(f"{tally['n']} swaps: {tally['done']} done, {tally['died']} whose target died, {tally['whole']} in force before it died, {tally['again']} refused for now and asked for again{fewer}; {tally['acknowledged']} {guest.__class__.__name__.lower()} counted exactly, {tally['unknown']} not known; "
            f"pause {pauses[len(pauses) // 2]} ms, at most {pauses[-1]} ms; requests p50 {times[len(times) // 2] * 1000:.1f} ms, p99 {times[len(times) * 99 // 100] * 1000:.1f} ms; "
            f"memory {first[0]} to {last[0]} KiB, descriptors {at_start} to {last[1]}")
        assert last[1] <= at_start + 4, f"descriptors are left: {t.open_files()}"
        assert last[0] <= first[0] * 1.2 + 8192, "memory grows"
    finally:
        t.end()


def main():
    p = argparse.ArgumentParser(prog="./dev swaps", )
    p.add_argument("--short", action="store_true")
    p.add_argument("--swaps", type=int, default=200)
    p.add_argument("--kills", type=int, default=50)
    p.add_argument("--clients", type=int, help="64, or as many as make each instance of an async guest full")
    p.add_argument("--guest", choices=("sync", "async"), default="sync")
    p.add_argument("--shards", type=int, default=2)
    args = p.parse_args()
    if args.short:
        args.swaps, args.kills = 18, 4
        args.clients = args.clients or (16 if args.guest == "sync" else None)
    if args.guest == "sync" and not GUEST.exists():
        print("skipped: ../shared is not there\n0 passed, 0 failed, 1 skipped")
        return 0
    running = {}
    for name, kind in (("redis", servers.Redis), ("nats", servers.Nats)):
        if why := kind.lacks():
            print(f"without {name}: {why}")
        else:
            running[name] = kind().start()
    try:
        return conclude("swaps", lambda args, top: whole(args, top, running), args)
    finally:
        for s in running.values():
            s.__exit__(None, None, None)


sys.exit(main())

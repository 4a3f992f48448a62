#!/usr/bin/env python3
"""A store in a file whose server dies in the middle of writes, many times (docs/testing.md): killed, and killed with its disk, which then lacks what was not
synced: all of it, or some of the pieces. What a guest was told to be written is there, once.

    run.py [--short] [--kills N] [--losses N] [--seed N]

The last line is the total."""
import argparse, asyncio, os, random, struct, subprocess, sys, time
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP / "tests/swaps")]
from load import SHARED, Client, Tenon, conclude, counter  # noqa: E402

GUEST = SHARED / "guests/kv/kv-counter-c.wasm"
KEYS, CLIENTS, SECTOR = 4, 8, 512
WRITTEN, CUT, SYNCED, MADE = range(4)


def build_forget(to):
    subprocess.run([os.environ.get("CC", "clang-19").split()[-1], "-std=gnu17", "-D_GNU_SOURCE", "-O2", "-shared", "-fPIC", "-o", to, TOP / "tests/preload/forget.c"], check=True)
    return to


def records(log):
    """(kind, path, offset, size before, bytes before, bytes written), the oldest first; one that is cut off never happened."""
    at, whole = 0, log.read_bytes()
    while at + 40 <= len(whole):
        kind, path_len, offset, before_len, n, size = struct.unpack_from("<IIQQQQ", whole, at)
        end = at + 40 + path_len + before_len + n
        if end > len(whole):
            return
        path = whole[at + 40:at + 40 + path_len].decode()
        yield kind, path, offset, size, whole[at + 40 + path_len:end - n], whole[end - n:end]
        at = end


def not_synced(log):
    """By file: what was done to it since it was synced; and the files that are new in folders that were not."""
    done, new = {}, set()
    for kind, path, *more in records(log):
        if kind == MADE:
            new.add(path)
        elif kind == SYNCED:  # a file, or a folder
            done[path] = []
            new = {p for p in new if os.path.dirname(p) != path}
        else:
            done.setdefault(path, []).append((kind, *more))
    return done, new


def lose(log, rng):
    """Makes the files what they are when the power is gone: as they were synced, and of what came after it nothing, or each sector or not. How many bytes are lost."""
    done, new = not_synced(log)
    share, lost = rng.choice((0.0, 0.0, 0.5, 0.9)), 0
    for path, changes in done.items():
        if not os.path.isfile(path):
            continue
        with open(path, "r+b") as f:
            for kind, offset, size, before, bytes_ in reversed(changes):
                f.seek(offset)
                f.write(before)
                f.truncate(size)
            for kind, offset, size, before, bytes_ in changes:
                if kind == CUT:
                    if rng.random() < share:
                        f.truncate(offset)
                    continue
                for i in range(0, len(bytes_), SECTOR):
                    piece = bytes_[i:i + SECTOR]
                    if rng.random() < share:
                        f.seek(offset + i)
                        f.write(piece)
                    else:
                        lost += len(piece)
    for path in new:
        if share == 0.0 and os.path.exists(path):
            os.unlink(path)
    return lost


class Counts:
    """By key: how often a client was told that it counts one more, and how often it does not know."""

    def __init__(self):
        self.told, self.unknown, self.over, self.failed = [0] * KEYS, [0] * KEYS, False, []

    async def client(self, port, n):
        c, key = Client(port), n % KEYS
        while not self.over:
            self.unknown[key] += 1
            try:
                status, body = await c.ask("POST", f"/incr/k{key}")
            except (OSError, ValueError, IndexError, asyncio.IncompleteReadError):
                return
            self.unknown[key] -= 1
            if status != 200:
                self.failed.append((status, body[:200]))
                return
            self.told[key] += 1

    def settle(self, key, counted):
        low, high = self.told[key], self.told[key] + self.unknown[key]
        assert low <= counted <= high, f"k{key} counts {counted}, {self.told[key]} were acknowledged, {self.unknown[key]} are not known"
        self.told[key], self.unknown[key] = counted, 0


class Crashes:
    def __init__(self, top, rng, preload=None):
        self.top, self.rng, self.preload, self.counts = top, rng, preload, Counts()
        self.folder, self.log = top / "data", top / "forget.log"
        self.folder.mkdir()
        self.acknowledged = self.lost = 0

    def start(self):
        self.log.unlink(missing_ok=True)
        env = {"LD_PRELOAD": str(self.preload), "FORGET_LOG": str(self.log), "FORGET_UNDER": str(self.folder)} if self.preload else {}
        return Tenon(self.top, counter(GUEST, 'type = "file"', f'path = "{self.folder}/a.db"'), 1, env=env)

    async def settle(self, t):
        c = Client(t.port)
        for key in range(KEYS):
            status, body = await c.ask("GET", f"/get/k{key}")
            assert status in (200, 404), f"the store can't be read: {status} {body[:300]}"
            self.counts.settle(key, int(body) if status == 200 else 0)
        c.w.close()

    async def round(self):
        t, counts = self.start(), self.counts
        try:
            await self.settle(t)
            before, counts.over = sum(counts.told), False
            clients = [asyncio.create_task(counts.client(t.port, i)) for i in range(CLIENTS)]
            while sum(counts.told) == before and not counts.failed:
                await asyncio.sleep(0.001)
            await asyncio.sleep(self.rng.random() * 0.05)
            t.p.kill()
            t.p.wait()
            counts.over = True
            await asyncio.gather(*clients)
            assert not counts.failed, counts.failed[:3]
            self.acknowledged += sum(counts.told) - before
            if self.preload:
                self.lost += lose(self.log, self.rng)
                for shared in self.folder.glob("*-shm"):
                    shared.unlink()
        finally:
            t.p.kill()
            t.p.wait()

    async def run(self, rounds, what):
        began = time.monotonic()
        for i in range(rounds):
            try:
                await self.round()
            except AssertionError as e:
                raise AssertionError(f"round {i} of {what}: {e}")
        t = self.start()
        try:
            await self.settle(t)
            t.end()
        finally:
            t.p.kill()
            t.p.wait()
        lost = f", {self.lost} bytes lost" if self.preload else ""
        print(f"{rounds} {what}: {self.acknowledged} increments acknowledged, none is missing{lost} ({time.monotonic() - began:.0f} s)", flush=True)


async def whole(args, top):
    rng = random.Random(args.seed)
    (top / "kills").mkdir()
    (top / "losses").mkdir()
    await Crashes(top / "kills", rng).run(args.kills, "kills")
    lossy = Crashes(top / "losses", rng, build_forget(top / "forget.so"))
    await lossy.run(args.losses, "losses of what was not synced")
    assert not args.losses or lossy.lost, "nothing was ever lost: the disk forgets nothing"


def main():
    p = argparse.ArgumentParser(prog="./dev crashes", )
    p.add_argument("--short", action="store_true")
    p.add_argument("--kills", type=int, default=1000)
    p.add_argument("--losses", type=int, default=1000)
    p.add_argument("--seed", type=int, default=time.time_ns())
    args = p.parse_args()
    if args.short:
        args.kills = args.losses = 12
    if not GUEST.exists():
        print("skipped: ../shared is not there\n0 passed, 0 failed, 1 skipped")
        return 0
    return conclude(f"crashes, --seed {args.seed}", whole, args)


sys.exit(main())

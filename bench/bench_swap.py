"""What requests see while a link is changed: the pause without copying and with 1,000 and 1,000,000 keys, p50 and p99 around it; and what a route and a link cost a request."""
import subprocess, sys, tempfile, threading, time
from pathlib import Path

import measure
from measure import Connection, Server, median, quantile, tenon

sys.path += [str(measure.TOP / "tests/real"), str(measure.TOP / "tests/swaps")]
import servers  # noqa: E402  of others: redis-server
from load import counter  # noqa: E402

ROUNDS = 5
GUEST = {"counter": "kv/kv-counter-c.wasm"}
AROUND = 0.3  # seconds before and behind a change that count as around it


def options(p):
    p.add_argument("--keys", type=int, action="append", help="copied; 1,000 and 1,000,000 unless said")
    p.add_argument("--clients", type=int, default=4)


class Clients:
    """They ask all the time; (when it began, microseconds) of each request."""

    def __init__(self, port, n):
        self.over, self.seen, self.failed = False, [], []
        self.threads = [threading.Thread(target=self.ask, args=(Connection(port), i), daemon=True) for i in range(n)]
        for t in self.threads:
            t.start()

    def ask(self, c, i):
        while not self.over:
            at = time.perf_counter()
            try:
                status, us = c.ask(f"/incr/n{i}", "POST")
            except (SystemExit, OSError) as e:
                self.failed.append(e)
                return
            if status != 200:
                self.failed.append(status)
                return
            self.seen.append((at, us))
            time.sleep(0.0005)

    def end(self):
        self.over = True
        for t in self.threads:
            t.join()
        if self.failed:
            sys.exit(f"a request failed: {self.failed[0]}")
        return self.seen


def change(o, server, env, target, flags):
    """One under load: its pause as the server tells it, and requests before, around and behind it, microseconds."""
    clients = Clients(server.port, o.clients)
    time.sleep(1)
    began = time.perf_counter()
    told = tenon(env, "link", "counter", "@store", target, "--max-pause", "1s", *flags)
    ended = time.perf_counter()
    time.sleep(1)
    seen = clients.end()
    around = [us for at, us in seen if ended - AROUND <= at + us / 1e6 and at <= ended + AROUND] if flags else [us for at, us in seen if began <= at + us / 1e6 and at <= ended]
    return {"pause_ms": told["pause_ms"], "took_ms": (ended - began) * 1000, "keys": told.get("keys", 0), "before": [us for at, us in seen if at < began - 0.01],
        "around": around, "longest_ms": max(around, default=0) / 1000}


def fill(redis, db, n):
    """Keys of the app's bucket, by Redis' own client, as docs/stores.md has their names."""
    p = subprocess.Popen(["redis-cli", "-p", str(redis.port), "-n", str(db), "--pipe"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    for at in range(0, n, 10000):
        p.stdin.write("".join(f"SET default/counter/default/cold-{i} {i}\r\n" for i in range(at, min(n, at + 10000))).encode())
    p.stdin.close()
    if p.wait():
        sys.exit("redis-cli --pipe failed")


def serve(top, file, store):
    (top / "tenon.toml").write_text(counter(file, store, 'deadline = "20s"'))
    env = {"TENON_CTL": str(top / "ctl"), "TENON_STATE": str(top / "state"), "TENON_CACHE": str(top / "cache")}
    server = Server([measure.TENON, "up", top, "--addr", "127.0.0.1:{port}", "--shards", "2"], env=env)
    if not server.wait_ready(any_status=True):
        server.stop()
        sys.exit("tenon up did not come up: build/bench/server.log")
    return server, env


def without_copy(o, file):
    with tempfile.TemporaryDirectory(prefix="tenon-bench-") as top:
        server, env = serve(Path(top), file, 'type = "memory"')
        try:
            return [change(o, server, env, f"memory:m{i}", ()) for i in range(o.rounds)]
        finally:
            server.stop()


def with_copy(o, file, keys):
    """From one database of a Redis to another, and back."""
    with tempfile.TemporaryDirectory(prefix="tenon-bench-") as top, servers.Redis("--appendonly", "no") as redis:
        fill(redis, 0, keys)
        server, env = serve(Path(top), file, f'type = "redis"\nurl = "redis://127.0.0.1:{redis.port}/0"')
        try:
            return [change(o, server, env, f"redis://127.0.0.1:{redis.port}/{(i + 1) % 2}", ("--copy", "--replace")) for i in range(o.rounds if keys < 100000 else 2)]
        finally:
            server.stop()


def run(o):
    file = measure.guest("counter", GUEST)
    if not file:
        sys.exit("the guest kv-counter-c is not on this machine")
    data = {"without a copy": without_copy(o, file)}
    for keys in o.keys or ([1000, 1000000] if not servers.Redis.lacks() else []):
        data[f"{keys:,} keys copied"] = with_copy(o, file, keys)
    rows = []
    for name, found in data.items():
        before, around = ([us for f in found for us in f[k]] for k in ("before", "around"))
        rows.append([name, len(found), float(median([f["pause_ms"] for f in found])), float(max(f["pause_ms"] for f in found)), round(median([f["took_ms"] for f in found])),
            round(quantile(before, 0.5)), round(quantile(before, 0.99)), round(quantile(around, 0.5)), round(quantile(around, 0.99)), round(max(f["longest_ms"] for f in found), 1)])
    measure.table(["change", "times", "pause ms", "most", "took ms", "before: p50 us", "p99", "around: p50 us", "p99", "longest ms"], rows)
    print()
    routing = [measure.tenon_bench(program="bench-routing") for _ in range(o.rounds)]
    parts = {k: median([r[k] for r in routing]) for k in routing[0]}
    measure.table(["a request, 1,000 routes", "ns"], [[k, float(v)] for k, v in parts.items()])
    for f in (f for found in data.values() for f in found):
        f["before"], f["around"] = ([quantile(f[k], q) for q in (0.5, 0.99)] for k in ("before", "around"))
    measure.save("swap", {"rounds": o.rounds, "clients": o.clients, "results": data, "routing_ns": parts})

"""Get, set and increment of a component on memory, file, Redis and NATS: CPU and latency a call, beside a direct client in C, and beside `wasmtime serve -S keyvalue`."""
import re, subprocess, sys, tempfile
from pathlib import Path

import bench_serve, measure
from measure import Connection, Server, median

sys.path += [str(measure.TOP / "tests/real"), str(measure.TOP / "tests/swaps")]
import servers  # noqa: E402  of others: redis-server, nats-server
from load import counter  # noqa: E402

ROUNDS = 3
# The peer has the older draft of the interface, and one bucket, whose name is empty.
GUEST = {"counter": "kv/kv-counter-c.wasm", "peer": "kv/kv-counter-c-draft.wasm", "provider": "kv/kv-memory-c.wasm"}
# Method, path, body; the guest opens its bucket for each but "none", which asks no store.
CALLS = {"none": ("GET", "/nothing", ""), "get": ("GET", "/get/n", ""), "set": ("PUT", "/set/n", "12345"), "increment": ("POST", "/incr/n", "")}


def options(p):
    p.add_argument("--connections", type=int, default=32)
    p.add_argument("--seconds", type=float, default=2)
    p.add_argument("--direct", type=int, default=20000, help="calls of the direct client")


def component_side(provider, policy):
    return 'type = "component"\ncomponent = "provider"', f'[component.provider]\nsource = "{provider}"\npolicy = "{policy}"\n'


def store_sides(top, running):
    """name → (lines of the link, further lines of the manifest)."""
    found = {"memory": ('type = "memory"', ""), "file": (f'type = "file"\npath = "{top}/bench.db"', "")}
    if provider := measure.guest("provider", GUEST):
        found["component"] = component_side(provider, "keep")
    if "redis" in running:
        found["redis"] = (f'type = "redis"\nurl = "redis://127.0.0.1:{running["redis"].port}/0"', "")
    if "nats" in running:
        found["nats"] = (f'type = "nats"\nurl = "nats://127.0.0.1:{running["nats"].port}/bench"', "")
    return found


def tenon(top, name, file, store, core):
    folder = top / name
    folder.mkdir()
    (folder / "tenon.toml").write_text(counter(file, store[0]) + store[1])
    env = {"TENON_CTL": str(folder / "ctl"), "TENON_STATE": str(folder / "state")}
    server = Server([measure.TENON, "up", folder, "--addr", "127.0.0.1:{port}", "--shards", "1"], core, env=env)
    if not server.wait_ready(any_status=True):
        server.stop()
        sys.exit(f"{name}: tenon up did not come up: build/bench/server.log")
    return server


def load(server, top, call, o, core):
    """One burst of wrk: CPU of the server and latency a request."""
    method, path, body = CALLS[call]
    script = top / f"{call}.lua"
    script.write_text(f'wrk.method = "{method}"\nwrk.body = "{body}"\n')
    before = server.cpu_ns()
    r = subprocess.run(measure.pinned(core, ["wrk", "-t1", f"-c{o.connections}", f"-d{o.seconds:g}s", "--latency", "-s", script, f"http://127.0.0.1:{server.port}{path}"]),
        capture_output=True, text=True)
    spent = server.cpu_ns() - before
    n = int(re.search(r"(\d+) requests in", r.stdout).group(1))
    bad = bench_serve.errors(r.stdout)
    if not n:
        sys.exit(f"{call}: no request was answered")
    latency = {k: bench_serve.in_us(v) for k, v in re.findall(r"^\s+(50|99)%\s+([\d.]+(?:us|ms|s))", r.stdout, re.M)}
    return {"cpu_us": spent / 1000 / n, "rps": n / o.seconds, "p50_us": latency.get("50", 0), "p99_us": latency.get("99", 0), "errors": 0 if call == "none" else bad}


def ask_all(server, path, n, at_once=8):
    """CPU ns of a request, of n, some at once on one connection."""
    c, before = Connection(server.port).s, server.cpu_ns()
    for _ in range(0, n, at_once):
        c.sendall(f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode() * at_once)
        got = b""
        while got.count(b"HTTP/1.1 200") < at_once:
            more = c.recv(65536)
            got += more
            if not more or got.count(b"HTTP/1.1 ") > got.count(b"HTTP/1.1 200") + 1:
                sys.exit(f"kv_calls: {path} failed: build/bench/server.log")
    return (server.cpu_ns() - before) / n


def loops(o, top, core):
    """What a call costs, and what the first of a request does, by kv_calls.c: store → call → ns, the least of each. A *call* is of a guest that makes a thousand
    a request, over the same that makes none; `once` is what a request with a bucket and no call costs over one without: a component's instance is found (of policy
    fresh made equal to its image again), and the bucket made, dropped and closed there."""
    stores = {"memory": ('type = "memory"', "")}
    if provider := measure.guest("provider", GUEST):
        for policy in ("keep", "reuse", "fresh"):
            stores[f"component, {policy}"] = component_side(provider, policy)
    servers = {name: tenon(top, f"loops-{n}", measure.TOP / "bench/kv_calls.wasm", store, core) for n, (name, store) in enumerate(stores.items())}
    least = {name: {} for name in servers}
    try:
        for _ in range(20 * o.rounds):
            for path in ("nothing", "bucket", "get", "set", "exists", "increment"):
                for name, server in servers.items():
                    ns = ask_all(server, f"/{path}", 200 if path in ("nothing", "bucket") else 8)
                    least[name][path] = min(least[name].get(path, 1e18), ns)
    finally:
        for server in servers.values():
            server.stop()
    return {name: {"once": r["bucket"] - r["nothing"]} | {c: (r[c] - r["bucket"]) / 1000 for c in ("get", "set", "exists", "increment")} for name, r in least.items()}


def direct(name, s, o):
    """Of each call: CPU of the client and time."""
    argv = ["redis", s.port] if name == "redis" else ["nats", s.port, "direct"]
    return measure.tenon_bench(*argv, o.direct, program="bench-kv")


def peer(o, core):
    file = measure.guest("peer", GUEST)
    return Server([o.peer, "serve", "-S", "cli,keyvalue", "--env", "KV_BUCKET=", "--addr", "127.0.0.1:{port}", *bench_serve.BEST, file], core)


def run(o):
    server_core, load_core = measure.cores()
    file, running = measure.guest("counter", GUEST), {}
    if not file:
        sys.exit("the guest kv-counter-c is not on this machine")
    with tempfile.TemporaryDirectory(prefix="tenon-bench-") as top:
        top = Path(top)
        try:
            for name, kind in (("redis", servers.Redis), ("nats", servers.Nats)):
                if why := kind.lacks():
                    print(f"without {name}: {why}")
                else:
                    running[name] = kind("--appendonly", "no").start() if name == "redis" else kind().start()
            found = measured(o, top, file, running, server_core, load_core)
            calls = loops(o, top, server_core)
        finally:
            for s in running.values():
                s.__exit__(None, None, None)
    show(o, *found)
    show_loops(calls)


def measured(o, top, file, running, server_core, load_core):
    sides = {}
    try:
        for name, store in store_sides(top, running).items():
            sides[name] = tenon(top, name, file, store, server_core)
        if o.peer:
            sides["wasmtime"] = peer(o, server_core)
            if not sides["wasmtime"].wait_ready(any_status=True):
                print("wasmtime: did not come up (build/bench/server.log)")
                sides.pop("wasmtime").stop()
        return _rounds(o, top, sides, running, load_core)
    finally:
        for s in sides.values():
            s.stop()


def _rounds(o, top, sides, running, load_core):
    for s in sides.values():
        load(s, top, "set", o, load_core)  # warm, and there is a value
    seen, clients = {name: {c: [] for c in CALLS} for name in sides}, {name: [] for name in running}
    for _ in range(o.rounds):
        for call in CALLS:
            for name, s in sides.items():
                seen[name][call].append(load(s, top, call, o, load_core))
        for name, s in running.items():
            clients[name].append(direct(name, s, o))
    return {name: {c: {k: median([r[k] for r in rs]) for k in rs[0]} for c, rs in calls.items()} for name, calls in seen.items()}, \
        {name: {c: {k: median([r[c][k] for r in rs]) for k in ("cpu_us", "us")} for c in rs[0]} for name, rs in clients.items()}


def show_loops(seen):
    host = seen["memory"]
    rows = [[name] + [x for call, ns in r.items() for x in (round(ns), round(ns - host[call]) if r is not host else "")] for name, r in seen.items()]
    measure.table(["CPU ns"] + [x for call in host for x in (call if call == "once" else f"a {call}", "over")], rows)


def show(o, seen, clients):
    rows = []
    for name, calls in seen.items():
        base = calls["none"]["cpu_us"]
        for call, r in calls.items():
            d = clients.get(name, {}).get(call)
            rows.append([f"{name}: {call}", round(r["cpu_us"], 2), round(r["cpu_us"] - base, 2), round(r["rps"]), round(r["p50_us"]), round(r["p99_us"]), r["errors"],
                round(d["cpu_us"], 2) if d else "", round(d["us"], 1) if d else ""])
    measure.table(["store: call", "CPU us/req", "over none", "req/s", "p50 us", "p99 us", "errors", "direct: CPU us", "us"], rows)
    if "wasmtime" in seen:
        print(f"requests a second of the counter on memory: {seen['memory']['increment']['rps'] / seen['wasmtime']['increment']['rps']:.1f} x wasmtime's")
    measure.save("kv", {"connections": o.connections, "seconds": o.seconds, "rounds": o.rounds, "results": seen, "direct": clients})

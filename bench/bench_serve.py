"""CPU time of the whole server process a request, each server on one core, wrk on the other."""
import re, subprocess, tempfile, time
from pathlib import Path

import measure
from measure import Server, median

ROUNDS = 3
SERVE = ["serve", "-S", "cli", "--addr", "127.0.0.1:{port}"]
# What served best of the combinations tried: slots kept warm, their memory reset in place as far as the peer can.
BEST = ["-O", "pooling-allocator=y", "-O", "pooling-memory-keep-resident=67108864", "-O", "pooling-table-keep-resident=1048576", "-O",
    "pooling-async-stack-keep-resident=65536", "-O", "pooling-total-memories=200", "-O", "pooling-total-core-instances=2000", "-O",
    "pooling-total-tables=2000", "-O", "pooling-max-memory-size=268435456", "-O", "pooling-table-elements=200000", "-O",
    "pooling-max-tables-per-module=4", "-O", "pooling-max-core-instance-size=16777216"]

# What nginx says in a guest's place: the same body and type. Its heads have two fields more, Server and Connection, which no option of it leaves out.
SAID = {"c": "Hello from C!", "rust": "Hello from Rust!"}


def options(p):
    p.add_argument("--connections", type=int, action="append", help="1, 32 and 256 unless said")
    p.add_argument("--seconds", type=float, default=3)
    p.add_argument("--path", default="/")
    p.add_argument("--two-shards", action="store_true", help="tenon alone with one and two shards on both cores (the Go guest unless said)")
    p.add_argument("--beside", action="store_true", help="tenon alone: two components on one shard, C beside Python")
    p.add_argument("--side", action="append", help="only these sides")


def sides(o, name, file):
    """name → argv of a server."""
    tenon = [measure.TENON, "serve", file, "--addr", "127.0.0.1:{port}", "--shards", "1"]
    found = {}
    if name == "c":
        found["bare epoll"] = [measure.TOP / "build/release/bare_epoll", "{port}"]
    found["tenon"] = tenon
    if name == "go":
        found["tenon --init once"] = tenon + ["--init", "once"]
    if name == "py":
        found["tenon --init warm=/"] = tenon + ["--init", "warm=/"]
    found["tenon reuse"] = tenon + ["--policy", "reuse"]
    if o.peer:
        plain = measure.peer_compile(o.peer, file, [], f"{name}-plain")
        best = measure.peer_compile(o.peer, file, BEST, f"{name}-best")
        found["wasmtime"] = [o.peer, *SERVE, "--allow-precompiled", plain]
        found["wasmtime best"] = [o.peer, *SERVE, *BEST, "--allow-precompiled", best]
        found["wasmtime reuse"] = [o.peer, *SERVE, *BEST, "--max-instance-reuse-count", "1000000", "--allow-precompiled", best]
    return {k: v for k, v in found.items() if not o.side or k in o.side}


def in_us(text):
    number, unit = re.match(r"([\d.]+)(us|ms|s)", text).groups()
    return float(number) * {"us": 1, "ms": 1e3, "s": 1e6}[unit]


def errors(text):
    """That wrk tells of: connections that failed, answers that were not 2xx or 3xx."""
    return sum(int(x) for x in re.findall(r"(?:Non-2xx or 3xx responses:|connect|read|write|timeout) (\d+)", text))


def load(server, connections, seconds, core, path):
    """One burst of wrk: figures of it, or None when nothing was answered."""
    argv = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "--latency", f"http://127.0.0.1:{server.port}{path}"]
    before = server.counters()
    r = subprocess.run(measure.pinned(core, argv) if core is not None else argv, capture_output=True, text=True)
    time.sleep(0.05)
    after = server.counters()
    m = re.search(r"(\d+) requests in ([\d.]+)(m?s)", r.stdout)
    if not m or int(m.group(1)) == 0:
        return None
    n = int(m.group(1))
    latency = {k: in_us(v) for k, v in re.findall(r"^\s+(50|99)%\s+([\d.]+(?:us|ms|s))", r.stdout, re.M)}
    return {"requests": n, "cpu_us": (after[0] - before[0]) * 1e6 / n, "rps": n / seconds, "p50_us": latency.get("50", 0), "p99_us": latency.get("99", 0),
        "faults": (after[1] - before[1]) / n, "rss_mib": after[2] / (1 << 20), "errors": errors(r.stdout)}


HEAD = ["guest, side", "conns", "CPU us/req", "req/s", "p50 us", "p99 us", "faults/req", "RSS MiB", "errors"]


def compare(servers, conns, o, core, rounds):
    """Rounds with the sides one after the other in each; medians a side."""
    results = {name: [] for name in servers}
    for s in servers.values():
        load(s, conns, 1, core, o.path)  # warm-up
    for _ in range(rounds):
        for name, s in servers.items():
            if r := load(s, conns, o.seconds, core, o.path):
                results[name].append(r)
    return {name: {k: median([r[k] for r in rs]) for k in rs[0]} for name, rs in results.items() if rs}


def row(name, conns, r):
    return [name, conns, round(r["cpu_us"], 1), round(r["rps"]), round(r["p50_us"]), round(r["p99_us"]), round(r["faults"], 2), round(r["rss_mib"]), r["errors"]]


def ready(servers):
    """Those that answer; the others are told and stopped."""
    found = {}
    for name, s in servers.items():
        if s.wait_ready():
            found[name] = s
        else:
            print(f"  {name}: did not start or did not answer 200 (build/bench/server.log)")
            s.stop()
    return found


def nginx(o, name, core, folder):
    """nginx with a constant answer, where the guest is one that has its aim beside it."""
    if name not in SAID or (o.side and "nginx" not in o.side):
        return {}
    n = measure.nginx(folder, f'server {{ listen 127.0.0.1:{{port}}; default_type text/plain; location / {{ return 200 "{SAID[name]}\\n"; }} }}', core)
    if not n:
        print("  nginx: is not on this machine (Debian's package nginx-light)")
    return {"nginx": n} if n else {}


def start(o, name, file, folder):
    core, _ = measure.cores()
    return ready({**nginx(o, name, core, folder), **{side: Server(argv, core) for side, argv in sides(o, name, file).items()}})


def run_two_shards(o):
    rows, data = [], {}
    for g in o.guest or ["go"]:
        file = measure.guest(g)
        argv = [measure.TENON, "serve", file, "--addr", "127.0.0.1:{port}"]
        servers = {f"{n} shard{'s' * (n > 1)}": Server(argv + ["--shards", n]) for n in (1, 2)}
        if all(s.wait_ready() for s in servers.values()):
            found = compare(servers, 32, o, None, o.rounds)
            data[g] = found
            rows += [row(f"{g}: {name}", 32, r) for name, r in found.items()]
        for s in servers.values():
            s.stop()
    measure.table(HEAD, rows)
    for g, found in data.items():
        print(f"{g}: two shards cost {found['2 shards']['cpu_us'] / found['1 shard']['cpu_us']:.2f} x the CPU time of one a request")
    measure.save("serve-two-shards", {"results": data})


def burst(port, conns, seconds, core):
    """wrk against one port, started; its count of requests comes later."""
    return subprocess.Popen(measure.pinned(core, ["wrk", "-t1", f"-c{conns}", f"-d{seconds:g}s", "--latency", f"http://127.0.0.1:{port}/"]),
        stdout=subprocess.PIPE, text=True)


def counted(process):
    text = process.communicate()[0]
    return int(re.search(r"(\d+) requests in", text).group(1)), in_us(re.search(r"^\s+99%\s+([\d.]+(?:us|ms|s))", text, re.M).group(1))


def run_beside(o):
    """What requests of two components cost on one shard when both come at once, beside what they cost one after the other."""
    server_core, load_core = measure.cores()
    second = measure.free_port()
    server = Server([measure.TOP / "build/release/tenon-bench", "serve", measure.guest("c"), "{port}", measure.guest("py"), second], server_core)
    ports = {"c": server.port, "py": second}
    rounds = []
    if not server.wait_ready():
        return print("the server did not start")
    for p in ports.values():
        counted(burst(p, 16, 1, load_core))
    for _ in range(o.rounds):
        alone, cpu = {}, server.counters()[0]
        for name, p in ports.items():
            n, p99 = counted(burst(p, 16, o.seconds, load_core))
            now = server.counters()[0]
            alone[name], cpu = ((now - cpu) * 1e6 / n, p99), now
        both = {name: burst(p, 16, o.seconds, load_core) for name, p in ports.items()}
        found = {name: counted(process) for name, process in both.items()}
        spent = (server.counters()[0] - cpu) * 1e6
        expected = sum(found[name][0] * alone[name][0] for name in ports)
        rounds.append({"ratio": spent / expected, **{f"{name}_alone_us": alone[name][0] for name in ports},
            **{f"{name}_{k}": v for name in ports for k, v in (("requests", found[name][0]), ("p99_us", found[name][1]), ("alone_p99_us", alone[name][1]))}})
    server.stop()
    m = {k: median([r[k] for r in rounds]) for k in rounds[0]}
    measure.table(["component", "alone CPU us/req", "alone p99 us", "beside: requests", "beside: p99 us"],
        [[n, round(m[f"{n}_alone_us"], 1), round(m[f"{n}_alone_p99_us"]), m[f"{n}_requests"], round(m[f"{n}_p99_us"])] for n in ports])
    print(f"both at once cost {m['ratio']:.2f} x the CPU time of the same requests one component after the other")
    measure.save("serve-beside", {"results": rounds})


def run(o):
    if o.two_shards:
        return run_two_shards(o)
    if o.beside:
        return run_beside(o)
    _, load_core = measure.cores()
    data, rows = {}, []
    for g in o.guest or list(measure.GUESTS):
        file = measure.guest(g)
        if not file:
            print(f"  {g}: its component is not on this machine")
            continue
        with tempfile.TemporaryDirectory(prefix="tenon-bench-") as at:
            servers = start(o, g, file, Path(at) / "nginx")
            data[g] = {}
            for conns in o.connections or [1, 32, 256]:
                found = compare(servers, conns, o, load_core, o.rounds)
                data[g][conns] = found
                now = [row(f"{g}: {name}", conns, r) for name, r in found.items()]
                rows += now
                measure.table(HEAD, now)
                print()
            for s in servers.values():
                s.stop()
    print("all together")
    measure.table(HEAD, rows)
    measure.save("serve", {"seconds": o.seconds, "rounds": o.rounds, "path": o.path, "results": data})

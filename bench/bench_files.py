"""Files of 4 KiB and 1 MiB that a guest serves from --dir, moved by the host and read into the guest, beside the peer and nginx."""
import os, tempfile
from pathlib import Path

import bench_serve, measure
from measure import Server, median

ROUNDS = 3
FILES = measure.TOP / "examples/files/files.wasm"
SIZES = {"4k": 4 << 10, "1m": 1 << 20}


def options(p):
    p.add_argument("--connections", type=int, default=32)
    p.add_argument("--seconds", type=float, default=2)


def sides(o, www, core, folder):
    """name → server, those that started."""
    tenon = [measure.TENON, "serve", FILES, "--addr", "127.0.0.1:{port}", "--shards", "1", "--dir", f"{www}::/:ro"]
    found = {"tenon": Server(tenon, core)}
    if o.peer:
        best = measure.peer_compile(o.peer, FILES, bench_serve.BEST, "files-best")
        argv = [o.peer, *bench_serve.SERVE, *bench_serve.BEST, "--dir", f"{www}::/"]
        found["wasmtime best"] = Server([*argv, "--allow-precompiled", best], core)
        found["wasmtime reuse"] = Server([*argv, "--max-instance-reuse-count", "1000000", "--allow-precompiled", best], core)
    if n := measure.nginx(folder / "nginx", f"server {{ listen 127.0.0.1:{{port}}; root {www}; sendfile on; }}", core):
        found["nginx"] = n
    return bench_serve.ready(found)


def measured(o, servers, paths, core):
    """{path: {side: figures}}, the sides one after the other in each round; nothing for what a side has no path for."""
    results = {}
    for path, of in paths.items():
        for s in of:
            bench_serve.load(servers[s], o.connections, 1, core, of[s])
    for _ in range(o.rounds):
        for path, of in paths.items():
            for s in of:
                if r := bench_serve.load(servers[s], o.connections, o.seconds, core, of[s]):
                    results.setdefault(path, {}).setdefault(s, []).append(r)
    return {path: {s: {k: median([r[k] for r in rs]) for k in rs[0]} for s, rs in of.items()} for path, of in results.items()}


def show(o, name, data, size_of):
    rows = []
    for path, of in data.items():
        own = of.get("tenon")
        for s, r in of.items():
            ratio = ["", ""] if s == "tenon" or not own else [own["rps"] / r["rps"], own["cpu_us"] / r["cpu_us"]]
            rows.append([f"{path}: {s}", round(r["cpu_us"], 1), round(r["rps"]), round(r["rps"] * size_of(path) / 1e6, 1), round(r["p99_us"]), r["errors"], *ratio])
    measure.table(["what, side", "CPU us/req", "req/s", "MB/s", "p99 us", "errors", "tenon's req/s / it", "CPU / it"], rows)
    measure.save(name, {"connections": o.connections, "rounds": o.rounds, "load": os.getloadavg()[0], "results": data})


def run(o):
    server_core, load_core = measure.cores()
    with tempfile.TemporaryDirectory(prefix="tenon-bench-") as at:
        www = Path(at) / "www"
        www.mkdir()
        for name, n in SIZES.items():
            (www / name).write_bytes(os.urandom(n))
        (www / "index.html").write_text("it works\n")
        servers = sides(o, www, server_core, Path(at))
        paths = {f"{way}{name}": {s: (f"/{name}" if way == "/" or s == "nginx" else f"/read/{name}") for s in servers if s != "nginx" or way == "/"}
            for way in ("/", "/read/") for name in SIZES}
        data = measured(o, servers, paths, load_core)
        for s in servers.values():
            s.stop()
    show(o, "files", data, lambda path: SIZES[path.split("/")[-1]])

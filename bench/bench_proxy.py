"""A guest that asks a local nginx and passes the answer on: CPU a request and MB/s, beside the peer with the same guest and nginx's own proxy_pass."""
import tempfile
from pathlib import Path
from urllib.parse import quote

import bench_files, bench_serve, measure
from measure import Server

ROUNDS = 3
GUEST = {"proxy": "http/proxy-rust.wasm"}
BODIES = {"small": 16, "1m": 1 << 20}


def options(p):
    p.add_argument("--connections", type=int, default=32)
    p.add_argument("--seconds", type=float, default=2)


def sides(o, file, origin, core, folder):
    tenon = [measure.TENON, "serve", file, "--addr", "127.0.0.1:{port}", "--shards", "1", "--net", f"127.0.0.1:{origin.port}"]
    found = {"tenon": Server(tenon, core), "tenon reuse": Server([*tenon, "--policy", "reuse"], core)}
    if o.peer:
        best = measure.peer_compile(o.peer, file, bench_serve.BEST, "proxy-best")
        argv = [o.peer, *bench_serve.SERVE, *bench_serve.BEST]
        found["wasmtime best"] = Server([*argv, "--allow-precompiled", best], core)
        found["wasmtime reuse"] = Server([*argv, "--max-instance-reuse-count", "1000000", "--allow-precompiled", best], core)
    servers = f"""upstream origin {{ server 127.0.0.1:{origin.port}; keepalive 64; keepalive_requests 1000000; }}
server {{ listen 127.0.0.1:{{port}}; location / {{ proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection ""; }} }}"""
    if n := measure.nginx(folder / "proxy", servers, core):
        found["nginx"] = n
    return bench_serve.ready(found)


def run(o):
    server_core, load_core = measure.cores()
    file = measure.guest("proxy", GUEST)
    with tempfile.TemporaryDirectory(prefix="tenon-bench-") as at:
        www = Path(at) / "www"
        www.mkdir()
        for name, n in BODIES.items():
            (www / name).write_bytes(b"x" * n)
        (www / "index.html").write_text("it works\n")
        origin = measure.nginx(Path(at) / "origin", f"server {{ listen 127.0.0.1:{{port}}; root {www}; sendfile on; }}", load_core)
        if not origin or not origin.wait_ready():
            return print("no nginx to ask (Debian's package nginx-light)")
        servers = sides(o, file, origin, server_core, Path(at))
        path_of = {name: {s: f"/{name}" if s == "nginx" else "/fetch?url=" + quote(f"http://127.0.0.1:{origin.port}/{name}", safe="") for s in servers} for name in BODIES}
        data = bench_files.measured(o, servers, path_of, load_core)
        for s in [*servers.values(), origin]:
            s.stop()
    bench_files.show(o, "proxy", data, lambda name: BODIES[name])

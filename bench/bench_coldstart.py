"""From exec to the first response, files in the page cache: with no compiled code, and with a warm cache."""
import shutil, tempfile, time
from pathlib import Path

import measure
from measure import Server, median

ROUNDS = 7
SERVE = ["serve", "-S", "cli", "--addr", "127.0.0.1:{port}"]


def options(p):
    pass


def first_response(argv, env=None):
    """Milliseconds from exec to the end of the first answer's head, or None."""
    began = time.perf_counter()
    s = Server(argv, None, env)
    ok = s.wait_ready(step=0.0002)
    ms = (time.perf_counter() - began) * 1000
    s.stop()
    return ms if ok else None


def sides(o, g, file, cache):
    """name → (argv, environment, what to do before each)."""
    tenon = [measure.TENON, "serve", file, "--addr", "127.0.0.1:{port}"]

    def empty():
        shutil.rmtree(cache, ignore_errors=True)
        cache.mkdir(mode=0o700)

    env = {"TENON_CACHE": str(cache)}
    found = {"cold: tenon": (tenon, env, empty)}
    if o.peer:
        found["cold: wasmtime Winch"] = ([o.peer, *SERVE, "-C", "compiler=winch", "-C", "cache=n", file], None, None)
        found["cold: wasmtime Cranelift"] = ([o.peer, *SERVE, "-C", "cache=n", file], None, None)
    found["warm: tenon"] = (tenon, env, None)
    if o.peer:
        found["warm: wasmtime precompiled"] = ([o.peer, *SERVE, "--allow-precompiled", measure.peer_compile(o.peer, file, [], f"{g}-plain")], None, None)
    return found


def run(o):
    rows, data = [], {}
    floor = median([first_response([measure.TOP / "build/release/bare_epoll", "{port}"]) for _ in range(o.rounds)])
    rows.append(["bare epoll (the method's own cost)", round(floor, 1), "", ""])
    with tempfile.TemporaryDirectory(prefix="tenon-bench-") as folder:
        for g in o.guest or ["c", "js", "py"]:
            file = measure.guest(g)
            if not file:
                print(f"  {g}: its component is not on this machine")
                continue
            named = sides(o, g, file, Path(folder) / "cache")
            times = {name: [] for name in named}
            for n in range(o.rounds + 1):
                for name, (argv, env, before) in named.items():
                    if "Cranelift" in name and g != "c" and n > 2:
                        continue  # many seconds each, and it hardly varies
                    if before:
                        before()
                    ms = first_response(argv, env)
                    if n and ms:
                        times[name].append(ms)
            data[g] = {name: median(t) for name, t in times.items() if t}
            rows += [[f"{g}: {name}", round(median(t), 1), round(min(t), 1), round(max(t), 1)] for name, t in times.items() if t]
    measure.table(["guest, side", "ms", "least", "most"], rows)
    measure.save("coldstart", {"rounds": o.rounds, "floor_ms": floor, "ms": data})

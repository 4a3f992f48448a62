"""From exec to the first response, files in the page cache: with no compiled code, and with a warm cache."""
import shutil, tempfile, time
from pathlib import Path

import measure
from measure import Server, median

ROUNDS = 7
SERVE = ["serve", "-S", "cli", "--addr", "127.0.0.1:{port}"]


def options(p):
    pass


def first_answer(argv, env=None):
    """From exec to the end of the first answer's head: {"ms", "CPU ms", "faults"}, the latter two of all threads; or None."""
    began = time.perf_counter()
    s = Server(argv, None, env)
    ok = s.wait_ready(step=0.0002)
    found = {"ms": (time.perf_counter() - began) * 1000, "CPU ms": s.cpu_ns() / 1e6, "faults": s.counters()[1]} if ok else None
    s.stop()
    return found


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
    floor = median([f["ms"] for _ in range(o.rounds) if (f := first_answer([measure.TOP / "build/release/bare_epoll", "{port}"]))])
    rows.append(["bare epoll (the method's own cost)", round(floor, 1), "", "", "", ""])
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
                    found = first_answer(argv, env)
                    if n and found:
                        times[name].append(found)
            for name, all_of in times.items():
                if all_of:
                    ms, cpu, faults = ([one[key] for one in all_of] for key in ("ms", "CPU ms", "faults"))
                    data.setdefault(g, {})[name] = {"ms": median(ms), "cpu_ms": median(cpu), "faults": median(faults)}
                    rows.append([f"{g}: {name}", round(median(ms), 1), round(min(ms), 1), round(max(ms), 1), round(median(cpu), 1), int(median(faults))])
    measure.table(["guest, side", "ms", "least", "most", "CPU ms", "faults"], rows)
    measure.save("coldstart", {"rounds": o.rounds, "floor_ms": floor, "guests": data})

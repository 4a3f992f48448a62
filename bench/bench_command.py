"""`tenon run` of a tool from exec to exit, warm, beside `wasmtime run` with its cache and precompiled."""
import os, tempfile, time
from pathlib import Path

import measure
from measure import OUT, median

ROUNDS = 20
ARGS = ["args", "one", "two"]


def options(p):
    pass


def exec_to_exit(argv, env, log):
    """(wall ms, CPU ms) of one run, which must succeed and say something."""
    read, write = os.pipe()
    null = os.open(os.devnull, os.O_RDONLY)
    actions = [(os.POSIX_SPAWN_DUP2, null, 0), (os.POSIX_SPAWN_DUP2, write, 1), (os.POSIX_SPAWN_DUP2, log.fileno(), 2)]
    began = time.perf_counter()
    pid = os.posix_spawnp(argv[0], argv, env, file_actions=actions)
    _, status, used = os.wait4(pid, 0)
    ms = (time.perf_counter() - began) * 1000
    os.close(write)
    os.close(null)
    said = os.read(read, 65536)
    os.close(read)
    if status or not said:
        raise RuntimeError(f"{' '.join(argv)} ended with {status} and said {said!r} (build/bench/command.log)")
    return ms, (used.ru_utime + used.ru_stime) * 1000


def sides(o, g, file, cache):
    found = {"tenon": [str(measure.TENON), "run", str(file), *ARGS]}
    if o.peer:
        compiled = measure.peer_compile(o.peer, file, [], f"tool-{g}")
        found["wasmtime, its cache"] = [o.peer, "run", "-C", f"cache-config={cache / 'wasmtime.toml'}", str(file), *ARGS]
        found["wasmtime, precompiled"] = [o.peer, "run", "--allow-precompiled", compiled, *ARGS]
    return found


def run(o):
    rows, data = [], {}
    with tempfile.TemporaryDirectory(prefix="tenon-bench-") as folder, open(OUT / "command.log", "wb") as log:
        cache = Path(folder)
        (cache / "wasmtime.toml").write_text(f'[cache]\ndirectory = "{cache / "wasmtime"}"\n')
        (cache / "tenon").mkdir(mode=0o700)
        env = {**os.environ, "TENON_CACHE": str(cache / "tenon")}
        for g in o.guest or list(measure.TOOLS):
            file = measure.guest(g, measure.TOOLS)
            if not file:
                print(f"  {g}: its component is not on this machine")
                continue
            named = sides(o, g, file, cache)
            times = {name: [] for name in named}
            for n in range(o.rounds + 2):
                for name in named if n % 2 else reversed(named):
                    found = exec_to_exit(named[name], env, log)
                    if n > 1:  # what is kept is kept by then
                        times[name].append(found)
            data[g] = {name: {"ms": median([w for w, _ in t]), "cpu_ms": median([c for _, c in t])} for name, t in times.items()}
            own = data[g]["tenon"]
            rows += [[f"{g}: {name}", f["ms"], f["cpu_ms"], *[own[k] / f[k] if name != "tenon" else "" for k in ("ms", "cpu_ms")]] for name, f in data[g].items()]
    measure.table(["tool, side", "ms", "CPU ms", "tenon / it", "of CPU"], rows)
    measure.save("command", {"rounds": o.rounds, "args": ARGS, "load": os.getloadavg()[0], "results": data})

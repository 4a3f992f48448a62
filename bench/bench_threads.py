"""Two threads of a preview 1 module beside one: how many times as much is done in a second on two cores."""
import subprocess, time

import measure
from measure import OUT, TENON, TOP

ROUNDS = 7
MODULE = ["--target=wasm32-unknown-unknown", "-O2", "-nostdlib", "-ffreestanding", "-matomics", "-mbulk-memory", "-Wl,--no-entry", "-Wl,--import-memory",
    "-Wl,--export-memory", "-Wl,--shared-memory", "-Wl,--max-memory=4194304", "-Wl,-z,stack-size=65536"]


def options(p):
    pass


def build():
    source, out = TOP / "bench/threads.c", OUT / "threads.wasm"
    if not out.exists() or out.stat().st_mtime < source.stat().st_mtime:
        subprocess.run(["clang-19", *MODULE, "-o", out, source], check=True)
    return out


def run_once(argv):
    began = time.perf_counter()
    r = subprocess.run(list(map(str, argv)), capture_output=True, text=True)
    if r.returncode:
        raise SystemExit(f"{' '.join(map(str, argv))}: {r.stderr.strip()}")
    return time.perf_counter() - began, r.stdout.strip()


def run(o):
    wasm, best, results = build(), {}, {}
    for _ in range(o.rounds):
        for n in (1, 2):
            seconds, said = run_once([TENON, "run", "--feature", "threads", "--invoke", f"run({n})", wasm])
            best[n] = min(best.get(n, seconds), seconds)
            if results.setdefault(n, said) != said:
                raise SystemExit(f"run({n}) gives {said}, before it gave {results[n]}")
    factor = 2 * best[1] / best[2]
    measure.table(["one thread s", "two threads s", "times as much"], [[round(best[1], 3), round(best[2], 3), round(factor, 2)]])
    measure.save("threads", {"results": {"one": best[1], "two": best[2], "factor": factor}})

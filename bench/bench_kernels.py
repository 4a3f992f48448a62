"""Run time of eight kernels (C, no WASI) beside the peer's compilers, and the geometric mean of the ratios."""
import math, subprocess, time

import measure
from measure import OUT, TOP, median

ROUNDS = 5
TARGET_SECONDS = 0.4  # of each kernel


def options(p):
    p.add_argument("--kernel", action="append", help="only these")


def build(source):
    out = OUT / f"{source.stem}.wasm"
    if not out.exists() or out.stat().st_mtime < source.stat().st_mtime:
        subprocess.run(["clang-19", "--target=wasm32-unknown-unknown", "-O2", "-nostdlib", "-ffreestanding", "-fno-builtin", "-Wl,--no-entry",
            "-Wl,-z,stack-size=65536", "-o", out, source], check=True)
    return out


def peer_run(wasmtime, flags, cwasm, n):
    began = time.perf_counter()
    r = subprocess.run(measure.pinned(measure.cores()[0], [wasmtime, "run", *flags, "--allow-precompiled", "--invoke", "run", cwasm, str(n)]), capture_output=True,
        text=True)
    if r.returncode:
        raise RuntimeError(r.stderr.strip())
    return time.perf_counter() - began, r.stdout.strip()


def run(o):
    rows, data, logs = [], {}, []
    for source in sorted((TOP / "bench/kernels").glob("*.c")):
        if o.kernel and source.stem not in o.kernel:
            continue
        wasm = build(source)
        n = max(1, round(TARGET_SECONDS / measure.tenon_bench("kernel", wasm, 1, 1)["seconds"]))
        times = {"tenon": []}
        compiled = {}
        for name, flags in (("Cranelift", []), ("Winch", ["-C", "compiler=winch"])) if o.peer else ():
            compiled[name] = flags, measure.peer_compile(o.peer, wasm, flags, f"kernel-{source.stem}-{name}")
            times[name] = []
        for _ in range(o.rounds):
            own = measure.tenon_bench("kernel", wasm, n, 1)
            times["tenon"].append(own["seconds"])
            for name, (flags, cwasm) in compiled.items():
                start, _ = peer_run(o.peer, flags, cwasm, 0)
                whole, result = peer_run(o.peer, flags, cwasm, n)
                times[name].append(whole - start)
                if result != str(own["checksum"]):
                    raise SystemExit(f"{source.stem}: {name} says {result}, tenon {own['checksum']}")
        seconds = {k: median(v) for k, v in times.items()}
        data[source.stem] = {"n": n, "seconds": seconds}
        ratio = {k: seconds["tenon"] / v for k, v in seconds.items() if k != "tenon"}
        logs.append(ratio)
        rows.append([source.stem, n, *[round(v, 4) for v in seconds.values()], *[round(v, 2) for v in ratio.values()]])
    names = [k for k in (logs[0] if logs else {})]
    if names:
        means = [math.exp(sum(math.log(r[k]) for r in logs) / len(logs)) for k in names]
        rows.append(["geometric mean", "", "", *[""] * len(names), *[round(m, 3) for m in means]])
        data["geometric_mean"] = dict(zip(names, means))
    measure.table(["kernel", "n", "tenon s", *[f"{k} s" for k in names], *[f"/ {k}" for k in names]], rows)
    measure.save("kernels", {"results": data})

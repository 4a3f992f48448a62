"""Run time of eight kernels and four of vectors (C, no WASI) beside the peer's compilers and native C, and the geometric means of the ratios."""
import statistics, subprocess, time

import measure
from measure import OUT, TOP

ROUNDS = 5
TARGET_SECONDS = 0.4  # of each kernel


def options(p):
    p.add_argument("--kernel", action="append", help="only these")


CLANG = ["clang-19", "-O2"]
MODULE = ["--target=wasm32-unknown-unknown", "-nostdlib", "-ffreestanding", "-fno-builtin", "-Wl,--no-entry", "-Wl,-z,stack-size=65536"]


def is_of_vectors(source):
    return source.stem.startswith("simd_")


def build(source):
    out = OUT / f"{source.stem}.wasm"
    if not out.exists() or out.stat().st_mtime < source.stat().st_mtime:
        subprocess.run([*CLANG, *MODULE, *(["-msimd128"] if is_of_vectors(source) else []), "-o", out, source], check=True)
    return out


def build_native(source):
    """The kernel made for this machine; None: it is written in WebAssembly's own vector instructions."""
    if is_of_vectors(source):
        return None
    out = OUT / f"{source.stem}-native"
    subprocess.run([*CLANG, "-o", out, source, TOP / "bench/native.c"], check=True)
    return out


def native_run(program, n):
    r = subprocess.run(measure.pinned(measure.cores()[0], [program, str(n)]), capture_output=True, text=True, check=True)
    seconds, checksum = r.stdout.split()
    return float(seconds), checksum


def peer_run(wasmtime, flags, cwasm, n):
    began = time.perf_counter()
    r = subprocess.run(measure.pinned(measure.cores()[0], [wasmtime, "run", *flags, "--allow-precompiled", "--invoke", "run", cwasm, str(n)]), capture_output=True,
        text=True)
    if r.returncode:
        raise RuntimeError(r.stderr.strip())
    return time.perf_counter() - began, r.stdout.strip()


def measured(o, source):
    """(n, {side: seconds, the least of the rounds: others on the machine only ever add}), sides interleaved."""
    wasm, native = build(source), build_native(source)
    n = 1
    while (once := measure.tenon_bench("kernel", wasm, n, 1)["seconds"]) < TARGET_SECONDS / 20:
        n *= 8
    n = max(1, round(n * TARGET_SECONDS / once))
    times, starts, compiled = {"tenon": []}, {}, {}
    for name, flags in (("Cranelift", []), ("Winch", ["-C", "compiler=winch"])) if o.peer else ():
        compiled[name] = flags, measure.peer_compile(o.peer, wasm, flags, f"kernel-{source.stem}-{name}")
        times[name], starts[name] = [], []
    if native:
        times["native"] = []
    for _ in range(o.rounds):
        own = measure.tenon_bench("kernel", wasm, n, 1)
        times["tenon"].append(own["seconds"])
        results = {}
        for name, (flags, cwasm) in compiled.items():
            start, _ = peer_run(o.peer, flags, cwasm, 0)
            whole, results[name] = peer_run(o.peer, flags, cwasm, n)
            starts[name].append(start)
            times[name].append(whole)
        if native:
            seconds, results["native"] = native_run(native, n)
            times["native"].append(seconds)
        for name, result in results.items():
            if result != str(own["checksum"]):
                raise SystemExit(f"{source.stem}: {name} says {result}, tenon {own['checksum']}")
    return n, {k: min(v) - min(starts.get(k, [0])) for k, v in times.items()}  # the least of differences would be of a slow start


def run(o):
    rows, data, sides = [], {}, [*(("Cranelift", "Winch") if o.peer else ()), "native"]
    means = {"eight kernels": [], "four of vectors": []}
    for source in sorted((TOP / "bench/kernels").glob("*.c"), key=lambda s: (is_of_vectors(s), s.stem)):
        if o.kernel and source.stem not in o.kernel:
            continue
        n, seconds = measured(o, source)
        data[source.stem] = {"n": n, "seconds": seconds}
        ratio = {k: seconds["tenon"] / v for k, v in seconds.items() if k != "tenon"}
        means["four of vectors" if is_of_vectors(source) else "eight kernels"].append(ratio)
        rows.append([source.stem, n, *[round(seconds[k], 4) if k in seconds else "-" for k in ("tenon", *sides)],
            *[round(ratio[k], 2) if k in ratio else "-" for k in sides]])
    data["geometric_mean"] = {}
    for name, ratios in means.items():
        mean = {k: statistics.geometric_mean(r[k] for r in ratios) for k in sides if ratios and all(k in r for r in ratios)}
        data["geometric_mean"][name] = mean
        if mean:
            rows.append([f"geometric mean, {name}", "", "", *[""] * len(sides), *[round(mean[k], 3) if k in mean else "-" for k in sides]])
    measure.table(["kernel", "n", "tenon s", *[f"{k} s" for k in sides], *[f"/ {k}" for k in sides]], rows)
    measure.save("kernels", {"results": data})

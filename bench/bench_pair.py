"""Another binary of tenon against this one, in interleaved pairs: the ratio of each figure with its 95 % confidence interval."""
import json, math, shutil, statistics, subprocess, sys, tempfile
from pathlib import Path

import bench_coldstart, bench_serve, measure
from measure import Server, median

ROUNDS = 10
KINDS = ("serve", "instantiate", "coldstart", "compile")
# Student's t: 97.5 % quantiles for 1 to 30 degrees of freedom.
T = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074,
    2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042)
BOUND = 1.03


def options(p):
    p.add_argument("old", type=Path, help="the tenon of another build; its tools (tenon-bench, tenon-instantiate) are taken from beside it")
    p.add_argument("--new", type=Path, default=measure.TENON, help="instead of build/tenon")
    p.add_argument("--only", action="append", choices=KINDS, help="repeatable; default: all")
    p.add_argument("--seconds", type=int, default=2, help="of each burst of `serve`")
    p.add_argument("--connections", type=int, default=32)


def interval(olds, news):
    """(ratio new / old, its lower and upper bound with 95 % confidence): of the pairs' logarithms, which are taken as normal."""
    logs = [math.log(n / o) for o, n in zip(olds, news)]
    half = T[min(len(logs) - 1, len(T)) - 1] * statistics.stdev(logs) / math.sqrt(len(logs))
    mean = statistics.fmean(logs)
    return math.exp(mean), math.exp(mean - half), math.exp(mean + half)


def verdict(low, high):
    if low > BOUND:
        return "SLOWER"
    return "open" if high > BOUND else "faster" if high < 1 else "holds"


def tool(binary, name):
    return binary.resolve().parent / name


def tool_figures(binary, name, argv, keys):
    r = subprocess.run(measure.pinned(measure.cores()[0], [tool(binary, name), *argv]), capture_output=True, text=True)
    if r.returncode:
        sys.exit(f"{tool(binary, name)} {' '.join(map(str, argv))}: {r.stderr.strip()}")
    found = json.loads(r.stdout)
    return {k: found[k] for k in keys}


# Each kind: what one side measures once, as {figure: number}, the less the better; or None where it can't be measured.

def serve(binary, guest, file, o, folder):
    _, load_core = measure.cores()
    s = Server([binary, "serve", file, "--addr", "127.0.0.1:{port}", "--shards", "1"], measure.cores()[0], {"TENON_CACHE": str(folder)})
    try:
        if not s.wait_ready() or not bench_serve.load(s, o.connections, 1, load_core, "/"):
            return None
        r = bench_serve.load(s, o.connections, o.seconds, load_core, "/")
        return {"CPU us/req": r["cpu_us"]} if r and not r["errors"] else None
    finally:
        s.stop()


def instantiate(binary, guest, file, o, folder):
    return tool_figures(binary, "tenon-instantiate", [file], ("call_and_reset_us", "reset_us"))


def compile(binary, guest, file, o, folder):
    return tool_figures(binary, "tenon-bench", ["compile", file, 3], ("seconds",))


def coldstart(binary, guest, file, o, folder):
    argv, env = [binary, "serve", file, "--addr", "127.0.0.1:{port}"], {"TENON_CACHE": str(folder)}
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    found = {kind: bench_coldstart.first_answer(argv, env) for kind in ("cold", "warm")}
    return {f"{kind} {figure}": n for kind, figures in found.items() for figure, n in figures.items()} if all(found.values()) else None


GUESTS = {"serve": ["c", "rust", "js", "py", "go"], "instantiate": ["c"], "coldstart": ["c", "js", "py"], "compile": ["c", "rust", "js", "py"]}
MEASURES = {"serve": serve, "instantiate": instantiate, "coldstart": coldstart, "compile": compile}


def pairs(kind, guest, file, o, folder):
    """{figure: ([old], [new])} of all pairs; which side begins alternates. One pair before goes uncounted: caches are warm then."""
    found, sides = {}, {"old": o.old, "new": o.new}
    for side in sides:
        (folder / side).mkdir(mode=0o700, exist_ok=True)
    for n in range(o.rounds + 1):
        once = {side: MEASURES[kind](sides[side], guest, file, o, folder / side) for side in (sides if n % 2 else reversed(sides))}
        if not all(once.values()):
            print(f"  {kind} {guest}: {' and '.join(s for s in once if not once[s])} gave no figure (build/bench/server.log)")
            return {}
        for figure in once["old"] if n else ():
            both = found.setdefault(figure, ([], []))
            both[0].append(once["old"][figure])
            both[1].append(once["new"][figure])
    return found


def run(o):
    if o.rounds < 2:
        sys.exit("error: an interval needs two pairs (--rounds)")
    for binary in (o.old, o.new):
        if not binary.exists():
            sys.exit(f"error: {binary} is not there")
    rows, data = [], []
    head = ["bench, guest, figure", "old", "new", "new / old", "from", "to", f"≤ {BOUND}?"]
    for kind in o.only or KINDS:
        for g in o.guest or GUESTS[kind]:
            file = measure.guest(g)
            if not file or g not in GUESTS[kind]:
                if g in GUESTS[kind]:
                    print(f"  {g}: its component is not on this machine")
                continue
            with tempfile.TemporaryDirectory(prefix="tenon-pair-") as folder:
                found = pairs(kind, g, file, o, Path(folder))
            for figure, (olds, news) in found.items():
                ratio, low, high = interval(olds, news)
                row = [f"{kind} {g}: {figure}", median(olds), median(news), f"{ratio:.3f}", f"{low:.3f}", f"{high:.3f}", verdict(low, high)]
                rows.append(row)
                data.append({"bench": kind, "guest": g, "figure": figure, "ratio": ratio, "low": low, "high": high, "old": olds, "new": news})
                measure.table(head, [row])
    print("all together")
    measure.table(head, rows)
    measure.save("pair", {"old": str(o.old), "new": str(o.new), "pairs": o.rounds, "results": data})

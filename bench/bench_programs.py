"""Run time of real programs (sightglass's, not in this repository) beside the peer's compilers and native C, and the geometric mean of the ratios."""
import os, re, statistics, subprocess
from pathlib import Path

import measure
from measure import OUT, TOP

ROUNDS = 5
SIGHTGLASS = Path(os.environ.get("TENON_SIGHTGLASS", TOP.parent / "sightglass"))
MISSING = """no programs at {}: they are bytecodealliance/sightglass, cloned beside this checkout or named:
  git clone --depth 1 https://github.com/bytecodealliance/sightglass FOLDER
  TENON_SIGHTGLASS=FOLDER ./dev bench programs"""
# Below benchmarks/. What is missing there (sightglass keeps its largest files elsewhere) is told.
PROGRAMS = ("bz2", "pulldown-cmark", "regex", "rust-json", "rust-html-rewriter", "rust-compression", "sqlite3", "shootout", "richards", "quicksort", "hashset",
    "blake3-scalar", "blake3-simd", "libsodium", "kotlin-richards", "tinygo")
# Those of libsodium that take between a tenth of a millisecond and a second.
OF = {"libsodium": ("aead_aegis256", "box", "generichash", "kdf_hkdf", "metamorphic", "scalarmult", "secretstream", "stream", "stream2", "xchacha20")}
# What the peer wants to be told, and Winch has not.
NEEDS = {"kotlin-richards": ["-W", "gc=y,function-references=y,exceptions=y"]}
NO_WINCH = ("kotlin-richards",)
NATIVE = {"bz2/benchmark": "bz2/benchmark.c", "richards/benchmark": "richards/richards.c", "quicksort/benchmark": "quicksort/quicksort.c"}
CLOCK = TOP / "bench/clock.c"
LEAST = 100e-6  # seconds; what is shorter says nothing
ENOUGH = 4.0  # seconds of one side of a program, after which there is no further round


def options(p):
    p.add_argument("programs", nargs="?", type=Path, default=SIGHTGLASS, help="a checkout of sightglass; default: $TENON_SIGHTGLASS or ../sightglass")
    p.add_argument("--only", action="append", help="programs whose name has this in it; repeatable")


def core(file):
    """The module itself; of a component (made of a preview 1 command) the core module that calls the clock."""
    data = file.read_bytes()
    if data[4:8] == b"\1\0\0\0":
        return file
    at = 8
    while at < len(data):
        section, size, shift = data[at], 0, 0
        while True:
            at += 1
            size |= (data[at] & 0x7F) << shift
            shift += 7
            if data[at] < 0x80:
                break
        at += 1
        if section == 1 and b"\5bench\5start" in data[at:at + size]:
            out = OUT / f"program-{file.parent.name}-{file.stem}-core.wasm"
            if not out.exists() or out.stat().st_mtime < file.stat().st_mtime:
                out.write_bytes(data[at:at + size])
            return out
        at += size
    return None


def modules(root):
    """(name, file, folder that it runs in) of what is there."""
    for folder in PROGRAMS:
        found = [f for f in sorted((root / "benchmarks" / folder).glob("*.wasm"))
            if folder not in OF or f.stem.removeprefix(f"{folder}-") in OF[folder]]
        if not found:
            print(f"  {folder}: its module is not there")
        for f in found:
            if module := core(f):
                yield f"{folder}/{f.stem}", module, f.parent
            else:
                print(f"  {folder}/{f.stem}: no module of it calls the clock")


def clock():
    """The module behind bench.start and bench.end in the peer."""
    out = OUT / "clock.wasm"
    if not out.exists() or out.stat().st_mtime < CLOCK.stat().st_mtime:
        subprocess.run(["clang-19", "--target=wasm32-unknown-unknown", "-O2", "-nostdlib", "-ffreestanding", "-Wl,--no-entry", "-Wl,--export-memory", "-o", out, CLOCK],
            check=True)
    return out


def native(root, name):
    """The program made for this machine, or None: its source is not C, or not there."""
    folder, stem = name.split("/")
    source = root / "benchmarks" / (f"shootout/src/{stem.removeprefix('shootout-')}.c" if folder == "shootout" else NATIVE.get(name, "none"))
    if not source.exists():
        return None
    out = OUT / f"program-{stem if folder == 'shootout' else folder}-native"
    r = subprocess.run(["clang-19", "-O2", "-w", "-I", root / "include", "-o", out, source, CLOCK], capture_output=True, text=True)
    if r.returncode:
        print(f"  {name}: not made natively: {r.stderr.strip().splitlines()[0]}")
        return None
    return out


def clocked(argv, folder):
    """(seconds between bench.start and bench.end, stdout) of a process."""
    r = subprocess.run(measure.pinned(measure.cores()[0], argv), cwd=folder, capture_output=True)
    told = re.findall(rb"^bench ns: (\d+)$", r.stderr, re.M)
    if r.returncode or len(told) != 1:
        return None, (r.stderr.decode(errors="replace").strip().splitlines() or [f"exit status {r.returncode}"])[-1]
    return int(told[0]) / 1e9, r.stdout


def own(file, folder):
    r = subprocess.run(measure.pinned(measure.cores()[0], [TOP / "build/release/tenon-bench", "program", file, folder]), capture_output=True)
    if r.returncode:
        return None, (r.stderr.decode(errors="replace").strip().splitlines() or [f"exit status {r.returncode}"])[-1]
    stdout, _, told = r.stdout.rstrip(b"\n").rpartition(b"\n")
    return float(re.search(rb'"seconds":([\d.]+)', told).group(1)), stdout


def ways(o, name, file, where):
    """{side: what runs it once}"""
    runs = {"tenon": lambda: own(file, where)}
    folder = name.split("/")[0]
    for side, flags in (("Cranelift", []), ("Winch", ["-C", "compiler=winch"])) if o.peer else ():
        if side == "Winch" and folder in NO_WINCH:
            continue
        flags = flags + NEEDS.get(folder, [])
        try:
            compiled = measure.peer_compile(o.peer, file, flags, f"program-{file.stem if file.stem != 'benchmark' else folder}-{side}")
        except subprocess.CalledProcessError:
            print(f"  {name}: {side} does not compile it")
            continue
        argv = [o.peer, "run", *flags, "--allow-precompiled", "--preload", f"bench={clock()}", "--dir", ".", compiled]
        runs[side] = lambda argv=argv: clocked(argv, where)
    if made := native(o.programs, name):
        runs["native"] = lambda: clocked([made], where)
    return runs


def least(o, name, file, where):
    """{side: seconds, the least of all rounds: others on the machine only ever add}; sides are interleaved."""
    best, runs = {}, ways(o, name, file, where)
    expected = where / f"{name.split('/')[1]}.stdout.expected"
    spent = 0
    for n in range(o.rounds):
        if spent > ENOUGH:
            break
        for side, once in list(runs.items()):
            seconds, said = once()
            if seconds is None:
                print(f"  {name}: {side}: {said}")
                del runs[side]
                continue
            if side == "tenon" and expected.exists() and said.strip() != expected.read_bytes().strip():
                raise SystemExit(f"{name}: tenon's output is not {expected.name}")
            best[side] = min(best.get(side, seconds), seconds)
            spent += seconds if side == "tenon" else 0
    return best


def run(o):
    if not (o.programs / "benchmarks").is_dir():
        raise SystemExit(MISSING.format(o.programs))
    o.programs = o.programs.resolve()
    sides, rows, data, ratios = ("Cranelift", "Winch", "native"), [], {}, {s: {} for s in ("Cranelift", "Winch", "native")}
    for name, file, where in modules(o.programs):
        if o.only and not any(x in name for x in o.only):
            continue
        best = least(o, name, file, where)
        if "tenon" not in best or best["tenon"] < LEAST:
            print(f"  {name}: " + ("left out, shorter than 0.1 ms" if "tenon" in best else "tenon does not run it"))
            continue
        ratio = {s: best["tenon"] / best[s] for s in sides if s in best}
        for s, r in ratio.items():
            ratios[s].setdefault(name.split("/")[0], []).append(r)
        data[name] = {"seconds": best, "ratios": ratio}
        rows.append([name, *[round(best[s] * 1e3, 3) if s in best else "-" for s in ("tenon", *sides)], *[round(ratio[s], 2) if s in ratio else "-" for s in sides]])
    # A folder counts once, however many programs it has.
    means = {s: statistics.geometric_mean([statistics.geometric_mean(v) for v in by.values()]) for s, by in ratios.items() if by}
    rows.append(["geometric mean of the folders", *[""] * 4, *[round(means[s], 3) if s in means else "-" for s in sides]])
    measure.table(["program", "tenon ms", *[f"{s} ms" for s in sides], *[f"/ {s}" for s in sides]], rows)
    measure.save("programs", {"results": data, "geometric_mean": means})

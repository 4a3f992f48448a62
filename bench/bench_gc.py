"""Objects and their collector: what a command that makes many keeps and takes, its longest pause, and what a server keeps of a guest that makes some a request."""
import re, struct, subprocess, sys, tempfile, time
from pathlib import Path

import bench_serve, measure

sys.path.append(str(measure.TOP / "tests/serve"))
from assemble import ADD, DROP, MUL, const, const64, get, name, put, section, u, vec

ROUNDS = 1
NODE = 32 + 4  # bytes: a node's cell, and the reference to it
MIB, GIB = 1 << 20, 1 << 30


def options(p):
    p.add_argument("--gib", type=float, default=10, help="how much is made in one call")
    p.add_argument("--live", type=int, default=50, help="MiB that are in use meanwhile, of a limit of 128 MiB")
    p.add_argument("--heap", type=int, default=256, help="MiB that are in use while the longest pause is looked for")
    p.add_argument("--requests", type=int, default=1000000)


def churn(live, n, timed):
    """A module of preview 1: a node n times, each in a random one of so many places. Writes the longest time between two of them in ns, if it is `timed`."""
    now = const(1) + const64(0) + const(16) + b"\x10\0" + DROP + const(16) + b"\x29\x03\0"
    types = [b"\x5f" + vec([b"\x7e\x01", b"\x63\0\x01"]), b"\x5e\x63\0\x01", b"\x60" + vec([]) + vec([]),
        b"\x60" + vec([b"\x7f", b"\x7e", b"\x7f"]) + vec([b"\x7f"]), b"\x60" + vec([b"\x7f"] * 4) + vec([b"\x7f"])]
    longest = now + put(3) + get(3) + get(2) + b"\x7d" + get(4) + b"\x56\x04\x40" + get(3) + get(2) + b"\x7d" + put(4) + b"\x0b" + get(3) + put(2)
    code = (vec([b"\x01\x7f", b"\x04\x7e", b"\x01\x63\x01"]) + const(live) + b"\xfb\x07\x01" + put(5) + const64(n) + put(1) + now + put(2) +
        b"\x03\x40" + get(0) + const(1664525) + MUL + const(1013904223) + ADD + put(0) +
        get(5) + get(0) + const(8) + b"\x76" + const(live) + b"\x70" + get(1) + b"\xd0\0\xfb\0\0" + b"\xfb\x0e\x01" + (longest if timed else b"") +
        get(1) + const64(1) + b"\x7d\x22\x01" + const64(0) + b"\x52\x0d\0\x0b" +
        const(32) + get(4) + b"\x37\x03\0" + const(0) + const(32) + b"\x36\x02\0" + const(4) + const(8) + b"\x36\x02\0" +
        const(1) + const(0) + const(1) + const(8) + b"\x10\x01" + DROP + b"\x0b")
    p1 = name("wasi_snapshot_preview1")
    return (b"\0asm\1\0\0\0" + section(1, vec(types)) + section(2, vec([p1 + name("clock_time_get") + b"\0\x03", p1 + name("fd_write") + b"\0\x04"])) +
        section(3, vec([b"\x02"])) + section(5, vec([b"\0\x01"])) + section(7, vec([name("memory") + b"\x02\0", name("_start") + b"\0\x02"])) +
        section(10, vec([u(len(code)) + code])))


def run_module(folder, module, memory):
    """(seconds, MiB at the peak, ns that it wrote)."""
    file = Path(folder) / "churn.wasm"
    file.write_bytes(module)
    began = time.perf_counter()
    argv = measure.pinned(measure.cores()[0], [measure.TENON, "run", "--memory", memory, file])
    r = subprocess.run(["/usr/bin/env", "python3", "-c", PEAK, *argv], capture_output=True)
    seconds = time.perf_counter() - began
    if r.returncode or len(r.stdout) != 8:
        sys.exit(f"tenon run: {r.returncode}: {r.stderr.decode()[-300:]}")
    return seconds, int(r.stderr.split()[-1]) / 1024, struct.unpack("<Q", r.stdout)[0]


PEAK = "import resource, subprocess, sys\nc = subprocess.run(sys.argv[1:]).returncode\nprint(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)\nsys.exit(c)"


def commands(o, folder):
    n, live = int(o.gib * GIB / 32), o.live * MIB // NODE
    seconds, peak, _ = run_module(folder, churn(live, n, False), "128MiB")
    heap = o.heap * MIB // NODE
    _, peak_heap, pause = run_module(folder, churn(heap, 6 * heap, True), f"{3 * o.heap}MiB")
    measure.table(["one call", "seconds", "GiB/s", "peak MiB", "longest pause ms"], [
        [f"{o.gib:g} GiB made, {o.live} MiB in use, --memory 128MiB", seconds, o.gib / seconds, peak, ""],
        [f"{o.heap} MiB in use, --memory {3 * o.heap}MiB", "", "", peak_heap, pause / 1e6]])
    return {"gib": o.gib, "seconds": seconds, "peak_mib": peak, "heap_mib": o.heap, "pause_ms": pause / 1e6}


def private_kib(server):
    text = Path(f"/proc/{server.process.pid}/smaps_rollup").read_text()
    return sum(int(k) for k in re.findall(r"^Private_\w+:\s+(\d+) kB", text, re.M))


def served(o, folder):
    from collecting import collecting
    core, load_core = measure.cores()
    file = Path(folder) / "collecting.wasm"
    file.write_bytes(collecting())
    o.path = "/"
    server = bench_serve.ready({"tenon": measure.Server([measure.TENON, "serve", file, "--addr", "127.0.0.1:{port}"], core)})["tenon"]
    bench_serve.load(server, 32, 2, load_core, "/")
    before, done, errors = private_kib(server), 0, 0
    while done < o.requests:
        r = bench_serve.load(server, 32, 5, load_core, "/")
        if not r:
            break
        done, errors = done + r["requests"], errors + r["errors"]
    grown = private_kib(server) - before
    server.stop()
    measure.table(["served", "requests", "errors", "grown KiB"], [["2,000 objects a request", done, errors, grown]])
    return {"requests": done, "errors": errors, "grown_kib": grown}


def run(o):
    with tempfile.TemporaryDirectory(prefix="tenon-bench-") as folder:
        data = commands(o, folder)
        if o.requests:
            data["served"] = served(o, folder)
    measure.save("gc", data)

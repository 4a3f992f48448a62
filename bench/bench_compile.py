"""MB of code section a second on one thread, validation included, beside the peer's compilers."""
import resource, subprocess, tempfile
from pathlib import Path

import measure
from measure import median

ROUNDS = 3


def options(p):
    pass


def peer_seconds(wasmtime, compiler, file, folder):
    """CPU seconds of `wasmtime compile` on one core, or None if that compiler can't do it."""
    argv = [wasmtime, "compile", "-C", f"compiler={compiler}", "-C", "parallel-compilation=n", "-o", Path(folder) / "out.cwasm", file]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    r = subprocess.run(measure.pinned(measure.cores()[0], argv), capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if r.returncode:
        print(f"  wasmtime {compiler}: {r.stderr.strip().splitlines()[-1] if r.stderr.strip() else r.returncode}")
        return None
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def run(o):
    rows, data = [], {}
    with tempfile.TemporaryDirectory(prefix="tenon-bench-") as folder:
        for g in o.guest or ["c", "rust", "js", "py"]:
            file = measure.guest(g)
            if not file:
                print(f"  {g}: its component is not on this machine")
                continue
            times = {"tenon baseline": [], "wasmtime Winch": [], "wasmtime Cranelift": []}
            for n in range(o.rounds):
                own = measure.tenon_bench("compile", file, 3)
                times["tenon baseline"].append(own["seconds"])
                for name, compiler in (("wasmtime Winch", "winch"), ("wasmtime Cranelift", "cranelift")) if o.peer else ():
                    if compiler == "cranelift" and n > 0:
                        continue
                    if s := peer_seconds(o.peer, compiler, file, folder):
                        times[name].append(s)
            mb = own["code_bytes"] / 1e6
            data[g] = {"code_mb": mb, "native_bytes": own["native_bytes"], "seconds": {k: median(v) for k, v in times.items() if v}}
            rows += [[f"{g}: {name}", round(mb, 2), round(median(t), 4), round(mb / median(t), 2)] for name, t in times.items() if t]
    measure.table(["guest, side", "code MB", "seconds", "MB/s"], rows)
    measure.save("compile", {"results": data})

"""./dev fuzz csmith [--programs N] [--seed S] [--build asan]: programs of csmith (C without undefined behaviour), compiled for this machine and at three levels for
WebAssembly (preview 1), run by tenon: each must print the checksum that the machine prints.

csmith, its headers, wasi-libc and the compiler's runtime for wasm32 are Debian's. What differs is named by its seed and level; `csmith -s SEED` makes it again.
"""
import argparse, concurrent.futures, os, subprocess, sys, tempfile
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOP / "fuzz"))
from differential import SANITIZERS  # noqa: E402

PACKAGES = {"csmith": "/usr/bin/csmith", "libcsmith-dev": "/usr/include/csmith/csmith.h", "wasi-libc": "/usr/include/wasm32-wasi/stdio.h",
    "libclang-rt-19-dev-wasm32": "/usr/lib/llvm-19/lib/clang/19/lib/wasi/libclang_rt.builtins-wasm32.a"}
LEVELS = ["-O0", "-O1", "-O3"]
NATIVE_SECONDS = 2  # some never end; those are left out
FEATURES = ["-mtail-call", "-mmultivalue", "-msimd128", "-mbulk-memory", "-msign-ext", "-mnontrapping-fptoint"]


def compile(source, out, *flags):
    subprocess.run([os.environ.get("CC", "clang-19"), "-w", "-I/usr/include/csmith", *flags, source, "-o", out], check=True)


def one(tenon, folder, seed):
    """How many runs were compared, and [what differed]."""
    source, native = folder / f"{seed}.c", folder / f"{seed}"
    subprocess.run(["csmith", "-s", str(seed), "-o", source], check=True, stdout=subprocess.DEVNULL, cwd=folder)
    compile(source, native, "-O1")
    try:
        right = subprocess.run([native], capture_output=True, text=True, timeout=NATIVE_SECONDS).stdout
    except subprocess.TimeoutExpired:
        return 0, []
    found = []
    for level in LEVELS:
        wasm = folder / f"{seed}{level}.wasm"
        compile(source, wasm, "--target=wasm32-wasi", level, *(FEATURES if seed % 2 else []))
        r = subprocess.run([tenon, "run", "--no-cache", wasm], capture_output=True, text=True, env=os.environ | SANITIZERS)
        if r.returncode or r.stdout != right:
            found.append(f"{seed} {level}: {r.returncode} {r.stdout!r} {r.stderr[-500:]!r}, right is {right!r}")
        wasm.unlink()
    source.unlink()
    native.unlink()
    return len(LEVELS), found


def main():
    p = argparse.ArgumentParser(prog="./dev fuzz csmith", description="Programs of csmith in tenon and on this machine: their checksums are compared.")
    p.add_argument("--programs", type=int, default=200)
    p.add_argument("--seed", type=int, default=1, help="the first program's")
    p.add_argument("--build", default="release", choices=("release", "asan"), help="whose tenon")
    o = p.parse_args()
    missing = [name for name, file in PACKAGES.items() if not Path(file).exists()]
    if missing:
        sys.exit(f"error: not on this machine: {' '.join(missing)}\n  hint: apt-get install {' '.join(missing)}")
    tenon = TOP / "build" / o.build / "tenon"
    runs = differ = left = 0
    with tempfile.TemporaryDirectory(prefix="tenon-csmith-") as d, concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for n, found in pool.map(lambda s: one(tenon, Path(d), s), range(o.seed, o.seed + o.programs)):
            runs, differ, left = runs + n, differ + len(found), left + (n == 0)
            for f in found:
                print(f"DIFFERS {f}", flush=True)
    print(f"{o.programs} programs (seeds {o.seed} to {o.seed + o.programs - 1}), {left} left out, {runs} runs; {differ} differ")
    return 1 if differ or not runs else 0


if __name__ == "__main__":
    sys.exit(main())

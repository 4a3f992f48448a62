#!/usr/bin/env python3
"""What loading costs against the size of a file: each shape of shapes.py with n of what it is about, and with 8 n.

    run.py [--short] [SHAPE…]     a table; fails where a shape breaks one of the rules

1. CPU time and memory of 8 n are at most ten times those of n: linear, with room for caches.
2. A byte costs at most twenty times a byte of ordinary code; a megabyte is loaded within 100 ms of two cores and 100 MB, or refused as too much.

CPU time is the least of several runs, and where a rule is broken more runs are made before that counts: other work of the machine only ever adds.
`--short` is a part of `./dev test`: files of a quarter of a megabyte, the first rule with more room, the second without the milliseconds.
"""
import subprocess, sys, tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import shapes

TOP = Path(__file__).resolve().parents[2]
LOAD = TOP / "build/release/tenon-load"
REFUSED = 3  # err.h: too large, or more than is supported
LEAST_US, LEAST_KIB = 1000, 2048  # below that noise and fixed costs are all there is


def measured(runs, paths):
    r = subprocess.run([str(LOAD), str(runs), *map(str, paths)], capture_output=True, text=True, check=True)
    rows = [line.split(" ", 3) for line in r.stdout.splitlines()]
    return [(int(us), int(kib), int(status)) for us, kib, status, _ in rows]


class Shape:
    def __init__(self, name, size, folder):
        folder = Path(tempfile.mkdtemp(dir=folder))
        make = shapes.SHAPES[name]
        per_item = max(1, (len(make(2000)) - len(make(1000))) / 1000)
        n = max(1, int(size / 8 / per_item))
        self.name, self.files = name, [folder / f"{name.replace(' ', '-')}-{k}.wasm" for k in (1, 8)]
        self.sizes = []
        for k, path in zip((1, 8), self.files):
            data = make(n * k)
            path.write_bytes(data)
            self.sizes.append(len(data))
        self.us, self.kib, self.status = [1 << 40] * 2, [0, 0], [0, 0]

    def measure(self, runs):
        for i, (us, kib, status) in enumerate(measured(runs, self.files)):
            self.us[i], self.kib[i], self.status[i] = min(self.us[i], us), max(self.kib[i], kib), status

    def broken(self, ordinary, short):
        """Which rule, or None. `ordinary`: µs a byte of ordinary code."""
        if any(s not in (0, REFUSED) for s in self.status):
            return f"exit status {self.status[0]} and {self.status[1]}"
        factor = 16 if short else 10
        ratio = self.sizes[1] / self.sizes[0] / 8
        if self.us[1] > factor * max(self.us[0], LEAST_US) * max(ratio, 1):
            return "time is not linear"
        if self.kib[1] > factor * max(self.kib[0], LEAST_KIB) * max(ratio, 1):
            return "memory is not linear"
        if self.us[1] > max(20 * ordinary * self.sizes[1], LEAST_US * 4):
            return "a byte costs more than twenty ordinary ones"
        if not short and self.us[1] > 200_000 * max(1, self.sizes[1] / 1e6):
            return "more than 100 ms of two cores a megabyte"
        if self.kib[1] > 100_000 * max(1, self.sizes[1] / 1e6):
            return "more than 100 MB a megabyte"
        return None


def main():
    short = "--short" in sys.argv
    names = [a for a in sys.argv[1:] if a != "--short"] or list(shapes.SHAPES)
    if unknown := [n for n in names if n not in shapes.SHAPES]:
        sys.exit(f"no such shape: {unknown[0]} (there are: {', '.join(shapes.SHAPES)})")
    size, runs = (250_000, 2) if short else (1_000_000, 5)
    failed = 0
    with tempfile.TemporaryDirectory(prefix="tenon-linear-") as folder:
        plain = Shape("ordinary code", size, Path(folder))
        plain.measure(runs)
        ordinary = plain.us[1] / plain.sizes[1]
        print(f"{'shape':38} {'KB':>6} {'ms':>8} {'MB':>7}   {'8n: KB':>7} {'ms':>8} {'MB':>7}  {'time':>5} {'memory':>6} {'× a byte':>8}")
        for name in names:
            s = Shape(name, size, Path(folder))
            s.measure(runs)
            why = s.broken(ordinary, short)
            for _ in range(4 if why else 0):
                s.measure(runs)
                plain.measure(1)
                ordinary = plain.us[1] / plain.sizes[1]
                if not (why := s.broken(ordinary, short)):
                    break
            told = why or ("refused" if s.status[1] else "")
            print(f"{name:38} {s.sizes[0] / 1e3:6.0f} {s.us[0] / 1e3:8.2f} {s.kib[0] / 1e3:7.1f}   {s.sizes[1] / 1e3:7.0f} {s.us[1] / 1e3:8.2f} {s.kib[1] / 1e3:7.1f}"
                f"  {s.us[1] / max(s.us[0], 1):5.1f} {s.kib[1] / max(s.kib[0], 1):6.1f} {s.us[1] / s.sizes[1] / ordinary:8.1f}  {'FAILED ' if why else ''}{told}", flush=True)
            failed += bool(why)
            for path in s.files:
                path.unlink()
    print(f"{len(names) - failed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

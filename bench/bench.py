#!/usr/bin/env python3
"""./dev bench serve|async|compile|coldstart|instantiate|kernels|programs|command|files|proxy|memory|dev|gc|pair|density|swap|threads|kv: both sides in one run, medians, a table and build/bench/NAME.json."""
import argparse, sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import bench_async, bench_coldstart, bench_command, bench_compile, bench_density, bench_dev, bench_files, bench_gc, bench_instantiate, bench_kernels, bench_kv, bench_memory, bench_pair, bench_programs, bench_proxy, bench_serve, bench_swap, bench_threads
import measure

BENCHES = {"serve": bench_serve, "async": bench_async, "compile": bench_compile, "coldstart": bench_coldstart, "instantiate": bench_instantiate, "kernels": bench_kernels,
    "programs": bench_programs, "command": bench_command, "files": bench_files, "proxy": bench_proxy, "memory": bench_memory, "dev": bench_dev, "gc": bench_gc, "pair": bench_pair, "density": bench_density, "swap": bench_swap, "threads": bench_threads, "kv": bench_kv}
ALONE = ("instantiate", "dev", "gc", "pair", "density", "swap", "threads")  # no peer beside it


def main():
    p = argparse.ArgumentParser(prog="./dev bench")
    sub = p.add_subparsers(dest="which", required=True)
    for name, module in BENCHES.items():
        s = sub.add_parser(name, help=module.__doc__.split("\n")[0].replace("%", "%%"))
        s.add_argument("--rounds", type=int, default=module.ROUNDS)
        s.add_argument("--guest", action="append", choices=list(measure.GUESTS), help="repeatable; default: all that the bench is about")
        s.add_argument("--no-peer", action="store_true")
        module.options(s)
    o = p.parse_args()
    measure.OUT.mkdir(parents=True, exist_ok=True)
    o.peer = None if o.no_peer or o.which in ALONE else measure.peer()
    BENCHES[o.which].run(o)


if __name__ == "__main__":
    main()

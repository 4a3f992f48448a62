#!/usr/bin/env python3
"""./dev bench serve|compile|coldstart|instantiate|kernels|pair: both sides in one run, medians, a table and build/bench/NAME.json."""
import argparse, sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import bench_coldstart, bench_compile, bench_instantiate, bench_kernels, bench_pair, bench_serve, measure

BENCHES = {"serve": bench_serve, "compile": bench_compile, "coldstart": bench_coldstart, "instantiate": bench_instantiate, "kernels": bench_kernels,
    "pair": bench_pair}
ALONE = ("instantiate", "pair")  # no peer beside it


def main():
    p = argparse.ArgumentParser(prog="./dev bench")
    sub = p.add_subparsers(dest="which", required=True)
    for name, module in BENCHES.items():
        s = sub.add_parser(name, help=module.__doc__.split("\n")[0])
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

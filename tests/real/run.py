#!/usr/bin/env python3
"""Stores against the real servers (docs/testing.md): every test_* function of test_*.py here, or those whose names contain a NAME.

    run.py [NAME…] [--build BUILD]

A function's first argument says which server it needs; where that is not installed it is skipped, and why is said."""
import argparse, importlib, inspect, sys, time, traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import door, servers


def main():
    p = argparse.ArgumentParser()
    p.add_argument("names", nargs="*")
    p.add_argument("--build", default="release")
    args = p.parse_args()
    door.BUILD = args.build
    passed = failed = skipped = 0
    kinds = {"redis": servers.Redis, "nats": servers.Nats}
    for f in sorted(Path(__file__).parent.glob("test_*.py")):
        module = importlib.import_module(f.stem)
        for name, fn in [(n, x) for n, x in vars(module).items() if n.startswith("test_")]:
            full = f"{f.stem}.{name}"
            if args.names and not any(n in full for n in args.names):
                continue
            needs = next(iter(inspect.signature(fn).parameters))
            why = kinds[needs].lacks()
            if why:
                print(f"skipped {full}: {why}")
                skipped += 1
                continue
            began = time.monotonic()
            try:
                with kinds[needs](*getattr(module, "ARGUMENTS", {}).get(name, [])) as server:
                    fn(server)
                passed += 1
                print(f"ok      {full} ({time.monotonic() - began:.1f} s)", flush=True)
            except Exception as e:
                failed += 1
                print(f"FAILED  {full}: {type(e).__name__}: {e}\n{traceback.format_exc()}", flush=True)
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0


sys.exit(main())

#!/usr/bin/env python3
"""Tests of the whole server: run.py [--build NAME] [--only WORD]…

Each function of a test_*.py here that has no leading underscore is a test; its name is what must hold. --build: the binary of build/NAME instead of
build/tenon. --only: tests with that word in their name or file. The last line is the total; exit 0 only if nothing failed.
"""
import argparse, importlib, inspect, sys, time, traceback
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import harness  # noqa: E402


def tests(only):
    for file in sorted(HERE.glob("test_*.py")):
        module = importlib.import_module(file.stem)
        for name, fn in list(vars(module).items()):
            if inspect.isfunction(fn) and fn.__module__ == file.stem and name[0] != "_" and (not only or any(w in name or w in file.stem for w in only)):
                yield file.stem, name, fn


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--build")
    p.add_argument("--only", action="append")
    o = p.parse_args()
    if o.build:
        harness.config.tenon = harness.TOP / "build" / o.build / "tenon"
        harness.config.release = o.build not in ("asan", "tsan", "check-reset")
    passed, failed, skipped = 0, 0, Counter()
    if not harness.config.tenon.exists():
        print(f"FAILED: {harness.config.tenon} is not built\n0 passed, 1 failed, 0 skipped")
        return 1
    for where, name, fn in tests(o.only):
        began = time.monotonic()
        try:
            note = fn()
        except harness.Skip as e:
            skipped[str(e)] += 1
            print(f"skip   {where[5:]}: {name}: {e}", flush=True)
            continue
        except Exception as e:
            failed += 1
            at = traceback.extract_tb(e.__traceback__)
            line = next((f.lineno for f in reversed(at) if Path(f.filename).name == where + ".py"), 0)
            print(f"FAILED {where[5:]}: {name} ({where}.py:{line}): {'' if isinstance(e, AssertionError) else type(e).__name__ + ': '}{e}", flush=True)
            continue
        passed += 1
        print(f"ok     {where[5:]}: {name} ({time.monotonic() - began:.1f} s){': ' + note if note else ''}", flush=True)
    for why, n in skipped.items():
        print(f"skipped {n}: {why}")
    print(f"{passed} passed, {failed} failed, {sum(skipped.values())} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""./dev conform: finds conformance folders, has their scripts run by tenon-conform, their guests by guests.py and what others lay out in other ways by
the modules of OTHERS, and adds up."""
import argparse, os, re, subprocess, sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import apps, guests, programs, suite, toolchains
from over import WAYS, Way

TOP = guests.TOP
# Who knows a folder by the names of its files, and who runs what is in it.
OTHERS = [(apps.is_app, apps.run_app), (suite.is_suite, suite.run_suite), (programs.is_folder_of_them, programs.run_programs),
    (toolchains.is_folder_of_them, toolchains.run_toolchains)]


def find(folder):
    """(script folders, [(root of guests, folder in it)], [(script folder, script)], [(who runs it, folder)]) in and around a folder."""
    scripts, roots, single, others = [], [], [], []
    for at, dirs, files in os.walk(folder):
        dirs.sort()
        if "features.json" in files:
            scripts.append(Path(at))
        if "expected.json" in files and not apps.is_app(files):
            roots.append((Path(at), ""))
        others += [(run, Path(at)) for knows, run in OTHERS if knows(files)]
    if not scripts and not roots and not others:
        for up in folder.parents:
            if (up / "expected.json").exists():
                roots.append((up, str(folder.relative_to(up))))
                break
            if (up / "features.json").exists():
                single.append((up, folder.relative_to(up).parts[0]))
                break
    return scripts, roots, single, others


def run_scripts(binary, folders, flags, only, total, reasons):
    argv = [str(binary), *flags, *[f for glob in only for f in ("--only", glob)], *map(str, folders)]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, errors="replace")
    last = ""
    for line in process.stdout:
        if m := re.match(r"skipped (\d+): (.*)", line):
            reasons[m.group(2)] = reasons.get(m.group(2), 0) + int(m.group(1))
        elif re.match(r"\d+ passed, ", line):
            last = line
        else:
            print(line, end="", flush=True)
    process.wait()
    m = re.match(r"(\d+) passed, (\d+) failed, (\d+) skipped", last)
    total["passed"] += int(m.group(1)) if m else 0
    total["failed"] += int(m.group(2)) if m else 1
    if not m:
        print(f"FAILED  tenon-conform ended with {process.returncode}")


def main():
    p = argparse.ArgumentParser(prog="./dev conform")
    p.add_argument("folders", nargs="+", metavar="DIR", type=Path)
    p.add_argument("--only", action="append", default=[], metavar="GLOB", help="scripts or guests by name; repeatable")
    p.add_argument("--tier", choices=["baseline"], default="baseline")
    p.add_argument("--poison", action="store_true", help="debug mode of the compiler: upper halves of 32-bit values are poisoned")
    p.add_argument("--checks", action="store_true", help="scripts: no memory lies in a cell, all accesses are checked by code")
    p.add_argument("--lazy", action="store_true", help="scripts: each function is compiled when it is called first")
    p.add_argument("--collect", action="store_true", help="scripts: it is collected each time an object is made")
    p.add_argument("-v", "--verbose", action="store_true")
    p.add_argument("--build", default="release", help="which build's programs (release, asan, check-reset)")
    p.add_argument("--watched", action="store_true", help="guests by the program that tells of allocations without an account")
    p.add_argument("--over", choices=WAYS, default="h1", help="what requests to guests of HTTP go over")
    o = p.parse_args()
    tenon = guests.binary(TOP / "build", o.build)
    total, reasons = {"passed": 0, "failed": 0}, {}
    flags = ["-v"] * o.verbose + ["--poison"] * o.poison
    script_flags = flags + ["--checks"] * o.checks + ["--collect"] * o.collect + ["--lazy"] * o.lazy
    run = guests.Run(tenon.parent / "tenon-watched" if o.watched else tenon, o.only, o.verbose, flags, Way(o.over))
    for folder in o.folders:
        if not folder.is_dir():
            sys.exit(f"error: no such folder: {folder}")
        scripts, roots, single, others = found = find(folder.resolve())
        if not any(found):
            sys.exit(f"error: neither features.json nor expected.json in, below or above {folder}, nor a folder that another runner knows below it")
        if scripts:
            run_scripts(tenon.parent / "tenon-conform", scripts, script_flags, o.only, total, reasons)
        for at, name in single:
            run_scripts(tenon.parent / "tenon-conform", [at], script_flags, [name], total, reasons)
        for root, under in roots:
            guests.run_guests(root, under, run)
        for runs, at in others:
            runs(at, run)
    for reason, n in run.skipped.items():
        reasons[reason] = reasons.get(reason, 0) + n
    for reason, n in sorted(reasons.items()):
        print(f"skipped {n}: {reason}")
    passed, failed = (total[k] + run.total[k] for k in ("passed", "failed"))
    print(f"{passed} passed, {failed} failed, {sum(reasons.values())} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

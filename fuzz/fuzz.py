#!/usr/bin/env python3
"""./dev fuzz [TARGET] [--seconds N]: runs libFuzzer targets, each for N seconds (60), on what was found before and the seeds.

    --replay     runs every seed and finding once through the targets of the ASan build (what ./dev test does); ends with a total
Seeds lie in fuzz/seeds/NAME; in fuzz/corpus/NAME, by hash, a hundred small inputs that cover much, and by name those that once broke something. NAME is
the target's without fuzz_. New inputs are
collected in build/fuzz-corpus/NAME, what breaks it in build/fuzz-findings/.
"""
import argparse, os, re, subprocess, sys
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOP / "tools"))
import rooms

FINDINGS = TOP / "build/fuzz-findings"
# The engine's own handlers see faults of guests first; leaks are told by the unit tests.
ENV = {"ASAN_OPTIONS": "use_sigaltstack=0:handle_segv=0:handle_sigbus=0:handle_sigfpe=0:detect_stack_use_after_return=0:allocator_may_return_null=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1", **os.environ}


def inputs(target):
    name = target.removeprefix("fuzz_")
    return [TOP / "fuzz" / kind / name for kind in ("seeds", "corpus") if (TOP / "fuzz" / kind / name).is_dir()]


def replay(targets, build):
    passed = failed = 0
    for t in targets:
        if not (TOP / "build" / build / t).exists():
            print(f"FAILED  {t}: build/{build} does not have it")
            failed += 1
            continue
        r = subprocess.run([TOP / "build" / build / t, *inputs(t)], env=ENV, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")
        m = re.search(r"^(\d+) inputs$", r.stdout, re.M)
        n = int(m.group(1)) if m else 0
        ok = r.returncode == 0 and n > 0
        print(f"{'ok' if ok else 'FAILED':7} {t}: {n} inputs" + ("" if ok else f" (ended with {r.returncode})\n" + (r.stdout + r.stderr)[-3000:]), flush=True)
        passed += n if ok else max(n - 1, 0)
        failed += not ok
    print(f"{passed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


def fuzz(targets, seconds):
    broken = []
    FINDINGS.mkdir(parents=True, exist_ok=True)
    for t in targets:
        corpus = TOP / "build/fuzz-corpus" / t.removeprefix("fuzz_")
        corpus.mkdir(parents=True, exist_ok=True)
        print(f"==== {t}: {seconds} s", flush=True)
        argv = [TOP / "build/fuzz" / t, f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=3000", "-max_len=65536", "-print_final_stats=1", "-verbosity=0",
            f"-artifact_prefix={FINDINGS}/{t}-", corpus, *inputs(t)]
        if subprocess.run(argv, env=ENV, stdin=subprocess.DEVNULL).returncode:
            broken.append(t)
    print(f"{len(targets) - len(broken)} targets without a finding" + (f"; findings: {' '.join(broken)} (in {FINDINGS})" if broken else ""))
    return 1 if broken else 0


def main():
    p = argparse.ArgumentParser(prog="./dev fuzz")
    p.add_argument("target", nargs="?")
    p.add_argument("--seconds", type=int, default=60)
    p.add_argument("--replay", action="store_true")
    p.add_argument("--build", default="asan", help="whose programs replay (asan)")
    o = p.parse_args()
    targets = [name for kind, name, _, _ in rooms.programs() if kind == "fuzz"]
    if o.target:
        named = [t for t in targets if t in (o.target, "fuzz_" + o.target)]
        if not named:
            sys.exit(f"error: no such target: {o.target}\n  hint: one of {' '.join(targets)}")
        targets = named
    return replay(targets, o.build) if o.replay else fuzz(targets, o.seconds)


if __name__ == "__main__":
    sys.exit(main())

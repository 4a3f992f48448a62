#!/usr/bin/env python3
"""Tests of the whole server: run.py [--build NAME] [--over WAY] [--only WORD]…

Each function of a test_*.py here that has no leading underscore is a test; its name is what must hold. --build: the binary of build/NAME instead of
build/tenon, or check-reset: build/release/tenon-check-reset. --over tls|h2c|h2: the tests of OVER, by TLS, by HTTP/2, by both; but for what is written by hand. --only: tests with that word in their name or file. What failed runs again at the end, alone: if it holds then, it is told as UNSTEADY, which is no failure; but where a program died of a signal of its own. The last line is the total; exit 0 only if nothing failed.
"""
import argparse, contextlib, importlib, inspect, io, multiprocessing, os, signal, subprocess, sys, time, traceback
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import harness  # noqa: E402
from guests import binary  # noqa: E402
from over import WAYS, Way  # noqa: E402

LONG = ("test_host_work", "test_host_memory", "test_swaps", "test_grpc")  # begun first: nobody waits for them at the end
DEATHS = [-s for s in (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGFPE)]
ALONE = ("test_steady", "test_neighbours", "test_slow_files", "test_crowd", "test_install")

# What a server does with requests, whatever they come over.
OVER = ("test_async_http", "test_bodies", "test_concurrent", "test_drain", "test_http", "test_isolation", "test_kept_routes", "test_large_bodies", "test_limits", "test_outgoing", "test_policies")


class Watched(subprocess.Popen):
    """What tests start; `all`: of the one that runs."""
    all = []

    def __init__(self, *args, **kwargs):
        Watched.all.append(self)
        super().__init__(*args, **kwargs)


def crashed():
    """Programs that died of what nobody sent them; `--version` asks whether the loader has room for the libraries, and dies of having none."""
    asked = [(p.args if isinstance(p.args, list) else [p.args], p.poll()) for p in Watched.all]
    return [(args[0], died) for args, died in asked if died in DEATHS and args[1:] != ["--version"]]


def tests(only, way):
    for file in sorted(HERE.glob("test_*.py")):
        if way.name != "h1" and file.stem not in OVER:
            continue
        module = importlib.import_module(file.stem)
        for name, fn in list(vars(module).items()):
            if inspect.isfunction(fn) and fn.__module__ == file.stem and name[0] != "_" and (not only or any(w in name or w in file.stem for w in only)):
                yield file.stem, name


def run(where, name):
    """(what became of it: "ok", "skip", "by hand", "FAILED" or "crashed", why it was skipped, what is printed)."""
    began, said = time.monotonic(), io.StringIO()
    Watched.all.clear()
    with contextlib.redirect_stdout(said):
        try:
            note = getattr(sys.modules[where], name)()
            became, why = "ok", ""
            print(f"ok     {where[5:]}: {name} ({time.monotonic() - began:.1f} s){': ' + note if note else ''}")
        except harness.ByHand:
            became, why = "by hand", ""
        except harness.Skip as e:
            became, why = "skip", str(e)
            print(f"skip   {where[5:]}: {name}: {e}")
        except Exception as e:
            became, why = "FAILED", ""
            at = traceback.extract_tb(e.__traceback__)
            line = next((f.lineno for f in reversed(at) if Path(f.filename).name == where + ".py"), 0)
            print(f"FAILED {where[5:]}: {name} ({where}.py:{line}): {'' if isinstance(e, AssertionError) else type(e).__name__ + ': '}{e}")
            if dead := crashed():
                became = "crashed"
                print(f"    died: {dead}")
    return became, why, said.getvalue()


def results(found, jobs):
    """Of all tests: those that measure or build by themselves, the others beside each other, since most of their time is waiting. A test that failed there had
    the others' load as well, and one that measures what else this machine did then: once more, later and alone, it says whether the server or the clock was wrong."""
    beside, again = [t for t in found if t[0] not in ALONE], []
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("fork")) as pool:
        running = {pool.submit(run, *t): t for t in sorted(beside, key=lambda t: t[0] not in LONG)}
        for done in as_completed(running):
            if done.result()[0] == "FAILED":
                again.append((running[done], done.result()[2]))
            else:
                yield done.result()
    for t in found:
        if t[0] in ALONE:
            one = run(*t)
            if one[0] == "FAILED":
                again.append((t, one[2]))
            else:
                yield one
    for t, first in again:
        became, why, said = run(*t)
        if became in ("skip", "by hand"):
            became, why = "FAILED", ""  # that says nothing of what failed
        yield became, why, (first.replace("FAILED", "UNSTEADY", 1) if became == "ok" else first) + said


def main():
    signal.signal(signal.SIGINT, signal.default_int_handler)  # who runs in the background may have been told to ignore it; what is started here must not be
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--build")
    p.add_argument("--only", action="append")
    p.add_argument("--jobs", type=int, default=(os.cpu_count() or 1) * 4, help="tests beside each other")
    p.add_argument("--over", choices=WAYS, default="h1", help="what requests go over")
    o = p.parse_args()
    way = harness.config.way = Way(o.over)
    if o.build:
        harness.config.tenon = binary(harness.TOP / "build", o.build)
        harness.config.release = o.build not in ("asan", "tsan", "check-reset")
    total, skipped = Counter(), Counter()
    subprocess.Popen = Watched
    if not harness.config.tenon.exists():
        print(f"FAILED: {harness.config.tenon} is not built\n0 passed, 1 failed, 0 skipped")
        return 1
    for became, why, said in results(list(tests(o.only, way)), o.jobs):
        print(said, end="", flush=True)
        total[became] += 1
        if became == "skip":
            skipped[why] += 1
    for why, n in skipped.items():
        print(f"skipped {n}: {why}")
    if total["by hand"]:
        print(f"{total['by hand']} are about HTTP/1.1 written by hand or clients that speak nothing else")
    print(f"{total['ok']} passed, {total['FAILED'] + total['crashed']} failed, {total['skip']} skipped")
    return 1 if total["FAILED"] + total["crashed"] else 0


if __name__ == "__main__":
    sys.exit(main())

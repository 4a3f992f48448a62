#!/usr/bin/env python3
"""./dev test [STAGE…]: everything that must hold before a change lands. The last line is the total; exit 0 only if nothing failed.

Stages, in order: build, check, units, units-asan, units-tsan, units-check-reset, cli, linear, serve, real, swaps, updates, crashes, scripts, guests, apps, pages, tour, fuzz; pgo only where it is named. Data that is not on this machine is skipped, and said so.
What failed is told again above the totals, and what failed beside other tests and held alone (UNSTEADY: no failure, but somebody should look).
"""
import json, os, re, subprocess, sys, threading, time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import rooms

TOP = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("TENON_SHARED", TOP.parent / "shared"))
WASI_TESTSUITE = Path(os.environ.get("TENON_WASI_TESTSUITE", TOP.parent / "wasi-testsuite"))  # its branch prod/testsuite-base
WASMTIME_PROGRAMS = Path(os.environ.get("TENON_WASMTIME_PROGRAMS", TOP.parent / "wasmtime-programs"))  # its crates/test-programs, built
JOBS = str(os.cpu_count() or 2)
TOTAL = re.compile(r"^(\d+) passed, (\d+) failed, (\d+) skipped$")
AFTER_A_FAILURE = re.compile(r"ok |skipped|\d+ passed,")  # what follows says nothing of it any more
FAILURE_LINES, FAILURES_TOLD = 12, 10  # of each, and of a stage
# Faults are the guest's until the engine says otherwise, and its handlers run where they are told to.
SANITIZERS = {
    "ASAN_OPTIONS": "use_sigaltstack=0:handle_segv=0:handle_sigbus=0:handle_sigfpe=0:detect_stack_use_after_return=0:allocator_may_return_null=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    "TSAN_OPTIONS": "handle_segv=0:handle_sigbus=0:halt_on_error=1:atexit_sleep_ms=50",
}
BUILDING = {"ASAN_OPTIONS": "detect_leaks=0"}  # programs that only the build runs may end without freeing


class Stage:
    """Counts of one stage; a stage that did not run to its end is one failure. What one beside others says is held back until tell()."""

    def __init__(self, name, beside=False):
        self.name, self.passed, self.failed, self.skipped = name, 0, 0, 0
        self.failures, self.telling, self.held = [], 0, [] if beside else None
        self.began, self.seconds = time.monotonic(), 0
        self.line(f"==== {name}")

    def go(self):
        try:
            STAGES[self.name](self)
        except Exception as e:  # a stage that can't run has failed; the others still tell something
            self.say(f"FAILED: {type(e).__name__}: {e}")
            self.add(0, 1, 0)
        self.seconds = time.monotonic() - self.began

    def line(self, text):
        if self.held is None:
            print(text, flush=True)
        else:
            self.held.append(text)

    def tell(self):
        for text in self.held:
            print(text, flush=True)

    def add(self, passed, failed, skipped):
        self.passed, self.failed, self.skipped = self.passed + passed, self.failed + failed, self.skipped + skipped

    def say(self, text):
        """Prints it, and keeps what failed with the first lines behind it."""
        for line in text.splitlines():
            self.telling = FAILURE_LINES if line.startswith(("FAILED", "UNSTEADY")) else 0 if AFTER_A_FAILURE.match(line) else self.telling
            if self.telling and len(self.failures) < FAILURES_TOLD * FAILURE_LINES:
                self.failures.append(line[:400])
                self.telling -= 1
            self.line(line)

    def skip(self, why):
        self.line(f"skipped: {why}")
        self.skipped += 1

    def run(self, *argv, counted=True):
        """Runs a program that ends with a total, showing what it prints. Not counted: it is one check that holds or not; None: not even that."""
        p = subprocess.Popen(list(map(str, argv)), cwd=TOP, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            errors="replace", env={**(BUILDING if counted is None else SANITIZERS), **os.environ})
        total = None
        for line in p.stdout:
            if m := TOTAL.match(line.rstrip("\n")):
                total = [int(x) for x in m.groups()]
            self.say(line)
        status = p.wait()
        if counted is None:
            return status == 0
        if not counted:
            self.add(status == 0, status != 0, 0)
        elif total is None:
            self.say(f"FAILED: {argv[0]} ended with {status} and no total")
            self.add(0, 1, 0)
        else:
            self.add(*total)
        return status == 0


def build(s):
    for variant in ([], ["--asan"]):
        s.run("./dev", "build", *variant, counted=False)


def check(s):
    s.run("python3", "tools/check.py")
    s.run("python3", "tools/test_check.py")


def meson_tests(s, build, *suites, prepare=True):
    """Every test function of every unit test counts, of those suites or of all but `check-reset`."""
    log = TOP / "build" / build / "meson-logs/testlog.json"
    log.unlink(missing_ok=True)
    if prepare and not s.run("ninja", "-C", f"build/{build}", "--quiet", "meson-test-prereq", counted=None):
        s.add(0, 1, 0)
        return
    argv = ["meson", "test", "-C", f"build/{build}", "--num-processes", str(int(JOBS) + 1), "--quiet", "--no-rebuild"]
    r = subprocess.run(argv + ([a for x in suites for a in ("--suite", x)] or ["--no-suite", "check-reset"]), cwd=TOP, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
        env={**SANITIZERS, **os.environ})
    if not log.exists():
        s.say(f"FAILED: meson test ended with {r.returncode} and no log\n" + r.stdout[-6000:] + r.stderr[-2000:])
        s.add(0, 1, 0)
        return
    for line in log.read_text().splitlines():
        t = json.loads(line)
        out = t.get("stdout", "")
        ok = len(re.findall(r"^ok \d+(?!.*# SKIP)", out, re.M))
        skip = len(re.findall(r"^(?:not )?ok \d+.*# SKIP", out, re.M))
        bad = len(re.findall(r"^not ok \d+(?!.*# SKIP)", out, re.M))
        if t["result"] not in ("OK", "SKIP"):
            bad = max(bad, 1)
            s.say(f"FAILED {t['name']}: {t['result']}\n" + out[-4000:] + t.get("stderr", "")[-4000:])
        for why in re.findall(r"^(?:not )?ok \d+.*# SKIP.*", out, re.M):
            s.line(f"skipped {t['name']}: {why.split('SKIP ')[-1]}")
        s.add(max(ok, int(t["result"] == "OK" and not skip)), bad, skip)


def units(s):
    meson_tests(s, "release")


def units_asan(s):
    meson_tests(s, "asan")


def units_tsan(s):
    """Where threads meet: the loop and its pool, parallel compiling, stores with their watchdog, shared memories, bindings that are replaced. Nothing else of
    that build is made."""
    met = ("loop", "tier", "vm")
    targets = [f"{room}_{t.stem}" for wing, room, _, _ in rooms.rooms() if room in met for t in rooms.tests(wing, room)]
    targets += ["test_bindings", "test_atomics"]
    if s.run("env", "NINJA_TARGETS=" + " ".join(targets), "./dev", "build", "--tsan", counted=False):
        meson_tests(s, "tsan", *met, "threads", prepare=False)


def units_check_reset(s):
    """Every reset compared with a fresh instance: the tests that cross rooms, slots and images among them."""
    meson_tests(s, "release", "check-reset", prepare=False)


def cli(s):
    s.run("python3", "tests/cli/run.py")


def linear(s):
    s.run("python3", "tests/linear/run.py", "--short")


def serve(s):
    s.run("python3", "tests/serve/run.py")
    s.run("python3", "tests/serve/run.py", "--build", "check-reset", "--only", "isolation")
    for way in ("tls", "h2"):  # all of OVER: with neither --only
        s.run("python3", "tests/serve/run.py", "--over", way, "--only", "test_bodies", "--only", "test_http")


def real(s):
    """Stores against the servers of others, where those are installed."""
    s.run("ninja", "-C", "build/release", "--quiet", "link_test_stores", counted=False)
    s.run("python3", "tests/real/run.py")


def swaps(s):
    """Stores changed under load, their targets killed."""
    for guest in ("sync", "async"):
        s.run("python3", "tests/swaps/run.py", "--short", "--guest", guest)


def updates(s):
    """A component updated under load, and shares of the requests."""
    for guest in ("sync", "async"):
        s.run("python3", "tests/updates/run.py", "--short", "--guest", guest)


def crashes(s):
    """A store in a file that is killed, also with its disk."""
    s.run("python3", "tests/crashes/run.py", "--short")


def scripts(s):
    s.run("python3", "tests/conform/test_runner.py")
    for folder in ("core", "component/values", "component/resources", "component/linking", "component/validation", "component/binary", "component/async"):
        at = SHARED / "conformance" / folder
        if not at.is_dir():
            s.skip(f"{at} is not there")
            continue
        s.run("python3", "tests/conform/conform.py", at)
        if folder == "core":
            s.run("python3", "tests/conform/conform.py", "--poison", at)
            s.run("python3", "tests/conform/conform.py", "--checks", at)
            s.run("python3", "tests/conform/conform.py", "--lazy", at)
            s.run("python3", "tests/conform/conform.py", "--collect", at)


def guests(s):
    """By the program that compares every slot after its reset with a fresh one."""
    for folder in ("http", "cli", "lib", "bad"):
        at = SHARED / "guests" / folder
        if at.is_dir():
            s.run("python3", "tests/conform/conform.py", "--build", "check-reset", at)
        else:
            s.skip(f"{at} is not there")
    for way in ("tls", "h2c") if (SHARED / "guests/http").is_dir() else ():
        s.run("python3", "tests/conform/conform.py", "--over", way, "--only", "*edge*", "--only", "*trailers*", SHARED / "guests/http")
    for folder in ("http", "cli", "lib", "bad"):
        at = SHARED / "guests-async" / folder
        if at.is_dir():
            s.run("python3", "tests/conform/conform.py", "--build", "check-reset", at)
        else:
            s.skip(f"{at} is not there")
    for at in (SHARED / "guests-toolchains", WASI_TESTSUITE, WASMTIME_PROGRAMS):
        if at.is_dir():
            s.run("python3", "tests/conform/conform.py", at)
        else:
            s.skip(f"{at} is not there")


def apps(s):
    """Apps of another platform, by the manifests that were written for it."""
    at = SHARED / "apps"
    if at.is_dir():
        s.run("python3", "tests/conform/conform.py", at)
    else:
        s.skip(f"{at} is not there")


def pages(s):
    """What docs/guests says, typed: but what builds its tools for minutes first."""
    s.run("python3", "tools/guests.py", "--short")


def tour(s):
    s.run("python3", "tools/tour.py")


def fuzz(s):
    s.run("python3", "fuzz/fuzz.py", "--replay")


def pgo(s):
    """The program that is installed: its engine, what serves, and what it does with traps and signals. It takes a while to build."""
    rooms_of = ("code", "vm", "tier")
    targets = ["tenon"] + [f"{room}_{t.stem}" for wing, room, _, _ in rooms.rooms() if room in rooms_of for t in rooms.tests(wing, room)]
    if s.run("env", "NINJA_TARGETS=" + " ".join(targets), "./dev", "build", "--pgo", counted=False):
        meson_tests(s, "pgo", *rooms_of, prepare=False)
        s.run("python3", "tests/serve/run.py", "--build", "pgo", "--only", "test_warm", "--only", "test_http.py", "--only", "test_traps")


STAGES = {"build": build, "check": check, "units": units, "units-asan": units_asan, "units-tsan": units_tsan, "units-check-reset": units_check_reset, "cli": cli,
    "linear": linear, "serve": serve, "real": real, "swaps": swaps, "updates": updates, "crashes": crashes, "scripts": scripts, "guests": guests, "apps": apps, "pages": pages, "tour": tour, "fuzz": fuzz, "pgo": pgo}

BY_NAME = ("pgo",)  # only where it is asked for
BESIDE = ("real", "pages")  # they wait for servers and downloads, and run beside the other stages as soon as there is something to run
MEASURES = "serve"  # has tests that measure latencies: what runs beside the others ends before it


class Beside(threading.Thread):
    """Stages one after the other, while the others run."""

    def __init__(self, names):
        super().__init__()
        self.names, self.done = names, []

    def run(self):
        for name in self.names:
            self.done.append(Stage(name, beside=True))
            self.done[-1].go()


def main():
    named = sys.argv[1:] or [n for n in STAGES if n not in BY_NAME]
    for name in named:
        if name not in STAGES:
            sys.exit(f"error: no such stage: {name}\n  hint: one of {' '.join(STAGES)}")
    done, beside = [], None
    waiting = [n for n in named if n in BESIDE] if set(named) - set(BESIDE) else []
    for name in (n for n in named if n not in waiting):
        if beside and name == MEASURES:
            beside.join()
        done.append(Stage(name))
        done[-1].go()
        if waiting and not beside and (name == "build" or "build" not in named):
            beside = Beside(waiting)
            beside.start()
    if beside:
        beside.join()
        for s in beside.done:
            s.tell()
        done = sorted(done + beside.done, key=lambda s: named.index(s.name))
    print("====")
    for s in done:
        for line in s.failures:
            print(f"{s.name:12} {line}")
    for s in done:
        print(f"{s.name:12} {s.passed:6} passed {s.failed:5} failed {s.skipped:6} skipped {s.seconds:7.1f} s")
    failed = sum(s.failed for s in done)
    print(f"{sum(s.passed for s in done)} passed, {failed} failed, {sum(s.skipped for s in done)} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

"""A disk that takes half a second for each open, stat and read: who waits for it waits, and nobody else on the shard."""
import os, subprocess, tempfile, threading, time
from pathlib import Path

from harness import TOP, Many, Server, Skip, Wrk, check, config, cores, first_in_line, needs, rises_little

FILES = TOP / "examples/files/files.wasm"
DELAY = 0.5
P99_MS, BUSY_MS = 10, 5  # of 16 clients, beside it and alone: an idle machine has 1 to 2
READERS, MANY = 8, 48


def _slow(folder):
    """What makes the server's files slow."""
    compiler = os.environ.get("CC", "clang-19").split()
    needs(compiler[0])
    library = folder / "slow_files.so"
    subprocess.run([*compiler, "-shared", "-fPIC", "-O1", Path(__file__).parent / "files/slow_files.c", "-o", library], check=True)
    return "env", f"LD_PRELOAD={library}"


def _read_meanwhile(s, stop, seen):
    while not stop.is_set():
        began = time.monotonic()
        a = s.get("/read/text")
        seen.append((time.monotonic() - began, a.status, a.body))


def _p99(s, seconds):
    r = Wrk(s, 16, seconds).result()
    check(r["errors"] == 0, r["out"])
    return r["p99_ms"]


def neighbours_do_not_wait_for_a_slow_disk():
    if not config.release:
        raise Skip("only the release build is measured")
    with tempfile.TemporaryDirectory(prefix="tenon-slow-") as t:
        folder = Path(t)
        (folder / "www").mkdir()
        (folder / "www/text").write_text("what a slow disk has")
        with Server(FILES, "--dir", f"{folder / 'www'}::/:ro", core=cores()[0], wrap=_slow(folder)) as s:
            first_in_line(s.pid)
            Wrk(s, 16, 1).result()

            def beside():
                stop, seen = threading.Event(), []
                readers = [threading.Thread(target=_read_meanwhile, args=(s, stop, seen), daemon=True) for _ in range(READERS)]
                for r in readers:
                    r.start()
                p99 = _p99(s, 4)
                stop.set()
                for r in readers:
                    r.join(30)
                check(len(seen) >= READERS and all(x[1:] == (200, b"what a slow disk has") for x in seen), f"{seen[:3]}")
                check(min(x[0] for x in seen) >= 2 * DELAY, f"a file came after {min(x[0] for x in seen):.2f} s: nothing was slow")
                return p99, f" beside {len(seen)} slow files"
            return rises_little(P99_MS - BUSY_MS, BUSY_MS, lambda: _p99(s, 2), beside)


def a_component_that_asks_for_many_files_does_not_hold_up_anothers():
    """Forty-eight instances of one ask for a file each, then another component for one: it is answered before most of these, where files in the order in which they
    were asked for would have it be the last."""
    with tempfile.TemporaryDirectory(prefix="tenon-slow-") as t:
        folder = Path(t)
        (folder / "www").mkdir()
        (folder / "www/text").write_text("what a slow disk has")
        of = lambda name, route: f'[component.{name}]\nsource = "{FILES}"\nfiles = [{{ host = "www", guest = "/" }}]\n[[trigger.http]]\nroute = "{route}"\ncomponent = "{name}"\n'
        (folder / "tenon.toml").write_text('tenon = 1\n[app]\nname = "two"\n' + of("many", "/read/...") + of("one", "/..."))
        with Server(folder, command="up", wrap=_slow(folder)) as s:
            lock, before = threading.Lock(), []

            def ask():
                a = s.get("/read/text", timeout=60)
                with lock:
                    before.append(a.status)
            many = Many([ask] * MANY)
            time.sleep(2 * DELAY)
            a = s.get("/text", timeout=60)
            with lock:
                n = len(before)
            many.join()
            check(a.status == 200 and before == [200] * MANY, f"{a.status} {before}")
            check(n < MANY / 2, f"{n} of {MANY} were answered before it")
            return f"{n} of {MANY} before it"

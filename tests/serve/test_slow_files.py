"""A disk that takes half a second for each open, stat and read: who waits for it waits, and nobody else on the shard."""
import os, subprocess, tempfile, threading, time
from pathlib import Path

from harness import TOP, Server, Skip, Wrk, check, config, cores, first_in_line, needs

FILES = TOP / "examples/files/files.wasm"
DELAY = 0.5
P99_MS = 10
READERS = 8


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
            for _ in range(3):
                alone = Wrk(s, 16, 2).result()
                stop, seen = threading.Event(), []
                readers = [threading.Thread(target=_read_meanwhile, args=(s, stop, seen), daemon=True) for _ in range(READERS)]
                for r in readers:
                    r.start()
                beside = Wrk(s, 16, 4).result()
                stop.set()
                for r in readers:
                    r.join(30)
                check(alone["errors"] == 0 and beside["errors"] == 0, beside["out"])
                check(len(seen) >= READERS and all(x[1:] == (200, b"what a slow disk has") for x in seen), f"{seen[:3]}")
                check(min(x[0] for x in seen) >= 2 * DELAY, f"a file came after {min(x[0] for x in seen):.2f} s: nothing was slow")
                if beside["p99_ms"] < P99_MS:
                    return f"p99 {alone['p99_ms']:.2f} -> {beside['p99_ms']:.2f} ms beside {len(seen)} slow files"
                after = Wrk(s, 16, 2).result()
                check(max(alone["p99_ms"], after["p99_ms"]) > P99_MS / 2, f"p99 {alone['p99_ms']:.2f} -> {beside['p99_ms']:.2f} ms")
            raise Skip("this machine is too busy to measure latencies")

"""Nothing of one request is visible to the next, whatever became of the one before."""
import os, random, signal, time
from pathlib import Path

from harness import HELLO, MISBEHAVE, Many, Server, Skip, check, unfinished

CLEAN = b"clean\n"


def _ends():
    """What leaves traces, and the answer that it gets."""
    return [("/mark", 200), ("/mark-trap", 500), ("/mark-spin", 503), ("/mark-sleep", 504), ("/memory", 200), ("/table", 200), ("/handles", 200), ("/recurse", 500),
        ("/unfinished", 200), ("/silent", 500)]


def a_request_sees_nothing_of_the_one_before():
    with Server(MISBEHAVE, "--cpu", "100ms", "--deadline", "3s") as s:
        for path, status in _ends():
            for _ in range(2 if path == "/mark-sleep" else 4):
                a = s.get(path)
                check(a.status == status or path == "/unfinished" and a.status in unfinished(), f"{path}: {a.status} {a.error}")
                for _ in range(2):
                    a = s.get("/check")
                    check(a.body == CLEAN, f"after {path}: {a.status} {a.body!r}")


def nor_of_one_whose_client_has_gone():
    with Server(MISBEHAVE) as s:
        for n in range(10):
            c = s.connect()
            c.ask("/mark-sleep")
            time.sleep(0.03)
            c.reset()
            check(s.receipt("/mark-sleep", n + 1)["outcome"] == "client gone", "it was not ended")
            check(s.get("/check").body == CLEAN, "traces")


def nor_of_those_that_run_at_the_same_time():
    with Server(MISBEHAVE, "--cpu", "50ms", "--deadline", "2s", shards=2) as s:
        def client(seed):
            pick = random.Random(seed)
            c = s.connect()
            try:
                for _ in range(60):
                    path, status = pick.choice(_ends() + [("/check", 200)] * 20)
                    a = c.get(path)
                    late = path == "/mark-spin" and a.status == 504  # its neighbours left it too little time
                    cut = path == "/unfinished" and a.status in unfinished()
                    if a.status != status and not late and not cut or path == "/check" and a.body != CLEAN:
                        return f"{path}: {a.status} {a.body[:60]!r} {a.error}"
                    if a.aborted or path in ("/unfinished",):
                        c.close()
                        c = s.connect()
            finally:
                c.close()
        bad = [r for r in Many([lambda k=k: client(k) for k in range(8)]).join(120) if r]
        check(not bad, f"{len(bad)} of 8 clients: {bad[:1]}")


def nor_of_those_that_come_in_one_turn():
    """Instances that calls of one turn were in are made equal to the image together."""
    with Server(MISBEHAVE) as s:
        clients = [s.connect() for _ in range(20)]
        for first in range(12):
            paths = [("/mark", "/check", "/table", "/check", "/handles", "/mark-trap")[(first + n) % 6] for n in range(len(clients))]
            s.process.send_signal(signal.SIGSTOP)
            for c, path in zip(clients, paths):
                c.ask(path)
            s.process.send_signal(signal.SIGCONT)
            for c, path in zip(clients, paths):
                a = c.answer()
                check(a.status == (500 if path == "/mark-trap" else 200) and (path != "/check" or a.body == CLEAN), f"{path}: {a.status} {a.body[:60]!r} {a.error}")
        for c in clients:
            c.close()


def memory_ends_where_the_image_ends_after_a_guest_that_grew():
    with Server(MISBEHAVE) as s:
        for path in ("/", "/memory", "/mark"):
            check(s.get(path).status == 200, path)
            for _ in range(2):
                a = s.get("/beyond")
                check(a.status == 500, f"after {path}: {a.status} {a.body!r}")
                check("out of bounds memory access" in s.receipt("/beyond")["trap"], f"{s.receipts()}")


def nor_when_the_page_cache_was_dropped():
    drop = Path("/proc/sys/vm/drop_caches")
    if not os.access(drop, os.W_OK):
        raise Skip("the page cache can't be dropped here")
    with Server(MISBEHAVE) as s:
        for n in range(3):
            check(s.get("/mark").status == 200, "no mark")
            os.sync()
            try:
                drop.write_text("3\n")
            except OSError:
                raise Skip("the page cache can't be dropped here")
            check(s.get("/check").body == CLEAN, "traces")


def a_guest_never_sees_the_environment_of_another_server():
    with Server(MISBEHAVE, "--env", "WHO=first", "--env", "ONLY_FIRST=1") as a, Server(MISBEHAVE, "--env", "WHO=second") as b, Server(MISBEHAVE) as none:
        for _ in range(5):
            for s, want in ((a, b"WHO=first\nONLY_FIRST=1\n"), (b, b"WHO=second\n"), (none, b"")):
                got = s.get("/env").body
                check(got == want, f"{got!r} instead of {want!r}")
    with Server(MISBEHAVE, "--env", "WHO=third") as s:  # from the cache
        check(s.get("/env").body == b"WHO=third\n", "what an earlier server was given")


def a_guest_sees_no_variable_of_the_server():
    os.environ["TENON_TEST_SECRET"] = "s3cret"
    try:
        with Server(MISBEHAVE) as s:
            check(s.get("/env").body == b"", "the server's own environment")
        with Server(MISBEHAVE, "--env", "TENON_TEST_SECRET") as s:
            check(s.get("/env").body == b"TENON_TEST_SECRET=s3cret\n", "a variable that was passed on by name")
    finally:
        del os.environ["TENON_TEST_SECRET"]


# ---- policies ---------------------------------------------------------------------------------------------------------------------------

def _counts(server, n):
    return [int(server.get("/count").body.split()[-1]) for _ in range(n)]


def fresh_is_a_new_instance_for_each_request():
    for flags in ([], ["--policy", "fresh"]):
        with Server(HELLO, *flags) as s:
            check(_counts(s, 20) == [1] * 20, "an instance was used again")


def reuse_keeps_an_instance_until_it_traps():
    with Server(HELLO, "--policy", "reuse") as s:
        check(_counts(s, 5) == [1, 2, 3, 4, 5], "not one instance in a row")
        check(s.get("/trap").status == 500, "no trap")
        check(_counts(s, 3) == [1, 2, 3], "the instance that trapped goes on")


def keep_keeps_its_state():
    with Server(HELLO, "--policy", "keep") as s:
        check(_counts(s, 5) == [1, 2, 3, 4, 5], "not one instance in a row")


def reuse_serves_one_call_at_a_time():
    with Server(MISBEHAVE, "--policy", "reuse") as s:
        got, took = [], time.monotonic()
        got = Many([lambda: s.get("/delay").status for _ in range(40)]).join()  # 12 s one after the other
        check(got == [200] * 40 and time.monotonic() - took < 10, f"{got} in {time.monotonic() - took:.2f} s: they waited for each other")


def reuse_does_not_leak_a_handle_of_a_request():
    with Server(HELLO, "--policy", "reuse") as s, s.connect() as c:
        for n in range(3000):
            c.ask("/echo", "POST", body="x")
            a = c.answer()
            if a.status != 200:
                break
        check(n == 2999, f"the {n + 1}th request: {a.status} {s.log_text()[-400:]}")

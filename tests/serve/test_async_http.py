"""HTTP as a guest of WASI 0.3 and its client see it: what test_bodies, test_drain and test_limits ask of 0.2, fresh and with many in one instance."""
import os, signal, socket, tempfile, time
from pathlib import Path

import chaos3, spoilt
from harness import MANY, Arrivals, Many, Server, check, exchange, shared_guest, unfinished
from test_bodies import _is_not_read, _slow_readers

MIB = 1 << 20
FRESH, TOGETHER = (), ("--policy", "concurrent", "--concurrency", "64")
POLICIES = (FRESH, TOGETHER)


def _hello(language="rust"):
    return shared_guest(f"../guests-async/http/hello3-{language}.wasm")


def _edge():
    return shared_guest("../guests-async/http/edge3-rust.wasm")


# ---- bodies and trailers -----------------------------------------------------------------------------------------------------------------

def trailers_go_both_ways():
    for language, paths in (("c", ("/echo",)), ("rust", ("/echo", "/pass"))):
        for policy in POLICIES:
            with Server(_hello(language), *policy) as s:
                for path in paths:
                    a = exchange(s.addr, {"method": "POST", "path": path, "body": "x" * 70000, "chunked": True, "trailers": [["X-One", "1"], ["X-Two", "zwei"]]})
                    check(a.status == 200 and a.body == b"x" * 70000, f"{language} {path}: {a.status} {len(a.body)} bytes {a.error}")
                    check(sorted((k.lower(), v) for k, v in a.trailers) == [("x-one", "1"), ("x-two", "zwei")], f"{language} {path}: {a.trailers}")


def an_answer_whose_trailers_fail_or_whose_writer_traps_is_never_ended_cleanly():
    for policy in POLICIES:
        with Server(_edge(), *policy) as s:
            for _ in range(3):
                for path in ("/unfinished", "/trap-half"):
                    a = s.get(path)
                    check(a.status in unfinished() and a.aborted, f"{path}: {a.status}, whole: {not a.aborted}, {a.body!r}")
            check(s.get("/").body == b"Hello from the edge!\n", "who comes after it")


def an_answer_with_trailers_that_are_none_is_a_trap_of_its_own_request_whatever_its_guest_goes_on_to_do():
    with tempfile.TemporaryDirectory() as d:
        at = Path(d) / "guest.wasm"
        for what, then in spoilt.GONE_ON.items():
            at.write_bytes(spoilt.handler(then))
            for policy in POLICIES:
                with Server(at, *policy) as s:
                    for k in range(3):
                        a = s.get(f"/{k}")
                        check(a.status == 500, f"{what}, {policy}: {a.status} {a.error}")
                        r = s.receipt(f"/{k}")
                        check(r["outcome"] == "trap" and "invalid result discriminant: 7" in r["trap"], f"{what}, {policy}: {r}")


def whatever_a_guest_does_with_streams_and_futures_the_host_is_there_afterwards():
    ends = [chaos3.program(seed) for seed in range(1, 40)]
    check({"well", 200} <= set(ends), f"{ends}")


def a_body_comes_back_whole_by_the_guest_and_by_the_host():
    body = os.urandom(MIB) * 8
    for policy in POLICIES:
        with Server(_hello(), *policy) as s:
            for path in ("/echo", "/pass"):
                for chunked in (False, True):
                    a = s.post(path, body, chunked=chunked, timeout=60)
                    check(a.status == 200 and a.body == body and not a.aborted, f"{path} chunked={chunked}: {a.status}, {len(a.body)} bytes, {a.error}")


def a_reader_that_sleeps_costs_no_memory():
    for policy in POLICIES:
        with Server(MANY, *policy) as s:
            s.get("/")
            for c in _slow_readers(s)[0]:
                c.reset()


def a_guest_that_does_not_read_stops_the_sender():
    _is_not_read(MANY, "/wait=3000", "6s")


# ---- clients that leave ------------------------------------------------------------------------------------------------------------------

def a_client_that_shuts_its_side_still_gets_its_answer():
    for policy in POLICIES:
        with Server(MANY, *policy) as s:
            for path in ("/", "/wait=400", "/answer/wait=100"):
                with s.connect() as c:
                    c.ask(path)
                    c.sock.shutdown(socket.SHUT_WR)
                    a = c.answer()
                    check(a.status == 200 and not a.aborted, f"{path}: {a.status} {a.error}")


def a_client_that_leaves_ends_its_request_where_nobody_shares_its_instance():
    with Server(MANY, log="debug") as s:
        c = s.connect()
        c.ask("/wait=20000")
        time.sleep(0.3)
        c.reset()
        check(s.receipt("/wait=20000")["outcome"] == "client gone", f"{s.receipts('/wait=20000')}")


def who_writes_to_a_client_that_left_is_told():
    """The guest's stream is dropped: it stops by itself."""
    for policy in POLICIES:
        with Server(_edge(), *policy, log="debug") as s:
            c = s.connect(rcvbuf=16384)
            c.ask("/flood")
            time.sleep(0.3)
            c.reset()
            check(s.logged("flood stopped after"), "it writes on")
            check(s.get("/").status == 200, "who comes after it")


# ---- times -------------------------------------------------------------------------------------------------------------------------------

def a_deadline_ends_who_waits_and_who_computes():
    with Server(MANY, "--deadline", "300ms", "--cpu", "none", log="debug") as s:
        for path in ("/wait=20000", "/spin"):
            a = s.get(path)
            check(a.status == 504 and s.receipt(path)["outcome"] == "deadline exceeded", f"{path}: {a.status} {s.receipts(path)}")
        check(s.get("/never").status == 500 and s.logged("deadlock detected"), "what nobody can end is known before its deadline")


def a_deadline_is_to_the_head_and_does_not_cut_a_long_answer():
    for policy in POLICIES:
        with Server(_hello(), "--deadline", "1s", *policy) as s:
            a = s.get("/slow-stream/40", timeout=60)
            check(a.status == 200 and not a.aborted and len(a.body.splitlines()) == 40, f"{a.status} {a.body[-40:]!r} {a.error}")


def linger_bounds_what_follows_an_answer():
    for policy in POLICIES:
        with Server(MANY, "--linger", "400ms", *policy, log="debug") as s:
            check(s.get("/answer/wait=20000").status == 200, "its answer")
            check(s.receipt("/answer/wait=20000")["outcome"] == "linger over" and s.get("/").status == 200, f"{s.receipts('/answer/wait=20000')}")


# ---- the end of a server -----------------------------------------------------------------------------------------------------------------

def no_request_of_100_in_flight_is_cut_while_new_ones_arrive():
    for policy in POLICIES:
        s = Server(MANY, *policy)
        try:
            check(s.get("/").status == 200, "no answer before the signal")
            flying = [s.connect(timeout=60) for _ in range(100)]
            for c in flying:
                c.ask("/wait=2000")
            s.get("/")  # what came before it has been read
            arriving = Arrivals(s, "/wait=5")
            s.signal()
            answers, status = [c.answer() for c in flying], s.wait(20)
            arriving.end()
            bad = [a for a in answers if a.status != 200 or a.aborted]
            check(not bad, f"{len(bad)} of 100 requests in flight were cut, the first: {bad and (bad[0].status, bad[0].error)}")
            check(status == 0, f"exit {status}: {s.log_text()[-500:]}")
            arriving.were_served(1)
        finally:
            s.stop()


def an_answer_that_is_being_sent_is_sent_to_its_end():
    for policy in POLICIES:
        with Server(_hello(), *policy) as s, s.connect(rcvbuf=65536) as c:
            c.ask("/slow-stream/20")
            time.sleep(0.3)
            s.signal()
            a = c.answer()
            check(len(a.body.splitlines()) == 20 and not a.aborted, f"{a.body[-40:]!r}, {a.error}")


def the_time_to_drain_is_bounded_and_a_second_signal_ends_at_once():
    for policy in POLICIES:
        s = Server(MANY, "--drain", "500ms", *policy)
        flying = Many([lambda p=p: s.get(p) for p in ("/never", "/wait=20000", "/answer/never", "/flood")])
        time.sleep(0.3)
        status = s.stop(seconds=30)
        check(status == 0 and s.logged("did not end within the time to drain"), f"exit {status}: {s.log_text()[-600:]}")
        flying.join()
        s = Server(MANY, *policy)
        flying = Many([lambda: s.get("/wait=60000")])
        time.sleep(0.3)
        s.signal()
        time.sleep(0.3)
        check(s.process.poll() is None, "the first signal did not wait for the request")
        s.signal()
        status = s.wait(5)
        s.stop()
        check(status == 128 + signal.SIGTERM, f"exit {status}")
        flying.join()

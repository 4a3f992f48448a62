"""The end of a server: what is in flight is answered, what is idle is closed, a second signal does not wait."""
import signal, socket, time

from harness import HELLO, MISBEHAVE, Arrivals, Many, Server, by_hand, check


def _no_request_is_cut(shards):
    s = Server(MISBEHAVE, shards=shards)
    try:
        flying = Many([lambda: s.get("/delay") for _ in range(100)])
        idle = [s.connect() for _ in range(5)]
        for c in idle:
            check(c.get("/").status == 200, "no answer before the signal")
        fresh = s.connect()
        time.sleep(0.15)  # all hundred have been accepted and wait
        arriving = Arrivals(s, "/")
        s.signal()
        sent = time.monotonic()
        for c in idle:
            check(c.ends_within(10) is not None, "an idle connection is not closed")
        answers = flying.join(20)
        status = s.wait(10)
        took = time.monotonic() - sent
        arriving.end()
        bad = [a for a in answers if getattr(a, "status", None) != 200 or a.aborted or a.body != b"delayed\n"]
        check(not bad, f"{len(bad)} of 100 requests in flight were cut, the first: {bad and (getattr(bad[0], 'status', bad[0]), getattr(bad[0], 'error', ''))}")
        check(status == 0, f"exit {status}: {s.log_text()[-500:]}")
        check(took < 5, f"took {took:.1f} s")
        arriving.were_served(shards)
        fresh.close()
    finally:
        s.stop()


def no_request_of_100_in_flight_is_cut_while_new_ones_arrive():
    _no_request_is_cut(1)


def nor_with_two_shards():
    _no_request_is_cut(2)


def an_answer_given_during_the_drain_says_that_the_connection_closes():
    by_hand()  # GOAWAY says it in HTTP/2
    with Server(MISBEHAVE) as s, s.connect() as c:
        c.ask("/delay")
        time.sleep(0.1)
        s.signal()
        a = c.answer()
        check(a.status == 200 and a.values("connection") == ["close"], f"{a.status} {a.headers}")
        check(c.ends_within(3) is not None, "the connection stays open")


def a_request_pipelined_behind_one_in_flight_is_still_answered():
    with Server(MISBEHAVE) as s, s.connect() as c:
        c.ask("/delay")
        time.sleep(0.1)
        c.ask("/delay")  # not read before the first is answered
        time.sleep(0.05)
        s.signal()
        for n in range(2):
            a = c.answer()
            check(a.status == 200 and not a.aborted, f"answer {n}: {a.status} {a.error}")


def an_answer_that_is_being_sent_is_sent_to_its_end():
    with Server(MISBEHAVE) as s, s.connect(rcvbuf=65536) as c:
        c.ask("/flood")
        time.sleep(0.2)
        s.signal()
        a = c.answer()
        check(len(a.body) == 64 << 20 and not a.aborted, f"{len(a.body)} bytes, {a.error}")


def sigint_drains_too():
    s = Server(MISBEHAVE)
    flying = Many([lambda: s.get("/delay")])
    time.sleep(0.1)
    check(s.stop(signal.SIGINT) == 0, "ended badly")
    check(flying.join()[0].status == 200, "cut")


def a_second_signal_ends_at_once():
    s = Server(MISBEHAVE)
    flying = Many([lambda: s.get("/sleep")])
    time.sleep(0.2)
    s.signal()
    time.sleep(0.3)
    check(s.process.poll() is None, "the first signal did not wait for the request")
    s.signal()
    status = s.wait(1)
    s.stop()
    check(status is not None, "a second signal was ignored")
    check(status == 128 + signal.SIGTERM, f"exit {status}")
    check(flying.join()[0].status is None, "an answer out of nowhere")


def a_second_signal_ends_at_once_whichever_shard_is_still_at_work():
    for _ in range(6):  # the request falls to one of two shards
        s = Server(MISBEHAVE, shards=2)
        flying = Many([lambda: s.get("/sleep")])
        time.sleep(0.2)
        s.signal()
        time.sleep(0.2)
        s.signal()
        status = s.wait(5)
        s.stop()
        check(status == 128 + signal.SIGTERM, f"exit {status}")
        flying.join()


def the_time_to_drain_is_bounded():
    s = Server(MISBEHAVE, "--drain", "500ms")
    flying = Many([lambda p=p: s.get(p) for p in ("/sleep", "/sleep", "/delay", "/spin", "/unfinished", "/late")])
    time.sleep(0.1)
    began = time.monotonic()
    status = s.stop(seconds=30)
    took = time.monotonic() - began
    check(status == 0, f"exit {status}: {s.log_text()[-600:]}")
    check(0.4 < took < 20, f"took {took:.2f} s")
    check(flying.join()[2].status == 200, "a request that ended in time was cut")
    check(s.logged("did not end within the time to drain"), "not logged")


def a_signal_right_after_the_ready_line_ends_every_shard():
    for n in range(15):
        s = Server(HELLO, shards=2)
        status = s.stop(seconds=5)
        check(status == 0, f"the {n + 1}th ended with {status}")


def a_connection_that_never_asked_gets_a_moment_to_do_so():
    with Server(MISBEHAVE) as s, s.connect() as fresh:
        time.sleep(0.1)
        s.signal()
        time.sleep(0.2)
        a = fresh.get("/")
        check(a.status == 200, f"{a.status} {a.error}")


def nothing_is_accepted_any_more():
    with Server(MISBEHAVE) as s, s.connect() as c:
        c.ask("/delay")
        time.sleep(0.1)
        s.signal()
        time.sleep(0.1)
        try:
            socket.create_connection(s.addr, 1).close()
            check(False, "a connection was accepted")
        except ConnectionRefusedError:
            pass
        check(c.answer().status == 200, "cut")

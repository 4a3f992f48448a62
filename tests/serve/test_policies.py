"""How long instances live: fresh, reuse, keep (docs/serve.md); concurrent is test_concurrent's."""
import subprocess, time

from harness import MISBEHAVE, Many, Server, by_hand, check, config


def _marks(s):
    """Whether the instance that answers has been marked by a request before."""
    a = s.get("/check")
    check(a.status == 200, f"{a.status}")
    return a.body


def an_instance_that_is_used_again_keeps_its_state_for_so_many_requests():
    with Server(MISBEHAVE, "--policy", "reuse", "--requests-per-instance", "3") as s:
        fresh = _marks(s)                                            # 1
        check(s.get("/mark").status == 200, "no answer")             # 2
        check(_marks(s) != fresh, "its state was lost between two")  # 3
        check(_marks(s) == fresh, "it outlived its requests")


def an_instance_that_is_idle_goes():
    with Server(MISBEHAVE, "--policy", "reuse", "--idle", "300ms") as s:
        fresh = _marks(s)
        s.get("/mark")
        check(_marks(s) != fresh, "its state was lost between two")
        time.sleep(1.5)
        check(_marks(s) == fresh, "it is still there")


def limits_of_reuse_are_refused_with_another_policy():
    for flags in (["--idle", "1s", "--policy", "keep"], ["--requests-per-instance", "7"], ["--requests-per-instance", "7", "--policy", "keep"]):
        r = subprocess.run([str(config.tenon), "serve", str(MISBEHAVE), "--addr", "127.0.0.1:0", *flags], stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=20)
        check(r.returncode == 2 and flags[0] in r.stderr and "reuse" in r.stderr, f"{r.returncode} {r.stderr!r}")


def an_instance_that_is_kept_is_one_in_the_process():
    with Server(MISBEHAVE, "--policy", "keep", shards=2) as s:
        fresh = _marks(s)
        s.get("/mark")
        marked = _marks(s)
        check(marked != fresh, "its state was lost between two")
        for a in Many([lambda: s.get("/check") for _ in range(24)]).join():
            check(a.status == 200 and a.body == marked, f"{a.status}: another instance")


def _listeners(s):
    """How many sockets listen on its port."""
    return sum(1 for line in open("/proc/net/tcp") if line.split()[1].endswith(f":{s.addr[1]:04X}") and line.split()[3] == "0A")


def every_shard_accepts_for_an_instance_that_is_kept():
    with Server(MISBEHAVE, "--policy", "keep", shards=3) as s:
        check(_listeners(s) == 3, f"{_listeners(s)} listeners")
        fresh = _marks(s)
        s.get("/mark")
        marked = _marks(s)
        check(marked != fresh, "its state was lost between two")
        kept = [s.connect() for _ in range(30)]  # that all of them are on one thread is no chance
        for _ in range(3):
            for c in kept:
                c.ask("/check")
                a = c.answer()
                check(a.status == 200 and a.body == marked, f"{a.status}: another instance")
        check(s.get("/trap").status == 500, "no trap")
        check(_marks(s) == fresh, "the state of one that trapped is still there")
        for c in kept:
            c.ask("/check")
            check(c.answer().status == 200, "a connection was not moved to the new one")


def what_others_accepted_for_an_instance_that_is_kept_is_answered_when_it_drains():
    for _ in range(2):
        with Server(MISBEHAVE, "--policy", "keep", "--deadline", "30s", shards=3) as s:
            asked = [s.connect() for _ in range(30)]
            for c in asked:
                c.ask("/")
            s.signal()
            for c in asked:
                check(c.answer().status == 200, "cut")
            check(s.wait(20) == 0, "no clean end")


def requests_to_an_instance_that_is_kept_queue_until_their_deadline():
    with Server(MISBEHAVE, "--policy", "keep", "--queue-timeout", "50ms", "--deadline", "20s", shards=2) as s:
        check(all(a.status == 200 for a in Many([lambda: s.get("/delay") for _ in range(6)]).join()), "refused before its deadline")
    with Server(MISBEHAVE, "--policy", "keep", "--deadline", "700ms", shards=2) as s:
        held = Many([lambda: s.get("/sleep")])
        time.sleep(0.4)
        began = time.monotonic()
        a = s.get("/")
        check(a.status in (200, 503) and time.monotonic() - began < 5, f"{a.status}")  # 200: the sleeper met his deadline before
        check(held.join()[0].status == 504, "no deadline")


def an_instance_that_is_kept_is_made_again_after_a_trap_a_little_later_each_time():
    with Server(MISBEHAVE, "--policy", "keep", "--deadline", "30s") as s:
        fresh = _marks(s)
        s.get("/mark")
        check(s.get("/trap").status == 500, "no trap")
        check(_marks(s) == fresh, "the state of one that trapped is still there")
        began = time.monotonic()
        for _ in range(4):
            s.get("/trap")
        check(s.get("/").status == 200, "not made again")
        check(time.monotonic() - began >= 0.05 + 0.1 + 0.2 + 0.4 - 0.02, "no back-off")
        began = time.monotonic()
        for _ in range(3):
            check(s.get("/").status == 200, "no answer")


def who_goes_away_is_no_failure_of_an_instance_that_is_kept():
    """Else anybody could have the next one come later and later."""
    by_hand()
    with Server(MISBEHAVE, "--policy", "keep", "--deadline", "5s") as s:
        fresh = _marks(s)
        check(s.get("/mark").status == 200, "no answer")

        def leave(n):
            with s.connect() as c:
                c.ask("/flood")
                head = c.sock.recv(12)
                check(head == b"HTTP/1.1 200", f"{head} after {n}")
                c.reset()
        for n in range(12):
            leave(n)
        n = 12
        while _marks(s) != fresh and n < 200:  # a call may return before its client's leaving is heard of
            leave(n := n + 1)
        check(n < 200, "the state of one that was ended is still there")


def nor_is_a_deadline():
    """12 failures in a row are 50 s."""
    with Server(MISBEHAVE, "--policy", "keep", "--deadline", "5s", "--linger", "50ms") as s:
        for n in range(12):
            a = s.get("/late")
            check(a.status == 200, f"{a.status} after {n}")

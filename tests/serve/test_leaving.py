"""What waits for an instance of a component that leaves, or came for one that did: nothing that came before a change is lost by it."""
import json, time
from concurrent.futures import ThreadPoolExecutor

from front import Folder, ask
from harness import HELLO, MISBEHAVE, check
from test_apply import Host, _component

LONG = ("--addr", "127.0.0.1:0", "--queue-timeout", "120s")
TWO = 'instances = { max = 2 }'


def _queued(host, app, component):
    return next(c["queued"] for c in host.json(f"/v1/apps/{app}/status")["components"] if c["component"] == component)


class _Waiting:
    """So many requests of a component that has few instances and takes 300 ms each; `.answers` when all are there."""

    def __init__(self, host, path, n=16, app="shop", component="slow", at_least=10):
        self.pool = ThreadPoolExecutor(n)
        self.of = [self.pool.submit(ask, host.at[0], path, timeout=100) for _ in range(n)]
        end = time.monotonic() + 60
        self.waited = 0
        while self.waited < at_least and time.monotonic() < end:
            self.waited = _queued(host, app, component)

    def must_be(self, status):
        answers = [f.result(120) for f in self.of]
        self.pool.shutdown()
        got = sorted(a.status for a in answers)
        check(self.waited and got == [status] * len(answers), f"{self.waited} waited; {got}")


def _gone(host, app, component):
    """Nothing of it is left: neither slots nor requests."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        of = [c for c in host.json(f"/v1/apps/{app}/status")["components"] if c["component"] == component]
        if not of:
            return
        time.sleep(0.05)
    check(False, f"{component} is still there: {of}")


def requests_that_wait_for_a_component_that_leaves_are_served_by_it():
    """Its app is stopped, it is removed, its last route is removed; by each policy, on two shards."""
    rest = _component("api", "a", "/...")
    for policy in ("fresh", "reuse"):
        with Folder() as top, Host(top) as host:
            slow = _component("slow", "b", "/delay", f'policy = "{policy}"\n{TWO}')
            app = host.write("shop", rest + slow, a=HELLO, b=MISBEHAVE)
            host.start(app, flags=LONG)
            for without in (rest, rest + _component("slow", "b", None, f'policy = "{policy}"\n{TWO}'), None):
                waiting = _Waiting(host, "/delay")
                if without is None:
                    host.tenon("stop", "shop")
                else:
                    host.write("shop", without)
                    host.tenon("apply", app)
                check(host.says("/delay") in (HELLO, 404), "it is routed to still")
                waiting.must_be(200)
                if without == rest:
                    _gone(host, "shop", "slow")
                host.write("shop", rest + slow)
                host.tenon("apply", app)
            host.must_say(("/", HELLO))


def requests_that_wait_for_an_instance_that_is_kept_are_served_by_it():
    with Folder() as top, Host(top, shards=1) as host:
        host.start(host.write("shop", _component("slow", "b", "/delay", 'policy = "keep"'), b=MISBEHAVE), flags=LONG)
        waiting = _Waiting(host, "/delay", n=8, at_least=5)
        host.tenon("stop", "shop")
        waiting.must_be(200)


def a_component_that_comes_back_takes_over_who_waits():
    with Folder() as top, Host(top) as host:
        app = host.write("shop", _component("slow", "b", "/...", TWO), a=HELLO, b=MISBEHAVE)
        host.start(app, flags=LONG)
        for _ in range(3):
            waiting = _Waiting(host, "/delay", n=24)
            host.tenon("stop", "shop")
            host.write("shop", _component("slow", "b", "/...", TWO))
            host.tenon("apply", app)
            host.tenon("stop", "shop")
            host.tenon("apply", app)
            waiting.must_be(200)


def who_waits_for_both_versions_is_served_when_the_app_stops():
    """One is tried on half of the requests; what waits for it and what waits for the other end in what they came for."""
    with Folder() as top, Host(top) as host:
        app = host.write("shop", _component("slow", "b", "/...", TWO), b=MISBEHAVE)
        (app / "next.wasm").write_bytes(MISBEHAVE.read_bytes() + b"\0\2\1n")
        host.start(app, flags=LONG)
        host.tenon("update", "slow", app / "next.wasm", "--percent", "50")
        waiting = _Waiting(host, "/delay")
        check("is tried" in host.tenon("stop", "shop", status=6), "stopped while it is tried")
        host.tenon("update", "slow", "--rollback")
        host.tenon("stop", "shop")
        waiting.must_be(200)


def who_waits_for_what_left_waits_no_longer_than_the_queue_allows():
    with Folder() as top, Host(top) as host:
        app = host.write("shop", _component("slow", "b", "/...", 'instances = { max = 1 }\nlimits = { deadline = "3s" }'), b=MISBEHAVE)
        host.start(app, flags=("--addr", "127.0.0.1:0", "--queue-timeout", "1s"))
        with ThreadPoolExecutor(9) as pool:
            first = pool.submit(ask, host.at[0], "/sleep", timeout=100)
            time.sleep(0.3)
            waiting = [pool.submit(ask, host.at[0], "/delay", timeout=100) for _ in range(4)]
            time.sleep(0.3)
            host.tenon("stop", "shop")
            check([f.result(100).status for f in waiting] == [503] * 4, [f.result().status for f in waiting])
            check(first.result(100).status == 504, first.result())


def what_is_in_flight_has_as_long_as_the_component_says():
    with Folder() as top, Host(top) as host:
        app = host.write("shop", _component("slow", "b", "/...", 'instances = { max = 1 }\nlimits = { deadline = "none" }\nupdate = { drain = "1s" }'), b=MISBEHAVE)
        host.start(app, flags=LONG)
        with ThreadPoolExecutor(9) as pool:
            asked = [pool.submit(ask, host.at[0], "/sleep", timeout=100) for _ in range(5)]
            end = time.monotonic() + 60
            while _queued(host, "shop", "slow") < 4 and time.monotonic() < end:
                pass
            host.tenon("stop", "shop")
            check([f.result(100).status for f in asked] == [503] * 5, [f.result().status for f in asked])


def changes_under_load_of_a_full_component_lose_nothing():
    """It comes and goes with its route, again and again, while clients ask for it: who came by the route gets its answer, who came later another one's."""
    with Folder() as top, Host(top) as host:
        rest, slow = _component("api", "a", "/..."), _component("slow", "b", "/delay", TWO)
        app = host.write("shop", rest + slow, a=HELLO, b=MISBEHAVE)
        host.start(app, flags=LONG)
        ends, seen = [], []

        def client():
            while not ends:
                a = ask(host.at[0], "/delay", timeout=100)
                seen.append((a.status, bytes(a.body)))

        with ThreadPoolExecutor(12) as pool:
            clients = [pool.submit(client) for _ in range(12)]
            for i in range(8):
                time.sleep(0.5)
                host.write("shop", rest + (slow if i % 2 else ""))
                host.tenon("apply", app)
            ends.append(True)
            [c.result(100) for c in clients]
        lost = [s for s in seen if s[0] not in (200, 404) or b"refused" in s[1]]
        check(seen and not lost and any(s[0] == 200 for s in seen), f"{len(lost)} of {len(seen)}: {lost[:3]}")
        kinds = json.dumps(sorted({s[0] for s in seen}))
        check(kinds in ("[200, 404]", "[200]"), kinds)

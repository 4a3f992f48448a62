"""A component of policy keep behind a route, beside others on the same address, in a process of several threads: one instance, whoever accepted, whatever it comes over."""
import signal, subprocess, threading, time

from front import Clients, Folder, ask, connect
from harness import HELLO, MANY, MISBEHAVE, Connection, Many, by_hand, check, config, exchange, in_clear
from test_addresses import _at, _free
from test_apply import Host
from test_up import Apps
import h2_client

FRESH = b"see README.md\n"  # of misbehave, at most paths
KEPT_PATHS = ("/mark", "/check", "/trap", "/delay", "/sleep", "/echo")


def _component(name, file, policy="fresh", more=""):
    return f'[component.{name}]\nsource = "{file}"\npolicy = "{policy}"\n{more}\n'


def _route(route, component, more=""):
    return f'[[trigger.http]]\nroute = "{route}"\ncomponent = "{component}"\n{more}\n'


COUNT = _component("count", MANY, "keep") + _route("/count/...", "count") + _route("/", "count")


def _bad(more=""):
    return _component("bad", MISBEHAVE, "keep", more) + "".join(_route(p, "bad") for p in KEPT_PATHS)


def _app(*tables):
    return Apps('tenon = 1\n[app]\nname = "shop"\n' + _component("other", MISBEHAVE) + _route("/...", "other") + "".join(tables))


def _counted(a):
    check(a.status == 200 and not a.aborted, f"{a.status} {a.error}")
    return next(int(v) for k, v in a.headers if k.lower() == "x-count")


def _is_fresh(a):
    check(a.status == 200 and a.body == FRESH, f"{a.status} {a.body[:50]} {a.error}")


def one_instance_answers_all_that_comes_by_its_route_and_others_answer_beside_it():
    for shards in (2, 3):
        with _app(COUNT) as app, app.up(shards=shards) as s:
            counts, lock = [], threading.Lock()

            def client():
                c = s.connect()
                for i in range(6):
                    n = _counted(c.get(f"/count/{i}"))
                    _is_fresh(c.get("/other"))
                    with lock:
                        counts.append(n)
                c.close()
            problems = [r for r in Many([client for _ in range(24)]).join() if r]
            check(not problems, problems[:3])
            check(sorted(counts) == list(range(1, 145)), sorted(counts)[:20])


def a_component_that_is_kept_and_one_that_is_not_answer_a_pipeline_in_its_order():
    by_hand()
    with _app(COUNT) as app, app.up(shards=3) as s:
        next_one = 1
        for first in range(2):
            for pieces in (1, 7, 4096, 1 << 20):
                with s.connect() as c:
                    paths = ["/count/x" if (i + first) % 3 else "/other" for i in range(30)]
                    paths[5] = paths[16] = "/"
                    data = "".join(f"GET {p} HTTP/1.1\r\nHost: a\r\n\r\n" for p in paths).replace("GET / ", "GET http://a?x=1 ").encode()
                    sender = threading.Thread(target=lambda: [c.send(data[at:at + pieces]) for at in range(0, len(data), pieces)])
                    sender.start()
                    for p in paths:
                        a = c.answer()
                        if p == "/other":
                            _is_fresh(a)
                        else:
                            check(_counted(a) == next_one, f"{p}: {_counted(a)} instead of {next_one}")
                            next_one += 1
                    sender.join()


def a_pipeline_whose_answers_nobody_takes_yet_moves_when_they_are_taken():
    by_hand()
    large = "x" * 600000
    text = f'[[trigger.http]]\nroute = "/large"\nstatic = {{ status = 200, body = "{large}" }}\n'
    with _app(COUNT, text) as app, app.up(shards=3) as s:
        for n in range(1, 7):
            with s.connect(rcvbuf=4096, timeout=60) as c:
                c.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n" * 10 + "GET /count/x HTTP/1.1\r\nHost: a\r\n\r\n")
                time.sleep(0.3)
                for _ in range(10):
                    a = c.answer()
                    check(a.status == 200 and len(a.body) == len(large), f"{a.status} {len(a.body)} {a.error}")
                check(_counted(c.answer()) == n, "not the next")


def bodies_come_whole_to_a_component_that_is_kept():
    body = bytes(range(256)) * 4096
    with _app(COUNT, _bad()) as app, app.up(shards=3) as s:
        def client(chunked):
            for _ in range(3):
                with s.connect(timeout=60) as c:
                    _is_fresh(c.get("/other"))
                    _counted(c.get("/count/x", "POST", body_hex=b"unread".hex()))
                with s.connect(timeout=60) as c:
                    _is_fresh(c.get("/other"))
                    a = c.get("/echo", "POST", body_hex=body.hex(), chunked=chunked)
                    check(a.status == 200 and a.body == body, f"{a.status} {len(a.body)} {a.error}")
        problems = [r for r in Many([lambda i=i: client(i % 2 == 0) for i in range(8)]).join() if r]
        check(not problems, problems[:3])


def who_waits_for_100_hears_it_from_a_component_that_is_kept():
    by_hand()
    with _app(_component("echo", HELLO, "keep") + _route("/echo", "echo")) as app, app.up(shards=3) as s:
        for _ in range(12):
            with s.connect() as c:
                for _ in range(2):
                    _is_fresh(c.get("/other"))
                    c.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n")
                    line = c.reader.file.readline()
                    check(b"100" in line and c.reader.file.readline() == b"\r\n", line)
                    c.send("0123456789")
                    a = c.answer()
                    check(a.status == 200 and a.body == b"0123456789", f"{a.status} {a.body}")


def what_waits_for_a_kept_instance_waits_until_its_deadline_or_its_routes():
    short = _route("/bad/check", "bad", 'limits = { deadline = "400ms" }')
    with _app(_bad('limits = { deadline = "5s" }'), short) as app, app.up("--queue-timeout", "50ms", shards=2) as s:
        check(all(a.status == 200 for a in Many([lambda: s.get("/delay") for _ in range(5)]).join()), "refused before its deadline")
        held = Many([lambda: s.get("/sleep")])
        time.sleep(0.5)
        check(s.get("/bad/check").status == 503, "it did not wait in vain")
        check(held.join()[0].status == 504, "no deadline")
        r = s.receipt("/bad/check")
        check(r["outcome"] == "refused", r)


def an_instance_that_trapped_is_made_anew_for_all_of_its_connections():
    with _app(_bad()) as app, app.up(shards=3) as s:
        fresh = s.get("/check").body
        s.get("/mark")
        marked = s.get("/check").body
        check(marked != fresh, "its state was lost between two")
        kept = [s.connect() for _ in range(24)]
        for c in kept:
            a = c.get("/check")
            check(a.status == 200 and a.body == marked, f"{a.status}: another instance")
        check(s.get("/trap").status == 500, "no trap")
        check(s.get("/check").body == fresh, "the state of one that trapped is still there")
        for c in kept:
            check(c.get("/check").status == 200, "not moved to the new one")
            c.close()


def what_was_asked_of_a_kept_instance_before_the_end_is_answered():
    for _ in range(2):
        with _app(COUNT, _bad('limits = { deadline = "60s" }')) as app, app.up(shards=3) as s:
            asked = [s.connect(timeout=60) for _ in range(24)]
            for i, c in enumerate(asked):
                if i % 2:
                    _is_fresh(c.get("/other"))
                c.ask("/count/wait=20" if i % 3 else "/check")
            s.signal()
            for c in asked:
                check(c.answer().status == 200, "cut")
                c.close()
            check(s.wait(30) == 0, "no clean end")


def what_moves_while_it_ends_is_answered():
    """The threads that accepted drain: what is asked next on their connections, behind an answer that takes a while, is still for the keeper."""
    by_hand()
    with _app(COUNT, _route("/slow/...", "slow"), _component("slow", MANY, "reuse")) as app, app.up(shards=3) as s:
        asked = [s.connect(timeout=60) for _ in range(24)]
        for c in asked:
            c.send("GET /slow/wait=700 HTTP/1.1\r\nHost: a\r\n\r\nGET /count/x HTTP/1.1\r\nHost: a\r\n\r\n")
        time.sleep(0.3)
        s.signal()
        counts = []
        for c in asked:
            check(c.answer().status == 200, "cut")
            counts.append(_counted(c.answer()))
            c.close()
        check(sorted(counts) == list(range(1, 25)), counts)
        check(s.wait(30) == 0, "no clean end")


def a_load_on_a_kept_instance_ends_well():
    in_flight, lost, lock = [], [], threading.Lock()
    with _app(COUNT) as app, app.up(shards=3) as s:
        def client():
            while True:
                try:
                    with s.connect(timeout=30) as c:
                        while True:
                            c.ask("/count/x")
                            a = c.answer()
                            if a.status != 200 or a.aborted:
                                return a.error  # the connection ended: no request of it was begun
                            with lock:
                                in_flight.append(_counted(a))
                except OSError as e:
                    return repr(e)
        many = Many([client for _ in range(12)])
        time.sleep(1.5)
        s.signal()
        check(s.wait(30) == 0, "no clean end")
        many.join()
        seen = sorted(in_flight)
        lost = set(range(1, len(seen) + 1)) - set(seen)
        check(len(seen) > 50 and len(seen) == len(set(seen)), f"{len(seen)} answers")
        check(not lost, f"answers to {lost} were lost")


def a_trusted_proxy_leads_to_a_kept_instance_by_the_host_that_it_names():
    with _app('[http]\ntrust_proxy = ["127.0.0.0/8"]\n', _component("count", MANY, "keep") + _route("/...", "count", 'host = "shop.example"')) as app, app.up(shards=3) as s:
        n = 0
        for _ in range(12):
            c = s.connect()
            _is_fresh(c.get("/count/x"))
            n += 1
            check(_counted(c.get("/count/x", headers=[["x-forwarded-host", "shop.example"]])) == n, "not the next")
            _is_fresh(c.get("/count/x", headers=[["x-forwarded-host", "other.example"]]))
            c.close()


def _take_places(s, n):
    """n connections that have moved, once the places of those before them are free: a reset is heard of on another thread, a moment later."""
    for _ in range(100):
        held = [s.connect() for _ in range(n)]
        if all(c.get("/count/x").status == 200 for c in held):
            return held
        for c in held:
            c.reset()
        time.sleep(0.05)
    raise AssertionError("places were lost")


def places_of_connections_are_counted_where_they_moved():
    by_hand()
    with _app(COUNT) as app, app.up("--connections-per-client", "8", "--connections", "40", shards=3) as s:
        for _ in range(6):
            held = _take_places(s, 8)
            for c in held:
                _is_fresh(c.get("/other"))
            beyond = s.get("/other")
            check(beyond.status != 200, f"a ninth connection: {beyond.status}")
            for c in held:
                c.reset()


def a_connection_moves_from_a_socket_in_the_file_system_and_its_client_is_known():
    in_clear()
    with Folder() as top, Host(top, shards=3) as host:
        app = host.write("shop", _component("other", MISBEHAVE) + _route("/...", "other") + COUNT)
        host.start(app, ready=2, flags=("--addr", f"unix:{top}/s", "--addr", "127.0.0.1:0", "--access-log", f"{top}/access"))
        counts, n = [], 0
        for at in host.at * 12:
            with connect(at) as c:
                counts.append(_counted(ask(at, "/count/x", sock=c)))
                n += 1
        check(sorted(counts) == list(range(1, n + 1)), counts)
        time.sleep(0.3)  # a line is written a moment after what it tells of
        lines = (top / "access").read_text().splitlines()
        check(len(lines) == n and sum(line.startswith("127.0.0.1 ") for line in lines) == n // 2, lines[:4])


# ---- live ---------------------------------------------------------------------------------------------------------------------------------

OTHER = _component("other", MISBEHAVE) + _route("/...", "other")


class _Alternating(Clients):
    """Connections that stay, which ask by both routes in turns; `counts` of the kept instance, others' answers are `FRESH`."""

    def __init__(self, at, n=6):
        super().__init__(n)
        self.at, self.counts, self.fresh, self.seen = at, [], 0, [False] * n

    def one(self, i):
        with Connection(self.at) as c:
            for k in range(40):
                if self.over.is_set():
                    break
                a = c.get("/count/x" if k % 2 else "/other")
                count = [int(v) for key, v in a.headers if key.lower() == "x-count"]
                with self.lock:
                    if a.status != 200 or a.aborted or (not count and a.body != FRESH):
                        self.failed.append((a.status, a.body[:50], a.error))
                    self.counts += count
                    self.fresh += not count


def _ask(host, path):
    return exchange(host.at[0], {"method": "GET", "path": path})


def the_first_kept_route_comes_and_goes_under_load():
    by_hand()
    with Folder() as top, Host(top, shards=3) as host:
        app = host.write("shop", OTHER)
        host.start(app, flags=("--addr", "127.0.0.1:0", *config.way.flags))
        with _Alternating(host.at[0]) as load:
            for i in range(4):
                time.sleep(0.4)
                host.write("shop", OTHER + COUNT)
                host.tenon("apply", app)
                for _ in range(12):
                    check([v for k, v in _ask(host, "/count/y").headers if k.lower() == "x-count"], "not by its route")
                time.sleep(0.4)
                if i % 2:
                    host.tenon("undo", "shop")
                else:
                    host.write("shop", OTHER)
                    host.tenon("apply", app)
                for _ in range(12):
                    check(_ask(host, "/count/y").body == FRESH, "still by its route")
        check(not load.failed, f"{len(load.failed)} failed: {load.failed[:3]}")
        check(len(load.counts) > 20 and load.fresh > 20, f"{len(load.counts)} {load.fresh}")
        # Each time it came it began at 1: no count came more often than that.
        most = max(load.counts.count(n) for n in set(load.counts))
        check(most <= 4, f"a count came {most} times")


class _Http2(Clients):
    """What a GOAWAY's last stream is before is asked again on another connection (RFC 9113, 6.8); nothing else is."""

    def __init__(self, at, n=4):
        super().__init__(n)
        self.at, self.counts, self.fresh, self.again = at, [], 0, 0

    def one(self, i):
        path, tries = "/count/x", 0
        with h2_client.Connection(self.at, tls=config.way.tls) as c:
            while not self.over.is_set() and not c.goaway:
                stream = c.ask({"method": "GET", "path": path})
                a = c.answer(stream)
                count = [int(v) for key, v in a.headers if key.lower() == "x-count"]
                with self.lock:
                    if a.status == 200 and (count or a.body == FRESH):
                        self.counts += count
                        self.fresh += not count
                        path = "/other" if path == "/count/x" else "/count/x"
                    elif c.goaway and c.goaway.last < stream:
                        self.again += 1
                        break
                    else:
                        self.failed.append((a.status, a.body[:50], a.error))


def connections_of_http2_come_anew_when_the_first_kept_route_does():
    by_hand()
    with Folder() as top, Host(top, shards=3) as host:
        app = host.write("shop", OTHER + _route("/slow/...", "slow") + _component("slow", MANY, "reuse"))
        host.start(app, flags=("--addr", "127.0.0.1:0", *config.way.flags))
        waiting = [h2_client.Connection(host.at[0], timeout=30, tls=config.way.tls) for _ in range(32)]
        with _Http2(host.at[0]) as load:
            for c in waiting:
                c.stream = c.ask({"method": "GET", "path": "/slow/wait=1500"})
            time.sleep(0.3)
            host.write("shop", OTHER + _route("/slow/...", "slow") + _component("slow", MANY, "reuse") + COUNT)
            host.tenon("apply", app)
            for c in waiting:  # what was begun is answered
                check(c.answer(c.stream).status == 200, "cut")
            time.sleep(0.5)
            for _ in range(9):
                with h2_client.Connection(host.at[0], tls=config.way.tls) as c:
                    for path in ("/other", "/count/x") * 3:
                        check(c.answer(c.ask({"method": "GET", "path": path})).status == 200, path)
        check(not load.failed, f"{len(load.failed)} failed: {load.failed[:3]}")
        check(load.counts and load.fresh and len(set(load.counts)) == len(load.counts), f"{len(load.counts)}")
        told = sum(1 for c in waiting if c.goaway)
        check(0 < told < len(waiting), f"{told} were told to come anew")  # those of the keeper stay
        for c in waiting:
            c.close()


def a_process_ends_also_while_connections_are_told_to_come_anew():
    by_hand()
    for after in (0.1, 0.6):
        with Folder() as top, Host(top, shards=3) as host:
            app = host.write("shop", OTHER)
            host.start(app, flags=("--addr", "127.0.0.1:0", *config.way.flags))
            deaf = [h2_client.Connection(host.at[0], timeout=30, tls=config.way.tls) for _ in range(9)]  # their PING is answered by nobody
            for c in deaf:
                check(c.answer(c.ask({"method": "GET", "path": "/other"})).status == 200, "no answer")
            host.write("shop", OTHER + COUNT)
            with subprocess.Popen([str(config.tenon), "apply", str(app)], env=host.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as apply:
                time.sleep(after)
                host.process.send_signal(signal.SIGTERM)
                host.process.communicate(timeout=30)
                check(host.process.returncode == 0, f"it ended with {host.process.returncode}")
                apply.wait(30)
            for c in deaf:
                c.close()


def what_is_asked_of_an_address_that_leaves_still_comes_to_the_kept_instance():
    """Connections on other threads have an answer to wait for when their address leaves, and a request for the keeper behind it."""
    by_hand()
    in_clear()
    one, two = _free(2)
    slow = _route("/slow/...", "slow") + _component("slow", MANY, "reuse")
    with Folder() as top, Host(top, shards=3) as host:
        app = host.write("shop", f'[http]\naddress = "{one}"\n' + OTHER + slow + COUNT)
        host.start(app, flags=())
        kept = [Connection(_at(one), timeout=60) for _ in range(18)]
        for c in kept:
            c.send("GET /slow/wait=1500 HTTP/1.1\r\nHost: a\r\n\r\nGET /count/x HTTP/1.1\r\nHost: a\r\n\r\n")
        time.sleep(0.4)
        host.write("shop", f'[http]\naddress = "{two}"\n' + OTHER + slow + COUNT)
        host.tenon("apply", app)
        counts = [_counted(ask(_at(two), "/count/x")) for _ in range(6)]
        for c in kept:
            check(c.answer().status == 200, "cut")
            counts.append(_counted(c.answer()))
            c.close()
        check(sorted(counts) == list(range(1, 25)), sorted(counts))
        for _ in range(3):  # its place in the list is used again
            host.write("shop", f'[http]\naddress = "{one}"\n' + OTHER + slow + COUNT)
            host.tenon("apply", app)
            counts += [_counted(ask(_at(one), "/count/x")) for _ in range(6)]
            host.write("shop", f'[http]\naddress = "{two}"\n' + OTHER + slow + COUNT)
            host.tenon("apply", app)
        check(sorted(counts) == list(range(1, len(counts) + 1)), sorted(counts))

"""A component that others call and that is kept in one instance, called from every thread of the process: on its own as before, from others by messages."""
import os, random, subprocess, tempfile, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from assemble import Component, DROP, I32, STRING, U32, const, get, name, one_call, put, section, store, vec
from harness import Many, Server, check, config
from test_between import _App as Between
from test_components import EQ, MATH, NE, OR, _caller, _differs, _provider
from writing import until

LT, SUB, UNTIL = b"\x48", b"\x6b", 120
KEEP = 'policy = "keep"\n'


class _App:
    """Callers by route, linked to a provider that is kept; `links`: tables by name, each caller's `via` one of them."""

    def __init__(self, bodies, more=KEEP, links={"ops": ""}, via={}, callers="", process=""):
        self.at = tempfile.TemporaryDirectory()
        self.folder = Path(self.at.name)
        (self.folder / "ops.wasm").write_bytes(_provider())
        text = f'tenon = 1\n[app]\nname = "shop"\n{process}[component.ops]\nsource = "ops.wasm"\n{more}\n'
        for label, link in links.items():
            text += f'[link.{label}]\ntype = "component"\ncomponent = "ops"\n{link}\n'
        for label, body in bodies.items():
            (self.folder / f"{label}.wasm").write_bytes(_caller(body))
            text += f'[component.{label}]\nsource = "{label}.wasm"\nlinks = {{ "{MATH}" = "{via.get(label, "ops")}" }}\n{callers}\n[[trigger.http]]\nroute = "/{label}/..."\ncomponent = "{label}"\n'
        (self.folder / "tenon.toml").write_text(text)

    def up(self, *flags, shards=2):
        return Server(self.at.name, *flags, shards=shards, command="up")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.at.cleanup()


_number = iter(range(1 << 60)).__next__


def _ask(server, label):
    """Over a connection of its own: to whichever thread. Its outcome."""
    path = f"/{label}/{_number()}"
    server.get(path)
    return server.outcome(path)


def _asks(server, label, n, clients=64):
    with ThreadPoolExecutor(clients) as pool:
        return list(pool.map(lambda _: _ask(server, label), range(n)))


def _threads(server):
    """That requests came to: their numbers are given in turns."""
    return {(o["receipt"]["id"] if "id" in o["receipt"] else o["request"]["id"]) % server.shards for o in server.objects() if "receipt" in o}


def _hold(server, label):
    c = server.connect()
    path = f"/{label}/{_number()}"
    c.sock.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    return c, path


def every_increment_from_every_thread_counts():
    for shards in (2, 3):
        n = 2000
        with _App({"count": lambda c: c.call("count") + const(n) + LT}) as app, app.up("--log", "debug", shards=shards) as server:
            with ThreadPoolExecutor(64) as pool:
                list(pool.map(lambda _: server.get(f"/count/{_number()}"), range(n)))
            check(until(lambda: len(server.receipts()) == n, UNTIL), f"{len(server.receipts())} receipts")
            got = [o["receipt"]["outcome"] for o in server.receipts()]
            check(sorted(got) == ["exit"] * (n - 1) + ["no response"], f"{shards} threads: {got.count('exit')} of {n} were below {n}: {server.log_text()[-2000:]}")
            check(len(_threads(server)) == shards, f"requests came to {_threads(server)}")


def objects_are_made_asked_given_and_dropped_from_every_thread():
    def body(c):
        made = const(41) + c.call("[constructor]thing") + put(2) + const(7) + c.call("[constructor]thing") + put(3)
        asked = _differs(c, get(2) + c.call("[method]thing.value"), 41) + _differs(c, get(3) + c.call("[method]thing.value"), 7) + OR
        before = c.call("dropped") + put(4)
        gone = get(2) + c.call("resource.drop") + c.call("dropped") + get(4) + SUB + const(1) + NE
        given = get(3) + c.call("take") + b"\x45"  # it gets a handle, and keeps it
        return made + asked + before + gone + OR + given + OR
    for shards in (1, 2, 3):
        with _App({"thing": body}) as app, app.up(shards=shards) as server:
            for _ in range(30):
                check(_ask(server, "thing") == "ok", f"{shards} threads: {server.log_text()[-2000:]}")


def what_callers_leave_is_closed_where_it_lives():
    n = 100
    with _App({"leave": lambda c: const(1) + c.call("[constructor]thing") + DROP + const(0), "dropped": lambda c: c.call("dropped") + const(n) + NE,
               "one": lambda c: c.call("dropped") + const(n + 1) + NE}, callers='policy = "reuse"') as app, app.up() as server:
        # Each caller's instance keeps what it has: with the process's end those are dropped, from threads that end.
        check(_asks(server, "leave", n, 16) == ["ok"] * n, server.log_text()[-2000:])
    with _App({"leave": lambda c: const(1) + c.call("[constructor]thing") + DROP + const(0), "dropped": lambda c: c.call("dropped") + const(n) + NE,
               "one": lambda c: c.call("dropped") + const(n + 1) + NE}) as app, app.up() as server:
        check(_asks(server, "leave", n, 16) == ["ok"] * n, server.log_text()[-2000:])
        check(until(lambda: _ask(server, "dropped") == "ok", UNTIL), "each request left one, which was closed with it")
        check(_ask(server, "leave") == "ok" and until(lambda: _ask(server, "one") == "ok", UNTIL), "one more")


def who_waits_for_it_waits_until_the_deadline_of_its_link():
    bodies = {"spin": lambda c: c.call("spin") + const(0), "count": lambda c: c.call("count") + const(0) + NE + const(1) + NE, "free": lambda c: c.call("count") + DROP + const(0)}
    with _App(bodies, links={"ops": "", "quick": 'deadline = "300ms"'}, via={"count": "quick"}) as app, app.up() as server:
        held, path = _hold(server, "spin")
        time.sleep(0.3)
        began = time.monotonic()
        check(_asks(server, "count", 8, 8) == ["trap"] * 8, server.log_text()[-2000:])
        check(server.logged("the deadline of the link is over") >= 8, server.log_text()[-2000:])
        check(not server.receipts(path) and time.monotonic() - began < 20, "who computes there goes on meanwhile")
        held.reset()
        check(server.receipt(path)["status"] == 499, "its client left")
        check(until(lambda: _ask(server, "free") == "ok", UNTIL), server.log_text()[-2000:])


def the_time_of_a_call_is_the_components_the_links_or_the_rest_of_the_callers():
    for more, link, callers, want, said in ((KEEP + 'limits = { deadline = "300ms" }', "", "", 500, "deadline exceeded"), (KEEP + 'limits = { cpu = "200ms" }', "", "", 500, "CPU budget spent"),
                                            (KEEP, 'deadline = "300ms"', "", 500, "deadline exceeded"), (KEEP, "", 'limits = { deadline = "500ms" }', 504, None), (KEEP, "", 'limits = { cpu = "300ms" }', 503, None)):
        with _App({"spin": lambda c: c.call("spin") + const(0), "free": lambda c: c.call("count") + DROP + const(0)}, more, {"ops": link}, callers=callers) as app, app.up() as server:
            for _ in range(2):
                got = server.get(f"/spin/{_number()}").status
                check(got == want, f"{more} {link} {callers}: {got} instead of {want}: {server.log_text()[-1500:]}")
            check(not said or server.logged(said) >= 2, server.log_text()[-2000:])
            check(until(lambda: _ask(server, "free") == "ok", UNTIL), server.log_text()[-2000:])


def a_caller_that_goes_away_leaves_the_line_or_ends_what_it_called():
    with _App({"spin": lambda c: c.call("spin") + const(0), "count": lambda c: c.call("count") + DROP + const(0)}) as app, app.up() as server:
        for _ in range(3):
            spins = [_hold(server, "spin") for _ in range(4)]  # one is at work, others wait, on both threads
            time.sleep(0.3)
            waits = [_hold(server, "count") for _ in range(8)]
            time.sleep(0.3)
            for group in (waits, spins[::-1]):  # the spins end once no wait can take their turn
                for held, _ in group:
                    held.reset()
                for _, path in group:
                    check(server.receipt(path)["status"] == 499, f"{path}: {server.log_text()[-2000:]}")
            check(until(lambda: _ask(server, "count") == "ok", UNTIL), "it is free for the next: " + server.log_text()[-2000:])


def a_call_that_ends_from_outside_makes_nobody_wait_for_the_next_instance():
    """By its time, that of its link, or as its caller is gone."""
    bodies = {"spin": lambda c: c.call("spin") + const(0), "quick": lambda c: c.call("spin") + const(0), "free": lambda c: c.call("count") + DROP + const(0)}
    links = {"ops": "", "quick": 'deadline = "50ms"'}
    for shards in (1, 2):
        with _App(bodies, KEEP + 'limits = { deadline = "100ms" }', links, {"quick": "quick"}, 'limits = { deadline = "5s" }') as app, app.up(shards=shards) as server:
            for n in range(10):
                for label in ("spin", "quick"):
                    check(_ask(server, label) == "trap", f"after {n}: {server.log_text()[-1000:]}")
            check(_ask(server, "free") == "ok", server.log_text()[-1000:])
        with _App(bodies, callers='limits = { deadline = "5s" }') as app, app.up(shards=shards) as server:
            for n in range(9):
                used = server.cpu_seconds()
                held, path = _hold(server, "spin")
                check(until(lambda: server.cpu_seconds() > used + 0.05, UNTIL), f"it never came in after {n}")
                held.reset()
                check(server.receipt(path)["status"] == 499, f"after {n}: {server.log_text()[-1000:]}")
            check(_ask(server, "free") == "ok", server.log_text()[-1000:])


def a_trap_ends_its_instance_and_who_waits_gets_the_next():
    def body(c):
        return c.call("count") + const(10) + EQ + b"\x04\x40" + c.call("break") + b"\x0b" + const(0)
    # Between count and break another call may come: it counts further, and does not break.
    with _App({"count": body}) as app, app.up() as server:
        got = _asks(server, "count", 100, 16)
        traps = got.count("trap")
        check(traps and got.count("ok") == 100 - traps, f"{got}: {server.log_text()[-2000:]}")
        check(server.logged("break of shop: component ops: unreachable") == traps, server.log_text()[-2000:])


def many_that_wait_for_the_instance_after_a_trap_all_get_their_turns():
    def body(c):
        return const(1) + c.call("[constructor]thing") + DROP + c.call("break") + const(0)  # the handle goes with its caller, after the trap
    for shards in (1, 2):
        with _App({"break": body}) as app, app.up(shards=shards) as server:
            got = _asks(server, "break", 24, 6)  # those that trap in a row wait twice as long each time
            check(got == ["trap"] * 24, f"{got}: {server.log_text()[-2000:]}")


def an_instance_comes_later_after_each_trap_until_a_call_returned_also_where_handles_are_always_out():
    """Where they are, it is never given back but after a trap."""
    n = 40  # twice as long each time it would be minutes
    bodies = {"break": lambda c: c.call("break") + const(0), "made": lambda c: const(1) + c.call("[constructor]thing") + DROP + c.call("break") + const(0)}
    for shards in (1, 2):
        with _App(bodies) as app, app.up(shards=shards) as server:
            began = time.monotonic()
            for _ in range(5):
                check(_ask(server, "break") == "trap", server.log_text()[-2000:])
            took = time.monotonic() - began
            check(took >= 0.05 + 0.1 + 0.2 + 0.4 - 0.02, f"no back-off: {took} s")
            for _ in range(n):
                check(_ask(server, "made") == "trap", server.log_text()[-2000:])
                check(time.monotonic() - began < 120, "each instance is waited for longer than the one before")
            check(server.logged("break of shop: component ops: unreachable") == n + 5, server.log_text()[-2000:])


def a_trap_is_the_error_of_the_interface_where_it_has_one():
    with _App({"fail": lambda c: const(64) + c.call("fail") + const(64) + b"\x2d\0\0" + const(1) + NE}) as app, app.up() as server:
        check(_asks(server, "fail", 8, 4) == ["ok"] * 8, server.log_text()[-2000:])


class _Load:
    """Clients that ask until they are told to stop."""

    def __init__(self, server, labels, clients=16):
        self.server, self.labels, self.stopping, self.bad, self.n = server, labels, False, [], 0
        self.many = Many([self._run] * clients)

    def _run(self):
        while not self.stopping:
            label = random.choice(self.labels)
            answer = self.server.get(f"/{label}/{_number()}")
            self.n += 1
            if answer.status != 500:  # that of a guest that doesn't answer
                self.bad.append((label, answer.status, answer.error))

    def stop(self):
        self.stopping = True
        self.many.join(120)
        return self.bad


def _live(app, body, shards=2):
    with tempfile.TemporaryDirectory() as ctl:
        env = {"TENON_CTL": ctl, "TENON_STATE": ctl + "/state"}

        def tenon(*args):
            r = subprocess.run([str(config.tenon), *map(str, args)], capture_output=True, timeout=120, text=True, env={**os.environ, **env})
            check(r.returncode == 0, (args, r.returncode, r.stdout, r.stderr))
        os.environ.update(env)
        try:
            with app.up(shards=shards) as server:
                body(server, tenon)
        finally:
            for key in env:
                del os.environ[key]


def _nothing_failed(server):
    text = server.log_text()
    check('"outcome":"trap"' not in text and '"outcome":"exit"' not in text and '"outcome":"refused"' not in text, text[-3000:])


def another_version_takes_its_place_under_load_and_nothing_fails():
    """Callers without end: the one before is left all the same."""
    with _App({"count": lambda c: c.call("count") + DROP + const(0), "few": lambda c: c.call("count") + const(1000000) + b"\x4a"}) as app:
        def body(server, tenon):
            load = _Load(server, ("count", "few"))
            for n in range(4):
                provider = app.folder / f"next{n}.wasm"
                provider.write_bytes(_provider() + section(0, name("n") + bytes([n])))
                tenon("update", "shop/ops", provider)
                time.sleep(0.3)
            check(load.stop() == [] and load.n > 100, (load.bad[:5], load.n))
            _nothing_failed(server)
            check(server.get(f"/count/{_number()}").status == 500, "it goes on")
        _live(app, body)


def a_version_that_is_called_without_end_gives_way_to_the_next():
    with _App({"low": lambda c: c.call("count") + const(1) + NE, "count": lambda c: c.call("count") + DROP + const(0)}) as app:
        def body(server, tenon):
            check(_asks(server, "count", 50, 8) == ["ok"] * 50, server.log_text()[-1000:])
            load = _Load(server, ("count",), 8)
            for n in range(3):
                provider = app.folder / f"next{n}.wasm"
                provider.write_bytes(_provider() + section(0, name("n") + bytes([n])))
                tenon("update", "shop/ops", provider)
            bad = load.stop()
            check(not bad, bad[:5])
            provider.write_bytes(_provider() + section(0, name("n") + b"last"))
            tenon("update", "shop/ops", provider)
            check(_ask(server, "low") == "ok", "the first call of the new version: " + server.log_text()[-1000:])
        _live(app, body)


def links_to_it_come_and_go_under_load():
    with _App({"count": lambda c: c.call("count") + DROP + const(0), "thing": lambda c: const(41) + c.call("[constructor]thing") + c.call("[method]thing.value") + const(41) + NE}) as app:
        manifest = app.folder / "tenon.toml"
        text = manifest.read_text()
        more = text + f'[component.more]\nsource = "count.wasm"\nlinks = {{ "{MATH}" = "ops" }}\n[[trigger.http]]\nroute = "/more/..."\ncomponent = "more"\n'

        def body(server, tenon):
            load = _Load(server, ("count", "thing"))
            for i in range(6):
                manifest.write_text((more, text)[i % 2])
                tenon("apply", app.folder)
                if i % 2 == 0:
                    check(_asks(server, "more", 20, 8) == ["ok"] * 20, server.log_text()[-2000:])
            check(load.stop() == [] and load.n > 100, (load.bad[:5], load.n))
            _nothing_failed(server)
        _live(app, body)


def a_stop_under_load_cuts_nothing():
    """Each thread ends when all have no requests left: what is kept on one is called by the others until then."""
    for shards in (2, 3):
        for _ in range(3):
            bodies = {"count": lambda c: c.call("count") + DROP + const(0), "thing": lambda c: const(41) + c.call("[constructor]thing") + DROP + const(0)}
            with _App(bodies) as app, app.up(shards=shards) as server:
                load = _Load(server, tuple(bodies))
                time.sleep(0.5)
                status = server.stop()
                bad = [b for b in load.stop() if b[1]]  # who is not let in has no status
                check(status == 0 and not bad and load.n > 20, (status, bad[:5], load.n, server.log_text()[-2000:]))
                _nothing_failed(server)


def a_stop_ends_what_does_not_end_by_itself():
    with _App({"spin": lambda c: c.call("spin") + const(0)}) as app, app.up("--drain", "1s") as server:
        held = [_hold(server, "spin") for _ in range(8)]
        time.sleep(0.5)
        began = time.monotonic()
        check(server.stop() == 0 and time.monotonic() - began < 30, f"{time.monotonic() - began} s: {server.log_text()[-2000:]}")
        for c, _ in held:
            c.sock.close()


def an_interface_that_passes_objects_of_others_is_refused_on_more_than_one_thread():
    with Between(KEEP) as app:
        r = subprocess.run([str(config.tenon), "up", app.at.name, "--addr", "127.0.0.1:0", "--shards", "2"], capture_output=True, timeout=60, text=True)
        check(r.returncode == 4 and "passes objects of others" in r.stderr and "--shards 1" in r.stderr, (r.returncode, r.stderr))


def _talks():
    """test:math/ops with one function, which says something."""
    c = Component()
    log = c.interface("wasi:logging/logging@0.1.0-draft")
    level = log.named("level", b"\x6d" + vec(name(n) for n in ("trace", "debug", "info", "warn", "error", "critical")))
    log.func("log", [("level", level), ("context", STRING), ("message", STRING)], None, ([I32] * 5, []))
    c.code("count", ([], [I32]), [], store(64, ord("m"), 1) + const(2) + const(64) + const(1) + const(64) + const(1) + c.call("log") + const(1), [b"\x40\0\0" + U32], MATH)
    return c.assemble()


def what_it_says_names_the_request_whichever_thread_it_came_to():
    trace = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    with _App({"ask": lambda c: const(0)}) as app:
        (app.folder / "ops.wasm").write_bytes(_talks())
        (app.folder / "ask.wasm").write_bytes(one_call(MATH, "count"))
        with app.up(shards=3) as server:
            n = 0
            while n < 30 or (len(_threads(server)) < 3 and n < 1000):
                server.get(f"/ask/{n}", headers=[["x-request-id", f"r-{n}"], ["traceparent", trace]])
                n += 1
            check(until(lambda: len(server.receipts()) == n, UNTIL) and len(_threads(server)) == 3, f"{len(server.receipts())} receipts of {n}, threads {_threads(server)}")
            ids = {o["receipt"]["id"]: o["request_id"] for o in server.objects() if "receipt" in o}
            said = [o for o in server.objects() if "guest" in o]
            check(len(said) == n and {o["request"]: o["request_id"] for o in said} == ids, f"{said[:3]} {list(ids.items())[:3]}")
            check(all(o["traceparent"] == trace for o in said), said[:3])

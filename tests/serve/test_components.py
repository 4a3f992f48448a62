"""A component that serves what another imports, by a link of its manifest: values, objects, traps, deadlines, what is refused."""
import os, re, subprocess, tempfile, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from assemble import ADD, Component, DROP, I32, STRING, U32, UNREACHABLE, const, get, handler, load, loop, name, put, s, section, store, times, u, vec
from harness import Server, check, config, exchange

EQ, NE, OR, GLOBAL_GET, GLOBAL_SET, CALL = b"\x46", b"\x47", b"\x72", b"\x23", b"\x24", b"\x10"
MATH = "test:math/ops@1.0.0"


def _core(types, imports, bodies, exports, memory=False):
    """A module with one global; `bodies`: (type, code)."""
    n = len(imports)
    out = section(1, vec(b"\x60" + vec(bytes([t]) for t in p) + vec(bytes([t]) for t in r) for p, r in types))
    if imports:
        out += section(2, vec(name("h") + name(label) + b"\0" + u(t) for label, t in imports))
    out += section(3, vec(u(t) for t, _ in bodies)) + (section(5, b"\1\0\1") if memory else b"") + section(6, vec([b"\x7f\1" + const(0) + b"\x0b"]))
    out += section(7, vec([name(label) + b"\0" + u(n + i) for label, i in exports] + ([name("m") + b"\2\0"] if memory else [])))
    codes = [b"\0" + code + b"\x0b" for _, code in bodies]
    return b"\0asm\1\0\0\0" + out + section(10, vec(u(len(c)) + c for c in codes))


def _count():
    return GLOBAL_GET + u(0) + const(1) + ADD + GLOBAL_SET + u(0) + GLOBAL_GET + u(0)


# By their types: 0 (v: u32) -> own<thing>, 1 (self: borrow<thing>) -> u32, 2 () -> u32, 3 () -> result<u32, string>, 4 (), 5 (t: own<thing>) -> u32, 6 async () -> u32.
FUNCS = (("[constructor]thing", 0), ("[method]thing.value", 1), ("count", 2), ("dropped", 2), ("fail", 3), ("break", 4), ("spin", 4), ("take", 5), ("later", 6))


def _types(thing):
    """own and borrow of it, a result, and the functions' types; `thing`: the index that is before them."""
    func = lambda params, result: b"\x40" + vec(name(n) + t for n, t in params) + (b"\x01\0" if result is None else b"\0" + result)  # noqa: E731
    own, borrow, result = s(thing + 1), s(thing + 2), s(thing + 3)
    return vec([b"\x69" + u(thing), b"\x68" + u(thing), b"\x6a\1" + U32 + b"\1" + STRING, func([("v", U32)], own), func([("self", borrow)], U32),
        func([], U32), func([], result), func([], None), func([("t", own)], U32), b"\x43\0\0" + U32])


def _named():
    """The component that gives them their names, as compilers have it."""
    out = b"\0asm\x0d\0\x01\0" + section(10, vec([b"\0" + name("import-thing") + b"\x03\x01"])) + section(7, _types(0))
    out += section(10, vec(b"\0" + name(f"import-{i}") + b"\x01" + u(4 + t) for i, (_, t) in enumerate(FUNCS)))
    out += section(11, vec([b"\0" + name("thing") + b"\x03\0\0"])) + section(7, _types(11))
    return out + section(11, vec(b"\0" + name(label) + b"\x01" + u(i) + b"\x01\x01" + u(15 + t) for i, (label, t) in enumerate(FUNCS)))


def _provider():
    """test:math/ops: count() counts calls of the instance, thing is a resource of a number, dropped() counts destructors, fail() and break() trap, spin() never returns."""
    none, one, get_one = ([], []), ([I32], []), ([], [I32])
    # What runs when an object goes is a module before the one that makes them.
    first = _core([one, get_one], [], [(0, _count() + DROP), (1, GLOBAL_GET + u(0))], [("dtor", 0), ("dropped", 1)], memory=True)
    same = ([I32], [I32])
    second = _core([same, get_one, none], [("new", 0)],
        [(0, get(0) + CALL + u(0)), (0, get(0)), (1, _count()), (1, UNREACHABLE), (2, UNREACHABLE), (2, loop(b""))],
        [("make", 0), ("value", 1), ("count", 2), ("fail", 3), ("break", 4), ("spin", 5)])
    out = b"\0asm\x0d\0\x01\0" + section(1, first) + section(2, vec([b"\0\0" + vec([])]))
    out += section(6, vec([b"\0\0\x01\0" + name("dtor"), b"\0\0\x01\0" + name("dropped"), b"\0\x02\x01\0" + name("m")]))  # core funcs 0, 1; memory 0
    out += section(7, vec([b"\x3f\x7f\1\0"]))  # type 0: the resource
    out += section(8, vec([b"\x02\0"]))        # core func 2: resource.new
    out += section(1, second)
    out += section(2, vec([b"\x01" + vec([name("new") + b"\0" + u(2)]), b"\0\x01" + vec([name("h") + b"\x12\x01"])]))
    labels = ("make", "value", "count", "fail", "break", "spin")
    out += section(6, vec([b"\0\0\x01\x02" + name(label) for label in labels]))  # core funcs 3…8
    out += section(7, _types(0))  # 1: own, 2: borrow, 3: result<u32, string>, from 4 on: functions
    lift = lambda core, t, more=(): b"\0\0" + u(core) + vec(more) + u(4 + t)  # noqa: E731
    out += section(8, vec([lift(3, 0), lift(4, 1), lift(5, 2), lift(1, 2), lift(6, 3, [b"\x03\0"]), lift(7, 4), lift(8, 4), lift(4, 5), lift(5, 6)]))
    out += section(4, _named())
    given = [name("import-thing") + b"\x03\0"] + [name(f"import-{i}") + b"\x01" + u(i) for i in range(len(FUNCS))]
    return out + section(5, vec([b"\0\0" + vec(given)])) + section(11, vec([b"\0" + name(MATH) + b"\x05\0\0"]))


def _caller(body, interface=MATH, count=([], U32), locals_=3):
    """Answers requests: `body(c)` leaves a number, 0 ends the call well, another one by exit(err). Calls by name, of resource.drop with a thing."""
    c = Component()
    m = c.interface(interface)
    thing = m.resource("thing")
    own, borrow = m.own(thing), m.borrow(thing)
    m.func("[constructor]thing", [("v", U32)], own, ([I32], [I32]))
    m.func("[method]thing.value", [("self", borrow)], U32, ([I32], [I32]))
    m.func("count", *count, ([I32] * len(count[0]), [I32]))
    m.func("dropped", [], U32, ([], [I32]))
    m.func("fail", [], m.result(U32, STRING), ([I32], []))
    m.func("break", [], None, ([], []))
    m.func("spin", [], None, ([], []))
    m.func("take", [("t", own)], U32, ([I32], [I32]))
    e = c.interface("wasi:cli/exit@0.2.0")
    e.func("exit", [("status", e.result())], None, ([I32], []))
    h = c.interface("wasi:http/types@0.2.0")
    h.resource("incoming-request")
    h.resource("response-outparam")
    c.drops(m, "thing")
    c.code("handle", ([I32, I32], []), [I32] * locals_, body(c) + const(0) + NE + c.call("exit"), handler(c, h), "wasi:http/incoming-handler@0.2.0")
    return c.assemble()


class _App:
    """A caller at /, linked to the provider."""

    def __init__(self, body, more="", provides=None, links=f'"{MATH}" = "ops"', calls=None):
        self.at = tempfile.TemporaryDirectory()
        folder = Path(self.at.name)
        (folder / "provider.wasm").write_bytes(provides or _provider())
        (folder / "caller.wasm").write_bytes(calls or _caller(body))
        (folder / "tenon.toml").write_text(f"""tenon = 1
[app]
name = "shop"
[component.caller]
source = "caller.wasm"
links = {{ {links} }}
[component.ops]
source = "provider.wasm"
{more}
[link.ops]
type = "component"
component = "ops"
[[trigger.http]]
route = "/..."
component = "caller"
""")

    def up(self, *flags, shards=1):
        return Server(self.at.name, *flags, shards=shards, command="up")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.at.cleanup()

    def refused(self):
        r = subprocess.run([str(config.tenon), "up", self.at.name, "--addr", "127.0.0.1:0"], capture_output=True, timeout=60, text=True)
        return r.returncode, r.stderr


def _outcome(server, path):
    server.get(path)
    return server.outcome(path)


def _differs(c, call, want):
    return call + const(want) + NE


def each_request_has_an_instance_of_its_own_in_which_its_calls_follow_each_other():
    with _App(lambda c: _differs(c, c.call("count"), 1) + _differs(c, c.call("count"), 2) + OR + _differs(c, c.call("count"), 3) + OR) as app, app.up(shards=2) as server:
        for i in range(20):
            check(_outcome(server, f"/{i}") == "ok", "it counted otherwise than from one to three")


def an_instance_that_is_used_again_goes_on_where_it_was():
    with _App(lambda c: c.call("count") + const(3) + b"\x48", 'policy = "reuse"\n') as app, app.up() as server:
        check([_outcome(server, f"/{i}") for i in range(4)] == ["exit", "exit", "ok", "ok"], "less than three is an error")


def one_instance_is_kept_for_all_roots():
    with _App(lambda c: c.call("count") + const(30) + b"\x48", 'policy = "keep"\n') as app, app.up() as server, ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda i: server.get(f"/{i}"), range(40)))
        outcomes = [_outcome(server, f"/{i}") for i in range(40)]
        check(sorted(outcomes) == ["exit"] * 29 + ["ok"] * 11, f"it did not count to forty: {outcomes}")


def what_is_kept_comes_back_after_a_trap():
    def body(c):
        return c.call("count") + const(3) + EQ + b"\x04\x40" + c.call("break") + b"\x0b" + const(0)
    with _App(body, 'policy = "keep"\n') as app, app.up() as server:
        check([_outcome(server, f"/{i}") for i in range(7)] == ["ok", "ok", "trap", "ok", "ok", "trap", "ok"], server.log_text())


def objects_keep_an_instance_with_many_calls_and_take_no_calls_place():
    def body(c):
        made = store(64, const(41) + c.call("[constructor]thing")) + store(68, const(42) + c.call("[constructor]thing"))
        return made + _differs(c, load(64) + c.call("[method]thing.value"), 41) + _differs(c, load(68) + c.call("[method]thing.value"), 42) + OR

    for most in (1, 2, 8):
        with _App(body, f'policy = "concurrent"\nconcurrency = {most}\n') as app, app.up() as server, ThreadPoolExecutor(8) as pool:
            outcomes = list(pool.map(lambda i: _outcome(server, f"/{i}"), range(24)))
            check(outcomes == ["ok"] * 24, f"at most {most}: {outcomes}")


def an_object_is_made_asked_and_dropped_where_it_lives():
    def body(c):
        made = const(41) + c.call("[constructor]thing") + put(2) + const(7) + c.call("[constructor]thing") + put(3)
        asked = _differs(c, get(2) + c.call("[method]thing.value"), 41) + _differs(c, get(3) + c.call("[method]thing.value"), 7) + OR
        none = _differs(c, c.call("dropped"), 0) + OR
        gone = get(2) + c.call("resource.drop") + _differs(c, c.call("dropped"), 1)
        given = _differs(c, get(3) + c.call("take"), 1)  # it gets a handle, its first
        return made + asked + none + put(4) + gone + get(4) + OR + given + OR
    with _App(body) as app, app.up() as server:
        for i in range(5):
            check(_outcome(server, f"/{i}") == "ok", "an object was not as it should be")


def what_its_caller_leaves_is_closed_when_the_caller_ends():
    def body(c):
        return const(1) + c.call("[constructor]thing") + DROP + c.call("dropped") + const(3) + b"\x48"  # below 3: not yet
    with _App(body, 'policy = "reuse"\n') as app, app.up() as server:
        check([_outcome(server, f"/{i}") for i in range(5)] == ["exit", "exit", "exit", "ok", "ok"], "each request before left one, which was closed with it")


def a_trap_is_the_error_of_the_interface_where_it_has_one():
    with _App(lambda c: const(64) + c.call("fail") + const(64) + b"\x2d\0\0" + const(1) + NE) as app, app.up() as server:
        check(_outcome(server, "/a") == "ok", "it was no error")
        check("fail of shop: component ops: unreachable" in server.log_text(), server.log_text())
        check(_outcome(server, "/b") == "ok", "the next request has an instance of its own")


def a_trap_is_the_callers_where_the_interface_has_no_error():
    with _App(lambda c: c.call("break") + const(0)) as app, app.up() as server:
        check(server.get("/").status == 500 and server.receipt("/")["outcome"] == "trap", "the caller went on")
        check("break: component ops: unreachable" in server.log_text(), server.log_text())


def the_time_of_a_call_is_the_components_or_the_rest_of_the_callers():
    with _App(lambda c: c.call("spin") + const(0), 'limits = { deadline = "300ms" }\n') as app, app.up() as server:
        check(server.get("/").status == 500, "the component's own time was over: that is its trap")
    with _App(lambda c: c.call("spin") + const(0)) as app:
        manifest = Path(app.at.name) / "tenon.toml"
        manifest.write_text(manifest.read_text().replace('source = "caller.wasm"', 'source = "caller.wasm"\nlimits = { deadline = "1s" }'))
        with app.up() as server:
            got = server.get("/").status
            check(got == 504, f"the caller's time was over: {got}")
        manifest.write_text(manifest.read_text().replace('deadline = "1s"', 'cpu = "300ms"'))
        with app.up() as server:
            check(server.get("/").status == 503, "the caller pays")
            check(server.get("/").status == 503, "and so does the next")


def a_callers_deadline_that_its_component_comes_to_first_is_the_callers():
    """What computes looks at its time to the nanosecond, the timer of who waits comes within the next millisecond."""
    with _App(lambda c: c.call("spin") + const(0)) as app:
        manifest = Path(app.at.name) / "tenon.toml"
        manifest.write_text(manifest.read_text().replace('source = "caller.wasm"', 'source = "caller.wasm"\nlimits = { deadline = "15ms" }'))
        with app.up() as server:
            got = [server.get(f"/{i}").status for i in range(100)]
            check(got == [504] * 100, f"the caller's time was over: {got}")


def a_component_has_cpu_time_of_its_own_and_meters():
    with tempfile.TemporaryDirectory() as ctl:
        os.environ.update(TENON_CTL=ctl)
        try:
            _has_cpu_time_and_meters()
        finally:
            del os.environ["TENON_CTL"]


def _has_cpu_time_and_meters():
    with _App(lambda c: c.call("spin") + const(0), 'limits = { cpu = "200ms" }\n') as app, app.up("--admin", "127.0.0.1:0") as server:
        check(server.get("/").status == 500 and server.receipt("/")["outcome"] == "trap", "the component's own CPU time was over: that is its trap")
        check("spin of shop: component ops: CPU budget spent" in server.log_text(), server.log_text())
        server.get("/again")
        check(server.receipt("/again")["outcome"] == "trap", "the next request has an instance of its own")
        admin = re.search(r"admin http://127.0.0.1:(\d+)", server.process.stdout.readline().decode())
        answer = exchange(("127.0.0.1", int(admin.group(1))), {"method": "GET", "path": "/metrics"})
        check(answer.status == 200, answer.error)
        page = answer.body.decode()
        own = 'app="shop",component="ops"}'
        check(re.search(rf"tenon_inner_calls_total{{tenant=\"default\",{own} 2\n", page), page)
        spent = float(re.search(rf"tenon_guest_cpu_seconds_total{{tenant=\"default\",{own} (\S+)\n", page).group(1))
        check(0.3 < spent < 20, f"{spent} s of CPU")
        said = subprocess.run([str(config.tenon), "status", "shop"], capture_output=True, timeout=120, text=True).stdout
        check("called 2 times by triggers and other components" in said, said)
        check(re.search(r'tenon_traps_total\{tenant="default",app="shop",component="ops",kind="cpu_budget"\} 2\n', page), page)


def what_its_caller_has_spent_is_not_a_components():
    """Of limits or of meters: the caller computes before it calls, more than the component may."""
    with _App(lambda c: times(2, 300_000_000, b"") + _differs(c, c.call("count"), 1), 'limits = { cpu = "50ms" }\n') as app, app.up("--admin", "127.0.0.1:0") as server:
        check(_outcome(server, "/") == "ok", server.log_text())
        admin = re.search(r"admin http://127.0.0.1:(\d+)", server.process.stdout.readline().decode())
        page = exchange(("127.0.0.1", int(admin.group(1))), {"method": "GET", "path": "/metrics"}).body.decode()
        spent = {c: float(re.search(rf'tenon_guest_cpu_seconds_total{{tenant="default",app="shop",component="{c}"}} (\S+)\n', page).group(1)) for c in ("caller", "ops")}
        check(spent["caller"] > 0.06 and spent["ops"] < 0.03, spent)


def what_others_call_gets_another_version_while_they_call_it():
    """An object of the one before is asked and closed there; what has another type, or is gone, is refused."""
    def body(c):
        made = load(64) + b"\x45\x04\x40" + store(64, const(41) + c.call("[constructor]thing")) + b"\x0b"
        return made + _differs(c, load(64) + c.call("[method]thing.value"), 41)
    with _App(body) as app, tempfile.TemporaryDirectory() as ctl:
        manifest = Path(app.at.name) / "tenon.toml"
        manifest.write_text(manifest.read_text().replace('source = "caller.wasm"', 'source = "caller.wasm"\npolicy = "reuse"'))
        os.environ.update(TENON_CTL=ctl, TENON_STATE=ctl + "/state")
        try:
            with app.up(shards=2) as server:
                def update(file, status):
                    r = subprocess.run([str(config.tenon), "update", "shop/ops", str(file)], capture_output=True, timeout=120, text=True)
                    check((r.returncode == 0) == (status == 0), (r.returncode, r.stderr))
                    return r.stderr
                for i in range(4):
                    check(_outcome(server, f"/{i}") == "ok", server.log_text())
                for n in range(3):
                    provider = Path(app.at.name) / f"next{n}.wasm"
                    provider.write_bytes(_provider() + section(0, name("n") + bytes([n])))
                    with ThreadPoolExecutor(8) as pool:
                        requests = [pool.submit(server.get, f"/{n}-{i}") for i in range(100)]
                        update(provider, 0)
                        check(all(r.result().status == 500 for r in requests), "requests that the caller doesn't answer")
                    check(all(_outcome(server, f"/{n}-{i}") == "ok" for i in range(100)), server.log_text()[-2000:])
                other = Path(app.at.name) / "other.wasm"
                other.write_bytes(Component().assemble())
                check("does not export" in update(other, 6), "it lacks what is called")
                check(_outcome(server, "/last") == "ok", server.log_text()[-1000:])
        finally:
            del os.environ["TENON_CTL"], os.environ["TENON_STATE"]


def a_tree_of_calls_has_a_limit_of_memory_of_its_own():
    """The caller has two pages, and the component one: growing by one more is within four pages of 64 KiB, and not within three."""
    def body(c):
        return _differs(c, c.call("count"), 1) + const(1) + b"\x40\0" + const(-1) + EQ + OR
    for limit, want in (("", "ok"), ("320KiB", "ok"), ("192KiB", "exit")):
        with _App(body) as app:
            manifest = Path(app.at.name) / "tenon.toml"
            more = f'\nlimits = {{ tree-memory = "{limit}" }}' if limit else ""
            manifest.write_text(manifest.read_text().replace('source = "caller.wasm"', 'source = "caller.wasm"' + more))
            with app.up() as server:
                check([_outcome(server, f"/{i}") for i in range(3)] == [want] * 3, (limit, server.log_text()))


def a_handle_that_outlives_its_root_keeps_its_instance():
    """The caller is used again: what it keeps in its memory is asked by its next requests."""
    def body(c):
        made = load(64) + b"\x45\x04\x40" + store(64, const(41) + c.call("[constructor]thing")) + b"\x0b"
        return made + _differs(c, load(64) + c.call("[method]thing.value"), 41)
    with _App(body) as app:
        manifest = Path(app.at.name) / "tenon.toml"
        manifest.write_text(manifest.read_text().replace('source = "caller.wasm"', 'source = "caller.wasm"\npolicy = "reuse"'))
        with app.up() as server:
            check([_outcome(server, f"/{i}") for i in range(6)] == ["ok"] * 6, server.log_text())


def many_callers_at_once_never_meet_in_an_instance():
    body = lambda c: const(1) + c.call("[constructor]thing") + DROP + _differs(c, c.call("count"), 1) + _differs(c, c.call("count"), 2) + OR  # noqa: E731
    with _App(body) as app, app.up(shards=2) as server, ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda i: server.get(f"/{i}"), range(400)))
        check(_outcome(server, "/last") == "ok" and '"outcome":"exit"' not in server.log_text() and '"outcome":"trap"' not in server.log_text(), server.log_text()[-2000:])


def a_caller_that_goes_away_ends_what_it_called():
    with _App(lambda c: c.call("spin") + const(0), "instances = { max = 1 }\n") as app, app.up() as server:
        for i in range(3):
            held = server.connect()
            held.sock.sendall(f"GET /{i} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            time.sleep(0.2)
            held.reset()
            check(server.receipt(f"/{i}")["status"] == 499, "its only instance was not free for the next")


def at_most_so_many_of_its_instances_are_at_work():
    with _App(lambda c: c.call("count") + const(0) + b"\x71", "instances = { max = 1 }\n") as app, app.up() as server:
        check(all(_outcome(server, f"/{i}") == "ok" for i in range(5)), "one after the other has it")


def what_can_not_be_linked_is_refused_before_anything_runs():
    cases = (
        (dict(calls=_caller(lambda c: const(0), "test:math/other@1.0.0"), links='"test:math/other" = "ops"'), 4, "does not export test:math/other"),
        (dict(calls=_caller(lambda c: const(0)), links='"test:math/none" = "ops"'), 4, "imports nothing"),
        (dict(calls=_caller(lambda c: const(0), count=([("a", U32)], U32))), 4, "count"),
        (dict(calls=_caller(lambda c: const(0)), more='links = { "test:x/y" = "ops" }\n'), 4, "circle"),
    )
    for given, want, word in cases:
        with _App(None, **given) as app:
            status, said = app.refused()
            check(status == want and word in said, (status, said))

"""A component that others call, many at once in one instance (policy concurrent): from sync and async callers; traps, budgets, deadlines, callers that leave, updates."""
import itertools, os, subprocess, tempfile, time
from pathlib import Path

from assemble import ADD, Component, I32, I64, STRING, U32, U64, const, get, handler, name, put, s, section, store, u, vec
from harness import HELLO, Many, Server, check, config

OPS = "test:many/ops@1.0.0"
CLOCK = "wasi:clocks/monotonic-clock@0.3.0"
LT, NE, GLOBAL_GET, GLOBAL_SET = b"\x49", b"\x47", b"\x23", b"\x24"
MANY_AT_ONCE = 20


def _func(params, result, is_async):
    return (b"\x43" if is_async else b"\x40") + vec(name(n) + t for n, t in params) + (b"\x01\0" if result is None else b"\0" + result)


def _imports(interface, funcs):
    """Sections that import an interface and alias its functions, of the first type and instance of a component."""
    decls = [d for k, (label, of) in enumerate(funcs) for d in (b"\x01" + of, b"\x04\0" + name(label) + b"\x01" + s(k))]
    return (section(7, vec([b"\x42" + vec(decls)])) + section(10, vec([b"\0" + name(interface) + b"\x05\0"])) +
        section(6, vec(b"\x01\0\0" + name(label) for label, _ in funcs)))


def _core(types, imports, bodies, exports, globals_=4):
    """A module that imports a memory. Functions: (type, locals, code)."""
    n = len(imports)
    out = section(1, vec(b"\x60" + vec(bytes([t]) for t in p) + vec(bytes([t]) for t in r) for p, r in types))
    out += section(2, vec([name("h") + name(label) + b"\0" + u(t) for label, t in imports] + [name("h") + name("m") + b"\2\0\1"]))
    out += section(3, vec(u(t) for t, _, _ in bodies)) + section(6, vec([b"\x7f\1" + const(0) + b"\x0b"] * globals_))
    out += section(7, vec(name(label) + b"\0" + u(n + i) for label, i in exports))
    codes = [vec([u(k) + bytes([I32])] if k else []) + code + b"\x0b" for _, k, code in bodies]
    return b"\0asm\1\0\0\0" + out + section(10, vec(u(len(c)) + c for c in codes))


# A memory, and a realloc that goes round in the second half of it.
_LIBC = (b"\0asm\1\0\0\0" + section(1, vec([b"\x60\x04\x7f\x7f\x7f\x7f\x01\x7f"])) + section(3, vec([b"\0"])) + section(5, vec([b"\0\1"])) + section(6, vec([b"\x7f\1" + const(0) + b"\x0b"])) +
    section(7, vec([name("m") + b"\2\0", name("realloc") + b"\0\0"])) +
    section(10, vec([u(len(b)) + b for b in [b"\0" + GLOBAL_GET + u(0) + get(3) + ADD + const(15) + ADD + const(0x7ff0) + b"\x71" + GLOBAL_SET + u(0) + GLOBAL_GET + u(0) + const(32768) + ADD + b"\x0b"]])))
_WITH_LIBC = section(1, _LIBC) + section(2, vec([b"\0\0" + vec([])])) + section(6, vec([b"\0\x02\x01\0" + name("m"), b"\0\0\x01\0" + name("realloc")]))  # core memory 0, core function 0


def _more(g, n=1):
    return GLOBAL_GET + u(g) + const(n) + ADD + GLOBAL_SET + u(g)


def _provider(version=1):
    """wait(ms): waits, and how many were in it at most; boom, spin: never return; begun, ended: so many waits; version; echo."""
    busy, most, begun, ended = range(4)
    wait_for, ret, ret_text = range(3)
    bodies = [
        (0, 0, _more(busy) + GLOBAL_GET + u(busy) + GLOBAL_GET + u(most) + b"\x4b\x04\x40" + GLOBAL_GET + u(busy) + GLOBAL_SET + u(most) + b"\x0b" + _more(begun) +
            get(0) + b"\xad\x42" + s(1000000) + b"\x7e\x10" + u(wait_for) + _more(busy, -1) + _more(ended) + GLOBAL_GET + u(most) + b"\x10" + u(ret)),
        (1, 0, b"\0"), (1, 0, b"\x03\x40\x0c\0\x0b"), (2, 0, GLOBAL_GET + u(begun)), (2, 0, GLOBAL_GET + u(ended)), (2, 0, const(version)),
        (3, 0, const(100) + b"\xad\x42" + s(1000000) + b"\x7e\x10" + u(wait_for) + get(0) + get(1) + b"\x10" + u(ret_text))]
    labels = ("wait", "boom", "spin", "begun", "ended", "version", "echo")
    core = _core([([I32], []), ([], []), ([], [I32]), ([I32, I32], []), ([I64], [])], [("wait", 4), ("ret", 0), ("text", 3)], bodies, [(label, k) for k, label in enumerate(labels)])
    types = [_func([("ms", U32)], U32, True), _func([], U32, True), _func([], U32, False), _func([("t", STRING)], STRING, True)]
    out = b"\0asm\x0d\0\x01\0" + _imports(CLOCK, [("wait-for", _func([("how-long", U64)], None, True))]) + _WITH_LIBC + section(7, vec(types))  # types 1…4
    text = [b"\0", b"\x03\0"]
    out += section(8, vec([b"\x01\0\0" + vec([]), b"\x09\0" + U32 + vec([]), b"\x09\0" + STRING + vec(text)]))  # core functions 1…3
    out += section(1, core) + section(2, vec([b"\x01" + vec([name(n) + b"\0" + u(k + 1) for k, n in enumerate(("wait", "ret", "text"))] + [name("m") + b"\2\0"]), b"\0\1" + vec([name("h") + b"\x12\1"])]))
    out += section(6, vec(b"\0\0\x01\x02" + name(label) for label in labels))  # core functions 4…
    lifts = [(1, [b"\x06"]), (2, [b"\x06"]), (2, [b"\x06"]), (3, []), (3, []), (3, []), (4, text + [b"\x04\0", b"\x06"])]
    out += section(8, vec(b"\0\0" + u(4 + k) + vec(options) + u(t) for k, (t, options) in enumerate(lifts)))  # functions 1…
    out += section(5, vec([b"\x01" + vec(b"\0" + name(label) + b"\x01" + u(1 + k) for k, label in enumerate(labels))]))
    return out + section(11, vec([b"\0" + name(OPS) + b"\x05\x01\0"]))


def _caller(body):
    """A synchronous one: answers requests; `body(c)` leaves a number, 0 ends the call well, another one by exit(err)."""
    c = Component()
    m = c.interface(OPS)

    def add(label, params, result, is_async, core):
        t = m.type(_func(params, result, is_async))
        m.decls.append(b"\x04\0" + name(label) + b"\x01" + t)
        m.funcs[label] = len(c.lowered)
        c.lowered.append((m, label, core))
    add("wait", [("ms", U32)], U32, True, ([I32], [I32]))
    for label in ("boom", "spin"):
        add(label, [], U32, True, ([], [I32]))
    for label in ("begun", "ended", "version"):
        add(label, [], U32, False, ([], [I32]))
    add("echo", [("t", STRING)], STRING, True, ([I32, I32, I32], []))
    e = c.interface("wasi:cli/exit@0.2.0")
    e.func("exit", [("status", e.result())], None, ([I32], []))
    h = c.interface("wasi:http/types@0.2.0")
    h.resource("incoming-request")
    h.resource("response-outparam")
    c.code("handle", ([I32, I32], []), [I32] * 2, body(c) + const(0) + NE + c.call("exit"), handler(c, h), "wasi:http/incoming-handler@0.2.0")
    return c.assemble()


def _async_caller(calls, ms):
    """wasi:cli/run of 0.3: so many calls of wait at once; ok where that many were in the instance."""
    lowered, new, join, wait, drop, ret = range(6)
    types = [([I32, I32], [I32]), ([], [I32]), ([I32, I32], []), ([I32], []), ([], [])]
    call = lambda f: b"\x10" + u(f)  # noqa: E731
    body = call(new) + put(0)
    for k in range(calls):
        body += const(ms) + const(64 + 4 * k) + call(lowered) + const(4) + b"\x76" + get(0) + call(join)
    for k in range(calls):
        body += get(0) + const(8) + call(wait) + b"\x1a" + const(8) + b"\x28\2\0" + call(drop)
    worst = const(0)
    for k in range(calls):
        worst += const(64 + 4 * k) + b"\x28\2\0" + const(calls) + LT + b"\x72"
    body += worst + call(ret)
    core = _core(types, [("wait", 0), ("new", 1), ("join", 2), ("poll", 0), ("drop", 3), ("ret", 3)], [(4, 1, body)], [("run", 0)], globals_=0)
    out = b"\0asm\x0d\0\x01\0" + _imports(OPS, [("wait", _func([("ms", U32)], U32, True))]) + _WITH_LIBC + section(7, vec([b"\x6a\0\0", b"\x43\0\0" + s(1)]))
    out += section(8, vec([b"\x01\0\0" + vec([b"\x06", b"\x03\0"]), b"\x1f", b"\x23", b"\x20\0\0", b"\x0d", b"\x09\0" + s(1) + vec([])]))
    out += section(1, core) + section(2, vec([b"\x01" + vec([name(n) + b"\0" + u(k + 1) for k, n in enumerate(("wait", "new", "join", "poll", "drop", "ret"))] + [name("m") + b"\2\0"]), b"\0\1" + vec([name("h") + b"\x12\1"])]))
    out += section(6, vec([b"\0\0\x01\x02" + name("run")])) + section(8, vec([b"\0\0" + u(7) + vec([b"\x06"]) + u(2)]))
    return out + section(5, vec([b"\x01" + vec([b"\0" + name("run") + b"\x01" + u(1)])])) + section(11, vec([b"\0" + name("wasi:cli/run@0.3.0") + b"\x05\x01\0"]))


class _App:
    """Callers by route, linked to the provider."""

    def __init__(self, bodies, more='policy = "concurrent"\nconcurrency = 32\n', provider=None, command=None, link=""):
        self.at = tempfile.TemporaryDirectory()
        folder = Path(self.at.name)
        (folder / "ops.wasm").write_bytes(provider or _provider())
        text = f'tenon = 1\n[app]\nname = "shop"\n[component.ops]\nsource = "ops.wasm"\n{more}\n[link.ops]\ntype = "component"\ncomponent = "ops"\n{link}\n'
        for label, body in bodies.items():
            (folder / f"{label}.wasm").write_bytes(_caller(body))
            text += f'[component.{label}]\nsource = "{label}.wasm"\nlinks = {{ "{OPS}" = "ops" }}\n[[trigger.http]]\nroute = "/{label}/..."\ncomponent = "{label}"\n'
        if command:
            (folder / "command.wasm").write_bytes(command)
            text += f'[component.command]\nsource = "command.wasm"\nlinks = {{ "{OPS}" = "ops" }}\n[[trigger.command]]\nid = "command"\ncomponent = "command"\n'
        (folder / "tenon.toml").write_text(text)

    def up(self, *flags, shards=1):
        return Server(self.at.name, *flags, shards=shards, command="up")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.at.cleanup()


def _outcome(server, path, numbers=itertools.count()):
    path = f"{path}/{next(numbers)}"
    server.get(path)
    return server.outcome(path)


def _at_least(call, want):
    return call + const(want) + LT


def _waits(ms, want=0):
    return lambda c: _at_least(const(ms) + c.call("wait"), want)


def _until(server, path, seconds=60):
    end = time.monotonic() + seconds
    while _outcome(server, path) != "ok":
        check(time.monotonic() < end, f"{path}: {server.log_text()[-2000:]}")
        time.sleep(0.1)


def _ended(server, path, n):
    """How the first n requests of a path ended."""
    return [server.outcome(path, k) for k in range(1, n + 1)]


def calls_of_many_roots_are_in_one_instance_at_once():
    bodies = {"wait": _waits(4000, MANY_AT_ONCE // 2), "after": _waits(0, MANY_AT_ONCE // 2), "begun": lambda c: _at_least(c.call("begun"), MANY_AT_ONCE)}
    with _App(bodies) as app, app.up() as server:
        Many([lambda: server.get("/wait") for _ in range(MANY_AT_ONCE)]).join()
        check([_outcome(server, "/begun"), _outcome(server, "/after")] == ["ok", "ok"], server.log_text()[-2000:])
        check(_ended(server, "/wait", MANY_AT_ONCE) == ["ok"] * MANY_AT_ONCE, server.log_text()[-2000:])
    with _App({"wait": _waits(10, 2)}, "") as app, app.up() as server:
        check(_outcome(server, "/wait") == "exit", "a fresh one has one at a time")


def no_more_calls_are_in_one_instance_than_it_may_have():
    bodies = {"wait": lambda c: const(4) + const(700) + c.call("wait") + LT}
    with _App(bodies, 'policy = "concurrent"\nconcurrency = 4\n') as app, app.up() as server:
        Many([lambda: server.get("/wait") for _ in range(16)]).join()
        check(_ended(server, "/wait", 16) == ["ok"] * 16, server.log_text()[-2000:])
    with _App({"wait": _waits(300)}, 'policy = "concurrent"\nconcurrency = 2\ninstances = { max = 1 }\n') as app, app.up() as server:
        Many([lambda: server.get("/wait") for _ in range(8)]).join()
        check(_ended(server, "/wait", 8) == ["ok"] * 8, "those that find no place wait for one: " + server.log_text()[-2000:])


def an_async_caller_has_many_calls_in_it_at_once():
    with _App({}, command=_async_caller(5, 1500)) as app:
        r = subprocess.run([str(config.tenon), "up", app.at.name, "--addr", "127.0.0.1:0"], capture_output=True, timeout=120, text=True)
        check(r.returncode == 0, (r.returncode, r.stderr[-2000:]))
    with _App({}, command=_async_caller(5, 10), more="") as app:
        r = subprocess.run([str(config.tenon), "up", app.at.name, "--addr", "127.0.0.1:0"], capture_output=True, timeout=120, text=True)
        check(r.returncode != 0, "one after the other is not five at once")


def strings_pass_in_both_directions():
    def body(c):
        equal = b"".join(const(128) + b"\x28\2\0\x2d\0" + u(k) + const(ord(x)) + NE + b"\x72" for k, x in enumerate("hello"))
        return store(64, const(int.from_bytes(b"hell", "little"))) + store(68, const(ord("o"))) + const(64) + const(5) + const(128) + c.call("echo") + const(132) + b"\x28\2\0" + const(5) + NE + equal
    with _App({"echo": body}) as app, app.up() as server:
        Many([lambda: server.get("/echo") for _ in range(30)]).join()
        check(_ended(server, "/echo", 30) == ["ok"] * 30, server.log_text()[-2000:])


def a_trap_or_spent_cpu_time_ends_all_calls_in_the_instance():
    for bad in ("boom", "spin"):
        bodies = {"wait": _waits(600000), "bad": lambda c: c.call(bad), "begun": lambda c: _at_least(c.call("begun"), 5), "new": lambda c: c.call("begun")}
        with _App(bodies, 'policy = "concurrent"\nlimits = { cpu = "300ms" }\n') as app, app.up() as server:
            waiting = Many([lambda: server.get("/wait") for _ in range(5)])
            _until(server, "/begun")
            check(_outcome(server, "/bad") == "trap", server.log_text()[-2000:])
            check([a.status for a in waiting.join()] == [500] * 5, server.log_text()[-2000:])
            check(_outcome(server, "/new") == "ok", "the next has another instance: " + server.log_text()[-2000:])


def a_deadline_is_the_end_of_its_own_call_only():
    bodies = {"late": _waits(600000), "wait": _waits(300), "begun": lambda c: _at_least(c.call("begun"), 1), "new": lambda c: c.call("begun")}
    with _App(bodies, 'policy = "concurrent"\nlimits = { deadline = "10s" }\n') as app, app.up() as server:  # the others have it, too, on a busy machine
        late = Many([lambda: server.get("/late")])
        _until(server, "/begun")
        check(_outcome(server, "/wait") == "ok", "beside it: " + server.log_text()[-2000:])
        check([a.status for a in late.join()] == [500] and server.logged("deadline exceeded"), server.log_text()[-2000:])
        check(_outcome(server, "/new") == "ok", "its instance takes no more calls: " + server.log_text()[-2000:])


def a_caller_that_leaves_ends_nothing_there():
    bodies = {"wait": _waits(2000), "begun": lambda c: _at_least(c.call("begun"), 1), "ended": lambda c: _at_least(c.call("ended"), 1)}
    with _App(bodies) as app, app.up() as server:
        held = server.connect()
        held.sock.sendall(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
        _until(server, "/begun")
        held.reset()
        check(server.receipt("/wait")["status"] == 499, server.log_text()[-2000:])
        _until(server, "/ended")


def the_deadline_of_the_link_is_the_callers_and_the_call_goes_on_without_him():
    bodies = {"late": _waits(1500), "wait": _waits(10), "ended": lambda c: _at_least(c.call("ended"), 1), "begun": lambda c: c.call("begun")}
    with _App(bodies, link='deadline = "400ms"') as app, app.up() as server:
        check(server.get("/late").status == 500 and server.logged("the deadline of the link is over"), server.log_text()[-2000:])
        check(_outcome(server, "/wait") == "ok", "beside it: " + server.log_text()[-2000:])
        _until(server, "/ended")
        check(not server.logged("deadline exceeded"), server.log_text()[-2000:])
    full = 'policy = "concurrent"\nconcurrency = 1\ninstances = { max = 1 }\n'
    with _App(bodies, full, link='deadline = "400ms"') as app, app.up() as server:
        got = Many([lambda: server.get("/late") for _ in range(4)]).join()  # one is in it, three wait for its place
        check([a.status for a in got] == [500] * 4 and server.logged("the deadline of the link is over") >= 4, server.log_text()[-2000:])
        _until(server, "/ended")
        check(_outcome(server, "/wait") == "ok", "its place is free: " + server.log_text()[-2000:])


def calls_in_flight_end_in_the_version_that_they_began_in():
    bodies = {"wait": _waits(6000, 5), "begun": lambda c: _at_least(c.call("begun"), 5), "second": lambda c: _at_least(c.call("version"), 2)}
    with _App(bodies) as app, tempfile.TemporaryDirectory() as ctl:
        os.environ.update(TENON_CTL=ctl, TENON_STATE=ctl + "/state")
        try:
            with app.up() as server:
                waiting = Many([lambda: server.get("/wait") for _ in range(5)])
                _until(server, "/begun")
                (Path(app.at.name) / "next.wasm").write_bytes(_provider(2))
                r = subprocess.run([str(config.tenon), "update", "shop/ops", app.at.name + "/next.wasm"], capture_output=True, timeout=120, text=True)
                check(r.returncode == 0, (r.returncode, r.stderr))
                check(_outcome(server, "/second") == "ok", "the version that is in force")
                waiting.join()
                check(_outcome(server, "/second") == "ok" and _ended(server, "/wait", 5) == ["ok"] * 5, server.log_text()[-2000:])
        finally:
            del os.environ["TENON_CTL"], os.environ["TENON_STATE"]


def a_component_without_async_exports_is_refused():
    with _App({"begun": lambda c: c.call("begun")}, provider=HELLO.read_bytes()) as app:
        r = subprocess.run([str(config.tenon), "up", app.at.name, "--addr", "127.0.0.1:0"], capture_output=True, timeout=60, text=True)
        check(r.returncode == 4 and "async exports" in r.stderr, (r.returncode, r.stderr))

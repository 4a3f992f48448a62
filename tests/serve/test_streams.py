"""Streams and futures over a link, between components in stores of their own: stream_ops.wat gives and takes them, stream_mid.wat calls it, requests come to that."""
import os, re, subprocess, tempfile
from pathlib import Path

from assemble import I32, U32, Component, const, handler, name, u
import chaos3
from front import ask, where
from harness import TOP, Many, Server, check, config
from test_many_calls import _func, _outcome, _until

OPS, GO = "test:pipe/ops@1.0.0", "test:pipe/go@1.0.0"
FILES = TOP / "tests/serve/files"
(COUNT, SUM, MORE, SOME, TRAP, TEXTS, BAD, LATER, LEAVES, CANCELS, CHAIN, SLOW, NEVER, BOOM, ASKS, HELD, SPIN, PRINTS, INPUT, PASSES, LONGS, HEAPS, OWED,
    SLEEPS) = range(24)
NE = b"\x47"
MANY = 'policy = "concurrent"\nconcurrency = 32\n'


def _caller(interface, label, params, args, want, is_async, result=U32):
    """Answers a request by one call; well where it gives `want`."""
    c = Component()
    m = c.interface(interface)
    t = m.type(_func(params, result if result == U32 else m.type(result), is_async))
    m.decls.append(b"\x04\0" + name(label) + b"\x01" + t)
    m.funcs[label] = 0
    c.lowered.append((m, label, ([I32] * len(params), [I32])))
    e = c.interface("wasi:cli/exit@0.2.0")
    e.func("exit", [("status", e.result())], None, ([I32], []))
    h = c.interface("wasi:http/types@0.2.0")
    h.resource("incoming-request")
    h.resource("response-outparam")
    body = b"".join(const(a) for a in args) + c.call(label) + const(want) + NE + c.call("exit")
    c.code("handle", ([I32, I32], []), [], body, handler(c, h), "wasi:http/incoming-handler@0.2.0")
    return c.assemble()


def _goes(kind, n, want):
    return _caller(GO, "go", [("kind", U32), ("n", U32)], [kind, n], want, True)


def _tells(label, want):
    return _caller(OPS, label, [], [], want, False)


class _App:
    """Routes, each a component of bytes; `ops` and `mid` behind them."""

    def __init__(self, routes, ops=MANY, mid=MANY, ops_file=FILES / "stream_ops.wasm", mid_file=FILES / "stream_mid.wasm", more=""):
        self.at = tempfile.TemporaryDirectory()
        self.top = Path(self.at.name)
        (self.top / "ops.wasm").write_bytes(ops_file.read_bytes())
        (self.top / "mid.wasm").write_bytes(mid_file.read_bytes())
        text = (f'tenon = 1\n[app]\nname = "pipe"\n[component.ops]\nsource = "ops.wasm"\n{ops}[component.mid]\nsource = "mid.wasm"\nlinks = {{ "{OPS}" = "ops" }}\n{mid}'
            '[link.ops]\ntype = "component"\ncomponent = "ops"\n[link.mid]\ntype = "component"\ncomponent = "mid"\n')
        for label, component in routes.items():
            (self.top / f"{label}.wasm").write_bytes(component)
            interface, link = (GO, "mid") if GO.encode() in component else (OPS, "ops")
            text += f'[component.{label}]\nsource = "{label}.wasm"\nlinks = {{ "{interface}" = "{link}" }}\n[[trigger.http]]\nroute = "/{label}/..."\ncomponent = "{label}"\n'
        (self.top / "tenon.toml").write_text(text + more)

    def up(self, *flags, shards=1):
        return Server(self.at.name, *flags, shards=shards, command="up")

    def refused(self):
        r = subprocess.run([str(config.tenon), "up", self.at.name, "--addr", "127.0.0.1:0"], capture_output=True, timeout=120, text=True)
        return r.returncode, r.stderr

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.at.cleanup()


def _all_well(server, labels):
    for label in labels:
        outcome = _outcome(server, f"/{label}")
        check(outcome == "ok", f"{label}: {outcome}: {server.log_text()[-2000:]}")


def _sum(n):
    return sum(k * 7 & 255 for k in range(n))


def bytes_texts_and_futures_pass_both_ways():
    routes = {"count": _goes(COUNT, 1000000, 1000000), "nothing": _goes(COUNT, 0, 0), "sum": _goes(SUM, 300000, _sum(300000)), "more": _goes(MORE, 5000, 5000),
        "texts": _goes(TEXTS, 500, 500), "later": _goes(LATER, 100, 51), "now": _goes(LATER, 0, 51), "asks": _goes(ASKS, 1000, 1000)}
    alone = 'policy = "concurrent"\nconcurrency = 1\n'  # these guests have one buffer each
    with _App(routes, alone, alone) as app, app.up() as server:
        _all_well(server, routes)
        answers = Many([lambda label=label: _outcome(server, f"/{label}") for label in list(routes) * 8]).join()
        check(set(answers) == {"ok"}, (answers, server.log_text()[-2000:]))


def either_side_drops_or_cancels_and_the_other_is_told():
    routes = {"some": _goes(SOME, 1000000, 100), "leaves": _goes(LEAVES, 10, 1010), "cancels": _goes(CANCELS, 0, 30 << 4 | 2), "trap": _goes(TRAP, 1000000, 0),
        "dropped": _tells("dropped", 1), "again": _tells("dropped", 2), "ended": _tells("ended", 1), "count": _goes(COUNT, 200000, 200000)}
    with _App(routes) as app, app.up() as server:
        _all_well(server, ["some", "dropped", "ended", "leaves", "cancels"])
        check(_outcome(server, "/trap") == "trap", "its caller's caller traps")
        _until(server, "/again")
        _all_well(server, ["count"])


def a_stream_goes_on_over_further_links_and_to_the_host():
    routes = {"chain": _goes(CHAIN, 300000, _sum(300000)), "prints": _goes(PRINTS, 60000, 0), "input": _goes(INPUT, 0, 0), "passes": _goes(PASSES, 0, 0)}
    with _App(routes) as app, app.up() as server:
        _all_well(server, routes)
        check(server.log_text().count('"stream":"stdout"') > 100, "what was printed is not in the log: " + server.log_text()[-2000:])


def a_giver_that_ends_ends_its_streams():
    routes = {"boom": _goes(BOOM, 100000, 100000), "spin": _goes(SPIN, 100000, 100000), "bad": _goes(BAD, 0, 1), "count": _goes(COUNT, 200000, 200000)}
    with _App(routes, MANY + 'limits = { cpu = "300ms" }\n') as app, app.up() as server:
        _all_well(server, ["boom", "count", "spin", "count", "bad"])
        check(server.logged("a stream or future between component ops"), server.log_text()[-2000:])
        _all_well(server, ["count"])


def _with_writes_of_texts_that_are_not_waited_for(component):
    """stream.write of the stream of texts, the one that `bad` calls, has the option async: its task ends while the value waits for a reader."""
    out, at, changed = component[:8], 8, 0
    while at < len(component):
        kind, size, shift, at = component[at], 0, 0, at + 1
        while True:
            byte, at = component[at], at + 1
            size, shift = size | (byte & 0x7f) << shift, shift + 7
            if byte < 0x80:
                break
        body, at = component[at:at + size], at + size
        if kind == 8:  # canon
            writes = [m for m in re.finditer(rb"\x10(.)\x01\x03\0", body)]  # of bytes, of texts, …
            if len(writes) > 1:
                m, changed = writes[1], changed + 1
                body = body[:m.start()] + b"\x10" + m.group(1) + b"\x02\x03\0\x06" + body[m.end():]
        out += bytes([kind]) + u(len(body)) + body
    check(changed == 1, f"{changed} sections with writes")
    return out


def an_instance_that_rests_ends_by_what_it_gave_and_another_takes_its_place():
    """Nobody's call is in it when its value is taken, and found to be none."""
    routes = {"bad": _goes(BAD, 0, 1), "count": _goes(COUNT, 200000, 200000)}
    for instances in ("", "instances = { max = 1 }\n"):
        with _App(routes, MANY + instances) as app:
            (app.top / "ops.wasm").write_bytes(_with_writes_of_texts_that_are_not_waited_for((FILES / "stream_ops.wasm").read_bytes()))
            with app.up("--admin", "127.0.0.1:0") as server:
                admin = where(re.search(r"http://\S+", server.process.stdout.readline().decode()).group())
                for n in range(1, 6):
                    _all_well(server, ["bad"])
                    check(server.logged("a stream or future between component ops") == n, server.log_text()[-2000:])
                    _all_well(server, ["count"])
                page = ask(admin, "/metrics").body.decode()
                own = [line for line in page.splitlines() if 'component="ops"' in line and line.startswith(("tenon_traps_total", "tenon_inner_calls_total"))]
                check(len(own) == 1 and own[0].endswith(" 10"), f"a call was in it: {own}")


def a_future_that_nobody_writes_any_more_is_an_error_where_it_has_one_or_never_comes_and_ends_nobody_else():
    routes = {"owed": _goes(OWED, 100, 1), "never": _goes(NEVER, 300, 0), "sleeps": _goes(SLEEPS, 3000, 3000), "count": _goes(COUNT, 200000, 200000)}
    with _App(routes, mid=MANY + 'limits = { deadline = "8s" }\n') as app, app.up() as server:
        beside = Many([lambda: _outcome(server, "/sleeps")] * 3 + [lambda: _outcome(server, "/owed"), lambda: _outcome(server, "/never")])
        outcomes = beside.join()
        check(outcomes == ["ok"] * 4 + ["trap"], (outcomes, server.log_text()[-2000:]))
        check(server.logged("that was to write this future has ended") and server.logged("deadline exceeded"), server.log_text()[-2000:])
        _all_well(server, ["count", "owed"])


def values_that_are_large_come_in_pieces_or_not_at_all_and_end_nobody():
    routes = {"longs": _goes(LONGS, 100, 100008), "heap": _goes(HEAPS, 12, 12), "mound": _goes(HEAPS, 40, 0), "dropped": _tells("dropped", 1),
        "count": _goes(COUNT, 200000, 200000)}
    with _App(routes) as app, app.up() as server:
        _all_well(server, ["longs", "heap", "mound"])
        check(server.logged("a value of it is larger than 1 MiB, which is the most over a link"), server.log_text()[-2000:])
        _until(server, "/dropped")
        _all_well(server, ["heap", "count"])


def elements_that_no_link_passes_are_refused_before_anything_runs():
    with _App({"count": _caller(OPS, "count", [("n", U32)], [10], 0, True)}, ops_file=FILES / "stream_wide.wasm") as app:
        code, text = app.refused()
        check(code == 4 and "count of test:pipe/ops@1.0.0 passes a stream or future whose elements have more than 256 KiB each" in text, (code, text))


def a_client_that_leaves_ends_nothing_and_a_deadline_ends_what_is_held():
    routes = {"held": _goes(HELD, 600000, 100), "begun": _tells("begun", 1), "ended": _tells("ended", 1), "count": _goes(COUNT, 200000, 200000)}
    with _App(routes, mid=MANY + 'limits = { deadline = "4s" }\n') as app, app.up() as server:
        held = server.connect()
        held.sock.sendall(b"GET /held HTTP/1.1\r\nHost: a\r\n\r\n")
        _until(server, "/begun")
        held.reset()
        check(server.receipt("/held")["status"] == 499, server.log_text()[-2000:])
        _until(server, "/ended")
        _all_well(server, ["count"])


def a_caller_that_never_reads_takes_the_stream_with_it():
    routes = {"never": _caller(OPS, "count", [("n", U32)], [1000000], 0, True, b"\x66\x01\x7d"), "dropped": _tells("dropped", 1), "ended": _tells("ended", 1)}
    with _App(routes) as app, app.up() as server:
        check(_outcome(server, "/never") == "exit", "it has a stream: a handle that is not 0")
        for label in ("dropped", "ended"):
            _until(server, f"/{label}")


def _change(*words):
    r = subprocess.run([str(config.tenon), *words], capture_output=True, timeout=120, text=True)
    check(r.returncode == 0, (words, r.returncode, r.stderr))


def an_open_stream_goes_on_with_the_version_and_the_link_that_it_began_with():
    routes = {"slow": _goes(SLOW, 5000, 256000), "begun": _tells("begun", 1), "count": _goes(COUNT, 200000, 200000), "first": _tells("version", 1), "second": _tells("version", 2)}
    other = f'[component.more]\nsource = "ops.wasm"\n{MANY}'
    for kind in ("update", "link"):
        with _App(routes, more=other) as app, tempfile.TemporaryDirectory() as ctl:
            os.environ.update(TENON_CTL=ctl, TENON_STATE=ctl + "/state")
            try:
                with app.up() as server:
                    slow = Many([lambda: server.get("/slow")])
                    _until(server, "/begun")
                    (app.top / "next.wasm").write_bytes((FILES / "stream_ops.wasm").read_bytes().replace(b"A\x01\x0b", b"A\x02\x0b", 1))
                    if kind == "update":
                        _change("update", "pipe/ops", str(app.top / "next.wasm"))
                        _all_well(server, ["second"])
                    else:
                        _change("link", "pipe", f"mid:{OPS}", "component:more")
                    _all_well(server, ["count"])
                    slow.join()
                    check(server.outcome("/slow") == "ok", server.log_text()[-2000:])
                    _all_well(server, ["count"])
            finally:
                del os.environ["TENON_CTL"], os.environ["TENON_STATE"]


def streams_want_a_component_for_many_calls():
    with _App({"count": _goes(COUNT, 10, 10)}, ops="") as app:
        code, text = app.refused()
        check(code == 4 and "passes a stream or future" in text and 'policy = "concurrent"' in text, (code, text))


# ---- handles ---------------------------------------------------------------------------------------------------------------------------

ALL, TAKES_BACK, WRITES_BACK, FIRST, ONE, ENDS, NESTED, LADEN = range(8)


def _things(routes, **how):
    return _App(routes, ops_file=FILES / "stream_handles.wasm", mid_file=FILES / "stream_holds.wasm", **how)


def handles_pass_by_streams_and_futures_and_come_back():
    routes = {"all": _goes(ALL, 100, 5050), "takes-back": _goes(TAKES_BACK, 100, 5050), "writes-back": _goes(WRITES_BACK, 100, 5050), "one": _goes(ONE, 42, 42),
        "nested": _goes(NESTED, 20, 210), "closed": _tells("closed", 301)}
    alone = 'policy = "concurrent"\nconcurrency = 1\n'  # this guest has one buffer
    with _things(routes, mid=alone) as app, app.up() as server:
        _all_well(server, ["all", "takes-back", "writes-back", "one", "nested"])
        _until(server, "/closed")
        answers = Many([lambda label=label: _outcome(server, f"/{label}") for label in ["all", "takes-back", "writes-back", "one", "nested"] * 3]).join()
        check(set(answers) == {"ok"}, (answers, server.log_text()[-2000:]))


def what_nobody_takes_of_a_stream_of_handles_is_closed():
    routes = {"first": _goes(FIRST, 50, 6), "ends": _goes(ENDS, 50, 0), "closed": _tells("closed", 50), "all": _goes(ALL, 20, 210), "again": _tells("closed", 120)}
    with _things(routes) as app, app.up() as server:
        _all_well(server, ["first"])
        _until(server, "/closed")
        check(_outcome(server, "/ends") == "trap", "it traps with what came and it was not told of")
        _all_well(server, ["all"])
        _until(server, "/again")


def a_stream_of_handles_ends_where_there_is_no_room_for_them():
    routes = {"all": _goes(ALL, 60, 1830), "ends": _goes(ENDS, 60, 0), "some": _goes(ALL, 10, 55)}
    with _things(routes, mid=MANY + 'limits = { handles = 30 }\n') as app, app.up() as server:
        _all_well(server, ["all", "some"])
        check(_outcome(server, "/ends") == "trap" and server.logged("too many resource handles"), server.log_text()[-2000:])
        _all_well(server, ["some", "all"])


def handles_that_come_with_much_beside_them_come_all_the_same():
    routes = {"laden": _goes(LADEN, 9, 45), "all": _goes(ALL, 10, 55), "closed": _tells("closed", 19)}
    with _things(routes) as app, app.up() as server:
        _all_well(server, ["laden", "all"])
        _until(server, "/closed")


def the_handles_of_a_value_that_is_too_large_are_still_the_givers():
    """He closes those that did not come, the 13th and the 14th, and his other calls go on."""
    routes = {"laden": _goes(LADEN, 14, 78), "all": _goes(ALL, 10, 55), "closed": _tells("closed", 24), "value": _goes(LADEN, 3, 6)}
    with _things(routes) as app, app.up() as server:
        _all_well(server, ["laden"])
        check(server.logged("a value of it is larger than 1 MiB, which is the most over a link"), server.log_text()[-2000:])
        _all_well(server, ["all"])
        _until(server, "/closed")
        _all_well(server, ["value"])
        check("unknown handle" not in server.log_text(), server.log_text()[-2000:])


def a_handle_of_another_instance_ends_the_stream_that_has_it():
    routes = {"takes-back": _goes(TAKES_BACK, 10, 0), "one": _goes(ONE, 7, 7)}
    with _things(routes, ops='policy = "concurrent"\nconcurrency = 1\n') as app, app.up() as server:
        _all_well(server, ["takes-back"])
        check(server.logged("it has a handle of another instance than the one that it goes to"), server.log_text()[-2000:])
        _all_well(server, ["one"])


def _heads(routes, **how):
    return _App(routes, ops_file=FILES / "heads_ops.wasm", mid_file=FILES / "heads_mid.wasm", **how)


def handles_of_what_a_component_imports_pass_by_streams_and_come_back():
    """Fields of WASI: objects of the host's, which go from instance to instance. `left`: so many were not taken."""
    routes = {"read": _goes(0, 101, 50), "first": _goes(1, 20, 0), "back": _goes(2, 101, 50), "left": _tells("left", 19)}
    with _heads(routes, mid='policy = "concurrent"\nconcurrency = 1\n') as app, app.up() as server:
        _all_well(server, ["read", "back", "first"])
        _until(server, "/left")
        answers = Many([lambda label=label: _outcome(server, f"/{label}") for label in ["read", "back"] * 6]).join()
        check(set(answers) == {"ok"}, (answers, server.log_text()[-2000:]))


def a_stream_of_what_a_component_imports_ends_where_there_is_no_room_for_it():
    routes = {"some": _goes(0, 20, 10), "fewer": _goes(3, 60, 1), "back": _goes(2, 60, 30)}
    with _heads(routes, mid=MANY + 'limits = { handles = 30 }\n') as app, app.up() as server:
        _all_well(server, ["some", "fewer", "back", "some"])
        check(server.logged("too many resource handles"), server.log_text()[-2000:])
    with _App({"count": _caller(OPS, "count", [("n", U32)], [10], 0, True)}, ops_file=FILES / "heads_whole.wasm") as app:
        code, text = app.refused()
        check(code == 4 and "passes a stream or future of handles of what the component imports itself and has streams of its own" in text, (code, text))


def what_was_lent_to_a_call_that_was_cancelled_stays_open_while_the_call_goes_on():
    """The caller drops it as soon as it has cancelled: it is closed when the call has returned, though other calls begin meanwhile."""
    routes = {"lends": _goes(0, 3000, 0), "seen": _tells("seen", 1), "closed": _tells("closed", 1)}
    with _App(routes, ops_file=FILES / "lent_ops.wasm", mid_file=FILES / "lent_mid.wasm") as app, app.up() as server:
        _all_well(server, ["lends"])
        _until(server, "/seen")
        _until(server, "/closed")


def _in_half_a_second(app):
    manifest = app.top / "tenon.toml"
    manifest.write_text(manifest.read_text().replace('component = "ops"\n', 'component = "ops"\ndeadline = "500ms"\n', 1))
    return app


def what_was_given_to_a_call_that_never_started_is_closed():
    """It is late for its link while another call keeps it out: cancelled, it comes in no more."""
    routes = {"stays": _caller(OPS, "stay", [("ms", U32)], [6000], 1, True), "begun": _tells("begun", 1), "gives": _goes(1, 0, 0), "given": _tells("given", 0), "closed": _tells("closed", 1)}
    with _App(routes, ops_file=FILES / "lent_ops.wasm", mid_file=FILES / "lent_mid.wasm") as app, _in_half_a_second(app).up() as server:
        check(_outcome(server, "/stays") == "trap", "it goes on without its caller: " + server.log_text()[-2000:])
        _until(server, "/begun")
        outcome = _outcome(server, "/gives")
        check(outcome == "trap" and server.logged("the deadline of the link is over"), f"{outcome}: {server.log_text()[-2000:]}")
        _until(server, "/closed")
        _all_well(server, ["given"])


def a_call_that_is_late_for_its_link_is_cancelled_where_it_waits():
    """It has the one place there is, and would wait for ten minutes: those after it have the place all the same."""
    routes = {"late": _caller(OPS, "linger", [("ms", U32)], [600000], 1, True), "cancelled": _tells("cancelled", 1), "soon": _caller(OPS, "linger", [("ms", U32)], [1], 1, True)}
    one = 'policy = "concurrent"\nconcurrency = 1\ninstances = { max = 1 }\nlimits = { deadline = "20m" }\n'
    with _App(routes, one, ops_file=FILES / "lent_ops.wasm", mid_file=FILES / "lent_mid.wasm") as app:
        with _in_half_a_second(app).up() as server:
            check(server.get("/late").status == 500 and server.logged("the deadline of the link is over"), server.log_text()[-2000:])
            _until(server, "/cancelled")
            _until(server, "/soon")
            check("poisoned" not in server.log_text() and "deadline exceeded" not in server.log_text(), server.log_text()[-2000:])


def handles_stay_whole_while_their_link_and_versions_change():
    """What goes back to them may come to another instance, if the link has changed in between: it ends there, and nobody else."""
    routes = {"all": _goes(ALL, 40, 820), "one": _goes(ONE, 42, 42), "nested": _goes(NESTED, 20, 210), "laden": _goes(LADEN, 5, 15), "first": _goes(FIRST, 50, 6),
        "takes-back": _goes(TAKES_BACK, 40, 820), "writes-back": _goes(WRITES_BACK, 40, 820), "ends": _goes(ENDS, 50, 0)}
    may = {"ends": {"trap"}, "takes-back": {"ok", "exit"}, "writes-back": {"ok", "exit", "trap"}}
    alone, other = 'policy = "concurrent"\nconcurrency = 1\n', f'[component.more]\nsource = "ops.wasm"\n{MANY}'
    with _things(routes, mid=alone, more=other) as app, tempfile.TemporaryDirectory() as ctl:
        os.environ.update(TENON_CTL=ctl, TENON_STATE=ctl + "/state")
        try:
            with app.up(shards=2) as server:
                over = []

                def ask(label):
                    seen = set()
                    while not over:
                        seen.add(_outcome(server, f"/{label}"))
                    return label, seen
                load = Many([lambda label=label: ask(label) for label in routes])
                try:
                    for k in range(12):
                        (app.top / "next.wasm").write_bytes((FILES / "stream_handles.wasm").read_bytes() + b"\0\3\1n" + bytes([k]))
                        _change("link", "pipe", f"mid:{OPS}", f"component:{('more', 'ops')[k % 2]}")
                        _change("update", f"pipe/{('ops', 'more')[k // 2 % 2]}", str(app.top / "next.wasm"))
                finally:
                    over.append(True)
                for label, seen in load.join():
                    check(seen <= may.get(label, {"ok"}), (label, seen, server.log_text()[-2000:]))
                _all_well(server, ["all", "takes-back", "laden"])
        finally:
            del os.environ["TENON_CTL"], os.environ["TENON_STATE"]


def whatever_components_pass_each_other_by_streams_and_futures_the_host_is_there_afterwards():
    ends = [chaos3.linked(seed) for seed in (*range(1, 16), 5121)]
    check(200 in ends and 500 in ends, f"{ends}")

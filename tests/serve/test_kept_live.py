"""A component becomes one that is kept while it runs, and one that isn't: behind a route and as what others call, under load. No request fails, and what runs ends as it began."""
import select, time

from front import Folder
from harness import MANY, MISBEHAVE, Connection, by_hand, check, config
from assemble import DROP, const, get, put
from test_apply import Host
from test_between import _App as Between
from test_components import NE, OR, _differs
from test_many_calls import _App as Many
from test_kept_far import _App, _asks, _live, _Load
from test_kept_routes import OTHER, _Alternating, _component, _Http2, _route
from test_triggers import _command

POLICIES = ("keep", "fresh", "keep", "reuse", "keep", "fresh")
PATHS = _route("/count/...", "count") + _route("/", "count")


def _counts(host, n=12):
    """What the component counts in its instance, each time over a connection of its own: to whichever thread."""
    def one():
        with Connection(host.at[0]) as c:
            a = c.get("/count/y")
            check(a.status == 200 and not a.aborted, f"{a.status} {a.error}")
            return next(int(v) for k, v in a.headers if k.lower() == "x-count")
    return [one() for _ in range(n)]


def _is(host, policy):
    counts = _counts(host)
    if policy == "keep":
        check(counts == sorted(set(counts)), f"not one instance: {counts}")
    elif policy == "fresh":
        check(counts == [1] * len(counts), f"not a fresh one each: {counts}")


def _changes(shards, load_of, policies=POLICIES):
    with Folder() as top, Host(top, shards=shards) as host:
        app = host.write("shop", OTHER + _component("count", MANY) + PATHS)
        host.start(app, flags=("--addr", "127.0.0.1:0", *config.way.flags))
        with load_of(host.at[0]) as load:
            for i, policy in enumerate(policies):
                time.sleep(0.3)
                if i % 2:
                    host.tenon("scale", "shop/count", "--policy", policy)
                else:
                    host.write("shop", OTHER + _component("count", MANY, policy) + PATHS)
                    host.tenon("apply", app)
                _is(host, policy)
            host.tenon("undo", "shop")
            _is(host, policies[-2])
            time.sleep(0.3)
        check(not load.failed, f"{shards} threads: {len(load.failed)} failed: {load.failed[:3]} {(host.top / 'stderr').read_text()[-1500:]}")
        check(len(load.counts) > 20 and load.fresh > 20, f"{len(load.counts)} {load.fresh}")


def the_policy_of_what_a_route_leads_to_changes_under_load():
    by_hand()
    for shards in (1, 3):
        _changes(shards, _Alternating)


def it_changes_under_a_load_of_http2():
    """Those that other threads have are told to come anew."""
    by_hand()
    for shards in (1, 3):
        _changes(shards, _Http2)


def a_version_that_failed_makes_nobody_wait_for_the_next_one():
    """After 8 traps in a row its instance came 6.4 s later: what mends it is there at once."""
    by_hand()
    for shards in (1, 2):
        with Folder() as top, Host(top, shards=shards) as host:
            text = '[component.m]\nsource = "m.wasm"\npolicy = "keep"\nlimits = {{ deadline = "5s" }}\nenv = {{ A = "{}" }}\n' + _route("/...", "m")
            app = host.write("shop", text.format(1), m=MISBEHAVE)
            host.start(app)
            for n in range(8):
                with Connection(host.at[0]) as c:
                    check(c.get("/trap").status == 500, f"no trap after {n}")
            host.write("shop", text.format(2))
            host.tenon("apply", app)
            with Connection(host.at[0]) as c:
                check(c.get("/").status == 200, "it waits for that of before")


def what_runs_ends_as_it_began_and_holds_up_nobody():
    """Requests of the version before go on in their instances, on each thread; the one that is kept is there at once. Who waits for it when it isn't any more is answered."""
    by_hand()
    with Folder() as top, Host(top, shards=3) as host:
        app = host.write("shop", _component("count", MANY, "reuse") + PATHS)
        host.start(app, flags=("--addr", "127.0.0.1:0", *config.way.flags))
        held = [Connection(host.at[0], timeout=60) for _ in range(12)]
        for c in held:
            c.ask("/count/wait=8000")
        time.sleep(0.3)
        host.tenon("scale", "shop/count", "--policy", "keep")
        _is(host, "keep")
        check(len(select.select([c.sock for c in held], [], [], 0)[0]) < len(held), "it waited for those of before")
        answers = [c.answer() for c in held]
        check(all(a.status == 200 for a in answers), [a.status for a in answers])
        for c in held:
            c.ask("/count/wait=700")  # in the one instance, one after the other
        time.sleep(0.3)
        host.tenon("scale", "shop/count", "--policy", "fresh")
        _is(host, "fresh")
        answers = [c.answer() for c in held]
        check(all(a.status == 200 for a in answers), [a.status for a in answers])
        for c in held:
            c.close()


BODIES = {"count": lambda c: c.call("count") + DROP + const(0), "one": lambda c: c.call("count") + const(1) + NE,
    "thing": lambda c: const(41) + c.call("[constructor]thing") + put(2) + c.call("count") + DROP + _differs(c, get(2) + c.call("[method]thing.value"), 41) + get(2) +
        c.call("[method]thing.value") + const(41) + NE + OR}


def the_policy_of_what_others_call_changes_under_load():
    """Roots that have objects of the version before ask those until they end."""
    for shards in (1, 3):
        with _App(BODIES, more="") as app:
            def body(server, tenon):
                load = _Load(server, ("count", "thing"), 4)
                for policy in POLICIES:
                    time.sleep(0.3)
                    tenon("scale", "shop/ops", "--policy", policy)
                    if policy == "fresh":
                        check(_asks(server, "one", 12, 4) == ["ok"] * 12, "not a fresh one each: " + server.log_text()[-1500:])
                    elif policy == "keep":
                        check(_asks(server, "one", 12, 4).count("ok") <= 1, "not one instance")
                time.sleep(0.3)
                check(load.stop() == [] and load.n > 100, (load.bad[:5], load.n))
                _only_one_exits(server)
            _live(app, body, shards)


def what_is_for_many_calls_at_once_becomes_one_that_is_kept_and_back_under_load():
    """Who waits for the one instance enters one of the others."""
    for shards in (1, 3):
        with Many({"wait": lambda c: const(5) + c.call("wait") + DROP + const(0)}) as app:
            def body(server, tenon):
                load = _Load(server, ("wait",), 8)
                for policy in ("keep", "concurrent") * 4 + ("keep", "fresh"):
                    time.sleep(0.3)
                    tenon("scale", "shop/ops", "--policy", policy)
                time.sleep(0.3)
                check(load.stop() == [] and load.n > 100, (load.bad[:5], load.n))
                _only_one_exits(server)
            _live(app, body, shards)


def _only_one_exits(server):
    """Those of `one` exit by an error where it isn't the first call; nothing else fails."""
    bad = [o for o in server.objects() if "receipt" in o and o["receipt"]["outcome"] in ("trap", "exit", "refused", "deadline exceeded") and not o["request"]["path"].startswith("/one/")]
    check(not bad, bad[:3])


def a_component_with_a_trigger_of_another_thread_becomes_none_that_is_kept():
    cron = '[[trigger.cron]]\nid = "tick"\nschedule = "0 0 1 1 *"\ncomponent = "runs"\n'
    with Folder() as top, Host(top, shards=3) as host:
        (host.top / "runs.wasm").write_bytes(_command(b""))
        text = OTHER + _component("runs", host.top / "runs.wasm") + cron
        host.start(host.write("shop", text))
        said = host.tenon("scale", "shop/runs", "--policy", "keep", status=6)
        check("its trigger tick runs on another thread" in said, said)


def what_passes_objects_of_others_becomes_none_that_is_kept_on_more_than_one_thread():
    with Between() as app:
        class It:
            folder, up = app.at.name, lambda self, shards: app.up(shards=shards)
        for shards in (1, 2):
            def body(server, tenon):
                if shards == 1:
                    tenon("scale", "shop/between", "--policy", "keep")
                    return
                try:
                    tenon("scale", "shop/between", "--policy", "keep")
                except AssertionError as e:
                    check("passes objects of others" in str(e) and "--shards 1" in str(e), e)
                else:
                    raise AssertionError("it is not refused")
            _live(It(), body, shards)

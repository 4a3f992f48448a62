"""tenon apply of a manifest in which a link leads to another store: refused with what both hold, or moved with it or without, under load, as one release."""
import json, signal, subprocess, sys
from concurrent.futures import ThreadPoolExecutor

from front import Clients, Folder, ask
from harness import HELLO, TOP, Skip, check, config, shared_guest
from test_apply import Host, _component, _count, _counting
from writing import until

sys.path.append(str(TOP / "tests/real"))
import servers  # noqa: E402


def _counter(top, host, *, link='path = "a.db"'):
    app = host.write("shop", _counting(link), a=shared_guest("kv") / "kv-counter-c.wasm")
    host.start(app)
    return app


def _redis():
    if why := servers.Redis.lacks():
        raise Skip(why)
    return servers.Redis()


class _Increments(Clients):
    """Clients that increment all the time; `.n`: acknowledged. None may fail."""

    def __init__(self, host, n=4):
        super().__init__(n)
        self.host, self.n = host, 0

    def one(self, i):
        a = ask(self.host.at[0], "/incr/n", "POST", timeout=60)
        with self.lock:
            self.n += a.status == 200
        if a.status != 200:
            self.failed.append((a.status, bytes(a.body)))

    def __exit__(self, kind, *_):
        super().__exit__(kind)
        check(kind or (not self.failed and self.n > 0), f"{self.failed[:3]} beside {self.n}")


def another_store_moves_with_what_is_in_it_under_load():
    with Folder() as top, Host(top) as host:
        app = _counter(top, host)
        with _Increments(host) as load:
            host.write("shop", _counting('path = "b.db"'))
            for more in ((), ("--dry-run",)):
                said = host.tenon("apply", app, *more, status=6)
                check("a.db holds 1 keys" in said and "b.db holds 0" in said and "--copy" in said and "--no-copy" in said, said)
            check("holds" not in host.tenon("apply", app, "--copy", "--dry-run") and len(host.history("shop")) == 1, "a dry run")
            for to, more in (("b", ""), ("a", '[variables]\nx = { default = "1" }\n'), ("b", "")):
                host.write("shop", _counting(f'path = "{to}.db"', more))
                said = host.tenon("apply", app, "--copy")
                check(f"{to}.db: " in said and "keys were copied" in said and "is in force" in said, said)
            check(len(host.history("shop")) == 4, "each is one release")
            check("more than @store" in host.tenon("link", "@store", "--undo", status=6), "what else came with it")
            host.tenon("undo")  # a copy back
        links = host.json("/v1/apps/shop/links")["links"]
        check(links[0]["target"].endswith("a.db") and links[0]["epoch"] == 5, links)
        _count(host, load.n + 1)
        host.kill()
        host.start()
        _count(host, load.n + 2)


def another_store_may_be_left_as_it_is():
    with Folder() as top, Host(top) as host:
        app = _counter(top, host)
        _count(host, 3)
        host.write("shop", _counting('path = "b.db"'))
        check("copied" not in host.tenon("apply", app, "--no-copy"), "nothing is copied")
        _count(host, 1)
        said = host.tenon("apply", app, "--copy", "--no-copy", status=2)
        check("--copy or --no-copy" in said, said)
        host.write("shop", _counting())
        said = host.tenon("apply", app, "--copy", status=6)
        check("holds 1 keys" in said and "--replace" in said, said)
        host.tenon("undo")
        _count(host, 4)
        host.write("shop", _counting('path = "b.db"'))
        host.tenon("apply", app, "--copy", "--replace")
        _count(host, 5)
        host.tenon("undo", "--discard")
        _count(host, 5)


def two_stores_move_one_at_a_time():
    with Folder() as top, Host(top) as host:
        two = '[component.other]\nsource = "a.wasm"\nlinks = { "wasi:keyvalue" = "more" }\n[link.more]\ntype = "file"\npath = "%s.db"\n'
        app = host.write("shop", _counting(more=two % "c"), a=shared_guest("kv") / "kv-counter-c.wasm")
        host.start(app)
        host.write("shop", _counting('path = "b.db"', two % "d"))
        said = host.tenon("apply", app, "--copy", status=6)
        check("one at a time" in said and "@store" in said and "@more" in said, said)
        host.write("shop", _counting(more=two % "a"))  # one store for both from here on
        host.tenon("apply", app, "--no-copy")
        host.write("shop", _counting('path = "b.db"', two % "b"))
        _count(host, 1)
        host.tenon("apply", app, "--copy")
        _count(host, 2)


def a_kill_at_each_step_loses_nothing():
    for step in ("load", "open", "probe", "note", "copy", "rounds", "hold", "publish", "release", "drain", "take-up"):
        with Folder() as top, Host(top) as host:
            app = _counter(top, host)
            _count(host, 3)
            host.kill()
            host.start(break_at=step)
            host.write("shop", _counting('path = "b.db"'))
            subprocess.run([str(config.tenon), "apply", str(app), "--copy"], env=host.env, capture_output=True, timeout=60)
            check(host.process.wait(60) == -signal.SIGKILL, step)
            is_new = step in ("publish", "release", "drain", "take-up")
            host.write("shop", _counting('path = "b.db"' if is_new else 'path = "a.db"'))
            host.kill()
            host.start()
            check(len(host.history("shop")) == 1 + is_new, f"{step}: {host.history('shop')}")
            _count(host, 4)
            host.write("shop", _counting('path = "a.db"' if is_new else 'path = "b.db"'))
            host.tenon("apply", app, "--copy")
            _count(host, 5)


def an_undo_of_an_undo_brings_back_all_that_came_with_the_store():
    with Folder() as top, Host(top) as host:
        app = _counter(top, host)
        _count(host, 3)
        host.write("shop", _counting('path = "b.db"', '[variables]\nx = { default = "1" }\n'))
        host.tenon("apply", app, "--copy")
        for again, to in enumerate("abab"):
            _count(host, 4 + again)
            host.tenon("undo")
            said = host.tenon("status", "shop", "--manifest")
            check(f"{to}.db" in said and ("variables" in said) == (to == "b"), f"{again}: {said}")
            if again == 1:
                host.kill()
                host.start()
        _count(host, 8)
        check("more than @store" in host.tenon("link", "@store", "--undo", status=6), "what else came with it")


def another_way_to_a_store_is_no_other_store():
    with Folder() as top, _redis() as redis, Host(top) as host:
        def url(u):
            more = '[variables]\nword = { secret = true, default = "any" }\n' if "word" in u else ""
            return _counting(f'url = "{u}"', more).replace('"file"', '"redis"')

        check(redis.ask("ACL", "SETUSER", "b", "on", "nopass", "~*", "+@all") == "OK", "a user")
        at = f"127.0.0.1:{redis.port}"
        app = host.write("shop", url(f"redis://{at}"), a=shared_guest("kv") / "kv-counter-c.wasm")
        host.start(app)
        _count(host, 3)
        for n, other in enumerate((f"redis://{at}/0", f"redis://default:${{word}}@{at}/0", f"redis://b:${{word}}@{at}")):
            host.write("shop", url(other))
            host.tenon("apply", app)
            _count(host, 4 + n)
        host.write("shop", url(f"redis://b:${{word}}@{at}/1"))
        said = host.tenon("apply", app, status=6)
        check("leads to another store" in said, said)
        host.write("shop", url(f"redis://{at}"))
        host.tenon("apply", app)
        _count(host, 7)
        host.tenon("stop", "shop")
        host.write("shop", url(f"redis://{at}/0"))
        host.tenon("apply", app)
        _count(host, 8)


def who_waits_for_his_turn_hears_that_he_is_to_end():
    with Folder() as top, _redis() as redis, Host(top) as host:
        lines = _component("api", "a", "/...")
        front = host.write("front", lines, a=HELLO)
        shop = host.write("shop", lines.replace("/...", "/shop/..."), a=HELLO)
        host.start(front, shop)
        redis.freeze()
        host.write("front", lines + f'[link.store]\ntype = "redis"\nurl = "redis://127.0.0.1:{redis.port}"\n')
        host.write("shop", lines.replace("/...", "/more/..."))

        def load(name, at):
            op = json.loads(ask(host.socket, f"/v1/apps/{name}/apply", "POST", body=json.dumps({"path": str(at)})).body)["operation"]
            check(until(lambda: host.json(f"/v1/operations/{op}")["step"] == "load"), host.json(f"/v1/operations/{op}"))
            return op

        first, second = load("front", front), load("shop", shop)
        check(host.json(f"/v1/operations/{first}")["busy"], host.json(f"/v1/operations/{first}"))
        ask(host.socket, f"/v1/operations/{second}", "DELETE")
        over = host.json(f"/v1/operations/{second}?wait=30s")
        check(over["state"] == "cancelled" and "before load" in over["error"]["message"], over)
        check(host.json(f"/v1/operations/{first}")["busy"], "it was not waited for")
        redis.thaw()


def a_store_that_moves_has_the_connections_that_its_manifest_says_by_then():
    n = 200  # a connection that has 128 calls makes another one come, if there may be one
    with Folder() as top, _redis() as redis, Host(top, shards=1) as host:
        def link(db, pool):
            return _counting(f'url = "redis://127.0.0.1:{redis.port}/{db}"\npool = {pool}\ndeadline = "50s"').replace('"file"', '"redis"')

        def in_flight():
            row = host.json("/v1/apps/shop/links")["links"][0]
            return row["in_flight"] + row["waiting"]

        def connections(db):
            check(ask(host.at[0], "/incr/n", "POST").status == 200, "one is there")
            redis.freeze()
            with ThreadPoolExecutor(n) as clients:
                asked = [clients.submit(ask, host.at[0], "/incr/n", "POST", timeout=60) for _ in range(n)]
                check(until(lambda: in_flight() == n, 40), in_flight())
                redis.thaw()
                check(all(a.result().status == 200 for a in asked), "answers")
            return sum(f" db={db} " in line for line in redis.ask("CLIENT", "LIST").splitlines())

        app = host.write("shop", link(1, 1), a=shared_guest("kv") / "kv-counter-c.wasm")
        host.start(app)
        check(connections(1) == 1, redis.ask("CLIENT", "LIST"))
        host.write("shop", link(1, 2))
        check("pool: 1 -> 2" in host.tenon("apply", app) and connections(1) == 2, f"it stays where it is: {redis.ask('CLIENT', 'LIST')}")
        host.tenon("undo")
        redis.ask("CLIENT", "KILL", "TYPE", "normal")
        check(connections(1) == 1, f"one again: {redis.ask('CLIENT', 'LIST')}")
        host.write("shop", link(1, 1) + f'[link.other]\ntype = "redis"\nurl = "redis://127.0.0.1:{redis.port}/1"\npool = 2\n')
        host.tenon("apply", app)
        check(connections(1) == 2, f"of two links of one store the larger number counts: {redis.ask('CLIENT', 'LIST')}")
        host.write("shop", link(2, 2))
        host.tenon("apply", app, "--no-copy")
        check(connections(2) == 2, redis.ask("CLIENT", "LIST"))


def what_leads_a_link_elsewhere_says_what_is_to_be_typed_before():
    with Folder() as top, _redis() as redis, Host(top) as host:
        at = f"redis://127.0.0.1:{redis.port}"
        text = _counting(f'url = "{at}/${{db}}"', '[variables]\ndb = { default = "1" }\n').replace('"file"', '"redis"')
        app = host.write("shop", text, a=shared_guest("kv") / "kv-counter-c.wasm")
        host.start(app)
        _count(host, 3)
        for more in ((), ("--dry-run",)):
            said = host.tenon("set", "db=2", *more, status=6)
            check(f"tenon link shop @store {at}/2" in said and "--copy" in said and "apply" not in said, said)
        host.tenon("link", "shop", "@store", f"{at}/2", "--copy")
        host.tenon("set", "db=2")
        _count(host, 4)
        said = host.tenon("undo", "--to", "1", status=6)
        check(f"tenon link shop @store {at}/1" in said and "apply" not in said, said)
        host.write("shop", text.replace('"1"', '"3"'))
        said = host.tenon("apply", app, status=6)
        check("tenon apply PATH --copy" in said and "--no-copy" in said, said)

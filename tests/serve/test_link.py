"""tenon link: a store is changed while it is used. Counts stay exact and nothing fails, through all types of stores; what is changed lasts over a kill at each
step; what can't be changed is refused, and then nothing has changed."""
import json, os, signal, socket, subprocess, sys, threading, time
from pathlib import Path

from front import Clients, Folder, ask, where
from harness import TOP, Skip, breaks, check, config, shared_guest
from writing import until

sys.path.insert(0, str(TOP / "tests/real"))
import servers  # noqa: E402

STEPS = ("open", "check", "probe", "note", "copy", "rounds", "hold", "publish", "release", "drain")
PLAIN_STEPS = ("open", "check", "probe", "hold", "publish", "release")
BEFORE_RECORD = STEPS[:7]
PATIENT = ("--max-pause", "12s")  # beside a load: a busy machine takes long for what must be done meanwhile


class _App:
    """`tenon up` of the counter, in a folder of its own; `link`: its table."""

    def __init__(self, top, link='type = "memory"', more="", shards=2):
        self.top, self.shards, self.process, self.urls = Path(top), shards, None, []
        self.env = {**os.environ, "TENON_CTL": str(self.top / "ctl"), "TENON_STATE": str(self.top / "state")}
        self.write(link, more)

    def write(self, link, more=""):
        guest = shared_guest("kv") / "kv-counter-c.wasm"
        (self.top / "tenon.toml").write_text(f'tenon = 1\n[app]\nname = "counter"\n[component.c]\nsource = "{guest}"\nlinks = {{ "wasi:keyvalue" = "store" }}\n[link.store]\n{link}\n'
            f'[[trigger.http]]\nroute = "/..."\ncomponent = "c"\n{more}')

    def start(self, *flags, status=None, **env):
        self.process = subprocess.Popen([str(breaks() if "TENON_TEST_BREAK" in env else config.tenon), "up", str(self.top), "--addr", "127.0.0.1:0", "--shards", str(self.shards), *flags], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**self.env, **env}, text=True, start_new_session=True)
        ready = self.process.stdout.readline()
        if status is not None:
            said = self.process.communicate(timeout=60)[1]
            check(self.process.returncode == status and not ready, f"{self.process.returncode} instead of {status}: {ready} {said}")
            return said
        if not ready.startswith("ready "):
            raise AssertionError(f"not ready: {ready} {self.process.communicate(timeout=60)[1]}")
        self.at = where(ready[6:-1])
        return self

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
        if self.process:
            self.process.communicate(timeout=60)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        said = self.process.communicate(timeout=60)[1]
        check(self.process.returncode == 0, f"ended with {self.process.returncode}: {said}")

    def __enter__(self):
        return self if self.process else self.start()

    def __exit__(self, kind, *_):
        self.stop() if kind is None and self.process.poll() is None else self.kill()

    def tenon(self, *args, status=0):
        r = subprocess.run([str(config.tenon), *map(str, args)], capture_output=True, text=True, timeout=120, env=self.env)
        check(r.returncode == status, f"tenon {args}: {r.returncode} instead of {status}: {r.stdout} {r.stderr}")
        return r.stdout if status == 0 else r.stderr

    def link(self, *args, status=0):
        """Of a change that is in force the operation; else what is said."""
        out = self.tenon("--json", "link", "counter", "@store", *args, status=status)
        return json.loads(out.splitlines()[-1]) if status == 0 else out

    def status(self):
        return json.loads(self.tenon("status", "counter", "--json"))

    def target(self):
        return self.status()["links"][0]["target"]

    def operation(self, number=1):
        a = ask(str(self.top / "ctl" / f"{self.process.pid}.sock"), f"/v1/operations/counter-{number}")
        return json.loads(a.body) if a.status == 200 else {}

    def request(self, path, method="GET", **more):
        a = ask(self.at, path, method, **more)
        return a.status, a.body

    def count(self, key="n"):
        status, body = self.request(f"/get/{key}")
        return int(body) if status == 200 else 0

    def incr(self, key="n"):
        status, body = self.request(f"/incr/{key}", "POST")
        check(status == 200, f"{status} {body}")
        return int(body)


class _Load(Clients):
    """So many clients increment one key all the time."""

    def __init__(self, app, clients=16, key="n"):
        super().__init__(clients)
        self.app, self.acknowledged, self.key = app, 0, key

    def one(self, i):
        status, body = self.app.request(f"/incr/{self.key}", "POST")
        with self.lock:
            self.acknowledged += status == 200
        if status != 200:
            self.failed.append((status, body[:200]))

    def __enter__(self):
        super().__enter__()
        while self.acknowledged < len(self.threads) and not self.failed:
            time.sleep(0.01)
        return self


def _stores(top):
    """Targets of each type that can be had here, and the servers to be ended."""
    targets, running = [f"file:{top}/a.db"], []
    for kind, url in ((servers.Redis, "redis://127.0.0.1:{}/0"), (servers.Nats, "nats://127.0.0.1:{}/links")):
        if not kind.lacks():
            running.append(kind().start())
            targets.append(url.format(running[-1].port))
    return targets, running


def the_count_is_exact_through_all_stores_and_nothing_fails():
    with Folder() as top:
        targets, running = _stores(top)
        try:
            with _App(top) as app, _Load(app) as load:
                for target in [*targets, *reversed(targets[:-1]), "memory:last"]:
                    o = app.link(target, "--copy", *PATIENT)
                    check(o["state"] == "done" and app.target() == target, o)
                load.__exit__()
                check(not load.failed, load.failed[:3])
                check(app.count() == load.acknowledged, f"{app.count()} is counted, {load.acknowledged} were acknowledged")
                return f"{load.acknowledged} increments, {len(targets)} types"
        finally:
            for s in running:
                s.__exit__(None, None, None)


def keys_of_a_raw_namespace_go_through_all_stores_and_meet_none_of_ours():
    with Folder() as top:
        targets, running = _stores(top)
        try:
            with _App(top, 'type = "memory"\nnamespace = ""\nbuckets = ["default"]') as app:
                app.incr(), app.incr("marker"), app.incr("marker")
                for target in [*targets, *reversed(targets[:-1]), "memory:last"]:
                    o = app.link(target, "--copy", *PATIENT)
                    check(o["keys"] == 2 and (app.count(), app.count("marker")) == (1, 2), f"{target}: {o}, {app.count()} and {app.count('marker')}")
                if len(targets) > 1 and not servers.Redis.lacks():
                    app.link(targets[1])
                    check(app.request("/get/=tenon/marker")[0] != 200, "what tenon keeps there is no key of a guest")
                return f"{len(targets)} types"
        finally:
            for s in running:
                s.__exit__(None, None, None)


def a_plain_change_starts_with_what_is_there_and_its_undo_goes_back():
    with Folder() as top, _App(top) as app:
        app.incr(), app.incr()
        o = app.link("memory:other")
        check(o["target_keys"] == 0 and o["release"] == 2 and o["epoch"] == 2 and app.count() == 0, o)
        app.incr()
        app.link("--undo")
        check(app.count() == 2 and app.target() == "memory:", app.target())
        check(app.link("--undo")["epoch"] == 4 and app.count() == 1, "an undo is undone")


def the_undo_of_a_copy_takes_along_what_came_since_or_discards_it():
    with Folder() as top, _App(top) as app:
        app.incr()
        app.link("memory:a", "--copy")
        app.incr()
        app.link("--undo")
        check(app.count() == 2, "what came since is there")
        app.link("memory:b", "--copy")
        app.incr(), app.incr("other")
        o = app.link("--undo", "--discard")
        check(app.count() == 2 and app.count("other") == 0 and o["discarded"] == 2, o)


def what_is_in_the_target_is_kept_unless_it_is_to_be_replaced():
    with Folder() as top, _App(top) as app:
        app.link("memory:a")
        app.incr("theirs")
        app.link("memory:b")
        app.incr()
        said = app.link("memory:a", "--copy", status=6)
        check("the target holds" in said and "--replace" in said, said)
        app.link("memory:a", "--copy", "--replace")
        check(app.count() == 1 and app.count("theirs") == 0, "replaced")


def what_a_target_on_nats_holds_is_purged_or_deleted_and_nothing_of_another_app():
    """STREAM.PURGE, in one request; of a stream that may not be purged key by key."""
    if why := servers.Nats.lacks():
        raise Skip(why)
    bucket = {"name": "KV_links", "subjects": ["$KV.links.>"], "max_msgs_per_subject": 1, "discard": "new", "allow_direct": True, "storage": "file", "num_replicas": 1}
    for may in (True, False):
        with Folder() as top, servers.Nats() as nats, _App(top) as app:
            url = f"nats://127.0.0.1:{nats.port}/links"
            created = nats.ask("$JS.API.STREAM.CREATE.KV_links", json.dumps({**bucket, "deny_purge": not may}).encode())
            check(b'"error"' not in created, created)
            app.link(url)
            for i in range(30):
                app.incr(f"k{i}")
            acknowledged = nats.ask("$KV.links.default.other.default.k", b"theirs")
            check(b'"error"' not in acknowledged, acknowledged)
            app.link("memory:b")
            app.incr()
            said = app.link(url, "--copy", status=6)
            check("the target holds 30 keys" in said, said)
            app.link(url, "--copy", "--replace")
            state = json.loads(nats.ask("$JS.API.STREAM.INFO.KV_links"))["state"]
            check(app.count() == 1 and not any(app.count(f"k{i}") for i in range(30)), "replaced")
            check(state["messages"] == 3 if may else state["messages"] >= 33, f"the key, the marker, what is another app's, and deletions where it may not purge: {state}")
            theirs = nats.ask("$JS.API.STREAM.MSG.GET.KV_links", b'{"last_by_subj":"$KV.links.default.other.default.k"}')
            check(b'"error"' not in theirs, theirs)
            app.link("memory:b", "--copy")
            app.incr()
            app.link(url, "--copy")  # its marker says what it is: nothing is to be replaced
            check(app.count() == 2, app.count())


def what_was_changed_lasts_over_a_kill():
    with Folder() as top:
        app = _App(top, f'type = "file"\npath = "{top}/0.db"').start()
        try:
            for i in range(1, 4):
                app.incr()
                app.link(f"file:{top}/{i}.db", "--copy")
                app.kill()
                app.start()
                check(app.target() == f"file:{top}/{i}.db" and app.count() == i, f"{i}: {app.target()} {app.count()}")
            check(app.status()["release"] == 4 and app.link("--undo")["epoch"] == 5, "numbers go on")
            check(json.loads(ask(f"{top}/ctl/{app.process.pid}.sock", "/v1/operations/counter-1").body)["state"] == "done", "the operations of before")
            app.stop()
        finally:
            app.kill()


def a_kill_at_each_step_leaves_the_store_of_before_or_the_new_one():
    for step, flags in [*((step, ("--copy",)) for step in STEPS), *((step, ()) for step in PLAIN_STEPS)]:
        with Folder() as top:
            old, new = f"file:{top}/old.db", f"file:{top}/new.db"
            app = _App(top, f'type = "file"\npath = "{top}/old.db"', shards=1).start(TENON_TEST_BREAK=step)
            try:
                for _ in range(5):
                    app.incr()
                subprocess.run([str(config.tenon), "link", "@store", new, *flags], env=app.env, capture_output=True, timeout=60)
                app.process.wait(60)
                app.kill()
                app.start()
                wanted = old if step in BEFORE_RECORD else new
                was = 5 if flags or wanted == old else 0
                check(app.target() == wanted and app.count() == was, f"{step} {flags}: {app.target()} {app.count()}")
                o = json.loads(ask(f"{top}/ctl/{app.process.pid}.sock", "/v1/operations/counter-1").body)
                check(o["state"] == ("failed" if step in BEFORE_RECORD else "recovered"), o)
                app.incr()
                if wanted == old:
                    app.link(new, *flags)
                elif not flags:
                    app.link("--undo")  # what was there before is there
                    was = 4
                check(app.count() == (0 if wanted == old and not flags else was + 1), f"{step} {flags}: {app.count()} after the change")
                app.stop()
            finally:
                app.kill()


def a_change_that_is_written_and_does_not_come_is_none_after_a_kill_either():
    """Without a copy it is written before calls are held; here a call doesn't end while it is."""
    why = servers.Redis.lacks()
    if why:
        raise Skip(why)
    with Folder() as top, servers.Redis() as redis:
        url = f"redis://127.0.0.1:{redis.port}/0"
        app = _App(top, f'type = "redis"\nurl = "{url}"\ndeadline = "50s"').start()
        try:
            for n in range(1, 50):  # what the change itself asks goes by thread 0, and must not stand behind the call
                check(redis.ask("CLIENT", "PAUSE", "60000", "WRITE") == "OK", "Redis answers what only reads")
                waits = threading.Thread(target=app.incr, daemon=True)
                waits.start()
                check(until(lambda: app.status()["links"][0]["in_flight"]), "the call does not wait")
                said = app.link("memory:other", "--max-pause", "100ms", "--limit", "2s", status=6)
                redis.ask("CLIENT", "UNPAUSE")
                waits.join(60)
                if "still in flight" in said:
                    break
            check("1 calls were still in flight" in said, said)
            journal = (top / "state/default/counter/journal").read_text()
            check('{"release":2,' in journal and '{"abort":2}' in journal, journal)
            check(app.target() == url and app.count() == n, app.target())
            app.kill()
            app.start()
            check(app.target() == url and app.count() == n, f"after a kill: {app.target()}")
            check(app.link("memory:other")["release"] == 2, "its number is free")
            app.stop()
        finally:
            app.kill()


def a_manifest_that_was_edited_in_what_was_changed_is_refused_until_one_of_them_counts():
    with Folder() as top:
        app = _App(top)
        with app:
            app.link(f"file:{top}/a.db")
        with app.start():
            check(app.target() == f"file:{top}/a.db", "the journal wins")
        app.write('type = "memory"\nurl = "memory:edited"')
        said = app.start(status=2)
        check("link.store" in said and "memory:edited" in said and "a.db" in said and "--manifest" in said, said)
        with app.start("--live"):
            check(app.target() == f"file:{top}/a.db", "--live")
        app.write('type = "memory"\nurl = "memory:again"')
        with app.start("--manifest"):
            check(app.target() == "memory:again", "--manifest")
        with app.start():
            check(app.target() == "memory:again", "and from then on")


def a_server_that_is_told_to_end_while_a_link_moves_does_end():
    why = servers.Redis.lacks()
    if why:
        raise Skip(why)
    for flags in ((), ("--copy",)):
        with Folder() as top, servers.Redis() as redis, _App(top).start() as app:
            app.incr()
            redis.freeze()
            client = subprocess.Popen([str(config.tenon), "link", "counter", "@store", f"redis://127.0.0.1:{redis.port}/0", *flags], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=app.env)
            while app.operation().get("step") != "check":
                time.sleep(0.01)
            app.stop()
            redis.thaw()
            client.wait(60)


def a_key_that_can_not_go_along_is_named_with_its_bucket():
    why = servers.Nats.lacks()
    if why:
        raise Skip(why)
    with Folder() as top, servers.Nats() as nats:
        app = _App(top, 'type = "memory"\nbuckets = ["default", "two"]')
        text = (top / "tenon.toml").read_text().replace("[link.store]", 'env = { KV_BUCKET = "two" }\n[link.store]')
        (top / "tenon.toml").write_text(text)
        with app:
            check(app.request("/set/large", "PUT", body_hex="31" * (2 << 20))[0] == 200, "a large value")
            said = app.link(f"nats://127.0.0.1:{nats.port}/named", "--copy", *PATIENT, status=6)
            check("key 'large' of bucket 'two': " in said, said)


def what_can_not_be_is_refused_and_nothing_has_changed():
    with Folder() as top, _App(top) as app:
        app.incr()
        for status, words, args in ((6, "refused", ("nats://127.0.0.1:1/x",)), (6, "in force", ("memory:", "--copy")), (2, "no type of store", ("ftp://x",)), (2, "is no store", ("@other",)),
                (6, "not written into the journal", ("redis://u:secret@127.0.0.1/0",)), (2, "replace", ("memory:x", "--replace")), (2, "discard", ("memory:x", "--discard")),
                (6, "no change of @store", ("--undo",)), (2, "--undo", ("memory:x", "--undo")), (2, "--undo", ())):
            said = app.link(*args, status=status)
            check(words in said, f"{args}: {said}")
        check("no link @nobody" in app.tenon("link", "@nobody", "memory:x", status=2), "a link that isn't there")
        check("no app" in app.tenon("link", "nobody", "@store", "memory:x", status=5), "an app that isn't there")
        app.link("memory:x", "--dry-run")
        check(app.status()["release"] == 1 and app.target() == "memory:" and app.count() == 1, app.status())
        for flag, value in (("--max-pause", "0ms"), ("--limit", "none")):
            app.link("memory:x", "--copy", flag, value, status=2)
        app.link("memory:x", "--copy", "--max-pause", "1s", "--limit", "60s", "--no-wait")
        check("secret" not in (top / "state/default/counter/journal").read_text(), "the journal has a password")


def conditions_of_the_head_are_kept():
    with Folder() as top, _App(top) as app:
        def post(body, *fields):
            a = ask(f"{top}/ctl/{app.process.pid}.sock", "/v1/apps/counter/links/store", "POST", headers=[["content-type", "application/json"], *fields], body_hex=json.dumps(body).encode().hex())
            return a.status, json.loads(a.body)
        def done(o):
            return json.loads(ask(f"{top}/ctl/{app.process.pid}.sock", f"/v1/operations/{o['operation']}?wait=30s").body)
        check(post({"target": "memory:a"}, ["if-match", "7"])[0] == 412, "If-Match of another release")
        status, first = post({"target": "memory:a"}, ["if-match", "1"], ["idempotency-key", "k"])
        check(status == 202 and done(first)["state"] == "done", first)
        status, second = post({"target": "memory:a"}, ["idempotency-key", "k"])
        check(status == 202 and second["operation"] == first["operation"] and app.status()["release"] == 2, second)
        for body in ({}, {"target": "memory:b", "undo": True}, {"target": "memory:b", "other": 1}, {"target": "memory:b", "replace": True}, []):
            check(post(body)[0] == 400, body)
        releases = json.loads(ask(f"{top}/ctl/{app.process.pid}.sock", "/v1/apps/counter/releases").body)["releases"]
        check([r["release"] for r in releases] == [2, 1] and releases[0]["in_force"] and releases[0]["link"] == "store", releases)


def two_clients_at_once_take_turns():
    with Folder() as top, _App(top) as app:
        clients = [subprocess.Popen([str(config.tenon), "--json", "link", "@store", f"memory:m{i}", "--copy"], env=app.env, stdout=subprocess.PIPE, text=True) for i in range(6)]
        releases = [json.loads(c.communicate(timeout=60)[0].splitlines()[-1])["release"] for c in clients]
        check(sorted(releases) == list(range(2, 8)), releases)


def a_target_that_dies_in_mid_copy_changes_nothing():
    why = servers.Redis.lacks()
    if why:
        raise Skip(why)
    with Folder() as top, servers.Redis() as redis, _App(top) as app, _Load(app, 8) as load:
        url = f"redis://127.0.0.1:{redis.port}/0"
        for i in range(300):
            check(app.request(f"/set/cold-{i}", "PUT")[0] == 200, "not set")
        client = subprocess.Popen([str(config.tenon), "link", "@store", url, "--copy"], env=app.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.05)
        redis.kill()
        check(client.wait(60) in (0, 6), client.returncode)
        if client.returncode == 6:
            check(app.target() == "memory:", app.target())
            redis.start()
            app.link(url, "--copy", *PATIENT)
            load.__exit__()
            check(not load.failed and app.count() == load.acknowledged, f"{load.failed[:3]} {app.count()} {load.acknowledged}")


def one_import_is_bound_elsewhere_under_load_and_back():
    with Folder() as top, _App(top, more='[link.other]\ntype = "memory"\nurl = "memory:other"') as app:
        check((app.incr(), app.incr()) == (1, 2), "two")
        with _Load(app, 4) as load:
            out = app.tenon("link", "counter", "c:wasi:keyvalue", "@other")
            check("c:wasi:keyvalue is @other: release 2" in out, out)
            file = Path(top) / "own.db"
            app.tenon("link", "c:wasi:keyvalue", f"file:{file}")
            app.tenon("link", "c:wasi:keyvalue", "@store", "--dry-run")
        check(not load.failed, load.failed[:3])
        check(app.count("x") == 0 and app.incr("x") == 1 and file.exists(), "a store for itself")
        check("bound to @other already" not in app.tenon("link", "c:wasi:keyvalue", "@other"), "back")
        check("bound to @other already" in app.tenon("link", "c:wasi:keyvalue", "@other", status=6), "twice")
        check([x["link"] for x in app.status()["links"]] == ["store", "other"], app.status()["links"])
        check("no link @x" in app.tenon("link", "c:wasi:keyvalue", "@x", status=2) and "no component" in app.tenon("link", "d:wasi:keyvalue", "@store", status=2), "nothing of the kind")
        app.tenon("link", "c:wasi:nothing/x", "@store", status=6)
        app.tenon("undo")
        check(app.count("x") == 1, "the way back")
        app.kill()
        app.start()
        check(app.count("x") == 1, "after a kill")
        app.tenon("link", "c:wasi:keyvalue", "memory:new", "--copy")
        check(app.count("x") == 1 and app.incr("x") == 2, "a copy takes what is there along")


def a_store_stands_behind_nothing_but_what_stores_serve():
    with Folder() as top, _App(top) as app:
        app.incr()
        for interface in ("wasi:http", "wasi:io", "wasi:cli/environment"):
            for target in ("memory:", "@store"):
                said = app.tenon("link", "counter", f"c:{interface}", target, status=6)
                check("is a store" in said and interface in said and "hint:" in said, said)
        said = app.tenon("link", "counter", "c:wasi:keyvalue/store", "memory:other", status=6)
        check("c-wasi-keyvalue-store" in said and "by store" in said, said)
        check(app.count() == 1 and app.status()["release"] == 1, app.status())


def a_link_of_the_manifest_is_nobodys_own_whatever_its_name():
    names = "c-wasi-keyvalue", "c-wasi-keyvalue-2", "c-wasi-keyvalue-store"
    with Folder() as top, _App(top, more="".join(f'[link.{n}]\ntype = "memory"\nurl = "memory:m{i}"\n' for i, n in enumerate(names))) as app:
        for i, n in enumerate(names):
            app.tenon("link", "c:wasi:keyvalue", f"@{n}")
            app.tenon("link", f"@{n}", f"memory:n{i}")
        app.tenon("link", "c:wasi:keyvalue", "memory:new")  # of the import's own: goes
        app.tenon("link", "c:wasi:keyvalue", "@store")
        links = {x["link"]: x["target"] for x in app.status()["links"]}
        check(links == {"store": "memory:", **{n: f"memory:n{i}" for i, n in enumerate(names)}}, links)


# Another component on the same store, by a link of its own; what is read, and one of the keys, is its.
_TWO = """
[component.d]
source = "{guest}"
links = {{ "wasi:keyvalue" = "other" }}
[link.other]
{link}
[[trigger.http]]
route = "/get/..."
component = "d"
[[trigger.http]]
route = "/incr/d"
component = "d"
"""


def links_of_an_app_on_one_store_move_together():
    with Folder() as top:
        link = f'type = "file"\npath = "{top}/0.db"'
        app = _App(top, link, _TWO.format(guest=shared_guest("kv") / "kv-counter-c.wasm", link=link)).start()
        try:
            targets = lambda: [x["target"] for x in app.status()["links"]]
            with _Load(app, 4) as mine, _Load(app, 4, "d") as theirs:
                check("@other" in app.tenon("link", "@store", "memory:x", "--dry-run"), "a dry run says so")
                for target in ("memory:a", f"file:{top}/1.db", "memory:b", f"file:{top}/2.db"):
                    o = app.link(target, "--copy", *PATIENT)
                    check(o["with"] == ["other"] and targets() == [target] * 2, f"{o} {targets()}")
            said = app.tenon("status")
            check("counter, release 5\n" in said and said.count(f"{top}/2.db") == 2 and all(word in said for word in ("@store ", "@other ", "open")), said)
            counts = lambda: (app.count("n"), app.count("d"))
            check(not mine.failed and not theirs.failed, [*mine.failed, *theirs.failed][:3])
            wanted = (mine.acknowledged, theirs.acknowledged)
            check(counts() == wanted, f"{counts()} instead of {wanted}")
            said = app.tenon("link", "c:wasi:keyvalue", "memory:x", "--copy", status=6)
            check("@other" in said and "tenon link @store" in said, said)
            app.kill()
            app.start()
            check(targets() == [f"file:{top}/2.db"] * 2 and counts() == wanted, f"after a kill: {targets()} {counts()}")
            o = json.loads(app.tenon("--json", "link", "@other", "--undo").splitlines()[-1])  # by the other one's name
            check(o["with"] == ["store"] and o["epoch"] == 6 and targets() == ["memory:b"] * 2 and counts() == wanted, f"{o} {targets()}")
            app.link("memory:plain")
            check(targets() == ["memory:plain"] * 2 and counts() == (0, 0), targets())
            app.tenon("undo")
            check(targets() == ["memory:b"] * 2 and counts() == wanted, targets())
            said = app.tenon("undo", "--to", "1", status=6)  # their one store, of which what differs is its type and its path
            check("link store leads to another store" in said or "link other leads to another store" in said, said)
            releases = json.loads(ask(f"{top}/ctl/{app.process.pid}.sock", "/v1/apps/counter/releases").body)["releases"]
            check([(r["link"], *r["with"]) for r in releases[:-1]] == [("store", "other")] * 2 + [("other", "store")] + [("store", "other")] * 4, releases)
            app.stop()
        finally:
            app.kill()


def _keys(port, database):
    with socket.create_connection(("127.0.0.1", port), 20) as s:
        s.sendall(b"SELECT %d\r\nKEYS *\r\nPING\r\n" % database)
        got = b""
        while b"+PONG" not in got:
            got += s.recv(65536)
    return got


def a_store_that_another_link_has_by_another_address_stays():
    why = servers.Redis.lacks()
    if why:
        raise Skip(why)
    with Folder() as top, servers.Redis() as redis:
        link = 'type = "redis"\nurl = "redis://{}:{}/{}"\n'.format
        app = _App(top, link("127.0.0.1", redis.port, 0), "".join(f"[link.{name}]\n{link('localhost', redis.port, database)}" for name, database in (("same", 0), ("other", 1))))
        with app:
            app.incr()
            said = app.link(f"file:{top}/a.db", "--copy", status=6)
            check("counter/@same" in said and "another address" in said and "hint:" in said, said)
            said = app.link(f"redis://127.0.0.1:{redis.port}/1", "--copy", "--replace", status=6)
            check("counter/@other" in said and "target" in said, said)
            check(all(b"nonce" not in _keys(redis.port, d) for d in (0, 1)), "numbers are left behind")
            app.link(f"file:{top}/a.db")  # takes nothing along, within the app
            check(app.count() == 0 and b"nonce" not in _keys(redis.port, 0), "a plain change")


def links_of_one_store_whose_calls_wait_for_a_key_move_together():
    """NATS has no increment: those of a key wait for each other. What one link gives back while the other isn't held yet waits anew."""
    if why := servers.Nats.lacks():
        raise Skip(why)
    with Folder() as top, servers.Nats() as nats:
        link = f'type = "nats"\nurl = "nats://127.0.0.1:{nats.port}/links"\ndeadline = "20s"'
        app = _App(top, link, _TWO.format(guest=shared_guest("kv") / "kv-counter-c.wasm", link=link)).start()
        try:
            with _Load(app, 12) as mine, _Load(app, 12, "d") as theirs:
                for target in ("memory:a", f"nats://127.0.0.1:{nats.port}/links", "memory:b"):
                    app.link(target, "--copy", *PATIENT)
            check(not mine.failed and not theirs.failed, [*mine.failed, *theirs.failed][:3])
            check((app.count("n"), app.count("d")) == (mine.acknowledged, theirs.acknowledged), f"{app.count('n')} {app.count('d')} instead of {mine.acknowledged} {theirs.acknowledged}")
            app.stop()
        finally:
            app.kill()


def a_link_that_came_to_a_store_later_stays_when_the_other_goes_back():
    with Folder() as top:
        app = _App(top, 'type = "memory"\nurl = "memory:a"', _TWO.format(guest=shared_guest("kv") / "kv-counter-c.wasm", link='type = "memory"\nurl = "memory:b"')).start()
        try:
            targets = lambda: [x["target"] for x in app.status()["links"]]
            app.incr("n"), app.incr("d")
            check("the target is used by counter/@other" in app.link("memory:b", "--copy", "--replace", status=6), "a copy would take its place")
            check("with" not in app.link("memory:b") and targets() == ["memory:b"] * 2 and app.count("d") == 1, targets())
            check("with" not in app.link("--undo") and targets() == ["memory:a", "memory:b"], targets())
            app.link("memory:c", "--copy")
            app.tenon("link", "@other", "memory:c")
            check(app.count("n") == 1 and targets() == ["memory:c"] * 2, targets())
            check("the store is used by counter/@other" in app.link("--undo", status=6), "what is copied back would be taken from it")
            app.stop()
        finally:
            app.kill()


def an_undo_of_the_app_over_a_change_of_a_link_is_that_of_the_link():
    with Folder() as top, _App(top) as app:
        app.incr()
        app.link("memory:a", "--copy")
        app.incr()
        app.tenon("undo")
        check(app.target() == "memory:" and app.count() == 2, f"{app.target()} {app.count()}")
        app.link("memory:b", "--copy")
        app.incr()
        app.tenon("undo", "--discard")
        check(app.target() == "memory:" and app.count() == 2, f"{app.target()} {app.count()}")
        app.tenon("scale", "c", "--max", "7")
        check("discard is of the undo of a change of a link" in app.tenon("undo", "--discard", status=2), "of something else")

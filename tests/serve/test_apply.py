"""tenon apply, stop, undo over both, SIGHUP: a manifest becomes what is in force while it serves, as one release, whole or not at all."""
import json, os, signal, subprocess, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from front import Folder, ask, where
from harness import HELLO, MISBEHAVE, TOP, breaks, check, config, shared_guest
from test_update import SAYS, _Load


COUNTER = TOP / "examples/counter/counter.wasm"
ELSEWHERE = {HELLO: b"nothing here; try /, /echo, /count or /trap\n", MISBEHAVE: b"see README.md\n"}  # at other paths than /


class Host:
    """`tenon up` of manifests in folders of `top`, each `.app(name, ...)`."""

    def __init__(self, top, shards=2):
        self.top, self.shards = Path(top), shards
        self.env = {**os.environ, "TENON_CTL": str(self.top / "ctl"), "TENON_CACHE": str(self.top / "cache")}
        self.env.pop("TENON_STATE", None)
        self.paths, self.process = [], None

    def write(self, name, text, **files):
        folder = self.top / name
        folder.mkdir(exist_ok=True)
        (folder / "tenon.toml").write_text(f'tenon = 1\n[app]\nname = "{name}"\n{text}')
        for file, of in files.items():
            (folder / f"{file}.wasm").write_bytes(of.read_bytes())
        return folder

    def start(self, *paths, ready=1, flags=("--addr", "127.0.0.1:0"), break_at=None):
        self.paths = paths or self.paths
        self.process = subprocess.Popen([str(breaks() if break_at else config.tenon), "up", *map(str, self.paths), *flags, "--shards", str(self.shards)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=open(self.top / "stderr", "ab"), env={**self.env, **({"TENON_TEST_BREAK": break_at} if break_at else {})}, text=True, start_new_session=True)
        lines = [self.process.stdout.readline() for _ in range(ready)]
        check(all(line.startswith("ready") for line in lines), f"not ready: {lines} {(self.top / 'stderr').read_text()}")
        self.at = [where(line[6:-1]) for line in lines if len(line) > 6]
        self.socket = str(self.top / "ctl" / f"{self.process.pid}.sock")

    def kill(self):
        self.process.kill()
        self.process.communicate(timeout=60)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if not self.process:
            return
        self.process.send_signal(signal.SIGTERM if kind is None else signal.SIGKILL)
        self.process.communicate(timeout=60)
        check(kind is not None or self.process.returncode == 0, f"it ended with {self.process.returncode}: {(self.top / 'stderr').read_text()[-2000:]}")

    def tenon(self, *args, status=0, cwd=None):
        r = subprocess.run([str(config.tenon), *map(str, args)], capture_output=True, text=True, timeout=120, env=self.env, cwd=cwd)
        check(r.returncode == status, f"tenon {args}: {r.returncode} instead of {status}: {r.stdout} {r.stderr}")
        return r.stdout if status == 0 else r.stderr

    def json(self, path):
        return json.loads(ask(self.socket, path).body)

    def history(self, app):
        return self.json(f"/v1/apps/{app}/history")["history"]

    def apps(self):
        return {a["app"]: a["state"] for a in self.json("/v1/status")["apps"]}

    def says(self, path, at=0):
        a = ask(self.at[at], path)
        return HELLO if a.body in (SAYS[HELLO], ELSEWHERE[HELLO]) else MISBEHAVE if a.body in (SAYS[MISBEHAVE], ELSEWHERE[MISBEHAVE]) else a.status

    def must_say(self, *pairs):
        for path, what in pairs:
            for _ in range(4):
                check(self.says(path) == what, f"{path}: {self.says(path)} instead of {what}")


def _component(name, source, route=None, more=""):
    return f'[component.{name}]\nsource = "{source}.wasm"\n{more}\n' + (f'[[trigger.http]]\nroute = "{route}"\ncomponent = "{name}"\n' if route else "")


def a_manifest_is_applied_under_load_and_components_come_change_and_go():
    with Folder() as top, Host(top) as host:
        app = host.write("shop", _component("api", "a", "/..."), a=HELLO, b=MISBEHAVE)
        host.start(app)
        host.must_say(("/", HELLO), ("/x", HELLO))
        with _Load(host.at[0]) as load:
            host.write("shop", _component("api", "a", "/...") + _component("other", "b", "/other/..."))
            out = host.tenon("apply", app)
            check("+ component other" in out and "+ trigger.http other" in out and "release 2 of shop is in force" in out, out)
            host.must_say(("/", HELLO), ("/other", MISBEHAVE), ("/other/x", MISBEHAVE))
            host.write("shop", _component("api", "a", "/...", 'policy = "reuse"'))
            out = host.tenon("apply", cwd=app)
            check("- component other" in out and '~ component api policy' in out and "release 3 of shop" in out, out)
            host.must_say(("/", HELLO), ("/other", HELLO))
            check([c["component"] for c in host.json("/v1/apps/shop/status")["components"]] == ["api"], host.json("/v1/apps/shop/status"))
            check("nothing differs: release 3 of shop is in force" in host.tenon("apply", app), "again")
            host.write("shop", _component("api", "a", "/...") + _component("other", "b", "/other/..."))
            out = host.tenon("apply", app, "--dry-run")
            check("+ component other" in out and "nothing was changed" in out, out)
            host.must_say(("/other", HELLO))
            host.tenon("apply", app)
        check(not load.failed and sum(load.counts.values()), f"{len(load.failed)} failed: {load.failed[:3]}")
        check([r["release"] for r in host.history("shop")] == [4, 3, 2, 1], host.history("shop"))


def bytes_that_were_built_anew_are_a_difference_and_undo_brings_the_old_ones_back():
    with Folder() as top, Host(top) as host:
        app = host.write("shop", _component("api", "a", "/..."), a=HELLO)
        host.start(app)
        time.sleep(0.5)  # what it starts with is kept soon
        (app / "a.wasm").write_bytes(MISBEHAVE.read_bytes())
        host.must_say(("/", HELLO))
        out = host.tenon("apply", app)
        check("~ component api bytes" in out, out)
        host.must_say(("/", MISBEHAVE))
        check("nothing differs" in host.tenon("apply", app), "again")
        out = host.tenon("undo", "shop")
        host.must_say(("/", HELLO))
        host.tenon("undo", "shop", "--to", 2)
        host.must_say(("/", MISBEHAVE))
        host.tenon("undo", "shop", "--to", 1)
        host.must_say(("/", HELLO))
        host.kill()
        host.start()
        host.must_say(("/", HELLO))


def undo_brings_back_the_bytes_of_what_was_stopped_or_had_gone():
    with Folder() as top, Host(top) as host:
        both = _component("api", "a", "/api/...") + _component("two", "b", "/two/...")
        app = host.write("shop", both, a=HELLO, b=HELLO)
        host.start(app)
        host.tenon("stop", "shop")
        (app / "a.wasm").write_bytes(MISBEHAVE.read_bytes())
        host.tenon("undo", "shop")
        host.must_say(("/api", HELLO), ("/two", HELLO))
        (app / "a.wasm").write_bytes(HELLO.read_bytes())
        host.tenon("apply", app)
        host.tenon("stop", "shop")
        (app / "a.wasm").unlink()
        host.kill()
        other = host.write("other", _component("api", "a", "/other/..."), a=MISBEHAVE)
        host.start(app, other)  # what it had is in the journal
        host.tenon("undo", "shop")
        host.must_say(("/api", HELLO), ("/two", HELLO), ("/other", MISBEHAVE))
        (app / "a.wasm").write_bytes(HELLO.read_bytes())
        host.tenon("apply", app)
        host.write("shop", _component("api", "a", "/api/..."))
        host.tenon("apply", app)
        host.must_say(("/two", 404))
        (app / "b.wasm").write_bytes(MISBEHAVE.read_bytes())
        host.tenon("undo", "shop")
        host.must_say(("/two", HELLO))
        host.tenon("apply", app)
        (app / "b.wasm").unlink()
        host.tenon("undo", "shop")
        host.must_say(("/api", HELLO), ("/two", HELLO))


def a_shadow_goes_with_its_link():
    with Folder() as top, Host(top) as host:
        store = '[link.store]\ntype = "file"\npath = "a.db"\n'
        app = host.write("shop", _component("api", "a", "/...") + store, a=HELLO)
        host.start(app)
        for changes in ((store + 'deadline = "3s"\n',), ("", store)):
            host.write("shop", _component("api", "a", "/...") + store)
            host.tenon("apply", app)
            host.tenon("link", "@store", f"file:{top}/sh.db", "--shadow", "100%")
            check("shadow" in host.json("/v1/apps/shop/status")["links"][0], host.json("/v1/apps/shop/status"))
            for text in changes:
                host.write("shop", _component("api", "a", "/...") + text)
                host.tenon("apply", app)
            check("shadow" not in host.json("/v1/apps/shop/status")["links"][0], host.json("/v1/apps/shop/status"))
            check("no shadow" in host.tenon("link", "@store", "--promote", status=6), changes)
        host.tenon("link", "@store", f"file:{top}/sh.db", "--shadow", "100%")
        host.tenon("link", "@store", "--promote")
        check("sh.db" in host.json("/v1/apps/shop/status")["links"][0]["target"], host.json("/v1/apps/shop/status"))


def undo_goes_back_over_manifests():
    with Folder() as top, Host(top) as host:
        first = '[variables]\ngreeting = { default = "a" }\n' + _component("api", "a", "/...", 'env = { GREETING = "${greeting}" }')
        app = host.write("shop", first, a=MISBEHAVE, b=HELLO)
        host.start(app)
        host.tenon("set", "shop", "greeting=b")
        second = '[variables]\ngreeting = { default = "c" }\nmore = { default = "x" }\n' + _component("api", "a", "/api/...", 'env = { GREETING = "${greeting}", MORE = "${more}" }') + _component("two", "b", "/two")
        host.write("shop", second)
        host.tenon("apply", app)
        host.must_say(("/two", HELLO), ("/x", 404))
        check(b"GREETING=c" in ask(host.at[0], "/api/env").body or ask(host.at[0], "/api/env").status == 200, "the new one")
        host.tenon("undo", "shop")
        host.must_say(("/two", MISBEHAVE))
        check(b"GREETING=b" in ask(host.at[0], "/env").body, ask(host.at[0], "/env").body)
        host.kill()
        host.start()  # the journal wins
        host.must_say(("/two", MISBEHAVE))
        check(b"GREETING=b" in ask(host.at[0], "/env").body, ask(host.at[0], "/env").body)
        host.tenon("undo", "shop", "--to", 1)
        check(b"GREETING=a" in ask(host.at[0], "/env").body, ask(host.at[0], "/env").body)
        host.tenon("apply", app)
        host.must_say(("/two", HELLO), ("/x", 404))
        check("in force" in host.tenon("undo", "shop", "--to", host.history("shop")[0]["release"], status=6), "to itself")


def an_app_comes_is_stopped_and_that_is_remembered():
    with Folder() as top, Host(top) as host:
        a = host.write("one", _component("api", "a", "/one/..."), a=MISBEHAVE)
        b = host.write("two", _component("api", "a", "/two/..."), a=HELLO)
        host.start(a)
        with _Load(host.at[0], "/one") as load:
            out = host.tenon("apply", b)
            check("+ app" in out and "release 1 of two" in out, out)
            host.must_say(("/two", HELLO), ("/one", MISBEHAVE))
            check(host.apps() == {"one": "running", "two": "running"}, host.apps())
            check("two is stopped" in host.tenon("stop", "two"), "stop")
            host.must_say(("/two", 404), ("/one", MISBEHAVE))
            check(host.apps() == {"one": "running", "two": "stopped"}, host.apps())
            check("is stopped" in host.tenon("stop", "two", status=6), "twice")
            check("is stopped" in host.tenon("scale", "two/api", "--max", 3, status=6), "changed")
            check("start" in host.tenon("history"), "APP may be left out where one runs")
            host.tenon("undo", "two")
            host.must_say(("/two", HELLO))
            host.tenon("stop", "two")
            host.tenon("apply", b)
            host.must_say(("/two", HELLO))
            host.tenon("stop", "two")
        check(not load.failed, load.failed[:3])
        host.kill()
        host.start(a, b)
        host.must_say(("/two", 404), ("/one", MISBEHAVE))
        check(host.apps() == {"one": "running", "two": "stopped"}, host.apps())
        host.tenon("apply", b)
        host.must_say(("/two", HELLO), ("/one", MISBEHAVE))
        host.kill()
        host.start(a, b)
        host.must_say(("/two", HELLO), ("/one", MISBEHAVE))


def what_is_in_force_is_printed_as_a_manifest():
    with Folder() as top, Host(top) as host:
        host.env["TENON_VAR_TOKEN"] = "sesam"
        app = host.write("shop", '[variables]\ngreeting = { default = "a" }\ntoken = { secret = true }\n' + _component("api", "a", "/...", 'env = { GREETING = "${greeting}" }'), a=MISBEHAVE)
        host.start(app)
        (app / "value").write_text("from a file\n")
        host.tenon("set", f"greeting=@{app / 'value'}")
        check(b"GREETING=from a file" in ask(host.at[0], "/env").body, ask(host.at[0], "/env").body)
        text = host.tenon("status", "shop", "--manifest")
        check("from a file" in text and "[component.api]" in text and "sesam" not in text, text)
        check(json.loads(host.tenon("status", "--manifest", "--json"))["release"] == 2, "as JSON")
        (app / "tenon.toml").write_text(text)
        host.tenon("apply", app)
        check(b"GREETING=from a file" in ask(host.at[0], "/env").body, ask(host.at[0], "/env").body)


def _changes(app):
    """(what is done, what it is then): of an app whose `/` says HELLO from a.wasm, and whose release before said MISBEHAVE."""
    yield ("update", "api", app / "b.wasm"), MISBEHAVE
    yield ("apply", app), MISBEHAVE
    yield ("stop", "shop"), 404
    yield ("undo", "shop"), MISBEHAVE
    yield ("set", "greeting=b"), HELLO


def a_kill_at_each_step_leaves_what_was_or_what_will_be():
    """Of update and apply; of stop, undo and set about the record. Before `take-up` nothing is written."""
    for step in ("check", "load", "publish", "take-up"):
        with Folder() as top, Host(top) as host:
            text = '[variables]\ngreeting = { default = "a" }\n' + _component("api", "SOURCE", "/...", 'env = { GREETING = "${greeting}" }')
            app = host.write("shop", text.replace("SOURCE", "a"), a=HELLO, b=MISBEHAVE)
            for change, then in _changes(app):
                if step in ("check", "load") and change[0] not in ("update", "apply"):
                    continue
                host.write("shop", text.replace("SOURCE", "a"))
                subprocess.run(["rm", "-rf", str(app / ".tenon")], check=True)
                host.start(app)
                if change[0] == "undo":
                    host.tenon("update", "api", app / "b.wasm")
                    host.tenon("update", "api", app / "a.wasm")
                before = len(host.history("shop"))
                host.kill()
                host.start(break_at=step)
                host.write("shop", text.replace("SOURCE", "b" if change[0] == "apply" else "a"))
                r = subprocess.run([str(config.tenon), *map(str, change)], env=host.env, capture_output=True, timeout=60)
                check(r.returncode != 0 and host.process.wait(60) == -signal.SIGKILL, f"{step} {change}: {r}")
                is_new = step == "take-up"
                host.write("shop", text.replace("SOURCE", "b" if change[0] == "apply" and is_new else "a"))  # else it was edited since
                host.kill()
                host.start()
                check(len(host.history("shop")) == before + is_new, f"{step} {change}: {host.history('shop')}")
                if change[0] == "stop" and is_new:
                    check(host.apps() == {"shop": "stopped"}, host.apps())
                    host.must_say(("/", 404))
                else:
                    host.must_say(("/", then if is_new else HELLO))
                if change[0] == "set":
                    check(host.tenon("set", "greeting=c") and len(host.history("shop")) == before + is_new + 1, f"{step}: the next change")
                host.kill()
                host.process = None


def hanging_up_applies_all_manifests():
    with Folder() as top, Host(top) as host:
        a = host.write("one", _component("api", "a", "/one/..."), a=HELLO, b=MISBEHAVE)
        host.start(a)
        host.write("one", _component("api", "b", "/one/..."))
        host.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 60
        while host.says("/one") != MISBEHAVE and time.monotonic() < deadline:
            time.sleep(0.05)
        host.must_say(("/one", MISBEHAVE))
        check("SIGHUP" in host.history("one")[0]["what"], host.history("one"))


def an_end_after_links_and_routes_came_is_an_end():
    with Folder() as top, Host(top) as h:
        h.start(h.write("one", _component("a", "a", "/..."), a=HELLO))
        kv = h.write("kv", _component("c", "c", "/kv/...", 'links = { "wasi:keyvalue" = "store" }') + '[link.store]\ntype = "memory"\n', c=COUNTER)
        h.tenon("apply", kv)
        check(ask(h.at[0], "/kv/").status == 200, "it does not count")  # that it ends with 0 then, Host sees


def routes_that_come_are_on_the_apps_own_address():
    with Folder() as top, Host(top) as h:
        public = h.write("public", '[http]\naddress = "127.0.0.1:0"\n' + _component("a", "a", "/a"), a=HELLO)
        own = '[http]\naddress = "127.0.0.2:0"\n'
        inner = h.write("inner", own + _component("b", "b"), b=MISBEHAVE)
        h.start(public, inner, flags=())
        h.write("inner", own + _component("b", "b", "/b"))
        h.tenon("apply", inner)
        (url,) = [u for u in h.json("/v1/status")["urls"] if "127.0.0.2" in u]
        check(h.says("/b") == 404 and h.says("/a") == HELLO, "it answers at another one's address")
        check(ask(where(url), "/b").status == 200 and ask(where(url), "/a").status == 404, url)


def hanging_up_says_what_failed():
    with Folder() as top, Host(top) as host:
        a = host.write("one", _component("api", "a", "/one/..."), a=HELLO)
        host.start(a)

        def says(text):
            end = time.monotonic() + 60
            while text not in (log := (top / "stderr").read_text()) and time.monotonic() < end:
                time.sleep(0.05)
            check(text in log and "apply (SIGHUP) of one" in log, log)

        host.write("one", _component("api", "a", "/one/...", "polcy = 1"))
        host.process.send_signal(signal.SIGHUP)
        says("polcy")
        (a / "tenon.toml").unlink()
        host.process.send_signal(signal.SIGHUP)
        says("there is no")
        host.must_say(("/one", HELLO))


def _leads_to(link):
    try:
        return os.readlink(link)
    except OSError:
        return ""  # it was closed meanwhile


def apps_that_fail_to_come_leave_nothing_behind():
    with Folder() as top, Host(top) as host:
        host.start(host.write("one", _component("api", "a", "/one/..."), a=HELLO))
        two = host.write("two", _component("api", "nothing", "/two/..."))
        body = json.dumps({"path": str(two / "tenon.toml")})

        def comes(name, **fields):
            return ask(host.socket, f"/v1/apps/{name}/apply", "POST", body=body, headers=[("Content-Type", "application/json"), *fields.items()])

        def threads_and_maps():
            of = Path(f"/proc/{host.process.pid}")
            return len(list((of / "task").iterdir())), len((of / "maps").read_text().splitlines())

        for i in range(120):
            if i == 40:
                before = threads_and_maps()
            a = comes("two")
            check(a.status == 202, a.body)
            op = json.loads(a.body)["operation"]
            o = host.json(f"/v1/operations/{op}?wait=60s")
            check(o["state"] == "failed" and "nothing.wasm" in o["error"]["message"], o)
        after = threads_and_maps()
        check(after[1] < before[1] + 60, f"threads and mappings {before} before, {after} after 80 more")
        check(comes("two", **{"If-Match": "5"}).status == 412, "another release")
        lock = top / "two" / ".tenon/default/two"
        held = [at for p in Path(f"/proc/{host.process.pid}/fd").iterdir() if str(lock) in (at := _leads_to(p))]
        check(not held, held)
        (two / "nothing.wasm").write_bytes(MISBEHAVE.read_bytes())
        host.tenon("apply", two)
        host.must_say(("/two", MISBEHAVE), ("/one", HELLO))


def members_of_another_kind_are_refused():
    with Folder() as top, Host(top) as host:
        app = host.write("shop", _component("api", "a", "/...") + '[link.store]\ntype = "file"\npath = "a.db"\n', a=HELLO)
        host.start(app)
        host.tenon("scale", "api", "--max", 3)
        target = f"file:{top}/b.db"
        for path, body in (("stop", {"dry_run": "true"}), ("stop", {"dry_run": None}), ("undo", {"to": "1"}), ("undo", {"to": -7}), ("undo", {"to": 1.5}), ("undo", {"dry_run": 1}),
                ("apply", {"path": 1}), ("apply", {"path": str(app / "tenon.toml"), "dry_run": "true"}), ("links/store", {"dry_run": "true", "target": target}),
                ("links/store", {"copy": 1, "target": target}), ("links/store", {"target": [target]}), ("links/store", {"shadow": "5", "target": target}),
                ("links/store", {"max_pause_ms": 0.5, "target": target}), ("links/store", {"target": "memory:a\0b"}), ("apply", {"path": "/a\0b"}),
                ("components/api/scale", {"idle": "5s\0"}), ("components/api/scale?dry_run=1", {"max": 4}), ("components/api/scale?queue=no", {"max": 4}), ("variables?dry_run", {"x": "y"}),
                ("components/api/versions/rollback?dry_run=yes", {}), ("components/api/links/x", {"dry_run": "true", "target": "@store"})):
            a = ask(host.socket, f"/v1/apps/shop/{path}", "POST", body=json.dumps(body), headers=[("Content-Type", "application/json")])
            check(a.status == 400 and json.loads(a.body)["error"]["code"] == "usage", f"{path} {body}: {a.status} {a.body}")
        check(len(host.history("shop")) == 2 and host.apps() == {"shop": "running"}, host.history("shop"))
        host.must_say(("/", HELLO))


def what_is_wrong_changes_nothing():
    with Folder() as top, Host(top) as host:
        a = host.write("one", _component("api", "a", "/one/..."), a=HELLO, b=MISBEHAVE)
        b = host.write("two", _component("api", "a", "/one/..."), a=MISBEHAVE)
        host.start(a)
        check("two routes are the same" in host.tenon("apply", b, status=6), "the route of another app")
        check(host.apps() == {"one": "running"}, host.apps())
        host.write("two", _component("api", "a", "/two/..."))
        host.tenon("apply", b)
        host.must_say(("/two", MISBEHAVE))
        for text, status in ((_component("api", "a", "/one/...", "polcy = 1"), 2), (_component("api", "nothing", "/one/..."), 6), (_component("api", "a", "/one/...", 'links = { "wasi:keyvalue" = "x" }'), 2)):
            host.write("one", text)
            host.tenon("apply", a, status=status)
        (a / "c.wasm").write_bytes(HELLO.read_bytes()[:-100])
        host.write("one", _component("api", "c", "/one/..."))
        host.tenon("apply", a, status=6)
        os.mkfifo(a / "pipe.wasm")
        host.write("one", _component("api", "pipe", "/one/..."))
        check("is not a file" in host.tenon("apply", a, status=6), "a pipe that nobody writes to")
        check("neither tenon.toml nor spin.toml" in host.tenon("apply", top, status=5), "no manifest")
        check("no app 'x' runs" in host.tenon("stop", "x", status=5), "x")
        host.must_say(("/one", HELLO))
        check(len(host.history("one")) == 1, host.history("one"))


def a_secret_is_set_by_a_file_whose_name_alone_is_kept():
    with Folder() as top, Host(top) as host:
        app = host.write("shop", '[variables]\ntoken = { secret = true, default = "old" }\n' + _component("api", "a", "/...", 'expose = true\nenv = { TOKEN = "${token}" }'), a=MISBEHAVE)
        file = Path(top) / "token"
        file.write_text("sesam-1\n")
        host.start(app)
        check(b"TOKEN=old" in ask(host.at[0], "/env").body, ask(host.at[0], "/env").body)
        host.tenon("set", f"token=@{file}")
        check(b"TOKEN=sesam-1\n" in ask(host.at[0], "/env").body, ask(host.at[0], "/env").body)
        check("journal" in host.tenon("set", "token=sesam-2", status=6), "a secret in the open")
        kept = (app / ".tenon/default/shop/journal").read_text()
        check("sesam" not in kept and str(file) in kept, kept)
        text = host.tenon("status", "--manifest")
        check("sesam" not in text and f'file = "{file}"' in text, text)
        host.kill()
        host.start()
        check(b"TOKEN=sesam-1\n" in ask(host.at[0], "/env").body, ask(host.at[0], "/env").body)
        host.tenon("undo")
        check(b"TOKEN=old" in ask(host.at[0], "/env").body, ask(host.at[0], "/env").body)
        file.unlink()
        host.tenon("set", f"token=@{file}", status=5)


def a_secret_of_a_default_is_that_of_the_manifest_now_where_what_was_is_made_again():
    """It is written nowhere: an undo of an apply, and an apply of what was stopped, have it from the manifest."""
    with Folder() as top, Host(top) as host:
        def write(name, secret, greeting):
            folder = host.write(name, f'[variables]\ngreeting = {{ default = "{greeting}" }}\ntoken = {{ secret = true, default = "{secret}" }}\n'
                + _component("api", "a", "/...", 'expose = true\nenv = { TOKEN = "${token}", GREETING = "${greeting}" }'), a=MISBEHAVE)
            (folder / "tenon.toml").write_text((folder / "tenon.toml").read_text().replace(f'"{name}"', '"shop"'))
            return folder

        def says(*what):
            body = ask(host.at[0], "/env").body
            check(all(w in body for w in what), body)

        one, two = write("one", "first", "hello"), write("two", "second", "good day")
        host.start(one)
        host.tenon("apply", two)
        says(b"TOKEN=second\n", b"GREETING=good day\n")
        host.tenon("undo")
        says(b"TOKEN=second\n", b"GREETING=hello\n")
        host.tenon("apply", one)
        says(b"TOKEN=first\n", b"GREETING=hello\n")
        for how in (lambda: None, lambda: (host.kill(), host.start(ready=1))):
            host.tenon("stop")
            how()
            host.tenon("apply", one)
            says(b"TOKEN=first\n", b"GREETING=hello\n")
            host.tenon("stop")
            check("there are: shop (stopped)" in host.tenon("undo", status=5), "which one there is")
            host.tenon("undo", "shop")
            says(b"TOKEN=first\n", b"GREETING=hello\n")
        kept = (one / ".tenon/default/shop/journal").read_text()
        check("second" not in kept and "first" not in kept, kept)


def clients_that_change_at_once_take_turns():
    with Folder() as top, Host(top) as host:
        app = host.write("shop", '[variables]\ngreeting = { default = "a" }\n' + _component("api", "a", "/...", 'env = { GREETING = "${greeting}" }'), a=HELLO, b=MISBEHAVE)
        host.start(app)
        rows = [[("update", "api", app / "b.wasm"), ("update", "api", app / "a.wasm"), ("update", "api", app / "b.wasm")], [("set", f"greeting={i}") for i in range(3)], [("scale", "api", "--max", i + 3) for i in range(3)]]
        with ThreadPoolExecutor(3) as pool, _Load(host.at[0]) as load:
            list(pool.map(lambda changes: [host.tenon(*c) for c in changes], rows))
        check(not load.failed, load.failed[:3])
        check(len(host.history("shop")) == 10 and b"GREETING=2\n" in ask(host.at[0], "/env").body, host.history("shop"))
        text = host.tenon("status", "--manifest")
        check("max = 5" in text and '"2"' in text, text)
        host.kill()
        host.start()
        check(b"GREETING=2\n" in ask(host.at[0], "/env").body and host.tenon("status", "--manifest") == text, text)


def _counting(link='path = "a.db"', more=""):
    return _component("api", "a", "/...", 'links = { "wasi:keyvalue" = "store" }') + f'[link.store]\ntype = "file"\n{link}\n{more}'


def _count(host, to):
    a = None
    while a is None or int(a.body) < to:
        a = ask(host.at[0], "/incr/n", "POST")
        check(a.status == 200, a)
    check(int(a.body) == to, f"{a.body} instead of {to}")


def the_same_text_in_another_folder_is_another_store_and_other_files():
    counter = shared_guest("kv") / "kv-counter-c.wasm"
    with Folder() as top, Host(top) as host:
        files = '[component.files]\nsource = "b.wasm"\nfiles = [{ host = "assets", guest = "/" }]\n'
        one = host.write("one", _counting(more=files), a=counter, b=HELLO)
        (one / "assets").mkdir()
        moved = Path(top) / "two"
        subprocess.run(["cp", "-r", str(one), str(moved)], check=True)
        (Path(top) / "link").symlink_to(one)
        host.start(Path(top) / "link")
        _count(host, 5)
        check("nothing differs" in host.tenon("apply", one), "one folder by two names")
        check("nothing differs" in host.tenon("apply", ".", cwd=one), "and from within")
        said = host.tenon("apply", moved, status=6)
        check("link store leads to another store" in said and "tenon apply PATH --copy" in said, said)
        _count(host, 6)
        (moved / "tenon.toml").write_text((moved / "tenon.toml").read_text().replace('"a.db"', f'"{one}/a.db"'))
        out = host.tenon("apply", moved)
        check("component files files" in out and f"{one}/assets" in out and f"{moved}/assets" in out and "component api source" in out and "link" not in out, out)
        _count(host, 7)


def apps_that_share_a_file_by_other_paths_are_named():
    shared = 'links = {{ "wasi:keyvalue" = "store" }}\n[link.store]\ntype = "file"\npath = "{}"\nnamespace = "team"\n'.format
    with Folder() as top, Host(top) as host:
        (Path(top) / "data").mkdir()
        (Path(top) / "link").symlink_to("data")
        one = host.write("one", _component("api", "a", "/one/...", shared("../data/s.db")), a=COUNTER)
        two = host.write("two", _component("api", "a", "/two/...", shared("../two/../link/s.db")), a=COUNTER)
        host.start(one, two)
        said = host.tenon("link", "one", "@store", f"file:{top}/b.db", "--copy", status=6)
        check("two" in said, said)
        host.tenon("stop", "two")
        host.tenon("link", "one", "@store", f"file:{top}/b.db", "--copy")


def routes_that_meet_are_told_with_their_apps():
    with Folder() as top, Host(top) as host:
        host.start(host.write("one", _component("api", "a", "/..."), a=HELLO))
        said = host.tenon("apply", host.write("two", _component("api", "a", "/..."), a=HELLO), status=6)
        check("of one/api" in said and "of two/api" in said, said)


def a_stopped_app_starts_with_the_store_that_it_was_stopped_with():
    counter = shared_guest("kv") / "kv-counter-c.wasm"
    with Folder() as top, Host(top) as host:
        app = host.write("one", _counting(), a=counter)
        host.start(app)
        _count(host, 3)
        host.tenon("link", "@store", f"file:{app}/x.db", "--copy")
        _count(host, 6)
        host.tenon("apply", app, status=6)
        host.tenon("stop", "one")
        for again in range(2):  # in the process that stopped it, and in the next one
            said = host.tenon("apply", app, status=6)
            check("link store" in said and "x.db" in said and "tenon link" in said, said)
            check(host.apps() == {"one": "stopped"}, host.apps())
            host.kill()
            host.start()
        host.tenon("undo", "one")
        _count(host, 7)
        host.tenon("stop", "one")
        host.write("one", _counting('path = "x.db"'))
        host.tenon("apply", app)
        _count(host, 8)


def a_stopped_app_that_is_alone_at_its_address_starts_again():
    with Folder() as top, Host(top) as host:
        app = host.write("one", '[http]\naddress = ["unix:' + f"{top}/at" + '"]\n' + _component("api", "a", "/..."), a=MISBEHAVE)
        for flags in (("--addr", "127.0.0.1:0"), ()):
            host.start(app, flags=flags)
            host.tenon("stop", "one")
            for start in (("apply", app), ("undo", "one")):
                host.kill()
                host.start(flags=flags)
                check(host.apps() == {"one": "stopped"} and len(host.at) == 1, host.apps())
                host.must_say(("/", 404))
                host.tenon(*start)
                host.must_say(("/", MISBEHAVE))
                host.tenon("stop", "one")
            host.tenon("apply", app)
            host.kill()
            host.process = None

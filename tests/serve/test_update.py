"""tenon update, scale, set, undo: versions of a component and values while it serves. No request fails; each change is a release that lasts over a kill; what
can't be changed is refused, and then nothing has changed."""
import hashlib, json, os, pty, signal, subprocess, threading, time
from pathlib import Path

import component
from front import Clients, Folder, ask, connect, where
from harness import HELLO, MANY, MISBEHAVE, check, config, shared_guest
from writing import until

SAYS = {HELLO: b"Hello from a component!\n", MISBEHAVE: b"well-behaved\n"}


class _App:
    """`tenon up` of one component, whose source is a copy that may be written over."""

    def __init__(self, top, component="", more="", shards=2):
        self.top, self.shards = Path(top), shards
        self.env = {**os.environ, "TENON_CTL": str(self.top / "ctl"), "TENON_CACHE": str(self.top / "cache")}
        self.source = self.top / "app.wasm"
        self.source.write_bytes(HELLO.read_bytes())
        (self.top / "tenon.toml").write_text(f'tenon = 1\n[app]\nname = "shop"\n[component.api]\nsource = "app.wasm"\n{component}\n[[trigger.http]]\nroute = "/..."\ncomponent = "api"\n{more}')
        self.start()

    def start(self):
        self.process = subprocess.Popen([str(config.tenon), "up", str(self.top), "--addr", "127.0.0.1:0", "--shards", str(self.shards)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, env=self.env, text=True, start_new_session=True)
        ready = self.process.stdout.readline()
        check(ready.startswith("ready "), f"not ready: {ready}")
        self.at = where(ready[6:-1])
        self.socket = str(self.top / "ctl" / f"{self.process.pid}.sock")

    def post(self, path, body=b"", *fields):
        """The status of a change that is asked for with these bytes."""
        s = connect(self.socket)
        with s:
            s.sendall("\r\n".join([f"POST {path} HTTP/1.1", "Host: tenon", f"Content-Length: {len(body)}", "Connection: close", *fields, "", ""]).encode() + body)
            return int(s.makefile("rb").readline().split()[1])

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.process.send_signal(signal.SIGTERM if kind is None else signal.SIGKILL)
        self.process.communicate(timeout=60)
        check(kind is not None or self.process.returncode == 0, f"it ended with {self.process.returncode}")

    def kill(self):
        self.process.kill()
        self.process.communicate(timeout=60)

    def tenon(self, *args, status=0):
        r = subprocess.run([str(config.tenon), *map(str, args)], capture_output=True, text=True, timeout=120, env=self.env)
        check(r.returncode == status, f"tenon {args}: {r.returncode} instead of {status}: {r.stdout} {r.stderr}")
        return r.stdout if status == 0 else r.stderr

    def get(self, what):
        return json.loads(ask(self.socket, f"/v1/apps/shop/{what}").body)

    def releases(self):
        return self.get("releases")["releases"]

    def events(self):
        a = ask(self.socket, "/v1/apps/shop/events?follow=false")
        return [json.loads(line[6:]) for line in a.body.decode().splitlines() if line.startswith("data: ")]

    def says(self, path="/"):
        a = ask(self.at, path)
        return a.status, a.body

    def must_say(self, file):
        for _ in range(4):
            check(self.says() == (200, SAYS[file]), f"it answers {self.says()}")


class _Load(Clients):
    """Requests all the time; `.failed`: those that did not get 200."""

    def __init__(self, at, path="/", n=4):
        super().__init__(n)
        self.at, self.path, self.counts = at, path, {}

    def one(self, i):
        a = ask(self.at, self.path)
        with self.lock:
            self.counts[bytes(a.body)] = self.counts.get(bytes(a.body), 0) + 1
        if a.status != 200:
            self.failed.append((a.status, bytes(a.body)))


def a_component_gets_another_version_under_load_and_no_request_fails():
    with Folder() as top, _App(top) as app:
        with _Load(app.at) as load:
            for i in range(6):
                app.tenon("update", "api", (MISBEHAVE, HELLO)[i % 2])
        check(not load.failed and sum(load.counts.values()) > 0, f"{len(load.failed)} of {load.counts} failed: {load.failed[:3]}")
        app.must_say(HELLO)
        releases = app.releases()
        check(len(releases) == 7 and releases[0]["in_force"] and releases[0]["updated"]["component"] == "api", releases[0])


def a_version_lasts_over_a_kill_and_its_file_may_go():
    with Folder() as top, _App(top) as app:
        file = Path(top) / "next.wasm"
        file.write_bytes(MISBEHAVE.read_bytes())
        app.tenon("update", "shop/api", file)
        file.unlink()
        app.kill()
        app.start()
        app.must_say(MISBEHAVE)
        check(len(app.releases()) == 2, app.releases())


def a_rollback_has_the_bytes_of_before_also_where_their_file_was_written_over():
    with Folder() as top, _App(top) as app:
        time.sleep(0.5)  # what it started with is kept soon
        app.source.write_bytes(MISBEHAVE.read_bytes())
        app.must_say(HELLO)
        app.tenon("update", "api", app.source)
        app.must_say(MISBEHAVE)
        app.tenon("update", "api", "--rollback")
        app.must_say(HELLO)
        check("tried" not in app.tenon("status") and "tried" not in app.tenon("status", "--json"), "it is tried no more")
        check("no version to go back to" not in app.tenon("undo"), "undo")
        app.must_say(MISBEHAVE)
        app.tenon("undo", "--to", 1)
        app.must_say(HELLO)
        app.kill()
        app.start()
        app.must_say(HELLO)


def each_rollback_goes_one_version_further_back():
    with Folder() as top, _App(top) as app:
        for file in (MISBEHAVE, MANY, MISBEHAVE):
            app.tenon("update", "api", file, "--accept")
        app.tenon("update", "api", MANY, "--percent", "10", "--accept")
        app.tenon("update", "api", "--rollback")  # that was no update
        for file in (MANY, MISBEHAVE, HELLO):
            app.tenon("update", "api", "--rollback")
            check(hashlib.sha256(file.read_bytes()).hexdigest() in app.tenon("status", "--manifest"), f"not back at {file}")
        check("no version to go back to" in app.tenon("update", "api", "--rollback", status=6), "there is none before the first one")
        check(app.releases()[0]["release"] == 9, app.releases()[0])
        app.must_say(HELLO)


def bytes_that_are_not_kept_any_more_are_told_by_their_sum():
    with Folder() as top, _App(top) as app:
        app.tenon("update", "api", MISBEHAVE)
        app.tenon("update", "api", MANY, "--accept")
        for n in range(11):
            app.tenon("scale", "shop/api", "--max", 10 + n)
        said = app.tenon("update", "api", "--rollback", status=6)
        check(hashlib.sha256(MISBEHAVE.read_bytes()).hexdigest() in said and "not kept any more" in said and "hint:" in said, said)
        check("line" not in app.tenon("scale", "shop/api", "--max", 1, "--min", 2, status=2), "a place is told once")


def a_share_of_the_requests_is_exact_until_it_is_promoted_or_rolled_back():
    with Folder() as top, _App(top, shards=1) as app:
        app.tenon("update", "api", MISBEHAVE, "--percent", 20)
        got = [app.says()[1] for _ in range(100)]
        check(got.count(SAYS[MISBEHAVE]) == 20, got.count(SAYS[MISBEHAVE]))
        check("is tried" in app.tenon("update", "api", HELLO, status=6), "another one was taken beside it")
        app.tenon("update", "api", "--percent", 50)
        tried = json.loads(app.tenon("status", "--json"))["apps"][0]["tried"]
        had, has = (hashlib.sha256(f.read_bytes()).hexdigest() for f in (HELLO, MISBEHAVE))
        versions = app.get("components/api/versions")["versions"]
        check([(v["percent"], v["sha256"], v.get("tried", False)) for v in versions] == [(50, had, False), (50, has, True)], versions)
        check(tried["component"] == "api" and tried["percent"] == 50 and f"50 % of its requests go to a version that is tried, {tried['sha256'][:12]}" in app.tenon("status"), tried)
        check([app.says()[1] for _ in range(100)].count(SAYS[MISBEHAVE]) == 50, "not half of them")
        app.tenon("update", "api", "--rollback")
        app.must_say(HELLO)
        check("no version that is tried" in app.tenon("update", "api", "--promote", status=6), "promoted nothing")
        app.tenon("update", "api", MISBEHAVE, "--percent", 1)
        app.tenon("update", "api", "--promote")
        app.must_say(MISBEHAVE)
        app.kill()
        app.start()
        app.must_say(MISBEHAVE)
        app.tenon("update", "api", "--rollback")
        app.must_say(HELLO)


def what_it_has_already_is_nothing_to_try():
    with Folder() as top, _App(top) as app:
        for file in (HELLO, MISBEHAVE):
            app.tenon("update", "api", file)
            check("has these bytes already" in app.tenon("update", "api", file, "--percent", "10", status=6), "the same again")
            check("no version that is tried" in app.tenon("update", "api", "--promote", status=6), "none is tried")
        app.tenon("update", "api", HELLO)
        app.must_say(HELLO)


def a_share_lasts_over_a_kill_until_it_is_promoted_or_rolled_back():
    def tried(app):
        deadline = time.monotonic() + 60
        while SAYS[MISBEHAVE] not in [app.says()[1] for _ in range(20)] and time.monotonic() < deadline:
            time.sleep(0.05)
        return [app.says()[1] for _ in range(100)].count(SAYS[MISBEHAVE])

    with Folder() as top, _App(top, shards=1) as app:
        app.tenon("update", "api", MISBEHAVE, "--percent", 50)
        app.tenon("update", "api", "--percent", 20)
        app.tenon("scale", "api", "--max", 100, status=6)
        app.kill()
        app.start()
        check(tried(app) == 20 and len(app.releases()) == 3, "the share of before")
        app.kill()
        app.start()
        check(tried(app) == 20, "and once more")
        app.tenon("update", "api", "--promote")
        app.must_say(MISBEHAVE)
        app.kill()
        app.start()
        app.must_say(MISBEHAVE)
        app.tenon("update", "api", HELLO, "--percent", 50)
        app.tenon("update", "api", "--rollback")
        app.kill()
        app.start()
        time.sleep(0.5)
        for _ in range(5):
            app.must_say(MISBEHAVE)


def a_version_that_fails_is_taken_back_by_itself():
    with Folder() as top, _App(top, 'update = { rollback = { errors = "5%", over = "20s" } }') as app:
        app.tenon("update", "api", MISBEHAVE)
        with _Load(app.at, "/recurse"):
            deadline = time.monotonic() + 60
            while len(app.releases()) < 3 and time.monotonic() < deadline:
                time.sleep(0.1)
        app.must_say(HELLO)
        check(app.releases()[0]["rolled_back"]["component"] == "api", app.releases()[0])
        taken = [e for e in app.events() if e["kind"] == "taken-back"]
        check(len(taken) == 1 and "calls failed" in taken[0]["why"], taken)
        app.kill()
        app.start()
        app.must_say(HELLO)


def what_has_the_same_bytes_is_not_taken_back():
    with Folder() as top, _App(top, 'env = { GREETING = "${greeting}" }\nupdate = { rollback = { errors = "1%", over = "1s" } }', '[variables]\ngreeting = { default = "hello" }\n') as app:
        app.tenon("update", "api", MISBEHAVE)
        check(until(lambda: "watched" not in app.get("status")["components"][0]), "its time is over")
        app.tenon("set", "greeting=other")
        ends = time.monotonic() + 2
        while time.monotonic() < ends:
            for _ in range(10):
                check(app.says("/trap")[0] == 500, "a trap")
            check(b"GREETING=other" in app.says("/env")[1], "what serves is what is in force")
        check(not [e for e in app.events() if e["kind"] == "taken-back"] and len(app.releases()) == 3, app.releases())


def what_is_no_version_changes_nothing():
    with Folder() as top, _App(top) as app:
        bad = Path(top) / "bad.wasm"
        bad.write_bytes(HELLO.read_bytes()[:-100])
        app.tenon("update", "api", bad, status=6)
        text = Path(top) / "text.wasm"
        text.write_text("no component at all\n")
        check(str(text) in app.tenon("update", "api", text, status=3), "what it is by its own name")
        pipe = Path(top) / "pipe.wasm"
        os.mkfifo(pipe)
        check("not a file" in app.tenon("update", "api", pipe, status=5), "a pipe is not waited for")
        check("no component" in app.tenon("update", "none", HELLO, status=2), "a component that isn't there")
        check("one of them" in app.tenon("update", "api", status=2), "nothing asked for")
        app.tenon("update", "api", MISBEHAVE, "--dry-run")
        check(app.post("/v1/apps/shop/components/api/versions?sha256=" + "0" * 64, HELLO.read_bytes()) == 202, "another sum fails later")
        check(app.post("/v1/apps/shop/components/api/versions", HELLO.read_bytes()) == 400, "without a sum")
        check(app.post("/v1/apps/shop/components/api/versions?sha256=" + "0" * 64) == 400, "without bytes")
        time.sleep(0.5)
        app.must_say(HELLO)
        check(len(app.releases()) == 1, app.releases())


def values_and_instances_change_while_it_serves():
    with Folder() as top, _App(top, 'env = { GREETING = "${greeting}", TOKEN_ID = "x" }', '[variables]\ngreeting = { default = "hello" }\ntoken = { secret = true }\n') as app:
        app.tenon("update", "api", MISBEHAVE)
        check(b"GREETING=hello" in app.says("/env")[1], app.says("/env"))
        before = len(app.releases())
        for what in (("set", "shop", "greeting=other"), ("scale", "api", "--max", "7")):
            check("nothing was changed" in app.tenon(*what, "--dry-run"), what)
        check(app.post("/v1/apps/shop/components/api/versions/rollback?dry_run=true") == 400, "what has no dry run says so")
        check(b"GREETING=hello" in app.says("/env")[1] and len(app.releases()) == before, f"a dry run: {app.releases()}")
        with _Load(app.at) as load:
            app.tenon("set", "shop", 'greeting=good "day"')
            check(b'GREETING=good "day"' in app.says("/env")[1], app.says("/env"))
            app.tenon("scale", "api", "--policy", "reuse", "--max", 8, "--idle", "5s")
            app.tenon("scale", "api", "--max", "none")
        check(not load.failed, load.failed[:3])
        check("secret" in app.tenon("set", "token=abc", status=6), "a secret")
        check("no variable" in app.tenon("set", "nothing=abc", status=2), "no variable")
        check("'greeting' is given twice" in app.tenon("set", "greeting=a", "greeting=b", status=2), "twice")
        check("one of them" in app.tenon("scale", "api", status=2), "nothing")
        app.tenon("scale", "api", "--min", 2)
        app.kill()
        app.start()
        check(app.get("variables") == {"app": "shop", "variables": [{"variable": "greeting", "secret": False, "from": "set", "value": 'good "day"'}, {"variable": "token", "secret": True, "from": "nowhere"}]}, app.get("variables"))
        check(app.get("components/api/scale") == {"app": "shop", "component": "api", "policy": "reuse", "min": 2, "max": "none", "idle": "5s"}, app.get("components/api/scale"))
        check(app.get("components/nobody/scale")["error"]["message"] == "there is no component 'nobody'", app.get("components/nobody/scale"))
        check(b'GREETING=good "day"' in app.says("/env")[1], app.says("/env"))
        app.tenon("undo", "--to", 2)
        check(b"GREETING=hello" in app.says("/env")[1], app.says("/env"))
        check("in force" in app.tenon("undo", "--to", app.releases()[0]["release"], status=6), "to itself")


def what_is_kept_ready_may_be_none_again():
    with Folder() as top, _App(top) as app:
        for flags, says in ((("--min", 2), (2, 60_000)), (("--idle", "500us"), (2, 0.5)), (("--min", 0, "--idle", "1.5s"), (0, 1500))):
            app.tenon("scale", "shop/api", *flags)
            scale = json.loads(ask(str(app.top / "ctl" / f"{app.process.pid}.sock"), "/v1/apps/shop/components/api/scale").body)
            check(scale["min"] == says[0], f"{flags}: {scale}")
            check({60_000: "1m", 0.5: "500us", 1500: "1500ms"}[says[1]] == scale["idle"], f"{flags}: {scale}")
        check("no number of instances" in app.tenon("scale", "shop/api", "--min", "none", status=2).replace("not a number", "no number"), "none is no number of them")


def a_change_is_asked_for_at_the_release_that_was_looked_at():
    with Folder() as top, _App(top) as app:
        for release, status in ((7, 412), (1, 202)):
            got = app.post("/v1/apps/shop/components/api/scale", b'{"max": 3}', f"If-Match: {release}")
            check(got == status, f"{release}: {got}")
        deadline = time.monotonic() + 30
        while len(app.releases()) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        check(len(app.releases()) == 2, app.releases())
        for path, body, status in (("/v1/apps/shop/undo", b'{"to": 1}', 202), ("/v1/apps/shop/undo", b'{"other": 1}', 400), ("/v1/apps/shop/variables", b"{}", 400),
                ("/v1/apps/shop/components/api/versions/other", b"", 404), ("/v1/apps/none/undo", b"{}", 404)):
            check(app.post(path, body) == status, f"{path} {body}")


def history_says_to_what_it_was_changed_and_no_secret():
    with Folder() as top:
        (top / "word").write_text("quite-secret")
        variables = '[variables]\ngreeting = { default = "hello" }\nat = { default = "" }\nword = { default = "x", secret = true }\n'
        with _App(top, "", variables) as app:
            app.tenon("scale", "api", "--policy", "reuse", "--min", "1", "--max", "none", "--idle", "5s")
            app.tenon("set", "greeting=a b", "at=redis://me:pass-word@host/1", f"word=@{top}/word")
            app.tenon("set", "greeting=" + "ä" * 1000)
            told = [json.loads(line)["what"] for line in app.tenon("history", "--json").splitlines()]
            check(told[1] == "set greeting=a b at=redis://me:***@host/1 word", told)
            check(told[2] == "scale api policy=reuse min=1 max=none idle=5000ms", told)
            check(told[0] == "set greeting=" + "ä" * 32 + "…", told)


def history_tells_what_was_changed_the_newest_first():
    with Folder() as top, _App(top, "", "[variables]\ngreeting = { default = \"hello\" }\n") as app:
        app.tenon("set", "greeting=a\nb")
        app.tenon("update", "api", MISBEHAVE)
        lines = app.tenon("history").splitlines()
        check(len(lines) == 4 and lines[0].split() == ["release", "when", "what"], lines)
        check([(line[:10].split()[-1], line[0]) for line in lines[1:]] == [("3", "*"), ("2", " "), ("1", " ")] and "update api" in lines[1] and "start" in lines[3], lines)
        found = [json.loads(line) for line in app.tenon("history", "shop", "--json").splitlines()]
        check([(o["release"], o["in_force"], o.get("operation")) for o in found] == [(3, True, "shop-2"), (2, False, "shop-1"), (1, False, None)], found)
        check(abs(found[0]["time"] - time.time()) < 600 and "live" not in found[0], found[0])
        check("no app 'x' runs" in app.tenon("history", "x", status=5), "of nobody")


def memory_and_descriptors_stay_flat():
    with Folder() as top, _App(top) as app:
        def used():
            return len(os.listdir(f"/proc/{app.process.pid}/fd")), int(Path(f"/proc/{app.process.pid}/statm").read_text().split()[1]) * 4
        for i in range(10):
            app.tenon("update", "api", (MISBEHAVE, HELLO)[i % 2])
        before = used()
        for i in range(30):
            app.tenon("update", "api", (MISBEHAVE, HELLO)[i % 2])
        deadline = time.monotonic() + 60
        while (after := used())[0] > before[0] + 2 and time.monotonic() < deadline:
            time.sleep(0.1)  # what is compiled is written to the cache behind the answer
        check(after[0] <= before[0] + 2 and after[1] < before[1] + 6000, f"{before} -> {after}")
        blobs = list((Path(top) / ".tenon/default/shop/blobs").iterdir())
        check(len(blobs) == 2, blobs)



def _at_a_terminal(app, answer, *args):
    """(status, what is said) of a command of somebody who answers that."""
    main, side = pty.openpty()
    r = subprocess.Popen([str(config.tenon), *map(str, args)], stdin=side, stdout=subprocess.DEVNULL, stderr=side, env=app.env)
    os.close(side)
    said = b""
    while b"[y/N]" not in said and r.poll() is None:
        said += os.read(main, 4096)
    os.write(main, answer)
    status = r.wait(60)
    os.close(main)
    return status, said


def what_a_version_imports_besides_is_named_and_must_be_accepted_where_it_reaches_something_by_it():
    proxy = shared_guest("http") / "proxy-rust.wasm"
    with Folder() as top, _App(top, 'network = ["http://127.0.0.1:9"]') as app:
        with _Load(app.at) as load:
            for more in ((), ("--percent", 10)):
                said = app.tenon("update", "api", proxy, *more, status=6)
                check("wasi:http/outgoing-handler" in said and "(net)" in said and "--accept" in said, said)
            check("+ import wasi:http/outgoing-handler" in app.tenon("update", "api", proxy, "--dry-run"), "a dry run names them")
            check("about a file" in app.tenon("update", "api", "--promote", "--accept", status=2), "without a file there is nothing to accept")
            status, said = _at_a_terminal(app, b"n\n", "update", "api", proxy)
            check(status == 6 and b"wasi:http/outgoing-handler" in said, f"{status} {said}")
            check(len(app.releases()) == 1, "something came of what was refused")
        check(not load.failed, load.failed[:3])
        app.must_say(HELLO)
        said = app.tenon("update", "api", proxy, "--accept")
        check("+ import wasi:http/outgoing-handler" in said and ": net" in said and "is in force" in said, said)
        check("import" not in app.tenon("update", "api", HELLO), "less than before is no question")
        status, said = _at_a_terminal(app, b"y\n", "update", "api", proxy)
        check(status == 0 and len(app.releases()) == 4, f"{status} {said}")
        app.tenon("update", "api", "--rollback")
        app.tenon("undo")  # it was accepted once
        app.tenon("update", "api", HELLO)
        digest = hashlib.sha256(proxy.read_bytes()).hexdigest()
        for more, state in (("", "failed"), ("&accept=true", "done")):
            check(app.post(f"/v1/apps/shop/components/api/versions?sha256={digest}{more}", proxy.read_bytes()) == 202, "posted")
            check(until(lambda: [e for e in app.events() if e["kind"] == "operation" and not e["busy"]][-1]["state"] == state), f"{state}: {app.events()[-1]}")
        last = [e for e in app.events() if e["kind"] == "operation" and not e["busy"]][-1]
        check({"component": "api", "grant": "net"}.items() <= [x for x in last["imports"] if "grant" in x][0].items(), last)


def what_gives_a_version_nothing_is_named_only():
    """It may ask for files and the network, of which the manifest grants none."""
    with Folder() as top, _App(top) as app:
        said = app.tenon("update", "api", shared_guest("http") / "proxy-rust.wasm")
        check("+ import " in said and "is in force" in said, said)


def a_value_that_changes_leaves_the_bytes_as_they_are_whatever_their_file_has_by_now():
    """What set and scale make anew is what runs; the file counts again when it is applied."""
    with Folder() as top, _App(top, 'env = { GREETING = "${greeting}" }', '[variables]\ngreeting = { default = "hello" }\n') as app:
        check(until(lambda: app.get("components/api/versions")["versions"][0].get("sha256")), "what it started with is kept")
        app.source.write_bytes(MISBEHAVE.read_bytes())
        app.tenon("set", "greeting=a")
        app.must_say(HELLO)
        check("/blobs/" in app.get("status")["components"][0]["source"], "what it was loaded from is told")
        app.tenon("scale", "api", "--max", "3")
        app.must_say(HELLO)
        app.tenon("undo")
        app.must_say(HELLO)
        check("source = \"app.wasm\"" in app.tenon("status", "--manifest"), "the manifest is as it was")
        app.tenon("apply", top)
        app.must_say(MISBEHAVE)
        app.tenon("set", "greeting=b")
        app.must_say(MISBEHAVE)
        check(app.get("status")["components"][0]["source"].endswith("app.wasm"), "its file is what was applied")


def where_nothing_is_kept_of_what_runs_a_value_is_refused_instead_of_other_bytes():
    with Folder() as top, _App(top, 'init = "once"\nlimits = { deadline = "2m" }\nenv = { GREETING = "${greeting}" }', '[variables]\ngreeting = { default = "hello" }\n', shards=1) as app:
        app.kill()
        app.source.write_bytes(component.handler(start=component.sleep(4 * 10**9)))
        over = threading.Timer(2, lambda: app.source.write_bytes(HELLO.read_bytes()))
        over.start()
        app.start()
        over.join()
        if app.says()[0] == 200:
            return  # a machine so slow that it was loaded after that
        said = app.tenon("set", "greeting=a", status=6)
        check("was written over since it was loaded" in said and "tenon apply" in said, said)
        check(app.says()[0] == 500, "what ran runs")
        app.tenon("apply", top)
        app.tenon("set", "greeting=a")
        app.must_say(HELLO)


def what_is_wrong_with_an_update_is_told_of_the_file_that_was_given():
    with Folder() as top, _App(top, "", '[link.store]\ntype = "memory"\n') as app:
        none, cut = Path(top) / "none.wasm", Path(top) / "cut.wasm"
        none.write_text("hello\n")
        cut.write_bytes(HELLO.read_bytes()[:-100])
        said = app.tenon("update", "api", none, status=3)
        check(f"'{none}' is not WebAssembly" in said and "hint: " in said, said)
        said = app.tenon("update", "api", cut, status=6)
        check(f"in: '{cut}'" in said and "blobs" not in said, said)
        said = app.tenon("link", "@store", "redis://127.0.0.1:1/0", status=6)
        check("the connection was refused" in said and "hint: the target must answer" in said, said)
        app.must_say(HELLO)

"""The control socket: where it is, its routes (with curl, as docs/control.md shows them), what comes to it from who means ill, and `tenon status`."""
import contextlib, json, os, pty, re, shutil, signal, socket, stat, subprocess, threading, time

from front import Folder, Front, ask, connect, where
from harness import HELLO, MISBEHAVE, TOP, Skip, check, config
from writing import until

ROUTES = re.compile(r'^ROUTE\((\w+), "([A-Z]+)", "([^"]+)", ([012]), "([^"]*)"\)$', re.M)


def _routes():
    return [(m.group(2), m.group(3)) for m in ROUTES.finditer((TOP / "src/platform/ctl/routes.def").read_text())]


class _Control(Front):
    """A server whose control socket lies in `folder`."""

    def __init__(self, folder, *flags, file=HELLO, **more):
        self.folder = folder
        self.env = {"TENON_CTL": str(folder)}
        super().__init__(file, "--addr", "127.0.0.1:0", *flags, env={**self.env, **more.pop("env", {})}, **more)
        self.socket = str(folder / f"{self.pid}.sock")

    def ask(self, path, method="GET", **more):
        return ask(self.socket, path, method, **more)

    def json(self, path, method="GET", status=200, **more):
        a = self.ask(path, method, **more)
        check(a.status == status and a.values("content-type") == ["application/json"], f"{method} {path}: {a.status} {a.headers} {a.body[:300]}")
        return json.loads(a.body)

    def curl(self, path, *args):
        if not shutil.which("curl"):
            raise Skip("curl is not there")
        r = subprocess.run(["curl", "-sS", "-N", "--unix-socket", self.socket, *args, "http://tenon" + path], capture_output=True, text=True, timeout=30)
        check(r.returncode == 0, f"curl {path}: {r.returncode} {r.stderr}")
        return r.stdout

    def tenon(self, *args, status=0):
        return _tenon(self.env, *args, status=status)


def _tenon(env, *args, status=0):
    r = subprocess.run([str(config.tenon), *args], capture_output=True, text=True, timeout=60, env={**os.environ, **env})
    check(r.returncode == status, f"tenon {args}: {r.returncode} {r.stdout} {r.stderr}")
    return r.stdout if status == 0 else r.stderr


def it_lies_in_a_folder_that_nobody_else_may_look_into():
    with Folder() as top:
        folder = top / "a" / "ctl"
        with _Control(folder) as s:
            check(stat.S_IMODE(os.stat(folder).st_mode) == 0o700 and stat.S_ISSOCK(os.stat(s.socket).st_mode), os.stat(folder))
        check(not os.listdir(folder), "the socket was left there")
        os.chmod(folder, 0o755)
        r = subprocess.run([str(config.tenon), "serve", str(HELLO), "--addr", "127.0.0.1:0"], capture_output=True, text=True, timeout=30, env={**os.environ, "TENON_CTL": str(folder)})
        check(r.returncode == 5 and "others may look into it" in r.stderr and r.stdout == "", f"{r.returncode} {r.stdout} {r.stderr}")
        check("others may look into it" in _tenon({"TENON_CTL": str(folder)}, "status", status=5), "a client took it")


def the_folder_is_found_by_the_rules():
    with Folder() as top:
        env = {k: v for k, v in os.environ.items() if k not in ("TENON_CTL", "XDG_RUNTIME_DIR")}
        (top / "run").mkdir(0o700)
        for more, hint in (({"TENON_CTL": str(top / "x"), "XDG_RUNTIME_DIR": str(top / "run")}, str(top / "x")), ({"XDG_RUNTIME_DIR": str(top / "run")}, str(top / "run/tenon")),
                ({"TENON_CTL": "", "XDG_RUNTIME_DIR": str(top / "run")}, str(top / "run/tenon"))):
            r = subprocess.run([str(config.tenon), "status"], capture_output=True, text=True, timeout=30, env={**env, **more})
            check(r.returncode == 5 and hint in r.stderr and "no tenon of this user runs" in r.stderr, f"{more}: {r.returncode} {r.stderr}")
        with Front(HELLO, "--addr", "127.0.0.1:0", env={"TENON_CTL": "", "XDG_RUNTIME_DIR": str(top / "run")}) as s:
            check((top / "run/tenon" / f"{s.pid}.sock").exists(), "no socket in $XDG_RUNTIME_DIR/tenon")


def one_that_does_not_answer_is_said_to_run():
    with Folder() as top, _Control(top / "ctl") as s:
        os.kill(s.pid, signal.SIGSTOP)
        said = s.tenon("status", status=5)
        os.kill(s.pid, signal.SIGCONT)
        check(f"process {s.pid}" in said and "does not answer" in said and "no tenon" not in said, said)
        s.tenon("status")


def one_that_was_not_named_may_be_missing_and_the_server_serves():
    with Folder() as top:
        (top / "file").write_text("no folder")
        with Front(HELLO, "--addr", "127.0.0.1:0", env={"TENON_CTL": "", "XDG_RUNTIME_DIR": str(top / "file")}) as s:
            check(ask(s.at[0], "/").status == 200, "it doesn't serve")
            check(s.logged("no control socket"), s.log())


def a_path_that_is_too_long_is_said():
    with Folder() as top:
        err = _tenon({"TENON_CTL": str(top / ("x" * 120))}, "serve", str(HELLO), "--addr", "127.0.0.1:0", status=5)
        check("longer than 107 bytes" in err and "TENON_CTL" in err, err)


def clients_ask_each_and_remove_those_that_refuse():
    with Folder() as folder:
        dead = folder / "999999.sock"
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(str(dead))
        (folder / "notes.sock").write_text("not ours")
        with _Control(folder) as a, _Control(folder) as b:
            lines = [json.loads(line) for line in a.tenon("--json", "status").splitlines()]
            check(sorted(line["pid"] for line in lines) == sorted([a.pid, b.pid]), lines)
            check(not dead.exists() and (folder / "notes.sock").exists(), os.listdir(folder))
            err = a.tenon("status", "hello", status=2)
            check("several tenons run an app 'hello'" in err, err)
            b.process.send_signal(signal.SIGKILL)
            b.process.wait()
            check(a.tenon("--json", "status", "hello").count("\n") == 1, "the other one is still asked")
            check(not os.path.exists(b.socket), "its socket is still there")
            b.process.returncode = 0  # it was meant to


def _once(look, done):
    """What look() gives once that is done, or after seconds: a request is counted, and has its receipt, a moment behind its answer."""
    for _ in range(500):
        found = look()
        if done(found):
            break
        time.sleep(0.02)
    return found


def status_says_what_runs():
    with Folder() as folder, _Control(folder, "--policy", "reuse", shards=2) as s:
        for _ in range(7):
            check(ask(s.at[0], "/").status == 200, "no answer")
        o = _once(lambda: s.json("/v1/status"), lambda o: o["apps"][0]["components"][0]["requests"] == 7)
        check(o["format"] == "tenon.status/1" and o["pid"] == s.pid and o["state"] == "ready" and o["urls"] == s.urls and o["shards"] == 2, o)
        check(abs(o["started"] - time.time()) < 600 and o["memory"] > 1 << 20, o)
        app = o["apps"][0]
        check(app["app"] == "hello" and app["tenant"] == "default" and app["busy"] is False, app)
        c = app["components"][0]
        check(c["component"] == "hello" and c["policy"] == "reuse" and c["requests"] == 7 and c["errors"] == 0 and c["p99_us"] >= c["p50_us"] > 0, c)
        check(s.json("/v1/apps/hello/status") == app | {"components": [c | {k: s.json("/v1/apps/hello/status")["components"][0][k] for k in ("cpu",)}]}, "the app alone")
        text = s.tenon("status")
        check("hello" in text and s.urls[0] in text and "reuse" in text and max(map(len, text.splitlines())) <= 80, text)
        check(json.loads(s.tenon("status", "hello", "--json"))["components"][0]["requests"] == 7, "status --json")
        err = s.tenon("status", "nobody", status=5)
        check("no app 'nobody' runs" in err and "hello" in err, err)


def curl_can_ask_every_route():
    asked = set()

    def curl(s, method, route, path, *args):
        asked.add((method, route))
        return s.curl(path, "-X", method, *args)

    with Folder() as folder, _Control(folder) as s:
        check(json.loads(curl(s, "GET", "/v1/status", "/v1/status"))["pid"] == s.pid, "status")
        check(json.loads(curl(s, "GET", "/v1/apps/{app}/status", "/v1/apps/hello/status"))["app"] == "hello", "app status")
        events = curl(s, "GET", "/v1/apps/{app}/events", "/v1/apps/hello/events?follow=false")
        check(re.match(r'id: 1\ndata: \{"id":1,"time":[\d.]+,"app":"hello","kind":"app","state":"running"\}\n\n$', events), events)
        ask(s.at[0], "/x?y=z")
        r = _once(lambda: json.loads(curl(s, "GET", "/v1/apps/{app}/receipts", "/v1/apps/hello/receipts"))["receipts"], lambda found: found)[0]
        check(r["path"] == "/x" and r["method"] == "GET" and r["outcome"] == "ok" and r["component"] == "hello", r)
        o = json.loads(curl(s, "GET", "/v1/apps/{app}/explain", f"/v1/apps/hello/explain?request={r['id']}"))
        check(o == {"request": {**r, "calls": []}, "means": "the guest answered and returned"}, o)
        o = json.loads(curl(s, "GET", "/v1/apps/{app}/explain", "/v1/apps/hello/explain?component=hello"))
        check(any(i["import"].startswith("wasi:http/types@") and i["provider"] == "wasi" for i in o["imports"]), o)
        s.process.send_signal(signal.SIGHUP)
        while "SIGHUP" not in s.log():
            time.sleep(0.01)
        lines = curl(s, "GET", "/v1/apps/{app}/logs", "/v1/apps/hello/logs?follow=false")
        check(re.match(r'id: 1\ndata: \{.*SIGHUP.*\}\n\n', lines), lines)
        check(json.loads(curl(s, "GET", "/v1/apps/{app}/releases", "/v1/apps/hello/releases")) == {"app": "hello", "releases": []}, "releases of what has no manifest")
        check(json.loads(curl(s, "GET", "/v1/apps/{app}/manifest", "/v1/apps/hello/manifest"))["error"]["code"] == "refused", "the manifest of what has none")
        check(json.loads(curl(s, "GET", "/v1/apps/{app}/history", "/v1/apps/hello/history")) == {"app": "hello", "history": []}, "history of what has no manifest")
        check(json.loads(curl(s, "GET", "/v1/apps/{app}/links", "/v1/apps/hello/links")) == {"app": "hello", "links": []}, "links")
        for path in ("variables", "components/{component}/scale", "components/{component}/versions"):
            o = json.loads(curl(s, "GET", "/v1/apps/{app}/" + path, "/v1/apps/hello/" + path.replace("{component}", "hello")))
            check(o["error"]["code"] == "refused" and "has no manifest" in o["error"]["message"], o)
        o = json.loads(curl(s, "POST", "/v1/apps/{app}/links/{link}", "/v1/apps/hello/links/store", "-H", "content-type: application/json", "-d", '{"target":"memory:"}'))
        check(o["error"]["code"] == "refused" and "it has no manifest" in o["error"]["message"], o)
        for path, body in (("components/{component}/versions", "bytes"), ("components/{component}/versions/{what}", ""), ("components/{component}/scale", '{"max":3}'), ("variables", '{"a":"b"}'),
                ("undo", "{}"), ("stop", "{}"), ("components/{component}/links/{import}", '{"target":"memory:"}'), ("apply", '{"path":"/nowhere/tenon.toml"}')):
            at = path.replace("{component}", "hello").replace("{what}", "promote").replace("{import}", "wasi%3Akeyvalue") + ("?sha256=0" if body == "bytes" else "")
            o = json.loads(curl(s, "POST", "/v1/apps/{app}/" + path, "/v1/apps/hello/" + at, "-d", body))
            check(o["error"]["code"] in ("refused", "usage"), (path, o))
        for method in ("GET", "DELETE"):
            o = json.loads(curl(s, method, "/v1/operations/{id}", "/v1/operations/hello-1"))
            check(o == {"error": {"code": "usage", "message": "there is no operation 'hello-1'"}}, o)
    check(asked == set(_routes()), f"without a test: {set(_routes()) - asked}, no routes: {asked - set(_routes())}")


def events_are_resumed_and_go_on():
    with Folder() as folder, _Control(folder) as s:
        check(s.ask("/v1/apps/hello/events?follow=false", headers=[["last-event-id", "1"]]).body == b"", "an old event came again")
        check(s.ask("/v1/apps/hello/events?follow=false&after=0").body.startswith(b"id: 1\n"), "the first event is not there")
        check(s.json("/v1/apps/hello/events?after=x", status=400)["error"]["code"] == "usage", "after=x")
        check(s.json("/v1/apps/nobody/events", status=404)["error"]["message"] == "there is no app 'nobody'", "nobody")
        with socket.socket(socket.AF_UNIX) as c:
            c.connect(s.socket)
            c.settimeout(10)
            c.sendall(b"GET /v1/apps/hello/events HTTP/1.1\r\nHost: x\r\n\r\n")
            got = b""
            while b'"state":"running"' not in got:
                got += c.recv(4096)
            check(b"text/event-stream" in got, got)
            check(s.json("/v1/status")["pid"] == s.pid, "a stream holds others up")


def wrong_requests_get_an_error_with_its_parts():
    with Folder() as folder, _Control(folder) as s:
        for path, method, status in (("/", "GET", 404), ("/v1", "GET", 404), ("/v1/status/", "GET", 404), ("/v1//status", "GET", 404), ("/v1/apps//status", "GET", 404),
                ("/v1/apps/%zz/status", "GET", 404), ("/v1/apps/%00/status", "GET", 404), ("/v1/apps/%ff/status", "GET", 404), ("/v1/apps/a%2fb/status", "GET", 404),
                ("/v1/status", "POST", 405), ("/v1/status", "DELETE", 405), ("/v1/operations/x", "PUT", 405), ("/v1/operations/-", "GET", 404),
                ("/v1/operations/hello-99999999999999999999", "GET", 404), ("/v1/operations/hello-1?wait=long", "GET", 400), ("/v1/operations/hello-1?wait=10m", "GET", 400)):
            e = s.json(path, method, status)["error"]
            check(e["code"] == "usage" and e["message"], f"{path}: {e}")
        check(s.ask("/v1/status", "HEAD").body == b"" and s.ask("/v1/status?x=%zz").status == 200, "HEAD, a query that nobody asks for")


def every_route_of_an_app_that_is_not_there_says_so_once():
    with Folder() as folder, _Control(folder) as s:
        for method, pattern in _routes():
            if "{app}" not in pattern or pattern.endswith("/apply"):  # by that one comes
                continue
            for what in ["split", "promote", "rollback"] if "{what}" in pattern else [""]:
                for query in ("", "?percent=50&dry_run=true&name=x&component=c&request=1&since=0&follow=false"):
                    path = re.sub(r"\{\w+\}", "x", pattern.replace("{app}", "nobody").replace("{what}", what)) + query
                    o = s.json(path, method, body='{"target":"memory:"}' if "/links/" in path else "{}", status=404)
                    check(o["error"]["message"] == "there is no app 'nobody'", f"{method} {path}: {o}")
        check(s.json("/v1/status")["pid"] == s.pid, "it has ended")


def ids_that_nobody_has_are_an_error_or_nothing_U36():
    with Folder() as folder, _Control(folder) as s:
        for n in (0, 1, 2**32, 2**63, 2**64 - 1):
            check(s.json(f"/v1/apps/hello/receipts?id={n}")["receipts"] == [], n)
        for path, method in (("/v1/apps/hello/explain?request=77", "GET"), ("/v1/apps/hello/explain?component=other", "GET"), ("/v1/apps/other/status", "GET"),
                ("/v1/apps/other/logs", "GET"), ("/v1/operations/hello-77", "GET"), ("/v1/operations/hello-77", "DELETE"), ("/v1/apps/other/links/store", "POST")):
            e = s.json(path, method, 404)["error"]
            check(e["code"] == "usage" and e["message"], f"{path}: {e}")
        for path in ("/v1/apps/hello/explain?request=-1", "/v1/apps/hello/explain?request=x", "/v1/apps/hello/receipts?id=18446744073709551616", "/v1/apps/hello/receipts?id=x"):
            e = s.json(path, "GET", 400)["error"]
            check(e["code"] == "usage" and e["message"], f"{path}: {e}")
        check(ask(s.at[0], "/").status == 200, "it serves on")


def it_survives_whoever_means_ill():
    with Folder() as folder, _Control(folder) as s:
        for junk in (b"\0" * 1000, b"GET / HTTP/1.1\r\n" + b"a: " + b"x" * 100000, b"GET /v1/status HTTP/9.9\r\n\r\n", b"POST /v1/status HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
                b"GET /v1/apps/" + b"%41" * 4000 + b"/status HTTP/1.1\r\nHost: x\r\n\r\n"):
            with socket.socket(socket.AF_UNIX) as c:
                c.connect(s.socket)
                c.settimeout(10)
                c.sendall(junk)
                try:
                    c.recv(4096)
                except OSError:
                    pass
        held = []
        for _ in range(200):  # more than there are places: the longest idle go
            c = socket.socket(socket.AF_UNIX)
            c.connect(s.socket)
            held.append(c)
        check(s.json("/v1/status")["pid"] == s.pid, "no answer")
        for c in held:
            c.close()
        check(ask(s.at[0], "/").status == 200, "it doesn't serve")


class _Stuck:
    """What answers as a tenon whose operation never ends; `mute`: which tells nothing of it any more; `looks`: or ends after so many, each answered by much."""

    def __init__(self, folder, mute=False, looks=0):
        folder.mkdir(mode=0o700)
        self.mute, self.looks, self.asked, self.held = mute, looks, threading.Event(), []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(folder / f"{os.getpid()}.sock"))
        self.listener.listen(16)
        threading.Thread(target=self.serve, daemon=True).start()

    def answer(self, c):
        got, whole = b"", None
        while whole is None or len(got) < whole:  # with its body: what is left unread when it is closed would be a reset
            more = c.recv(4096)
            if not more:  # it only looked whether somebody is there
                c.close()
                return
            got += more
            if whole is None and b"\r\n\r\n" in got:
                length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", got)
                whole = got.index(b"\r\n\r\n") + 4 + (int(length.group(1)) if length else 0)
        method, path = got.decode().split()[:2]
        status, body = 200, {"operation": "shop-1", "state": "ready", "busy": True, "steps": []}
        if path == "/v1/status":
            body = {"pid": os.getpid(), "state": "ready", "apps": [{"app": "shop", "state": "ready", "components": []}]}
        elif method == "POST":
            status = 202
        elif method == "DELETE":
            status = 409
        else:
            self.asked.set()
            if self.mute:
                self.held.append(c)
                return
            if self.looks:
                self.looks -= 1
                body |= {"busy": self.looks > 0, "all": "x" * 400000}
            else:
                time.sleep(0.1)
        text = json.dumps(body).encode()
        with c, contextlib.suppress(BrokenPipeError):  # who was told to stop is gone
            c.sendall(b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (status, len(text)) + text)

    def serve(self):
        while True:
            threading.Thread(target=self.answer, args=(self.listener.accept()[0],), daemon=True).start()


def who_is_told_to_stop_does_though_its_operation_goes_on():
    with Folder() as top:
        for mute in (False, True):
            stuck = _Stuck(top / str(mute), mute=mute)
            p = subprocess.Popen([str(config.tenon), "scale", "shop/api", "--max", "3"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                env={**os.environ, "TENON_CTL": str(top / str(mute))})
            check(stuck.asked.wait(30), "it doesn't ask what became of it")
            p.send_signal(signal.SIGTERM)
            try:
                _, err = p.communicate(timeout=40)
            finally:
                p.kill()
            check(p.returncode == -signal.SIGTERM and "'shop-1' goes on" in err, f"{mute}: {p.returncode} {err}")


def who_waits_for_an_operation_needs_no_memory_for_what_it_has_read():
    with Folder() as top:
        stuck = _Stuck(top / "ctl", looks=250)
        _tenon({"TENON_CTL": str(top / "ctl")}, "scale", "shop/api", "--max", "3")
        check(stuck.looks == 0, stuck.looks)


def who_follows_leaves_places_to_who_asks():
    with Folder() as folder, _Control(folder) as s:
        held, heads = [], []
        for i in range(100):
            c = socket.socket(socket.AF_UNIX)
            c.connect(s.socket)
            c.settimeout(30)
            c.sendall(f"GET /v1/apps/hello/{'logs' if i % 2 else 'events'} HTTP/1.1\r\nHost: tenon\r\n\r\n".encode())
            held.append(c)
        check(s.tenon("status").startswith("tenon "), "no answer")
        for c in held:
            head = b""
            while b"\r\n\r\n" not in head:
                head += c.recv(4096)
            heads.append(head.split()[1])
        check(heads.count(b"200") == 32 and heads.count(b"429") == 68, heads)
        a = s.json("/v1/apps/hello/events", "GET", 429)["error"]
        check("32 clients follow" in a["message"] and "follow=false" in a["hint"], a)
        check(s.ask("/v1/apps/hello/logs?follow=false").status == 200, "what ends isn't answered")
        for c in held:
            c.close()

        def follows():
            with socket.socket(socket.AF_UNIX) as c:
                c.connect(s.socket)
                c.settimeout(30)
                c.sendall(b"GET /v1/apps/hello/events HTTP/1.1\r\nHost: tenon\r\n\r\n")
                return c.recv(4096).split()[1] == b"200"

        check(until(follows), "their places are not given back")


def the_socket_answers_while_every_shard_is_busy():
    with Folder() as folder, _Control(folder, "--cpu", "300ms", file=MISBEHAVE) as s:
        t = threading.Thread(target=lambda: ask(s.at[0], "/spin", timeout=100))
        t.start()
        while s.json("/v1/status")["apps"][0]["components"][0]["in_flight"] == 0:
            time.sleep(0.01)
        check(s.json("/v1/status")["state"] == "ready", "no answer")
        t.join()


def receipts_of_what_failed_say_how_and_what_that_means():
    with Folder() as folder, _Control(folder, "--deadline", "200ms", file=MISBEHAVE, shards=2) as s:
        for path in ("/", "/trap", "/sleep", "/trap"):
            ask(s.at[0], path)
        found = _once(lambda: s.json("/v1/apps/misbehave/receipts")["receipts"], lambda found: len(found) == 4)
        check([(r["path"], r["status"], r["outcome"]) for r in found] == [("/", 200, "ok"), ("/trap", 500, "trap"), ("/sleep", 504, "deadline exceeded"), ("/trap", 500, "trap")], found)
        check(s.json(f"/v1/apps/misbehave/receipts?since={found[2]['time']:.3f}")["receipts"][-2:] == found[2:], "since")
        check(s.json("/v1/apps/misbehave/receipts?since=99999999999")["receipts"] == [], "since")
        for wrong in ("x", "1.", "1.2", "1.2345", "-1", ""):
            check(s.json(f"/v1/apps/misbehave/receipts?since={wrong}", status=400)["error"]["code"] == "usage", wrong)
        check(s.json(f"/v1/apps/misbehave/receipts?id={found[2]['id']}")["receipts"] == [{**found[2], "calls": []}], "id")
        check(s.json("/v1/apps/misbehave/receipts?id=x", status=400)["error"]["message"] == "id is a number", "id=x")
        check(s.json("/v1/apps/misbehave/explain", status=400)["error"]["code"] == "usage", "no id")
        check(s.json("/v1/apps/misbehave/explain?request=99999999", status=404)["error"]["message"] == "there is no receipt of a request '99999999'", "nobody's")
        text = s.tenon("explain", str(found[2]["id"]))
        check("deadline exceeded" in text and "--deadline" in text and "/sleep" in text and "504" in text, text)
        check(json.loads(s.tenon("--json", "explain", "misbehave", str(found[1]["id"])))["request"] == {**found[1], "calls": []}, "explain --json")
        check("neither the number of a request nor the name of a component" in s.tenon("explain", "X", status=2), "explain X")
        check("no receipt" in s.tenon("explain", "99999999", status=2), "explain of nothing")


def a_thousand_receipts_of_a_shard_are_kept_and_no_more():
    with Folder() as folder, _Control(folder) as s:
        for i in range(20):
            with connect(s.at[0]) as c:
                c.sendall(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n" * 60 + b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                while c.recv(65536):
                    pass
        _once(lambda: s.json("/v1/status")["apps"][0]["components"][0]["requests"], lambda n: n == 1220)
        found = s.json("/v1/apps/hello/receipts")["receipts"]
        ids = sorted(r["id"] for r in found)
        check(len(ids) == 1000 and ids == list(range(ids[0], ids[0] + 1000)) and s.json("/v1/status")["apps"][0]["components"][0]["requests"] == 1220, ids[:3])


def logs_print_what_was_said_and_go_on():
    with Folder() as folder, _Control(folder, "--log-bytes", "none", file=MISBEHAVE) as s:
        ask(s.at[0], "/trap")
        lines = _once(lambda: [json.loads(line) for line in s.tenon("logs").splitlines()],
            lambda lines: any("receipt" in o and o["receipt"]["outcome"] == "trap" for o in lines))
        check(any("receipt" in o and o["receipt"]["outcome"] == "trap" for o in lines), lines)
        follower = subprocess.Popen([str(config.tenon), "logs", "misbehave", "--follow"], stdout=subprocess.PIPE, env={**os.environ, **s.env})
        got = [follower.stdout.readline() for _ in lines]
        ask(s.at[0], "/trap")
        got.append(follower.stdout.readline())
        check(json.loads(got[-1])["receipt"]["outcome"] == "trap", got)
        follower.send_signal(signal.SIGINT)
        check(follower.wait(20) == -signal.SIGINT, follower.returncode)
        check(len(s.tenon("logs").splitlines()) == len(lines) + 1, "a follower that left")
        check("no app 'x' runs" in s.tenon("logs", "x", status=5), "logs x")
        check(s.tenon("logs", "--json") == s.tenon("logs") == s.tenon("--json", "logs"), "its lines are objects")


def who_follows_hears_that_it_has_ended():
    with Folder() as folder:
        with _Control(folder, file=MISBEHAVE) as s:
            follower = subprocess.Popen([str(config.tenon), "logs", "-f"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **s.env})
            ask(s.at[0], "/trap")
            check("trap" in follower.stdout.readline(), "it follows")
        said = follower.communicate(timeout=60)[1]
        check(follower.returncode == 5 and "tenon has ended" in said, f"{follower.returncode} {said}")


def logs_are_objects_where_asked_for_also_of_a_server_at_a_terminal():
    main, side = pty.openpty()
    with Folder() as folder:
        env = {**os.environ, "TENON_CTL": str(folder)}
        process = subprocess.Popen([str(config.tenon), "serve", str(MISBEHAVE), "--addr", "127.0.0.1:0"], stdout=subprocess.PIPE, stderr=side, env=env, text=True)
        try:
            ask(where(process.stdout.readline().split()[1]), "/trap")
            look = lambda *more: subprocess.run([str(config.tenon), "logs", *more], capture_output=True, text=True, env=env, timeout=60).stdout.splitlines()
            texts = _once(look, lambda lines: any("trap" in line for line in lines))
            check(texts and not any(line.startswith("{") for line in texts), texts)
            check([json.loads(line) for line in look("--json")] == [{"line": line} for line in texts], look("--json"))
        finally:
            process.kill()
            process.communicate()
            os.close(main)
            os.close(side)


def top_shows_a_second_in_eighty_columns():
    with Folder() as folder, _Control(folder) as s:
        done = threading.Event()

        def load():
            while not done.is_set():
                ask(s.at[0], "/")
        t = threading.Thread(target=load)
        t.start()
        try:
            text = s.tenon("top", "hello")
            o = json.loads(s.tenon("top", "--json"))
        finally:
            done.set()
            t.join()
        check("hello" in text and max(map(len, text.splitlines())) <= 80, text)
        check(o["component"] == "hello" and o["requests_per_second"] > 0 and o["errors_per_second"] == 0, o)

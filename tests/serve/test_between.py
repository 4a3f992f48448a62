"""A component before wasi:http/outgoing-handler: requests that go through it to a real server, and what it may do with them instead; either side may end first.

files/gate.c is both sides: /BETWEEN/ASKS?PORT says what each does."""
import os, signal, socket, subprocess, tempfile, threading, time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from front import Folder, ask
from harness import FILES, TOP, Server, check, config, exchange, stays_flat
from test_apply import Host
from test_watch import _Up as Up
from writing import until

GATE = FILES / "gate.wasm"
OWN, DENIED, INTERNAL = "error 03", "error 15", "error 38"  # OWN: what it says of what it kept or dropped; INTERNAL: of a trap, or of what could not be handed over


class _Upstream:
    """Answers with what it was asked: its method, path, x-guarded field and body; keeps that."""

    def __init__(self, wait=None):
        self.asked, self.broken = [], []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _body(self):
                if self.headers["Transfer-Encoding"] != "chunked":
                    return self.rfile.read(int(self.headers["Content-Length"] or 0))
                out = b""
                while True:
                    line = self.rfile.readline()
                    if not line:
                        raise ConnectionError("cut")
                    n = int(line, 16)
                    part = self.rfile.read(n + 2)
                    if len(part) < n + 2:
                        raise ConnectionError("cut")
                    if n == 0:
                        return out
                    out += part[:-2]

            def _answer(self):
                try:
                    body = self._body()
                except (ConnectionError, ValueError) as e:
                    outer.broken.append((self.command, self.path, str(e)))
                    self.close_connection = True
                    return
                outer.asked.append((self.command, self.path, self.headers["x-guarded"], body))
                if wait:
                    wait.wait(60)
                said = f"{self.command} {self.path} {self.headers['x-guarded']} ".encode() + body
                self.send_response(200)
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            do_GET = do_POST = do_PUT = _answer

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


class _App:
    """What asks at /..., what stands between as another component of the same source."""

    def __init__(self, between="", asks="", link=""):
        self.at = tempfile.TemporaryDirectory()
        (Path(self.at.name) / "gate.wasm").write_bytes(GATE.read_bytes())
        (Path(self.at.name) / "tenon.toml").write_text(f"""tenon = 1
[app]
name = "shop"
[component.asks]
source = "gate.wasm"
links = {{ "wasi:http/outgoing-handler" = "between" }}
{asks}
[component.between]
source = "gate.wasm"
network = ["http://127.0.0.1:*"]
{between}
[link.between]
type = "component"
component = "between"
{link}
[[trigger.http]]
route = "/..."
component = "asks"
""")

    def up(self, shards=1):
        return Server(self.at.name, command="up", shards=shards)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.at.cleanup()


def _ask(s, path, up, **more):
    a = s.get(f"{path}?{up.port}", **more)
    return a.status, a.body.decode()


POLICIES = ("fresh", "reuse", "keep")


def requests_go_through_with_their_bodies():
    for policy in POLICIES:
        with _Upstream() as up, _App(f'policy = "{policy}"') as app, app.up() as s:
            for path in ("/pass", "/ask", "/slow"):
                check(_ask(s, path + "/plain", up) == (200, f"POST {path}/plain?{up.port} None "), (policy, path))
                for how in ("/early", "/later"):
                    got = _ask(s, path + how, up)
                    check(got == (200, f"POST {path}{how}?{up.port} None from who asks"), (policy, path, how, got, s.log_text()[-500:]))
            got = _ask(s, "/own/later", up)
            check(got == (200, f"POST /own/later?{up.port} None from between"), (policy, got))


def many_go_through_at_once():
    with _Upstream() as up, _App('policy = "reuse"') as app, app.up(shards=2) as s, ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda i: _ask(s, "/pass/later", up), range(200)))
        check(got == [(200, f"POST /pass/later?{up.port} None from who asks")] * 200, set(got))


def it_says_no():
    with _Upstream() as up, _App() as app, app.up() as s:
        for how in ("/plain", "/early", "/later"):
            check(_ask(s, "/deny" + how, up) == (502, DENIED), how)
        check(not up.asked, up.asked)


def a_trap_of_it_is_the_interfaces_error_and_the_one_who_asks_goes_on():
    for policy in POLICIES:
        with _Upstream() as up, _App(f'policy = "{policy}"') as app, app.up() as s:
            for how in ("/plain", "/early", "/later"):
                check(_ask(s, "/trap" + how, up) == (502, INTERNAL), (policy, how))
            check(until(lambda: _ask(s, "/pass/later", up)[0] == 200), (policy, s.log_text()[-500:]))


def what_it_had_passed_on_before_it_trapped_ends_with_it():
    with _Upstream() as up, _App() as app, app.up() as s:
        for how in ("/early", "/later"):
            check(_ask(s, "/after" + how, up) == (502, INTERNAL), how)
        check(_ask(s, "/pass/early", up)[0] == 200, "the next")


def it_has_its_own_deadline_and_budget():
    with _Upstream() as up, _App('limits = { deadline = "300ms" }') as app, app.up() as s:
        check(_ask(s, "/spin/plain", up) == (502, INTERNAL), s.log_text()[-500:])
        check(_ask(s, "/slow/later", up) == (502, INTERNAL), "what waits")
        check(_ask(s, "/pass/later", up)[0] == 200, "the next")
    with _Upstream() as up, _App('limits = { cpu = "100ms" }') as app, app.up() as s:
        check(_ask(s, "/spin/early", up) == (502, INTERNAL), s.log_text()[-500:])
        check(_ask(s, "/pass/early", up)[0] == 200, "the next")
    with _Upstream() as up, _App(asks='limits = { deadline = "300ms" }') as app, app.up() as s:
        check(_ask(s, "/spin/later", up)[0] == 504, "the rest of the one who asks")
        check(_ask(s, "/pass/later", up)[0] == 200, "the next")


def the_deadline_of_the_link_ends_a_call_and_the_wait_for_one():
    for policy in POLICIES:
        for deadline, path, want in (("1ms", "/spin/plain", INTERNAL), ("200ms", "/slow/later", INTERNAL), ("200ms", "/spin/early", INTERNAL), ("1h", "/slow/later", None),
                ("none", "/slow/later", None)):
            with _Upstream() as up, _App(f'policy = "{policy}"', link=f'deadline = "{deadline}"') as app, app.up() as s:
                status, text = _ask(s, path, up)
                check(status == 200 if want is None else (status, text) == (502, want), (policy, deadline, path, status, text))
                check(want is None or s.logged("deadline"), s.log_text()[-500:])
    with _Upstream() as up, _App('policy = "keep"', link='deadline = "600ms"') as app, app.up() as s, ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda i: _ask(s, "/slow/later", up), range(8)))  # 400 ms each, one after the other: who waits when one is ended hears of it
        check(all(status == 200 or text == INTERNAL for status, text in got) and got.count((502, INTERNAL)) >= 6, got)
    quick = """[component.hurries]
source = "gate.wasm"
links = { "wasi:http/outgoing-handler" = "quick" }
[link.quick]
type = "component"
component = "between"
deadline = "100ms"
[[trigger.http]]
host = "quick.example"
route = "/..."
component = "hurries"
"""
    with _Upstream() as up, _App('policy = "keep"', asks=quick) as app, app.up() as s, ThreadPoolExecutor(1) as pool:
        check(_ask(s, "/pass/plain", up)[0] == 200, "it is there")
        slow = pool.submit(_ask, s, "/slow/later", up)
        time.sleep(0.1)
        got = _ask(s, "/pass/plain", up, headers=[["Host", "quick.example"]])
        check(got == (502, INTERNAL) and s.logged("the deadline of the link is over") == 1, got)
        check(slow.result()[0] == 200 and _ask(s, "/pass/plain", up, headers=[["Host", "quick.example"]])[0] == 200, "who waited no longer leaves the others as they are")
    with _Upstream() as up, _App('limits = { deadline = "200ms" }', link='deadline = "1h"') as app, app.up() as s:
        check(_ask(s, "/slow/later", up) == (502, INTERNAL), "the component's own is shorter")
    with _Upstream() as up, _App(asks='limits = { deadline = "200ms" }', link='deadline = "1h"') as app, app.up() as s:
        check(_ask(s, "/slow/later", up)[0] == 504, "the rest of the one who asks is shorter")


def the_deadline_of_the_link_changes_live():
    with Folder() as top, Host(top, shards=1) as host, _Upstream() as up:
        def write(deadline):
            return host.write("shop", f"""[component.asks]
source = "gate.wasm"
links = {{ "wasi:http/outgoing-handler" = "between" }}
[component.between]
source = "gate.wasm"
network = ["http://127.0.0.1:*"]
[link.between]
type = "component"
component = "between"
{deadline}
[[trigger.http]]
route = "/..."
component = "asks"
""", gate=GATE)

        def status():
            return ask(host.at[0], f"/slow/later?{up.port}").status  # 400 ms

        folder = write("")
        host.start(folder)
        check(status() == 200, "there is none")
        write('deadline = "100ms"')
        out = host.tenon("apply", folder, "--dry-run")
        check("deadline" in out and status() == 200, out)
        check("deadline" in host.tenon("apply", folder) and status() == 502, "applied")
        check('deadline = "100ms"' in host.tenon("status", "--manifest"), "it is shown")
        host.tenon("undo")
        check(status() == 200 and "deadline = " not in host.tenon("status", "--manifest"), "taken back")
        write('deadline = "120ms"')
        host.process.send_signal(signal.SIGHUP)
        check(until(lambda: 'deadline = "120ms"' in host.tenon("status", "--manifest")) and status() == 502, "SIGHUP")
        host.process.send_signal(signal.SIGTERM)
        host.process.communicate(timeout=60)
        host.start()
        check(status() == 502, "after a restart")


def _is_told(paths, hows, then=lambda up: None):
    """What each of them ends with, five times, whatever the one who asks does; and what holds afterwards."""
    for policy in POLICIES:
        with _Upstream() as up, _App(f'policy = "{policy}"') as app, app.up() as s:
            for path in paths:
                for how in hows:
                    for _ in range(5):
                        status, text = _ask(s, path + how, up)
                        check((status, text) == (502, OWN) or (how == "/leave" and status == 500), (policy, path, how, status, text))
            then(up)
            check(_ask(s, "/pass/later", up)[0] == 200, s.log_text()[-500:])


def a_request_that_it_drops_or_holds_for_ever_takes_nothing_more():
    """What is written to it is held as far as that goes, and then not taken: the caller sees that, or its own deadline."""
    _is_told(("/hold", "/drop"), ("/plain", "/early", "/later", "/lost", "/leave"), lambda up: check(not up.asked, up.asked))


def what_it_held_goes_out_when_its_caller_has_gone():
    """By a later call, to which the answer comes: a body that was whole, none, and one that nobody can end any more."""
    with _Upstream() as up, _App('policy = "keep"') as app, app.up() as s:
        check(_ask(s, "/hold/early", up) == (502, OWN), "held")
        check(_ask(s, "/late/plain", up) == (200, f"POST /hold/early?{up.port} None from who asks"), s.log_text()[-500:])
        check(_ask(s, "/hold/plain", up) == (502, OWN), "held")
        check(_ask(s, "/late/later", up) == (200, f"POST /hold/plain?{up.port} None "), s.log_text()[-500:])
        n = len(up.asked)
        for how in ("/later", "/lost", "/leave"):
            _ask(s, "/hold" + how, up)
            check(_ask(s, "/late/plain", up)[0] in ((200,) if how == "/later" else (502,)), how)
        check(len(up.asked) == n + 1 and up.asked[-1][3] == b"to nobody", up.asked[n:])
        check(_ask(s, "/pass/later", up)[0] == 200, "and it goes on")


def a_future_that_it_keeps_or_drops_is_its_own():
    _is_told(("/keep", "/forget"), ("/plain", "/early", "/later", "/quit", "/leave"))


def what_it_still_watches_it_can_not_give_away():
    for policy in POLICIES:
        with _Upstream() as up, _App(f'policy = "{policy}"') as app, app.up() as s:
            for how in ("/plain", "/early", "/later"):
                check(_ask(s, "/watch" + how, up) == (502, INTERNAL), (policy, how))
            check(s.logged("is passed on while what was made of it is still in use"), s.log_text()[-500:])
            check(_ask(s, "/pass/later", up)[0] == 200, "the next")


def who_asks_may_leave_at_any_time():
    """It traps when it has the future, drops it, or its client goes while the server has not answered."""
    stop = threading.Event()
    for policy in POLICIES:
        with _Upstream() as up, _App(f'policy = "{policy}"') as app, app.up() as s:
            for _ in range(10):
                check(_ask(s, "/pass/leave", up)[0] == 500, policy)
                check(_ask(s, "/pass/quit", up) == (200, "quit"), policy)
                check(_ask(s, "/pass/lost", up)[0] == 502, policy)
            check(_ask(s, "/pass/later", up)[0] == 200, s.log_text()[-500:])
            check(all(path.split("/")[2].startswith("later") for _, path, _, _ in up.asked), up.asked)
        with _Upstream(stop) as up, _App(f'policy = "{policy}"') as app, app.up() as s:
            for how in ("/pass/plain", "/pass/early", "/slow/later", "/hold/wait"):
                for pause in (0, 0.05, 0.3):
                    with socket.create_connection(s.addr) as c:
                        c.sendall(f"GET {how}?{up.port} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                        time.sleep(pause)
                        c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            stop.set()
            check(until(lambda: _ask(s, "/pass/later", up)[0] == 200), s.log_text()[-500:])
            stop.clear()


def it_has_room_for_so_many_and_then_says_so():
    """One that is kept, and keeps them: as many as its handles are; where its memory ends what it does next may trap, and another takes its place."""
    with _Upstream() as up, _App('policy = "keep"\nlimits = { handles = 20 }') as app, app.up() as s:
        told = [_ask(s, "/drop/early", up) for _ in range(60)]
        check(told[0] == (502, OWN) and set(told) == {(502, OWN), (502, INTERNAL)} and told.count((502, INTERNAL)) >= 30, told)
        check(s.logged("what it is given can't pass: too many resource handles") >= 30, s.log_text()[-500:])
    with _Upstream() as up, _App('policy = "keep"\nlimits = { memory = "1220KiB" }') as app, app.up() as s:
        for _ in range(200):
            check(_ask(s, "/drop/early", up) in ((502, OWN), (502, INTERNAL)), s.log_text()[-500:])
            if "(--memory)" in s.log_text():
                break
        check("(--memory)" in s.log_text(), s.log_text()[-500:])
        check(_ask(s, "/pass/early", up) == (502, INTERNAL), "it has no room for an answer")
        check(until(lambda: _ask(s, "/deny/early", up) == (502, DENIED)), s.log_text()[-500:])


def nothing_of_it_stays():
    with _Upstream() as up, _App('policy = "keep"') as app, app.up() as s:
        paths = ("/pass/later", "/pass/early", "/pass/leave", "/pass/quit", "/forget/later", "/deny/early", "/ask/later", "/own/early")
        stays_flat(s, lambda i: _ask(s, paths[i % len(paths)], up), 1200, 200)


def _is_image(fd):
    try:
        return "tenon-image" in os.readlink(fd)
    except FileNotFoundError:  # it was closed meanwhile
        return False


def an_answer_that_is_kept_keeps_no_version_of_what_passed_its_request_on():
    """Seen by the images of versions: of what asks, which never lets go of an answer, of the version in force and of the one before it."""
    with tempfile.TemporaryDirectory() as ctl, _Upstream() as up, _App('policy = "reuse"', 'policy = "keep"') as app:
        os.environ.update(TENON_CTL=ctl, TENON_STATE=ctl + "/state")
        try:
            with app.up() as s:
                images = lambda: sum(_is_image(fd) for fd in Path(f"/proc/{s.process.pid}/fd").iterdir())
                seen = []
                for k in range(6):
                    (Path(app.at.name) / "next.wasm").write_bytes(GATE.read_bytes() + b"\0\3\1n" + bytes([k]))
                    r = subprocess.run([str(config.tenon), "update", "shop/between", app.at.name + "/next.wasm"], capture_output=True, timeout=120, text=True)
                    check(r.returncode == 0, r.stderr)
                    got = _ask(s, "/pass/later", up)
                    check(got == (200, f"POST /pass/later?{up.port} None from who asks"), (got, s.log_text()[-500:]))
                    seen.append(images())
                check(until(lambda: 0 < images() <= 3), (seen, images()))
        finally:
            del os.environ["TENON_CTL"], os.environ["TENON_STATE"]


def receipts_have_the_link_call_and_the_request_that_went_out():
    with tempfile.TemporaryDirectory() as d, _Upstream() as up, _App() as app:
        (Path(d) / "gate.wasm").write_bytes(GATE.read_bytes())
        with Up(Path(d), (Path(app.at.name) / "tenon.toml").read_text()) as server:
            a = exchange(server.at, {"method": "GET", "path": f"/pass/later?{up.port}"})
            check(a.status == 200, (a.status, a.body))
            one = server.control(f"receipts?id={server.receipts(1)[-1]['id']}")["receipts"][0]
            seen = [(c["component"], c.get("link"), c["call"], c["outcome"]) for c in one["calls"]]
            want = [("asks", "between", "wasi:http/outgoing-handler@0.2.12#handle", "ok"), ("between", None, f"POST http://127.0.0.1:{up.port}", "ok")]
            check(sorted(map(str, seen)) == sorted(map(str, want)), one)


def large_bodies_flow_through_the_example_as_far_as_each_side_takes_them():
    """Both ways, 16 MiB each, with neither of them in memory."""
    with _Upstream() as up:
        with Server(TOP / "examples/guard", "--set", f"upstream=127.0.0.1:{up.port}", command="up") as s:
            check(s.get("/private/x").status == 403 and not up.asked, "denied")
            a = s.get("/hello?x=1")
            check((a.status, a.body) == (200, b"GET /hello?x=1 yes "), (a.status, a.body))
            body = bytes(range(256)) * 4096 * 16
            before, most, over = s.private_kib(), [0], threading.Event()

            def watch():
                while not over.wait(0.002):
                    most[0] = max(most[0], s.private_kib())
            watching = threading.Thread(target=watch)
            watching.start()
            a = s.post("/echo", body)
            over.set()
            watching.join()
            check(a.status == 200 and a.body == b"POST /echo None " + body, (a.status, len(a.body)))
            grew = most[0] - before
            check(0 < most[0] and grew < 8192 or not config.release, f"{grew} KiB for 16 MiB each way")

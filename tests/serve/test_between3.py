"""A component before wasi:http/client@0.3.0: requests that go through it to a real server with their contents and trailers, and what it may do with them instead;
either side may end first.

files/gate3.c is both sides: /BETWEEN/ASKS?PORT says what each does."""
import os, socketserver, subprocess, tempfile, threading, time, traceback
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path


from harness import FILES, SHARED, TOP, Many, Server, Skip, check, config, stays_flat

from writing import until

GATE = FILES / "gate3.wasm"
DENIED, LOOP, INTERNAL = "error 15", "error 36", "error 38"
ALONE = 'policy = "concurrent"\nconcurrency = 1\n'  # each waits where it is


class _Upstream(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Answers with what it was asked, in chunks with trailers; of a long body its length. `wait`: before the answer's last chunk.
    `early`: before it has read the body, and shortly: who asks writes all of his before he reads."""
    daemon_threads, allow_reuse_address = True, True
    request_queue_size = 128  # a kernel whose queue is full drops what comes, and may forget who thinks to be connected

    def __init__(self, wait=None, early=False):
        self.begun, self.asked, self.broken = [], [], []  # paths; what was asked, once it was whole; why a connection ended
        outer = self

        class Handler(socketserver.StreamRequestHandler):
            disable_nagle_algorithm = True

            def body(self, fields):
                if "transfer-encoding" not in fields:
                    return self.rfile.read(int(fields.get("content-length", 0))), {}
                out = b""
                while n := int(self.rfile.readline() or b"cut", 16):
                    part = self.rfile.read(n + 2)
                    if len(part) < n + 2:
                        raise ValueError("cut")
                    out += part[:-2]
                return out, self.fields()

            def fields(self):
                fields = {}
                while (line := self.rfile.readline().decode()) not in ("\r\n", ""):
                    k, v = line.split(":", 1)
                    fields[k.lower()] = v.strip()
                if not line:
                    raise ValueError("cut")
                return fields

            def chunk(self, data):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

            def handle(self):
                try:
                    while line := self.rfile.readline().decode():
                        self.one(*line.split()[:2])
                except Exception as e:
                    outer.broken.append(f"{type(e).__name__}: {e}")

            def one(self, method, path):
                fields = self.fields()
                outer.begun.append(path)
                body, trailers = (b"", {}) if early else self.body(fields)
                outer.asked.append((method, path, fields.get("x-guarded"), body, trailers.get("x-t"), trailers.get("x-between")))
                said = f"{method} {fields.get('x-guarded')} {trailers.get('x-t')} {trailers.get('x-between')} ".encode()
                self.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-t\r\n\r\n")
                self.chunk(said + (body if len(body) < 1000 else b"%d" % len(body)))
                if "large" in path and not early:
                    for _ in range(64):
                        self.chunk(b"b" * 65536)
                if wait:
                    wait.wait(60)
                self.chunk(b".")
                self.wfile.write(b"0\r\nx-t: answered\r\n\r\n")
                if early:
                    self.body(fields)

        super().__init__(("127.0.0.1", 0), Handler)
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, *_):  # outside of a request: no thread for a connection is to be had, ...
        self.broken.append("no request: " + traceback.format_exc(limit=-1))

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


class _App:
    """What asks at /..., what stands between as another component of the same source."""

    def __init__(self, between="", asks="", link="", policy=ALONE, more="", via="wasi:http/client"):
        self.at = tempfile.TemporaryDirectory()
        (Path(self.at.name) / "gate.wasm").write_bytes(GATE.read_bytes())
        (Path(self.at.name) / "tenon.toml").write_text(f"""tenon = 1
[app]
name = "shop"
[component.asks]
source = "gate.wasm"
links = {{ "{via}" = "between" }}
{ALONE}{asks}
[component.between]
source = "gate.wasm"
network = ["http://127.0.0.1:*"]
{policy}{between}
[link.between]
type = "component"
component = "between"
{link}
[[trigger.http]]
route = "/..."
component = "asks"
{more}""")

    def up(self, *flags, shards=1):
        return Server(self.at.name, *flags, command="up", shards=shards)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.at.cleanup()


def _ask(s, path, up, which=0):
    a = s.get(f"{path}?{up.port}&{which}")
    return a.status, a.body.decode()


def _is(s, path, up, want):
    got = _ask(s, path, up)
    check(got == (200, want), f"{path}: {got}, not {want}: {s.log_text()[-1500:]}")


def requests_go_through_with_contents_and_trailers_and_answers_come_back_with_theirs():
    with _Upstream() as up, _App() as app, app.up() as s:
        for path in ("/pass", "/slow"):
            _is(s, path + "/plain", up, "200 x-back= POST None None None . trailers x-t=answered x-between= sent")
            _is(s, path + "/body", up, "200 x-back= POST None asked None from who asks. trailers x-t=answered x-between= sent")
        _is(s, "/whole/plain", up, "200 x-back=yes POST yes None None . trailers x-t=answered x-between= sent")
        _is(s, "/whole/body", up, "200 x-back=yes POST yes asked None from who asks. trailers x-t=answered x-between= sent")
        _is(s, "/copy/plain", up, "200 x-back=yes POST YES NONE NONE . trailers x-t=answered x-between=yes sent")
        _is(s, "/copy/body", up, "200 x-back=yes POST YES ASKED YES FROM WHO ASKS. trailers x-t=answered x-between=yes sent")
        for path in ("/pass", "/whole", "/copy"):
            got = _ask(s, path + "/large", up)[1]
            check(" of 4194" in got and got.endswith(" sent"), got[-200:])
            for how in ("/blind", "/leaves"):
                check(_ask(s, path + how, up)[0] == 200, (path, how))


def what_came_goes_on_whole_and_so_does_the_answer():
    with _Upstream() as up, _App() as app, app.up() as s:
        for path, guarded in (("/pass", "None"), ("/whole", "yes"), ("/copy", "yes")):
            a = s.post(f"{path}/through?{up.port}", b"from the client")
            said = b"POST %s None None from the client." % guarded.encode()
            check((a.status, a.body) == (200, said.upper() if path == "/copy" else said), (path, a.status, a.body, s.log_text()[-1000:]))
            a = s.post(f"{path}/through?{up.port}", bytes(range(256)) * 8192)
            check(a.status == 200 and b"2097152" in a.body, (path, a.status, a.body[:100]))


def many_go_through_at_once():
    with _Upstream() as up, _App() as app, app.up(shards=2) as s, ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda i: _ask(s, ("/pass", "/whole", "/copy")[i % 3] + "/body", up), range(240)))
        check(all(status == 200 and text.endswith(" sent") for status, text in got), set(got))


def it_says_no_or_answers_itself():
    with _Upstream() as up, _App() as app, app.up() as s:
        for how in ("/plain", "/body", "/large", "/cut"):
            _is(s, "/deny" + how, up, DENIED + " unsent 38")
            _is(s, "/own" + how, up, "203 x-back= from between trailers x-t=own x-between= unsent 38")
        check(not up.asked, up.asked)


def error_codes_stay_what_they_are():
    """As without it: of what is cut, of where nobody listens."""
    with _Upstream() as up, _App() as app, app.up() as s:
        nobody = socketserver.TCPServer(("127.0.0.1", 0), None)
        nobody.server_close()
        for path in ("/pass", "/whole", "/copy"):
            for how in ("/cut", "/cut-late"):
                got = _ask(s, path + how, up)[1]
                check(got in ("error 17 unsent 35", "error 7 unsent 35"), (path, how, got))
            a = s.get(f"{path}/plain?{nobody.server_address[1]}")
            check(a.body.startswith(b"error 6 "), (path, a.body))
        check(not up.asked, up.asked)


def a_trap_of_it_is_the_interfaces_error_and_the_one_who_asks_goes_on():
    with _Upstream() as up, _App() as app, app.up() as s:
        for how in ("/plain", "/body", "/large"):
            _is(s, "/trap" + how, up, INTERNAL + " unsent 38")
            _is(s, "/boom-up" + how, up, INTERNAL + " unsent 38" if how != "/plain" else "200 x-back=yes POST YES NONE NONE . trailers x-t=answered x-between=yes sent")
            _is(s, "/pass/body", up, "200 x-back= POST None asked None from who asks. trailers x-t=answered x-between= sent")
        got = _ask(s, "/boom-down/large", up)[1]
        check("trailers error 38" in got or got.startswith(INTERNAL), got)
        _is(s, "/copy/body", up, "200 x-back=yes POST YES ASKED YES FROM WHO ASKS. trailers x-t=answered x-between=yes sent")


def one_that_never_returns_has_its_deadline():
    for link in ("", 'deadline = "100ms"'):  # where the link's is over the call goes on to its own, and has the request until then
        with _Upstream() as up, _App('limits = { deadline = "600ms" }', link=link) as app, app.up() as s:
            _is(s, "/never/plain", up, INTERNAL + " unsent 38")
            check(_ask(s, "/pass/body", up)[0] == 200, "the next")
    with _Upstream() as up, _App(asks='limits = { deadline = "500ms" }') as app, app.up() as s:
        for path in ("/never/body", "/keep/body", "/keep/large", "/never/plain"):
            check(_ask(s, path, up)[0] == 504, path)
        check(until(lambda: _ask(s, "/pass/body", up)[0] == 200), "the next")


def what_it_keeps_is_its_own():
    with _Upstream() as up, _App(asks='limits = { deadline = "2s" }', policy='policy = "concurrent"\nconcurrency = 4\n') as app, app.up() as s:
        for _ in range(3):
            _is(s, "/keep-answer/body", up, LOOP + " sent")
            _is(s, "/keep-answer/plain", up, LOOP + " sent")
        check(_ask(s, "/pass/body", up)[0] == 200, s.log_text()[-500:])


def who_asks_may_leave_at_any_time():
    """It traps in the middle of what it sends, cancels its call, or its client goes."""
    with _Upstream() as up, _App() as app, app.up() as s:
        for path in ("/pass", "/whole", "/copy", "/slow", "/own"):
            for _ in range(3):
                check(_ask(s, path + "/trap", up)[0] == 500, path)
            check(_ask(s, path + "/cancel", up)[0] == 200, path)
        check(_ask(s, "/pass/body", up)[0] == 200, s.log_text()[-500:])
        check(all(body in (b"from who asks", b"FROM WHO ASKS", b"") for *_, body, _, _ in up.asked), "what was cut came whole: " + str(up.asked))
        n = len(up.broken)
        for path in ("/pass", "/whole", "/copy", "/keep", "/never"):
            c = s.connect()
            c.sock.sendall(f"GET {path}/hangs?{up.port} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            time.sleep(0.2)
            c.reset()
        check(until(lambda: len(up.broken) >= n + 3), (n, up.broken))
        check(until(lambda: _ask(s, "/pass/body", up)[0] == 200), s.log_text()[-500:])


def an_answer_that_comes_before_the_request_is_whole_goes_back_at_once():
    with _Upstream(early=True) as up, _App() as app, app.up() as s:
        for path, guarded, back in (("/pass", "None", ""), ("/whole", "yes", "yes")):
            with s.connect() as c:  # which sends no more than this before it has the answer
                c.send(f"POST {path}/through?{up.port} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
                a = c.answer("POST")
                check((a.status, a.body, a.aborted) == (200, b"POST %s None None ." % guarded.encode(), False), (path, a.status, a.body, a.error, s.log_text()[-1000:]))
            _is(s, path + "/large", up, f"200 x-back={back} POST {guarded} None None . trailers x-t=answered x-between= sent")


def trailers_come_though_who_took_their_stream_is_gone():
    """The host takes the contents that came to who asks for the one between, which traps: what is left of them is read away."""
    with _Upstream() as up, _App() as app, app.up() as s:
        for _ in range(3):
            c = s.connect()
            c.sock.sendall(f"POST /boom-sink/relay?{up.port} HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\n0123456789".encode())
            check(until(lambda: "between: unreachable" in s.log_text()), s.log_text()[-500:])
            c.sock.sendall(b"0123456789")
            answer = c.sock.recv(4096)
            while b"trailers" not in answer and (more := c.sock.recv(4096)):
                answer += more
            check(b"error trailers none" in answer, answer)


def nothing_of_it_stays():
    with _Upstream() as up, _App(policy='policy = "concurrent"\nconcurrency = 1\nrequests-per-instance = 1000000\n') as app, app.up() as s:
        paths = ("/pass/body", "/pass/plain", "/whole/body", "/copy/body", "/own/body", "/deny/body", "/pass/cut", "/copy/leaves", "/pass/cancel", "/whole/trap", "/boom-down/body")
        stays_flat(s, lambda i: _ask(s, paths[i % len(paths)], up), 1320, 329)


def it_has_room_for_so_many_handles_and_is_well_with_as_many_calls_as_one_likes():
    """One instance, whose handles would not do for what fifty calls leave."""
    with _Upstream() as up, _App('limits = { handles = 12 }\n', policy='policy = "concurrent"\nconcurrency = 1\n') as app, app.up() as s:
        for path in ("/pass/body", "/copy/body", "/own/body", "/deny/body", "/whole/body"):
            for _ in range(50):
                check(_ask(s, path, up)[0] == 200, path)
        _is(s, "/copy/body", up, "200 x-back=yes POST YES ASKED YES FROM WHO ASKS. trailers x-t=answered x-between=yes sent")
        check(not s.logged("too many"), s.log_text()[-500:])


OTHERS = """[component.other]
source = "gate.wasm"
network = ["http://127.0.0.1:*"]
policy = "concurrent"
concurrency = 1
[link.world]
type = "http"
hosts = ["http://127.0.0.1:*"]
"""


@contextmanager
def _controlled(app, shards):
    """A server whose links and versions are changed: of it, what does that."""
    with tempfile.TemporaryDirectory() as ctl:
        os.environ.update(TENON_CTL=ctl, TENON_STATE=ctl + "/state")

        def tenon(*args):
            r = subprocess.run([str(config.tenon), *map(str, args)], capture_output=True, timeout=120, text=True)
            check(r.returncode == 0, (args, r.stderr))

        def link(target):
            tenon("link", "shop", "asks:wasi:http/client", target)

        def update(k):
            at = Path(app.at.name) / "next.wasm"
            at.write_bytes(GATE.read_bytes() + b"\0\3\1n" + bytes([k]))
            tenon("update", "shop/between", at)
        try:
            with app.up(shards=shards) as s:
                yield s, link, update
        finally:
            del os.environ["TENON_CTL"], os.environ["TENON_STATE"]


def it_is_put_in_and_taken_out_while_requests_are_on_their_way():
    """Through one, through another, through none, and as other versions: each request goes whole by the way that it began with."""
    with _Upstream() as up, _App(more=OTHERS) as app, _controlled(app, 2) as (s, link, update):
        over = []
        paths = ("/pass/body", "/whole/body", "/copy/body", "/pass/large", "/copy/large", "/slow/plain")

        def load(path):
            seen = []
            while not over:
                a = s.get(f"{path}?{up.port}")
                text = a.body.decode()
                whole = text.endswith(" sent") and "trailers x-t=answered" in text
                seen.append((a.status, whole, "x-back=yes" in text, "" if whole else (text[-200:], a.error, round(a.ms))))
            return path, seen
        asking = Many([lambda path=path: load(path) for path in paths])
        try:
            for k in range(12):
                link(("component:other", "@world", "component:between")[k % 3])
                if k % 3 == 0:
                    update(k)
                time.sleep(0.1)
        finally:
            over.append(True)
        ways, done = set(), asking.join()
        came = {path: f"{sum(f'{path}?' in p for p in up.begun)} begun, {sum(f'{path}?' in p for _, p, *_ in up.asked)} whole of {len(seen)}" for path, seen in done}
        for path, seen in done:
            check(seen and all(status == 200 and whole for status, whole, *_ in seen),
                (path, [x for x in seen if x[:2] != (200, True)][:5], came[path], up.broken, s.log_text()[-2000:]))
            ways |= {(path[1] in "wc", back) for _, _, back, _ in seen}
        check(ways == {(True, True), (True, False), (False, False)}, ways)
        check(not up.broken, up.broken)


def what_is_on_its_way_ends_as_it_began_whatever_changes_meanwhile():
    """Answers of which the last chunk and the trailers are held back, and requests of which they are, until the link leads elsewhere and the versions that they came
    to have left: of who asks and of the one between. Also where an instance has one call in all."""
    ways = [(way, k) for way in ("/pass", "/whole", "/copy") for k in range(3)]
    said = {"/pass": "POST None %s None %s.", "/whole": "POST yes %s None %s.", "/copy": "POST YES %s YES %s."}
    for one in ("", "requests-per-instance = 1\n"):
        let_go = threading.Event()
        with _Upstream(wait=let_go) as up, _App(more=OTHERS, asks=one, policy=ALONE + one) as app, _controlled(app, 2) as (s, link, update):
            asking = Many([lambda way=way, k=k: _ask(s, f"{way}/body", up, k) for way, k in ways])
            sending = [s.connect() for _ in ways]
            for c, (way, k) in zip(sending, ways):
                c.send(f"POST {way}/through?{up.port}&{k} HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\nTrailer: x-t\r\n\r\n4\r\nthe \r\n")
            check(until(lambda: len(up.begun) == 18 and len(up.asked) == 9), (up.begun, up.asked))
            for k, target in enumerate(("component:other", "@world", "component:between")):
                update(k)
                link(target)
            check(len(up.asked) == 9, up.asked)
            for c in sending:
                c.send("4\r\nrest\r\n0\r\nx-t: came\r\n\r\n")
            check(until(lambda: len(up.asked) == 18), (up.asked, up.broken))
            let_go.set()
            for (way, _), got in zip(ways, asking.join()):
                large, back = way == "/copy", "" if way == "/pass" else "yes"
                want = said[way] % (("ASKED", "FROM WHO ASKS") if large else ("asked", "from who asks"))
                check(got == (200, f"200 x-back={back} {want} trailers x-t=answered x-between={'yes' if large else ''} sent"), (way, got, up.broken, s.log_text()[-1500:]))
            for c, (way, _) in zip(sending, ways):
                a, want = c.answer("POST"), said[way] % (("CAME", "THE REST") if way == "/copy" else ("came", "the rest"))
                check((a.status, a.body.decode(), a.aborted) == (200, want, False), (way, a.status, a.body, a.error, up.broken, s.log_text()[-1500:]))
                check(a.values("x-t", a.trailers) == ["answered"], (way, a.trailers))
            check(not up.broken, up.broken)


def it_must_be_one_for_many_calls():
    with _App(policy="") as app:
        r = subprocess.run([str(config.tenon), "up", app.at.name, "--addr", "127.0.0.1:0"], capture_output=True, timeout=120, text=True)
        check(r.returncode == 4 and "passes a stream or future" in r.stderr and 'policy = "concurrent"' in r.stderr, (r.returncode, r.stderr))


def the_example_guards_what_has_contents_too():
    with _Upstream() as up, Server(TOP / "examples/guard3", "--set", f"upstream=127.0.0.1:{up.port}", command="up") as s:
        check(s.get(f"/private/fetch=127.0.0.1:{up.port}").status == 500 and not up.asked, "the app traps at an error")
        answers = Many([lambda: s.get(f"/fetch=127.0.0.1:{up.port}/fetch=127.0.0.1:{up.port}") for _ in range(40)]).join()
        check([a.status for a in answers] == [200] * 40 and len(up.asked) == 80, s.log_text()[-500:])
        check({guarded for _, _, guarded, *_ in up.asked} == {"yes"}, up.asked[:3])


def a_component_stands_behind_the_handler_that_a_middleware_imports():
    at = SHARED / "guests-async/http"
    if not (at / "middle3-rust.wasm").exists():
        raise Skip("../shared is not there")
    with tempfile.TemporaryDirectory() as d:
        for name in ("middle3-rust", "edge3-rust"):
            (Path(d) / f"{name}.wasm").write_bytes((at / f"{name}.wasm").read_bytes())
        (Path(d) / "tenon.toml").write_text("""tenon = 1
[app]
name = "middle"
[component.middle]
source = "middle3-rust.wasm"
policy = "concurrent"
links = { "wasi:http/handler" = "edge" }
[component.edge]
source = "edge3-rust.wasm"
policy = "concurrent"
[link.edge]
type = "component"
component = "edge"
[[trigger.http]]
route = "/..."
component = "middle"
""")
        with Server(d, command="up") as s:
            check(s.get("/middle").body == b"Hello from the middle!\n", "its own")
            check(s.get("/").body == b"Hello from the edge!\n", s.log_text()[-500:])
            check(s.get("/twice/").status == 200, s.log_text()[-500:])

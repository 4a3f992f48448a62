"""Requests that guests send by HTTP/2: a real nginx, and servers that misbehave, frame by frame."""
import contextlib, os, shutil, ssl, subprocess, tempfile, threading, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import h2_client as h2
from common import free_port
from harness import Server, Skip, check, shared_guest
from peers import Peer
from test_tls import _authority, _certificate

NGINX = """
daemon off; worker_processes 1; pid {d}/pid; error_log {d}/error.log;
events {{ worker_connections 64; }}
http {{ client_body_temp_path {d}/b; proxy_temp_path {d}/p; fastcgi_temp_path {d}/f; uwsgi_temp_path {d}/u; scgi_temp_path {d}/s;
  log_format protocol "$server_protocol $connection $request_method $status"; access_log {d}/access.log protocol;
  server {{ listen 127.0.0.1:{port} ssl http2; ssl_certificate {cert}; ssl_certificate_key {key}; http2_max_concurrent_streams 8; root {d}/www;
    location /gone {{ return 404; }} location /nothing {{ return 204; }} }} }}
"""


def _ask(s, port, path="/"):
    return s.get("/fetch?url=" + quote(f"https://localhost:{port}{path}", safe=""))


def _flags(ca):
    return ("--net", "https://localhost", "--net", "127.0.0.1", "--ca", ca)


@contextlib.contextmanager
def _nginx(files):
    """One that serves those over HTTP/2 and TLS: its folder, port and authority."""
    if not shutil.which("nginx"):
        raise Skip("nginx is not installed")
    with tempfile.TemporaryDirectory() as t:
        d, port = Path(t), free_port()
        (d / "www").mkdir()
        os.chmod(d, 0o755)
        for name, data in files.items():
            (d / "www" / name).write_bytes(data)
        ca = _authority(d)
        cert, key = _certificate(d, "one", "DNS:localhost")
        (d / "conf").write_text(NGINX.format(d=d, port=port, cert=cert, key=key))
        nginx = subprocess.Popen(["nginx", "-c", str(d / "conf"), "-e", str(d / "error.log")], stderr=subprocess.DEVNULL)
        try:
            yield d, port, ca
        finally:
            nginx.terminate()
            nginx.wait()


def _wait_for(s, port):
    for _ in range(400):
        if _ask(s, port, "/small").status == 200:
            return
        time.sleep(0.05)


def nginx_is_spoken_to_by_http2_and_many_requests_share_a_connection():
    big = os.urandom(1 << 20) * 4
    with _nginx({"big": big, "small": b"small"}) as (d, port, ca):
        with Server(shared_guest("http/proxy-rust.wasm"), *_flags(ca)) as s:
            _wait_for(s, port)
            with ThreadPoolExecutor(24) as pool:
                def whole(i):
                    a = _ask(s, port, "/big" if i % 8 == 0 else "/small")
                    return a.status == 200 and a.body == (big if i % 8 == 0 else b"small")
                check(all(pool.map(whole, range(96))), "an answer was not whole")
            for path, status in (("/gone", 404), ("/nothing", 204)):
                check(_ask(s, port, path).status == status, path)
        lines = [x.split() for x in (d / "access.log").read_text().splitlines()]
        check({x[0] for x in lines} == {"HTTP/2.0"}, f"{ {x[0] for x in lines} }")
        connections = {x[1] for x in lines}
        check(len(connections) <= 16, f"{len(connections)} connections for {len(lines)} requests, eight of which one takes at once")


def a_pool_of_one_is_one_connection_on_which_many_requests_go_by_http2():
    """The ninth at once, which its server does not take, waits for a stream: there is no place for another connection."""
    with _nginx({"small": b"small", "large": bytes(1 << 20)}) as (d, port, ca):
        (d / "proxy.wasm").write_bytes((shared_guest("http") / "proxy-rust.wasm").read_bytes())
        (d / "tenon.toml").write_text(f'''tenon = 1
[app]
name = "shop"
[component.proxy]
source = "proxy.wasm"
private = ["127.0.0.0/8"]
links = {{ "wasi:http/outgoing-handler" = "partner" }}
[link.partner]
type = "http"
hosts = ["https://localhost:{port}"]
pool = 1
[[trigger.http]]
route = "/..."
component = "proxy"
''')
        with Server(str(d), "--ca", ca, command="up") as s, ThreadPoolExecutor(24) as pool:
            _wait_for(s, port)
            got = list(pool.map(lambda i: len(_ask(s, port, ("/small", "/large")[i % 2]).body), range(120)))
            check(got == [5, 1 << 20] * 60, got)
        lines = [x.split() for x in (d / "access.log").read_text().splitlines()]
        check({x[0] for x in lines} == {"HTTP/2.0"} and len({x[1] for x in lines}) == 1, lines[:30])


class _Peer(Peer):
    """Speaks HTTP/2 by TLS: reads the preface, says SETTINGS, then `act(connection, stream, number of the request)` for each head; false: it closes."""

    def __init__(self, cert, key, act, settings=None):
        self.act, self.settings, self.count, self.connections, self.by_h1 = act, settings or {}, 0, 0, []
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(cert, key)
        self.context.set_alpn_protocols(["h2", "http/1.1"])
        self.lock = threading.Lock()
        super().__init__()

    def _serve(self, raw):
        try:
            with self.context.wrap_socket(raw, server_side=True) as c:
                self.connections += 1
                file = c.makefile("rb")
                if c.selected_alpn_protocol() != "h2":
                    return self._serve_h1(c, file)
                check(file.read(24) == h2.PREFACE, "no preface")
                c.sendall(h2.settings(**self.settings))
                while True:
                    head = file.read(9)
                    if len(head) < 9:
                        return
                    kind, flags, stream = head[3], head[4], int.from_bytes(head[5:9], "big")
                    file.read(int.from_bytes(head[:3], "big"))
                    if kind == h2.SETTINGS and not flags & h2.ACK:
                        c.sendall(h2.frame(h2.SETTINGS, h2.ACK, 0))
                    if kind != h2.HEADERS:
                        continue
                    with self.lock:
                        self.count += 1
                        n = self.count
                    if self.act(c, stream, n) is False:
                        return
        except OSError:
            pass


    def _serve_h1(self, c, file):
        while line := file.readline():
            head = {}
            for field in iter(file.readline, b"\r\n"):
                name, value = field.decode().split(":", 1)
                head[name.lower()] = value.strip()
            self.by_h1.append((line.split()[0].decode(), file.read(int(head.get("content-length", 0)))))
            c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nby 1.1")


def _head(stream, fields=((":status", "200"),), flags=h2.END_HEADERS):
    return h2.frame(h2.HEADERS, flags, stream, h2.encode_fields(fields))


def _ok(c, stream, n=0):
    c.sendall(_head(stream) + h2.frame(h2.DATA, h2.END_STREAM, stream, b"ok"))


def _goaway(last, code=h2.NO_ERROR):
    return h2.frame(h2.GOAWAY, 0, 0, last.to_bytes(4, "big") + code.to_bytes(4, "big"))


def _reset(stream, code):
    return h2.frame(h2.RST_STREAM, 0, stream, code.to_bytes(4, "big"))


def _with_peers(each, *more):
    """Calls each(server, peer of) with a guest that fetches, and what makes a peer."""
    with tempfile.TemporaryDirectory() as t:
        ca = _authority(Path(t))
        pair = _certificate(Path(t), "one", "DNS:localhost")
        with Server(shared_guest("http/proxy-rust.wasm"), *_flags(ca), *more) as s:
            each(s, lambda act, **settings: _Peer(*pair, act, settings))


def each_way_to_misbehave_by_http2_has_its_error():
    def slow_reset(code):
        return lambda c, stream, n: c.sendall(_reset(stream, code))
    ways = [
        ("resets the stream", slow_reset(h2.INTERNAL_ERROR), b"ConnectionTerminated"),
        ("says that we are wrong", slow_reset(h2.PROTOCOL_ERROR), b"HttpProtocolError"),
        ("refuses again and again", slow_reset(h2.REFUSED_STREAM), b"ConnectionTerminated"),
        ("ends without an answer", lambda c, stream, n: False, b"ConnectionTerminated"),
        ("no status", lambda c, stream, n: c.sendall(_head(stream, (("a", "b"),))), b"HttpProtocolError"),
        ("a body before the head", lambda c, stream, n: c.sendall(h2.frame(h2.DATA, 0, stream, b"x")), b"HttpProtocolError"),
        ("names in capitals", lambda c, stream, n: c.sendall(_head(stream, ((":status", "200"), ("Name", "x")))), b"HttpProtocolError"),
        ("says HTTP/1", lambda c, stream, n: c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), b"HttpProtocolError"),
        ("17 answers before the answer", lambda c, stream, n: [c.sendall(_head(stream, ((":status", "103"),))) for _ in range(17)] and None, b"HttpProtocolError"),
        ("too large a head", lambda c, stream, n: c.sendall(_head(stream, ((":status", "200"), *((f"x{i}", "y" * 100) for i in range(140))))), b"HttpResponseHeaderSectionSize"),
        ("goes away for a reason", lambda c, stream, n: c.sendall(_goaway(stream, h2.INTERNAL_ERROR)) or False, b"ConnectionTerminated"),
    ]

    def each(s, peer):
        for name, act, want in ways:
            with peer(act) as p:
                a = _ask(s, p.port)
                check(a.status == 502 and want in a.body, f"{name}: {a.status} {a.body}")
    _with_peers(each)


def an_answer_by_http2_that_breaks_off_or_is_too_long_is_never_passed_on_as_whole():
    length = ((":status", "200"), ("content-length", "100000"))
    ways = [
        ("is reset", lambda c, stream, n: c.sendall(_head(stream, length) + h2.frame(h2.DATA, 0, stream, b"x" * 5000) + _reset(stream, h2.INTERNAL_ERROR))),
        ("is lost", lambda c, stream, n: c.sendall(_head(stream, length) + h2.frame(h2.DATA, 0, stream, b"x" * 5000)) or False),
        ("ends short", lambda c, stream, n: c.sendall(_head(stream, length) + h2.frame(h2.DATA, h2.END_STREAM, stream, b"x" * 5000))),
        ("is too long", lambda c, stream, n: c.sendall(_head(stream, ((":status", "200"), ("content-length", "4"))) + h2.frame(h2.DATA, h2.END_STREAM, stream, b"x" * 5))),
    ]

    def each(s, peer):
        for name, act in ways:
            with peer(act) as p:
                a = _ask(s, p.port)
                check(a.aborted or a.status >= 500, f"{name}: {a.status}, {len(a.body)} bytes, whole")
    _with_peers(each)


def what_a_peer_has_not_looked_at_is_asked_anew_once():
    def refuse_first(c, stream, n):
        c.sendall(_reset(stream, h2.REFUSED_STREAM)) if n == 1 else _ok(c, stream)

    def leave_first(c, stream, n):
        if n > 1:
            return _ok(c, stream)
        c.sendall(_goaway(0))
        return None

    def each(s, peer):
        for act in (refuse_first, leave_first):
            with peer(act) as p:
                a = _ask(s, p.port)
                check(a.status == 200 and a.body == b"ok" and p.count == 2, f"{act.__name__}: {a.status} {a.body} after {p.count}")
    _with_peers(each)


def what_a_peer_wants_by_http11_is_asked_by_that_and_the_rest_goes_on_by_http2():
    """HTTP_1_1_REQUIRED (RFC 9113, 7), as the end of a stream, and of a connection."""
    def resets(c, stream, n):
        c.sendall(_reset(stream, h2.HTTP_1_1_REQUIRED)) if n % 2 else _ok(c, stream)

    def leaves(c, stream, n):
        c.sendall(_goaway(0, h2.HTTP_1_1_REQUIRED))
        return False

    def each(s, peer):
        with peer(resets) as p:
            for i in range(6):
                a = _ask(s, p.port)
                check(a.status == 200 and a.body == (b"ok" if i % 2 else b"by 1.1"), f"{i}: {a.status} {a.body}")
            check(p.by_h1 == [("GET", b"")] * 3 and p.count == 6, f"{p.by_h1} {p.count}")
        with peer(leaves) as p:
            a = _ask(s, p.port)
            check(a.status == 200 and a.body == b"by 1.1" and p.by_h1 == [("GET", b"")], f"{a.status} {a.body} {p.by_h1}")
    _with_peers(each)


def a_connection_that_says_good_bye_serves_what_it_has_and_is_used_no_more():
    def act(c, stream, n):
        if n == 1:
            c.sendall(_goaway(stream))
        _ok(c, stream)

    def each(s, peer):
        with peer(act) as p:
            for _ in range(4):
                a = _ask(s, p.port)
                check(a.status == 200 and a.body == b"ok", f"{a.status} {a.body}")
            check(p.connections == 2, f"{p.connections} connections")
    _with_peers(each)


def a_peer_that_is_slow_by_http2_costs_a_call_no_more_than_its_deadline_and_the_others_nothing():
    def act(c, stream, n):
        if n > 1:
            _ok(c, stream)

    def each(s, peer):
        with peer(act) as p:
            with ThreadPoolExecutor(1) as pool:
                slow = pool.submit(_ask, s, p.port)
                for _ in range(400):
                    if p.count:
                        break
                    time.sleep(0.01)
                for _ in range(5):
                    a = _ask(s, p.port)
                    check(a.status == 200 and a.body == b"ok", f"{a.status} {a.body}")
                check(slow.result().status == 504, f"{slow.result().status}")
            check(p.connections == 1, f"{p.connections} connections")
    _with_peers(each, "--deadline", "3s")


def a_peer_that_floods_is_left():
    """PINGs, SETTINGS, empty DATA without end, resets: what it costs is bounded as a client's is."""
    floods = [h2.frame(h2.PING, 0, 0, b"x" * 8), h2.settings(), h2.frame(h2.PRIORITY, 0, 1, b"\0\0\0\0\1")]

    def each(s, peer):
        for flood in floods:
            done = threading.Event()

            def act(c, stream, n):
                try:
                    for _ in range(400):
                        c.sendall(flood * 100)
                finally:
                    done.set()
            with peer(act) as p:
                a = _ask(s, p.port)
                check(a.status == 502, f"{a.status} {a.body}")
                check(done.wait(20), "the flood was taken to its end")
    _with_peers(each)

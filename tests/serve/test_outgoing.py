"""Requests that guests send: servers that misbehave, a real one, what is denied. By a guest of ../shared that fetches a URL."""
import hashlib, os, shutil, socket, struct, subprocess, tempfile, time
from pathlib import Path
from urllib.parse import quote

import work
from assemble import DROP, UNREACHABLE, const, const64, get, load, put, write
from common import free_port
from harness import Server, Skip, check, shared_guest
from peers import Peer

FLAGS = ("--net", "127.0.0.1", "--net", "localhost")


class _Peer(Peer):
    """Accepts, reads a head, then does `act(connection, number of the request)`. heads: gets those that were read."""

    def __init__(self, act, heads=None):
        self.act, self.count, self.heads = act, 0, heads
        super().__init__()

    def _serve(self, c):
        with c:
            try:
                head = b""
                while True:
                    while b"\r\n\r\n" not in head:
                        part = c.recv(65536)
                        if not part:
                            return
                        head += part
                    if self.heads is not None:
                        self.heads.append(head)
                    head = head.split(b"\r\n\r\n", 1)[1]
                    self.count += 1
                    if not self.act(c, self.count):
                        return
            except OSError:
                pass


def _ask(s, port, path="/", host="127.0.0.1"):
    return s.get("/fetch?url=" + quote(f"http://{host}:{port}{path}", safe=""))


def _reset(c):
    c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def each_way_to_misbehave_has_its_error():
    ways = [
        ("resets", lambda c, n: _reset(c), b"ConnectionTerminated"),
        ("ends without an answer", lambda c, n: None, b"ConnectionTerminated"),
        ("stops in the head", lambda c, n: c.sendall(b"HTTP/1.1 200 OK\r\nContent-"), b"HttpResponseIncomplete"),
        ("says nonsense", lambda c, n: c.sendall(b"220 ready\r\n"), b"HttpProtocolError"),
        ("two lengths", lambda c, n: c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx"), b"HttpProtocolError"),
        ("a head without end", lambda c, n: c.sendall(b"HTTP/1.1 200 OK\r\nA: " + b"x" * 100000), b"HttpResponseHeaderSectionSize"),
        ("another coding", lambda c, n: c.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n"), b"HttpResponseTransferCoding"),
        ("another protocol", lambda c, n: c.sendall(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"), b"HttpUpgradeFailed"),
    ]
    with Server(shared_guest("http/proxy-rust.wasm"), *FLAGS) as s:
        for name, act, want in ways:
            with _Peer(act) as p:
                a = _ask(s, p.port)
                check(a.status == 502 and want in a.body, f"{name}: {a.status} {a.body}")
        a = _ask(s, free_port())
        check(a.status == 502 and b"ConnectionRefused" in a.body, f"refuses: {a.status} {a.body}")


def an_answer_that_breaks_off_is_never_passed_on_as_whole():
    """The guest takes an error of the answer's body for its end: the length that it announced tells."""
    with Server(shared_guest("http/proxy-rust.wasm"), *FLAGS) as s:
        with _Peer(lambda c, n: c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 50000)) as p:
            a = _ask(s, p.port)
            check(a.aborted or a.status >= 500, f"{a.status}, {len(a.body)} bytes, whole")


def more_than_was_announced_is_nobodys_answer():
    def act(c, n):
        c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngoodHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
        return True
    with Server(shared_guest("http/proxy-rust.wasm"), *FLAGS) as s, _Peer(act) as p:
        for _ in range(3):
            a = _ask(s, p.port)
            check(a.status == 200 and a.body == b"good", f"{a.status} {a.body}")
        check(p.accepted == 3, f"{p.accepted} connections")


class _Sends(work.Handler):
    """Posted to, it sends a request without a path, with a timeout of 0 if one is named, and traps unless this comes of it: None (an answer), or the case of an error-code."""

    def __init__(self, port, timeout, code):
        super().__init__(work.Wit())
        request, future, authority = "[method]outgoing-request.", "[method]future-incoming-response.", f"127.0.0.1:{port}".encode()
        labels = ["[constructor]outgoing-request", request + "set-scheme", request + "set-authority", "[constructor]request-options", future + "subscribe", future + "get"]
        setter = f"[method]request-options.set-{timeout}-timeout"
        for label in labels + [setter] * bool(timeout):
            self._need(self._func(work.HTTP, label))
        self._need(self._func("wasi:http/outgoing-handler", "handle"))
        self._need(self._func("wasi:io/poll", "[method]pollable.block"))
        self.n_locals += 3  # 3: the request, 4: its options, 5: the future
        self._import()
        c, at = self.c.call, const(work.RESULT)
        must = lambda offset, want: at + b"\x2d\0" + work.u(offset) + const(want) + b"\x47\x04\x40" + UNREACHABLE + b"\x0b"  # noqa: E731
        self.made = self._component(c("[constructor]fields") + c(labels[0]) + put(3) + get(3) + const(1) + const(0) * 3 + c(labels[1]) + DROP + get(3) + const(1) + const(work.AUTHORITY) +
            const(len(authority)) + c(labels[2]) + DROP + c(labels[3]) + put(4) + (get(4) + const(1) + const64(0) + c(setter) + DROP if timeout else b"") +
            get(3) + const(1) + get(4) + at + c("handle") + must(0, 0) + load(work.RESULT + 8) + put(5) + get(5) + c(labels[4]) + c("[method]pollable.block") +
            get(5) + at + c(labels[5]) + must(0, 1) + must(8, 0) + must(16, code is not None) + (must(24, code) if code is not None else b"") + self._answer(),
            start=write(work.AUTHORITY, authority))


RESPONSE_TIMEOUT = 33


def no_path_is_a_slash_and_no_time_is_over_at_once_W36():
    heads = []

    def act(c, n):
        c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    with _Peer(act, heads) as p, _Peer(lambda c, n: time.sleep(20)) as silent:
        for port, timeout, code in ((p.port, None, None), (silent.port, "first-byte", RESPONSE_TIMEOUT)):
            with tempfile.TemporaryDirectory() as d:
                guest = Path(d) / "guest.wasm"
                guest.write_bytes(_Sends(port, timeout, code).made)
                with Server(guest, "--net", "127.0.0.1", "--deadline", "15s") as s:
                    a = s.post("/")
                    check(a.status == 200, f"{timeout}: {a.status} {s.log_text()}")
    check(heads and heads[0].startswith(b"GET / HTTP/1.1\r\n"), heads)


def a_slow_peer_costs_a_call_no_more_than_its_deadline():
    with Server(shared_guest("http/proxy-rust.wasm"), *FLAGS, "--deadline", "700ms") as s, _Peer(lambda c, n: time.sleep(30)) as p:
        began = time.monotonic()
        a = _ask(s, p.port)
        check(a.status == 504 and 0.6 < time.monotonic() - began < 20, f"{a.status} after {time.monotonic() - began:.1f} s")


def connections_outlive_the_instances_that_made_them():
    def act(c, n):
        c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        return n != 5  # then it closes what is idle
    with Server(shared_guest("http/proxy-rust.wasm"), *FLAGS) as s, _Peer(act) as p:
        for n in range(10):
            a = _ask(s, p.port)
            check(a.status == 200 and a.body == b"ok", f"{n}: {a.status} {a.body}")
        check(p.accepted == 2, f"{p.accepted} connections for 10 requests")


def what_is_not_granted_is_denied_and_the_log_says_by_which_flag():
    proxy = shared_guest("http/proxy-rust.wasm")
    with _Peer(lambda c, n: c.sendall(b"HTTP/1.1 204 No\r\n\r\n")) as p:
        for flags, host, want, line in (
                ((), "127.0.0.1", b"HttpRequestDenied", f"--net http://127.0.0.1:{p.port} would grant it"),
                (("--net", "example.com"), "127.0.0.1", b"HttpRequestDenied", f"--net http://127.0.0.1:{p.port} would grant it"),
                (("--net", "https://localhost"), "localhost", b"HttpRequestDenied", f"--net http://localhost:{p.port} would grant it"),
                (("--net", "127.0.0.1:1"), "127.0.0.1", b"HttpRequestDenied", "would grant it"),
                (("--net", "all"), "127.0.0.1", b"DestinationIpProhibited", "--private, or --net ADDRESS would grant it"),
                (("--net", "all"), "[::ffff:127.0.0.1]", b"DestinationIpProhibited", "--private, or --net ADDRESS would grant it"),
                (("--net", "all"), "localhost.", b"DestinationIpProhibited", "--private, or --net ADDRESS would grant it"),
                (("--net", "all"), "2130706433", b"DestinationIpProhibited", "--private, or --net ADDRESS would grant it")):
            with Server(proxy, *flags) as s:
                a = _ask(s, p.port, host=host)
                check(a.status == 502 and want in a.body, f"{flags} {host}: {a.status} {a.body}")
                for _ in range(100):
                    if line in s.log_text():
                        break
                    time.sleep(0.02)
                check(line in s.log_text(), f"{flags} {host}: {s.log_text()}")
        check(p.accepted == 0, "somebody was connected to")
        for flags in (("--net", "all", "--private"), ("--net", "127.0.0.0/8"), ("--net", f"http://127.0.0.1:{p.port}")):
            with Server(proxy, *flags) as s:
                a = _ask(s, p.port)
                check(a.status == 204, f"{flags}: {a.status} {a.body}")


NGINX = """
daemon off; worker_processes 1; pid {d}/pid; error_log {d}/error.log;
events {{ worker_connections 64; }}
http {{ access_log off; client_body_temp_path {d}/b; proxy_temp_path {d}/p; fastcgi_temp_path {d}/f; uwsgi_temp_path {d}/u; scgi_temp_path {d}/s;
  server {{ listen 127.0.0.1:{port}; root {d}/www; location /gone {{ return 404; }} }} }}
"""


def nginx_is_understood():
    if not shutil.which("nginx"):
        raise Skip("nginx is not installed")
    with tempfile.TemporaryDirectory() as t:
        d = Path(t)
        (d / "www").mkdir()
        big = os.urandom(1 << 20) * 8
        (d / "www/big").write_bytes(big)
        (d / "www/empty").write_bytes(b"")
        os.chmod(d, 0o755)
        port = free_port()
        (d / "conf").write_text(NGINX.format(d=d, port=port))
        nginx = subprocess.Popen(["nginx", "-c", str(d / "conf"), "-e", str(d / "error.log")], stderr=subprocess.DEVNULL)
        try:
            with Server(shared_guest("http/proxy-rust.wasm"), *FLAGS) as s:
                for _ in range(200):
                    if _ask(s, port, "/empty").status == 200:
                        break
                    time.sleep(0.05)
                for _ in range(3):
                    a = _ask(s, port, "/big")
                    check(a.status == 200 and hashlib.sha256(a.body).digest() == hashlib.sha256(big).digest(), f"{a.status} {len(a.body)} {a.error}")
                    a = _ask(s, port, "/empty")
                    check(a.status == 200 and a.body == b"", f"{a.status} {a.body}")
                    check(_ask(s, port, "/gone").status == 404, "404")
        finally:
            nginx.terminate()
            nginx.wait()

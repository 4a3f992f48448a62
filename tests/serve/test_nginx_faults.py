"""Requests of guests to a real nginx that can't answer, won't, or may not be believed: each has its error-code, and within its deadline."""
import os, signal, socket, subprocess, tempfile, threading, time
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from common import free_ports
from harness import Server, check, needs, shared_guest
from test_tls import _authority, _certificate

NGINX = """
daemon off; worker_processes 1; pid {d}/pid; error_log {d}/error.log;
events {{ worker_connections 64; }}
http {{ client_body_temp_path {d}/b; proxy_temp_path {d}/p; fastcgi_temp_path {d}/f; uwsgi_temp_path {d}/u; scgi_temp_path {d}/s; access_log off;
  {servers} }}
"""
HTTPS = "server {{ listen 127.0.0.1:{port} ssl http2; ssl_certificate {cert}; ssl_certificate_key {key}; {more} {where} }}"
# What its paths do.
WHERE = """root {d}/www; location /closes {{ return 444; }} location /long {{ limit_rate 1k; }} location /moved {{ return 302 http://localhost:1/; }}
  location /breaks {{ proxy_pass http://127.0.0.1:{breaks}; proxy_buffering off; }} location /nobody {{ proxy_pass http://127.0.0.1:{nobody}; }}"""


class _Breaks:
    """Announces a mebibyte, and sends a part of it."""

    def __enter__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()
        return self.listener.getsockname()[1]

    def _serve(self):
        try:
            while True:
                c, _ = self.listener.accept()
                with c:
                    c.recv(65536)
                    c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n" + b"x" * 50000)
        except OSError:
            pass

    def __exit__(self, *_):
        self.listener.close()


@contextmanager
def _nginx():
    """(server that a guest asks by, ports by what they are, the worker's process id)."""
    needs("nginx")
    with tempfile.TemporaryDirectory() as t, _Breaks() as breaks:
        d = Path(t)
        (d / "www").mkdir()
        (d / "www/index.html").write_text("here")
        (d / "www/long").write_bytes(b"x" * 100_000)
        os.chmod(d, 0o755)
        ca, _ = _authority(d), _authority(d, "other")
        clear, good, old, wrong, unknown, nobody = free_ports(6)
        where = WHERE.format(d=d, breaks=breaks, nobody=nobody)
        pairs = {good: _certificate(d, "good", "DNS:localhost"), old: _certificate(d, "old", "DNS:localhost", days=-1),
            wrong: _certificate(d, "wrong", "DNS:some.example"), unknown: _certificate(d, "unknown", "DNS:localhost", ca="other")}
        servers = "server { listen 127.0.0.1:%d; %s }" % (clear, where)
        for port, (cert, key) in pairs.items():
            servers += HTTPS.format(port=port, cert=cert, key=key, more="", where=where)
        (d / "conf").write_text(NGINX.format(d=d, servers=servers))
        nginx = subprocess.Popen(["nginx", "-c", str(d / "conf"), "-e", str(d / "error.log")], stderr=subprocess.DEVNULL)
        try:
            with Server(shared_guest("http/proxy-rust.wasm"), "--net", "http://localhost", "--net", "https://localhost", "--net", "127.0.0.1", "--ca", ca, "--deadline", "8s") as s:
                for _ in range(1200):
                    if _ask(s, f"http://localhost:{clear}/").status == 200:
                        break
                    time.sleep(0.05)
                worker = int(subprocess.run(["pgrep", "-P", str(nginx.pid)], capture_output=True, text=True, check=True).stdout.split()[0])
                yield s, {"clear": clear, "good": good, "old": old, "wrong": wrong, "unknown": unknown, "nobody": nobody}, worker
        finally:
            nginx.terminate()
            nginx.wait()


def _ask(s, url):
    return s.get("/fetch?url=" + quote(url, safe=""), timeout=60)


def what_nginx_does_wrong_is_told_as_what_it_is():
    with _nginx() as (s, at, _):
        cases = [
            ("all is well", f"http://localhost:{at['clear']}/", 200, b"here"), ("by TLS", f"https://localhost:{at['good']}/", 200, b"here"),
            ("expired", f"https://localhost:{at['old']}/", 502, b"TlsCertificateError"), ("another's name", f"https://localhost:{at['wrong']}/", 502, b"TlsCertificateError"),
            ("by an address", f"https://127.0.0.1:{at['good']}/", 502, b"TlsCertificateError"), ("unknown root", f"https://localhost:{at['unknown']}/", 502, b"TlsCertificateError"),
            ("TLS where there is none", f"https://localhost:{at['clear']}/", 502, b"TlsProtocolError"), ("none where there is TLS", f"http://localhost:{at['good']}/", 400, b"plain HTTP"),
            ("nobody listens", f"http://localhost:{at['nobody']}/", 502, b"ConnectionRefused"), ("nobody listens, by TLS", f"https://localhost:{at['nobody']}/", 502, b"ConnectionRefused"),
            ("closes", f"http://localhost:{at['clear']}/closes", 502, b"ConnectionTerminated"), ("closes by HTTP/2: says PROTOCOL_ERROR", f"https://localhost:{at['good']}/closes", 502, b"HttpProtocolError"),
            ("its own 502", f"http://localhost:{at['clear']}/nobody", 502, b"Bad Gateway"), ("a redirect", f"http://localhost:{at['clear']}/moved", 302, b""),
        ]
        for what, url, status, text in cases:
            for _ in range(2):  # also on what is left of the first
                a = _ask(s, url)
                check(a.status == status and text in a.body and not a.aborted, f"{what}: {a.status} {a.body[:200]} {a.error}")
        for url in (f"http://localhost:{at['clear']}/breaks", f"https://localhost:{at['good']}/breaks"):
            a = _ask(s, url)
            check(a.aborted and 0 < len(a.body) <= 50000, f"{url}: {a.status} {len(a.body)} bytes, whole")


def an_nginx_that_stands_still_costs_a_call_no_more_than_its_deadline():
    """The kernel accepts for it. By TLS the handshake counts to the time for connecting, which the guest sets to five seconds; in clear the call's own ends it."""
    with _nginx() as (s, at, worker):
        os.kill(worker, signal.SIGSTOP)
        try:
            for scheme, port, status, text in (("https", at["good"], 502, b"ConnectionTimeout"), ("http", at["clear"], 504, b"")):
                began = time.monotonic()
                a = _ask(s, f"{scheme}://localhost:{port}/")
                took = time.monotonic() - began
                check(a.status == status and text in a.body and 4.5 < took < 40, f"{scheme}: {a.status} {a.body} after {took:.1f} s")
        finally:
            os.kill(worker, signal.SIGCONT)
        a = _ask(s, f"http://localhost:{at['clear']}/")
        check(a.status == 200 and a.body == b"here", f"when it goes on: {a.status} {a.body}")

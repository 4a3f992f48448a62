"""Behind the proxies of others: nginx and HAProxy in front of a server, large bodies through them. What nginx cuts is in docs/http.md."""
import os, subprocess, tempfile, time
from contextlib import contextmanager
from pathlib import Path

from common import free_port
from harness import SHARED, Server, Skip, check, needs
from http_client import exchange

SIZE = 100_000_000

NGINX = """
daemon off; worker_processes 1; pid {d}/pid; error_log {d}/error.log;
events {{ worker_connections 64; }}
http {{ client_body_temp_path {d}/b; proxy_temp_path {d}/p; fastcgi_temp_path {d}/f; uwsgi_temp_path {d}/u; scgi_temp_path {d}/s; access_log off;
  upstream tenon {{ server {server}; keepalive 4; }}
  server {{ listen 127.0.0.1:{port}; client_max_body_size 0; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_request_buffering {buffering};
    location / {{ proxy_pass http://tenon; }} }} }}
"""

HAPROXY = """
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend f
  bind 127.0.0.1:{port}
  default_backend b
backend b
  server tenon {server}{proto}
"""


def _quirk():
    at = SHARED / "faults/quirk.wasm"
    if not at.exists():
        raise Skip("../shared is not there")
    return at


@contextmanager
def _in_front(server, argv, text):
    """A proxy of that configuration; where it listens."""
    needs(argv[0])
    with tempfile.TemporaryDirectory() as t:
        d, port = Path(t), free_port()
        os.chmod(d, 0o755)
        (d / "conf").write_text(text(d, port, "%s:%d" % server.addr))
        proxy = subprocess.Popen([a.format(d=d) for a in argv], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            for _ in range(1200):
                if exchange(("127.0.0.1", port), {"method": "GET", "path": "/"}, 10).status == 200:
                    break
                time.sleep(0.05)
            yield "127.0.0.1", port
        finally:
            proxy.terminate()
            proxy.wait()


def _large_bodies(at, chunked):
    """Up, counted by the guest; down; small requests behind them on what the proxy keeps open."""
    a = exchange(at, {"method": "POST", "path": "/dump?read=all", "body_repeat": ["x", SIZE], "chunked": chunked}, 120)
    check(a.status == 200 and f"read {SIZE};no trailers;".encode() in a.body, f"up: {a.status} {a.body[-100:]} {a.error}")
    a = exchange(at, {"method": "GET", "path": f"/?w={SIZE}&how=nb"}, 120)
    check(a.status == 200 and len(a.body) == SIZE and not a.aborted, f"down: {a.status} {len(a.body)} {a.error}")
    for _ in range(20):
        a = exchange(at, {"method": "GET", "path": "/?w=5"}, 20)
        check(a.status == 200 and a.body == b"01234", f"small: {a.status} {a.body} {a.error}")


def large_bodies_go_whole_through_nginx():
    for buffering in ("on", "off"):
        text = lambda d, port, server: NGINX.format(d=d, port=port, server=server, buffering=buffering)
        with Server(_quirk()) as s, _in_front(s, ["nginx", "-c", "{d}/conf", "-e", "{d}/error.log"], text) as at:
            _large_bodies(at, buffering == "off")


def large_bodies_go_whole_through_haproxy():
    for proto in ("", " proto h2"):
        text = lambda d, port, server: HAPROXY.format(port=port, server=server, proto=proto)
        with Server(_quirk()) as s, _in_front(s, ["haproxy", "-f", "{d}/conf"], text) as at:
            _large_bodies(at, proto != "")

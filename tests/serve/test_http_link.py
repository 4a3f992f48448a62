"""A link of type http: where requests of a component may go by it, what they may be like, and what they get that the guest never sees."""
import os, subprocess, tempfile, time
from pathlib import Path
from urllib.parse import quote

from harness import Server, check, config, shared_guest
from peers import Peer

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class _Upstream(Peer):
    """Keeps the head of each request, and answers it after `wait` seconds."""

    def __init__(self, wait=0):
        self.heads, self.wait = [], wait
        super().__init__()

    def _serve(self, c):
        with c:
            head = b""
            while b"\r\n\r\n" not in head:
                part = c.recv(65536)
                if not part:
                    return
                head += part
            self.heads.append(head.decode().lower())
            time.sleep(self.wait)
            try:
                c.sendall(ANSWER)
            except OSError:
                pass


def _proxy():
    return (shared_guest("http") / "proxy-rust.wasm").read_bytes()


class _App:
    def __init__(self, link, component="", variables="", guest=None):
        self.at = tempfile.TemporaryDirectory()
        source = Path(self.at.name) / "proxy.wasm"
        source.write_bytes(guest or _proxy())
        self.manifest = Path(self.at.name) / "tenon.toml"
        self.manifest.write_text(f"""tenon = 1
[app]
name = "shop"
{variables}
[component.proxy]
source = "proxy.wasm"
links = {{ "wasi:http/outgoing-handler" = "partner" }}
{component}
[link.partner]
type = "http"
{link}
[[trigger.http]]
route = "/..."
component = "proxy"
""")

    def up(self, *flags):
        return Server(self.at.name, *flags, command="up")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.at.cleanup()


def _ask(s, port, host="127.0.0.1", path="/", **more):
    return s.get("/fetch?url=" + quote(f"http://{host}:{port}{path}", safe=""), **more)


def _says(server, text):
    for _ in range(100):
        if text in server.log_text():
            return
        time.sleep(0.02)
    raise AssertionError(f"nothing says {text!r}: {server.log_text()[-1500:]}")


def requests_go_where_the_link_says_and_nowhere_else():
    with _Upstream() as here, _Upstream() as there, _App(f'hosts = ["http://127.0.0.1:{here.port}"]') as app, app.up() as s:
        a = _ask(s, here.port)
        check(a.status == 200 and a.body == b"ok", (a.status, a.body))
        a = _ask(s, there.port)
        check(a.status == 502 and b"HttpRequestDenied" in a.body and not there.heads, (a.status, a.body))
        _says(s, f"http://127.0.0.1:{there.port} in `hosts` of link partner would grant it")


def what_the_component_is_granted_does_not_widen_its_link():
    with _Upstream() as here, _App('hosts = ["http://127.0.0.1:1"]', 'network = ["all"]\n') as app, app.up() as s:
        a = _ask(s, here.port)
        check(a.status == 502 and b"HttpRequestDenied" in a.body and not here.heads, (a.status, a.body))


def a_name_leads_to_a_private_address_only_where_that_is_said():
    with _Upstream() as here:
        link = 'hosts = ["http://*:*"]'
        with _App(link) as app, app.up() as s:
            a = _ask(s, here.port, "localhost.")
            check(a.status == 502 and b"DestinationIpProhibited" in a.body and not here.heads, (a.status, a.body))
            _says(s, "an address in `hosts` of link partner, or `private` of the component would grant it")
        for ranges, status in (('["127.0.0.0/8", "::1"]', 200), ('["10.0.0.0/8"]', 502)):
            with _App(link, f"private = {ranges}\n") as app, app.up() as s:
                check(_ask(s, here.port, "localhost.").status == status, ranges)


def only_methods_that_the_link_names_go_out():
    with _Upstream() as here:
        for methods, status in (('["GET", "POST"]', 200), ('["POST"]', 502)):
            with _App(f'hosts = ["http://127.0.0.1:{here.port}"]\nmethods = {methods}') as app, app.up() as s:
                a = _ask(s, here.port)
                check(a.status == status, (methods, a.status, a.body))
                if status != 200:
                    _says(s, "its name in `methods` of link partner would grant it")
        check(len(here.heads) == 1, here.heads)


def each_request_gets_the_links_fields_in_place_of_the_guests_own():
    variables = '[variables]\ntoken = { required = true, secret = true }\n'
    os.environ["TENON_VAR_TOKEN"] = "s3cr3t"
    try:
        with _Upstream() as here, _App(f'hosts = ["http://127.0.0.1:{here.port}"]\nheaders = {{ Authorization = "Bearer ${{token}}", "x-shop" = "7" }}',
                variables=variables) as app, app.up() as s:
            a = _ask(s, here.port)
            check(a.status == 200, (a.status, a.body))
            head = here.heads[0]
            check(head.count("authorization:") == 1 and "authorization: bearer s3cr3t\r\n" in head and "x-shop: 7\r\n" in head, head)
            check("s3cr3t" not in s.log_text(), "a secret stands in the log")
            check("s3cr3t" not in subprocess.run([config.tenon, "check", app.at.name], capture_output=True, text=True, timeout=60).stdout, "a secret is shown")
    finally:
        del os.environ["TENON_VAR_TOKEN"]


def a_field_of_the_guests_own_gives_way_in_any_letter_case():
    """The guest passes on a field that it calls x-demo, and another one made of it X-DEMO."""
    for guest in (_proxy(), _proxy().replace(b"typex-demono", b"typeX-DEMOno")):
        with _Upstream() as here, _App(f'hosts = ["http://127.0.0.1:{here.port}"]\nheaders = {{ "X-Demo" = "of-link" }}', guest=guest) as app, app.up() as s:
            check(_ask(s, here.port, headers=[["x-demo", "of-guest"]]).status == 200, "it was not sent")
            check(here.heads[0].count("x-demo:") == 1 and "x-demo: of-link\r\n" in here.heads[0], here.heads)
        with _Upstream() as here, _App(f'hosts = ["http://127.0.0.1:{here.port}"]', guest=guest) as app, app.up() as s:
            _ask(s, here.port, headers=[["x-demo", "of-guest"]])
            check("x-demo: of-guest\r\n" in here.heads[0], "the guest doesn't pass it on: this proves nothing")


def what_echoes_a_request_is_not_asked_where_the_link_adds_to_it():
    """TRACE answers with the fields of the request: with what the guest is not to see."""
    for link, status in (("", 200), ('headers = { "x-shop" = "7" }', 502), ('headers = { "x-shop" = "7" }\nmethods = ["TRACE"]', 200)):
        with _Upstream() as here, _App(f'hosts = ["http://127.0.0.1:{here.port}"]\n{link}') as app, app.up() as s:
            a = _ask(s, here.port, method="TRACE")
            check(a.status == status and len(here.heads) == (status == 200), (link, a.status, a.body))


def a_call_ends_at_the_links_deadline():
    with _Upstream(wait=30) as here, _App(f'hosts = ["http://127.0.0.1:{here.port}"]\ndeadline = "0.3s"') as app, app.up() as s:
        began = time.monotonic()
        a = _ask(s, here.port)
        check(a.status == 502 and time.monotonic() - began < 20, (a.status, a.body))
    with _Upstream(wait=0.5) as here, _App(f'hosts = ["http://127.0.0.1:{here.port}"]\ndeadline = "none"') as app, app.up() as s:
        check(_ask(s, here.port).status == 200, "there is no deadline")


def what_can_not_be_is_refused():
    proxy = shared_guest("http") / "proxy-rust.wasm"
    for link, component, status, word in (
            ('hosts = ["http://a.example"]\nheaders = { "Transfer-Encoding" = "chunked" }', "", 2, "the connection's own"),
            ('hosts = ["http://a.example"]\nheaders = { "Content-Length" = "0" }', "", 2, "the connection's own"),
            ('hosts = ["http://a.example"]\npool = 3', "", 2, "pool of type"),
            ('methods = ["GET"]', "", 2, "link.partner.hosts is missing"),
            ('hosts = ["http://a.example"]', f'[component.other]\nsource = "{proxy}"\nlinks = {{ "wasi:http/types" = "partner" }}', 4,
                "is not what requests go out by")):
        with _App(link, component) as app:
            r = subprocess.run([config.tenon, "up", app.at.name, "--addr", "127.0.0.1:0"], capture_output=True, text=True, timeout=60)
            check(r.returncode == status and word in r.stderr, (link, r.returncode, r.stderr))

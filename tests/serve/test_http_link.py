"""A link of type http: where requests of a component may go by it, what they may be like, and what they get that the guest never sees."""
import os, select, signal, socket, subprocess, tempfile, threading, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

from front import Folder, ask
from harness import Server, check, config, shared_guest
from peers import Peer
from test_apply import Host
from writing import until

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

    def up(self, *flags, shards=1):
        return Server(self.at.name, *flags, command="up", shards=shards)

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


class _Busy:
    """Answers after `wait` seconds, again and again on a connection; `most`: connections at once, those that its client has ended not among them. `dies`: it ends
    every third connection instead of answering."""

    def __init__(self, wait, dies=False):
        self.wait, self.dies = wait, dies
        self.all, self.most, self.count, self.lock = {}, 0, 0, threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _open(self):
        return sum(not self._ended(c, 0) for c in self.all)

    @property
    def open(self):
        with self.lock:
            return self._open()

    @staticmethod
    def _ended(c, seconds):
        p = select.poll()
        p.register(c, select.POLLRDHUP)
        return bool(p.poll(seconds * 1000))

    def _accept(self):
        while True:
            try:
                c, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                self.count += 1
                self.all[c] = self.count
                self.most = max(self.most, self._open())
                dies = self.dies and self.count % 3 == 0
            threading.Thread(target=self._serve, args=(c, dies), daemon=True).start()

    def _serve(self, c, dies):
        try:
            with c.makefile("rb") as f:
                while f.readline():
                    while f.readline() not in (b"\r\n", b""):
                        pass
                    with self.lock:
                        self.most = max(self.most, self._open())
                    if self._ended(c, self.wait) or dies:
                        break
                    c.sendall(ANSWER)
        except OSError:
            pass
        with self.lock:
            del self.all[c]
            c.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()


def _at_once(s, ports, n=12):
    with ThreadPoolExecutor(n) as pool:
        return list(pool.map(lambda i: _ask(s, ports[i % len(ports)]).status, range(n)))


def so_many_connections_of_a_link_are_open_on_a_shard_and_the_rest_wait():
    for pool, most, shards in (("pool = 1\n", 1, 1), ("pool = 3\n", 3, 1), ("pool = 1\n", 2, 2), ("", 12, 1)):
        with _Busy(0.1) as up, _App(f'hosts = ["http://127.0.0.1:{up.port}"]\n{pool}') as app, app.up(shards=shards) as s:
            got = _at_once(s, [up.port])
            check(got == [200] * 12 and up.most <= most and (shards > 1 or pool == "" or up.most == most), (pool, shards, got, up.most))
            check(pool or up.most > 3, up.most)


def an_idle_connection_of_the_link_makes_way_for_one_to_another_server():
    with _Busy(0.01) as one, _Busy(0.01) as two, _App(f'hosts = ["http://127.0.0.1:{one.port}", "http://127.0.0.1:{two.port}"]\npool = 1\n') as app, app.up() as s:
        for i in range(10):
            check(_ask(s, (one, two)[i % 2].port).status == 200, s.log_text()[-500:])
        check(_at_once(s, [one.port, two.port]) == [200] * 12 and one.most == two.most == 1, (one.most, two.most))


def who_waits_for_a_connection_of_the_link_has_its_deadline():
    with _Busy(60) as up, _App(f'hosts = ["http://127.0.0.1:{up.port}"]\npool = 1\ndeadline = "700ms"') as app, app.up() as s:
        check(_at_once(s, [up.port], 4) == [502] * 4 and up.most == 1, up.most)
    with _Busy(0.2) as up, _App(f'hosts = ["http://127.0.0.1:{up.port}"]\npool = 1', 'limits = { deadline = "400ms" }') as app, app.up() as s:
        got = _at_once(s, [up.port])  # those who leave the line leave it to others
        check(set(got) <= {200, 504} and 504 in got and up.most == 1, got)
        check(_ask(s, up.port).status == 200, "the next")


def connections_of_an_app_are_bounded_on_all_threads_together():
    for limit, shards in ((1, 1), (1, 2), (3, 2), ('"none"', 2)):
        with _Busy(0.05) as up, _App(f'hosts = ["http://127.0.0.1:{up.port}"]', variables=f"[app.limits]\nconnections = {limit}") as app, app.up(shards=shards) as s:
            for _ in range(3):
                got = _at_once(s, [up.port])
                check(got == [200] * 12 and (limit == '"none"' or up.most <= limit), (limit, shards, got, up.most))
            check(limit != '"none"' or up.most > 3, up.most)


def connections_that_die_give_their_place_back():
    for bound in (dict(link="pool = 2"), dict(variables="[app.limits]\nconnections = 2")):
        with _Busy(0.01, dies=True) as up, _App(f'hosts = ["http://127.0.0.1:{up.port}"]\n' + bound.get("link", ""), variables=bound.get("variables", "")) as app, app.up() as s:
            for _ in range(4):
                got = _at_once(s, [up.port])
                check(set(got) <= {200, 502} and 200 in got and up.most <= 2, (bound, got, up.most))


def connections_of_different_components_and_links_of_an_app_make_way_for_each_other():
    """An idle one of the one component is closed for a request of the other, on whichever thread it is."""
    more = """[component.other]
source = "proxy.wasm"
network = ["http://127.0.0.1:*"]
[[trigger.http]]
host = "other.example"
route = "/..."
component = "other"
"""
    with _Busy(0.01) as up, _App(f'hosts = ["http://127.0.0.1:{up.port}"]', component=more, variables="[app.limits]\nconnections = 1") as app, app.up(shards=2) as s:
        for i in range(12):
            a = s.get("/fetch?url=" + quote(f"http://127.0.0.1:{up.port}/", safe=""), **({"headers": [["Host", "other.example"]]} if i % 2 else {}))
            check(a.status == 200, (i, a.status, s.log_text()[-500:]))
        check(up.most == 1 and up.count >= 11, (up.most, up.count))


def a_pool_and_the_connections_of_an_app_change_live_by_apply_undo_and_sighup():
    with Folder() as top, Host(top, shards=1) as host, _Busy(0) as up:
        def write(app, link):
            return host.write("shop", f"{app}\n" + """[component.proxy]
source = "proxy.wasm"
links = { "wasi:http/outgoing-handler" = "partner" }
[[trigger.http]]
route = "/..."
component = "proxy"
[link.partner]
type = "http"
""" + f'hosts = ["http://127.0.0.1:{up.port}"]\n{link}', proxy=Path(shared_guest("http") / "proxy-rust.wasm"))

        def most(bound):
            check(until(lambda: up.open <= bound), f"{up.open} connections, idle ones, where {bound} may be")
            up.wait = 0.15 * bound  # the last has its connection in a second: the guest gives each five
            with up.lock:
                up.most = 0
            with ThreadPoolExecutor(8) as pool:
                got = list(pool.map(lambda _: ask(host.at[0], "/fetch?url=" + quote(f"http://127.0.0.1:{up.port}/", safe="")), range(8)))
            check([a.status for a in got] == [200] * 8, [(a.status, a.body[:100]) for a in got])
            return up.most

        def quota(n):
            return f"[app.limits]\nconnections = {n}"

        folder = write("", "")
        host.start(folder)
        check(ask(host.at[0], "/fetch?url=" + quote(f"http://127.0.0.1:{up.port}/", safe="")).status == 200, "it is asked")
        for app, link, bound, word in (("", "pool = 1", 1, "pool"), ("", "pool = 3", 3, "pool"), (quota(2), "pool = 3", 2, "connections"), (quota(1), "", 1, "pool"),
                (quota(4), "", 4, "connections")):
            write(app, link)
            check(word in host.tenon("apply", folder), "what differs is told")
            check(most(bound) == bound, (app, link, bound, up.most))
            shown = host.tenon("status", "--manifest")
            check(all(x.split("\n")[-1] in shown for x in (app, link)), shown)
        host.tenon("undo")  # one connection, while up to four are open
        check(until(lambda: up.open <= 1), "idle ones above the limit are closed")
        check(most(1) == 1, up.most)
        write(quota('"none"'), "pool = 2")
        host.process.send_signal(signal.SIGHUP)
        check(until(lambda: "pool = 2" in host.tenon("status", "--manifest")), "SIGHUP")
        check(most(2) == 2, up.most)
        host.process.send_signal(signal.SIGTERM)
        host.process.communicate(timeout=60)
        host.start()
        check(most(2) == 2, "what was in force is after a restart")


def fewer_connections_than_are_at_work_end_none_and_begin_none():
    """A limit is lowered beneath what is open: that goes on, and nobody dials until there is room; who waits has his answer then."""
    with Folder() as top, Host(top, shards=2) as host, _Busy(1) as up:
        def write(n):
            return host.write("shop", f"[app.limits]\nconnections = {n}\n" + """[component.proxy]
source = "proxy.wasm"
network = ["http://127.0.0.1:*"]
[[trigger.http]]
route = "/..."
component = "proxy"
""", proxy=Path(shared_guest("http") / "proxy-rust.wasm"))

        host.start(write('"none"'))
        with ThreadPoolExecutor(12) as pool:
            one = lambda _: ask(host.at[0], "/fetch?url=" + quote(f"http://127.0.0.1:{up.port}/", safe="")).status
            first = [pool.submit(one, i) for i in range(6)]
            check(until(lambda: up.open == 6), "six are at work")
            write(1)
            host.tenon("apply", top / "shop")
            up.wait = 0.05
            rest = [pool.submit(one, i) for i in range(6)]
            check([f.result() for f in first + rest] == [200] * 12, [f.result() for f in first + rest])
            check(up.most == 6, up.most)
        check(until(lambda: up.open <= 1), "what is idle above the limit is closed")


def what_can_not_be_is_refused():
    proxy = shared_guest("http") / "proxy-rust.wasm"
    for link, component, status, word in (
            ('hosts = ["http://a.example"]\nheaders = { "Transfer-Encoding" = "chunked" }', "", 2, "the connection's own"),
            ('hosts = ["http://a.example"]\nheaders = { "Content-Length" = "0" }', "", 2, "the connection's own"),
            ('hosts = ["http://a.example"]\npool = 0', "", 2, "link.partner.pool can't be 0"),
            ('hosts = ["http://a.example"]\npool = "many"', "", 2, "a whole number"),
            ('methods = ["GET"]', "", 2, "link.partner.hosts is missing"),
            ('hosts = ["http://a.example"]', f'[component.other]\nsource = "{proxy}"\nlinks = {{ "wasi:http/types" = "partner" }}', 4,
                "is not what requests go out by")):
        with _App(link, component) as app:
            r = subprocess.run([config.tenon, "up", app.at.name, "--addr", "127.0.0.1:0"], capture_output=True, text=True, timeout=60)
            check(r.returncode == status and word in r.stderr, (link, r.returncode, r.stderr))

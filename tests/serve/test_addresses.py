"""[http] of an app that runs: addresses come and go, TLS, trust_proxy and limits change; what is in flight ends where it began, and as it began."""
import http.client, os, socket, ssl, subprocess, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from common import free_ports
from front import Clients, Folder, ask, connect, where
from harness import HELLO, MISBEHAVE, check, config, shared_guest
from test_apply import Host, _component
from test_tls import _authority, _certificate, _served_name
from writing import until

SLOW = 'limits = { deadline = "60s" }'


def _http(*addresses, more=""):
    return f"[http]\naddress = [{', '.join(chr(34) + a + chr(34) for a in addresses)}]\n{more}"


def _free(n=1):
    """Ports that nobody has, of an address of this process's own: tests beside it take those of 127.0.0.1 all the time."""
    host = f"127.1.{os.getpid() >> 8 & 255}.{os.getpid() & 255}"
    return [f"{host}:{p}" for p in free_ports(n, host)]


def _at(address):
    return where(f"http://{address}") if not address.startswith("unix:") else address[5:]


def _urls(host):
    return sorted(u.removeprefix("http://") for u in host.json("/v1/status")["urls"])


def _refuses(address):
    try:
        connect(_at(address)).close()
        return False
    except (ConnectionRefusedError, FileNotFoundError):
        return True


class _Kept:
    """A connection that stays."""

    def __init__(self, address):
        self.c = http.client.HTTPConnection(*_at(address), timeout=60)

    def ask(self, path="/"):
        self.c.request("GET", path)
        return self.answer()

    def answer(self):
        r = self.c.getresponse()
        body = r.read()
        return r.status, r.getheader("connection"), body


class _Moving(Clients):
    """Clients that ask all the time, at the first of the addresses that somebody listens on. A connection that was refused, or ended before anything came of it, is tried again; all
    else must be 200."""

    def __init__(self, *addresses, path="/", n=6):
        super().__init__(n)
        self.addresses, self.path, self.answers = addresses, path, {a: 0 for a in addresses}

    def one(self, i):
        for address in self.addresses:
            try:
                a = ask(_at(address), self.path, timeout=60)
            except OSError:
                continue
            if a.status == 0 or (a.aborted and not a.status):
                continue
            with self.lock:
                self.answers[address] += 1
            if a.status != 200 or a.aborted:
                self.failed.append((address, a.status, a.error))
            break


def an_app_moves_to_another_address_under_load_and_back():
    with Folder() as top, Host(top) as host:
        one, two = _free(2)
        app = host.write("shop", _http(one) + _component("api", "a", "/..."), a=MISBEHAVE)
        host.start(app, flags=())
        with _Moving(one, two) as load:
            for to in (two, one, two, one):
                host.write("shop", _http(to) + _component("api", "a", "/..."))
                out = host.tenon("apply", app)
                check("http address" in out and "is in force" in out, out)
                check(_urls(host) == [to] and _refuses({one: two, two: one}[to]), f"{_urls(host)}")
                time.sleep(0.3)
            host.tenon("undo", "shop")
            check(_urls(host) == [two], _urls(host))
        check(not load.failed and all(load.answers.values()), f"{load.failed[:3]} {load.answers}")


def what_is_in_flight_ends_where_it_began():
    with Folder() as top, Host(top) as host:
        one, two = _free(2)
        app = host.write("shop", _http(one) + _component("api", "a", "/...", SLOW), a=MISBEHAVE)
        host.start(app, flags=())
        kept, idle = _Kept(one), _Kept(one)
        check(kept.ask()[:2] == (200, None) and idle.ask()[0] == 200, "before")
        kept.c.request("GET", "/delay")
        host.write("shop", _http(two) + _component("api", "a", "/...", SLOW))
        host.tenon("apply", app)
        status, connection, _ = kept.answer()
        check(status == 200 and connection == "close", f"{status} {connection}")
        check(_refuses(one) and ask(_at(two)).status == 200, "where it is asked now")
        try:
            check(idle.ask()[0] == 200, "an idle one is answered")
        except (OSError, http.client.HTTPException):
            pass  # or closed


def one_that_stays_is_not_touched_by_those_that_come_and_go():
    with Folder() as top, Host(top) as host:
        one, two = _free(2)
        path = f"unix:{top}/at"
        app = host.write("shop", _http(one) + _component("api", "a", "/..."), a=MISBEHAVE)
        host.start(app, flags=())
        kept = _Kept(one)
        for addresses in ((one, two), (two, one, path), (one,), (one, path)):
            host.write("shop", _http(*addresses) + _component("api", "a", "/..."))
            host.tenon("apply", app)
            check(_urls(host) == sorted(addresses), f"{_urls(host)} instead of {addresses}")
            check(kept.ask()[:2] == (200, None) and all(ask(_at(a)).status == 200 for a in addresses), addresses)
            check(os.path.exists(f"{top}/at") == (path in addresses) and _refuses(two) == (two not in addresses), addresses)
        host.kill()
        host.start(ready=2, flags=())
        check(_urls(host) == sorted((one, path)), _urls(host))


def an_address_that_somebody_has_changes_nothing():
    with Folder() as top, Host(top) as host, socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        one, other = _free(2)
        their = f"127.0.0.1:{taken.getsockname()[1]}"
        app = host.write("shop", _http(one) + _component("api", "a", "/..."), a=MISBEHAVE)
        host.start(app, flags=())
        kept = _Kept(one)
        check(kept.ask()[0] == 200, "before")
        for addresses in ((their,), (other, their), (one, their), (f"unix:{top}/no/such/folder",)):
            host.write("shop", _http(*addresses) + _component("api", "a", "/..."))
            said = host.tenon("apply", app, status=6)
            check(addresses[-1] in said, said)
            check(_urls(host) == [one] and kept.ask()[:2] == (200, None) and _refuses(other), _urls(host))
        host.write("shop", _http(other, more='trust_proxy = ["127.0.0.1"]\n') + _component("api", "a", "/..."))
        host.tenon("apply", app)  # both at once
        check(_urls(host) == [other] and ask(_at(other), "/env").status == 200, _urls(host))


class _Steady(Clients):
    """Clients of one address, half of them on a connection that stays: no answer may be missing. `context`: by TLS."""

    def __init__(self, address, context=None, n=6):
        super().__init__(n)
        self.address, self.context, self.answers = address, context, 0
        self.stay = {i: self.connection() for i in range(0, n, 2)}

    def connection(self):
        host, port = _at(self.address)
        return http.client.HTTPSConnection(host, port, timeout=60, context=self.context) if self.context else http.client.HTTPConnection(host, port, timeout=60)

    def one(self, i):
        c = self.stay.get(i) or self.connection()
        try:
            c.request("GET", "/")
            r = c.getresponse()
            r.read()
        except http.client.HTTPException as e:
            raise OSError(repr(e)) from e
        with self.lock:
            self.answers += 1
        if r.status != 200 or r.getheader("connection"):
            self.failed.append((i, r.status, r.getheader("connection")))
        if i not in self.stay:
            c.close()

    def __exit__(self, kind, *_):
        super().__exit__(kind)
        check(kind or (not self.failed and self.answers > 0), f"{self.failed[:3]} of {self.answers}")


OTHERS = 'trust_proxy = ["127.0.0.0/8"]\nlimits = { max-body = "10" }\n'


def trust_and_limits_of_an_address_change_under_load():
    with Folder() as top, Host(top) as host:
        (one,) = _free()
        both = _component("api", "a", "/...") + _component("edge", "b", "/echo-headers")
        app = host.write("shop", _http(one) + both, a=MISBEHAVE, b=shared_guest("http") / "hello-c.wasm")
        host.start(app, flags=())

        def comes_from(c):
            c.request("GET", "/echo-headers", headers={"X-Forwarded-For": "9.9.9.9"})
            told = c.getresponse().read()
            check(b"tenon-client-addr: " in told, told)
            return told.split(b"tenon-client-addr: ")[1].split(b".")[0].decode()

        def posts(c, n):
            c.request("POST", "/", body=b"x" * n)
            r = c.getresponse()
            r.read()
            return r.status

        old, new = _Kept(one).c, None
        check(comes_from(old) == "127" and posts(old, 11) == 200, "before")
        with _Steady(one):
            for i in range(3):
                host.write("shop", _http(one, more=OTHERS) + both)
                host.tenon("apply", app)
                new = _Kept(one).c
                check(comes_from(new) == "9" and posts(new, 10) == 200 and posts(new, 11) == 413, "who comes has what it says now")
                check(posts(old, 11) == 200 and comes_from(old) == "9", "who was there keeps his limits, and his proxy is believed")
                new = _Kept(one).c
                check(posts(new, 10) == 200, "one that comes before the way back")
                host.tenon("undo", "shop") if i % 2 else (host.write("shop", _http(one) + both), host.tenon("apply", app))
                check(posts(_Kept(one).c, 11) == 200 and posts(new, 11) == 413 and comes_from(old) == "127", "the way back")
        check(_urls(host) == [one] and "serves who comes with other settings on" in (top / "stderr").read_text(), _urls(host))
        host.write("shop", _http(one, more=OTHERS) + both)
        host.process.send_signal(1)
        check(until(lambda: posts(_Kept(one).c, 11) == 413), "by SIGHUP")


def tls_of_an_address_changes_under_load():
    with Folder() as top, Host(top) as host:
        (one,) = _free()
        ca = _authority(top)
        pairs = [_certificate(top, name, "DNS:localhost") for name in ("first", "second")]
        context = ssl.create_default_context(cafile=str(ca))
        context.check_hostname = False

        def says(i):
            tls = "" if i is None else f'tls = {{ cert = "{pairs[i][0]}", key = "{pairs[i][1]}" }}\n'
            host.write("shop", _http(one, more=tls) + _component("api", "a", "/..."))
            host.tenon("apply", app)

        def url():
            return host.json("/v1/status")["urls"]

        app = host.write("shop", _http(one) + _component("api", "a", "/..."), a=HELLO)
        host.start(app, flags=())
        plain = _Kept(one)
        check(plain.ask()[0] == 200, "in clear")
        says(0)
        check(url() == [f"https://{one}"] and _served_name(_at(one), ca, "localhost") == "first" and plain.ask()[:2] == (200, None), url())
        with _Steady(one, context) as load:
            kept = load.connection()
            kept.connect()
            for i in (1, 0, 1):
                says(i)
                check(_served_name(_at(one), ca, "localhost") == ("first", "second")[i], f"the certificate {i}")
            host.write("shop", _http(one, more=f'tls = {{ cert = "{pairs[0][0]}", key = "{pairs[1][1]}" }}\n') + _component("api", "a", "/..."))
            said = host.tenon("apply", app, status=6)
            check("first.pem" in said or "second.key" in said, said)
            host.write("shop", _http(f"unix:{top}/at", more=f'tls = {{ cert = "{pairs[0][0]}", key = "{pairs[0][1]}" }}\n') + _component("api", "a", "/..."))
            check("no address" in host.tenon("apply", app, status=6), "TLS without an address for it")
            check(_served_name(_at(one), ca, "localhost") == "second", "what was refused")
        says(None)
        check(url() == [f"http://{one}"] and ask(_at(one)).status == 200, url())
        kept.request("GET", "/")
        check(kept.getresponse().read() and plain.ask()[:2] == (200, None), "those that were there")
        host.tenon("undo", "shop")
        check(url() == [f"https://{one}"] and _served_name(_at(one), ca, "localhost") == "second", url())
        host.kill()
        host.start(flags=(), ready=1)
        check(url() == [f"https://{one}"], f"after a start: {url()}")


def of_two_apps_on_one_address_one_moves_and_comes_back():
    with Folder() as top, Host(top) as host:
        one, two = _free(2)
        a = host.write("first", _http(one) + _component("api", "a", "/a/..."), a=MISBEHAVE)
        b = host.write("second", _http(one) + _component("api", "a", "/b/..."), a=MISBEHAVE)
        host.start(a, b, flags=())
        kept = _Kept(one)

        def says(address, path):
            return ask(_at(address), path).status

        check(kept.ask("/b")[0] == 200, "before")
        host.write("second", _http(two) + _component("api", "a", "/b/..."))
        host.tenon("apply", b)
        check(_urls(host) == sorted((one, two)) and says(one, "/a") == 200 and says(one, "/b") == 404 and says(two, "/b") == 200 and says(two, "/a") == 404, _urls(host))
        check(kept.ask("/a")[:2] == (200, None), "the first one's connections")
        host.write("first", _http(two, one) + _component("api", "a", "/a/..."))
        check("another app has one of its addresses" in host.tenon("apply", a, status=6), "two of which one is another's")
        host.write("first", _http(one) + _component("api", "a", "/a/..."))
        host.write("second", _http(one) + _component("api", "a", "/b/..."))
        host.tenon("apply", b)
        check(_urls(host) == [one] and says(one, "/b") == 200 and kept.ask("/b")[:2] == (200, None) and _refuses(two), _urls(host))
        host.write("first", _http(one, two) + _component("api", "a", "/a/..."))
        check("another app has one of its addresses" in host.tenon("apply", a, status=6), "it is both apps'")


def an_app_comes_with_an_address_of_its_own():
    with Folder() as top, Host(top) as host:
        one, two, three = _free(3)
        host.start(host.write("shop", _http(one) + _component("api", "a", "/..."), a=HELLO), flags=())
        other = host.write("other", _http(two) + _component("api", "a", "/..."), a=MISBEHAVE)
        host.tenon("apply", other, "--dry-run")
        check(_urls(host) == [one] and _refuses(two), "a dry run")
        host.tenon("apply", other)
        check(_urls(host) == sorted((one, two)) and ask(_at(two), "/env").status == 200 and ask(_at(one)).status == 200, _urls(host))
        host.tenon("stop", "other")
        check(ask(_at(two)).status == 404, "stopped, it is listened on")
        host.write("other", _http(three) + _component("api", "a", "/..."))
        host.tenon("apply", other)
        check(_urls(host) == sorted((one, three)) and ask(_at(three)).status == 200 and _refuses(two), _urls(host))
        none = host.write("none", '[http]\naddress = "127.0.0.1:0"\n' + _component("api", "a"), a=MISBEHAVE)
        host.tenon("apply", none)
        check(len(_urls(host)) == 2, "without a route")
        host.write("none", '[http]\naddress = "127.0.0.1:0"\n' + _component("api", "a", "/..."))
        host.tenon("apply", none)
        (new,) = set(_urls(host)) - {one, three}
        check(ask(_at(new)).status == 200, new)
        host.write("none", '[http]\naddress = "127.0.0.1:0"\n' + _component("api", "a", "/x/..."))
        host.tenon("apply", none)
        check(set(_urls(host)) == {one, three, new} and ask(_at(new), "/x").status == 200, "any port is the one that it has")


def an_address_may_change_as_often_as_one_likes():
    with Folder() as top, Host(top) as host:
        addresses = _free(4)
        host.start(host.write("shop", _http(addresses[0]) + _component("api", "a", "/..."), a=HELLO), flags=())

        def counts():
            of = Path(f"/proc/{host.process.pid}")
            return len(list((of / "fd").iterdir())), len((of / "maps").read_text().splitlines())

        for i in range(90):
            host.write("shop", _http(addresses[i % 4], *([addresses[(i + 1) % 4]] if i % 3 else []), more="" if i % 5 else 'trust_proxy = ["127.0.0.1"]\n') + _component("api", "a", "/..."))
            said = subprocess.run([str(config.tenon), "apply", str(top / "shop")], capture_output=True, text=True, env=host.env)
            check(said.returncode in (0, 6), said)
            if i == 20:
                before = counts()
        after = counts()
        check(after[0] <= before[0] + 8 and after[1] <= before[1] + 40, f"{before} {after}")
        check(all(ask(_at(u)).status == 200 for u in _urls(host)), _urls(host))


def two_apps_move_at_once_under_load():
    with Folder() as top, Host(top) as host:
        places = _free(4)
        apps = [host.write(name, _http(places[i]) + _component("api", "a", f"/{name}/..."), a=MISBEHAVE) for i, name in enumerate(("one", "two"))]
        host.start(*apps, ready=2, flags=())

        def moves(i):
            for k in range(6):
                host.write(("one", "two")[i], _http(places[i + 2 * (k % 2 == 0)]) + _component("api", "a", f"/{('one', 'two')[i]}/..."))
                host.tenon("apply", apps[i])

        with _Moving(places[0], places[2], path="/one", n=3) as first, _Moving(places[1], places[3], path="/two", n=3) as second, ThreadPoolExecutor(2) as pool:
            list(pool.map(moves, range(2)))
        check(not first.failed and not second.failed and all(first.answers.values()) and all(second.answers.values()), f"{first.failed[:2]} {second.failed[:2]} {first.answers} {second.answers}")
        check(_urls(host) == sorted(places[:2]), _urls(host))


def a_kill_at_each_step_leaves_one_of_both_addresses():
    """What it is asked at after a start, and how, is what the file says; what was in force is written."""
    for step in ("check", "load", "publish", "take-up"):
        with Folder() as top, Host(top) as host:
            one, two = _free(2)
            two = one if step == "load" else two
            app = host.write("shop", _http(one) + _component("api", "a", "/..."), a=HELLO)
            host.start(app, flags=(), break_at=step)
            host.write("shop", _http(two, more=OTHERS) + _component("api", "a", "/..."))
            subprocess.run([str(config.tenon), "apply", str(app)], env=host.env, capture_output=True, timeout=60)
            host.process.wait(60)
            host.kill()
            host.start(flags=())
            check(_urls(host) == [two] and len(host.history("shop")) == 2 and ask(_at(two)).status == 200, f"{step}: {_urls(host)} {host.history('shop')}")
            check(ask(_at(two), method="POST", body="x" * 11).status == 413, f"{step}: limits")


def what_drains_is_ended_with_the_process():
    with Folder() as top, Host(top) as host:
        one, two = _free(2)
        app = host.write("shop", _http(one) + _component("api", "a", "/...", SLOW), a=MISBEHAVE)
        host.start(app, flags=("--drain", "1s"))
        with ThreadPoolExecutor(1) as pool:
            slow = pool.submit(ask, _at(one), "/sleep", timeout=60)
            time.sleep(0.3)
            host.write("shop", _http(two) + _component("api", "a", "/...", SLOW))
            host.tenon("apply", app)
            check(_urls(host) == [two], _urls(host))
            a = slow.result(60)
            check(a.status != 200, f"it ended by itself: {a.status}")
        check(until(lambda: "did not end within the time to drain" in (top / "stderr").read_text()), "told")
        check(ask(_at(two)).status == 200, "the new one")

"""tenon up: apps by their manifests. Components, routes, variables, environment, files; several on one listener; what is wrong or can't act yet."""
import json, subprocess, tempfile, time
from pathlib import Path

import component
from harness import MISBEHAVE, Server, check, config, exchange, shared_guest


class Apps:
    """Folders of manifests by name, with what is served under them."""

    def __init__(self, *manifests):
        self.manifests = manifests

    def __enter__(self):
        self.at = tempfile.TemporaryDirectory()
        self.folders = []
        for i, text in enumerate(self.manifests):
            folder = Path(self.at.name) / f"app{i}"
            folder.mkdir()
            (folder / "tenon.toml").write_text(text)
            self.folders.append(str(folder))
        return self

    def __exit__(self, *_):
        self.at.cleanup()

    def up(self, *flags, shards=1):
        return Server(self.folders[0], *self.folders[1:], *flags, shards=shards, command="up")

    def refused(self, *flags):
        """Exit status and what is said."""
        r = subprocess.run([str(config.tenon), "up", *self.folders, "--addr", "127.0.0.1:0", *flags], capture_output=True, timeout=60, text=True)
        return r.returncode, r.stderr


def _app(name, *tables):
    return f'tenon = 1\n[app]\nname = "{name}"\n' + "\n".join(tables) + "\n"


def _component(name, file, more=""):
    return f'[component.{name}]\nsource = "{file}"\n{more}'


def _route(route, component=None, more=""):
    return f'[[trigger.http]]\nroute = "{route}"\n' + (f'component = "{component}"\n' if component else "") + more


def _field(r, name):
    return next((v for k, v in r.headers if k.lower() == name), None)


def _hello():
    return shared_guest("http") / "hello-c.wasm"


def a_route_leads_to_its_component_and_tells_it_how():
    hello = _hello()
    with Apps(_app("shop", _component("api", hello), _route("/:what/:id/...", "api"), _route("/echo-headers", "api"))) as apps, apps.up() as s:
        r = s.get("/echo-headers", headers=[["tenon-route", "forged"], ["Tenon-Param-What", "forged"], ["tenon-client-addr", "forged"], ["x-mine", "1"]])
        told = r.body.decode().lower()
        check(r.status == 200 and "forged" not in told and "x-mine" in told, told)
        check("tenon-route: /echo-headers" in told and "tenon-client-addr: 127.0.0.1:" in told, told)
        r = s.get("/echo-headers?a=1")
        check(r.status == 200, r.status)
        r = s.get("/x/..%2Fecho%2Dheaders")
        check(r.status == 200 and "tenon-route: /echo-headers" in r.body.decode().lower(), "the guest has not got the path that was resolved")
        check(s.get("/echo-headers/7/more").status == 404, "the component's own 404")
        check(s.get("/alone").status == 404, "nobody's")


def several_apps_share_a_listener():
    with Apps(_app("one", _component("a", MISBEHAVE), _route("/a/...", "a"), _route("/", "a")),
            _app("two", _component("b", MISBEHAVE), _route("/b/...", "b"), _route("/fixed", None, 'static = { status = 201, body = "text", headers = { x-a = "1" } }\n'),
                _route("/gone", None, 'redirect = "/fixed"\n'), _route("/host", None, 'host = "shop.example"\nstatic = { body = "shop" }\n'))) as apps, apps.up(shards=2) as s:
        check(s.get("/").status == 200, "the first app")
        r = s.get("/fixed")
        check(r.status == 201 and r.body == b"text" and _field(r, "x-a") == "1", (r.status, r.body))
        r = s.get("/gone")
        check(r.status == 308 and _field(r, "location") == "/fixed", r.headers)
        check(s.get("/host").status == 404, "another host's route")


def a_host_is_found_however_it_is_written_U27():
    hosts = ("Shop.example", "dotted.example.", "[::1]", "127.0.0.1")
    with Apps(_app("shop", *(_route("/", None, f'host = "{h}"\nstatic = {{ body = "{n}" }}\n') for n, h in enumerate(hosts)))) as apps, apps.up() as s:
        for host, want in (("shop.example", 0), ("SHOP.example", 0), ("shop.example:80", 0), (f"shop.example:{s.addr[1]}", 0), ("shop.example.", 0), ("Shop.Example.:8443", 0),
                ("dotted.example", 1), ("dotted.example.:80", 1), ("[::1]", 2), ("[::1]:3000", 2), ("127.0.0.1", 3), (f"127.0.0.1:{s.addr[1]}", 3),
                ("a.shop.example", None), ("shop.example.org", None), ("shopxexample", None), ("[::2]", None), ("shop.example..", None)):
            r = s.get("/", headers=[["Host", host]])
            check((r.status, r.body) == (200, b"%d" % want) if want is not None else r.status == 404, f"{host}: {r.status} {r.body}")
        for host in ("shop.example:80:80", "user@shop.example", "::1", "[::1", "shop.example/", "shop example"):
            r = s.get("/", headers=[["Host", host]])
            check(r.status == 400, f"{host}: {r.status} {r.body}")
        curl = subprocess.run(["curl", "-s", "--http2-prior-knowledge", "-H", "Host: SHOP.example.:80", f"http://127.0.0.1:{s.addr[1]}/"], capture_output=True, timeout=60)
        check(curl.stdout == b"0", f"over HTTP/2: {curl.stdout}")


def a_text_of_any_length_goes_whole_also_to_who_reads_late_and_over_http2():
    lengths = (0, 1, 65535, 65536, 65537, 700_000)
    with Apps(_app("shop", *(_route(f"/{n}", None, f'static = {{ body = "{"x" * n}" }}\n') for n in lengths))) as apps, apps.up() as s:
        for n in lengths:
            r = s.get(f"/{n}")
            check(r.status == 200 and r.body == b"x" * n, f"{n}: {r.status} {len(r.body)}")
            with s.connect() as late:
                late.sock.sendall(f"GET /{n} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
                time.sleep(0.2)
                check(late.sock.makefile("rb").read().endswith(b"\r\n\r\n" + b"x" * n), f"{n}, late")
            curl = subprocess.run(["curl", "-s", "--http2-prior-knowledge", f"http://127.0.0.1:{s.addr[1]}/{n}"], capture_output=True, timeout=60)
            check(curl.stdout == b"x" * n, f"{n}: {len(curl.stdout)} over HTTP/2, {curl.returncode}")
        gone = s.connect()
        gone.sock.sendall(b"GET /700000 HTTP/1.1\r\nHost: a\r\n\r\n")
        gone.reset()
        check(exchange(s.addr, {"method": "HEAD", "path": "/700000"}).body == b"", "to HEAD")


def what_a_manifest_says_reaches_the_component():
    with Apps(_app("shop", '[variables]\ngreeting = { default = "hello" }\n', _component("api", _hello(), 'env = { GREETING = "${greeting} there" }\n'), _route("/...", "api"))) as apps:
        with apps.up() as s:
            check(b"GREETING=hello there" in s.get("/env").body, s.get("/env").body)
        with apps.up("--set", "greeting=good day") as s:
            check(b"GREETING=good day there" in s.get("/env").body, s.get("/env").body)


def a_limit_of_a_component_or_a_route_holds():
    with Apps(_app("shop", _component("api", MISBEHAVE, 'limits = { deadline = "20s" }\n'), _route("/sleep", "api", 'limits = { deadline = "200ms" }\n'),
            _route("/...", "api"))) as apps, apps.up() as s:
        check(s.get("/sleep").status == 504, "the route's deadline")
        check(s.get("/delay").status == 200, "the component's")


def at_most_so_many_calls_of_a_component_or_an_app_run():
    for limit in (_component("api", MISBEHAVE, "instances = { max = 1 }\n"), "[app.limits]\ncalls = 1\n" + _component("api", MISBEHAVE)):
        with Apps(_app("shop", limit, _route("/...", "api"), _component("other", MISBEHAVE)) ) as apps, apps.up("--queue-timeout", "300ms", shards=2) as s:
            held = s.connect()
            held.sock.sendall(b"GET /sleep HTTP/1.1\r\nHost: a\r\n\r\n")
            r = next((r for r in (s.get("/") for _ in range(200)) if r.status == 503), None)
            check(r is not None and _field(r, "retry-after") == "1", "a full component did not refuse")
            held.reset()


def one_name_twice_or_one_route_twice_is_refused():
    app = _app("shop", _component("api", MISBEHAVE), _route("/...", "api"))
    with Apps(app, app) as apps:
        status, said = apps.refused()
        check(status == 5 and "two apps are called shop" in said, (status, said))
    with Apps(app, app.replace("shop", "other")) as apps:
        status, said = apps.refused()
        check(status == 2 and "two routes are the same" in said, (status, said))


def what_can_not_act_yet_is_refused_by_its_name_and_place():
    with Apps(_app("shop", _component("api", MISBEHAVE), _route("/...", "api") + 'limits = { linger = "1s" }\n')) as apps:
        status, said = apps.refused()
        check(status == 2 and "a limit of a route besides" in said and "not served yet" in said, (status, said))


def calls_of_an_app_have_a_limit_of_memory_together():
    with Apps('tenon = 1\n[app]\nname = "shop"\n[app.limits]\nmemory = "32MiB"\n' + _component("large", "large.wasm") + _component("small", _hello()) +
            _route("/large", "large") + _route("/...", "small")) as apps:
        (Path(apps.folders[0]) / "large.wasm").write_bytes(component.handler(handle=component.fill(800) + component.sleep(20 * 10**9)))
        with apps.up() as s:
            check(s.get("/large").status == 503, s.log_text())
            check(s.get("/").status == 200, "its neighbour")
            check(s.receipt("/large")["outcome"] != "ok", s.log_text())


def what_is_about_another_policy_is_taken_and_noted():
    more = 'policy = "fresh"\nconcurrency = 16\nrequests-per-instance = 3\ninstances = { min = 0, max = 1000, idle = "60s" }\nlimits = { memory = "256MiB", tree-memory = "1GiB" }\n'
    with Apps(_app("shop", _component("api", _hello(), more), _route("/...", "api"))) as apps, apps.up() as s:
        check(s.get("/").status == 200, "it does not answer")


def options_of_a_component_do_not_go_with_a_manifest():
    with Apps(_app("shop", _component("api", MISBEHAVE), _route("/...", "api"))) as apps:
        status, said = apps.refused("--env", "A=b")
        check(status == 2 and "manifest" in said, (status, said))
        status, said = apps.refused("--cpu", "1s")
        check(status == 2 and "--cpu" in said, (status, said))


def a_component_has_the_hash_that_is_pinned():
    import hashlib
    right = hashlib.sha256(MISBEHAVE.read_bytes()).hexdigest()
    with Apps(_app("shop", _component("api", MISBEHAVE, f'sha256 = "{right}"\n'), _route("/...", "api"))) as apps, apps.up() as s:
        check(s.get("/").status == 200, "the pinned component")
    with Apps(_app("shop", _component("api", MISBEHAVE, f'sha256 = "{"0" * 64}"\n'), _route("/...", "api"))) as apps:
        status, said = apps.refused()
        check(status == 3 and right in said, (status, said))


def receipts_name_app_component_and_route():
    with Apps(_app("shop", _component("api", MISBEHAVE), _route("/...", "api", 'id = "all"\n'))) as apps, apps.up() as s:
        s.get("/trap")
        for _ in range(2000):
            if any("receipt" in o for o in s.objects()):
                break
            time.sleep(0.01)
        o = next(o for o in s.objects() if "receipt" in o)
        check((o.get("app"), o.get("component"), o.get("route")) == ("shop", "api", "all"), json.dumps(o)[:300])


# ---- links -----------------------------------------------------------------------------------------------------------------------------

def _counter():
    return shared_guest("kv") / "kv-counter-c.wasm"


def a_component_has_the_store_that_its_link_names():
    link = '[link.state]\ntype = "memory"\n'
    with Apps(_app("shop", _component("one", _counter(), 'links = { "wasi:keyvalue" = "state" }\n'), link, _route("/...", "one"))) as apps, apps.up(shards=2) as s:
        counts = [int(s.post("/incr/a").body) for _ in range(20)]
        check(counts == list(range(1, 21)), counts)
        check(s.get("/get/a").status in (200, 404), "the guest's own routes")


def a_component_without_its_link_can_not_be_linked():
    with Apps(_app("shop", _component("one", _counter()), _route("/...", "one"))) as apps:
        status, said = apps.refused()
        check(status == 4 and "wasi:keyvalue" in said, (status, said))


def who_does_not_come_as_far_as_to_open_its_links_leaves_nothing_of_them():
    link = '[link.store]\ntype = "memory"\n'
    with Apps(_app("shop", _component("api", _hello()), _route("/...", "api"), link)) as apps:
        status, said = apps.refused("--connections", "900000000")
        check(status == 5 and "descriptors allow" in said, (status, said))  # with the sanitizer what is lost counts, too

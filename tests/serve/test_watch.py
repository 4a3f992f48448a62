"""What a running server tells of calls through links and of requests that go out: receipts, `tenon explain`, metrics, `tenon top`."""
import json, os, re, signal, subprocess, threading, time

from front import Folder, ask, where
from harness import check, config, shared_guest
from packages import have

SAMPLE = re.compile(r'(tenon_link_[a-z_]+)\{([^}]*)\} ([\d.]+)')


MANIFEST = '''tenon = 1
[app]
name = "counter"
[component.c]
source = "%s"
links = { "wasi:keyvalue" = "store" }
[link.store]
%s
[[trigger.http]]
route = "/..."
component = "c"
'''


class _Up:
    """`tenon up` of a manifest, in a folder of its own, with an admin address."""

    def __init__(self, top, manifest, *flags, shards=2):
        self.top, self.env = top, {**os.environ, "TENON_CTL": str(top / "ctl"), "TENON_STATE": str(top / "state")}
        (top / "tenon.toml").write_text(manifest)
        self.process = subprocess.Popen([str(config.tenon), "up", str(top), "--addr", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--shards", str(shards), *flags],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.env, text=True)
        lines = [self.process.stdout.readline() for _ in range(2)]
        if not lines[1]:
            raise AssertionError(f"not ready: {self.process.communicate(timeout=60)[1]}")
        self.at, self.admin = (where(line.split()[1]) for line in lines)
        self.app = re.search(r'name = "([^"]+)"', manifest)[1]

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.process.send_signal(signal.SIGTERM)
        said = self.process.communicate(timeout=60)[1]
        check(kind or self.process.returncode == 0, f"ended with {self.process.returncode}: {said}")

    def tenon(self, *args, status=0):
        r = subprocess.run([str(config.tenon), *map(str, args)], capture_output=True, text=True, timeout=60, env=self.env)
        check(r.returncode == status, f"tenon {args}: {r.returncode} instead of {status}: {r.stdout} {r.stderr}")
        return r.stdout if status == 0 else r.stderr

    def control(self, path, status=200):
        a = ask(str(next((self.top / "ctl").glob("*.sock"))), f"/v1/apps/{self.app}/{path}")
        check(a.status == status, f"{path}: {a.status} {a.body[:300]}")
        return json.loads(a.body)

    def incr(self, status=200):
        a = ask(self.at, "/incr/n", "POST")
        check(a.status == status, f"{a.status} {a.body[:300]}")

    def receipts(self, n):
        return _until(lambda: self.control("receipts")["receipts"], lambda found: len(found) >= n)


def _counter(top, link='type = "memory"', flags=(), **more):
    return _Up(top, MANIFEST % (shared_guest("kv") / "kv-counter-c.wasm", link), *flags, **more)


def _until(look, want):
    for _ in range(1000):
        found = look()
        if want(found):
            return found
        time.sleep(0.02)
    raise AssertionError(f"it didn't come: {found}")


def a_receipt_has_each_call_through_a_link():
    with Folder() as top, _counter(top) as app:
        app.incr()
        r = app.receipts(1)[-1]
        check(r["link_calls"] >= 2 and r["link_us"] <= r["wall_us"] and "calls" not in r, r)
        one = app.control(f"receipts?id={r['id']}")["receipts"][0]
        check(len(one["calls"]) == one["link_calls"] == r["link_calls"], one)
        check(all(c["component"] == "c" and c["link"] == "store" and c["outcome"] == "ok" and c["after_us"] <= one["wall_us"] for c in one["calls"]), one)
        check(one["calls"][0]["call"].startswith("wasi:keyvalue/store@0.2.0-draft") and one["calls"][0]["call"].endswith("#open"), one)
        check(one["version"] == 1 and one["instance"] >= 1 and one["uses"] == 1, one)
        o = app.control(f"explain?request={r['id']}")
        check(o["request"] == one and o["request"]["release"] == 1 and o["means"], o)
        app.tenon("link", "@store", "memory:other")
        app.incr()
        o = app.control(f"explain?request={app.receipts(2)[-1]['id']}")
        check(o["request"]["release"] == app.control("status")["release"] == 2, o)
        text = app.tenon("explain", o["request"]["id"])
        check(re.search(rf"release +{o['request']['release']}\n", text) and "through links or out" in text and re.search(r"ms  c @store wasi:keyvalue/store@\S+#open: ok, \d", text), text)
        check(max(map(len, text.splitlines())) < 120, text)


def what_a_store_refuses_is_told_as_an_error():
    with Folder() as top, _counter(top, 'type = "redis"\nurl = "redis://127.0.0.1:1/0"\nstart = "lazy"\ndeadline = "300ms"') as app:
        app.incr(status=500)
        r = app.receipts(1)[-1]
        one = app.control(f"receipts?id={r['id']}")["receipts"][0]
        check(one["calls"][-1]["outcome"] == "error" and one["calls"][-1]["link"] == "store", one)
        links = app.control("status")["components"][0]["links"]
        check(links[0]["link"] == "store" and links[0]["errors"] >= 1 and links[0]["calls"] == one["link_calls"], links)


def the_imports_of_a_component_are_explained_by_provider_rule_and_grant():
    with Folder() as top, _counter(top) as app:
        o = app.control("explain?component=c")
        by = {i["import"].split("@")[0]: i for i in o["imports"]}
        store = by["wasi:keyvalue/store"]
        check((store["link"], store["rule"], store["target"], store["provider"]) == ("store", "ns:pkg", "memory:", "link"), store)
        check("link" not in by["wasi:http/types"] and by["wasi:http/types"]["provider"] == "wasi" and by["wasi:http/types"]["as"].startswith("wasi:http/types@0.2."), by["wasi:http/types"])
        text = app.tenon("explain", "c")
        check(re.search(r"wasi:keyvalue/store@\S+: link store, by ns:pkg: memory:", text), text)
        for path, status in (("explain?component=d", 404), ("explain?component=c&request=1", 400), ("explain?component=", 404)):
            check(app.control(path, status)["error"]["code"] == "usage", path)
        check("component 'd'" in app.tenon("explain", "d", status=2), "no such component")


def what_is_denied_is_explained_with_the_line_that_would_grant_it():
    manifest = 'tenon = 1\n[app]\nname = "out"\n[component.p]\nsource = "%s"\n%s[[trigger.http]]\nroute = "/..."\ncomponent = "p"\n'
    for granted in ("", 'network = ["https://a.example"]\n'):
        with Folder() as top, _Up(top, manifest % (shared_guest("http") / "proxy-rust.wasm", granted)) as app:
            out = next(i for i in app.control("explain?component=p")["imports"] if i["import"].startswith("wasi:http/outgoing-handler@"))
            check(out["provider"] == "wasi" and out.get("grant") == (None if granted else 'network = ["https://HOST"]'), out)
            check(('is given nothing; network = ["https://HOST"] would' in app.tenon("explain", "p")) == (not granted), "the line")


def metrics_count_calls_by_component_and_link():
    with Folder() as top, _counter(top) as app:
        for _ in range(5):
            app.incr()
        text = ask(app.admin, "/metrics").body.decode()
        samples = {(m[1], m[2]): float(m[3]) for m in SAMPLE.finditer(text)}
        labels = 'tenant="default",app="counter",component="c",link="store"'
        check(samples["tenon_link_calls_total", labels + ',outcome="ok"'] >= 10 and samples["tenon_link_calls_total", labels + ',outcome="error"'] == 0, samples)
        check(samples["tenon_link_call_duration_seconds_count", labels] == samples["tenon_link_calls_total", labels + ',outcome="ok"'], samples)
        check(samples["tenon_link_call_duration_seconds_bucket", labels + ',le="+Inf"'] == samples["tenon_link_call_duration_seconds_count", labels], samples)
        check(0 < samples["tenon_link_call_duration_seconds_sum", labels] < 5, samples)


def a_parser_of_others_reads_metrics_of_links():
    parse = have("prometheus_client.parser", "prometheus-client").text_string_to_metric_families
    open_parse = have("prometheus_client.openmetrics.parser", "prometheus-client").text_string_to_metric_families
    with Folder() as top, _counter(top) as app:
        app.incr()
        for read, accept in ((parse, "text/plain"), (open_parse, "application/openmetrics-text")):
            text = ask(app.admin, "/metrics", headers=[["Accept", accept]]).body.decode()
            by = {f.name: f for f in read(text)}
            calls = {(x.labels["app"], x.labels["component"], x.labels["link"], x.labels["outcome"]): x.value for x in by["tenon_link_calls"].samples}
            check(calls["counter", "c", "store", "ok"] == 2 and by["tenon_link_call_duration_seconds"].type == "histogram", calls)


def top_shows_links_beneath_their_component_in_eighty_columns():
    with Folder() as top, _counter(top) as app:
        over = threading.Event()

        def load():
            while not over.is_set():
                app.incr()
        t = threading.Thread(target=load)
        t.start()
        try:
            rows = _until(lambda: [json.loads(l) for l in app.tenon("--json", "top").splitlines()], lambda rows: any(r.get("link") == "store" and r["calls_per_second"] > 0 for r in rows))
            check(any("link" not in r and r["component"] == "c" and r["requests_per_second"] > 0 for r in rows), rows)
            text = app.tenon("top")
        finally:
            over.set()
            t.join()
        check(re.search(r"^ +  @store +[\d.]+ +0\.0 +[\d.]+$", text, re.M) and max(map(len, text.splitlines())) <= 80, text)

"""Traces: what a collector gets (a receiver of ours, read by opentelemetry-proto of PyPI), whose context goes on, and that nobody waits for a collector."""
import json, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote

from front import Folder, ask, connect
from harness import HELLO, MISBEHAVE, Server, check, shared_guest
from packages import have
from test_watch import _counter, _until

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"


class _Collector:
    """Takes bodies; `held`: it answers no more."""

    def __init__(self, held=False):
        collector = self
        self.bodies, self.heads, self.go = [], [], threading.Event()
        if not held:
            self.go.set()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                collector.go.wait(60)
                collector.heads.append((self.path, dict(self.headers)))
                collector.bodies.append(body)
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def do_GET(self):
                collector.heads.append((self.path, {k.lower(): v for k, v in self.headers.items()}))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.go.set()
        self.server.shutdown()
        self.server.server_close()

    def spans(self):
        """[(service, span)], as others read it."""
        proto = have("opentelemetry.proto.collector.trace.v1.trace_service_pb2", "opentelemetry-proto")
        found = []
        for body in list(self.bodies):
            request = proto.ExportTraceServiceRequest()
            request.ParseFromString(body)
            for r in request.resource_spans:
                service = next(a.value.string_value for a in r.resource.attributes if a.key == "service.name")
                for scope in r.scope_spans:
                    check(scope.scope.name == "tenon" and scope.scope.version, scope.scope)
                    found += [(service, s) for s in scope.spans]
        return found


def _facts(span):
    return {a.key: a.value.string_value if a.value.HasField("string_value") else a.value.int_value for a in span.attributes}


def a_request_and_its_calls_through_links_are_spans_of_one_trace():
    have("opentelemetry.proto.collector.trace.v1.trace_service_pb2", "opentelemetry-proto")
    with _Collector() as to, Folder() as top:
        with _counter(top, flags=("--otlp", to.url)) as app:
            a = ask(app.at, "/incr/n", "POST", headers=[["traceparent", TRACEPARENT], ["tracestate", "a=1"], ["tracestate", "b=2"]])
            check(a.status == 200, a.status)
            spans = _until(to.spans, lambda found: len(found) >= 3)
            receipt = app.receipts(1)[-1]
        check(to.heads[0][0] == "/v1/traces" and to.heads[0][1]["content-type"] == "application/x-protobuf", to.heads)
        by = {s.name: s for _, s in spans}
        root, opened, added = by["POST /..."], by["wasi:keyvalue/store#open"], by["wasi:keyvalue/atomics#increment"]
        check(all(service == "counter" and s.trace_id.hex() == TRACE for service, s in spans), spans)
        check(root.kind == 2 and root.parent_span_id.hex() == PARENT and root.trace_state == "a=1,b=2", root)
        check(opened.kind == added.kind == 1 and opened.parent_span_id == added.parent_span_id == root.span_id, (root, opened))
        check(len({s.span_id for _, s in spans}) == len(spans) and all(len(s.span_id) == 8 for _, s in spans), "ids")
        check(root.start_time_unix_nano <= opened.start_time_unix_nano <= opened.end_time_unix_nano <= added.end_time_unix_nano and abs(root.end_time_unix_nano / 1e9 - time.time()) < 120, spans)
        facts = _facts(root)
        check(facts["http.request.method"] == "POST" and facts["http.response.status_code"] == 200 and facts["url.path"] == "/incr/n" and facts["http.route"] == "/..."
            and facts["tenon.component"] == "c" and facts["tenon.outcome"] == "ok" and facts["tenon.request"] == receipt["id"] and facts["tenon.release"] == 1, facts)
        check(_facts(opened)["tenon.link"] == "store" and _facts(opened)["tenon.outcome"] == "ok" and root.status.code == 0, opened)


def a_request_that_goes_out_carries_the_context_and_is_a_span():
    guest = shared_guest("http") / "proxy-rust.wasm"
    with _Collector() as to, Server(guest, "--net", "127.0.0.1", "--otlp", to.url) as s:
        fetch = "/fetch?url=" + quote(f"{to.url}/peer", safe="")
        check(s.get(fetch, headers=[["traceparent", TRACEPARENT], ["tracestate", "a=1"]]).status < 500, "it was not sent")
        head = _until(lambda: [h for path, h in to.heads if path == "/peer"], lambda heads: heads)[0]
        version, trace, span, flags = head["traceparent"].split("-")
        check((version, trace, flags, head["tracestate"]) == ("00", TRACE, "01", "a=1") and span != PARENT, head)
        out = _until(lambda: [x for _, x in to.spans() if x.kind == 3], lambda found: found)[0]
        check(out.span_id.hex() == span and out.name == "GET" and _facts(out)["http.response.status_code"] == 204 and _facts(out)["url.full"] == to.url, out)
        root = _until(lambda: [x for _, x in to.spans() if x.kind == 2], lambda found: found)[0]
        check(out.parent_span_id == root.span_id, (out, root))
        # Not sampled: passed on, and no span.
        n = len(to.heads)
        s.get(fetch, headers=[["traceparent", TRACEPARENT[:-1] + "0"]])
        head = _until(lambda: [h for path, h in to.heads[n:] if path == "/peer"], lambda heads: heads)[0]
        check(head["traceparent"].startswith(f"00-{TRACE}-") and head["traceparent"].endswith("-00") and "tracestate" not in head, head)
        # What came goes on up to its bound, a field or several.
        for values, goes_on in ((["a=" + "x" * 509], True), (["a=" + "x" * 510], True), (["a=" + "x" * 511], False), (["a=1", "b=" + "x" * 506], True), (["a=1", "b=" + "x" * 507], False)):
            n = len(to.heads)
            s.get(fetch, headers=[["traceparent", TRACEPARENT[:-1] + "0"], *(["tracestate", v] for v in values)])
            head = _until(lambda: [h for path, h in to.heads[n:] if path == "/peer"], lambda heads: heads)[0]
            check(head.get("tracestate") == (",".join(values) if goes_on else None), (len(",".join(values)), head))
    check(len(to.spans()) == 2, to.spans())


def without_a_collector_nothing_is_added_to_what_goes_out():
    guest = shared_guest("http") / "proxy-rust.wasm"
    with _Collector() as to, Server(guest, "--net", "127.0.0.1") as s:
        s.get("/fetch?url=" + quote(f"{to.url}/peer", safe=""), headers=[["traceparent", TRACEPARENT]])
        check("traceparent" not in to.heads[0][1], to.heads)


def who_asks_without_a_context_is_sampled_by_share():
    for share, least, most in (("0%", 0, 0), ("100%", 400, 400), ("25%", 40, 180)):
        with _Collector() as to:
            with Server(HELLO, "--otlp", to.url, "--trace-sample", share, shards=2) as s:
                for _ in range(400):
                    s.get("/")
            spans = to.spans()
            check(least <= len(spans) <= most, f"{share}: {len(spans)} of 400")
            check(len({x.trace_id for _, x in spans}) == len(spans) and not any(x.parent_span_id for _, x in spans), "traces of their own")


def what_failed_is_an_error():
    with _Collector() as to:
        with Server(MISBEHAVE, "--otlp", to.url) as s:
            s.get("/trap")
        span = next(x for _, x in to.spans())
        check(span.status.code == 2 and _facts(span)["tenon.outcome"] == "trap" and _facts(span)["http.response.status_code"] == 500, span)


def no_value_and_no_credential_is_in_a_span_U31():
    secret = "of-nobody-elses"
    link = f'type = "redis"\nurl = "redis://user:{secret}@127.0.0.1:1/0"\nstart = "lazy"\ndeadline = "300ms"'
    with _Collector() as to, Folder() as top:
        for n, (store, status) in enumerate((('type = "memory"', 200), (link, 500)), 1):
            with _counter(top, store, flags=("--otlp", to.url)) as app:
                for path, method in ((f"/set/k?token={secret}", "PUT"), ("/get/k", "GET")):
                    a = ask(app.at, path, method, headers=[["authorization", f"Bearer {secret}"], ["cookie", secret]], body=secret if method == "PUT" else "")
                    check(a.status == status, (path, a.status))
                _until(to.spans, lambda found: sum(x.kind == 2 for _, x in found) == 2 * n)
                told = json.dumps([app.control("status"), app.control("links"), [app.control(f"receipts?id={r['id']}") for r in app.receipts(2)]])
                said = ask(str(next((top / "ctl").glob("*.sock"))), "/v1/apps/counter/logs?follow=false").body.decode()
                check(secret not in told + said and "[method]bucket." in told, told + said)
        check({s.name for _, s in to.spans()} >= {"PUT /...", "wasi:keyvalue/store#[method]bucket.set", "wasi:keyvalue/store#[method]bucket.get"}, to.spans())
        with Server(shared_guest("http") / "proxy-rust.wasm", "--net", "127.0.0.1", "--otlp", to.url) as s:
            s.get("/fetch?url=" + quote(f"{to.url}/peer?key={secret}", safe=""))
            _until(lambda: [x for _, x in to.spans() if x.kind == 3], lambda found: found)
        check(not any(secret.encode() in body for body in to.bodies), "it is in a span")


def a_collector_that_does_not_answer_holds_nobody_up():
    with _Collector(held=True) as to, Folder() as top, _counter(top, flags=("--otlp", to.url), shards=1) as app:
        with connect(app.at, 120) as c:
            sender = threading.Thread(target=c.sendall, args=(b"POST /incr/n HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n" * 700,), daemon=True)
            sender.start()
            got = b""
            while got.count(b"HTTP/1.1 200") < 700:
                part = c.recv(1 << 20)
                check(part, f"it ended after {got.count(b'HTTP/1.1 200')}")
                got += part
        said = _until(lambda: ask(app.admin, "/metrics").body.decode(), lambda text: 'tenon_trace_spans_total{state="lost"}' in text)
        lost = int(said.split('tenon_trace_spans_total{state="lost"} ')[1].split("\n")[0])
        check(lost >= 2100 - 1024 - 2 * 512, lost)
        to.go.set()
        _until(lambda: ask(app.admin, "/metrics").body.decode(), lambda text: 'tenon_trace_spans_total{state="sent"} 0' not in text)

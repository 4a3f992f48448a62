"""What a component that is kept calls itself, whichever thread its caller's request came to: rows of that receipt, spans of that trace, and the context that goes out."""
import contextlib
from pathlib import Path

import work
from assemble import Component, DROP, I32, U32, const, get, load, one_call, put, write
from front import Folder, ask
from harness import check
from packages import have
from test_trace import PARENT, TRACE, TRACEPARENT, _Collector
from test_watch import _Up, _until

MATH, DEEP = "test:math/ops@1.0.0", "test:deep/ops@1.0.0"
COUNT = [b"\x40\0\0" + U32]  # func() -> u32
SHARDS = 3


class _Kept(work.Handler):
    """Exports count() of MATH, which asks DEEP, and a server."""

    def __init__(self, port):
        super().__init__(work.Wit())
        request, future, authority = "[method]outgoing-request.", "[method]future-incoming-response.", f"127.0.0.1:{port}".encode()
        labels = ["[constructor]fields", "[constructor]outgoing-request", request + "set-scheme", request + "set-authority", future + "subscribe", future + "get"]
        for label in labels:
            self._need(self._func(work.HTTP, label))
        self._need(self._func("wasi:http/outgoing-handler", "handle"))
        self._need(self._func("wasi:io/poll", "[method]pollable.block"))
        self._declare()
        self.c.interface(DEEP).func("deep", [], U32, ([], [I32]))
        c, at = self.c.call, const(work.RESULT)
        body = (c("deep") + DROP + c(labels[0]) + c(labels[1]) + put(0) + get(0) + const(1) + const(0) * 3 + c(labels[2]) + DROP + get(0) + const(1) + const(work.AUTHORITY) +
            const(len(authority)) + c(labels[3]) + DROP + get(0) + const(0) * 2 + at + c("handle") + load(work.RESULT + 8) + put(1) + get(1) + c(labels[4]) +
            c("[method]pollable.block") + get(1) + at + c(labels[5]) + const(1))
        self.c.code("count", ([], [I32]), [I32] * 2, body, COUNT, MATH)
        self.made = self.c.assemble(start=write(work.AUTHORITY, authority))


def _deep():
    c = Component()
    c.code("deep", ([], [I32]), [], const(7), COUNT, DEEP)
    return c.assemble()


@contextlib.contextmanager
def _up(*flags):
    """The server that is asked, which is the collector, too; the process."""
    with _Collector() as to, Folder() as top:
        port = to.server.server_port
        for label, made in (("ops", _Kept(port).made), ("deep", _deep()), ("ask", one_call(MATH, "count"))):
            (Path(top) / f"{label}.wasm").write_bytes(made)
        manifest = f'''tenon = 1
[app]
name = "shop"
[component.ops]
source = "ops.wasm"
policy = "keep"
links = {{ "{DEEP}" = "deep" }}
network = [ "http://127.0.0.1:{port}" ]
[component.deep]
source = "deep.wasm"
[component.ask]
source = "ask.wasm"
links = {{ "{MATH}" = "ops" }}
[link.ops]
type = "component"
component = "ops"
[link.deep]
type = "component"
component = "deep"
[[trigger.http]]
route = "/..."
component = "ask"
'''
        with _Up(top, manifest, *[f.format(to.url) for f in flags], shards=SHARDS) as app:
            yield to, app


def _ask_on_each_thread(app, headers=()):
    """Receipts by thread, one of each."""
    seen = {}
    for n in range(1, 1000):
        ask(app.at, "/", headers=list(headers))
        seen = {r["shard"]: r for r in app.receipts(n)}
        if len(seen) == SHARDS:
            return seen
    raise AssertionError(f"requests came to {list(seen)}")


def its_own_calls_are_rows_of_the_receipt_whichever_thread_that_is_of():
    with _up() as (to, app):
        want = [("ops", "deep", f"{DEEP}#deep", "ok"), ("ops", None, f"GET {to.url}", "ok"), ("ask", "ops", f"{MATH}#count", "ok")]
        for shard, r in _ask_on_each_thread(app).items():
            one = app.control(f"receipts?id={r['id']}")["receipts"][0]
            seen = [(c["component"], c.get("link"), c["call"], c["outcome"]) for c in one["calls"]]
            check(seen == want and one["link_calls"] == 3, f"thread {shard}: {one}")
            check(all(c["after_us"] + c["took_us"] <= one["wall_us"] for c in one["calls"]) and one["link_us"] >= sum(c["took_us"] for c in one["calls"]) - 3, one)
            said = app.tenon("explain", r["id"])
            check(f"{DEEP}#deep" in said and f"GET {to.url}" in said, said)


def the_context_of_its_request_goes_out_with_its_state():
    for state, want in (([["tracestate", "a=1"], ["tracestate", "b=2"]], "a=1,b=2"), ([], None)):
        with _up("--otlp", "{}") as (to, app):
            _ask_on_each_thread(app, [["traceparent", TRACEPARENT], *state])
            out = [head for path, head in to.heads if path == "/"]
            check(len(out) >= SHARDS and all(h.get("tracestate") == want and h["traceparent"].startswith(f"00-{TRACE}-") for h in out), out)
            check(len({h["traceparent"] for h in out}) == len(out), "a span of its own each")


def its_calls_are_spans_below_the_one_that_called_it():
    have("opentelemetry.proto.collector.trace.v1.trace_service_pb2", "opentelemetry-proto")
    with _up("--otlp", "{}") as (to, app):
        n = sum(1 for _ in app.control("receipts")["receipts"])
        _ask_on_each_thread(app, [["traceparent", TRACEPARENT]])
        n = len(app.control("receipts")["receipts"]) - n
        spans = [s for _, s in _until(to.spans, lambda found: len(found) >= 4 * n)]
        by = {s.span_id: s for s in spans}
        check(len(by) == 4 * n and all(s.trace_id.hex() == TRACE for s in spans), (n, len(by)))
        roots = [s for s in spans if s.kind == 2]
        check(len(roots) == n and all(s.parent_span_id.hex() == PARENT for s in roots), roots)
        for name, above in (("test:math/ops#count", "GET /..."), ("test:deep/ops#deep", "test:math/ops#count"), ("GET", "test:math/ops#count")):
            found = [s for s in spans if s.name == name]
            check(len(found) == n and all(by[s.parent_span_id].name == above for s in found), (name, found[:2]))
            check(len({s.parent_span_id for s in found}) == n, f"{name}: one a request")

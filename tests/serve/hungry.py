"""Guests that make as much as they may of one kind of host object, or let the host work as long as they can: assembled here."""
from assemble import *


def streams(c):
    io = c.interface("wasi:io/error@0.2.0")
    io.resource("error")
    st = c.interface("wasi:io/streams@0.2.0")
    st.out = st.resource("output-stream")
    st.error = st.variant("stream-error", [("last-operation-failed", st.own(st.use(io, "error"))), ("closed", None)])
    st.bytes = st.list(U8)
    return st


def http(c, st=None):
    """What of wasi:http/types the guests here use; fields, outgoing messages."""
    h = c.interface("wasi:http/types@0.2.0")
    if st:
        h.out = h.use(st, "output-stream")
    h.f, h.rq, h.rs, h.ob, h.ro = (h.resource(r) for r in ("fields", "outgoing-request", "outgoing-response", "outgoing-body", "request-options"))
    for r in ("incoming-request", "response-outparam"):
        h.resource(r)
    h.error = h.variant("header-error", [("invalid-syntax", None), ("forbidden", None), ("immutable", None)])
    h.bytes = h.list(U8)
    return h


def new_fields(h):
    h.func("[constructor]fields", [], h.own(h.f), ([], [I32]))


def append(h):
    h.func("[method]fields.append", [("self", h.borrow(h.f)), ("name", STRING), ("value", h.bytes)], h.result(None, h.error), ([I32] * 6, []))


def command(body, locals_=(I32,), c=None):
    """As a command, and as a handler of requests."""
    h = next((i for i in c.interfaces if i.name.startswith("wasi:http/types")), None) or http(c)
    c.code("run", ([], [I32]), list(locals_), body + const(0), RUN, "wasi:cli/run@0.2.0")
    c.code("handle", ([I32, I32], []), [], lambda n: b"\x10" + u(n) + DROP, handler(c, h), "wasi:http/incoming-handler@0.2.0")
    return c


# ---- host memory: each runs for ever, until it may not make more ------------------------------------------------------------------------

def long_fields():
    c = Component()
    h = http(c)
    new_fields(h)
    append(h)
    return command(store(0, 97, 1) + fill(4096, 98, 61440) + loop(
        c.call("[constructor]fields") + const(0) + const(1) + const(4096) + const(61440) + const(16) + c.call("[method]fields.append")), c=c)


def short_fields():
    c = Component()
    h = http(c)
    new_fields(h)
    append(h)
    one = get(0) + const(0) + const(1) + const(4096) + const(7) + const(16) + c.call("[method]fields.append")
    return command(store(0, 97, 1) + fill(4096, 98, 64) + loop(c.call("[constructor]fields") + put(0) + one * 20), c=c)


def request_texts():
    c = Component()
    h = http(c)
    new_fields(h)
    h.func("[constructor]outgoing-request", [("headers", h.own(h.f))], h.own(h.rq), ([I32], [I32]))
    h.func("[method]outgoing-request.set-path-with-query", [("self", h.borrow(h.rq)), ("path-with-query", h.option(STRING))], h.result(), ([I32] * 4, [I32]))
    h.func("[method]outgoing-request.set-authority", [("self", h.borrow(h.rq)), ("authority", h.option(STRING))], h.result(), ([I32] * 4, [I32]))
    set_ = const(1) + const(4096) + const(5000)
    return command(fill(4096, 47, 5000) + loop(
        c.call("[constructor]fields") + c.call("[constructor]outgoing-request") + put(0) +
        (get(0) + set_ + c.call("[method]outgoing-request.set-path-with-query") + DROP) * 3), c=c)


def held_bodies():
    c = Component()
    st = streams(c)
    st.func("[method]output-stream.check-write", [("self", st.borrow(st.out))], st.result(U64, st.error), ([I32] * 2, []))
    st.func("[method]output-stream.write", [("self", st.borrow(st.out)), ("contents", st.bytes)], st.result(None, st.error), ([I32] * 4, []))
    h = http(c, st)
    new_fields(h)
    h.func("[constructor]outgoing-response", [("headers", h.own(h.f))], h.own(h.rs), ([I32], [I32]))
    h.func("[method]outgoing-response.body", [("self", h.borrow(h.rs))], h.result(h.own(h.ob)), ([I32] * 2, []))
    h.func("[method]outgoing-body.write", [("self", h.borrow(h.ob))], h.result(h.own(h.out)), ([I32] * 2, []))
    return command(loop(
        c.call("[constructor]fields") + c.call("[constructor]outgoing-response") + const(64) + c.call("[method]outgoing-response.body") +
        load(68) + const(64) + c.call("[method]outgoing-body.write") + load(68) + put(0) + get(0) + const(64) + c.call("[method]output-stream.check-write") +
        get(0) + const(4096) + const(60000) + const(64) + c.call("[method]output-stream.write")), c=c)


def pollables():
    c = Component()
    io = c.interface("wasi:io/poll@0.2.0")
    io.resource("pollable")
    clock = c.interface("wasi:clocks/monotonic-clock@0.2.0")
    clock.func("subscribe-duration", [("when", U64)], clock.own(clock.use(io, "pollable")), ([I64], [I32]))
    return command(loop(const64(1 << 40) + c.call("subscribe-duration") + DROP), c=c)


def standard_streams():
    c = Component()
    st = streams(c)
    out = c.interface("wasi:cli/stdout@0.2.0")
    out.func("get-stdout", [], out.own(out.use(st, "output-stream")), ([], [I32]))
    return command(loop(c.call("get-stdout") + DROP), c=c)


def request_options():
    c = Component()
    h = http(c)
    h.func("[constructor]request-options", [], h.own(h.ro), ([], [I32]))
    return command(loop(c.call("[constructor]request-options") + DROP), c=c)


def handles():
    c = Component()
    n = c.interface("wasi:sockets/network@0.2.0")
    n.resource("network")
    i = c.interface("wasi:sockets/instance-network@0.2.0")
    i.func("instance-network", [], i.own(i.use(n, "network")), ([], [I32]))
    return command(loop(c.call("instance-network") + DROP), c=c)


def resources_of_its_own():
    c = Component()
    c.resource()
    return command(loop(const(7) + c.call("resource.new") + DROP), c=c)


def values():
    """One call with a list whose native form is twice as large as it is."""
    c = Component(pages=129)
    h = http(c)
    entry = h.tuple(STRING, h.bytes)
    h.func("[static]fields.from-list", [("entries", h.list(entry))], h.result(h.own(h.f), h.error), ([I32] * 3, []))
    return command(const(8192) + const(500000) + const(0) + c.call("[static]fields.from-list"), c=c)


MEMORY = {f.__name__: f for f in (long_fields, short_fields, request_texts, held_bodies, pollables, standard_streams, request_options, handles,
    resources_of_its_own, values)}


# ---- host work --------------------------------------------------------------------------------------------------------------------------

def handler_of(c, h, body, locals_=()):
    c.code("handle", ([I32, I32], []), list(locals_), body, handler(c, h), "wasi:http/incoming-handler@0.2.0")
    return c


def same_name_again_and_again():
    """from-list of 500,000 entries whose names are all the same 55 MB."""
    c = Component(pages=1024)
    h = http(c)
    h.func("[static]fields.from-list", [("entries", h.list(h.tuple(STRING, h.bytes)))], h.result(h.own(h.f), h.error), ([I32] * 3, []))
    at = get(2) + const(16) + MUL + const(1024) + ADD
    return handler_of(c, h, times(2, 500000, at + const(8100000) + b"\x36\x02\0" + at + const(55000000) + b"\x36\x02\x04") +
        const(1024) + const(500000) + const(0) + c.call("[static]fields.from-list"), [I32])


def empty_lines():
    c = Component()
    st = streams(c)
    st.func("[method]output-stream.check-write", [("self", st.borrow(st.out))], st.result(U64, st.error), ([I32] * 2, []))
    st.func("[method]output-stream.write", [("self", st.borrow(st.out)), ("contents", st.bytes)], st.result(None, st.error), ([I32] * 4, []))
    out = c.interface("wasi:cli/stdout@0.2.0")
    out.func("get-stdout", [], out.own(out.use(st, "output-stream")), ([], [I32]))
    h = http(c)
    return handler_of(c, h, fill(4096, 10, 65536) + c.call("get-stdout") + put(2) + loop(
        get(2) + const(64) + c.call("[method]output-stream.check-write") + get(2) + const(4096) + const(65536) + const(64) +
        c.call("[method]output-stream.write")), [I32])


def random_bytes():
    c = Component(pages=64)
    r = c.interface("wasi:random/random@0.2.0")
    r.func("get-random-bytes", [("len", U64)], r.list(U8), ([I64, I32], []))
    h = http(c)
    return handler_of(c, h, loop(const64(1 << 20) + const(0) + c.call("get-random-bytes")))


def long_values_of_a_field():
    """fields.set with 8,000,000 values of 60 MB each."""
    c = Component(pages=2048)
    h = http(c)
    new_fields(h)
    h.func("[method]fields.set", [("self", h.borrow(h.f)), ("name", STRING), ("value", h.list(h.bytes))], h.result(None, h.error), ([I32] * 6, []))
    at = get(2) + const(8) + MUL + const(1024) + ADD
    return handler_of(c, h, store(0, 97, 1) + times(2, 8000000, at + const(65000000) + b"\x36\x02\0" + at + const(60000000) + b"\x36\x02\x04") +
        loop(c.call("[constructor]fields") + const(0) + const(1) + const(1024) + const(8000000) + const(16) + c.call("[method]fields.set")), [I32])


def long_texts_of_a_request():
    c = Component(pages=2048)
    h = http(c)
    new_fields(h)
    h.func("[constructor]outgoing-request", [("headers", h.own(h.f))], h.own(h.rq), ([I32], [I32]))
    h.func("[method]outgoing-request.set-path-with-query", [("self", h.borrow(h.rq)), ("path-with-query", h.option(STRING))], h.result(), ([I32] * 4, [I32]))
    return handler_of(c, h, c.call("[constructor]fields") + c.call("[constructor]outgoing-request") + put(2) + loop(
        get(2) + const(1) + const(0) + const(130000000) + c.call("[method]outgoing-request.set-path-with-query") + DROP), [I32])


def long_polls():
    """poll of one pollable that is ready, 10,000 times in the list."""
    c = Component(pages=8)
    io = c.interface("wasi:io/poll@0.2.0")
    p = io.resource("pollable")
    io.func("poll", [("in", io.list(io.borrow(p)))], io.list(U32), ([I32] * 3, []))
    clock = c.interface("wasi:clocks/monotonic-clock@0.2.0")
    clock.func("subscribe-duration", [("when", U64)], clock.own(clock.use(io, "pollable")), ([I64], [I32]))
    h = http(c)
    return handler_of(c, h, const64(0) + c.call("subscribe-duration") + put(3) + times(2, 10000, get(2) + const(4) + MUL + const(65536) + ADD + get(3) +
        b"\x36\x02\0") + loop(const(65536) + const(10000) + const(0) + c.call("poll")), [I32, I32])


WORK = {f.__name__: f for f in (same_name_again_and_again, long_values_of_a_field, long_texts_of_a_request, empty_lines, random_bytes, long_polls)}


def printed(floats):
    """--invoke 'f()': a list of as many floats (a million at most), which take long to print."""
    c = Component(pages=300)
    at = get(0) + const(8) + MUL + const(1024) + ADD
    c.code("f", ([], [I32]), [I32], times(0, floats, at + b"\x44" + b"\x01\x02\x03\x04\x05\x06\x07\x3f" + b"\x39\x03\0") +
        times(0, 1, store(16, 1024) + store(20, floats)) + const(16), [b"\x70" + F64, lambda n: b"\x40\0\0" + s(n)])
    return c

"""HTTP/2: that a guest sees no difference, what frames may do, what they may cost (L84), and how it ends."""
import os, struct, subprocess, threading, time

import http_client
from h2_client import (ACK, CANCEL, CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, GOAWAY, HEADERS, INTERNAL_ERROR, NO_ERROR, PING, PREFACE,
    PADDED, PRIORITY, PROTOCOL_ERROR, REFUSED_STREAM, RST_STREAM, SETTINGS, WINDOW_UPDATE, Closed, Connection, encode_fields, exchange, frame, literal, settings, text,
    window_update)
from harness import HELLO, MISBEHAVE, Server, check, needs, shared_guest


def _connect(s, **kw):
    return Connection(s.addr, **kw)


def _get(s, path="/", method="GET", timeout=20, **more):
    return exchange(s.addr, {"method": method, "path": path, **more}, timeout)


def _works(s):
    a = _get(s)
    check(a.status == 200 and not a.aborted, f"{a.status} {a.error}")


# ---- requests and answers -----------------------------------------------------------------------------------------------------------------

def a_request_with_prior_knowledge_is_answered():
    with Server(MISBEHAVE) as s:
        one, two = s.get("/"), _get(s)
        check(two.status == one.status == 200 and two.body == one.body, f"{two.status} {two.body}")
        names = lambda a: sorted(k.lower() for k, _ in a.headers)
        check(names(one) == names(two), f"{names(one)} {names(two)}")
        a = _get(s, "/", "HEAD")
        check(a.status == 200 and a.body == b"" and not a.aborted, f"{a.status} {a.body} {a.error}")
        for n in (0, 1, 100, 16384, 65535, 65536, 1 << 20):
            a = _get(s, "/echo", "POST", body_hex=b"x".hex() * n)
            check(a.status == 200 and len(a.body) == n and not a.aborted, f"{n}: {a.status} {len(a.body)} {a.error}")


def many_requests_share_a_connection():
    with Server(MISBEHAVE) as s, _connect(s) as c:
        began = time.monotonic()
        streams = [c.head(path="/delay") for _ in range(50)]
        open_, bodies = set(streams), {}
        while open_:
            f = c.read()
            if f.kind == HEADERS:
                check(dict(f.fields)[":status"] == "200", f"{f}")
            elif f.kind == DATA:
                bodies[f.stream] = bodies.get(f.stream, b"") + f.payload
            if f.kind in (HEADERS, DATA) and f.flags & END_STREAM:
                open_.discard(f.stream)
        check(set(bodies.values()) == {b"delayed\n"} and len(bodies) == 50, f"{len(bodies)}")
        check(time.monotonic() - began < 10, "one after the other")


def the_guest_sees_the_same_request():
    with Server(shared_guest("http/hello-rust.wasm")) as s:
        headers = [["X-A", "1"], ["x-b", "two"], ["X-A", "3"], ["cookie", "a=1"], ["Cookie", "b=2"]]
        one = s.get("/echo-headers", headers=[h for h in headers if h[0].lower() != "cookie"] + [["Cookie", "a=1; b=2"]])
        two = _get(s, "/echo-headers", headers=headers)
        check(one.status == two.status == 200, f"{one.status} {two.status}")
        check(one.body.lower() == two.body.lower(), f"{one.body} {two.body}")


def trailers_go_both_ways():
    with Server(shared_guest("http/trailers-rust.wasm")) as s:
        request = {"method": "POST", "body": "some text", "chunked": True, "trailers": [["x-sum", "42"], ["x-more", "yes"]]}
        found = []
        for path in ("/", "/echo", "/trailers"):
            one, two = http_client.exchange(s.addr, {"path": path, **request}, 20), exchange(s.addr, {"path": path, **request}, 20)
            check(one.status == two.status and one.body == two.body, f"{path}: {one.status} {one.body} {two.status} {two.body} {two.error}")
            lower = lambda a: sorted((k.lower(), v) for k, v in a.trailers)
            check(lower(one) == lower(two), f"{path}: {one.trailers} {two.trailers}")
            found += two.trailers
        check(found, "no trailer came")


def a_hundred_continue_comes_when_the_guest_reads():
    with Server(HELLO) as s, _connect(s) as c:
        stream = c.head(end=False, method="POST", path="/echo", headers=[["expect", "100-continue"]])
        f = c.until(HEADERS, stream)
        check(dict(f.fields) == {":status": "100"}, "no 100")
        c.send(frame(DATA, END_STREAM, stream, b"hello"))
        a = c.answer(stream)
        check(a.status == 200 and a.body == b"hello", f"{a.status} {a.body}")
        stream = c.head(end=False, method="POST", path="/echo", headers=[["expect", "nonsense"]])
        check(c.answer(stream).status == 417, "unknown expectation")


def _says(a):
    """An answer of the server's own says what it means, as over HTTP/1.1."""
    fields = dict(a.headers)
    return a.body.startswith(b"%d " % a.status) and a.body.endswith(b"\n") and fields["content-type"] == "text/plain" and fields["content-length"] == str(len(a.body)) and "date" in fields


def what_is_malformed_is_reset_or_refused_and_the_connection_goes_on():
    with Server(HELLO) as s, _connect(s) as c:
        good = c.fields()
        def without(name):
            return [f for f in good if f[0] != name]
        cases = [
            ("no method", without(":method"), None), ("no path", without(":path"), None), ("no scheme", without(":scheme"), None),
            ("a path that is no path", without(":path") + [(":path", "x")], None), ("an empty path", without(":path") + [(":path", "")], None),
            ("two paths", [(":path", "/")] + good, None), ("pseudo-header behind a field", without(":path") + [("a", "b"), (":path", "/")], None),
            ("an unknown pseudo-header", [(":what", "x")] + good, None), ("a status", [(":status", "200")] + good, None),
            ("connection", good + [("connection", "close")], None), ("transfer-encoding", good + [("transfer-encoding", "chunked")], None),
            ("keep-alive", good + [("keep-alive", "1")], None), ("upgrade", good + [("upgrade", "h2c")], None), ("proxy-connection", good + [("proxy-connection", "x")], None),
            ("te", good + [("te", "gzip")], None), ("upper case", good + [("X-A", "b")], None), ("a space in a name", good + [("x a", "b")], None),
            ("a line break in a value", good + [("a", "b\r\nc")], None), ("zero in a value", good + [("a", "b\0c")], None),
            ("another host", good + [("host", "other.example")], 400), ("user information", without(":authority") + [(":authority", "a@b")], 400),
            ("another scheme", without(":scheme") + [(":scheme", "ftp")], 400), ("CONNECT", [(":method", "CONNECT"), (":authority", "a:1")], 501),
            ("a method that is none", without(":method") + [(":method", "G T")], None), ("two lengths", good + [("content-length", "1"), ("content-length", "2")], None),
            ("a length that is none", good + [("content-length", "+1")], None),
        ]
        for what, fields, status in cases:
            stream = c.head(fields=fields)
            a = c.answer(stream)
            check((a.aborted and f"RST_STREAM {PROTOCOL_ERROR}" in a.error) if status is None else a.status == status, f"{what}: {a.status} {a.error}")
            check(status is None or _says(a), f"{what}: {a.headers} {a.body}")
            check(c.answer(c.head()).status == 200, f"behind {what}")
        for n, data in ((3, b"four"), (5, b"four")):  # a length that is not the body's
            stream = c.head(end=False, method="POST", path="/echo", headers=[["content-length", str(n)]])
            c.send(frame(DATA, END_STREAM, stream, data))
            a = c.answer(stream)
            check(a.aborted, f"{n} for {data}: {a.status} {a.body}")
        check(c.answer(c.head()).status == 200, "behind lengths")


def an_answer_that_is_not_whole_is_reset():
    with Server(MISBEHAVE) as s, _connect(s) as c:
        a = c.answer(c.head(path="/unfinished"))
        check(a.aborted and f"RST_STREAM {INTERNAL_ERROR}" in a.error, f"{a.status} {a.body} {a.error}")
        check(c.answer(c.head(path="/trap")).status == 500, "a trap")
        check(c.answer(c.head(path="/silent")).status == 500, "no answer")
        check(c.answer(c.head()).status == 200, "the connection is lost")


def a_reset_cancels_the_call():
    with Server(MISBEHAVE, log="debug") as s, _connect(s) as c:
        stream = c.head(path="/sleep")
        time.sleep(0.2)
        c.send(frame(RST_STREAM, 0, stream, struct.pack(">I", CANCEL)))
        r = s.receipt("/sleep")
        check(r["outcome"] == "client gone" and r["wall_us"] < 5_000_000, f"{r}")
        check(c.answer(c.head()).status == 200, "the connection is lost")


def who_answers_early_stops_the_upload():
    with Server(HELLO) as s, _connect(s) as c:
        stream = c.head(end=False, method="POST", path="/nowhere")
        a = c.answer(stream)
        check(a.status in (404, 405) and not a.aborted, f"{a.status} {a.error}")
        check(c.until(RST_STREAM, stream).code == NO_ERROR, "its sender is not told to stop")
        c.send(frame(DATA, 0, stream, b"x" * 1000))
        check(c.answer(c.head()).status == 200, "the connection is lost")


# ---- flow control ---------------------------------------------------------------------------------------------------------------------------

def a_guest_that_does_not_read_holds_the_sender_at_its_window():
    with Server(MISBEHAVE) as s, _connect(s) as c:
        stream = c.head(end=False, method="POST", path="/sleep")
        sent = 0
        while c.windows[stream] > 0:
            n = min(16384, c.windows[stream])
            c.send(frame(DATA, 0, stream, b"x" * n))
            c.windows[stream] -= n
            c.windows[0] -= n
            sent += n
        check(sent == 65535, f"{sent}")
        c.sock.settimeout(0.5)
        try:
            while True:
                f = c.read()
                check(f.kind != WINDOW_UPDATE or f.stream != stream, "more is wanted of what nobody reads")
        except TimeoutError:
            pass
        c.sock.settimeout(20)
        other = c.head(end=False, method="POST", path="/echo")  # the window of the connection is not used up
        check(c.send_body(other, b"y" * 30000), "reset")
        a = c.answer(other)
        check(a.status == 200 and len(a.body) == 30000, f"{a.status} {len(a.body)} {a.error}")


def a_body_of_100_mib_goes_through_whole_both_ways():
    needs("curl")
    data = os.urandom(1 << 20) * 100
    with Server(MISBEHAVE) as s:
        p = subprocess.run(["curl", "-s", "-m", "120", "--http2-prior-knowledge", "-H", "Expect:", "-T", "-", "-X", "POST", f"http://{s.addr[0]}:{s.addr[1]}/echo"], input=data,
            capture_output=True)
        check(p.returncode == 0 and p.stdout == data, f"{p.returncode} {len(p.stdout)} {p.stderr}")


def a_window_that_stays_closed_ends_the_stream_in_time():
    with Server(MISBEHAVE, "--write-timeout", "300ms", log="debug") as s, _connect(s, opens=False, initial_window_size=0) as c:
        stream = c.head(path="/flood")
        f = c.until(RST_STREAM, stream)
        check(f.code == CANCEL, f"{f.code}")
        check(s.receipt("/flood")["outcome"] != "ok", f"{s.receipts()}")
        c.send(settings(initial_window_size=65535))
        check(c.answer(c.head()).status == 200, "the connection is lost")
    with Server(MISBEHAVE, "--write-timeout", "300ms") as s, _connect(s, opens=False) as c:  # that of the connection
        stream = c.head(path="/flood")
        check(c.until(RST_STREAM, stream).code == CANCEL, "held for ever")


def a_reader_that_opens_its_window_by_one_is_too_slow():
    with Server(MISBEHAVE, "--min-rate", "1000000", "--write-timeout", "60s") as s, _connect(s, opens=False, initial_window_size=1, timeout=60) as c:
        stream = c.head(path="/flood")
        began = time.monotonic()
        f = None
        while f is None or f.kind != RST_STREAM:
            f = c.read()
            if f.kind == DATA:
                time.sleep(0.05)
                c.send(window_update(stream, 1))
        check(time.monotonic() - began < 40, "it may go on for ever")


# ---- limits and deadlines ---------------------------------------------------------------------------------------------------------------------

def max_streams_bounds_what_a_connection_asks_at_once():
    for most in (1, 3, None):
        with Server(MISBEHAVE, *(["--max-streams", most] if most else [])) as s, _connect(s) as c:
            values = c.until(SETTINGS).payload
            told = {struct.unpack(">HI", values[i:i + 6])[0]: struct.unpack(">HI", values[i:i + 6])[1] for i in range(0, len(values), 6)}
            check(told[3] == (most or 100), f"{told}")
            streams = [c.head(path="/delay") for _ in range(most or 100)]
            over = c.head(path="/delay")  # before the server knows that we know: refused, or the end
            statuses, refused, left = [], 0, set(streams) | {over}
            try:
                while left:
                    f = c.read()
                    if f.kind == HEADERS:
                        statuses.append(dict(f.fields)[":status"])
                    if f.kind == RST_STREAM:
                        refused += f.code == REFUSED_STREAM
                    if f.kind == RST_STREAM or f.kind in (HEADERS, DATA) and f.flags & END_STREAM:
                        left.discard(f.stream)
            except Closed:
                refused += c.goaway is not None
            check(refused >= 1, f"{most}: none was refused of {len(streams) + 1}, {statuses}")
            _works(s)
    with Server(MISBEHAVE, "--max-streams", "none") as s, _connect(s) as c:
        for _ in range(300):
            c.head(path="/delay")
        done = 0
        while done < 300:
            f = c.read()
            check(f.kind not in (RST_STREAM, GOAWAY), f"{f}")
            if f.kind == HEADERS:
                check(dict(f.fields)[":status"] == "200", f"{f}")
            done += f.kind in (HEADERS, DATA) and bool(f.flags & END_STREAM)


def a_guest_that_still_runs_behind_a_reset_counts():
    with Server(MISBEHAVE, "--max-streams", "2", "--cpu", "none") as s, _connect(s) as c:
        c.until(SETTINGS)
        for _ in range(6):
            stream = c.head(path="/spin")
            c.send(frame(RST_STREAM, 0, stream, struct.pack(">I", CANCEL)))
        a = c.answer(c.head())
        check(a.status == 200 or f"RST_STREAM {REFUSED_STREAM}" in a.error, f"{a.status} {a.error}")


def heads_beyond_the_limits_are_431():
    with Server(HELLO, "--head-bytes", "2KiB", "--head-fields", "10") as s, _connect(s) as c:
        check(c.answer(c.head(headers=[["a", "x" * 1500]])).status == 200, "below")
        check(c.answer(c.head(headers=[["a", "x" * 2100]])).status == 431, "too long")
        check(c.answer(c.head(headers=[["a", "b"]] * 10)).status == 200, "ten fields")
        check(c.answer(c.head(headers=[["a", "b"]] * 11)).status == 431, "eleven fields")
        check(c.answer(c.head()).status == 200, "the connection is lost")
    with Server(HELLO) as s, _connect(s) as c:
        check(c.answer(c.head(headers=[["a", "x" * 60000]])).status == 200, "60,000 bytes")
        check(c.answer(c.head(headers=[["a", "x" * 33000], ["b", "x" * 33000]])).status == 431, "66,000 bytes")


def max_body_bounds_a_body():
    with Server(HELLO, "--max-body", "1000") as s, _connect(s) as c:
        stream = c.head(end=False, method="POST", path="/echo", headers=[["content-length", "1001"]])
        a = c.answer(stream)
        check(a.status == 413 and _says(a), f"announced: {a.status} {a.body}")
        stream = c.head(end=False, method="POST", path="/echo")
        c.send(frame(DATA, 0, stream, b"x" * 1001))
        a = c.answer(stream)
        check(a.status == 413 or a.aborted, f"{a.status} {a.body[:20]}")
        stream = c.head(end=False, method="POST", path="/echo")
        c.send(frame(DATA, END_STREAM, stream, b"x" * 1000))
        check(c.answer(stream).body == b"x" * 1000, "1000")


def a_head_a_body_and_a_silence_have_their_times():
    with Server(MISBEHAVE, "--head-timeout", "300ms", "--body-timeout", "300ms", "--idle-timeout", "600ms") as s:
        with _connect(s) as c:  # CONTINUATION never comes
            c.send(frame(HEADERS, END_STREAM, 1, encode_fields(c.fields())))
            check(any(f.kind == GOAWAY for f in c.ends()), "no GOAWAY")
        with _connect(s, greet=False) as c:  # nor SETTINGS
            c.send(PREFACE)
            c.ends()
        with _connect(s) as c:
            stream = c.head(end=False, method="POST", path="/echo")
            c.send(frame(DATA, 0, stream, b"x"))
            a = c.answer(stream)
            check(a.aborted or a.status == 408, f"{a.status} {a.error}")
        with _connect(s) as c:
            check(c.answer(c.head()).status == 200, "not idle")
            began = time.monotonic()
            found = c.ends()
            check(any(f.kind == GOAWAY and f.code == NO_ERROR for f in found) and 0.4 < time.monotonic() - began < 10, f"{found}")


def who_never_asks_is_idle_from_the_beginning():
    with Server(HELLO, "--idle-timeout", "300ms", "--head-timeout", "60s") as s, _connect(s) as c:
        found = c.ends()
        check(any(f.kind == GOAWAY and f.code == NO_ERROR for f in found), f"{found}")


def a_slow_body_is_bounded_by_its_rate():
    with Server(MISBEHAVE, "--min-rate", "1000000") as s, _connect(s, timeout=60) as c:
        stream = c.head(end=False, method="POST", path="/echo")
        stop = threading.Event()

        def drip():
            while not stop.wait(0.2):
                try:
                    c.send(frame(DATA, 0, stream, b"x"))
                except OSError:
                    return
        t = threading.Thread(target=drip, daemon=True)
        t.start()
        began = time.monotonic()
        a = c.answer(stream)
        stop.set()
        t.join()
        check((a.aborted or a.status == 408) and time.monotonic() - began < 40, f"{a.status} {a.error}")


# ---- L84: what a client may cost ----------------------------------------------------------------------------------------------------------------

def _calmed(s, attack, most_cpu=3.0, codes=(ENHANCE_YOUR_CALM,), **kw):
    """`attack` writes on a connection until it is ended: with GOAWAY, cheaply, and others are served."""
    before, memory = s.cpu_seconds(), s.private_kib()
    with _connect(s, **kw) as c:
        found, done = [], threading.Event()

        def listen():
            found.extend(c.ends())
            done.set()
        t = threading.Thread(target=listen, daemon=True)
        t.start()
        try:
            for _ in range(100000):
                attack(c)
                if done.is_set():
                    break
        except OSError:
            pass
        check(done.wait(20), "it goes on for ever")
        t.join()
    code = [f.code for f in found if f.kind == GOAWAY]
    check(not code or code[-1] in codes, f"GOAWAY {code}")
    cpu, grown = s.cpu_seconds() - before, s.private_kib() - memory
    check(cpu < most_cpu, f"{cpu:.1f} s of CPU")
    check(grown < 32 << 10, f"{grown} KiB more")
    _works(s)
    return code


def L84_a_rapid_reset_ends_the_connection():
    with Server(MISBEHAVE) as s:
        def attack(c):
            out = b""
            for _ in range(50):
                stream, c.next_id = c.next_id, c.next_id + 2
                out += frame(HEADERS, END_STREAM | END_HEADERS, stream, encode_fields(c.fields(path="/spin"))) + frame(RST_STREAM, 0, stream, struct.pack(">I", CANCEL))
            c.send(out)
        check(_calmed(s, attack), "no GOAWAY")


def L84_resets_that_the_server_is_made_to_send_count():
    with Server(MISBEHAVE) as s:
        def attack(c):  # MadeYouReset: a window that may not be
            out = b""
            for _ in range(50):
                stream, c.next_id = c.next_id, c.next_id + 2
                out += frame(HEADERS, END_STREAM | END_HEADERS, stream, encode_fields(c.fields(path="/sleep"))) + window_update(stream, 0x7fffffff)
            c.send(out)
        _calmed(s, attack, codes=(ENHANCE_YOUR_CALM, PROTOCOL_ERROR))

        def refused(c):
            out = b""
            for _ in range(50):
                stream, c.next_id = c.next_id, c.next_id + 2
                out += frame(HEADERS, END_STREAM | END_HEADERS, stream, encode_fields(c.fields(path="/sleep")))
            c.send(out)
        _calmed(s, refused, codes=(ENHANCE_YOUR_CALM, PROTOCOL_ERROR))


def L84_a_flood_of_continuations_ends_the_connection():
    with Server(HELLO) as s:
        def attack(c):
            out = frame(HEADERS, END_STREAM, 1, encode_fields(c.fields())) if c.next_id == 1 else b""
            c.next_id = 3
            c.send(out + frame(CONTINUATION, 0, 1, literal("a", "x" * 10000)) * 10)
        _calmed(s, attack, codes=(ENHANCE_YOUR_CALM, PROTOCOL_ERROR, 1))

        def empty(c):
            out = frame(HEADERS, END_STREAM, 1, encode_fields(c.fields())) if c.next_id == 1 else b""
            c.next_id = 3
            c.send(out + frame(CONTINUATION, 0, 1, b"") * 100)
        _calmed(s, empty, codes=(ENHANCE_YOUR_CALM, PROTOCOL_ERROR, 1))


def L84_floods_of_frames_end_the_connection():
    kinds = {
        "PING": lambda c: frame(PING, 0, 0, b"12345678"),
        "PING with ACK": lambda c: frame(PING, ACK, 0, b"12345678"),
        "SETTINGS": lambda c: frame(SETTINGS, 0, 0),
        "PRIORITY": lambda c: frame(PRIORITY, 0, 3, struct.pack(">IB", 0, 1)),
        "an unknown kind": lambda c: frame(0xee, 0, 0, b"x"),
        "WINDOW_UPDATE": lambda c: window_update(0, 1),
    }
    with Server(HELLO) as s:
        for name, make in kinds.items():
            _calmed(s, lambda c: c.send(make(c) * 200), codes=(ENHANCE_YOUR_CALM,))


def L84_empty_frames_of_a_body_end_the_connection():
    with Server(HELLO) as s:
        def attack(c):
            if c.next_id == 1:
                c.head(end=False, method="POST", path="/echo")
            c.send(frame(DATA, 0, 1) * 200)
        _calmed(s, attack)


def L84_frames_of_padding_alone_end_the_connection():
    with Server(HELLO) as s:
        def attack(c):
            if c.next_id == 1:
                c.head(end=False, method="POST", path="/echo")
            c.send(frame(DATA, PADDED, 1, bytes([255]) + bytes(255)) * 100)
        check(_calmed(s, attack), "no GOAWAY")


def L84_what_unpacks_to_much_is_refused():
    with Server(HELLO) as s:
        with _connect(s) as c:  # a name of 3,000 bytes that is named again by one byte
            block = encode_fields(c.fields()) + b"\x40" + text("a" * 2000) + text("b" * 1000) + b"\xbe" * 16000
            c.send(frame(HEADERS, END_STREAM, 1, block[:16384]) + frame(CONTINUATION, END_HEADERS, 1, block[16384:]))
            found = c.ends()
            check(any(f.kind == GOAWAY and f.code == ENHANCE_YOUR_CALM for f in found), f"{found}")
        _works(s)
        check(s.private_kib() < 100 << 10, f"{s.private_kib()} KiB")


def what_is_no_http2_ends_the_connection():
    with Server(HELLO) as s:
        for data in (b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", PREFACE + b"\xff" * 100, PREFACE + frame(DATA, 0, 1, b"x"), PREFACE + settings() + frame(HEADERS, END_HEADERS, 2, b"\x82"),
                PREFACE + settings() + frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\xff\xff\xff\xff\xff"), PREFACE + frame(SETTINGS, 0, 1)):
            with _connect(s, greet=False) as c:
                c.send(data)
                c.ends()
        with s.connect() as c:  # a version that nobody speaks
            c.send("GET / HTTP/2.0\r\nHost: a\r\n\r\n")
            check(c.answer().status == 505, "another status")
        _works(s)


# ---- the end ------------------------------------------------------------------------------------------------------------------------------------

def a_drain_ends_with_goaway_and_loses_no_request():
    with Server(MISBEHAVE) as s, _connect(s) as busy, _connect(s) as idle, _connect(s) as asks:
        check(idle.answer(idle.head()).status == 200, "idle")
        asks.until(SETTINGS)
        stream = busy.head(path="/delay")
        time.sleep(0.1)
        s.signal()
        f = asks.until(GOAWAY)
        check(f.last == 0x7fffffff and f.code == NO_ERROR, f"{f}")
        a = asks.answer(asks.head())  # before the server has our answer to its PING
        check(a.status == 200 or f"GOAWAY" in a.error, f"{a.status} {a.error}")
        a = busy.answer(stream)
        check(a.status == 200 and a.body == b"delayed\n", f"{a.status} {a.error}")
        check(busy.goaway is not None, "no GOAWAY")
        last = [f for f in idle.ends() if f.kind == GOAWAY]
        check(last and last[-1].last == 1, f"{last}")
        check(s.wait(10) == 0, "it does not end")


def requests_that_arrive_during_a_drain_are_answered_or_known_to_be_unheard():
    with Server(MISBEHAVE) as s:
        lost, answered = [], []

        def ask():
            with _connect(s) as c:
                while True:
                    stream = None
                    try:
                        stream = c.head()
                    except OSError:
                        return
                    a = c.answer(stream)
                    if a.status == 200 and not a.aborted:
                        answered.append(stream)
                        continue
                    if c.goaway is None or c.goaway.last >= stream:
                        lost.append((stream, a.error, c.goaway))
                    return
        threads = [threading.Thread(target=ask, daemon=True) for _ in range(8)]
        for t in threads:
            t.start()
        time.sleep(0.3)
        s.signal()
        for t in threads:
            t.join(15)
        check(answered and not lost, f"{len(answered)} answered, lost: {lost[:3]}")
        check(s.wait(10) == 0, "it does not end")


def an_idle_connection_makes_room_for_others():
    with Server(HELLO, "--connections", "4") as s:
        idle = [_connect(s) for _ in range(4)]
        for c in idle:
            check(c.answer(c.head()).status == 200, "no answer")
        time.sleep(1.2)
        _works(s)
        for c in idle:
            c.close()


def so_does_one_that_has_sent_a_part_of_a_head_and_no_other():
    with Server(MISBEHAVE, "--connections", "2", "--head-timeout", "60s") as s, _connect(s) as half, _connect(s) as busy:
        stream = busy.head(end=False, method="POST", path="/echo")
        half.send(frame(HEADERS, END_STREAM, 1, encode_fields(half.fields())))
        _works(s)
        half.ends()
        busy.send(frame(DATA, END_STREAM, stream, b"x"))
        a = busy.answer(stream)
        check(a.status == 200 and a.body == b"x", f"what is under way made room: {a.status} {a.body} {a.error}")


# ---- clients of others ------------------------------------------------------------------------------------------------------------------------

def curl_and_nghttp_speak_with_it():
    needs("curl")
    needs("nghttp")
    with Server(HELLO) as s:
        url = f"http://{s.addr[0]}:{s.addr[1]}"
        r = subprocess.run(["curl", "-s", "-m", "20", "--http2-prior-knowledge", "-w", "%{http_version} %{http_code}", "-d", "some data", url + "/echo"], capture_output=True, text=True)
        check(r.stdout == "some data2 200", f"{r.stdout} {r.stderr}")
        r = subprocess.run(["curl", "-s", "-m", "20", "--http2", "-o", "/dev/null", "-w", "%{http_version} %{http_code}", url + "/"], capture_output=True, text=True)
        check(r.stdout == "1.1 200", f"{r.stdout}")  # an upgrade is not taken up (RFC 9113, 3.1)
        r = subprocess.run(["nghttp", "-nv", "-m", "20", url + "/"], capture_output=True, text=True)
        check(r.returncode == 0 and r.stdout.count(":status: 200") == 20, f"{r.stdout[-500:]}")


def h2load_finds_no_error():
    needs("h2load")
    with Server(HELLO) as s:
        r = subprocess.run(["h2load", "-n", "5000", "-c", "10", "-m", "20", f"http://{s.addr[0]}:{s.addr[1]}/"], capture_output=True, text=True)
        check("5000 succeeded, 0 failed, 0 errored, 0 timeout" in r.stdout, r.stdout[-800:])

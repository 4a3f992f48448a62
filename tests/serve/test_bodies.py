"""HTTP as a guest and a client see it: order, framing, trailers, back-pressure."""
import hashlib, os, socket, time

from harness import HELLO, MISBEHAVE, Many, Server, check, exchange, shared_guest, unfinished

MIB = 1 << 20


def a_pipeline_is_answered_in_order():
    with Server(MISBEHAVE) as s, s.connect() as c:
        paths = ["/", "/check", "/nowhere", "/memory", "/trap", "/"] * 8
        c.send("".join(f"GET {p} HTTP/1.1\r\nHost: x\r\n\r\n" for p in paths))
        want = {"/": (200, b"well-behaved\n"), "/check": (200, b"clean\n"), "/nowhere": (200, b"see README.md\n"), "/memory": (200, None), "/trap": (500, None)}
        for p in paths:
            a = c.answer()
            status, body = want[p]
            check(a.status == status and body in (None, a.body) and not a.aborted, f"{p}: {a.status} {a.body[:50]!r} {a.error}")


def a_slow_answer_does_not_overtake_nor_is_it_overtaken():
    with Server(MISBEHAVE) as s, s.connect() as c:
        c.ask("/delay")
        c.ask("/")
        check(c.answer().body == b"delayed\n", "the second answer came first")
        check(c.answer().body == b"well-behaved\n", "the second answer did not come")


def a_body_in_a_pipeline_belongs_to_its_request():
    with Server(MISBEHAVE) as s, s.connect() as c:
        for k in range(5):
            c.ask("/echo", "POST", body=f"GET /trap HTTP/1.1\r\nHost: {k}\r\n\r\n", chunked=k % 2 == 0)
            c.ask("/", "POST", body="nobody reads this")  # drained
        for k in range(5):
            check(c.answer().body == f"GET /trap HTTP/1.1\r\nHost: {k}\r\n\r\n".encode(), "another body came back")
            check(c.answer().body == b"well-behaved\n", "the next request was lost")


def trailers_go_both_ways():
    with Server(MISBEHAVE) as s:
        for path in ("/echo", "/splice"):
            a = exchange(s.addr, {"method": "POST", "path": path, "body": "x" * 5000, "chunked": True, "trailers": [["X-One", "1"], ["X-Two", "zwei"]]})
            check(a.status == 200 and a.body == b"x" * 5000, f"{path}: {a.status} {len(a.body)} bytes {a.error}")
            check(sorted((k.lower(), v) for k, v in a.trailers) == [("x-one", "1"), ("x-two", "zwei")], f"{path}: {a.trailers}")


def trailers_are_kept_from_who_does_not_take_them():
    with Server(MISBEHAVE) as s, s.connect() as c:
        c.send("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-One: 1\r\n\r\n")
        a = c.answer()
        check(a.body == b"abc" and a.trailers == [], f"{a.body!r} {a.trailers}")


def trailers_of_a_guest_in_rust():
    with Server(shared_guest("http/trailers-rust.wasm")) as s:
        a = exchange(s.addr, {"method": "POST", "path": "/", "body": "hello, trailers", "chunked": True, "trailers": [["X-One", "1"], ["X-Two", "zwei"]]})
        check(a.body == b"body 15\ntrailer x-one: 1\ntrailer x-two: zwei\n", f"{a.body!r}")
        check(("x-trailer-count", "2") in [(k.lower(), v) for k, v in a.trailers], f"{a.trailers}")


def a_100_is_sent_when_the_guest_reads_and_not_before():
    with Server(HELLO) as s, s.connect() as c:
        c.send("POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        line = c.reader.line()
        check(line.startswith("HTTP/1.1 100"), line)
        c.reader.line()
        c.send("body")
        check(c.answer().body == b"body", "the body did not come back")
    with Server(MISBEHAVE) as s, s.connect() as c:
        c.send("POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        line = c.reader.line()
        check(line.startswith("HTTP/1.1 200"), f"a guest that reads nothing: {line}")


def head_has_the_head_of_get_and_no_body():
    with Server(HELLO) as s, s.connect() as c:
        get, head = c.get("/"), c.get("/", "HEAD")
        check(head.status == get.status == 200 and head.body == b"", f"{head.status} {head.body!r}")
        check(head.values("content-type") == get.values("content-type"), f"{head.headers}")
        check(c.get("/").body == get.body, "the connection is out of step")


def _echo(path, chunked, length):
    body = os.urandom(MIB) * (length // MIB) if length >= MIB else os.urandom(length)
    with Server(MISBEHAVE) as s:
        a = s.post(path, body, chunked=chunked, timeout=60)
        check(a.status == 200 and not a.aborted, f"{path} {length}: {a.status} {a.error}")
        check(len(a.body) == length and hashlib.sha256(a.body).digest() == hashlib.sha256(body).digest(), f"{path}: {len(a.body)} bytes of {length} came back, or others")
        return s.private_kib()


def eight_mebibytes_come_back_chunked():
    _echo("/echo", True, 8 * MIB)


def eight_mebibytes_come_back_with_their_length_given():
    _echo("/echo", False, 8 * MIB)


def a_body_moved_by_the_host_comes_back():
    _echo("/splice", True, 8 * MIB)


def bodies_of_awkward_lengths_come_back():
    with Server(MISBEHAVE) as s:
        for n in (0, 1, 4095, 4096, 4097, 16384, 65535, 65536, 65537, 200001):
            for path in ("/echo", "/splice"):
                for chunked in (False, True):
                    body = os.urandom(n)
                    a = s.post(path, body, chunked=chunked)
                    check(a.body == body and a.status == 200 and not a.aborted, f"{path} {n} chunked={chunked}: {a.status}, {len(a.body)} bytes, {a.error}")


def a_client_that_shuts_its_side_still_gets_its_answer():
    with Server(MISBEHAVE) as s:
        for path, want in (("/", b"well-behaved\n"), ("/delay", b"delayed\n")):
            with s.connect() as c:
                c.ask(path)
                c.sock.shutdown(socket.SHUT_WR)
                a = c.answer()
                check(a.status == 200 and a.body == want, f"{path}: {a.status} {a.error}")


def _slow_readers(s):
    """Thirty clients that ask for a long answer and read nothing of it, and KiB that this costs."""
    before = s.private_kib()
    slow = [s.connect(rcvbuf=16384) for _ in range(30)]
    for c in slow:
        c.ask("/flood")
    time.sleep(1)
    grown = s.private_kib() - before
    check(grown < 30 * 512, f"30 clients that read nothing cost {grown} KiB")
    check(s.get("/").status == 200, "others wait for them")
    return slow, grown


def a_reader_that_sleeps_costs_no_memory():
    with Server(MISBEHAVE) as s:
        s.get("/flood", timeout=60)
        slow, grown = _slow_readers(s)
        a = slow[0].answer()
        check(len(a.body) == 64 * MIB and not a.aborted and not a.body.strip(b"\0"), f"{len(a.body)} bytes, {a.error}")
        for c in slow:
            c.close()
        return f"{grown} KiB for 30"


def _is_not_read(file, path, deadline):
    """A body that a guest doesn't read while it waits is not taken from its sender."""
    with Server(file, "--deadline", deadline) as s, s.connect() as c:
        s.get("/")
        before = s.private_kib()
        c.send(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n")
        c.sock.settimeout(0.7)
        sent = 0
        try:
            while sent < 200 * MIB:
                sent += c.sock.send(b"x" * 65536)
        except OSError:
            pass
        check(sent < 32 * MIB, f"{sent >> 20} MiB were taken that nobody reads")
        check(s.private_kib() - before < 4096, f"memory grew by {s.private_kib() - before} KiB")


def a_guest_that_does_not_read_stops_the_sender():
    _is_not_read(MISBEHAVE, "/sleep", "4s")


def a_client_that_leaves_ends_its_request():
    with Server(MISBEHAVE) as s:
        c = s.connect()
        c.ask("/sleep")
        time.sleep(0.2)
        c.reset()
        check(s.receipt("/sleep")["outcome"] == "client gone", f"{s.receipts('/sleep')}")


def an_answer_that_is_not_finished_is_never_ended_cleanly():
    with Server(MISBEHAVE) as s:
        for _ in range(5):
            a = s.get("/unfinished")
            check(a.status in unfinished() and a.aborted, f"{a.status}, whole: {not a.aborted}, {a.body!r}")


def a_hundred_connections_at_once_mix_nothing_up():
    with Server(MISBEHAVE, shards=2) as s:
        def client(k):
            with s.connect() as c:
                for n in range(10):
                    body = f"{k} {n} ".encode() * 500
                    c.ask("/echo", "POST", body_hex=body.hex(), chunked=bool(n % 2))
                    a = c.answer()
                    if a.body != body:
                        return f"{k} {n}: {a.status} {len(a.body)} {a.error}"
        bad = [r for r in Many([lambda k=k: client(k) for k in range(100)]).join() if r]
        check(not bad, f"{len(bad)}: {bad[:1]}")

"""HTTP of guests that answer in unusual orders: lengths, permits, broken bodies, expectations. Guests of ../shared where they are there."""
import shutil, socket, subprocess, tempfile, time
from pathlib import Path

import work
from assemble import I32, I64, RETURN, U64, UNREACHABLE, Component, const, const64, get, handler, load, loop, put
from harness import HELLO, MISBEHAVE, SHARED, Server, Skip, by_hand, check, config, in_clear, shared_guest

END = " HTTP/1.1\r\nHost: a\r\n"
CHUNKED = "Transfer-Encoding: chunked\r\n\r\n"


def _fault(name):
    at = SHARED / "faults" / name
    if not at.exists():
        raise Skip("../shared is not there")
    return at


def _raw(server, data, seconds=5, until=None):
    """What comes back on a connection until it ends, `until` has come, or nothing comes for so long; and how it ended."""
    by_hand()
    with config.way.connect(server.addr, seconds) as c:
        out, how = b"", "open"
        try:
            c.sendall(data.encode() if isinstance(data, str) else data)
            while until is None or until not in out:
                part = c.recv(1 << 16)
                if not part:
                    how = "end"
                    break
                out += part
        except TimeoutError:
            pass
        except ConnectionError:
            how = "reset"
        return out, how


# Local 2: the stream. Its end is a trap, an error (last-operation-failed) a return.
def _reader():
    """A guest that skips the body of its request: at its end it traps, at an error it returns and has not answered."""
    c = Component()
    io = c.interface("wasi:io/error@0.2.0")
    io.resource("error")
    st = c.interface("wasi:io/streams@0.2.0")
    stream = st.resource("input-stream")
    error = st.variant("stream-error", [("last-operation-failed", st.own(st.use(io, "error"))), ("closed", None)])
    st.func("[method]input-stream.blocking-skip", [("self", st.borrow(stream)), ("len", U64)], st.result(U64, error), ([I32, I64, I32], []))
    h = c.interface("wasi:http/types@0.2.0")
    stream = h.use(st, "input-stream")
    h.resource("response-outparam")
    request, body = h.resource("incoming-request"), h.resource("incoming-body")
    h.func("[method]incoming-request.consume", [("self", h.borrow(request))], h.result(h.own(body)), ([I32, I32], []))
    h.func("[method]incoming-body.stream", [("self", h.borrow(body))], h.result(h.own(stream)), ([I32, I32], []))
    skip = get(2) + const64(1 << 20) + const(64) + c.call("[method]input-stream.blocking-skip")
    ends = load(64) + const(1) + b"\x71\x04\x40" + load(72) + const(1) + b"\x71\x04\x40" + UNREACHABLE + b"\x0b" + RETURN + b"\x0b"
    c.code("handle", ([I32, I32], []), [I32], get(0) + const(64) + c.call("[method]incoming-request.consume") + load(68) + const(64) +
        c.call("[method]incoming-body.stream") + load(68) + put(2) + loop(skip + ends), handler(c, h), "wasi:http/incoming-handler@0.2.0")
    return c


# ---- how a body may end -----------------------------------------------------------------------------------------------------------------

def H10_a_malformed_body_is_an_error_for_its_reader():
    with Server(_fault("quirk.wasm"), log="debug") as s:
        out, how = _raw(s, "POST /?read=all&w=3" + END + CHUNKED + "5\r\nhello\r\nZZ\r\n")
        check(out.startswith(b"HTTP/1.1 400 ") and how == "end", f"{out[:100]} {how}")
        r = s.receipt("/?read=all&w=3")
        check(r["outcome"] == "malformed body" and r["status"] == 400, f"{r}")


def H10_a_body_beyond_max_body_is_an_error_for_its_reader():
    with Server(_fault("bytes.wasm"), "--max-body", "8", log="debug") as s:
        out, how = _raw(s, "POST /echo/0" + END + CHUNKED + "5\r\nhello\r\n5\r\nhello\r\n0\r\n\r\n")
        check(b"0\r\n\r\n" not in out.split(b"\r\n\r\n", 1)[-1], f"{out} ended cleanly")
        check(s.receipt("/echo/0")["outcome"] == "body too large", s.log_text())


def H10_no_way_in_which_a_body_ends_early_is_its_end():
    good, long, bad = "5\r\nhello\r\n0\r\n\r\n", "5\r\nhello\r\n7\r\nhello, \r\n0\r\n\r\n", "5\r\nhello\r\nZZ\r\n"
    with tempfile.TemporaryDirectory() as d, Server(_reader().write(Path(d) / "reader.wasm"), "--max-body", "10", "--body-timeout", "400ms", log="debug") as s:
        for n, (head, body, then, outcome, status) in enumerate((
                (CHUNKED, good, None, "trap", 500),  # its end: all else is an error
                (CHUNKED, bad, None, "malformed body", 400),
                (CHUNKED, "5\r\nhello\r\n", "ZZ\r\n", "malformed body", 400),
                (CHUNKED, "5\r\nhello\r\n0\r\nX : y\r\n\r\n", None, "malformed body", 400),
                (CHUNKED, long, None, "body too large", 413),
                (CHUNKED, "5\r\nhello\r\n", "", "body too slow", 408),
                (CHUNKED, "5\r\nhello\r\n", "half", "client gone", 400),
                ("Content-Length: 10\r\n\r\n", "hello", "half", "client gone", 400),
                ("Content-Length: 10\r\n\r\n", "hello", "reset", "client gone", None),
                ("Content-Length: 10\r\n\r\n", "hello", "", "body too slow", 408),
                ("Content-Length: 10\r\n\r\n", "hello", "hello", "trap", 500))):
            path = f"/{n}"
            with s.connect() as c:
                c.send(f"POST {path}" + END + head + body)
                if then in ("half", "reset"):
                    time.sleep(0.05)
                    if then == "half":
                        c.sock.shutdown(socket.SHUT_WR)
                    else:
                        c.reset()
                elif then:
                    time.sleep(0.05)
                    c.send(then)
                r = s.receipt(path)
                check(r["outcome"] == outcome and status in (None, r["status"]), f"{head!r} {body!r} {then}: {r}")
                if then != "reset":
                    a = c.answer()
                    check(a.status == status, f"{head!r} {body!r} {then}: {a.status} {a.error}")


def H10_the_receipt_says_why_a_body_did_not_come():
    with Server(MISBEHAVE, "--body-timeout", "200ms", log="debug") as s:
        out, how = _raw(s, "POST /nobody-reads" + END + CHUNKED + "5\r\nhello\r\nZZ\r\n", 1)
        check(out.startswith(b"HTTP/1.1 200 "), f"{out}")
        for name, data, want in (("echo", "5\r\nhello\r\nZZ\r\n", "malformed body"), ("splice", "5\r\nhello\r\n", "client gone")):
            _raw(s, f"POST /{name}" + END + CHUNKED + data)
            r = s.receipt(f"/{name}")
            check(r["outcome"] == want, f"{r}")


# ---- permits ----------------------------------------------------------------------------------------------------------------------------

def H11_what_was_permitted_before_the_response_was_set_is_sent():
    with Server(_fault("bytes.wasm")) as s:
        a = s.get("/latewrite/0")
        check(a.status == 200 and len(a.body) == 65536 and not a.aborted, f"{a.status} {len(a.body)} {a.error}")
    with Server(_fault("quirk.wasm")) as s:
        for n in (0, 1, 4096, 50000, 65463, 65464, 65535, 65536):
            a = s.get(f"/?set=after&w={n}")
            check(a.status == 200 and len(a.body) == n and not a.aborted, f"{n}: {a.status} {len(a.body)} {a.error}")
        a = s.get("/?set=after&w=50000&h=x-a:" + "a" * 20000)
        check(a.status == 200 and len(a.body) == 50000 and not a.aborted, f"{a.status} {len(a.body)} {a.error}")


def H11_an_answer_does_not_depend_on_what_is_pipelined_before_it():
    with Server(_fault("quirk.wasm")) as s, s.connect() as c:
        sizes = [3000, 63000, 65536, 1, 0, 40000, 65536, 65536, 20000, 65000]
        c.send("".join(f"GET /?set={'after' if n % 2 == 0 else 'before'}&w={n}&how=nb" + END + "\r\n" for n in sizes))
        for n in sizes:
            a = c.answer()
            check(a.status == 200 and len(a.body) == n and not a.aborted, f"{n}: {a.status} {len(a.body)} {a.error}")


# ---- lengths ----------------------------------------------------------------------------------------------------------------------------

def who_shuts_his_side_gets_his_answer_and_who_resets_ends_the_call():
    by_hand()
    with Server(MISBEHAVE) as s:
        with s.connect() as c:
            c.send(b"GET /delay HTTP/1.1\r\nHost: a\r\n\r\n")
            c.sock.shutdown(socket.SHUT_WR)
            check(c.answer().status == 200, s.log_text())
        gone = s.connect()
        gone.send(b"GET /sleep HTTP/1.1\r\nHost: a\r\n\r\n")
        time.sleep(0.2)
        gone.reset()
        check(s.receipt("/sleep")["status"] == 499, s.log_text())


def H12_a_length_without_a_body_does_not_end_the_connection():
    with Server(_fault("quirk.wasm")) as s, s.connect() as c:
        for set_when in ("before", "after"):
            for status, kept in ((304, ["1234"]), (204, []), (205, ["0"])):
                a = c.get(f"/?status={status}&h=content-length:1234&set={set_when}")
                check(a.status == status and a.values("content-length") == kept and not a.aborted, f"{status}: {a.headers} {a.error}")
        check(c.get("/?w=3").status == 200, "the connection is lost")


def H13_no_length_is_made_up():
    with Server(_fault("quirk.wasm")) as s, s.connect() as c:
        for set_when in ("before", "after"):
            for w in (0, 5):
                for method, status in (("HEAD", 200), ("GET", 304), ("GET", 204), ("HEAD", 404)):
                    a = c.get(f"/?status={status}&set={set_when}&w={w}", method)
                    check(a.status == status and not a.values("content-length") and not a.aborted, f"{method} {status} {set_when}: {a.headers}")
        check(c.get("/?w=3").status == 200, "the connection is lost")


def H17_the_scheme_is_that_of_an_absolute_target():
    in_clear()  # by TLS it is https, whatever the target says
    with Server(_fault("quirk.wasm")) as s:
        for target, want in (("https://b/dump", b"Scheme::Https"), ("http://b/dump", b"Scheme::Http)"), ("/dump", b"Scheme::Http)")):
            out, _ = _raw(s, f"GET {target}" + END + "Connection: close\r\n\r\n")
            check(want in out, f"{target}: {out}")


def H19_an_answer_whose_end_is_known_has_a_length():
    with Server(HELLO) as s:
        out, how = _raw(s, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.0\r\n\r\n")
        check(how == "end" and out.count(b"\r\nContent-Length: ") + out.count(b"\r\ncontent-length: ") == 2 and out.count(b"Connection: keep-alive") == 1, f"{out} {how}")
    with Server(MISBEHAVE) as s:
        out, how = _raw(s, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        check(out.count(b"Content-Length: 13\r\n") == 2 and b"chunked" not in out, f"{out} {how}")


# ---- what will be closed says so --------------------------------------------------------------------------------------------------------

def H2_an_answer_says_that_the_connection_ends():
    with Server(shared_guest("http/hello-rust.wasm")) as s:
        head = "POST /" + END + "Content-Length: 70000\r\n\r\n"
        out, how = _raw(s, head.encode() + bytes(70000))
        check(out.startswith(b"HTTP/1.1 405 ") and b"\r\nConnection: close\r\n" in out and how == "end", f"{out} {how}")
        with s.connect() as c:
            for _ in range(3):
                c.ask("/", "POST", body="x" * 60000)
                a = c.answer()
                check(a.status == 405 and not a.values("connection"), f"{a.status} {a.headers}")
                c.ask("/", "POST", body="x" * 70000, chunked=True)
                a = c.answer()
                check(a.status == 405 and not a.values("connection"), f"{a.status} {a.headers}")


def H3_an_early_answer_to_a_large_body_is_not_lost():
    for flags in ((), ("--max-body", "1MiB")):
        with Server(HELLO, *flags) as s:
            for chunked in (False, True):
                a = s.post("/nowhere", b"x" * (5 << 20), chunked=chunked)
                check(a.status == (413 if flags and not chunked else 404) and not a.error, f"{flags} chunked={chunked}: {a.status} {a.error}")


def H4_continue_is_sent_to_a_client_of_a_guest_that_answers_first():
    for guest, path in ((MISBEHAVE, "/echo"), (MISBEHAVE, "/splice")):
        with Server(guest) as s, s.connect(timeout=5) as c:
            c.send("POST " + path + END + "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")
            line = c.reader.file.readline()
            check(line == b"HTTP/1.1 100 Continue\r\n", f"{line}")
            c.reader.file.readline()
            c.send("hello")
            a = c.answer()
            check(a.status == 200 and a.body == b"hello", f"{a.status} {a.body} {a.error}")


def H16_a_long_target_is_414():
    with Server(HELLO) as s:
        for n in (66000, 200000):
            out, how = _raw(s, "GET /" + "a" * n + END + "\r\n")
            check(out.startswith(b"HTTP/1.1 414 ") and how == "end", f"{n}: {out[:60]} {how}")


# ---- real clients -----------------------------------------------------------------------------------------------------------------------

def _run(argv, *args, seconds=60):
    in_clear()
    if not shutil.which(argv[0]):
        raise Skip(f"{argv[0]} is not installed")
    p = subprocess.run([*argv, *map(str, args)], capture_output=True, text=True, timeout=seconds, stdin=subprocess.DEVNULL)
    check(p.returncode == 0, f"{argv[0]} ended with {p.returncode}: {p.stderr[-600:]}")
    return p.stdout


NODE = """
const http = require('http'), [host, port] = process.argv.slice(-2), agent = new http.Agent({keepAlive: true, maxSockets: 1});
const ask = (method, path, headers, body) => new Promise((done, failed) => {
  const r = http.request({host, port, method, path, headers, agent}, a => {
    let n = 0; a.on('data', d => n += d.length); a.on('end', () => done([a.statusCode, n])); a.on('error', failed) });
  r.on('error', failed);
  if (headers.Expect) { r.on('continue', () => r.end(body)); r.flushHeaders() } else r.end(body) });
(async () => {
  for (let k = 0; k < 3; k++) {
    console.log(...await ask('GET', '/', {}), ...await ask('POST', '/echo', {Expect: '100-continue', 'Content-Length': 5}, 'hello'),
      ...await ask('POST', '/echo', {'Transfer-Encoding': 'chunked'}, Buffer.alloc(3 << 20)), ...await ask('HEAD', '/', {}),
      ...await ask('POST', '/', {'Content-Length': 70000}, Buffer.alloc(70000)));
  }
  process.exit(0);
})().catch(e => { console.error(e); process.exit(1) });
"""


def node_gets_whole_answers_and_its_100():
    with Server(MISBEHAVE) as s:
        out = _run(["node", "-e", NODE], "--", *s.addr)
        check(out == "200 13 200 5 200 3145728 200 0 200 13\n" * 3, out)


def curl_gets_whole_answers_and_its_100():
    with Server(MISBEHAVE) as s, tempfile.TemporaryDirectory() as d:
        body = Path(d) / "body"
        body.write_bytes(bytes(3 << 20))
        base = f"http://{s.addr[0]}:{s.addr[1]}"
        show = ["-sS", "--max-time", "20", "-o", "/dev/null", "-w", "%{http_code} %{size_download}\n"]
        out = _run(["curl"], *show, base + "/", "--next", *show, "-H", "Expect: 100-continue", "--data-binary", f"@{body}", base + "/echo", "--next", *show,
            "-H", "Transfer-Encoding: chunked", "--data-binary", f"@{body}", base + "/splice", "--next", *show, "-I", base + "/", "--next", *show, "-0",
            "--data-binary", "hello", base + "/echo")
        check(out == f"200 13\n200 {3 << 20}\n200 {3 << 20}\n200 0\n200 5\n", out)


class _Exits(work.Handler):
    """Of what is posted to it: answers, or not, then ends by wasi:cli/exit."""

    def __init__(self, answers, code):
        super().__init__(work.Wit())
        self._need(self._func("wasi:cli/exit", "exit"))
        self._import()
        self.made = self._component((self._answer().removesuffix(RETURN) if answers else b"") + const(code) + self.c.call("exit") + UNREACHABLE)


def an_exit_behind_the_answer_is_a_success_W19():
    for answers, code, status, outcome in ((True, 0, 200, "ok"), (False, 0, 500, "no response"), (False, 1, 500, "exit")):
        with tempfile.TemporaryDirectory() as d:
            guest = Path(d) / "guest.wasm"
            guest.write_bytes(_Exits(answers, code).made)
            with Server(guest) as s:
                a = s.post("/")
                check((a.status, a.aborted) == (status, False), f"{answers}, {code}: {a.status} {a.error}")
                check(s.receipt("/")["outcome"] == outcome, f"{answers}, {code}: {s.receipt('/')}")
                check(s.get("/").status == 200, "the next one")

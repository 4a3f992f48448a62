"""The access log: a line for each request, whatever became of it; nothing that a client sends breaks a line, and nothing about the file stops serving."""
import json, os, re, signal, socket, time

from front import Folder, Front, ask, connect, refused
from harness import HELLO, MISBEHAVE, Connection, check
import h2_client

COMBINED = re.compile(rb'(\S+) - - \[(\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d \+0000)\] "([^"]*)" (\d{3}) (\d+) "([^"]*)" "([^"]*)" "([^"]*)" (\d+) (\d+\.\d{6}) '
    rb'(\d+\.\d{6}) (\d+\.\d{6}) "([^"]*)" (\d+)\n')
NAMES = ("client", "time", "request", "status", "bytes_out", "referer", "agent", "host", "bytes_in", "head", "wall", "cpu", "request_id", "id")


def _lines(path, n, seconds=10):
    """The first n whole lines, once they are there."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
        if len(lines) >= n and lines[n - 1].endswith(b"\n"):
            return lines
        time.sleep(0.02)
    raise AssertionError(f"{len(lines)} lines of {n}: {lines}")


def _entry(line):
    m = COMBINED.fullmatch(line)
    check(m, f"not of the form: {line}")
    return dict(zip(NAMES, (g.decode() for g in m.groups())))


def _raw(at, data):
    with connect(at) as s:
        s.sendall(data)
        out = b""
        try:
            while piece := s.recv(65536):
                out += piece
        except OSError:
            pass
        return out


def a_line_has_what_became_of_a_request():
    with Folder() as d, Front(MISBEHAVE, "--addr", "127.0.0.1:0", "--access-log", d / "log", "--deadline", "300ms", "--cpu", "10s") as s:
        at = s.at[0]
        ask(at, "/echo", "POST", body_hex=b"0123456789".hex(), headers=[["Referer", "http://a/b"], ["User-Agent", "me/1"], ["X-Request-Id", "r-1"]])
        ask(at, "/trap")
        ask(at, "/sleep")
        ask(at, "/delay", "HEAD")
        _raw(at, b"nonsense\r\n\r\n")
        c = connect(at)
        c.sendall(b"GET /sleep HTTP/1.1\r\nHost: gone\r\n\r\n")
        time.sleep(0.1)
        c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        c.close()
        e = [_entry(line) for line in _lines(d / "log", 6)]
        check(e[0]["client"] == "127.0.0.1" and e[0]["request"] == "POST /echo HTTP/1.1" and e[0]["status"] == "200", f"{e[0]}")
        check((e[0]["bytes_in"], e[0]["bytes_out"], e[0]["referer"], e[0]["agent"], e[0]["request_id"]) == ("10", "10", "http://a/b", "me/1", "r-1"), f"{e[0]}")
        check(e[0]["host"] == "localhost" and 0 < float(e[0]["head"]) <= float(e[0]["wall"]) and int(e[0]["id"]) > 0, f"{e[0]}")
        check(e[1]["status"] == "500" and int(e[1]["bytes_out"]) > 0 and float(e[1]["head"]) == 0, f"{e[1]}")
        check(e[2]["status"] == "504" and float(e[2]["wall"]) >= 0.29 and float(e[2]["cpu"]) < 0.2, f"{e[2]}")
        check(e[3]["status"] in ("200", "504") and e[3]["bytes_out"] == "0", f"{e[3]}")
        check((e[4]["request"], e[4]["status"], e[4]["host"], e[4]["id"]) == ("-", "400", "-", "0"), f"{e[4]}")
        check(e[5]["request"].startswith("GET /sleep") and e[5]["status"] == "499", f"{e[5]}")


def as_json_it_is_an_object():
    with Folder() as d, Front(MISBEHAVE, "--addr", f"unix:{d}/s", "--access-log", d / "log", json=True) as s:
        ask(s.at[0], "/echo", "POST", body_hex=b"abc".hex(), headers=[["User-Agent", 'a"b\\c'], ["traceparent", "00-" + "a" * 32 + "-" + "b" * 16 + "-01"]])
        _raw(s.at[0], b"\0\r\n\r\n")
        one, two = [json.loads(line) for line in _lines(d / "log", 2)]
        check((one["client"], one["host"], one["scheme"], one["method"], one["path"], one["protocol"]) == ("unix", "localhost", "http", "POST", "/echo", "HTTP/1.1"), f"{one}")
        check((one["status"], one["bytes_in"], one["bytes_out"], one["user_agent"]) == (200, 3, 3, 'a"b\\c'), f"{one}")
        check(one["head_us"] <= one["wall_us"] and one["cpu_us"] >= 0 and one["id"] > 0 and one["traceparent"][:5] == "00-aa" and abs(one["time"] - time.time()) < 60, f"{one}")
        check((two["client"], two["status"]) == ("unix", 400) and "method" not in two, f"{two}")


def calls_that_found_no_place_have_their_line():
    with Folder() as d, Front(MISBEHAVE, "--addr", "127.0.0.1:0", "--access-log", d / "log", "--calls", "1", "--queue", "1", "--queue-timeout", "100ms") as s:
        held = [connect(s.at[0]) for _ in range(4)]
        for c in held:
            c.sendall(b"GET /delay HTTP/1.1\r\nHost: a\r\n\r\n")
        e = [_entry(line) for line in _lines(d / "log", 4)]
        check(sorted(x["status"] for x in e) == ["200", "503", "503", "503"] and all(int(x["bytes_out"]) > 0 for x in e), f"{e}")
        for c in held:
            c.close()


def hostile_bytes_stay_within_their_quotes_and_long_ones_are_cut():
    with Folder() as d, Front(HELLO, "--addr", "127.0.0.1:0", "--access-log", d / "log") as s:
        agent = b'"\\ \x80\xff\t evil'
        _raw(s.at[0], b"GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\nUser-Agent: " + agent + b"\r\nReferer: " + b"r" * 9000 + b"\r\n\r\n")
        _raw(s.at[0], b"GET /" + b"p" * 20000 + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Request-Id: \"quoted\"\r\n\r\n")
        one, two = [_entry(line) for line in _lines(d / "log", 2)]
        check(one["agent"] == r"\x22\x5c \x80\xff\x09 evil" and one["referer"].endswith("r..."), f"{one}")
        check(len(one["referer"]) < 600 and len(two["request"]) < 2200 and "..." in two["request"] and two["request_id"] == r"\x22quoted\x22", f"{two}")
    with Folder() as d, Front(HELLO, "--addr", "127.0.0.1:0", "--access-log", d / "log", json=True) as s:
        _raw(s.at[0], b"GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\nUser-Agent: " + agent + b"\r\n\r\n")
        check(json.loads(_lines(d / "log", 1)[0])["user_agent"] == '"\\ \ufffd\ufffd\t evil', "not as it was")


def sighup_opens_the_file_again_and_no_line_is_lost():
    with Folder() as d, Front(HELLO, "--addr", "127.0.0.1:0", "--access-log", d / "log", shards=2) as s:
        ask(s.at[0], "/1")
        _lines(d / "log", 1)
        os.rename(d / "log", d / "log.1")
        ask(s.at[0], "/2")
        _lines(d / "log.1", 2)
        s.process.send_signal(signal.SIGHUP)
        for _ in range(500):
            if (d / "log").exists():
                break
            time.sleep(0.02)
        ask(s.at[0], "/3")
        check(b"/3" in _lines(d / "log", 1)[0] and len((d / "log.1").read_bytes().splitlines()) == 2, "in the wrong file")
        check((d / "log").stat().st_mode & 0o137 == 0, "others may read or write it")
        os.rename(d / "log", d / "log.2")
        (d / "log").mkdir()  # can't be opened: it stays where it was
        s.process.send_signal(signal.SIGHUP)
        for _ in range(500):
            if "stays where it was" in s.log():
                break
            time.sleep(0.02)
        ask(s.at[0], "/4")
        check(b"/4" in _lines(d / "log.2", 2)[1], "lost")


def on_stdout_it_stands_behind_the_ready_line():
    with Front(HELLO, "--addr", "127.0.0.1:0", "--access-log", "-") as s:
        ask(s.at[0], "/")
        check(_entry(s.process.stdout.readline())["request"] == "GET / HTTP/1.1", "not there")


def a_request_by_http2_is_told_as_one():
    with Front(HELLO, "--addr", "127.0.0.1:0", "--access-log", "-") as s:
        with h2_client.Connection(s.at[0]) as c:
            check(c.request({"method": "GET", "path": "/"}).status == 200, "no answer")
        check(_entry(s.process.stdout.readline())["request"] == "GET / HTTP/2.0", "told otherwise")


def a_full_disk_or_a_reader_that_does_not_read_stops_nobody_and_is_said():
    for flag in ("/dev/full", "-"):
        began = time.monotonic()
        with Front(HELLO, "--addr", "127.0.0.1:0", "--access-log", flag) as s:
            with Connection(s.at[0]) as c:
                for _ in range(1100):  # more than the buffers hold, where nobody reads
                    check(c.get("/" + "a" * 1900).status == 404, "no answer")
            wanted = "of the access log were lost" if flag != "-" else "for stdout were lost"
            for _ in range(150):
                ask(s.at[0], "/")
                if wanted in s.log():
                    break
                time.sleep(0.02)
            check(wanted in s.log(), f"{flag}: {s.log()[-300:]}")
            check(len(s.lines) < 5 + time.monotonic() - began, f"said {len(s.lines)} times")


def a_file_that_can_not_be_opened_is_no_start():
    with Folder() as d:
        os.mkfifo(d / "fifo")
        for name in ("no/folder", ".", "fifo"):
            status, text = refused(HELLO, "--addr", "127.0.0.1:0", "--access-log", d / name)
            check(status == 5 and "access log" in text, f"{name}: {status} {text}")

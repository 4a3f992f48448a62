"""What a server is to the machine: its log, its signals, its descriptors, its addresses."""
import json, os, re, signal, socket, subprocess, tempfile, time
from pathlib import Path

import component
from harness import HELLO, MISBEHAVE, SHARED, Many, Server, Skip, check, config, exchange


def _made(handle):
    """A file with a component whose handler is that."""
    f = tempfile.NamedTemporaryFile(suffix=".wasm")
    f.write(component.handler(handle=handle))
    f.flush()
    return f


TRAPS = _made(b"\x00")
SLEEPS = _made(component.sleep(3_000_000_000))


def _start(*flags, stderr, file=TRAPS.name, **more):
    """A server whose stderr is the test's own business; (process, address)."""
    p = subprocess.Popen([str(config.tenon), "serve", str(file), "--addr", "127.0.0.1:0", "--shards", "1", *flags], stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=stderr, start_new_session=True, **more)
    m = re.fullmatch(r"ready http://([\d.]+):(\d+)\n", p.stdout.readline().decode())
    check(m, "no ready line")
    return p, (m.group(1), int(m.group(2)))


def _end(p):
    p.terminate()
    try:
        return p.wait(10)
    except subprocess.TimeoutExpired:
        return None
    finally:
        p.kill()
        p.wait()


def _goes_on(addr, lines=60, length=20000):
    for n in range(lines):
        a = exchange(addr, {"method": "GET", "path": "/trap?" + "a" * length}, 10)
        check(a.status == 500, f"request {n}: {a.status} {a.error}")


# ---- the log ----------------------------------------------------------------------------------------------------------------------------

def a_log_that_nobody_reads_holds_nobody_up_and_what_is_lost_is_said():
    reader, writer = os.pipe()
    p, addr = _start(stderr=writer)
    os.close(writer)
    try:
        _goes_on(addr, lines=2600, length=4000)  # 1.1 KiB each: more than the buffers hold
        text = b""
        os.set_blocking(reader, False)
        for _ in range(200):  # read again, it says what was lost
            try:
                text += os.read(reader, 1 << 20)
            except BlockingIOError:
                time.sleep(0.02)
            if b"lines of the log were lost" in text:
                break
        check(re.search(rb'"message":"\d+ lines of the log were lost"', text), "not said")
        check(exchange(addr, {"method": "GET", "path": "/trap"}, 10).status == 500, "no answer any more")
    finally:
        status = _end(p)
        os.close(reader)
    check(status == 0, f"ended with {status}")


def an_end_is_not_held_up_by_a_log_that_nobody_reads():
    reader, writer = os.pipe()
    p, addr = _start(stderr=writer)
    os.close(writer)
    try:
        _goes_on(addr, lines=100, length=2000)
    finally:
        status = _end(p)
        os.close(reader)
    check(status == 0, f"ended with {status}")


def a_log_without_a_reader_or_room_is_no_reason_to_stop():
    reader, writer = os.pipe()
    os.close(reader)
    full = os.open("/dev/full", os.O_WRONLY)
    for fd in (writer, full):
        p, addr = _start(stderr=fd)
        try:
            _goes_on(addr, lines=20)
        finally:
            status = _end(p)
            os.close(fd)
        check(status == 0, f"ended with {status}")


def a_terminal_that_is_stopped_holds_nobody_up():
    master, slave = os.openpty()
    p, addr = _start(stderr=slave)
    try:
        os.write(master, b"\x13")  # Ctrl-S
        time.sleep(0.1)
        _goes_on(addr, lines=200, length=180)
    finally:
        os.write(master, b"\x11")
        status = _end(p)
        os.close(master)
        os.close(slave)
    check(status == 0, f"ended with {status}")


def a_line_is_cut_where_a_client_would_make_it_long():
    with Server(TRAPS.name) as s:
        s.get("/trap?" + "a" * 40000)
        for _ in range(100):
            if s.lines:
                break
            time.sleep(0.02)
        line = s.lines[0]
        check(len(line) < 8192 and json.loads(line)["request"]["path"].endswith("a…"), f"{len(line)}: {line[:100]} … {line[-100:]}")


def a_client_that_goes_away_is_one_line_with_499():
    with Server(SLEEPS.name) as s:
        c = s.connect()
        c.ask("/sleep?gone")
        time.sleep(0.2)
        c.reset()
        r = s.receipt("/sleep?gone")
        check(r["status"] == 499 and r["outcome"] == "client gone" and r["level"] == "info", f"{r}")
        check("trap" not in r and "backtrace" not in r, f"{r}")


def a_client_that_goes_away_while_it_waits_is_one_line_with_499():
    with Server(MISBEHAVE, "--calls", "1", "--queue-timeout", "10s") as s:
        held = Many([lambda: s.get("/delay")])
        time.sleep(0.05)
        c = s.connect()
        c.ask("/?gone")
        time.sleep(0.05)
        c.reset()
        held.join()
        r = s.receipt("/?gone")
        check(r["status"] in (499, 200), f"{r}")  # 200: it had begun by then


def a_head_that_is_refused_is_one_line():
    with Server(HELLO) as s, s.connect() as c:
        c.send("GET / HTTP/1.1\r\nbad field\r\n\r\n")
        check(c.answer().status == 400, "not refused")
        for _ in range(100):
            if found := [o["refused"] for o in s.objects() if "refused" in o]:
                break
            time.sleep(0.02)
        check(len(found) == 1 and found[0]["status"] == 400 and found[0]["client"].startswith("127.0.0.1:") and found[0]["why"], f"{found}")


def an_error_code_given_as_the_answer_is_one_line_with_it():
    quirk = SHARED / "faults/quirk.wasm"
    if not quirk.exists():
        raise Skip("../shared is not there")
    with Server(quirk) as s:
        a = s.get("/?set=error")
        r = s.receipt("/?set=error")
        check(r["status"] == a.status and r["error"] and r["client"], f"{a.status} {r}") if "client" in r else check(r["error"] and r["request"]["client"], f"{r}")


def a_request_has_one_id_in_the_process():
    with Server(MISBEHAVE, log="debug", shards=2) as s:
        for n in range(20):
            s.get("/?n")
        s.receipt("/?n", 20)
        ids = [r["receipt"]["id"] for r in s.receipts("/?n")]
        check(len(set(ids)) == 20, f"{ids}")


def ids_of_proxies_are_taken_over():
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    with Server(MISBEHAVE, log="debug") as s:
        s.get("/print", headers=[["x-request-id", "abc-123"], ["traceparent", trace]])
        r = s.receipt("/print")
        check(r["request_id"] == "abc-123" and r["traceparent"] == trace, f"{r}")
        lines = [o for o in s.objects() if "guest" in o]
        check(lines and all(o["request"] == r["id"] and o["request_id"] == "abc-123" and o["traceparent"] == trace for o in lines), f"{lines[:2]}")
        s.get("/?bad", headers=[["x-request-id", "a b"], ["traceparent", trace.upper()]])
        r = s.receipt("/?bad")
        check("request_id" not in r and "traceparent" not in r, f"{r}")


# ---- signals ----------------------------------------------------------------------------------------------------------------------------

def what_is_reserved_is_no_memory_U20():
    with Server(HELLO) as s:
        s.get("/")
        kib = {k: int(v.split()[0]) for k, v in (line.split(":") for line in Path(f"/proc/{s.process.pid}/status").read_text().splitlines()) if k in ("VmSize", "VmData", "VmRSS")}
    check(kib["VmSize"] > 6 << 20, f"no cells: {kib}")
    check(kib["VmData"] < 256 << 10 and kib["VmRSS"] < 64 << 10, kib)  # what may be written to, what is there


def signals_that_mean_nothing_to_a_server_do_not_end_it():
    with Server(MISBEHAVE, shards=2) as s:
        flying = Many([lambda: s.get("/delay") for _ in range(10)])
        time.sleep(0.05)
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGPIPE, signal.SIGPROF, signal.SIGVTALRM, signal.SIGIO, signal.SIGXFSZ, signal.SIGQUIT):
            s.process.send_signal(number)
            time.sleep(0.02)
        check(all(a.status == 200 for a in flying.join()), "a request was lost")
        check(s.get("/").status == 200, "no answer any more")
        check(s.logged("SIGHUP"), "SIGHUP is not told of")


def sigquit_tells_what_each_shard_does():
    with Server(MISBEHAVE, "--deadline", "3s", shards=2) as s:
        flying = Many([lambda: s.get("/sleep")])
        time.sleep(0.2)
        s.process.send_signal(signal.SIGQUIT)
        for _ in range(100):
            if s.log_text().count("state of shard") == 2:
                break
            time.sleep(0.02)
        check("state of shard 0" in s.log_text() and "state of shard 1" in s.log_text(), s.log_text())
        check(re.search(r"running on shard \d: #\d+ /sleep for \d+ ms, waits", s.log_text()), s.log_text())
        flying.join()


def a_request_that_outlives_the_time_to_drain_gets_503_and_a_close():
    s = Server(MISBEHAVE, "--drain", "300ms")
    flying = Many([lambda: s.get("/sleep")])
    time.sleep(0.2)
    check(s.stop() == 0, "it ended badly")
    a = flying.join()[0]
    check(a.status == 503 and a.values("connection") == ["close"], f"{a.status} {a.headers} {a.error}")


# ---- descriptors, places, addresses -----------------------------------------------------------------------------------------------------

def a_standard_stream_that_is_closed_at_the_start_is_dev_null():
    p, addr = _start(stderr=subprocess.DEVNULL, file=HELLO, preexec_fn=lambda: (os.close(0), os.close(2)))
    try:
        check(exchange(addr, {"method": "GET", "path": "/"}, 10).status == 200, "no answer")
        for fd in (0, 2):
            check(os.readlink(f"/proc/{p.pid}/fd/{fd}") == "/dev/null", f"{fd} is {os.readlink(f'/proc/{p.pid}/fd/{fd}')}")
    finally:
        check(_end(p) == 0, "it ended badly")


def the_limit_of_calls_is_the_process_s_whatever_the_shards():
    with Server(MISBEHAVE, "--calls", "40", "--queue", "1", shards=2) as s:
        for _ in range(3):
            statuses = [a.status for a in Many([lambda: s.get("/delay") for _ in range(40)]).join()]
            check(statuses == [200] * 40, f"{statuses}")


def so_is_the_limit_of_those_that_wait():
    with Server(MISBEHAVE, "--calls", "5", "--queue", "5", "--queue-timeout", "20s", "--deadline", "10s", shards=2) as s:
        held = Many([lambda: s.get("/sleep", timeout=30) for _ in range(5)])
        time.sleep(0.5)
        statuses = [a.status for a in Many([lambda: s.get("/", timeout=30) for _ in range(12)]).join()]
        check(statuses.count(503) == 7 and statuses.count(200) == 5, f"{statuses}")
        held.join()


def who_waits_gets_the_place_that_another_shard_gives_back():
    with Server(MISBEHAVE, "--calls", "1", "--queue-timeout", "20s", shards=2) as s:
        check(all(a.status == 200 for a in Many([lambda: s.get("/delay", timeout=40) for _ in range(12)]).join()), "somebody did not get one")


def _serves(addr, family, host):
    p = subprocess.Popen([str(config.tenon), "serve", str(HELLO), "--addr", addr, "--shards", "2"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE)
    try:
        line = p.stdout.readline().decode()
        port = int(line.strip().rsplit(":", 1)[1])
        with socket.socket(family) as c:
            c.settimeout(10)
            c.connect((host, port))
            c.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            return c.recv(100).startswith(b"HTTP/1.1 200")
    finally:
        check(_end(p) == 0, "it ended badly")


def a_port_alone_is_all_addresses_of_both_families():
    check(_serves(":0", socket.AF_INET, "127.0.0.1"), "not by IPv4")
    if not Path("/proc/net/if_inet6").exists():
        raise Skip("no IPv6 here")
    for addr in (":0", "[::]:0"):
        check(_serves(addr, socket.AF_INET6, "::1") and _serves(addr, socket.AF_INET, "127.0.0.1"), addr)
    check(_serves("[::1]:0", socket.AF_INET6, "::1"), "[::1]")


def _hint(*argv, **more):
    r = subprocess.run([str(config.tenon), "serve", str(HELLO), *argv], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20, **more)
    check(r.returncode == 5 and "hint: " in r.stderr, f"{r.returncode} {r.stderr!r}")
    return r.stderr.split("hint: ")[1]


def a_port_that_can_not_be_had_is_hinted_at_for_its_reason():
    check("none of this machine's" in _hint("--addr", "192.0.2.1:0"), "another machine's address")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        check("another program listens" in _hint("--addr", f"127.0.0.1:{taken.getsockname()[1]}"), "a taken port")
    if os.geteuid() != 0 or int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()) < 81:
        return
    try:
        text = _hint("--addr", "127.0.0.1:80", user=65534, extra_groups=[], env={})
    except (PermissionError, FileNotFoundError) as e:
        raise Skip(f"nobody can't run it: {e}")
    check("CAP_NET_BIND_SERVICE" in text, text)


def without_proc_it_runs_and_says_what_is_missing():
    if os.geteuid() != 0:
        raise Skip("only root can hide /proc")
    hide = "mount --make-rprivate / && mount -t tmpfs none /proc && exec \"$@\""
    if subprocess.run(["unshare", "-m", "sh", "-c", hide, "sh", "true"], capture_output=True).returncode:
        raise Skip("no mount namespaces here")
    p = subprocess.Popen(["unshare", "-m", "sh", "-c", hide, "sh", str(config.tenon), "serve", str(MISBEHAVE), "--addr", "127.0.0.1:0", "--shards", "2"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        line = p.stdout.readline().decode()
        check(line.startswith("ready"), f"{line!r} {p.stderr.read().decode() if not line else ''}")
        addr = ("127.0.0.1", int(line.strip().rsplit(":", 1)[1]))
        for path, status in (("/", 200), ("/recurse", 500), ("/mark", 200), ("/check", 200)):
            a = exchange(addr, {"method": "GET", "path": path}, 10)
            check(a.status == status, f"{path}: {a.status}")
        p.terminate()
        log = p.communicate(timeout=10)[1].decode()
        check(p.returncode == 0, f"ended with {p.returncode}: {log}")
        check("/proc/self/pagemap" in log and "/proc/self/statm" in log, log)
    finally:
        p.kill()


def a_cache_folder_that_can_not_be_used_is_one_warning_with_its_path():
    env = {**os.environ, "TENON_CACHE": "/dev/null/cache"}
    p, addr = _start(stderr=subprocess.PIPE, file=HELLO, env=env)
    check(exchange(addr, {"method": "GET", "path": "/"}, 10).status == 200, "no answer")
    p.terminate()
    lines = [json.loads(line) for line in p.communicate(timeout=10)[1].decode().splitlines()]
    told = [o for o in lines if "/dev/null/cache" in o.get("message", "")]
    check(len(told) == 1 and told[0]["level"] == "warn", f"{lines}")


def a_server_that_has_no_instance_for_its_first_request_does_not_start():
    import resource
    if not config.release:
        raise Skip("a sanitizer takes the address space for itself")
    # Enough for the program, not for an instance beside what is left to all else; the second start has its image from the cache.
    for _ in range(2):
        r = subprocess.run([str(config.tenon), "serve", str(HELLO), "--addr", "127.0.0.1:0", "--shards", "1"], stdin=subprocess.DEVNULL, capture_output=True,
            text=True, timeout=20, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (80 << 20, 80 << 20)))
        check(r.returncode in (3, 5) and r.stdout == "" and r.stderr.startswith("error: "), f"{r.returncode} {r.stdout!r} {r.stderr!r}")


def a_server_with_little_address_space_checks_memories_by_code_and_answers():
    import resource
    if not config.release:
        raise Skip("a sanitizer takes the address space for itself")
    for limit in (400 << 20, 5 << 30):
        with Server(HELLO, "--shards", "1", limits=[(resource.RLIMIT_AS, limit)]) as s:
            check(all(s.get("/").status == 200 for _ in range(20)), f"no answer with {limit} bytes of address space")

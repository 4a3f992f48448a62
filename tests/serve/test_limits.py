"""Every flag of src/platform/app/limits.def, end to end: below it all is well, beyond it the caller gets what the table in docs/serve.md says."""
import resource, re, ssl, time

from harness import FILES, HELLO, MISBEHAVE, TOP, Many, Server, by_hand, check, exchange


def _took(fn):
    began = time.monotonic()
    result = fn()
    return result, time.monotonic() - began


def every_limit_has_a_test_here():
    flags = re.findall(r'^SERVE_LIMIT\(\w+, \w+, "([\w-]+)"', (TOP / "src/platform/app/limits.def").read_text(), re.M)
    here = "".join(f.read_text() for f in (TOP / "tests/serve").glob("test_*.py"))
    files = (TOP / "tests/cli/dir.test").read_text()
    missing = [f for f in flags if f'"--{f}"' not in here and f" --{f} " not in files]
    check(len(flags) > 15 and not missing, f"without a test: {missing}")


# ---- a call -----------------------------------------------------------------------------------------------------------------------------

def cpu_ends_a_guest_that_computes_and_not_one_that_waits():
    with Server(MISBEHAVE, "--cpu", "100ms") as s:
        a, took = _took(lambda: s.get("/spin"))
        check(a.status == 503 and a.values("retry-after") == ["1"], f"{a.status} {a.headers}")
        check(0.09 < took < 4, f"took {took:.2f} s")
        r = s.receipt("/spin")
        check(r["outcome"] == "cpu budget spent" and r["status"] == 503 and 100000 <= r["cpu_us"] < 200000, f"{r}")
        check(s.get("/delay").status == 200, "waiting was charged")


def deadline_ends_a_guest_that_waits_and_one_that_computes():
    with Server(MISBEHAVE, "--deadline", "300ms", "--cpu", "none") as s:
        for n, path in enumerate(("/sleep", "/spin")):
            a, took = _took(lambda: s.get(path))
            check(a.status == 504, f"{path}: {a.status}")
            check(0.28 < took < 4, f"{path} took {took:.2f} s")
            check(s.receipt(path)["outcome"] == "deadline exceeded", f"{s.receipts(path)}")
        check(s.receipt("/sleep")["cpu_us"] < 50000, "sleeping was charged")


def deadline_is_to_the_head_and_does_not_cut_a_long_answer():
    with Server(MISBEHAVE, "--deadline", "300ms") as s, s.connect(rcvbuf=16384) as c:
        c.ask("/flood")
        time.sleep(0.8)
        a = c.answer()
        check(a.status == 200 and len(a.body) == 64 << 20 and not a.aborted, f"{a.status} {len(a.body)} {a.error}")


def linger_bounds_what_follows_an_answer():
    with Server(MISBEHAVE, "--linger", "400ms") as s, s.connect() as c:
        a, took = _took(lambda: c.get("/late"))
        check(a.status == 200 and a.body == b"answered\n" and took < 1.5, f"{a.status} after {took:.2f} s")
        r = s.receipt("/late")
        check(r["outcome"] == "linger over" and 390000 < r["wall_us"] < 4000000, f"{r}")
        check(c.get("/").status == 200, "the connection is lost")


def memory_bounds_what_a_guest_grows_to():
    found = {}
    for limit in ("4MiB", "20MiB", None):
        with Server(MISBEHAVE, *(["--memory", limit] if limit else [])) as s:
            found[limit] = int(s.get("/memory").body.split()[0])
            check(s.get("/check").body == b"clean\n", "traces")
    check(3 << 10 < found["4MiB"] <= 4 << 10, f"{found} KiB")
    check(19 << 10 < found["20MiB"] <= 20 << 10, f"{found} KiB")
    check(255 << 10 < found[None] <= 256 << 10, f"{found} KiB")


def a_guest_that_grows_for_ever_stays_within_memory():
    with Server(MISBEHAVE, "--memory", "16MiB", "--cpu", "200ms") as s:
        a = s.get("/grow")
        r = s.receipt("/grow")
        check(a.status == 503 and r["outcome"] == "cpu budget spent", f"{a.status} {r}")
        check(8 << 20 < r["peak_memory"] <= 16 << 20, f"{r['peak_memory']} bytes")


def process_memory_ends_the_calls_that_use_most_and_refuses_others():
    with Server(MISBEHAVE, "--process-memory", "64MiB", "--queue-timeout", "300ms", "--cpu", "none", "--deadline", "60s", "--drain", "1s") as s:
        check(s.get("/").status == 200, "refused from the start")
        growing = Many([lambda: s.get("/grow", timeout=120) for _ in range(6)])  # 16 MiB each
        statuses = [s.get("/").status for _ in range(20)]
        check(set(statuses) <= {200, 503}, f"{statuses}")
        s.receipt("/grow", 1)
        check(s.status("VmHWM") <= 64 << 10, f"{s.status('VmHWM')} KiB")
        s.signal()
        growing.join(150)
        r = s.receipt("/grow")
        check(r["status"] == 503 and r["outcome"] == "ended for memory" and "--process-memory" in r["trap"], f"{r}")


def stack_bounds_recursion():
    with Server(MISBEHAVE) as s:
        a = s.get("/deep")
        check(a.status == 200 and a.body == b"4501500 is the sum\n", f"{a.status} {a.body!r}")
        check(s.get("/recurse").status == 500, "for ever")
        check("call stack exhausted" in s.receipt("/recurse")["trap"], f"{s.receipts()}")
    with Server(MISBEHAVE, "--stack", "64KiB") as s:
        check(s.get("/").status == 200, "nothing runs any more")
        a = s.get("/deep")
        check(a.status == 500 and "call stack exhausted" in s.receipt("/deep")["trap"], f"{a.status} {s.receipts()}")


def table_elements_bounds_tables():
    found = {}
    for limit in (5000, None):
        with Server(MISBEHAVE, *(["--table-elements", limit] if limit else [])) as s:
            found[limit] = int(s.get("/table").body.split()[0])
            check(s.get("/check").body == b"clean\n", "a table is not as it was")
    check(4900 < found[5000] <= 5000 and 990000 < found[None] <= 1000000, f"{found}")


def handles_bounds_resources():
    with Server(MISBEHAVE) as s:
        check(s.get("/handles").body == b"5000 handles\n", "fewer by default")
    with Server(MISBEHAVE, "--handles", "1000") as s:
        check(s.get("/handles").status == 500, "more than allowed")
        check("handles" in s.receipt("/handles")["trap"], f"{s.receipts()}")
        check(s.get("/").status == 200, "others suffer")


def call_depth_bounds_calls_between_components():
    chain = FILES / "chain.wasm"  # four components that pass a request on, then misbehave
    with Server(chain) as s:
        check(s.get("/").body == b"well-behaved\n", f"{s.log_text()}")
        a = exchange(s.addr, {"method": "POST", "path": "/echo", "body": "through", "chunked": True})
        check(a.body == b"through", f"{a.status} {a.body!r}")
    with Server(chain, "--call-depth", "3") as s:
        check(s.get("/").status == 500, "deeper than allowed")
        check("nested too deeply" in s.receipt("/")["trap"], f"{s.receipts()}")


def log_bytes_cuts_and_says_so():
    with Server(MISBEHAVE, "--log-bytes", "2KiB") as s:
        for n in range(2):
            check(s.get("/print").body == b"printed\n", "the answer suffers")
        time.sleep(0.2)
        lines = [o for o in s.objects() if "guest" in o]
        for request in {o["request"] for o in lines}:
            text = [o["guest"] for o in lines if o["request"] == request]
            length = sum(t.count("x") for t in text)
            check(1900 < length <= 2048, f"{length} bytes were logged")
            check(sum("cut" in t for t in text) == 1 and "cut" in text[-1], f"not said: {text[-1]!r}")
        check(len({o["request"] for o in lines}) == 2, "the second request logs nothing")


# ---- HTTP -------------------------------------------------------------------------------------------------------------------------------

def max_body_is_413_by_length_and_by_chunks():
    with Server(HELLO, "--max-body", "1000") as s:
        for chunked in (False, True):
            for n, want in ((1000, 200), (1001, 413), (50000, 413)):
                a = s.post("/echo", b"x" * n, chunked=chunked)
                check(a.status == want, f"{n} bytes, chunked={chunked}: {a.status} {a.error}")
        check(s.get("/").status == 200, "it does not go on")


def head_bytes_is_431():
    with Server(HELLO, "--head-bytes", "1KiB") as s:
        for n, want in ((700, 200), (1100, 431), (50000, 431)):
            a = s.get("/", headers=[["X-Long", "x" * n]])
            check(a.status == want, f"{n}: {a.status} {a.error}")
    with Server(HELLO) as s:
        check(s.get("/", headers=[["X-Long", "x" * 60000]]).status == 200, "below 64 KiB")
        by_hand()  # one longer than 64 KiB ends a connection of HTTP/2
        check(s.get("/", headers=[["X-Long", "x" * 66000]]).status == 431, "above 64 KiB")


def head_fields_is_431():
    by_hand()  # by HTTP/2 other fields are beside them
    with Server(HELLO, "--head-fields", "10") as s:
        for n, want in ((8, 200), (9, 431)):  # beside Host and TE
            a = s.get("/", headers=[[f"X-{k}", "1"] for k in range(n)])
            check(a.status == want, f"{n + 2} fields: {a.status}")


def idle_timeout_closes_what_asks_nothing():
    with Server(HELLO, "--idle-timeout", "400ms") as s, s.connect() as fresh, s.connect() as used:
        check(used.get("/").status == 200, "no answer")
        for c in (fresh, used):
            check(c.ends_within(2) is not None, "it stays open")
        with s.connect() as busy:
            for _ in range(5):
                time.sleep(0.2)
                check(busy.get("/").status == 200, "closed between requests")


def idle_timeout_does_not_hit_a_request_in_flight():
    with Server(MISBEHAVE, "--idle-timeout", "100ms") as s, s.connect() as c:
        check(c.get("/delay").status == 200, "closed while it was answered")


def head_timeout_is_408():
    with Server(HELLO, "--head-timeout", "400ms") as s, s.connect() as c:
        c.send("GET / HTTP/1.1\r\nHost")
        a, took = _took(c.answer)
        check(a.status == 408 and 0.35 < took < 4, f"{a.status} after {took:.2f} s")
        check(c.ends_within(3) is not None, "the connection stays open")
    with Server(HELLO, "--head-timeout", "400ms") as s, s.connect() as c:
        began = time.monotonic()
        try:
            for byte in "GET / HTTP/1.1\r\nHost: drip-drip-drip-drip-drip\r\n":  # a drop now and then is no head
                c.send(byte)
                time.sleep(0.05)
        except OSError:
            pass
        check(time.monotonic() - began < 2.4 or c.answer().status == 408, "a head may come in drops")


def body_timeout_is_408_without_progress():
    with Server(HELLO, "--body-timeout", "400ms") as s, s.connect() as c:
        c.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345")
        a, took = _took(c.answer)
        check(a.status == 408 and 0.35 < took < 4, f"{a.status} after {took:.2f} s")
    with Server(HELLO, "--body-timeout", "400ms") as s, s.connect() as c:
        c.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\n")
        for byte in "123456":
            time.sleep(0.15)
            c.send(byte)
        check(c.answer().body == b"123456", "a slow body was cut")


def body_timeout_after_the_head_of_the_answer_cuts_it():
    with Server(MISBEHAVE, "--body-timeout", "300ms") as s, s.connect() as c:
        c.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345")
        a = c.answer()
        check(a.aborted and a.body in (b"", b"12345"), f"{a.status} {a.body!r}, whole: {not a.aborted}")


def write_timeout_cuts_who_reads_nothing():
    with Server(MISBEHAVE, "--write-timeout", "500ms") as s, s.connect(rcvbuf=16384) as c:
        c.ask("/flood")
        r = s.receipt("/flood")
        check(r["outcome"] == "client gone" and 450000 < r["wall_us"] < 6000000, f"{r}")
        a = c.answer()
        check(a.aborted and len(a.body) < 64 << 20, f"{len(a.body)} bytes")


def body_total_is_408():
    with Server(HELLO, "--body-total", "400ms") as s, s.connect() as c:
        c.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
        began = time.monotonic()
        try:
            while time.monotonic() - began < 1.5:  # quick enough, and always something
                c.send("x" * 100)
                time.sleep(0.02)
        except OSError:
            pass
        check(c.answer().status == 408, "it may take as long as it likes")


def min_rate_ends_who_sends_or_takes_in_drops():
    with Server(MISBEHAVE, "--min-rate", "400", "--calls", "6", log="debug") as s:
        held = [s.connect(rcvbuf=4096) for _ in range(6)]
        for k, c in enumerate(held):
            if k < 3:
                c.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
            else:
                c.ask("/flood")
        for _ in range(60):
            for k, c in enumerate(held[:3]):
                try:
                    c.send("x")
                except OSError:
                    pass
            time.sleep(0.5)
            if len(s.receipts("/echo")) + len(s.receipts("/flood")) == 6:
                break
        check(s.get("/").status == 200, "they hold all places")
        for path, outcome in (("/echo", "client gone"), ("/flood", "client gone")):
            for r in s.receipts(path):
                check(r["receipt"]["outcome"] == outcome and 9e6 < r["receipt"]["wall_us"] < 28e6, f"{r}")
        for c in held:
            c.close()


def connections_beyond_the_limit_close_the_longest_idle():
    for shards in (1, 2):
        with Server(HELLO, "--connections", "3", shards=shards) as s:
            held = []
            for n in range(9):
                held.append(s.connect(timeout=10))
                check(held[-1].get("/").status == 200, f"connection {n} is not served")
            check(sum(c.ends_within(0.3) is None for c in held) <= 3, "more are open")
            for c in held:
                c.close()
            check(s.logged("--connections") == 1, f"said once: {s.log_text()}")


def connections_per_client_turns_away():
    for shards in (1, 2):
        with Server(HELLO, "--connections-per-client", "2", shards=shards) as s:
            with s.connect() as a, s.connect() as b:
                check(a.get("/").status == 200 and b.get("/").status == 200, "fewer than allowed")
                for _ in range(5):
                    try:
                        with s.connect(timeout=5) as c:
                            check(c.ends_within(5) is not None, "one more than allowed")
                    except (ConnectionError, ssl.SSLEOFError):
                        pass  # within the handshake
                check(a.get("/").status == 200, "others suffer")
            for _ in range(100):  # as soon as the server has seen that they are gone
                a = s.get("/")
                if a.status == 200:
                    break
                time.sleep(0.05)
            check(a.status == 200, "its places are not free again")
            check(s.logged("--connections-per-client") == 1, f"said once: {s.log_text()}")


def as_many_connections_as_descriptors_allow():
    with Server(HELLO, limits=[(resource.RLIMIT_NOFILE, (100, 300))]) as s:
        held = []
        for n in range(400):
            c = s.connect(timeout=10)
            held.append(c)
            if n % 40 == 0 or n > 380:
                check(c.get("/").status == 200, f"connection {n} is not served")
        check(s.get("/").status == 200 and held[-1].get("/").status == 200, "new ones hang")
        for c in held:
            c.close()
        check(s.logged("are open") == 1, f"said once: {s.log_text()}")


# ---- places -----------------------------------------------------------------------------------------------------------------------------

def calls_and_queue_timeout_refuse_with_retry_after():
    with Server(MISBEHAVE, "--calls", "2", "--queue-timeout", "300ms", "--deadline", "2s") as s:
        sleeping = Many([lambda: s.get("/sleep") for _ in range(2)])
        time.sleep(0.2)
        a, took = _took(lambda: s.get("/"))
        check(a.status == 503 and a.values("retry-after") == ["1"], f"{a.status} {a.headers}")
        check(0.25 < took < 1.7, f"took {took:.2f} s")
        check(s.receipt("/")["outcome"] == "refused", f"{s.receipts('/')}")
        check([a.status for a in sleeping.join()] == [504, 504], "the others suffer")
        check(s.get("/").status == 200, "places are lost")


def queue_is_bounded_and_beyond_it_the_answer_is_at_once():
    with Server(MISBEHAVE, "--calls", "1", "--queue", "1", "--queue-timeout", "5s", "--deadline", "2s") as s:
        first = Many([lambda: s.get("/sleep")])
        time.sleep(0.2)
        second = Many([lambda: s.get("/")])
        time.sleep(0.2)
        a, took = _took(lambda: s.get("/"))
        check(a.status == 503 and took < 1.5, f"{a.status} after {took:.2f} s")
        check(first.join()[0].status == 504 and second.join()[0].status == 200, "the queue does not move")


def a_queue_is_served_in_order_when_places_are_free():
    with Server(MISBEHAVE, "--calls", "1", "--queue-timeout", "10s") as s:
        ended = []

        def client(k):
            time.sleep(0.03 * k)
            a = s.get("/delay")
            ended.append(k)
            return a.status
        statuses, took = _took(lambda: Many([lambda k=k: client(k) for k in range(4)]).join())
        check(statuses == [200] * 4 and ended == [0, 1, 2, 3], f"{statuses} {ended}")
        check(1.1 < took < 5, f"took {took:.2f} s: more than one at once, or idle between them")


def a_client_that_leaves_the_queue_frees_its_place():
    with Server(MISBEHAVE, "--calls", "1", "--queue", "1", "--queue-timeout", "5s") as s:
        first = Many([lambda: s.get("/delay")])
        time.sleep(0.1)
        gone = s.connect()
        gone.ask("/")
        time.sleep(0.05)
        gone.reset()
        time.sleep(0.05)
        check(s.get("/").status == 200, "its place is still taken")
        check(first.join()[0].status == 200, "the first suffers")


def none_is_no_limit_and_is_logged():
    with Server(MISBEHAVE, "--cpu", "none", "--calls", "none") as s:
        check(s.get("/").status == 200, "no answer")
        for _ in range(200):
            if "--cpu" in s.log_text() and "--calls" in s.log_text():
                return
            time.sleep(0.02)
        raise AssertionError(f"not logged: {s.log_text()!r}")

"""Many requests in one instance (--policy concurrent, docs/serve.md): by examples/many, whose path says what it does, step by step."""
import os, subprocess, tempfile, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from harness import HELLO, MANY, Many, Server, check, config, shared_guest

ROUNDS = int(os.environ.get("TENON_REQUESTS", 1280)) // 64  # of each of 64 clients
OUT = ("--net", "127.0.0.1")


def _server(*flags, shards=1, **more):
    return Server(MANY, "--policy", "concurrent", "--concurrency", "64", *flags, shards=shards, log="debug", **more)


def _of(answer, name):
    return int(answer.values(name)[0])


def _begun(s, n, path, **more):
    """So many of a path, all in their instance; what joins them."""
    s.receipt("/")
    before = len(s.receipts())
    many = Many([lambda: s.get(path, **more) for _ in range(n)])
    time.sleep(0.3)
    check(len(s.receipts()) == before, "some are over already")
    return many


def twenty_are_in_one_instance_at_once():
    with _server() as s:
        s.get("/")
        answers = Many([lambda: s.get("/wait=1000") for _ in range(20)]).join()
        check([a.status for a in answers] == [200] * 20 and max(_of(a, "x-most") for a in answers) == 20, f"{[a.values('x-most') for a in answers]}")
        check(sorted(_of(a, "x-count") for a in answers)[-1] == 21, "another instance")
        check(_of(s.get("/"), "x-count") == 22, "another instance")


def twenty_are_in_one_instance_of_each_language():
    for language in ("c", "rust"):
        guest = shared_guest(f"../guests-async/http/hello3-{language}.wasm")
        with Server(guest, "--policy", "concurrent", "--concurrency", "20") as s:
            s.get("/")
            answers = Many([lambda: s.get("/sleep/800") for _ in range(20)]).join()
            check([a.status for a in answers] == [200] * 20 and s.get("/busy").body == b"20\n", f"{language}: {s.get('/busy').body}")


def no_more_are_in_one_instance_than_it_may_have():
    with Server(MANY, "--policy", "concurrent", "--concurrency", "4") as s:
        s.get("/")
        answers = Many([lambda: s.get("/wait=700") for _ in range(12)]).join()
        check([a.status for a in answers] == [200] * 12 and max(_of(a, "x-most") for a in answers) == 4, f"{[a.values('x-most') for a in answers]}")


def who_sleeps_needs_no_stack():
    """A hundred in an instance whose memory has room for a dozen that have two: a callback's task waits without one, and so does a sleep."""
    with _server("--concurrency", "100", "--memory", "2MiB") as s:
        s.get("/")
        answers = Many([lambda: s.get("/wait=3000", timeout=60) for _ in range(100)]).join()
        most = max(_of(a, "x-most") for a in answers)
        check([a.status for a in answers] == [200] * 100 and most > 50, f"{most} at once; {[a.status for a in answers]}")


def requests_in_steady_numbers_need_no_new_instances():
    """Those that are empty are found, however many are busy: the guest lets nobody else in for the first half of each."""
    with _server() as s:
        s.get("/")
        answers, threads = [], []
        for _ in range(150):
            t = threading.Thread(target=lambda: answers.append(s.get("/hold/wait=400/let")))
            t.start()
            threads.append(t)
            time.sleep(0.03)
        for t in threads:
            t.join()
        new = sum(_of(a, "x-count") == 1 for a in answers)
        check({a.status for a in answers} == {200} and new < 75, f"{new} new instances for {len(answers)} requests")


def an_instance_that_holds_calls_back_with_nobody_in_it_is_not_used_again():
    with _server("--deadline", "20s") as s:
        check(s.get("/hold").status == 200, "it does not answer")
        a = s.get("/")
        check(a.status == 200 and _of(a, "x-count") == 1, "it waited in vain, or for another instance")


def a_guest_at_the_limit_of_its_memory_ends_as_a_trap():
    """Whatever of a call finds no room: /grow takes all but a few hundred bytes, a little less each time."""
    grow = "".join(f"/grow={n}" for n in (16, 16, 8, 8, 4, 4, 2, 2, 1, 1))
    for left in range(-2600, -100, 250):
        with _server("--memory", str(4174844 + left), "--deadline", "10s", "--linger", "500ms") as s:
            answers = [s.get(path).status for path in (grow, "/x", "/x")]
            check(set(answers) <= {200, 500, 503, 504}, f"{left}: {answers}")


def who_comes_while_one_computes_or_holds_calls_back_gets_another_instance():
    with _server("--cpu", "1s") as s:
        s.get("/")
        spins = Many([lambda: s.get("/spin")])
        time.sleep(0.3)
        check(_of(s.get("/"), "x-count") == 1, "behind one that computes")
        check(spins.join()[0].status == 503, "it spins")
    with _server() as s:
        s.get("/")
        held = Many([lambda: s.get("/hold/wait=1500/let")])
        time.sleep(0.3)
        check(_of(s.get("/"), "x-count") == 1, "it was held back")
        check(_of(held.join()[0], "x-count") == 2, "of the first")


def an_instance_is_replaced_after_its_requests_and_when_it_is_idle():
    with _server("--requests-per-instance", "3") as s:
        counts = [_of(s.get("/"), "x-count") for _ in range(7)]
        check(counts == [1, 2, 3, 1, 2, 3, 1], counts)
        answers = Many([lambda: s.get("/wait=500") for _ in range(9)]).join()  # the one that is there takes two more
        check(max(_of(a, "x-count") for a in answers) == 3, f"{[a.values('x-count') for a in answers]}")
    with _server("--idle", "200ms") as s:
        s.get("/")
        check(_of(s.get("/"), "x-count") == 2, "its state was lost between two")
        time.sleep(1.5)
        check(_of(s.get("/"), "x-count") == 1, "it is still there")


def what_can_not_be_concurrent_is_refused():
    for file, flags, code, words in ((HELLO, ("--policy", "concurrent"), 4, "async exports"), (MANY, ("--concurrency", "3"), 2, "--policy concurrent"),
            (MANY, ("--policy", "reuse", "--concurrency", "3"), 2, "--policy concurrent"), (MANY, ("--policy", "concurrent", "--concurrency", "0"), 2, "--concurrency")):
        p = subprocess.run([str(config.tenon), "serve", str(file), "--addr", "127.0.0.1:0", *flags], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        check(p.returncode == code and words in p.stderr, f"{flags}: {p.returncode} {p.stderr}")


def a_manifest_says_it_too():
    with tempfile.TemporaryDirectory() as d:
        at = Path(d) / "tenon.toml"
        at.write_text(f"""tenon = 1
[app]
name = "shop"
[component.api]
source = "{MANY}"
policy = "concurrent"
concurrency = 5
requests-per-instance = 8
instances = {{ max = 2, idle = "30s" }}
[[trigger.http]]
route = "/..."
component = "api"
""")
        with Server(d, "--queue-timeout", "20s", command="up") as s:
            s.get("/")
            answers = Many([lambda: s.get("/wait=300") for _ in range(15)]).join()
            check([a.status for a in answers] == [200] * 15, [a.status for a in answers])
            check(max(_of(a, "x-most") for a in answers) == 5 and max(_of(a, "x-count") for a in answers) <= 8, f"{[a.headers for a in answers]}")


# ---- one beside nineteen -------------------------------------------------------------------------------------------------------------------

def _outcomes(s, path, n):
    for _ in range(300):
        found = s.receipts(path)
        if len(found) >= n:
            return [r["receipt"]["outcome"] for r in found]
        time.sleep(0.02)
    raise AssertionError(f"{path}: {len(found)} receipts, not {n}")


def one_that_traps_or_spins_ends_its_nineteen_neighbours_and_nobody_else():
    for bad, status, outcome in (("/wait=300/trap", 500, "trap"), ("/wait=300/spin", 503, "cpu budget spent")):
        with _server("--cpu", "500ms") as s:
            s.get("/")
            many = _begun(s, 19, "/wait=20000")
            first = time.time()
            check(s.get(bad).status == status, bad)
            answers = many.join()
            check([a.status for a in answers] == [503] * 19 and time.time() - first < 15, f"{bad}: {[a.status for a in answers]}")
            check(_outcomes(s, "/wait=20000", 19) == ["ended by a neighbour"] * 19 and _outcomes(s, bad, 1) == [outcome], f"{bad}: {s.receipts(bad)}")
            check(s.get("/").status == 200 and _of(s.get("/"), "x-count") <= 2, "no new instance")


def one_that_never_returns_gets_its_504_and_the_others_their_answers():
    with _server("--deadline", "1s") as s:
        s.get("/")
        late = Many([lambda: s.get("/never")])
        time.sleep(0.5)
        many = Many([lambda: s.get("/wait=800") for _ in range(19)])  # before their own deadline and after that of the first
        time.sleep(0.2)
        check(late.join()[0].status == 504, "it has answered")
        check(_of(s.get("/"), "x-count") == 1, "a request came to the instance that one is late in")
        answers = many.join()
        check([a.status for a in answers] == [200] * 19 and max(_of(a, "x-count") for a in answers) == 21, f"{[(a.status, a.headers) for a in answers]}")
        check(_outcomes(s, "/never", 1) == ["deadline exceeded"], "the receipt")


def one_that_floods_a_stream_or_loses_its_client_takes_nothing_from_the_others():
    with _server() as s:
        s.get("/")
        before = s.status("VmRSS")
        with s.connect(rcvbuf=4096) as floods, s.connect() as leaves:
            floods.ask("/flood")
            time.sleep(0.5)
            leaves.ask("/say=here/wait=700/say=done")
            time.sleep(0.2)
            leaves.reset()
            answers = Many([lambda: s.get("/wait=500/say=x") for _ in range(18)]).join()
            check([a.status for a in answers] == [200] * 18 and max(_of(a, "x-most") for a in answers) == 20, f"{[(a.status, a.headers) for a in answers]}")
            check(s.status("VmRSS") - before < 32 << 10, "what is not read was kept")
            floods.reset()
        check(_outcomes(s, "/say=here/wait=700/say=done", 1) == ["client gone"], "who left")
        said = [o["guest"] for o in s.objects() if o.get("request") == s.receipt("/say=here/wait=700/say=done")["id"]]
        check(said == ["here", "done"], f"it was cancelled: {said}")
        check(_outcomes(s, "/flood", 1) and _of(s.get("/"), "x-count") == 22, "another instance")


def the_time_after_an_answer_is_its_own():
    with _server("--linger", "600ms") as s:
        s.get("/")
        check(s.get("/answer/never").status == 200, "its answer")
        many = Many([lambda: s.get("/wait=1500") for _ in range(5)])
        check(_outcomes(s, "/answer/never", 1) == ["linger over"] and [a.status for a in many.join()] == [200] * 5, "the others")


def a_drain_waits_for_all_that_are_in_an_instance():
    with _server() as s:
        s.get("/")
        many = _begun(s, 20, "/wait=1500")
        s.signal()
        check([a.status for a in many.join()] == [200] * 20, "answers")
        check(s.wait(20) == 0, "its status")
    with _server("--drain", "300ms") as s:
        s.get("/")
        many = _begun(s, 20, "/never")
        s.signal()
        check([a.status for a in many.join()] == [503] * 20, "answers")
        check(s.wait(20) == 0, "its status")


# ---- what belongs to whom --------------------------------------------------------------------------------------------------------------------

class _Upstream:
    """Answers each request after a moment, and knows who came."""

    def __enter__(self):
        self.paths = paths = []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                paths.append(self.path)
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def _wait_for_receipts(s, n):
    for _ in range(1000):
        if len(s.receipts()) >= n:
            return
        time.sleep(0.02)
    raise AssertionError(f"{len(s.receipts())} receipts, not {n}")


def every_call_line_and_account_is_that_of_its_request():
    with _Upstream() as up, _server("--concurrency", "20", *OUT, shards=2) as s:
        def client(i):
            with s.connect(timeout=60) as c:
                for k in range(ROUNDS):
                    n = f"c{i}r{k}"
                    twice = k % 3 == 0
                    path = f"/n={n}/say={n}-a/wait={(i * 7 + k) % 23}/fetch=127.0.0.1:{up.port}/say={n}-b" + (f"/wait=1/fetch=127.0.0.1:{up.port}" if twice else "") + f"/answer/say={n}-c"
                    a = c.get(path)
                    check(a.status == 200, f"{n}: {a.status} {a.error}")
        for r in Many([lambda i=i: client(i) for i in range(64)]).join(600 + ROUNDS):
            check(r is None, f"{r}")
        _wait_for_receipts(s, 64 * ROUNDS)
        receipts = {r["request"]["path"]: r["receipt"] for r in s.receipts()}
        check(len(receipts) == 64 * ROUNDS, f"{len(receipts)} requests")
        mine, calls = {}, {}
        for path, r in receipts.items():
            n = path.split("/")[1][2:]
            mine[r["id"]] = n
            calls.setdefault(path.count("fetch"), set()).add(r["host_calls"])
        check(len(calls) == 2 and all(len(c) == 1 for c in calls.values()), f"host calls of the same work: {calls}")
        lines = {}
        for o in s.objects():
            if "guest" in o:
                lines.setdefault(o["request"], []).append(o["guest"])
        wrong = {id: said for id, said in lines.items() if said != [f"{mine[id]}-{x}" for x in "abc"]}
        check(len(lines) == len(mine) and not wrong, f"lines of others: {dict(list(wrong.items())[:3])}")
        sent = {}
        for p in up.paths:
            sent[p] = sent.get(p, 0) + 1
        check(sent == {p: p.count("fetch") for p in receipts}, "requests that went out")
        return f"{len(receipts)} requests"


def the_log_and_the_processor_are_on_each_requests_own_account():
    with _server("--log-bytes", "64") as s:
        s.get("/")
        long = "/" + "/".join("say=0123456789" for _ in range(20))
        jobs = [lambda: s.get("/wait=300" + long)] + [lambda k=k: s.get(f"/n={k}/wait=300/say=short") for k in range(15)]
        jobs += [lambda k=k: s.get(f"/w={k}/wait=300/work=20000") for k in range(4)]
        check([a.status for a in Many(jobs).join()] == [200] * 20, "answers")
        _wait_for_receipts(s, 21)
        of = {r["receipt"]["id"]: r for r in s.receipts()}
        said = {id: [o["guest"] for o in s.objects() if o.get("request") == id and "guest" in o] for id in of}
        for id, r in of.items():
            path = r["request"]["path"]
            if path.startswith("/n="):
                check(said[id] == ["short"], f"{path}: {said[id]}")
            elif "0123" in path:
                check(5 <= len(said[id]) < 20, f"not cut at its own limit: {said[id]}")
        check(all(r["receipt"]["wait_us"] >= 290000 for r in of.values() if "wait=300" in r["request"]["path"]), "time waited")
        heavy = [r["receipt"]["cpu_us"] for r in of.values() if "work" in r["request"]["path"]]
        light = [r["receipt"]["cpu_us"] for r in of.values() if r["request"]["path"].startswith("/n=")]
        check(len(heavy) == 4 and max(light) * 2 < min(heavy), f"CPU time of the ones {heavy}, of the others {light}")

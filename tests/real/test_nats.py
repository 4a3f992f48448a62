"""NATS with JetStream, the real one: each operation, names, values at their limits, increments from several sides, and what happens when the server restarts or stands
still."""
import base64, json, re, select, socket, subprocess, threading, time
from pathlib import Path

from door import Door, Outcome, loses_nothing_acknowledged, recovers
from servers import Nats
from serve.peers import Peer

ODD = [b"a/b", b"a.b", b"a:b", b"a%b", b"a=b", b"*", b">", b"a b", b"\0", b"a\0b", b"\xff\xfe", "ä ö".encode(), b"..", b".", b"", b"$KV", b"=41", b"A" * 300]
ARGUMENTS = {"test_a_server_without_jetstream_is_said": [], "test_a_password": ["--user", "u", "--pass", "p\"x"], "test_a_token": ["--auth", "t0ken"]}


def test_each_operation(nats):
    with Door(nats.target) as d:
        assert d.check().rest.startswith("NATS "), d.check()
        assert d.get(b"k").value is None and not d.exists(b"k")
        assert d.set(b"k", b"v\0\r\nPING\r\n").code == "ok" and d.get(b"k").value == b"v\0\r\nPING\r\n" and d.exists(b"k")
        assert d.set(b"k", b"").code == "ok" and d.get(b"k").value == b""
        assert d.delete(b"k").code == "ok" and d.get(b"k").value is None and not d.exists(b"k")
        d.set(b"key", b"x")
        message = json.loads(nats.ask("$JS.API.STREAM.MSG.GET.KV_links", b'{"last_by_subj":"$KV.links.t.a.default.key"}'))
        assert base64.b64decode(message["message"]["data"]) == b"x", message
        assert d.set(b"t", b"x", ttl=1000).code == "refused"


def test_increments_are_of_numbers(nats):
    with Door(nats.target) as d:
        assert d.incr(b"n", 5).rest == "5" and d.incr(b"n", -7).rest == "-2" and d.get(b"n").value == b"-2"
        assert d.incr(b"n", 2**63 - 1).rest == str(2**63 - 3) and d.incr(b"n", 2**62).code == "refused"
        d.delete(b"n")
        assert d.incr(b"n", 3).rest == "3", "a key that was deleted counts from 0"
        for bad in (b" 7", b"007", b"1.5", b"x", b""):
            d.set(b"bad", bad)
            assert d.incr(b"bad").code == "refused" and d.get(b"bad").value == bad, bad
        d.set(b"n", b"40")
        assert d.incr(b"n", 2).rest == "42"


def test_values_are_swapped_by_their_version(nats):
    with Door(nats.target) as d:
        assert d.swap(b"s", b"1", word="create").code == "ok" and d.swap(b"s", b"2", word="create").code == "stale"
        assert d.get(b"s", word="look").value == b"1"
        assert d.swap(b"s", b"3").code == "ok" and d.swap(b"s", b"4").code == "stale" and d.get(b"s").value == b"3"
        d.get(b"s", word="look")
        d.delete(b"s")
        assert d.swap(b"s", b"5").code == "stale" and d.get(b"s").value is None
        assert d.swap(b"s", b"6", word="create").code == "ok" and d.get(b"s").value == b"6"


def test_names_never_meet(nats):
    with Door(nats.target) as d:
        for i, bucket in enumerate(ODD):
            for k, key in enumerate(ODD):
                d.begin("set", bucket.hex() or "-", key.hex() or "-", f"{i:02x}{k:02x}")
            assert all(r.code == "ok" for r in d.wait(len(ODD)))
        for i, bucket in enumerate(ODD):
            assert d.get(ODD[3], bucket).value == bytes([i, 3])
            found, _ = d.all_keys(bucket, 7)
            assert sorted(found) == sorted((bucket, k) for k in ODD), (bucket, found)
        assert len(set(d.all_keys(None, 50)[0])) == len(ODD) ** 2
        for long in (b"x" * 65536, b"\0" * 1300):
            r = d.set(long, b"v")
            assert r.code == "refused" and "too long" in r.rest, r
        assert d.set(b"\0" * 1000, b"v").code == "ok" and d.get(b"\0" * 1000).value == b"v"


def test_lists_go_by_pages_and_leave_out_what_was_deleted(nats):
    with Door(nats.target) as d:
        for i in range(1200):
            d.begin("set", b"default".hex(), f"k{i}".encode().hex(), "-")
        d.wait(1200)
        for i in range(0, 1200, 3):
            d.begin("delete", b"default".hex(), f"k{i}".encode().hex())
        d.wait(400)
        found, pages = d.all_keys(limit=100)
        assert sorted(k for _, k in found) == sorted(f"k{i}".encode() for i in range(1200) if i % 3) and pages >= 8, (len(found), pages)
        for i in range(1200):
            d.begin("delete", b"default".hex(), f"k{i}".encode().hex())
        d.wait(1200)
        assert d.all_keys(limit=10) == ([], 1)
    info = json.loads(nats.ask("$JS.API.STREAM.INFO.KV_links"))
    assert info["state"]["consumer_count"] == 0, info["state"]


def test_values_at_their_limits(nats):
    with Door(nats.target, "--deadline-ms", "20000") as d:
        assert d.set(b"big", "*1048576").code == "ok" and d.get(b"big").value == "#1048576"
        d.begin("set", b"default".hex(), b"huge".hex(), "*1048577")
        d.begin("set", b"default".hex(), b"small".hex(), "76")
        huge, small = d.wait(2)
        assert huge.code == "refused" and small.code == "ok", (huge, small)


def test_increments_from_several_threads_and_processes_are_exact(nats):
    with Door(nats.target, "--loops", "3", "--deadline-ms", "20000") as d, Door(nats.target, "--loops", "2", "--deadline-ms", "20000") as other:
        d.say("storm", 1500, b"default".hex(), b"n".hex())
        other.say("storm", 500, b"default".hex(), b"n".hex())
        ends = [x.line().split() for x in (d, other)]
        assert [e[1] for e in ends] == ["1500", "500"], ends
        assert d.get(b"n").value == b"2000"


class Way:
    """A way to the server. Each piece takes `delay` seconds, in each direction; `requests` and `answers`, cleared, let none pass; the first n requests that match `loses`
    are lost; what matches `counts` is counted in `seen`, and where that comes to `stops_at` answers pass no more."""

    stops_at = None

    def __init__(self, port, delay=0, loses=None, n=0, counts=rb"$^"):
        self.delay, self.pattern, self.left, self.counts, self.seen, self.to = delay, loses and re.compile(loses), n, re.compile(counts), 0, port
        self.requests, self.answers = threading.Event(), threading.Event()
        self.requests.set(), self.answers.set()
        self.ends, self.listener = [], socket.create_server(("127.0.0.1", 0))
        self.target = f"nats://127.0.0.1:{self.listener.getsockname()[1]}/links"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                ours = self.listener.accept()[0]
            except OSError:
                return
            theirs = socket.create_connection(("127.0.0.1", self.to))
            self.ends += [ours, theirs]
            for ends in ((ours, theirs, self.requests), (theirs, ours, self.answers)):
                threading.Thread(target=self._pass_on, args=ends, daemon=True).start()

    def _pass_on(self, source, to, gate):
        try:
            while some := source.recv(65536):
                if gate is self.requests:
                    found = len(self.counts.findall(some))
                    if self.stops_at and found and self.seen + found >= self.stops_at:
                        self.answers.clear()
                        self.stops_at = None
                    self.seen += found
                    if self.left and (found := self.pattern.search(some)):
                        self.left -= 1
                        some = some[:found.start()] + some[found.end():]
                time.sleep(self.delay)
                gate.wait()
                to.sendall(some)
        except OSError:
            pass
        for s in (source, to):
            s.close()

    def cut(self):
        """Ends all connections that there are."""
        ends, self.ends = self.ends, []
        for s in ends:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()
        self.requests.set(), self.answers.set()
        self.cut()


def test_a_read_that_the_server_loses_is_asked_again_and_holds_nobody_up(nats):
    with Way(nats.port, loses=rb"PUB \$JS\.API\.DIRECT\.GET[^\r]* 0\r\n\r\n", n=2) as way, Door(way.target, "--deadline-ms", "20000") as d:
        began = time.monotonic()
        total = d.storm(100, b"n")
        assert total["ok"] == 100 and way.left == 0, (total, way.left)
        assert d.get(b"n").value == b"100" and time.monotonic() - began < 10


WRITES = rb"HPUB \$KV\.links\.t\.a\.default\.n "


def _begin(d, *deltas, key=b"n"):
    for delta in deltas:
        d.begin("incr", b"default".hex(), key.hex(), delta)


def _rest(d, ms):
    """What ended meanwhile."""
    d.say("rest", ms)
    ended = []
    while (line := d.line()) != "done":
        ended.append(Outcome(line))
    return ended


def _until(d, what, within=30):
    end, ended = time.monotonic() + within, []
    while not what() and time.monotonic() < end:
        ended += _rest(d, 10)
    assert what()
    return ended


def _held(way, d, *deltas, key=b"n"):
    """One increment on its way, whose answer does not come, and behind it these, which wait."""
    way.answers.clear()
    seen = way.seen
    _begin(d, 0, key=key)
    _until(d, lambda: way.seen > seen)
    _begin(d, *deltas, key=key)
    _rest(d, 10)


def _sent(way, d, *deltas, key=b"n"):
    """A sum of these on its way, whose answer does not come; behind one that is 0 and has its answer."""
    _held(way, d, *deltas, key=key)
    seen = way.seen
    way.stops_at = seen + 1
    way.answers.set()
    ended = _until(d, lambda: way.seen > seen)
    assert [r.code for r in ended] == ["ok"], ended


def _goes_on(way, d, n):
    way.answers.set()
    return sorted(d.wait(n), key=lambda r: r.number)


def test_increments_of_one_key_share_their_trips(nats):
    with Way(nats.port, delay=0.03, counts=WRITES) as way, Door(way.target, "--loops", "3", "--deadline-ms", "20000") as d:
        assert d.incr(b"n", 1).rest == "1"
        total = d.storm(640, b"n")
        assert total["ok"] == 640 and d.get(b"n").value == b"641", total
        assert way.seen < 200, f"{way.seen} writes for 640 increments, 64 at a time"


def test_a_process_that_counts_without_a_pause_lets_others_count(nats):
    """One that knows the counter writes in one trip, and another, which must read first, would never find it as it was: it comes to its turn before the first has ended."""
    with Way(nats.port, delay=0.015) as way, Door(way.target, "--deadline-ms", "60000") as busy, Door(way.target, "--deadline-ms", "60000") as other:
        assert busy.incr(b"n").code == other.incr(b"n").code == "ok"
        busy.say("storm", 6000, b"default".hex(), b"n".hex())
        _until(other, lambda: int(other.get(b"n").value) > 100)
        total = other.storm(300, b"n")
        assert total["ok"] == 300, total
        assert not select.select([busy.p.stdout], [], [], 0)[0], "it came to its turn when nobody else was there any more"
        assert busy.line().startswith("ok 6000 ") and other.get(b"n").value == b"6302"


def test_what_waits_while_others_have_their_turn_is_given_back_and_taken_back(nats):
    with Door(nats.target, "--deadline-ms", "20000") as d, Door(nats.target, "--deadline-ms", "20000") as other:
        done, n = 0, 0
        while done < 40:  # now and then in a pause
            assert d.incr(b"n").code == other.incr(b"n").code == "ok"
            n += 2
            d.storm(200, b"n")
            n += 200
            _begin(d, *[1] * 10)
            d.say("recall")
            assert d.line() == "done"
            assert all(r.code == "ok" for r in d.wait(10))
            n += 10
            _begin(d, *[0] * 10)
            d.say("cancel")
            assert d.line() == "done"
            done += 1
        assert other.get(b"n").value == str(n).encode()


def test_each_increment_of_a_sum_hears_its_own_number(nats):
    with Way(nats.port, counts=WRITES) as way, Door(way.target, "--deadline-ms", "20000") as d:
        d.set(b"n", b"10")
        assert d.incr(b"n", 0).rest == "10"
        _held(way, d, 5, -3, 7, 100, -1)
        assert [r.rest for r in _goes_on(way, d, 6)] == ["10", "15", "12", "19", "119", "118"] and d.get(b"n").value == b"118"
        assert way.seen == 3, way.seen


def test_one_of_a_sum_that_would_be_out_of_range_is_refused_alone(nats):
    most = 2**63 - 1
    with Way(nats.port, counts=WRITES) as way, Door(way.target, "--deadline-ms", "20000") as d:
        d.set(b"n", str(most - 2).encode())
        assert d.incr(b"n", 0).code == "ok"
        _held(way, d, 1, 2, 1, 1, -1)
        r = _goes_on(way, d, 6)
        assert [x.code for x in r] == ["ok", "ok", "refused", "ok", "refused", "ok"] and [x.rest for x in r if x.code == "ok"][1:] == [str(most - 1), str(most), str(most - 1)], r
        assert "out of range" in r[2].rest and d.get(b"n").value == str(most - 1).encode()
        d.incr(b"n", 1)
        _held(way, d, 1, 1, 1)
        r = _goes_on(way, d, 4)
        assert [x.code for x in r] == ["ok"] + ["refused"] * 3 and d.get(b"n").value == str(most).encode(), r
        d.set(b"n", b"none")
        _begin(d, 1, 1, 1)
        assert all(x.code == "refused" and "no number" in x.rest for x in d.wait(3))


def test_a_bucket_that_was_made_anew_is_read_before_it_is_counted_on(nats):
    with Door(nats.target) as d:
        d.set(b"n", b"1000")
        assert d.incr(b"n").rest == "1001"
        assert json.loads(nats.ask("$JS.API.STREAM.DELETE.KV_links"))["success"]
        with Door(nats.target) as other:
            other.set(b"n", b"5"), other.set(b"n", b"7")  # sequences begin anew: it is at the one where d left it
            time.sleep(1.1)
            assert (d.incr(b"n").rest, other.get(b"n").value) == ("8", b"8")


def test_a_sum_that_another_process_was_before_is_made_anew(nats):
    with Way(nats.port, counts=WRITES) as way, Door(way.target, "--deadline-ms", "20000") as d, Door(nats.target) as other:
        assert d.incr(b"n", 1).rest == "1"
        way.requests.clear()
        _begin(d, 0)
        _until(d, lambda: way.seen >= 2)
        _begin(d, 1, 10)
        _rest(d, 10)
        assert other.set(b"n", b"1000").code == "ok"
        way.requests.set()
        r = sorted(d.wait(3), key=lambda r: r.number)
        assert [x.rest for x in r] == ["1000", "1001", "1011"] and other.get(b"n").value == b"1011", r


def test_a_sum_without_an_answer_is_unknown_to_all_whom_it_carried_and_to_nobody_else(nats):
    """Cut while the answer is on its way: those that were in it may have happened, once, and those that came later are counted."""
    with Way(nats.port, counts=WRITES) as way, Door(way.target, "--deadline-ms", "20000") as d:
        assert d.incr(b"n", 1).rest == "1"
        _held(way, d, 10, 20)
        before = way.seen
        way.answers.set()
        first = d.wait(3)
        assert all(r.code == "ok" for r in first) and d.get(b"n").value == b"31", first
        _held(way, d, 100, 200)  # the one that is held was sent; these were not
        assert way.seen == before + 2, (way.seen, before)
        way.cut()
        way.answers.set()
        held, *waited = sorted(d.wait(3), key=lambda r: r.number)
        assert held.code == "unknown" and [r.rest for r in waited] == ["131", "331"], (held, waited)
        assert d.get(b"n").value == b"331"


def test_those_of_a_sum_that_was_sent_and_cut_are_unknown(nats):
    for lost in (False, True):
        key = b"m" if lost else b"n"
        write = rb"HPUB \$KV\.links\.t\.a\.default\.%s " % key
        with Way(nats.port, loses=write + rb"[^\r]* \d+ \d+\r\n(?s:.*?)\r\n\r\n60\r\n", n=lost, counts=write) as way, Door(way.target, "--deadline-ms", "20000") as d:
            d.set(key, b"0")
            assert d.incr(key, 0).rest == "0"
            _sent(way, d, 10, 20, 30, key=key)
            _begin(d, 100, key=key)
            _rest(d, 10)
            assert way.left == 0
            way.cut()
            way.answers.set()
            *carried, later = sorted(d.wait(4), key=lambda r: r.number)
            assert [r.code for r in carried] == ["unknown"] * 3 and later.rest == ("100" if lost else "160"), (carried, later)
            assert d.get(key).value == later.rest.encode()


def test_who_leaves_a_sum_that_was_sent_holds_up_nobody(nats):
    """The holder and those whom it carries are taken back; what comes behind them is counted, once the answer is there or the connection is lost."""
    with Way(nats.port, counts=WRITES) as way, Door(way.target, "--deadline-ms", "20000") as d:
        d.set(b"n", b"0")
        assert d.incr(b"n", 0).rest == "0"
        for i, lost in enumerate((False, True)):
            _sent(way, d, 10, 20, 30)
            d.say("cancel")
            assert d.line() == "done"
            _begin(d, 1)
            _rest(d, 10)
            if lost:
                way.cut()
            way.answers.set()
            r = d.wait(1)[0]
            assert r.rest == str(61 * (i + 1)), (lost, r)


def test_a_sum_for_which_nobody_waits_any_more_is_given_up(nats):
    """All whom it carried have come to their deadline: the counter is read again, by another connection."""
    with Way(nats.port, counts=WRITES) as way, Door(way.target, "--deadline-ms", "700") as d, Door(nats.target) as other:
        assert d.incr(b"n", 1).rest == "1"
        _sent(way, d, 10, 20, 30)
        ends = d.wait(3)
        assert [r.code for r in ends] == ["unknown"] * 3, ends
        assert other.get(b"n").value == b"61"
        way.answers.set()
        end = time.monotonic() + 15
        while (r := d.incr(b"n", 1)).code != "ok" and time.monotonic() < end:
            pass
        assert r.rest == "62", r


def test_what_one_guest_asks_of_one_key_is_done_in_its_order(nats):
    key = (b"default".hex(), b"n".hex())
    with Way(nats.port, counts=WRITES) as way, Door(way.target, "--deadline-ms", "20000") as d:
        assert d.incr(b"n", 1).rest == "1"
        _held(way, d, 1)
        for words in (("set", *key, b"100".hex()), ("get", *key), ("incr", *key, 1), ("incr", *key, 1), ("get", *key), ("delete", *key), ("exists", *key), ("create", *key, b"7".hex()),
                ("incr", *key, 1), ("get", *key)):
            d.begin(*words)
        r = [x.rest.removesuffix(" ttl 0") for x in _goes_on(way, d, 12)]
        assert r == ["1", "2", "", "found 313030", "101", "102", "found 313032", "", "absent", "", "8", "found 38"], r
    with Door(nats.target, "--deadline-ms", "20000") as d:
        for i in range(200):
            d.begin("set", *key, f"{i:04x}")
            d.begin("get", *key)
        r = sorted(d.wait(400), key=lambda r: r.number)
        assert [x.value for x in r[1::2]] == [i.to_bytes(2, "big") for i in range(200)]


def test_what_waits_in_a_guests_order_is_given_back_and_taken_back(nats):
    key = (b"default".hex(), b"n".hex())
    with Way(nats.port, counts=WRITES) as way, Door(way.target, "--deadline-ms", "20000") as d:
        assert d.incr(b"n", 1).rest == "1"
        _held(way, d, 1, 1)
        d.begin("set", *key, b"50".hex())
        d.begin("get", *key)
        _begin(d, 1)
        d.say("recall")  # past a link they are begun anew, in the same order
        assert d.line() == "done"
        r = [x.rest for x in _goes_on(way, d, 6)]
        assert r == ["1", "2", "3", "", "found 3530 ttl 0", "51"], r
        _held(way, d, 1)
        d.begin("set", *key, b"60".hex())
        d.begin("get", *key)
        d.say("cancel")
        assert d.line() == "done"
        way.answers.set()
        assert d.get(b"n").value == b"51", "what never was sent did not happen"


def test_a_list_over_deletions_ends_when_all_are_called_back(nats):
    with Way(nats.port, delay=0.02, counts=rb"CONSUMER\.MSG\.NEXT") as way, Door(way.target, "--deadline-ms", "60000") as d:
        with Door(nats.target, "--deadline-ms", "60000") as quick:
            for i in range(1500):
                quick.begin("set", b"default".hex(), f"k{i}".encode().hex(), "-")
                quick.begin("delete", b"default".hex(), f"k{i}".encode().hex())
            quick.wait(3000)
        d.begin("list", b"default".hex(), 10, 0)
        _until(d, lambda: way.seen >= 2)
        d.say("recall")
        assert d.line() == "done"
        cursor, found = d.wait(1)[0].keys
        assert cursor and not found and way.seen < 50, (cursor, found, way.seen)


def test_a_server_that_is_killed_and_comes_back(nats):
    with Door(nats.target) as d:
        assert d.set(b"k", b"v").code == "ok"
        nats.kill()
        r = [d.set(b"k2", b"v") for _ in range(3)]
        assert all(x.code in ("unsent", "unknown") and x.ms < 2500 for x in r) and r[-1].code == "unsent", r
        nats.start()
        recovers(d, b"k", b"v")
        assert d.incr(b"n").rest == "1"


def test_a_server_killed_in_the_middle_loses_nothing_acknowledged(nats):
    loses_nothing_acknowledged(nats, 400, 0.02, 3)


def test_a_server_that_stands_still_costs_a_call_its_deadline(nats):
    with Door(nats.target, "--deadline-ms", "500") as d:
        assert d.set(b"k", b"v").code == "ok"
        nats.freeze()
        r = [d.set(b"k2", b"v") for _ in range(8)]
        assert r[0].code == "unknown" and all(x.code in ("unknown", "unsent") and x.ms < 1500 for x in r) and r[-1].code == "unsent", r
        nats.thaw()
        recovers(d, b"k", b"v")


def test_what_waits_for_a_counter_is_given_back_and_taken_back(nats):
    with Door(nats.target, "--deadline-ms", "3000") as d:
        assert d.incr(b"n").rest == "1"
        nats.freeze()
        for _ in range(50):
            d.begin("incr", b"default".hex(), b"n".hex(), 1)
        d.say("rest", 100)
        assert d.line() == "done"
        d.say("cancel")
        assert d.line() == "done"
        nats.thaw()
        end = time.monotonic() + 15
        while (r := d.incr(b"n", 0)).code != "ok" and time.monotonic() < end:
            time.sleep(0.05)
        assert r.code == "ok" and int(r.rest) <= 2, r


def test_what_waits_for_a_counter_and_is_given_back_past_a_link_waits_again(nats):
    with Door(nats.target, "--deadline-ms", "30000") as d:
        assert d.incr(b"n").rest == "1"
        nats.freeze()
        for _ in range(20):
            d.begin("incr", b"default".hex(), b"n".hex(), 1)
        d.say("rest", 50)
        assert d.line() == "done"
        watchdog = threading.Timer(60, d.p.kill)
        watchdog.start()
        d.say("recall")  # those that wait for another one are begun anew at once: nothing holds them back
        assert d.line() == "done"
        watchdog.cancel()
        nats.thaw()
        assert sorted(int(r.rest) for r in d.wait(20)) == list(range(2, 22))


def test_streams_of_others_are_refused(nats):
    create = lambda **more: nats.ask("$JS.API.STREAM.CREATE.KV_links", json.dumps({"name": "KV_links", "subjects": ["$KV.links.>"], "max_msgs_per_subject": 1, "discard": "new",
        "allow_direct": True, "storage": "file", "num_replicas": 1, **more}).encode())
    for more, why in (({"max_msgs_per_subject": 5}, "history"), ({"max_age": 10**10}, "max_age"), ({"allow_direct": False}, "allow_direct"), ({"max_bytes": 10**6, "discard": "old"}, "discard"),
        ({"subjects": ["other.>"]}, "subjects"), ({"retention": "workqueue"}, "retention")):
        assert b'"error"' not in create(**more), more
        with Door(nats.target) as d:
            r = d.set(b"k", b"v")
            assert r.code == "unsent" and why in r.rest and r.ms < 1500, (more, r)
        nats.ask("$JS.API.STREAM.DELETE.KV_links")


def _fills(d, why):
    """Values until the server takes no more of them; it says why, at once each time, and what is there is read and counted on."""
    assert d.set(b"k", b"v").code == "ok" and d.incr(b"n").rest == "1"
    r = [d.set(f"k{i}".encode(), "*100000") for i in range(14)]
    assert r[0].code == "ok" and r[-1].code == "refused" and re.search(why, r[-1].rest) and all(x.ms < 1500 for x in r), r
    n = sum(x.code == "ok" for x in r)
    assert all(x.code == "ok" for x in r[:n]) and all(x.code == "refused" for x in r[n:]), r
    assert d.swap(b"new", b"x" * 100000, word="create").code == "refused" and d.get(b"new").value is None
    assert d.get(b"k").value == b"v" and d.get(b"k0").value == "#100000" and len(d.all_keys(limit=5)[0]) == n + 2
    return n


def test_a_stream_that_is_full_says_so_and_takes_more_when_there_is_room(nats):
    config = {"name": "KV_links", "subjects": ["$KV.links.>"], "max_msgs_per_subject": 1, "discard": "new", "allow_direct": True, "storage": "file", "num_replicas": 1}
    assert b'"error"' not in nats.ask("$JS.API.STREAM.CREATE.KV_links", json.dumps({**config, "max_bytes": 10**6}).encode())
    with Door(nats.target) as d:
        n = _fills(d, "maximum bytes")
        assert d.delete(b"k0").code == "ok" and d.set(b"other", "*100000").code == "ok", "what is deleted makes room"
        assert d.set(b"more", "*100000").code == "refused"
        assert b'"error"' not in nats.ask("$JS.API.STREAM.UPDATE.KV_links", json.dumps({**config, "max_bytes": 10**7}).encode())
        r = [d.set(f"k{i}".encode(), "*100000") for i in range(14)]
        assert all(x.code == "ok" for x in r) and d.incr(b"n").rest == "2", (n, r)


def test_an_account_whose_storage_is_full_says_so_and_takes_more_when_there_is_room(nats):
    other = Nats.limited("1MB")
    with other, Door(other.target) as d:
        _fills(d, "resource")
        assert json.loads(other.ask("$JS.API.STREAM.PURGE.KV_links"))["success"]
        assert d.set(b"k", b"v").code == "ok" and d.incr(b"n").rest == "1" and d.set(b"k0", "*100000").code == "ok"


BUCKET = {"name": "KV_links", "subjects": ["$KV.links.>"], "max_msgs_per_subject": 1, "discard": "new", "allow_direct": True, "storage": "file", "num_replicas": 1}


def _publish(nats, subjects):
    """By another program; without acknowledgements."""
    with socket.create_connection(("127.0.0.1", nats.port), 60) as s:
        s.sendall(b'CONNECT {"verbose":false}\r\n' + b"".join(b"PUB $KV.links.%s 1\r\nx\r\n" % x.encode() for x in subjects) + b"PING\r\n")
        said = b""
        while b"PONG" not in said:
            said += s.recv(65536)


def _state(nats):
    return json.loads(nats.ask("$JS.API.STREAM.INFO.KV_links"))["state"]


def _mark(d):
    """The store's own key, behind what is to be purged: its version is the next purge's."""
    assert d.set(b"marker", b"m", bucket=b"").code == "ok" and d.get(b"marker", b"", "look").value == b"m"


def test_a_purge_takes_what_is_older_than_a_version_and_nothing_of_others(nats):
    with Door(nats.target, "--deadline-ms", "20000") as d, Door(nats.target, "--raw", "--deadline-ms", "20000") as raw:
        for i in range(300):
            d.begin("set", b"default".hex(), f"k{i}".encode().hex(), "76")
            d.begin("delete", b"other".hex(), f"k{i}".encode().hex())
        d.wait(600)
        assert d.incr(b"n", 7).rest == "7"
        assert raw.set(b"t.b.default.k", b"theirs").code == "ok" and raw.set(b"t.ab.default.k", b"theirs").code == "ok"
        _mark(d)
        assert d.set(b"late", b"v").code == "ok"
        assert d.one("purge").code == "ok"
        assert _state(nats)["messages"] == 4, "two of others, the marker and what came later: no deletion stays"
        assert sorted(d.all_keys(None)[0]) == [(b"", b"marker"), (b"default", b"late")] and d.get(b"marker", b"").value == b"m"
        assert raw.get(b"t.b.default.k").value == raw.get(b"t.ab.default.k").value == b"theirs"
        assert d.incr(b"n", 2).rest == "2", "a counter that was known counts from 0"
        assert d.swap(b"k0", b"1").code == "stale" and d.swap(b"k1", b"1", word="create").code == "ok" and d.swap(b"k1", b"2", word="create").code == "stale"
        d.get(b"k1", word="look")
        assert d.swap(b"k1", b"3").code == "ok" and d.get(b"k1").value == b"3"
        assert raw.set(b"=tenon.marker", b"m").code == "refused" and raw.set(b"marker", b"m", bucket=b"").code == "ok"
        raw.get(b"marker", b"", "look")
        assert raw.one("purge").code == "ok" and raw.get(b"marker", b"").value == b"m" and _state(nats)["messages"] == 1, "of a raw space all but its marker"


def test_much_is_purged_in_parts(nats):
    with Way(nats.port, counts=rb"STREAM\.PURGE") as way, Door(way.target, "--deadline-ms", "60000") as d:
        assert d.set(b"first", b"v").code == "ok"
        _publish(nats, [f"t.a.default.k{i}" for i in range(45000)])
        _publish(nats, ["t.b.default.k"])
        _mark(d)
        r = d.one("purge")
        assert r.code == "ok" and way.seen == 3 and _state(nats)["messages"] == 2, (r, way.seen, _state(nats))
        assert d.one("purge").code == "ok" and way.seen <= 4, "what is gone is not gone through again"


def test_a_purge_that_is_lost_is_asked_again_and_takes_nothing_that_came_since(nats):
    with Way(nats.port, counts=rb"STREAM\.PURGE", loses=rb"PUB \$JS\.API\.STREAM\.PURGE\.KV_links [^\r]*\r\n[^\r]*\r\n", n=1) as way, Door(way.target, "--deadline-ms", "60000") as d:
        assert d.set(b"k", b"v").code == "ok"
        _mark(d)
        d.begin("purge")
        _until(d, lambda: way.left == 0)
        with Door(nats.target) as other:
            assert other.set(b"since", b"v").code == "ok"
        r = d.wait(1)[0]
        assert r.code == "ok" and way.seen == 2 and d.all_keys()[0] == [(b"default", b"since")], (r, way.seen)


def test_a_purge_that_is_taken_back_or_cut_leaves_the_connection_to_others(nats):
    with Way(nats.port, counts=rb"STREAM\.PURGE") as way, Door(way.target, "--deadline-ms", "60000") as d:
        assert d.set(b"k", b"v").code == "ok"
        _mark(d)
        way.stops_at = 1
        d.begin("purge")
        _until(d, lambda: way.seen)
        d.say("cancel")
        assert d.line() == "done"
        way.answers.set()
        assert d.set(b"k", b"w").code == "ok" and d.get(b"k").value == b"w"
        _mark(d)
        way.stops_at = seen = way.seen + 1
        d.begin("purge")
        _until(d, lambda: way.seen == seen)
        way.cut()
        way.answers.set()
        assert d.wait(1)[0].code in ("ok", "unknown") and d.set(b"k", b"x").code == "ok" and d.get(b"k").value == b"x"


def test_a_purge_that_the_stream_or_the_user_may_not_is_refused_at_once(nats):
    assert b'"error"' not in nats.ask("$JS.API.STREAM.CREATE.KV_links", json.dumps({**BUCKET, "deny_purge": True}).encode())
    with Door(nats.target, "--deadline-ms", "60000") as d:
        assert d.set(b"k", b"v").code == "ok"
        _mark(d)
        r = d.one("purge")
        assert r.code == "refused" and r.ms < 20000 and d.get(b"k").value == b"v", r
    other = Nats()
    (conf := Path(other.dir) / "nats.conf").write_text(f'''listen: "127.0.0.1:{other.port}"
        jetstream {{ store_dir: "{other.dir}" }}
        authorization {{ users: [{{ user: u, password: p, permissions: {{ publish: {{ deny: ["$JS.API.STREAM.PURGE.>"] }} }} }}] }}''')
    other.argv = lambda: ["-c", str(conf)]
    with other, Door(f"nats://u:p@127.0.0.1:{other.port}/links", "--deadline-ms", "60000") as d:
        assert d.set(b"k", b"v").code == "ok"
        _mark(d)
        r = d.one("purge")
        assert r.code == "refused" and "Permissions" in r.rest and r.ms < 20000 and d.get(b"k").value == b"v", r


def test_a_password(nats):
    with Door(f"nats://u:p%22x@127.0.0.1:{nats.port}/links") as d:
        assert d.set(b"k", b"v").code == "ok"
    for who in ("", "u:wrong@"):
        with Door(f"nats://{who}127.0.0.1:{nats.port}/links") as d:
            r = d.set(b"k", b"v")
            assert r.code == "unsent" and "Authorization" in r.rest and "wrong" not in r.rest and r.ms < 1500, r


def test_a_token(nats):
    with Door(f"nats://t0ken@127.0.0.1:{nats.port}/links") as d:
        assert d.set(b"k", b"v").code == "ok"


def test_a_server_without_jetstream_is_said(nats):
    other = Nats()
    other.argv = lambda: ["-a", "127.0.0.1", "-p", str(other.port)]
    with other, Door(other.target) as d:
        r = d.set(b"k", b"v")
        assert r.code == "unsent" and "JetStream" in r.rest, r


def test_by_tls(nats):
    folder = nats.dir
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "key.pem", "-out", "cert.pem", "-days", "2", "-subj",
        "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"], cwd=folder, check=True, capture_output=True)
    other = Nats("--tls", "--tlscert", f"{folder}/cert.pem", "--tlskey", f"{folder}/key.pem")
    with other:
        with Door(f"nats://localhost:{other.port}/links", "--ca", f"{folder}/cert.pem", "--deadline-ms", "20000") as d:
            r, total = d.set(b"k", "*1000000"), d.storm(300, b"n")
            assert r.code == "ok" and d.get(b"k").value == "#1000000" and total["ok"] == 300, (r, total)
        with Door(f"nats://127.0.0.1:{other.port}/links", "--ca", f"{folder}/cert.pem") as d:
            r = d.set(b"k", b"v")
            assert r.code == "unsent" and "certificate" in r.rest.lower(), r
        with Door(f"nats://127.0.0.1:{other.port}/links") as d:
            r = d.set(b"k", b"v")
            assert r.code == "unsent" and "TLS" in r.rest, r
        with Door(f"tls://localhost:{other.port}/links", "--ca", f"{folder}/cert.pem", "--deadline-ms", "20000") as d:
            assert d.get(b"k").value == "#1000000"
    with Door(nats.target.replace("nats://", "tls://"), "--ca", f"{folder}/cert.pem") as d:  # one that has no TLS
        r = d.set(b"k", b"v")
        assert r.code == "unsent", r


class _Asking(Peer):
    """Greets as a server of NATS does; then it asks, and never reads what it is answered."""

    sent = 0  # the most on one connection

    def _serve(self, c):
        sent = 0
        config = {"subjects": ["$KV.links.>"], "retention": "limits", "max_msgs_per_subject": 1, "discard": "new", "allow_direct": True}
        answer, there = json.dumps({"config": config}).encode(), b""
        try:
            c.sendall(b"INFO " + json.dumps({"version": "2.9.0", "headers": True, "max_payload": 1 << 20}).encode() + b"\r\nPONG\r\n")
            while not (m := re.search(rb"PUB \$JS\.API\.STREAM\.INFO\.KV_links (\S+) 0\r\n", there)):
                there += c.recv(4096)
            c.sendall(b"MSG %s 1 %d\r\n%s\r\n" % (m[1], len(answer), answer))
            for _ in range(4096):
                c.sendall(b"PING\r\n" * 4096)
                sent += 6 * 4096
                self.sent = max(self.sent, sent)
        except OSError:
            pass
        c.close()


def test_a_server_that_asks_and_never_reads_is_left(nats):
    with _Asking() as peer, Door(f"nats://127.0.0.1:{peer.port}/links", "--deadline-ms", "20000") as d:
        r = d.set(b"k", b"v")
        assert r.code == "unknown" and "PING" in r.rest and peer.sent < 50 << 20, (r, peer.sent)

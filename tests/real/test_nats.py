"""NATS with JetStream, the real one: each operation, names, values at their limits, increments from several sides, and what happens when the server restarts or stands
still."""
import base64, json, re, socket, subprocess, threading, time

from door import Door, loses_nothing_acknowledged, recovers
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


class Loses:
    """A way to the server on which the first requests that match are lost."""

    def __init__(self, port, pattern, n):
        self.left, self.pattern, self.to, self.listener = n, re.compile(pattern), port, socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                ours = self.listener.accept()[0]
            except OSError:
                return
            theirs = socket.create_connection(("127.0.0.1", self.to))
            for ends in ((ours, theirs, True), (theirs, ours, False)):
                threading.Thread(target=self.pass_on, args=ends, daemon=True).start()

    def pass_on(self, source, to, loses):
        try:
            while some := source.recv(65536):
                if loses and self.left and (found := self.pattern.search(some)):
                    self.left -= 1
                    some = some[:found.start()] + some[found.end():]
                to.sendall(some)
        except OSError:
            pass
        for s in (source, to):
            s.close()


def test_a_read_that_the_server_loses_is_asked_again_and_holds_nobody_up(nats):
    way = Loses(nats.port, rb"PUB \$JS\.API\.DIRECT\.GET[^\r]* 0\r\n\r\n", 2)
    with Door(f"nats://127.0.0.1:{way.port}/links", "--deadline-ms", "20000") as d:
        began = time.monotonic()
        total = d.storm(100, b"n")
        assert total["ok"] == 100 and way.left == 0, (total, way.left)
        assert d.get(b"n").value == b"100" and time.monotonic() - began < 10
    way.listener.close()


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


def test_what_waits_for_a_lock_is_given_back_and_taken_back(nats):
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


def test_what_waits_for_a_lock_and_is_given_back_past_a_link_waits_again(nats):
    with Door(nats.target, "--deadline-ms", "30000") as d:
        assert d.incr(b"n").rest == "1"
        nats.freeze()
        for _ in range(20):
            d.begin("incr", b"default".hex(), b"n".hex(), 1)
        d.say("rest", 50)
        assert d.line() == "done"
        watchdog = threading.Timer(60, d.p.kill)
        watchdog.start()
        d.say("recall")  # those whose lock another one has are begun anew at once: nothing holds them back
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

    sent = 0

    def _serve(self, c):
        config = {"subjects": ["$KV.links.>"], "retention": "limits", "max_msgs_per_subject": 1, "discard": "new", "allow_direct": True}
        answer, there = json.dumps({"config": config}).encode(), b""
        try:
            c.sendall(b"INFO " + json.dumps({"version": "2.9.0", "headers": True, "max_payload": 1 << 20}).encode() + b"\r\nPONG\r\n")
            while not (m := re.search(rb"PUB \$JS\.API\.STREAM\.INFO\.KV_links (\S+) 0\r\n", there)):
                there += c.recv(4096)
            c.sendall(b"MSG %s 1 %d\r\n%s\r\n" % (m[1], len(answer), answer))
            for _ in range(4096):
                c.sendall(b"PING\r\n" * 4096)
                self.sent += 6 * 4096
        except OSError:
            pass
        c.close()


def test_a_server_that_asks_and_never_reads_is_left(nats):
    with _Asking() as peer, Door(f"nats://127.0.0.1:{peer.port}/links", "--deadline-ms", "20000") as d:
        r = d.set(b"k", b"v")
        assert r.code == "unknown" and "PING" in r.rest and peer.sent < 50 << 20, (r, peer.sent)

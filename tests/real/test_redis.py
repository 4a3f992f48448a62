"""Redis, the real one: each operation, names and values at their limits, and what happens when the server restarts, stands still, is full or has another password."""
import os, subprocess, time

from door import Door, loses_nothing_acknowledged, recovers
from servers import Redis, free_port

ODD = [b"a/b", b"a:b", b"a%b", b"a=b", b"*", b"[a]?\\^-", b"\0", b"a\0b", b"\xff\xfe", "ä ö".encode(), b"..", b"", b"{tag}", b"a b", b"=41", b"A" * 300]
# Of the server, by test.
DEBUG = ["--enable-debug-command", "yes"]
ARGUMENTS = {"test_a_server_that_loads_its_data_is_waited_for": DEBUG, "test_a_list_that_finds_nothing_ends_when_all_are_called_back": DEBUG}


def test_each_operation(redis):
    with Door(redis.target) as d:
        assert d.check().rest.startswith("Redis ") and "appendfsync always" in d.check().rest, d.check()
        assert d.get(b"k").value is None and not d.exists(b"k")
        assert d.set(b"k", b"v\0\r\n$5").code == "ok" and d.get(b"k").value == b"v\0\r\n$5" and d.exists(b"k")
        assert d.set(b"k", b"").code == "ok" and d.get(b"k").value == b""
        assert d.delete(b"k").code == "ok" and d.get(b"k").value is None and d.delete(b"k").code == "ok"
        assert redis.ask("keys", "*") == ""
        d.set(b"key", b"x")
        assert redis.ask("keys", "*") == "t/a/default/key"


def test_increments_are_of_numbers_and_keep_times_to_live(redis):
    with Door(redis.target) as d:
        assert d.incr(b"n", 5).rest == "5" and d.incr(b"n", -7).rest == "-2" and d.get(b"n").value == b"-2"
        assert d.incr(b"n", 2**63 - 1).rest == str(2**63 - 3)
        r = d.incr(b"n", 2**62)
        assert r.code == "refused" and "out of range" in r.rest, r
        for bad in (b" 7", b"007", b"1.5", b"x", b"", b"9223372036854775808"):
            d.set(b"bad", bad)
            assert d.incr(b"bad").code == "refused" and d.get(b"bad").value == bad, bad
        d.set(b"t", b"1", ttl=60000)
        d.incr(b"t")
        assert 50000 < d.get(b"t", word="look").ttl <= 60000
        d.set(b"t", b"1")
        assert d.get(b"t", word="look").ttl == 0
        d.set(b"short", b"1", ttl=50)
        time.sleep(0.2)
        assert d.get(b"short").value is None


def test_values_are_swapped_by_their_version(redis):
    with Door(redis.target) as d:
        assert d.swap(b"s", b"1", word="create").code == "ok" and d.swap(b"s", b"2", word="create").code == "stale"
        assert d.get(b"s", word="look").value == b"1"
        assert d.swap(b"s", b"3").code == "ok" and d.swap(b"s", b"4").code == "stale" and d.get(b"s").value == b"3"
        d.get(b"s", word="look")
        redis.ask("set", "t/a/default/s", "by another")
        assert d.swap(b"s", b"5").code == "stale" and d.get(b"s").value == b"by another"
        d.get(b"s", word="look")
        d.delete(b"s")
        assert d.swap(b"s", b"6").code == "stale"
        d.get(b"s", word="look")
        assert d.swap(b"s", b"7", word="create").code == "ok"


def test_names_never_meet(redis):
    with Door(redis.target) as d:
        for i, bucket in enumerate(ODD):
            for k, key in enumerate(ODD):
                d.begin("set", bucket.hex() or "-", key.hex() or "-", f"{i:02x}{k:02x}")
            assert all(r.code == "ok" for r in d.wait(len(ODD)))
        for i, bucket in enumerate(ODD):
            assert d.get(ODD[3], bucket).value == bytes([i, 3])
            found, _ = d.all_keys(bucket, 7)
            assert sorted(set(found)) == sorted((bucket, k) for k in ODD), (bucket, found)
        assert len(set(d.all_keys(None, 50)[0])) == len(ODD) ** 2
        long = os.urandom(65536)
        assert d.set(long, b"long").code == "ok" and d.get(long).value == b"long" and (b"default", long) in d.all_keys()[0]
    redis.ask("set", "t/a/default2/x", "of another bucket")
    redis.ask("set", "t/b/default/x", "of another app")
    with Door(redis.target) as d:
        assert [k for _, k in d.all_keys()[0]] == [long] and d.get(b"x").value is None


def test_lists_go_by_pages_and_miss_nothing(redis):
    with Door(redis.target) as d:
        for i in range(0, 5000, 500):
            for k in range(i, i + 500):
                d.begin("set", b"default".hex(), f"k{k}".encode().hex(), "-")
            d.wait(500)
        found, pages = d.all_keys(limit=100)
        assert {k for _, k in found} == {f"k{i}".encode() for i in range(5000)} and pages > 5, (len(found), pages)


def test_raw_keys_are_as_others_see_them(redis):
    redis.ask("set", "plain key", "1")
    redis.ask("lpush", "a list", "x")
    with Door(redis.target, "--raw") as d:
        assert d.get(b"plain key").value == b"1" and d.incr(b"plain key").rest == "2" and redis.ask("get", "plain key") == "2"
        r = d.get(b"a list")
        assert r.code == "refused" and "WRONGTYPE" in r.rest, r
        assert [k for _, k in d.all_keys()[0]] == [b"plain key"]


def test_values_at_their_limits(redis):
    with Door(redis.target, "--deadline-ms", "60000") as d:
        assert d.set(b"big", "*67108864").code == "ok" and d.get(b"big").value == "#67108864"
        subprocess.run(["redis-cli", "-p", str(redis.port), "-x", "set", "t/a/default/huge"], input=b"h" * (67108864 + 1), stdout=subprocess.DEVNULL, check=True)
        d.begin("get", b"default".hex(), b"huge".hex())
        d.begin("get", b"default".hex(), b"none".hex())
        huge, none = d.wait(2)
        assert huge.code == "refused" and "67108865 bytes" in huge.rest and none.value is None, (huge, none)


def test_many_at_once_are_counted_exactly(redis):
    with Door(redis.target, "--loops", "3") as d:
        total = d.storm(20000, b"n")
        assert total["ok"] == 20000 and d.get(b"n").value == b"20000", total
    assert int(redis.ask("info", "stats").split("total_connections_received:")[1].split()[0]) < 40


def test_a_password_and_a_database(redis):
    redis.ask("config", "set", "requirepass", "se/cret")
    with Door(redis.target) as d:
        r = d.set(b"k", b"v")
        assert r.code == "unsent" and "NOAUTH" in r.rest and r.ms < 1500, r
    with Door(f"redis://:wrong@127.0.0.1:{redis.port}/0") as d:
        r = d.set(b"k", b"v")
        assert r.code == "unsent" and "WRONGPASS" in r.rest and "wrong" not in r.rest and r.ms < 1500, r
    with Door(f"redis://:se%2Fcret@127.0.0.1:{redis.port}/3") as d:
        assert d.set(b"k", b"v").code == "ok"
    with Door(f"redis://default:se%2Fcret@127.0.0.1:{redis.port}/99") as d:
        r = d.set(b"k", b"v")
        assert r.code == "unsent" and "DB index" in r.rest, r
    out = subprocess.run(["redis-cli", "-p", str(redis.port), "-a", "se/cret", "-n", "3", "keys", "*"], capture_output=True, text=True).stdout
    assert out.strip() == "t/a/default/k", out


def test_a_password_that_changes_is_an_error_until_it_is_back(redis):
    redis.ask("config", "set", "requirepass", "one")
    with Door(f"redis://:one@127.0.0.1:{redis.port}/0") as d:
        assert d.set(b"k", b"v").code == "ok"
        subprocess.run(["redis-cli", "-p", str(redis.port), "-a", "one", "config", "set", "requirepass", "two"], capture_output=True)
        subprocess.run(["redis-cli", "-p", str(redis.port), "-a", "two", "client", "kill", "type", "normal"], capture_output=True)
        time.sleep(0.2)
        r = [d.get(b"k") for _ in range(3)]
        assert all(x.code == "unsent" and "WRONGPASS" in x.rest and x.ms < 1500 for x in r), r
        subprocess.run(["redis-cli", "-p", str(redis.port), "-a", "two", "config", "set", "requirepass", "one"], capture_output=True)
        recovers(d, b"k", b"v")


def test_a_server_that_is_killed_and_comes_back(redis):
    with Door(redis.target) as d:
        assert d.set(b"k", b"v").code == "ok"
        redis.kill()
        r = [d.set(b"k2", b"v") for _ in range(3)]
        assert all(x.code in ("unsent", "unknown") and x.ms < 2500 for x in r) and r[-1].code == "unsent" and "refused" in r[-1].rest, r
        redis.start()
        recovers(d, b"k", b"v")


def test_a_server_that_loads_its_data_is_waited_for(redis):
    """LOADING: nothing was done."""
    with Door(redis.target) as d:
        redis.ask("config", "set", "appendfsync", "no")
        redis.ask("debug", "populate", "60000", "fill", "100")
        assert d.set(b"k", b"v").code == "ok"
        redis.ask("config", "set", "appendfsync", "always")
        redis.ask("bgrewriteaof")
        end = time.monotonic() + 30
        while "aof_rewrite_in_progress:1" in redis.ask("info", "persistence") and time.monotonic() < end:
            time.sleep(0.05)
        redis.kill()
        redis.more = ("--key-load-delay", "30", "--loading-process-events-interval-bytes", "1024")
        redis.start()
        seen = []
        end = time.monotonic() + 5
        while time.monotonic() < end and len(seen) < 200:
            seen.append(d.incr(b"n"))
            assert seen[-1].ms < 2500, seen[-1]
            if seen[-1].code == "ok":
                break
        assert all(x.code in ("unsent", "unknown", "ok") for x in seen), seen
        assert any("loading" in x.rest.lower() for x in seen), seen
        redis.ask("config", "set", "key-load-delay", "0")
        recovers(d, b"k", b"v", 30)


def test_a_server_that_stands_still_costs_a_call_its_deadline(redis):
    with Door(redis.target, "--deadline-ms", "500") as d:
        assert d.set(b"k", b"v").code == "ok"
        redis.freeze()
        r = [d.incr(b"n") for _ in range(8)]
        assert r[0].code == "unknown" and all(x.code in ("unknown", "unsent") and x.ms < 1500 for x in r), r
        assert r[-1].code == "unsent", r
        redis.thaw()
        recovers(d, b"k", b"v")
        counted = int(d.get(b"n").value or b"0")
        assert counted <= sum(x.code == "unknown" for x in r), (counted, r)


def test_a_server_that_is_full_says_so_and_takes_it_later(redis):
    with Door(redis.target) as d:
        assert d.set(b"k", b"v").code == "ok"
        redis.ask("config", "set", "maxmemory", "1mb")
        r = d.set(b"k2", "*100000")
        assert r.code == "refused" and "OOM" in r.rest, r
        assert d.get(b"k").value == b"v" and d.swap(b"k3", b"x", word="create").code == "refused"
        redis.ask("config", "set", "maxmemory", "0")
        assert d.set(b"k2", b"v").code == "ok"


def test_a_server_killed_in_the_middle_of_a_pipeline_loses_nothing_acknowledged(redis):
    loses_nothing_acknowledged(redis, 2000, 0.003, 5)


def test_what_waits_is_given_back_and_what_is_taken_back_is_not_answered(redis):
    with Door(redis.target, "--deadline-ms", "5000") as d:
        assert d.set(b"k", b"v").code == "ok"
        redis.freeze()
        for i in range(100):
            d.begin("set", b"default".hex(), f"{i:02d}".encode().hex(), "76")
        d.say("rest", 100)
        assert d.line() == "done"
        d.say("cancel")
        assert d.line() == "done"
        redis.thaw()
        recovers(d, b"k", b"v")


def test_a_cluster_is_refused(redis):
    other = Redis("--cluster-enabled", "yes", port=free_port(below=55536))  # the members' own port is 10,000 higher
    with other, Door(other.target) as d:
        r = d.check()
        assert r.code == "refused" and "cluster" in r.rest, r
        r = d.set(b"k", b"v")
        assert r.code in ("refused", "unsent") and "cluster" in r.rest.lower(), r


def test_by_tls(redis):
    folder, port = redis.dir, free_port()
    run = lambda *a: subprocess.run(a, cwd=folder, check=True, capture_output=True)
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "key.pem", "-out", "cert.pem", "-days", "2", "-subj", "/CN=localhost",
        "-addext", "subjectAltName=DNS:localhost")
    other = Redis("--tls-port", str(port), "--tls-cert-file", f"{folder}/cert.pem", "--tls-key-file", f"{folder}/key.pem", "--tls-ca-cert-file", f"{folder}/cert.pem", "--tls-auth-clients", "no")
    with other:
        with Door(f"rediss://localhost:{port}/0", "--ca", f"{folder}/cert.pem") as d:
            r, total = d.set(b"k", "*1000000"), d.storm(2000, b"n")
            assert r.code == "ok" and d.get(b"k").value == "#1000000" and total["ok"] == 2000, (r, total)
        with Door(f"rediss://127.0.0.1:{port}/0", "--ca", f"{folder}/cert.pem") as d:
            r = d.set(b"k", b"v")
            assert r.code == "unsent" and "certificate" in r.rest.lower(), r


def test_a_server_that_lets_no_more_connections_in_is_used_by_those_that_are(redis):
    with Door(redis.target, "--deadline-ms", "20000") as d:
        assert d.set(b"k", b"v").code == "ok"
        redis.ask("config", "set", "maxclients", "1")
        end, ended = time.monotonic() + 4, {}
        while time.monotonic() < end:  # enough at once for another connection, which is tried for again and again
            for word, n in d.storm(4000, b"n", b"default", 1000).items():
                ended[word] = ended.get(word, 0) + n
        assert ended["ok"] > 0 and ended["unsent"] == 0 and ended["unknown"] == 0, ended


def test_a_list_that_finds_nothing_ends_when_all_are_called_back(redis):
    redis.ask("debug", "populate", "1000000", "of-others")
    with Door(redis.target, "--deadline-ms", "120000") as d:
        d.begin("list", b"default".hex(), 100, 0)
        d.say("rest", 20)
        assert d.line() == "done"
        d.say("recall")
        assert d.line() == "done"
        (r,) = d.wait(1)
        cursor, keys = r.keys
        assert cursor and not keys, r

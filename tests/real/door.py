"""One store behind src/host/link/test/test_stores.c: a command a line, and what became of it."""
import re, subprocess, time
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
BUILD = "release"


def hexed(b):
    return b.hex() if b else "-"


class Outcome:
    def __init__(self, line):
        m = re.fullmatch(r"(\d+) (\w+)(.*) \((\d+) ms\)", line)
        if not m:
            raise AssertionError(f"no outcome: {line!r}")
        self.number, self.code, self.rest, self.ms = int(m[1]), m[2], m[3].strip(), int(m[4])

    def __repr__(self):
        return f"{self.code} {self.rest} ({self.ms} ms)"

    @property
    def value(self):
        """Of a get: bytes, or None."""
        word = self.rest.split()
        assert self.code == "ok" and word[0] in ("found", "absent"), self
        if word[0] == "absent":
            return None
        return b"" if word[1] == "-" else word[1] if word[1].startswith("#") else bytes.fromhex(word[1])

    @property
    def ttl(self):
        return int(self.rest.split()[-1])

    @property
    def keys(self):
        """Of a list: the cursor, and {(bucket, key)}."""
        cursor, *names = self.rest.split()
        part = lambda s: b"" if s == "-" else bytes.fromhex(s)
        return int(cursor), [tuple(map(part, n.split("/"))) for n in names]


class Door:
    def __init__(self, target, *options):
        self.p = subprocess.Popen([TOP / "build" / BUILD / "link_test_stores", *options, target], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        first = self.p.stdout.readline().strip()
        if first != "ready":
            raise AssertionError(first)

    def say(self, *words):
        self.p.stdin.write(" ".join(map(str, words)) + "\n")

    def line(self):
        line = self.p.stdout.readline().rstrip("\n")
        if not line:
            raise AssertionError("the door has closed: " + str(self.p.wait()))
        return line

    def one(self, *words):
        self.say(*words)
        return Outcome(self.line())

    def get(self, key, bucket=b"default", word="get"):
        return self.one(word, hexed(bucket), hexed(key))

    def set(self, key, value, bucket=b"default", ttl=""):
        return self.one("set", hexed(bucket), hexed(key), value if isinstance(value, str) else hexed(value), ttl)

    def delete(self, key, bucket=b"default"):
        return self.one("delete", hexed(bucket), hexed(key))

    def exists(self, key, bucket=b"default"):
        return self.one("exists", hexed(bucket), hexed(key)).rest == "found"

    def incr(self, key, n=1, bucket=b"default"):
        return self.one("incr", hexed(bucket), hexed(key), n)

    def swap(self, key, value, bucket=b"default", word="swap"):
        return self.one(word, hexed(bucket), hexed(key), hexed(value))

    def check(self):
        return self.one("check")

    def all_keys(self, bucket=b"default", limit=100):
        cursor, found, pages = 0, [], 0
        while True:
            r = self.one("list" if bucket is not None else "list-all", hexed(bucket or b""), limit, cursor)
            assert r.code == "ok", r
            cursor, keys = r.keys
            found += keys
            pages += 1
            if cursor == 0:
                return found, pages
            assert keys, "an empty page that is not the last"

    def storm(self, n, key, bucket=b"default", *more):
        """`more`: how many at once."""
        self.say("storm", n, hexed(bucket), hexed(key), *more)
        words = self.line().split()
        return {words[i]: int(words[i + 1]) for i in range(0, 12, 2)}

    def begin(self, *words):
        self.say("&", *words)

    def wait(self, n):
        """What became of n commands that were begun."""
        self.say("wait")
        lines = [self.line() for _ in range(n + 1)]
        assert lines[-1] == "done", lines
        return [Outcome(x) for x in lines[:-1]]

    def close(self):
        self.p.stdin.close()
        status = self.p.wait(60)
        assert status == 0, f"the door ended with {status}"

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind:
            self.p.kill()
            self.p.wait()
        else:
            self.close()


def recovers(d, key, value=None, within=15):
    """The server is back: the key is read, and has that value if one is given."""
    end = time.monotonic() + within
    while (r := d.get(key)).code != "ok" and time.monotonic() < end:
        time.sleep(0.05)
    assert r.code == "ok" and value in (None, r.value), r


def loses_nothing_acknowledged(server, increments, after, rounds):
    """A server killed while so many increments are on their way, each time a little later: what it said it did is there, and nothing that was never sent."""
    for round in range(rounds):
        with Door(server.target) as d:
            d.incr(b"n", 0)
            before = int(d.get(b"n").value)
            for _ in range(increments):
                d.begin("incr", b"default".hex(), b"n".hex(), 1)
            time.sleep(after * round)
            server.kill()
            ends = d.wait(increments)
            server.start()
            recovers(d, b"n")
            acknowledged, unknown = (sum(x.code == c for x in ends) for c in ("ok", "unknown"))
            counted = int(d.get(b"n").value) - before
            assert acknowledged <= counted <= acknowledged + unknown, (acknowledged, counted, unknown)
            assert {x.code for x in ends} <= {"ok", "unknown", "unsent"}, {x.code for x in ends}

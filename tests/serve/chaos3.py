"""Guests of WASI 0.3 that do anything with what the host has of streams and futures: straight programs of random calls of http, cli and the component model's own
functions, most of them with a handle of the right kind. What they end with is their own affair (most trap in the end); the host has to be there afterwards.

    chaos3.py [--seed N] [--programs N] [--tenon FILE] [--linked]

Programs of even seeds are commands, of odd ones handlers of requests.
"""
import argparse, contextlib, random, socket, struct, subprocess, sys, tempfile
from pathlib import Path

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[1] / "conform")]
from assemble import *
from harness import Many, Server, check, config
from work import HTTP, RESULT
from work3 import Command, wit

CELLS, PAIR, VALUES, TEXTS, BUFFER = 2048, 2040, 3072, 3600, 16384  # where handles, both ends of what is made, values, texts and bytes lie
CLIENT, STDOUT = "wasi:http/client", "wasi:cli/stdout"
CHAOS = "test:chaos/ends"  # pass: async func(stream<u8>, stream<string>, future<result<u32, string>>) -> a tuple of the same
# Streams of bytes and of texts, a future of a number, of trailers, of how a message was liked, of what became of the output: the binary codes of new, read, write, cancel-read, cancel-write,
# drop-readable, drop-writable.
STREAM, FUTURE = range(0x0e, 0x15), range(0x15, 0x1c)
CODES = {"s": STREAM, "v": STREAM, "q": FUTURE, "t": FUTURE, "r": FUTURE, "o": FUTURE}
NUMBER = b"\x6a\x01" + U32 + b"\x01" + STRING
ACTIONS = ("new", "read", "write", "cancel-read", "cancel-write", "drop-readable", "drop-writable")


class Steps:
    """What is done with streams and futures, in code of its component (`c`), as `rng` chooses. `makes`: kinds of which it has both ends, `takes`: that somebody else has
    the writable end of (capitals)."""
    makes, takes, things = "", "", []

    def _ends(self, k, definition):
        t, codes, length = u(self.c.define(definition)), CODES[k], [I32] * (CODES[k] is STREAM)
        copy = t + vec([b"\x03\0", b"\x04\0", b"\x06"])
        for action, code in zip(ACTIONS, codes):
            core = {"n": ([], [I64]), "r": ([I32, I32] + length, [I32]), "w": ([I32, I32] + length, [I32]), "c": ([I32], [I32]), "d": ([I32], [])}[action[0]]
            self.c.builtin(f"{k} {action}", core, bytes([code]) + (copy if action in ("read", "write") else t + b"\x01" if action[0] == "c" else t))

    # ---- what it holds: (kind, cell). Kinds of ends: what it carries (a capital: the host has the other end), r or w, and (where a copy is perhaps under way) b.
    def _keep(self, kind, code):
        """`code` leaves a handle."""
        self.cells += 1
        self.held.append((kind, CELLS + 4 * self.cells))
        return const(CELLS + 4 * self.cells) + code + b"\x36\x02\0"

    def _one(self, *kinds, then=None):
        """One of these kinds, now and then of any, which is of the kind `then` afterwards; None: there is none."""
        have = [h for h in self.held if h[0] in kinds]
        if self.held and self.rng.random() < 0.003:
            have = self.held
        if not have:
            return None
        h = self.rng.choice(have)
        if self.rng.random() < 0.98:
            self.held.remove(h)
            if then:
                self.held.append((h[0][0] + then if len(h[0]) < 4 else h[0], h[1]))
        return load(h[1])

    def _value(self, k):
        """A value of a future, mostly one of its type."""
        at = VALUES + 64 * self.rng.randrange(8)
        fields = k == "t" and self.rng.random() < 0.3 and self._one("fields")
        code = fill(at, self.rng.choice((0, 0, 0, 0, 0, 1, 255)) if not fields else 0, 64)
        if fields:
            code += self.some(at, fields)
        return code, const(at)

    def some(self, at, handle):
        inner = next(f[2] for f in self.wit.funcs[HTTP] if f[0] == "[static]response.new") and self._payload_of_trailers
        return store(at + inner, 1, 1) + store(at + inner + 4, handle)

    @property
    def _payload_of_trailers(self):
        t = next(t for n, t in self._func(HTTP, "[static]response.new")[2] if n == "trailers")[1]
        return self.payload(t)

    # ---- steps: code, or None where something is missing
    def make(self):
        k = self.rng.choice(self.makes)
        return (const(PAIR) + self.c.call(f"{k} new") + b"\x37\x03\0" + self._keep(f"{k}r", load(PAIR)) + self._keep(f"{k}w", load(PAIR + 4)))

    def write(self):
        k = self.rng.choice(self.makes)
        end = self._one(f"{k}w", then="wb")
        if not end:
            return None
        if k == "s":
            return end + const(BUFFER) + const(self.rng.choice((0, 1, 100, 70000))) + self.c.call("s write") + DROP
        if k == "v":
            text = store(TEXTS, BUFFER if self.rng.random() < 0.95 else -1) + store(TEXTS + 4, self.rng.choice((0, 5, 3000)))
            return text + repeat(TEXTS, 8, 8) + end + const(TEXTS) + const(self.rng.choice((0, 1, 3, 8))) + self.c.call("v write") + DROP
        code, at = self._value(k)
        return code + end + at + self.c.call(f"{k} write") + DROP

    def read(self):
        k = self.rng.choice(self.takes + "s")
        end, most = self._one(f"{k}r", then="rb"), {"s": (0, 1, 100, 70000), "v": (0, 1, 5, 100)}.get(k.lower())
        return end and end + const(BUFFER) + (const(self.rng.choice(most)) if most else b"") + self.c.call(f"{k.lower()} read") + DROP

    def cancel(self):
        k, way = self.rng.choice(self.makes + self.takes), self.rng.choice("rw")
        end = self._one(f"{k}{way}b", then=way)
        return end and end + self.c.call(f"{k.lower()} cancel-{'read' if way == 'r' else 'write'}") + DROP

    def drop(self):
        busy = [k + "wb" for k in self.makes] + [k + "rb" for k in self.takes]
        k = self.rng.choice([k + "r" for k in self.makes + self.takes] + [k + "w" for k in self.makes if CODES[k] is STREAM] + busy + self.things)
        if k[2:] == "b" and self.rng.random() < 0.95:
            return None
        handle = self._one(k)
        if not handle:
            return None
        return handle + self.c.call("subtask.drop" if k == "subtask" else f"drop {k}" if len(k) > 3 else f"{k[0].lower()} drop-{'readable' if k[1] == 'r' else 'writable'}")

    def wait(self):
        return self.c.call("thread.yield") + DROP

    def _passes(self):
        """Types of what is passed between components; the tuple of them."""
        texts, number = self.c.define(b"\x66\x01" + STRING), self.c.define(NUMBER)
        self._ends("v", b"\x66\x01" + STRING)
        self._ends("q", b"\x65\x01" + s(number))
        future = self.c.define(b"\x65\x01" + s(number))
        return s(self.c.define(b"\x6f" + vec([s(self.c.define(b"\x66\x01" + U8)), s(texts), s(future)])))

    def _three(self):
        """(code, handles) of one of each kind that passes, which are made where there are none."""
        code, found = b"", []
        for k in "svq":
            while not (end := self._one(k + "r", k.upper() + "r")):
                code += const(PAIR) + self.c.call(f"{k} new") + b"\x37\x03\0" + self._keep(k + "r", load(PAIR)) + self._keep(k + "w", load(PAIR + 4))
            found.append(end)
        return code, found

    def program(self, n):
        code = b""
        while n:
            step = self.rng.choice(self.STEPS)(self)
            if step:
                code, n = code + step, n - 1
        return code


class Chaos(Steps, Command):
    """`rng` chooses `n` steps. A handler (`answers`) returns a response in the middle. `asks`: it calls another component."""
    makes, takes, things = "ssttrr", "SSTRO", ["request", "response", "fields", "subtask"]

    def __init__(self, rng, n, answers, asks=False):
        self.rng, self.n, self.answers, self.asks = rng, n, answers, asks
        if asks:
            self.makes, self.takes = self.makes + "vvqqs", self.takes + "VVQQS"
            self.STEPS = self.STEPS + (Chaos.ask,) * 6
        super().__init__(wit(), HTTP, "[static]response.new")

    # ---- what it imports
    def _import(self):
        for interface, label in ((HTTP, "[constructor]fields"), (HTTP, "[static]request.new"), (HTTP, "[static]request.consume-body"), (HTTP, "[static]response.consume-body"),
                (CLIENT, "send"), (STDOUT, "write-via-stream")):
            self._need(self._func(interface, label))
        self._declare()
        c, at = self.c, self.objects[HTTP]
        if self.asks:
            i = c.interface(CHAOS)
            types = [i.stream(U8), i.stream(STRING), i.future(i.type(NUMBER))]
            self.asks_async = self.rng.random() < 0.5
            i.func("pass", list(zip("abc", types)), i.tuple(*types), ([I32] * 4, [I32] * self.asks_async), True)
            c.lowered_async.update(["pass"] * self.asks_async)
            self._passes()
            c.builtin("set.new", ([], [I32]), b"\x1f")
            c.builtin("set.wait", ([I32, I32], [I32]), b"\x20\0\0")
            c.builtin("join", ([I32, I32], []), b"\x23")
        k = next(k for k, x in enumerate(c.lowered) if x[1] == "send")
        c.lowered[k] = (c.lowered[k][0], "send", ([I32, I32], [I32]))
        c.lowered_async.add("send")
        index = {label: c.alias_type(at, label) for label in ("fields", "request", "response", "error-code")}
        code, own = s(index["error-code"]), {k: s(c.define(b"\x69" + u(i))) for k, i in index.items() if k != "error-code"}
        ok = {"t": b"\x01" + s(c.define(b"\x6b" + own["fields"])), "r": b"\0", "o": b"\0"}
        for k, what in ok.items():
            e = s(c.alias_type(self.objects[STDOUT], "error-code")) if k == "o" else code
            self._ends(k, b"\x65\x01" + s(c.define(b"\x6a" + what + b"\x01" + e)))
        self._ends("s", b"\x66\x01" + U8)
        for k in own:
            c.builtin(f"drop {k}", ([I32], []), b"\x03" + u(index[k]))
        c.builtin("subtask.cancel", ([I32], [I32]), b"\x06\x01")
        c.builtin("subtask.drop", ([I32], []), b"\x0d")
        c.builtin("thread.yield", ([], [I32]), b"\x0c\0")
        self.request, self.result = own["request"], s(c.define(b"\x6a\x01" + own["response"] + b"\x01" + code))
        self.flat_result = self.flat(self.wit.funcs["wasi:http/handler"][0][2])
        c.builtin("task.return", (self.flat_result, []), b"\x09\0" + self.result + vec([b"\x03\0"]))

    def make_fields(self):
        return self._keep("fields", self.c.call("[constructor]fields"))

    def message(self):
        what = self.rng.choice(("request", "response", "response"))
        fields, trailers = self._one("fields"), self._one("tr", "tr", "Tr")
        if not fields or not trailers:
            return None
        contents = self._one("sr", "Sr") if self.rng.random() < 0.7 else None
        code = fields + (const(1) + contents if contents else const(0) * 2) + trailers + (const(0) * 2 if what == "request" else b"") + const(RESULT) + self.c.call(f"[static]{what}.new")
        return code + self._keep(what, load(RESULT)) + self._keep("Rr", load(RESULT + 4))

    def consume(self):
        what = self.rng.choice(("request", "response"))
        message, liked = self._one(what), self._one("rr", "Rr")
        if not message or not liked:
            return None
        return message + liked + const(RESULT) + self.c.call(f"[static]{what}.consume-body") + self._keep("Sr", load(RESULT)) + self._keep("Tr", load(RESULT + 4))

    def send(self):
        request = self._one("request")
        return request and self._keep("subtask", request + const(RESULT + 256) + self.c.call("send") + const(4) + b"\x76")

    def print(self):
        stream = self._one("sr", "Sr")
        return stream and self._keep("Or", stream + self.c.call("write-via-stream"))

    def ask(self):
        code, ends = self._three()
        code += b"".join(ends) + const(RESULT) + self.c.call("pass")
        if self.asks_async:
            code += put(1) + self._keep("subtask", get(1) + const(4) + b"\x76")
            if self.rng.random() < 0.4:
                return code  # it goes on beside what follows
            # Unless it has returned already it is waited for.
            code += (get(1) + const(2) + b"\x47\x04\x40" + store(PAIR, self.c.call("set.new")) + get(1) + const(4) + b"\x76" + load(PAIR) + self.c.call("join") +
                load(PAIR) + const(PAIR) + self.c.call("set.wait") + DROP + b"\x0b")
            self.held.pop()
        return code + b"".join(self._keep(k, load(RESULT + 4 * n)) for n, k in enumerate(("Sr", "Vr", "Qr")))

    def cancel_call(self):
        call = self._one("subtask", then="")
        return call and call + self.c.call("subtask.cancel") + DROP

    STEPS = (Steps.make, Steps.write) * 4 + (make_fields,) * 2 + (message, Steps.read) * 3 + (consume, send, print, Steps.cancel, Steps.drop, Steps.wait) * 2 + (cancel_call,)

    def assemble(self):
        self.held, self.cells, c = [], 0, self.c
        if not self.answers:
            return self._component(self.program(self.n))
        body = const(CELLS) + get(0) + b"\x36\x02\0"
        self.held.append(("request", CELLS))
        body += self.program(self.n)
        while not (response := self._one("response")):
            body += self.make_fields() + self.make() + (self.message() or b"")
        zeros = b"".join(const64(0) if t == I64 else const(0) for t in self.flat_result[2:])
        body += (const(0) + response if response else const(1) + const(0)) + zeros + c.call("task.return") + self.program(self.n)
        handle = [lambda n: b"\x43" + vec([name("request") + self.request]) + b"\0" + self.result]
        c.code("handle", ([I32], []), [I32], body, handle, f"wasi:http/handler@{self.wit.versions['wasi:http/handler']}", is_async=True)
        return c.assemble()


class Provider(Steps):
    """Serves what the other calls."""
    makes, takes = "svq", "SVQ"

    def __init__(self, rng, n):
        self.rng, self.n, self.held, self.cells, self.c = rng, n, [], 0, Component(pages=8, realloc=65536)
        self.STEPS = (Steps.make,) + (Steps.write,) * 4 + (Steps.read,) * 4 + (Steps.cancel,) * 2 + (Steps.drop,) * 2 + (Steps.wait,) * 2

    def assemble(self):
        c = self.c
        result = self._passes()
        self._ends("s", b"\x66\x01" + U8)
        c.builtin("thread.yield", ([], [I32]), b"\x0c\0")
        c.builtin("task.return", ([I32] * 3, []), b"\x09\0" + result + vec([b"\x03\0"]))
        body = b"".join(self._keep(k, get(n)) for n, k in enumerate(("Sr", "Vr", "Qr"))) + self.program(self.n)
        code, ends = self._three()
        body += code + b"".join(ends) + c.call("task.return") + self.program(self.n)
        lifted = [b"\x66\x01" + U8, b"\x66\x01" + STRING, NUMBER, lambda n: b"\x65\x01" + s(n + 2), lambda n: b"\x6f" + vec([s(n), s(n + 1), s(n + 3)]),
            lambda n: b"\x43" + vec([name("a") + s(n), name("b") + s(n + 1), name("c") + s(n + 3)]) + b"\0" + s(n + 4)]
        c.code("pass", ([I32] * 3, []), [], body, lifted, CHAOS, is_async=True)
        return c.assemble()


def linked(seed):
    """The same of a handler and a component that it calls, in as many instances as it takes; how the last of five requests was answered."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as d:
        (Path(d) / "asks.wasm").write_bytes(Chaos(rng, rng.randrange(4, 25), True, asks=True).assemble())
        (Path(d) / "serves.wasm").write_bytes(Provider(rng, rng.randrange(2, 12)).assemble())
        policy = rng.choice(("", 'policy = "concurrent"'))
        (Path(d) / "tenon.toml").write_text(f"""tenon = 1
[app]
name = "chaos"
[component.asks]
source = "asks.wasm"
links = {{ "{CHAOS}" = "serves" }}
limits = {{ deadline = "300ms", linger = "200ms" }}
{policy}
[component.serves]
source = "serves.wasm"
policy = "concurrent"
limits = {{ deadline = "300ms" }}
[link.serves]
type = "component"
component = "serves"
[[trigger.http]]
route = "/..."
component = "asks"
""")
        with Server(d, command="up") as server:
            jobs = [lambda k=k: server.post(f"/{k}", b"x" * (seed % 3 * 5000)) for k in range(5)] + [lambda: _leave(server, seed % 5 * 3000)] * 2
            for r in Many(jobs).join(60):
                a = r or a
            return getattr(a, "status", str(a))


def _leave(server, n):
    """A client that leaves in the middle of its request, whose body it has sent `n` bytes of."""
    if config.way.name != "h1":
        return
    with contextlib.suppress(OSError), socket.create_connection(server.addr) as c:
        c.sendall(b"POST /left HTTP/1.1\r\nHost: x\r\nContent-Length: 70000\r\n\r\n" + b"x" * n)
        c.settimeout(0.02)
        with contextlib.suppress(TimeoutError):
            c.recv(1000)
        c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # by a reset


def _command(at):
    return subprocess.run([str(config.tenon), "run", "--no-cache", "--deadline", "300ms", "--net", "127.0.0.1", str(at)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True, errors="replace")


def program(seed):
    """How it ended, in a word. A handler answers three requests, two of them in one instance where it lives as long."""
    rng, answers = random.Random(seed), seed % 2 == 1
    with tempfile.TemporaryDirectory() as d:
        at = Path(d) / "guest.wasm"
        at.write_bytes(Chaos(rng, rng.randrange(4, 30), answers).assemble())
        if not answers:
            p = _command(at)
            check(p.returncode in (0, 1, 124, 134) and "Sanitizer" not in p.stderr, f"seed {seed}: {p.returncode}: {p.stderr[-3000:]}")
            return {0: "well", 1: "well", 124: "late", 134: "trap"}[p.returncode]
        with Server(at, "--no-cache", *(("--policy", "concurrent") if seed & 2 else ()), "--deadline", "300ms", "--linger", "300ms", "--net", "127.0.0.1") as s:
            for k in range(3):
                a = s.post(f"/{k}", b"x" * (seed % 3 * 5000))
                _leave(s, seed % 5 * 3000)
            return a.status


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--programs", type=int, default=200)
    p.add_argument("--tenon", default=str(config.tenon))
    p.add_argument("--linked", action="store_true", help="a handler and a component that it calls")
    args = p.parse_args()
    config.tenon = Path(args.tenon)
    ends, failed = {}, 0
    for seed in range(args.seed, args.seed + args.programs):
        try:
            end = (linked if args.linked else program)(seed)
        except AssertionError as e:
            end, failed = "FAILED", failed + 1
            print(f"FAILED seed {seed}: {str(e)[-3000:]}", flush=True)
        ends[end] = ends.get(end, 0) + 1
    print(ends)
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())

"""Guests that let the host work as long as they may when they are posted to, and answer everybody else: one for each function of wit/ that is served, made
from the descriptions, so that a new function is covered when it is described. Each calls its function again and again with the largest arguments that
fit: strings and lists of 16 MiB, lists of lists whose elements are all the same 16 MiB, lists of 10,000 handles."""
import functools, re, socket, tempfile, threading
from pathlib import Path

from assemble import *
from harness import NotReady, Server, Wrk, check, cores, first_in_line

WIT = Path(__file__).resolve().parents[2] / "wit/deps"
PRIMITIVES = {"bool": BOOL, "s8": S8, "u8": U8, "s16": S16, "u16": U16, "s32": S32, "u32": U32, "s64": S64, "u64": U64, "f32": F32, "f64": F64, "char": CHAR,
    "string": STRING}
SIZES = {"bool": 1, "s8": 1, "u8": 1, "s16": 2, "u16": 2, "s32": 4, "u32": 4, "s64": 8, "u64": 8, "f32": 4, "f64": 8, "char": 4}
F32_, F64_ = 0x7d, 0x7c
RESULT, SPILL, ELEMENTS, BIG = 1024, 32768, 4 << 20, 8 << 20  # where things lie
LARGE, MANY, HANDLES, NUMBER = 16 << 20, 200000, 10000, 1 << 20  # how much there is: bytes, elements, handles; more of the last two is refused at once


# ---- the descriptions -------------------------------------------------------------------------------------------------------------------

@functools.cache
def wit():
    return Wit()


class Wit:
    """{"wasi:io/streams": {label: type}}, {…: [(name, params, result)]}. Types: ("list", t), ("own", "wasi:io/poll", "pollable")…"""

    def __init__(self, files="*[a-z].wit"):
        self.types, self.funcs, self.versions, self.is_async = {}, {}, {}, set()
        for path in sorted(WIT.glob(files)):
            text = re.sub(r"//[^\n]*", "", path.read_text())
            self.tokens, self.at = re.findall(r"%?[A-Za-z][\w-]*|[\d.]+|->|[^\s\w]|_", text), 0
            self._package()

    def _next(self, *wanted):
        token = self.tokens[self.at]
        assert not wanted or token in wanted, (token, wanted, self.tokens[self.at - 8:self.at + 4])
        self.at += 1
        return token.lstrip("%")

    def _peek(self):
        return self.tokens[self.at]

    def _skip_until(self, close):
        while self._next() != close:
            pass

    def _package(self):
        self._next("package")
        self.package = self._next() + self._next(":") + self._next()
        self._next("@")
        self.version = ""
        while self._peek() != ";":
            self.version += self._next()
        self._next(";")
        while self.at < len(self.tokens):
            self._annotations()
            if self._next("interface", "world") == "world":
                self._skip_until("}")
            else:
                self._interface()

    def _annotations(self):
        while self._peek() == "@":
            self._skip_until(")")

    def _interface(self):
        self.name = f"{self.package}/{self._next()}"
        self.versions[self.name] = self.version
        self.types[self.name], self.funcs[self.name] = {}, []
        self._next("{")
        while self._peek() != "}":
            self._annotations()
            self._item()
        self._next("}")

    def _item(self):
        types, word = self.types[self.name], self._next()
        if word == "use":
            self._use()
        elif word == "type":
            label = self._next()
            self._next("=")
            types[label] = self._type()
            self._next(";")
        elif word in ("record", "variant", "enum", "flags"):
            label = self._next()
            types[label] = ("named", self.name, label, (word, self._cases()))
        elif word == "resource":
            self._resource(self._next())
        else:
            self._next(":")
            self._func(word)

    def _use(self):
        parts = []
        while self._peek() != "{":
            parts.append(self._next())
        path = "".join(parts).split("@")[0].rstrip(".")
        path = path if ":" in path else f"{self.package}/{path}"
        self._next("{")
        while self._peek() != "}":
            label = name_ = self._next()
            if self._peek() == "as":
                self._next()
                name_ = self._next()
            self.types[self.name][name_] = ("used", path, label)
            if self._peek() == ",":
                self._next()
        self._next("}")
        self._next(";")

    def _cases(self):
        cases = []
        self._next("{")
        while self._peek() != "}":
            label, t = self._next(), None
            if self._peek() == "(":
                self._next()
                t = self._type()
                self._next(")")
            elif self._peek() == ":":
                self._next()
                t = self._type()
            cases.append((label, t))
            if self._peek() == ",":
                self._next()
        self._next("}")
        return cases

    def _resource(self, label):
        self.types[self.name][label] = ("resource", self.name, label)
        if self._next("{", ";") == ";":
            return
        while self._peek() != "}":
            self._annotations()
            word = self._next()
            if word == "constructor":
                params = self._params()
                self._next(";")
                self.funcs[self.name].append((f"[constructor]{label}", params, ("ref", self.name, label)))
                continue
            self._next(":")
            static = self._peek() == "static" and self._next()
            self._func(f"[{'static' if static else 'method'}]{label}.{word}", [] if static else [("self", ("borrow", ("ref", self.name, label)))])
        self._next("}")

    def _func(self, label, before=()):
        if self._peek() == "async":
            self._next()
            self.is_async.add((self.name, label))
        self._next("func")
        params, result = [*before, *self._params()], None
        if self._peek() == "->":
            self._next()
            result = self._type()
        self._next(";")
        self.funcs[self.name].append((label, params, result))

    def _params(self):
        params = []
        self._next("(")
        while self._peek() != ")":
            label = self._next()
            self._next(":")
            params.append((label, self._type()))
            if self._peek() == ",":
                self._next()
        self._next(")")
        return params

    def _type(self):
        word = self._next()
        if word in PRIMITIVES:
            return (word,)
        if word == "_":
            return None
        if word not in ("list", "option", "tuple", "result", "borrow", "own", "stream", "future"):
            return ("ref", self.name, word)
        of = []
        if self._peek() == "<":
            self._next()
            while self._peek() != ">":
                of.append(self._type())
                if self._peek() == ",":
                    self._next()
            self._next(">")
        if word in ("stream", "future"):
            return (word, *(of + [None])[:1])
        return ("tuple", [(str(i), t) for i, t in enumerate(of)]) if word == "tuple" else ("result", *(of + [None, None])[:2]) if word == "result" else (word, *of)

    def resolve(self, t):
        """Without names of names: a primitive, a constructor, ("named", …) or ("own" | "borrow", interface, resource)."""
        if t[0] == "ref":
            return self.resolve(self.types[t[1]][t[2]])
        if t[0] == "used":
            return self.resolve(("ref", t[1], t[2]))
        if t[0] == "resource":
            return ("own", *t[1:])
        if t[0] == "borrow" and len(t) == 2:
            return ("borrow", *self.resolve(t[1])[1:])
        return t

    def cases(self, t):
        """Of a type with parts, as (what it is: record, variant or flags; its parts)."""
        t = self.resolve(t)
        if t[0] == "named":
            return {"enum": "variant"}.get(t[3][0], t[3][0]), t[3][1]
        return {"tuple": ("record", t[1]) if t[0] == "tuple" else None, "option": ("variant", [("none", None), ("some", t[1] if len(t) > 1 else None)]),
            "result": ("variant", [("ok", t[1]), ("error", t[2])]) if t[0] == "result" else None}.get(t[0], (None, None))


# ---- the canonical ABI ------------------------------------------------------------------------------------------------------------------

def up(n, to):
    return (n + to - 1) // to * to


class Layout:
    def __init__(self, wit):
        self.wit = wit

    def size(self, t):
        """(size, alignment)"""
        t = self.wit.resolve(t)
        if t[0] in SIZES:
            return SIZES[t[0]], SIZES[t[0]]
        if t[0] in ("string", "list"):
            return 8, 4
        if t[0] in ("own", "borrow", "stream", "future"):
            return 4, 4
        kind, parts = self.wit.cases(t)
        if kind == "flags":
            n = 1 if len(parts) <= 8 else 2 if len(parts) <= 16 else 4
            return n, n
        sizes = [self.size(p) for _, p in parts if p]
        if kind == "record":
            at = 0
            for n, a in sizes:
                at = up(at, a) + n
            align = max([a for _, a in sizes], default=1)
            return up(at, align), align
        tag = 1 if len(parts) <= 256 else 2
        align = max([tag] + [a for _, a in sizes])
        return up(self.payload(t) + max([n for n, _ in sizes], default=0), align), align

    def payload(self, t):
        parts = self.wit.cases(t)[1]
        return up(1 if len(parts) <= 256 else 2, max([self.size(p)[1] for _, p in parts if p], default=1))

    def flat(self, t):
        t = self.wit.resolve(t)
        if t[0] in SIZES:
            return [{"s64": I64, "u64": I64, "f32": F32_, "f64": F64_}.get(t[0], I32)]
        if t[0] in ("string", "list"):
            return [I32, I32]
        if t[0] in ("own", "borrow", "stream", "future"):
            return [I32]
        kind, parts = self.wit.cases(t)
        if kind == "flags":
            return [I32]
        if kind == "record":
            return [f for _, p in parts for f in self.flat(p)]
        joined = []
        for _, p in parts:
            for i, f in enumerate(self.flat(p) if p else []):
                if i == len(joined):
                    joined.append(f)
                elif joined[i] != f:
                    joined[i] = I32 if {joined[i], f} == {I32, F32_} else I64
        return [I32, *joined]

    def core(self, params, result):
        """(params, results, whether the result comes by a pointer)"""
        p = [f for _, t in params for f in self.flat(t)]
        p = [I32] if len(p) > 16 else p
        r = self.flat(result) if result else []
        return (p + [I32], [], True) if len(r) > 1 else (p, r, False)


# ---- a guest ----------------------------------------------------------------------------------------------------------------------------

class NoObject(Exception):
    """Nothing that is served gives an object of that resource."""


HTTP = "wasi:http/types"
ROOTS = {(HTTP, "incoming-request"): 0, (HTTP, "response-outparam"): 1}  # what a request brings: the handler's parameters
# Streams of output trap at more than they permit: how much is asked for, and what must be asked before.
STREAM = "[method]output-stream."
PERMITTED = {STREAM + f: 4096 for f in ("write", "blocking-write-and-flush", "write-zeroes", "blocking-write-zeroes-and-flush")}
DATAGRAMS = "[method]outgoing-datagram-stream."
ASKS_BEFORE = {STREAM + "write": STREAM + "check-write", STREAM + "write-zeroes": STREAM + "check-write", DATAGRAMS + "send": DATAGRAMS + "check-send",
    "[method]incoming-datagram-stream.receive": DATAGRAMS + "send"}
# What a request has once, or what ends it: they are called once, and spend no budget.
ONCE = {"wasi:cli/exit exit", "wasi:cli/exit exit-with-code", "wasi:http/types [static]response-outparam.set", "wasi:http/types [static]incoming-body.finish"}


# Objects that more than one call gives: how is said in Guest.
FUTURE, RESPONSE, ERROR = (HTTP, "future-incoming-response"), (HTTP, "incoming-response"), ("wasi:io/error", "error")
DESCRIPTOR = ("wasi:filesystem/types", "descriptor")
UDP = "wasi:sockets/udp"
NETWORK, SOCKET = ("wasi:sockets/network", "network"), (UDP, "udp-socket")
INCOMING, OUTGOING, FOUND = (UDP, "incoming-datagram-stream"), (UDP, "outgoing-datagram-stream"), ("wasi:sockets/ip-name-lookup", "resolve-address-stream")
PERMITTED_DATAGRAMS, DATAGRAM = 16, 65507
OF_FILES = {f"[method]descriptor.{f}" for f in ("read-via-stream", "write-via-stream", "append-via-stream", "advise", "sync-data", "set-size", "read", "write")}
AUTHORITY, FILE = 256, 300  # where the texts lie


class Handler(Layout):
    """A handler of requests: what it imports, and how it answers who doesn't post."""
    ANSWERS = ("[method]incoming-request.method", "[constructor]fields", "[constructor]outgoing-response", "[static]response-outparam.set")
    POST = 2  # of the cases of `method`

    def __init__(self, wit, **of_component):
        super().__init__(wit)
        self.c, self.needs, self.funcs, self.n_locals = Component(**of_component), {}, [], 3  # locals: the parameters, then one for the answer

    def _func(self, interface, label):
        return (interface, *next(f for f in self.wit.funcs[interface] if f[0] == label))

    def _import(self):
        """All that was said to be needed, and what an answer needs."""
        for label in self.ANSWERS:
            self._need(self._func(HTTP, label))
        self._need((HTTP, "", [("a", ("own", HTTP, "incoming-request")), ("b", ("own", HTTP, "response-outparam"))], None))
        self._declare()

    def _answer(self):
        rest = self.core(*self._func(HTTP, self.ANSWERS[3])[2:])[0][3:]
        return (self.c.call(self.ANSWERS[1]) + self.c.call(self.ANSWERS[2]) + put(2) + get(1) + const(0) + get(2) +
            b"".join(const64(0) if t == I64 else const(0) for t in rest) + self.c.call(self.ANSWERS[3]) + RETURN)

    def _component(self, body, **more):
        """That does `body` if it is posted to."""
        first = get(0) + const(RESULT) + self.c.call(self.ANSWERS[0]) + const(RESULT) + b"\x2d\0\0" + const(self.POST) + b"\x47\x04\x40" + self._answer() + b"\x0b"
        self.c.code("handle", ([I32, I32], []), [I32] * (self.n_locals - 2), first + body, handler(self.c, self.objects[HTTP]),
            "wasi:http/incoming-handler@0.2.0")
        return self.c.assemble(**more)

    # ---- what is imported
    def _need(self, f):
        if f[1] and f not in self.funcs:
            self.funcs.append(f)
        here = self.needs.setdefault(f[0], {})
        for t in [p for _, p in f[2]] + ([f[3]] if f[3] else []):
            self._need_type(f[0], t, here)

    def _need_type(self, at, t, here):
        t = self.wit.resolve(t)
        if t[0] in ("own", "borrow", "named"):
            here[t[1:3]] = t
            if t[1] != at:
                self._need_type(t[1], t, self.needs.setdefault(t[1], {}))
                return
        if t[0] in ("list", "option", "stream", "future"):
            if t[1]:
                self._need_type(at, t[1], here)
        elif t[0] in ("tuple", "result", "named"):
            for _, p in self.wit.cases(t)[1]:
                if p:
                    self._need_type(at, p, here)

    def _declare(self):
        self.objects, self.defined, done = {}, {}, []

        def visit(name_):
            if name_ in done:
                return
            done.append(name_)
            for other, _ in list(self.needs[name_]):
                visit(other)
            i = self.objects[name_] = self.c.interface(f"{name_}@{self.wit.versions[name_]}")
            for (owner, label), t in self.needs[name_].items():
                self._define(i, name_, t if t[0] == "named" else ("own", owner, label))
            for f in self.funcs:
                if f[0] == name_:
                    p, r, _ = self.core(f[2], f[3])
                    i.func(f[1], [(n, self._define(i, name_, t)) for n, t in f[2]], self._define(i, name_, f[3]) if f[3] else None, (p, r),
                        f[:2] in self.wit.is_async)
        for name_ in list(self.needs):
            visit(name_)

    def _name(self, i, at, t):
        """A resource or a type with a name, of this interface or another."""
        key = (at, *t[1:3])
        if key not in self.defined:
            if t[1] != at:
                index = i.use(self.objects[t[1]], t[2])
            elif t[0] != "named":
                index = i.resource(t[2])
            else:
                index = i.named(t[2], self._parts(i, at, t))
            self.defined[key] = index
        return self.defined[key]

    def _parts(self, i, at, t):
        kind, parts = t[3]
        if kind in ("enum", "flags"):
            return {"enum": b"\x6d", "flags": b"\x6e"}[kind] + vec(name(n) for n, _ in parts)
        of = [(n, self._define(i, at, p) if p else None) for n, p in parts]
        if kind == "record":
            return b"\x72" + vec(name(n) + p for n, p in of)
        return b"\x71" + vec(name(n) + (b"\0" if p is None else b"\1" + p) + b"\0" for n, p in of)

    def _define(self, i, at, t):
        t = self.wit.resolve(t)
        if t[0] in PRIMITIVES:
            return PRIMITIVES[t[0]]
        if t[0] == "named":
            return self._name(i, at, t)
        if t[0] in ("own", "borrow"):
            r = self._name(i, at, t)
            key = (at, t)
            if key not in self.defined:
                self.defined[key] = i.own(r) if t[0] == "own" else i.borrow(r)
            return self.defined[key]
        if t[0] == "tuple":
            return i.tuple(*[self._define(i, at, p) for _, p in t[1]])
        if t[0] in ("stream", "future"):
            return getattr(i, t[0])(self._define(i, at, t[1]) if t[1] else None)
        if t[0] == "result":
            return i.result(*[self._define(i, at, p) if p else None for p in t[1:]])
        return {"list": i.list, "option": i.option}[t[0]](self._define(i, at, t[1]))

class Guest(Handler):
    """Calls one function for ever. What it borrows is made once, what it hands over for each call."""
    pages = (BIG + LARGE) >> 16

    def __init__(self, wit, interface, label):
        super().__init__(wit, pages=self.pages, realloc=SPILL * 2, apart=SPILL * 2)
        self.name, self.target, self.made, self.handed_over = f"{interface} {label}", self._func(interface, label), {}, set()
        self.before, self.has_texts = [], False
        while label in ASKS_BEFORE:
            label = ASKS_BEFORE[label]
            self.before.insert(0, self._func(interface, label))
        self.steps = []  # (function, local of what it gives), in order
        for t in [t for f in (self.target, *self.before) for t in self._handles(f)]:
            self._make(t[1:], ())
        if self.target[1] in OF_FILES:
            self._recipe(DESCRIPTOR, self._open_file, "[method]descriptor.open-at")
        for f in [f for f, _ in self.steps if not callable(f)] + [self.target, *self.before]:
            self._need(f)
        self._import()

    # ---- which functions give what it needs
    def _handles(self, f):
        return [t for _, p in f[2] for t in self._inside(p) if t[0] in ("own", "borrow")]

    def _inside(self, t):
        t = self.wit.resolve(t)
        yield t
        if t[0] == "list":
            yield from self._inside(t[1])
        elif t[0] == "option":
            yield from self._inside(t[1])
        elif t[0] in ("tuple", "result", "named"):
            kind, parts = self.wit.cases(t)
            for _, p in parts if kind == "record" else parts[:1]:
                yield from self._inside(p) if p else ()

    def _gives(self, result, resource):
        """How it is had of a result that lies at RESULT, or None: as it is, as what is in ok or some, as the beginning of a list's first element."""
        t, own = self.wit.resolve(result) if result else ("none",), ("own", *resource)
        if t == own:
            return b""
        if t[0] in ("result", "option") and t[1] and self.wit.resolve(t[1]) == own:
            return load(RESULT + self.payload(t))
        if t[0] == "list" and list(self._inside(t[1]))[1:2] == [own]:
            return load(RESULT) + b"\x28\x02\0"
        return None

    def _make(self, resource, above):
        if resource in ROOTS or resource in self.made:
            return
        if resource in RECIPES:
            RECIPES[resource](self)
            return
        for interface, funcs in self.wit.funcs.items():
            for label, params, result in funcs:
                f = (interface, label, params, result)
                if self._gives(result, resource) is None or label in above or label.endswith(".clone") or f == self.target:
                    continue
                before = dict(self.made), list(self.steps), self.n_locals
                try:
                    for t in self._handles(f):
                        if t[1:] == resource:
                            raise NoObject
                        self._make(t[1:], (*above, label))
                except NoObject:
                    self.made, self.steps, self.n_locals = before
                    continue
                self.made[resource] = self.n_locals
                self.n_locals += 1
                self.steps.append((f, resource))
                return
        raise NoObject(resource[1])

    # ---- recipes
    def _recipe(self, resource, code, *labels):
        """`code()` makes one, with functions of these names; what else is needed was made before."""
        for label in labels:
            self._need(next((i, *f) for i, fs in self.wit.funcs.items() for f in fs if f[0] == label and i not in EXPORTED))
        if resource not in self.made:
            self.made[resource] = self.n_locals
            self.n_locals += 1
        self.steps.append((code, resource))

    def _payload(self, label):
        """Where in the result of a function what it gives lies, within all ok and some."""
        t, at = next(f[2] for fs in self.wit.funcs.values() for f in fs if f[0] == label and f[2]), 0
        while self.wit.resolve(t)[0] in ("option", "result"):
            t = self.wit.resolve(t)
            t, at = t[1], at + self.payload(t)
        return at

    def _given(self, label, to):
        return const(RESULT) + self.c.call(label) + load(RESULT + self._payload(label)) + put(self.made[to])

    def _send(self):
        """A request to AUTHORITY is on its way."""
        labels = ("[constructor]fields", "[constructor]outgoing-request", "[method]outgoing-request.set-scheme", "[method]outgoing-request.set-authority", "handle")
        self._recipe(FUTURE, lambda: (
            self.c.call(labels[0]) + self.c.call(labels[1]) + put(2) + get(2) + const(1) + const(0) * 3 + self.c.call(labels[2]) + DROP +
            get(2) + const(1) + const(AUTHORITY) + const(len(self.authority)) + self.c.call(labels[3]) + DROP + get(2) + const(0) * 2 +
            self._given("handle", FUTURE)), *labels)

    def _receive(self):
        self._make(FUTURE, ())
        labels = ("[method]future-incoming-response.subscribe", "[method]pollable.block", "[method]future-incoming-response.get")
        self._recipe(RESPONSE, lambda: (get(self.made[FUTURE]) + self.c.call(labels[0]) + self.c.call(labels[1]) + get(self.made[FUTURE]) +
            self._given(labels[2], RESPONSE)), *labels)

    def _fail(self):
        """A body that ends too early is read to its end."""
        self._make(RESPONSE, ())
        labels = ("[method]incoming-response.consume", "[method]incoming-body.stream", "[method]input-stream.blocking-read")

        def code():
            read = get(2) + const64(100) + const(RESULT) + self.c.call(labels[2]) + const(RESULT) + b"\x2d\0\0\x45\x0d\0"
            return (get(self.made[RESPONSE]) + self._given(labels[0], ERROR) + get(self.made[ERROR]) + self._given(labels[1], ERROR) + get(self.made[ERROR]) + put(2) +
                b"\x03\x40" + read + b"\x0b" + load(RESULT + 8) + put(self.made[ERROR]))
        self._recipe(ERROR, code, *labels)

    def _open_file(self):
        at = self.made[DESCRIPTOR]
        return get(at) + const(0) + const(FILE) + const(1) + const(1) + const(3) + self._given("[method]descriptor.open-at", DESCRIPTOR)

    def _associate(self):
        """A socket that sends to itself, with both its streams."""
        self._make(NETWORK, ())
        self._make(SOCKET, ())
        labels = tuple("[method]udp-socket." + f for f in ("start-bind", "finish-bind", "local-address", "stream"))
        address = const(127) + const(0) * 2 + const(1) + const(0) * 6

        def code():
            socket_ = get(self.made[SOCKET])
            port = const(RESULT) + b"\x2f\1" + u(self._payload(labels[2]) + 4)
            return (socket_ + get(self.made[NETWORK]) + const(0) * 2 + address + const(RESULT) + self.c.call(labels[0]) + socket_ + const(RESULT) +
                self.c.call(labels[1]) + socket_ + const(RESULT) + self.c.call(labels[2]) + socket_ + const(1) + const(0) + port + address +
                self._given(labels[3], INCOMING) + load(RESULT + 8) + put(self.made[OUTGOING]))
        self.made[OUTGOING] = self.n_locals
        self.n_locals += 1
        self._recipe(INCOMING, code, *labels)

    def _find(self):
        """What is an address already is found at once."""
        self._make(NETWORK, ())
        self._recipe(FOUND, lambda: get(self.made[NETWORK]) + const(AUTHORITY) + const(len("127.0.0.1")) + self._given("resolve-addresses", FOUND), "resolve-addresses")

    # ---- what it does
    def _local(self, resource):
        return get(ROOTS.get(resource, self.made.get(resource)))

    def _values(self, t, most=None):
        """The core values of the largest of a type; of numbers and lists of bytes at most `most`."""
        t = self.wit.resolve(t)
        if most and (t[0] == "u64" or t == ("list", ("u8",))):
            return [const64(most)] if t[0] == "u64" else self._text(most)
        if t[0] in SIZES:
            n = {1: 0 if t[0] == "bool" else 100, 2: 200}.get(SIZES[t[0]], NUMBER)
            return [const64(n) if self.flat(t) == [I64] else const(97 if t[0] == "char" else n)]
        if t[0] == "string":
            return self._text(LARGE)
        if t[0] == "list":
            return self._text(LARGE // self.size(t[1])[0]) if self.wit.resolve(t[1])[0] in SIZES else [const(ELEMENTS), const(self._count(t))]
        if t[0] in ("own", "borrow"):
            return [self._local(t[1:])]
        kind, parts = self.wit.cases(t)
        if kind == "flags":
            return [const(0)]
        if kind == "record":
            return [v for _, p in parts for v in self._values(p)]
        k = self._case(t, parts)
        inner = self._values(parts[k][1]) if parts[k][1] else []
        have = self.flat(parts[k][1]) if parts[k][1] else []
        joined = self.flat(t)[1:]
        inner = [v + (b"\xad" if j == I64 and h == I32 else b"") for v, h, j in zip(inner, have, joined)]
        return [const(k), *inner, *[const64(0) if j == I64 else const(0) for j in joined[len(inner):]]]

    def _text(self, n):
        self.has_texts = True
        return [const(BIG), const(n)]

    def _count(self, t):
        return HANDLES if self.wit.resolve(t[1])[0] == "borrow" else PERMITTED_DATAGRAMS if self._is_datagram(t[1]) else MANY

    def _is_datagram(self, t):
        return self.wit.resolve(t)[:3] == ("named", UDP, "outgoing-datagram")

    def _case(self, t, parts):
        """The one with the most text in it; of a result the error has none that anybody waits for."""
        texts = [k for k, (_, p) in enumerate(parts) if p and any(x[0] in ("string", "list") for x in self._inside(p))]
        some = [k for k, (_, p) in enumerate(parts) if p and t[0] in ("option", "result")]
        return (texts or some or [0])[0] if t[0] != "result" else 0 if parts[0][1] else (texts or [0])[0]

    def _elements(self):
        """Lists whose elements have parts: one is written, then copied to all others. Of 4 bytes, or a pair of address and length each 4 bytes."""
        for t in (x for f in (self.target, *self.before) for _, p in f[2] for x in self._inside(p)):
            if t[0] == "list" and self.wit.resolve(t[1])[0] not in SIZES:
                size = self.size(t[1])[0]
                words = [*self._text(DATAGRAM), *[const(0)] * (size // 4 - 2)] if self._is_datagram(t[1]) else self._values(t[1])
                assert len(words) * 4 == size, t
                once = b"".join(store(ELEMENTS + 4 * k, v) for k, v in enumerate(words))
                return once + repeat(ELEMENTS, size, self._count(t))
        return b""

    def _call(self, f, resource=None):
        p, r, by_pointer = self.core(f[2], f[3])
        values = [v for _, t in f[2] for v in self._values(t, PERMITTED.get(f[1]))]
        if len(values) > 16:
            raise NoObject("an argument that lies in memory")
        code = b"".join(values) + (const(RESULT) if by_pointer else b"") + self.c.call(f[1])
        if resource is None:
            return code + (DROP if r else b"")
        put_it = put(self.made[resource])
        return code + self._gives(f[3], resource) + put_it

    def _call_with_new(self, f, resource=None):
        """The same; what it takes and an earlier call has taken is made once more."""
        if callable(f):
            return f()
        code = b""
        for t in self._handles(f):
            if t[1:] in self.handed_over:
                self.handed_over.discard(t[1:])
                code += self._call_with_new(*next(s for s in self.steps if s[1] == t[1:]))
        self.handed_over.update(t[1:] for t in self._handles(f) if t[0] == "own")
        return code + self._call(f, resource)

    def assemble(self, authority="127.0.0.1:1"):
        """`authority`: whom it asks if it needs an answer."""
        self.authority = authority
        make = b"".join(self._call_with_new(f, r) for f, r in self.steps)
        again = any(t[0] == "own" for t in self._handles(self.target))
        ready = self._elements()
        call = b"".join(self._call(f) for f in self.before) + self._call_with_new(self.target)
        self.n_calls = self.c.n_calls  # of the host, counted before it calls its function: with its request's method, without that one
        return self._component(loop(make + ready + call) if again else make + ready + loop(call), fill=(BIG, LARGE, 97) if self.has_texts else None,
            start=write(AUTHORITY, authority.encode()) + write(FILE, b"f"))


class Hoard(Guest):
    """Keeps all that a function gives. `again`: all that it is called on, instead."""
    pages = 16

    def __init__(self, wit, interface, label, again):
        super().__init__(wit, interface, label)
        self.again = again

    def assemble(self, authority="127.0.0.1:1"):
        self.authority = authority
        make = b"".join(self._call_with_new(f, r) for f, r in self.steps)
        return self._component(loop(make) if self.again else make + loop(self._call(self.target)), start=write(AUTHORITY, authority.encode()) + write(FILE, b"f"))


RECIPES = {FUTURE: Guest._send, RESPONSE: Guest._receive, ERROR: Guest._fail, INCOMING: Guest._associate, OUTGOING: Guest._associate, FOUND: Guest._find}
EXPORTED = ("wasi:cli/run", "wasi:http/incoming-handler")  # what a host calls


def guests():
    """{interface and function: Guest, or the resource that there is no object of} of all that is served."""
    found = {}
    for interface, funcs in wit().funcs.items():
        for label, _, _ in funcs if interface not in EXPORTED else ():
            try:
                found[f"{interface} {label}"] = Guest(wit(), interface, label)
            except NoObject as e:
                found[f"{interface} {label}"] = str(e)
    return found


class Peer:
    """Answers whoever asks with a body that is shorter than it said, and takes all that others send."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.authority = f"127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            threading.Thread(target=self._answer, args=self.listener.accept()[:1], daemon=True).start()

    def _answer(self, c):
        with c:
            while b"\r\n\r\n" not in (got := c.recv(65536)):
                if not got:
                    return
            c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort")


@functools.cache
def peer():
    return Peer()


FLAGS = ("--no-cache", "--memory", "256MiB", "--deadline", "200s", "--handles", "none", "--log-bytes", "none", "--net", "127.0.0.1")


class _TooSlow(Exception):
    """The machine: it spent the budget before its function was called."""


def measure(guest, cpu, more, clients=0):
    """How it ended, in words. It must have spent its budget of `cpu` ms, and at most so many `more`: what traps or returns before has shown nothing.
    `clients`: of others on its shard; then what it does is done for two seconds, and their p99 (ms), alone and meanwhile, is said as well.
    Where its start or what it needs takes the whole budget, it gets four times as much."""
    with tempfile.TemporaryDirectory() as d:
        at, share = Path(d) / "guest.wasm", Path(d) / "share"
        at.write_bytes(guest.assemble(peer().authority))
        share.mkdir()
        while True:
            try:
                return _measure(guest, at, share, cpu, more, clients)
            except _TooSlow:
                check(cpu < 10000, f"{cpu} ms are spent before its function is called")
                cpu *= 4


def _measure(guest, at, share, cpu, more, clients):
    try:
        server = Server(at, "--cpu", f"{cpu}ms", "--dir", f"{share}::/", *FLAGS, core=cores()[0] if clients else None)
    except NotReady as e:
        if "while it is instantiated: CPU budget spent" in e.log:
            raise _TooSlow
        raise
    with server as s:
        check(s.get("/others").status == 200, "nobody is answered")
        beside = beside_others(s, clients) if clients else ""
        if not clients:
            s.post("/", timeout=300)
        r = s.receipt("/")
        if r["outcome"] == "cpu budget spent" and r["host_calls"] < guest.n_calls:
            raise _TooSlow
        used = r["cpu_us"] / 1000
        how = f"{used:.0f} ms, {r['outcome']}, {r['host_calls']} calls{beside}"
        check((r["outcome"] == "cpu budget spent") != (guest.name in ONCE), f"it ended otherwise than expected: {how}: {r.get('trap', '')}")
        check(used <= cpu + more, how)
        return how


def beside_others(s, clients):
    first_in_line(s.pid)
    Wrk(s, clients, 1, "/others").result()
    alone, meanwhile = Wrk(s, clients, 1, "/others").result(), Wrk(s, clients, 2, "/others")
    n = 0
    while meanwhile.process.poll() is None:
        s.post("/", timeout=300)
        n += 1
    with_it = meanwhile.result()
    check(alone["errors"] == 0 and with_it["errors"] == 0, with_it["out"])
    return f", {n} times; p99 of others {alone['p99_ms']:.1f} -> {with_it['p99_ms']:.1f} ms"

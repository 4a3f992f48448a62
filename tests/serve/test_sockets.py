"""Sockets of guests from outside: a component as a daemon, what is granted on the command line, the limit."""
import signal, socket, subprocess, tempfile, threading, time
from pathlib import Path

from assemble import *
from common import free_port
from front import handed, listening
from harness import check, config

_FOLDER = tempfile.TemporaryDirectory(prefix="tenon-sockets-")
CODES = ("unknown", "access-denied", "not-supported", "invalid-argument", "out-of-memory", "timeout", "concurrency-conflict", "not-in-progress", "would-block",
    "invalid-state", "new-socket-limit", "address-not-bindable", "address-in-use", "remote-unreachable", "connection-refused", "connection-reset",
    "connection-aborted", "datagram-too-large", "name-unresolvable", "temporary-resolver-failure", "permanent-resolver-failure")
RESULT, OTHER = 1024, 1040
IF, ELSE, END, BR = b"\x04\x40", b"\x05", b"\x0b", b"\x0c"


def _enum(i, label, cases):
    return i.named(label, b"\x6d" + vec(name(n) for n in cases))


def _record(i, label, fields):
    return i.named(label, b"\x72" + vec(name(n) + t for n, t in fields))


def _address(i):
    v4 = _record(i, "ipv4-socket-address", [("port", U16), ("address", i.tuple(U8, U8, U8, U8))])
    v6 = _record(i, "ipv6-socket-address", [("port", U16), ("flow-info", U32), ("address", i.tuple(*[U16] * 8)), ("scope-id", U32)])
    return i.variant("ip-socket-address", [("ipv4", v4), ("ipv6", v6)])


def _sockets():
    c = Component()
    io = c.interface("wasi:io/error@0.2.0")
    io.resource("error")
    poll = c.interface("wasi:io/poll@0.2.0")
    poll.resource("pollable")
    poll.func("[method]pollable.block", [("self", poll.borrow(poll.resources["pollable"]))], None, ([I32], []))
    st = c.interface("wasi:io/streams@0.2.0")
    out, into = st.resource("output-stream"), st.resource("input-stream")
    failed = st.variant("stream-error", [("last-operation-failed", st.own(st.use(io, "error"))), ("closed", None)])
    st.func("[method]output-stream.blocking-splice", [("self", st.borrow(out)), ("src", st.borrow(into)), ("len", U64)], st.result(U64, failed),
        ([I32, I32, I64, I32], []))
    net = c.interface("wasi:sockets/network@0.2.0")
    net.resource("network")
    instance = c.interface("wasi:sockets/instance-network@0.2.0")
    instance.func("instance-network", [], instance.own(instance.use(net, "network")), ([], [I32]))
    t = c.interface("wasi:sockets/tcp@0.2.0")
    sock = t.resource("tcp-socket")
    me, code, address = ("self", t.borrow(sock)), _enum(t, "error-code", CODES), _address(t)
    nothing = t.result(None, code)
    t.func("[method]tcp-socket.start-bind", [me, ("network", t.borrow(t.use(net, "network"))), ("local-address", address)], nothing, ([I32] * 15, []))
    for step in ("finish-bind", "start-listen", "finish-listen"):
        t.func(f"[method]tcp-socket.{step}", [me], nothing, ([I32, I32], []))
    t.func("[method]tcp-socket.subscribe", [me], t.own(t.use(poll, "pollable")), ([I32], [I32]))
    streams = t.tuple(t.own(sock), t.own(t.use(st, "input-stream")), t.own(t.use(st, "output-stream")))
    t.func("[method]tcp-socket.accept", [me], t.result(streams, code), ([I32, I32], []))
    t.func("[method]tcp-socket.shutdown", [me, ("shutdown-type", _enum(t, "shutdown-type", ("receive", "send", "both")))], nothing, ([I32] * 3, []))
    new = c.interface("wasi:sockets/tcp-create-socket@0.2.0")
    new.func("create-tcp-socket", [("address-family", _enum(new, "ip-address-family", ("ipv4", "ipv6")))],
        new.result(new.own(new.use(t, "tcp-socket")), _enum(new, "error-code", CODES)), ([I32, I32], []))
    return c


def _write(c, body, locals_=(I32,) * 5):
    c.code("run", ([], [I32]), list(locals_), body, RUN, "wasi:cli/run@0.2.0")
    return c.write(Path(tempfile.mkstemp(suffix=".wasm", dir=_FOLDER.name)[1]))


def _fails(at=RESULT):
    """The guest fails where the result there is an error."""
    return const(at) + b"\x2d\0\0" + IF + const(1) + RETURN + END


def _echo(port):
    """Listens at 127.0.0.1, and gives each connection back what comes, one after the other."""
    c = _sockets()
    method = lambda m: c.call("[method]tcp-socket." + m)  # noqa: E731
    s, net, conn, into, out = range(5)
    body = const(0) + const(RESULT) + c.call("create-tcp-socket") + _fails() + load(RESULT + 4) + put(s) + c.call("instance-network") + put(net)
    body += get(s) + get(net) + const(0) + const(port) + b"".join(map(const, (127, 0, 0, 1))) + const(0) * 6 + const(RESULT) + method("start-bind") + _fails()
    for step in ("finish-bind", "start-listen", "finish-listen"):
        body += get(s) + const(RESULT) + method(step) + _fails()
    splice = get(out) + get(into) + const64(65536) + const(OTHER) + c.call("[method]output-stream.blocking-splice")
    one = (get(s) + method("subscribe") + c.call("[method]pollable.block") + get(s) + const(RESULT) + method("accept") + _fails() +
           load(RESULT + 4) + put(conn) + load(RESULT + 8) + put(into) + load(RESULT + 12) + put(out) +
           b"\x02\x40\x03\x40" + splice + const(OTHER) + b"\x2d\0\0" + b"\x0d\x01" + BR + b"\x00" + END + END +   # block loop … br_if 1, br 0
           get(conn) + const(2) + const(RESULT) + method("shutdown"))
    return _write(c, body + loop(one) + UNREACHABLE)


def _three():
    """Fails if it can't have three sockets."""
    c = _sockets()
    return _write(c, (const(0) + const(RESULT) + c.call("create-tcp-socket") + _fails()) * 3 + const(0))


def _connect(port):
    for _ in range(500):
        try:
            return socket.create_connection(("127.0.0.1", port), 20)
        except ConnectionRefusedError:
            time.sleep(0.02)
    raise AssertionError("nobody listens")


def _exchange(port, data):
    with _connect(port) as s:
        sender = threading.Thread(target=lambda: (s.sendall(data), s.shutdown(socket.SHUT_WR)), daemon=True)
        sender.start()
        got = bytearray()
        while part := s.recv(1 << 16):
            got += part
        sender.join(20)
        return bytes(got)


def _argv(file, *flags):
    return [str(config.tenon), "run", *flags, str(file)]


def a_component_that_accepts_connections_is_a_daemon_until_sigterm():
    port = free_port()
    p = subprocess.Popen(_argv(_echo(port), "--listen-tcp", f"127.0.0.1:{port}"), stderr=subprocess.PIPE)
    try:
        for data in (b"", b"hello", bytes(range(256)) * 16384, b"again"):
            check(_exchange(port, data) == data, f"{len(data)} bytes came back otherwise")
        check(p.poll() is None, "it has ended")
        p.send_signal(signal.SIGTERM)
        check(p.wait(20) == -signal.SIGTERM, f"it ended with {p.returncode}: {p.stderr.read()}")
    finally:
        p.kill()


def it_listens_where_that_was_granted():
    port = free_port()
    guest = _echo(port)
    for flags in ((), ("--net", "all"), ("--listen-tcp", f"127.0.0.2:{port}"), ("--listen-tcp", f"[::1]:{port}"), ("--listen-tcp", "127.0.0.1:0"),
            ("--listen-udp", f"127.0.0.1:{port}")):
        p = subprocess.run(_argv(guest, *flags), capture_output=True, timeout=60)
        check(p.returncode == 1 and b"would grant it" in p.stderr and b"--listen-tcp " in p.stderr, f"{flags}: {p}")
    for address in (f":{port}", "127.0.0.1:*", "0.0.0.0:*", f"[::1]:1"):
        p = subprocess.Popen(_argv(guest, "--listen-tcp", address, "--listen-tcp", f"127.0.0.1:{port}"), stderr=subprocess.PIPE)
        try:
            check(_exchange(port, b"x") == b"x", address)
        finally:
            p.kill()
            p.wait()


def sockets_of_an_instance_are_limited():
    guest = _three()
    for limit, status in (("1", 1), ("2", 1), ("3", 0), ("none", 0)):
        p = subprocess.run(_argv(guest, "--net", "all", "--open-sockets", limit), capture_output=True, timeout=60)
        check(p.returncode == status, f"{limit}: {p}")


def a_socket_that_was_handed_over_is_the_guests_without_a_grant():
    with listening() as sock:
        port = sock.getsockname()[1]
        p = subprocess.Popen([*handed(sock), *_argv(_echo(port))], stderr=subprocess.PIPE, close_fds=False)
        try:
            check(_exchange(port, b"hello") == b"hello" and _exchange(port, b"again") == b"again", "other bytes came back")
        finally:
            p.kill()
            p.wait()
        p = subprocess.run([*handed(sock), *_argv(_echo(free_port()))], capture_output=True, timeout=60, close_fds=False)
        check(p.returncode == 1 and b"would grant it" in p.stderr, f"another address: {p}")
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        p = subprocess.run([*handed(deaf), *_argv(_three())], capture_output=True, timeout=60, close_fds=False)
        check(p.returncode == 5 and b"LISTEN_FDS" in p.stderr, f"{p}")


def of_preview_1_it_is_the_first_descriptor_behind_the_streams():
    """sock_accept(3), and the errno is the exit status."""
    types = vec([b"\x60\3\x7f\x7f\x7f\1\x7f", b"\x60\1\x7f\0", b"\x60\0\0"])
    imports = vec([name("wasi_snapshot_preview1") + name("sock_accept") + b"\0\0", name("wasi_snapshot_preview1") + name("proc_exit") + b"\0\1"])
    body = b"\0" + const(3) + const(0) + const(16) + b"\x10\0\x10\1\x0b"
    module = (b"\0asm\1\0\0\0" + section(1, types) + section(2, imports) + section(3, vec([b"\2"])) + section(5, b"\1\0\1") +
        section(7, vec([name("_start") + b"\0\2", name("memory") + b"\2\0"])) + section(10, vec([u(len(body)) + body])))
    at = Path(tempfile.mkstemp(suffix=".wasm", dir=_FOLDER.name)[1])
    at.write_bytes(module)
    with listening() as sock:
        p = subprocess.Popen([*handed(sock), *_argv(at)], stderr=subprocess.PIPE, close_fds=False)
        with socket.create_connection(sock.getsockname(), 20):
            check(p.wait(60) == 0, f"{p.returncode} {p.stderr.read()}")
    p = subprocess.run(_argv(at), capture_output=True, timeout=60)
    check(p.returncode == 8, f"without one: {p}")  # badf

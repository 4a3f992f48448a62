"""`tenon run` as a command among others: its standard streams are pipes, files and terminals, signals end it, its exit status is the guest's."""
import fcntl, os, pty, resource, signal, subprocess, tempfile, time
from pathlib import Path

from assemble import *
from harness import *

_FOLDER = tempfile.TemporaryDirectory(prefix="tenon-command-")
IF_ERR = b"\x41\x00\x2d\x00\x00\x04\x40"  # (if (i32.load8_u 0))
END, RETURN_OK = b"\x0b", b"\x41\x00\x0f"


def _streams(c):
    io = c.interface("wasi:io/error@0.2.0")
    io.resource("error")
    poll = c.interface("wasi:io/poll@0.2.0")
    poll.resource("pollable")
    poll.func("[method]pollable.block", [("self", poll.borrow(poll.resources["pollable"]))], None, ([I32], []))
    st = c.interface("wasi:io/streams@0.2.0")
    out, into = st.resource("output-stream"), st.resource("input-stream")
    error = st.variant("stream-error", [("last-operation-failed", st.own(st.use(io, "error"))), ("closed", None)])
    pollable = st.own(st.use(poll, "pollable"))
    st.func("[method]output-stream.blocking-splice", [("self", st.borrow(out)), ("src", st.borrow(into)), ("len", U64)], st.result(U64, error),
        ([I32, I32, I64, I32], []))
    st.func("[method]output-stream.blocking-write-and-flush", [("self", st.borrow(out)), ("contents", st.list(U8))], st.result(None, error),
        ([I32] * 4, []))
    st.func("[method]output-stream.check-write", [("self", st.borrow(out))], st.result(U64, error), ([I32, I32], []))
    st.func("[method]output-stream.write", [("self", st.borrow(out)), ("contents", st.list(U8))], st.result(None, error), ([I32] * 4, []))
    st.func("[method]output-stream.blocking-flush", [("self", st.borrow(out))], st.result(None, error), ([I32] * 2, []))
    st.func("[method]input-stream.subscribe", [("self", st.borrow(into))], pollable, ([I32], [I32]))
    for fd, kind in (("stdin", "input-stream"), ("stdout", "output-stream"), ("stderr", "output-stream")):
        i = c.interface(f"wasi:cli/{fd}@0.2.0")
        i.func("get-" + fd, [], i.own(i.use(st, kind)), ([], [I32]))
    return c


def _clock(c):
    poll = next(i for i in c.interfaces if i.name.startswith("wasi:io/poll"))
    clock = c.interface("wasi:clocks/monotonic-clock@0.2.0")
    clock.func("subscribe-duration", [("when", U64)], clock.own(clock.use(poll, "pollable")), ([I64], [I32]))


def _command(c, body, locals_=(I32, I32)):
    c.code("run", ([], [I32]), list(locals_), body, RUN, "wasi:cli/run@0.2.0")
    return c.write(Path(tempfile.mkstemp(suffix=".wasm", dir=_FOLDER.name)[1]))


def _cat(poll=False):
    """Splices its input to its output until either ends; `poll`: waits for its input before each piece."""
    c = _streams(Component())
    wait = get(0) + c.call("[method]input-stream.subscribe") + c.call("[method]pollable.block") if poll else b""
    body = (c.call("get-stdin") + put(0) + c.call("get-stdout") + put(1) +
            loop(wait + get(1) + get(0) + const64(65536) + const(0) + c.call("[method]output-stream.blocking-splice") +
                 IF_ERR + get(1) + const(16) + c.call("[method]output-stream.blocking-flush") + RETURN_OK + END))
    return _command(c, body + UNREACHABLE)


def _print(n=0):
    """4 KiB of zeroes, for ever or n times; ends well when its output is closed."""
    c = _streams(Component())
    write = get(1) + const(8192) + const(4096) + const(0) + c.call("[method]output-stream.blocking-write-and-flush") + IF_ERR + RETURN_OK + END
    return _command(c, c.call("get-stdout") + put(1) + (times(0, n, write) + const(0) if n else loop(write) + UNREACHABLE))


def _argv(file, *flags):
    return [str(config.tenon), "run", *flags, str(file)]


def _run(file, *flags, **more):
    return subprocess.run(_argv(file, *flags), capture_output="stdout" not in more, timeout=60, **more)


def standard_input_is_a_pipe_a_file_or_nothing():
    data = os.urandom(1 << 20)
    with tempfile.NamedTemporaryFile() as f:
        f.write(data)
        f.flush()
        for cat in (_cat(), _cat(poll=True)):
            check(_run(cat, input=data).stdout == data, "through a pipe")
            with open(f.name, "rb") as file:
                r = _run(cat, stdin=file)
                check(r.stdout == data, f"from a file: {len(r.stdout)} {r.stderr[:200]}")
            check(_run(cat, stdin=subprocess.DEVNULL).stdout == b"", "from /dev/null")
            check(_run(cat, preexec_fn=lambda: os.close(0)).stdout == b"", "closed")


def a_line_of_input_is_answered_before_the_next_one_comes():
    for cat in (_cat(), _cat(poll=True)):
        p = subprocess.Popen(_argv(cat), stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        for line in (b"one\n", b"two\n"):
            p.stdin.write(line)
            check(p.stdout.read(len(line)) == line, "the line comes back")
        p.stdin.close()
        check(p.wait(20) == 0, "ends with its input")


def input_that_was_not_asked_for_is_left_to_others():
    with tempfile.NamedTemporaryFile() as f:
        f.write(b"x" * 300000)
        f.flush()
        with open(f.name, "rb") as file:
            _run(_print(1), stdin=file)
            check(file.tell() == 0, "nothing was read ahead")


def a_folder_as_standard_input_is_an_error_for_the_guest():
    fd = os.open("/", os.O_RDONLY)
    try:
        r = _run(_cat(), stdin=fd)
        check(r.returncode == 0 and r.stdout == b"", f"{r.returncode} {r.stderr}")
    finally:
        os.close(fd)


def a_reader_that_is_slow_gets_everything_and_one_that_goes_ends_it():
    p = subprocess.Popen(_argv(_print(256)), stdout=subprocess.PIPE)
    time.sleep(0.3)
    check(len(p.stdout.read()) == 256 * 4096 and p.wait(20) == 0, "all of it, late")
    p = subprocess.Popen(_argv(_print()), stdout=subprocess.PIPE)
    p.stdout.read(8192)
    p.stdout.close()
    check(p.wait(20) == 0, "the guest is told that its output is closed")


def output_beyond_the_size_that_files_may_have_is_an_error_for_the_guest():
    most = 8 << 20
    with tempfile.TemporaryFile() as file:
        p = subprocess.Popen(_argv(_print()), stdout=file, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most)))
        check(p.wait(60) == 0, f"the guest is told, and ends by itself: {p.returncode}")
        check(os.fstat(file.fileno()).st_size == most, f"{os.fstat(file.fileno()).st_size} bytes")


def what_is_no_text_does_not_come_to_the_guest():
    guest = _print(1)
    for argv in (["run", guest, b"a\xff"], ["run", "--env", b"A=\xff", guest], ["run", "--env", b"\xff=A", guest], ["run", "--env", "A", guest]):
        r = subprocess.run([str(config.tenon), *argv], capture_output=True, timeout=60, env={**os.environb, b"A": b"\xff"})
        check(r.returncode == 2 and r.stderr.startswith(b"error: not in UTF-8: '"), f"{argv} {r.returncode} {r.stderr}")
    check(_run(guest, "--env", "B=räksmörgås").returncode == 0, "what is goes on")


def output_that_somebody_made_non_blocking_is_not_lost():
    read, write = os.pipe()
    os.set_blocking(write, False)
    p = subprocess.Popen(_argv(_print(256)), stdout=write)
    os.close(write)
    time.sleep(0.3)
    with open(read, "rb") as f:
        check(len(f.read()) == 256 * 4096 and p.wait(20) == 0, "all of it")


def several_handles_of_an_output_may_use_what_each_was_permitted():
    c = _streams(Component())
    body = b"".join(c.call("get-stdout") + put(k) + get(k) + const(0) + c.call("[method]output-stream.check-write") for k in range(4))
    body += b"".join(get(k) + const(8192) + const(4096) + const(0) + c.call("[method]output-stream.write") for k in range(4))
    guest = _command(c, body + get(0) + const(0) + c.call("[method]output-stream.blocking-flush") + const(0), (I32,) * 4)
    read, write = os.pipe()
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(write, False)
    p = subprocess.Popen(_argv(guest), stdout=write)
    os.close(write)
    time.sleep(0.3)
    with open(read, "rb") as f:
        check(len(f.read()) == 4 * 4096 and p.wait(20) == 0, "all of it")


def a_deadline_ends_a_guest_whose_output_nobody_reads():
    p = subprocess.Popen(_argv(_print(), "--deadline", "300ms"), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    check(p.wait(20) == 124, "124")
    p = subprocess.Popen(_argv(_cat(), "--deadline", "300ms"), stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    check(p.wait(20) == 124, "124 also where it waits for input")


def signals_end_a_command_whatever_it_does():
    c = _streams(Component())
    _clock(c)
    waits = _command(c, const64(1 << 62) + c.call("subscribe-duration") + c.call("[method]pollable.block") + const(0))
    spins = _command(_streams(Component()), loop(b"") + UNREACHABLE)
    for guest, stdin in ((waits, subprocess.DEVNULL), (spins, subprocess.DEVNULL), (_cat(), subprocess.PIPE)):
        for sig in (signal.SIGINT, signal.SIGTERM):
            p = subprocess.Popen(_argv(guest), stdin=stdin, stderr=subprocess.PIPE)
            time.sleep(0.5)
            p.send_signal(sig)
            check(p.wait(20) == -sig, f"ended by the signal {sig}")  # 128 + the signal for a shell


def a_signal_that_was_ignored_stays_ignored():
    c = _streams(Component())
    _clock(c)
    waits = _command(c, const64(10**9) + c.call("subscribe-duration") + c.call("[method]pollable.block") + const(0))
    p = subprocess.Popen(_argv(waits), preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
    time.sleep(0.4)
    p.send_signal(signal.SIGINT)
    check(p.wait(20) == 0, "as nohup and a shell's jobs in the background have it")


def a_guests_own_exit_code_is_the_status():
    for code in (0, 1, 3, 77, 255):
        c = Component()
        i = c.interface("wasi:cli/exit@0.2.0")
        i.func("exit-with-code", [("status-code", U8)], None, ([I32], []))
        check(_run(_command(c, const(code) + c.call("exit-with-code") + UNREACHABLE)).returncode == code, f"exit {code}")


def a_terminal_is_said_to_be_one():
    c = Component()
    for way, streams in (("input", ["stdin"]), ("output", ["stdout", "stderr"])):
        t = c.interface(f"wasi:cli/terminal-{way}@0.2.0")
        t.resource(f"terminal-{way}")
        for stream in streams:
            i = c.interface(f"wasi:cli/terminal-{stream}@0.2.0")
            i.func(f"get-terminal-{stream}", [], i.option(i.own(i.use(t, f"terminal-{way}"))), ([I32], []))
    i = c.interface("wasi:cli/exit@0.2.0")
    i.func("exit-with-code", [("status-code", U8)], None, ([I32], []))
    body = const(0)
    for k, stream in enumerate(("stdin", "stdout", "stderr")):
        body += const(64 * k) + c.call(f"get-terminal-{stream}") + const(64 * k) + b"\x2d\x00\x00" + const(1 << k) + MUL + ADD
    guest = _command(c, body + c.call("exit-with-code") + UNREACHABLE)
    main, side = pty.openpty()
    try:
        null = subprocess.DEVNULL
        check(_run(guest, stdin=null, stdout=null, stderr=null).returncode == 0, "none is")
        check(_run(guest, stdin=side, stdout=null, stderr=null).returncode == 1, "the input is")
        check(_run(guest, stdin=null, stdout=side, stderr=side).returncode == 6, "the outputs are")
    finally:
        os.close(main)
        os.close(side)

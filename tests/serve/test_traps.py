"""Where a trap happened, in the log and in what `tenon run` says: names from the name section, files and lines from DWARF, which another process reads."""
import struct, subprocess, tempfile, time
from pathlib import Path

import component
from component import name, section, u, vec
from harness import *

_FOLDER = tempfile.TemporaryDirectory(prefix="tenon-traps-")
_START, _END = 2, 60  # addresses that the unit covers: the bodies of both functions


def _names(**functions):
    """The section of names: n3="…" is function 3's."""
    names = vec([u(int(k[1:])) + name(v) for k, v in functions.items()])
    return "name", b"\x01" + u(len(names)) + names


_NAMES = _names(n3="begin", n4="_ZN3app6handleEv")


def _line_program(at):
    """Line 11 from _START on, line 12, column 5, from `at` on."""
    head = bytes([1, 1, 1, 0xfb, 14, 13, 0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1]) + b"\0" + b"app.c\0\0\0\0" + b"\0"
    program = b"\0\x05\x02" + struct.pack("<I", _START) + b"\x03\x0a\x01" + b"\x05\x05\x03\x01\x02" + u(at - _START) + b"\x01" + b"\x02" + u(_END - at) + b"\0\x01\x01"
    body = b"\x04\0" + struct.pack("<I", len(head)) + head + program
    return struct.pack("<I", len(body)) + body


def _dwarf(at):
    abbrev = bytes([1, 0x11, 0, 0x03, 0x08, 0x1b, 0x08, 0x10, 0x17, 0x11, 0x01, 0x12, 0x06, 0, 0, 0])
    info = b"\x04\0" + bytes(4) + b"\x04" + b"\x01app.c\0/src\0" + bytes(4) + struct.pack("<II", _START, _END - _START)
    return [(".debug_abbrev", abbrev), (".debug_info", struct.pack("<I", len(info)) + info), (".debug_line", _line_program(at))]


def _guest(customs):
    file = Path(tempfile.mkstemp(suffix=".wasm", dir=_FOLDER.name)[1])
    file.write_bytes(component.handler(customs=customs))
    return file


def _backtrace(s, path, n=1):
    for _ in range(3000):
        r = [o for o in s.receipts(path) if "backtrace" in o]
        if len(r) >= n:
            return r[n - 1]["backtrace"]
        time.sleep(0.02)
    raise AssertionError(f"no backtrace of {path}: {s.log_text()[-500:]}")


def a_trap_has_its_name_file_and_line_in_the_log():
    with Server(_guest([_NAMES, *_dwarf(8)])) as s:
        for path in ("/a", "/b"):
            check(s.get(path).status == 500, "a trap")
            text = _backtrace(s, path)
            check(re.fullmatch(r"  at app::handle \(offset 0x[0-9a-f]+\), /src/app\.c:12:5\n", text), f"{text!r}")


def a_trap_without_dwarf_has_its_name_and_offset():
    with Server(_guest([_NAMES])) as s:
        check(s.get("/").status == 500, "a trap")
        check(re.fullmatch(r"  at app::handle \(offset 0x[0-9a-f]+\)\n", _backtrace(s, "/")), _backtrace(s, "/"))


def the_answer_does_not_wait_for_the_line_and_a_drain_does():
    s = Server(_guest([_NAMES, *_dwarf(8)]))
    check(s.get("/").status == 500, "a trap")
    check(s.stop() == 0, "ended well")
    text = _backtrace(s, "/")
    check("/src/app.c:12:5" in text, f"{text!r}")


def dwarf_that_is_cut_or_damaged_costs_the_line_alone():
    whole = _dwarf(8)
    for broken in ([(n, c[:len(c) // 2]) for n, c in whole], [(n, bytes(len(c))) for n, c in whole], [(n, b"\xff" * len(c)) for n, c in whole],
                   [(n, c * 1000) for n, c in whole], [(".debug_info", whole[1][1]), (".debug_line", whole[2][1])]):
        with Server(_guest([_NAMES, *broken])) as s:
            for path in ("/a", "/b", "/c"):
                check(s.get(path).status == 500, "a trap")
                check(re.match(r"  at app::handle \(offset 0x[0-9a-f]+\)", _backtrace(s, path)), _backtrace(s, path))


def names_that_would_write_into_the_log_do_not():
    with Server(_guest([_names(n4="x\n  at y\x1b[31m")])) as s:
        check(s.get("/").status == 500, "a trap")
        check(re.fullmatch(r"  at x\\x0a  at y\\x1b\[31m \(offset 0x[0-9a-f]+\)\n", _backtrace(s, "/")), f"{_backtrace(s, '/')!r}")


def a_command_that_traps_says_file_and_line():
    func, body = b"\x60\0\0", b"\0\x01\x01\0\x0b"
    module = (b"\0asm\x01\0\0\0" + section(1, vec([func])) + section(3, vec([u(0)])) + section(7, vec([name("_start") + b"\0\0"])) +
              section(10, vec([u(len(body)) + body])) +
              b"".join(section(0, name(n) + c) for n, c in [_names(n0="_start"), *_dwarf(4)]))
    file = Path(_FOLDER.name) / "command.wasm"
    file.write_bytes(module)
    r = subprocess.run([str(config.tenon), "run", str(file)], capture_output=True, timeout=60, text=True)
    check(r.returncode == 134, f"{r.returncode} {r.stderr}")
    check(re.search(r"^  at _start \(offset 0x[0-9a-f]+\), /src/app\.c:12:5$", r.stderr, re.M), r.stderr)

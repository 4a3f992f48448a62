"""Core modules with a world in a custom section: served as components, with preview 1 beside what the world imports."""
import json, os, re, subprocess, tempfile, time
from pathlib import Path

import work, work3
from assemble import *
from harness import Many, Server, check, config

FOLDER = 3  # the first descriptor behind the streams


def _module():
    m = Module()
    m.preview1("fd_write", [I32] * 4)
    m.preview1("path_open", [I32] * 5 + [I64, I64, I32, I32])
    m.preview1("random_get", [I32] * 2)
    m.preview1("environ_sizes_get", [I32] * 2)
    m.preview1("clock_time_get", [I32, I64, I32])
    h = m.interface("wasi:http/types@0.2.0")
    h.resource("incoming-request")
    h.resource("response-outparam")
    m.drops(h, "response-outparam")
    m.http = h
    return m


def _print(m, text):
    """A line on stdout; `text`: a str, or instructions that give a digit."""
    put_text = write(32, text.encode() + b"\n") if isinstance(text, str) else store(32, text + const(48) + ADD, 1) + store(33, 10, 1)
    n = len(text) + 1 if isinstance(text, str) else 2
    return put_text + store(0, 32) + store(4, n) + const(1) + const(0) + const(1) + const(8) + m.call("fd_write") + DROP


def _open(m):
    """Opens a file of the folder, and leaves it open: its descriptor lies at 64 then, -1 where it can't be."""
    opened = const(FOLDER) + const(0) + const(16) + const(1) + const(1) + const64(0x42) + const64(0x42) + const(0) + const(64) + m.call("path_open")
    return store(64, 0) + write(16, b"f") + opened


def _handle(m, body):
    m.code("handle", ([I32, I32], []), [I32] * 2, body + get(1) + m.call("[resource-drop]response-outparam"), handler(m, m.http), "wasi:http/incoming-handler@0.2.0")
    return m


class _Served:
    def __init__(self, m, *flags, start=None, shards=1):
        self.at = tempfile.TemporaryDirectory()
        self.file = Path(self.at.name) / "module.wasm"
        self.file.write_bytes(m.assemble(start=start))
        (Path(self.at.name) / "files").mkdir()
        self.server = Server(self.file, "--dir", f"{self.at.name}/files::/", *flags, shards=shards)

    def __enter__(self):
        return self.server.__enter__()

    def __exit__(self, *why):
        self.server.__exit__(*why)
        self.at.cleanup()


def _lines(s, n):
    """What the guest printed, a line a request."""
    for _ in range(n):
        check(s.get("/").status == 500, "a guest that says nothing was answered otherwise")
    return _said(s, n)


def _said(s, n):
    for _ in range(200):
        found = re.findall(r'"guest":"(.*?)"', s.log_text())
        if len(found) >= n:
            break
        time.sleep(0.02)
    return found


def descriptors_are_an_instances_own():
    m = _module()
    with _Served(_handle(m, _open(m) + DROP + _print(m, load(64)))) as s:
        check(_lines(s, 4) == ["4"] * 4, f"fresh: {s.log_text()[-500:]}")
    m = _module()
    with _Served(_handle(m, _open(m) + DROP + _print(m, load(64))), "--policy", "keep") as s:
        check(_lines(s, 4) == ["4", "5", "6", "7"], f"kept: {s.log_text()[-500:]}")


def what_an_instance_left_open_is_closed_when_it_is_reset():
    m = _module()
    many = times(2, 100, _open(m) + DROP)
    with _Served(_handle(m, many)) as s:
        s.get("/")
        for _ in range(10):
            s.get("/")
        for _ in range(500):  # the answer goes before the reset
            if len(os.listdir(f"/proc/{s.pid}/fd")) < 100:
                return
            time.sleep(0.02)
        check(False, f"{len(os.listdir(f'/proc/{s.pid}/fd'))} descriptors are left")


def as_many_descriptors_as_handles():
    m = _module()
    many = times(2, 9, _open(m) + put(3)) + _print(m, get(3) + const(10) + b"\x6e")  # i32.div_u: emfile is 33
    with _Served(_handle(m, many), "--handles", "10") as s:
        check(_lines(s, 2) == ["3", "3"], s.log_text()[-500:])
    m = _module()
    with _Served(_handle(m, _open(m) + DROP), "--handles", "3") as s:
        check(s.get("/").status == 500, "a folder without a descriptor")
        check(s.logged("path_open: the streams and folders of the instance take 4 descriptors, of 3 that it may have (--handles)") == 1, s.log_text()[-500:])


def as_many_files_as_an_instance_may_have_open():
    m = _module()
    many = times(2, 9, _open(m) + put(3)) + _print(m, load(64))
    with _Served(_handle(m, many), "--open-files", "3") as s:
        check(_lines(s, 2) == ["0", "0"], s.log_text()[-500:])  # the ninth got none
    m = _module()
    with _Served(_handle(m, times(2, 3, _open(m) + put(3)) + _print(m, load(64))), "--open-files", "3") as s:
        check(_lines(s, 2) == ["6", "6"], s.log_text()[-500:])


def what_is_the_same_everywhere_is_in_the_image_and_the_rest_is_not():
    for label, args, cut in (("environ_sizes_get", const(128) + const(132), False), ("random_get", const(128) + const(4), True),
                             ("clock_time_get", const(0) + const64(0) + const(128), True)):
        m = _module()
        start = args + m.call(label) + DROP + store(192, load(192) + const(1) + ADD)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "module.wasm"
            path.write_bytes(_handle(m, b"").assemble(start=start))
            r = subprocess.run([str(config.tenon), "inspect", "--json", str(path)], capture_output=True, text=True, timeout=60)
            image = json.loads(r.stdout)["image"]
            check((image["after"] < image["of"]) == cut and (label in image["why"]) == cut, f"{label}: {image}")
        # Whatever is in the image, each request finds it as _initialize left it.
        m = _module()
        again = args + m.call(label) + DROP + store(192, load(192) + const(1) + ADD)
        with _Served(_handle(m, store(192, load(192) + const(1) + ADD) + _print(m, load(192))), start=again) as s:
            check(_lines(s, 3) == ["2"] * 3, f"{label}: {s.log_text()[-500:]}")


def an_image_has_no_descriptor_that_another_instance_would_not_have():
    # _initialize opens a file and keeps it, and runs in each instance therefore; each request writes to it.
    m = _module()
    kept = const(FOLDER) + const(0) + const(16) + const(1) + const(1) + const64(0x42) + const64(0x42) + const(0) + const(128) + m.call("path_open") + DROP
    wrote = load(128) + const(0) + const(1) + const(8) + m.call("fd_write")
    with _Served(_handle(m, _print(m, load(128)) + _print(m, wrote)), "--init", "once", start=write(16, b"f") + kept) as s:
        check(_lines(s, 2) and _said(s, 4) == ["4", "0"] * 2, s.log_text()[-500:])


def _answering(body):
    """A module of 0.2 that does `body(module)` and answers with 200."""
    h = work.Handler(work.wit())
    m = h.c = Module()
    for label, params in (("fd_write", [I32] * 4), ("path_open", [I32] * 5 + [I64, I64, I32, I32]), ("fd_close", [I32])):
        m.preview1(label, params)
    h._import()
    m.code("handle", ([I32, I32], []), [I32], body(m) + h._answer(), handler(m, h.objects[work.HTTP]), "wasi:http/incoming-handler@0.2.0")
    return m


def a_request_that_warms_the_image_and_leaves_a_descriptor_open_is_refused():
    def opens(m):
        return _open(m) + DROP + _print(m, load(64))

    def closes(m):
        return opens(m) + load(64) + m.call("fd_close") + DROP
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "module.wasm"
        path.write_bytes(_answering(opens).assemble())
        argv = [str(config.tenon), "serve", str(path), "--addr", "127.0.0.1:0", "--dir", f"{folder}::/", "--init", "warm=/"]
        r = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        check(r.returncode == 3 and "the instance keeps a descriptor of preview 1 over its calls: no other can have it" in r.stderr, f"{r.returncode} {r.stderr!r}")
    # Without the image nobody minds; and what closes it again warms one, in which the table of each instance is its own.
    for body, flags, before in ((opens, (), 0), (closes, ("--init", "warm=/,/"), 2)):
        with _Served(_answering(body), *flags) as s:
            check([s.get("/").status for _ in range(3)] == [200] * 3, f"{s.log_text()[-500:]}")
            check(_said(s, 3)[-3:] == ["4"] * 3, f"{s.log_text()[-500:]}")


COUNT, CLOSED, SET, SLEEP = 256, 260, 264, 268  # where the module of many requests at once has how many came, whether its descriptor was closed, what it waits for


def _many_at_once():
    """A module of 0.3: the first request opens a file and sleeps until the second has opened one too, written to the first one's and closed it. Each says what
    it got, and answers with an error."""
    h = work.Handler(work3.wit())
    m, version = Module(), h.wit.versions["wasi:http/handler"]
    h.c, m.before = m, "[async-lift]"
    for label, params in (("fd_write", [I32] * 4), ("path_open", [I32] * 5 + [I64, I64, I32, I32]), ("fd_close", [I32])):
        m.preview1(label, params)
    result = next(f for f in h.wit.funcs["wasi:http/handler"] if f[0] == "handle")[2]
    h._need((work.HTTP, "", [("request", ("own", work.HTTP, "request"))], result))
    h._declare()
    types, flat = h.objects[work.HTTP], h.flat(result)
    request, response, error = (m.alias_type(types, label) for label in ("request", "response", "error-code"))
    lifted = [b"\x69" + s(request), b"\x69" + s(response), lambda n: b"\x6a\x01" + s(n + 1) + b"\x01" + s(error),
        lambda n: b"\x43" + vec([name("request") + s(n)]) + b"\0" + s(n + 2)]
    m.drops(types, "request")
    m.builtin("[task-return]handle", (flat, []), f"[export]wasi:http/handler@{version}")
    clock = m.interface(f"wasi:clocks/monotonic-clock@{version}")
    clock.func("wait-for", [("how-long", U64)], None, ([I64], []), is_async=True)
    m.builtin("[async-lower]wait-for", ([I64], [I32]), clock.name)
    for label, params, results in (("[waitable-set-new]", [], [I32]), ("[waitable-join]", [I32] * 2, []), ("[subtask-drop]", [I32], [])):
        m.builtin(label, (params, results), "$root")
    sleeps = store(SLEEP, const64(10000000) + m.call("[async-lower]wait-for") + const(4) + b"\x76") + load(SLEEP) + load(SET) + m.call("[waitable-join]")
    sleeps += load(SET) + const(4) + b"\x74" + const(2) + b"\x72" + RETURN  # i32.shr_u, i32.shl, i32.or: CALLBACK_CODE_WAIT
    fails = const(1) + const(0) + b"".join(const64(0) if t == I64 else const(0) for t in flat[2:]) + m.call("[task-return]handle")
    wrote = const(FOLDER + 1) + const(0) + const(1) + const(8) + m.call("fd_write")
    opens = get(0) + m.call("[resource-drop]request") + store(COUNT, load(COUNT) + const(1) + ADD) + _open(m) + DROP + _print(m, load(64))
    first = load(COUNT) + const(1) + b"\x46\x04\x40" + store(SET, m.call("[waitable-set-new]")) + sleeps + b"\x0b"
    second = load(COUNT) + const(2) + b"\x46\x04\x40" + _print(m, wrote) + const(FOLDER + 1) + m.call("fd_close") + DROP + store(CLOSED, 1) + b"\x0b"
    m.code("handle", ([I32], [I32]), [], opens + first + second + fails + const(0), lifted, f"wasi:http/handler@{version}")
    waits = load(SLEEP) + m.call("[subtask-drop]") + load(CLOSED) + b"\x45\x04\x40" + sleeps + b"\x0b"
    m.code(f"[callback][async-lift]wasi:http/handler@{version}#handle", ([I32] * 3, [I32]), [], waits + _print(m, wrote) + fails + const(0), None)
    return m


def requests_in_one_instance_have_its_descriptors_and_their_own_lines():
    with _Served(_many_at_once(), "--policy", "concurrent", "--concurrency", "8", "--idle", "200ms") as s:
        before = len(os.listdir(f"/proc/{s.pid}/fd"))
        first = Many([lambda: s.get("/first")])
        check(s.logged('"guest":"4"') == 1, f"the first one opened no file: {s.log_text()[-500:]}")
        answers = [s.get("/second"), *first.join(), s.get("/third")]
        ids = {path: s.receipt(path)["id"] for path in ("/first", "/second", "/third")}
        said = {path: [o["guest"] for o in s.objects() if o.get("request") == id and "guest" in o] for path, id in ids.items()}
        check(said == {"/first": ["4", "8"], "/second": ["5", "0"], "/third": ["4"]}, f"{said}: {s.log_text()[-500:]}")  # 8: badf
        check([a.status for a in answers] == [500] * 3, f"{[a.status for a in answers]}")
        for _ in range(500):  # it is idle, and goes
            if len(os.listdir(f"/proc/{s.pid}/fd")) <= before:
                break
            time.sleep(0.02)
        check(len(os.listdir(f"/proc/{s.pid}/fd")) <= before, "its descriptors are left")


def realloc_may_ask_for_what_is_fixed_and_nothing_else():
    for label, args, ok in (("environ_sizes_get", const(128) + const(132), True), ("fd_prestat_get", const(3) + const(128), True), ("fd_write", const(1) + const(0) + const(0) + const(8), False)):
        m = _module()
        m.preview1("fd_prestat_get", [I32] * 2)
        e = m.interface("wasi:cli/environment@0.2.0")
        e.func("get-arguments", [], e.list(STRING), ([I32], []))
        m.realloc = args + m.call(label) + DROP + const(4096)
        with _Served(_handle(m, const(256) + m.call("get-arguments") + _print(m, "came back"))) as s:
            s.get("/")
            said = s.logged("came back" if ok else f"cannot leave component instance: {label} was called from realloc", 5)
            check(said >= 1, f"{label}: {s.log_text()[-500:]}")


def a_command_runs_with_its_world_beside_preview_1():
    m = _module()
    m.preview1("args_sizes_get", [I32] * 2)
    m.builtin("proc_exit", ([I32], []), "wasi_snapshot_preview1")
    c = m.interface("wasi:cli/environment@0.2.0")
    c.func("get-arguments", [], c.list(STRING), ([I32], []))
    # As many arguments by the one as by the other; then the end, with that number.
    both = const(128) + const(132) + m.call("args_sizes_get") + DROP + const(256) + m.call("get-arguments")
    body = both + load(128) + load(260) + b"\x47\x04\x40" + UNREACHABLE + b"\x0b" + _print(m, "hello") + load(128) + m.call("proc_exit")
    m.code("_start", ([], []), [], body, None)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "command.wasm"
        path.write_bytes(m.assemble())
        r = subprocess.run([str(config.tenon), "run", str(path), "a", "b"], capture_output=True, text=True, timeout=60)
        check((r.returncode, r.stdout, r.stderr) == (3, "hello\n", ""), f"{r.returncode} {r.stdout!r} {r.stderr!r}")


def async_exports_are_called_by_their_callbacks():
    m = _module()
    m.before = "[async-lift]"
    m.builtin("[task-return]run", ([I32], []), "[export]wasi:cli/run@0.3.0")
    m.builtin("[thread-yield]", ([], [I32]), "$root")
    yields = _print(m, "began") + const(1)  # CALLBACK_CODE_YIELD
    ends = _print(m, "went on") + const(1) + m.call("[task-return]run") + const(0)
    m.code("run", ([], [I32]), [], yields, RUN3, "wasi:cli/run@0.3.0")
    m.code("[callback][async-lift]wasi:cli/run@0.3.0#run", ([I32] * 3, [I32]), [], ends, None)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "command.wasm"
        path.write_bytes(m.assemble())
        r = subprocess.run([str(config.tenon), "run", str(path)], capture_output=True, text=True, timeout=60)
        check((r.returncode, r.stdout, r.stderr) == (1, "began\nwent on\n", ""), f"{r.returncode} {r.stdout!r} {r.stderr!r}")


SHAPES = "test:shapes/shapes"


def _shapes(i):
    shape = i.resource("shape")
    i.func("[constructor]shape", [("n", U32)], i.own(shape), ([I32], [I32]))
    i.func("[method]shape.area", [("self", i.borrow(shape))], U32, ([I32], [I32]))
    i.func("live", [], U32, ([], [I32]))


def _provider():
    """Shapes, and how many of them are alive."""
    m = Module()
    i = Interface(SHAPES, m)
    _shapes(i)
    m.lowered.clear()  # it exports them
    m.exports_interface(i)
    m.builtin("[resource-new]shape", ([I32], [I32]), "[export]" + SHAPES)
    m.code(f"{SHAPES}#[constructor]shape", ([I32], [I32]), [], store(512, load(512) + const(1) + ADD) + get(0) + m.call("[resource-new]shape"), None)
    m.code(f"{SHAPES}#[method]shape.area", ([I32], [I32]), [], get(0) + get(0) + MUL, None)
    m.code(f"{SHAPES}#live", ([], [I32]), [], load(512), None)
    m.code(f"{SHAPES}#[dtor]shape", ([I32], []), [], store(512, load(512) + const(-1) + ADD), None)
    return m.assemble()


def resources_of_one_are_used_by_another_over_a_link():
    m = _module()
    i = m.interface(SHAPES)
    _shapes(i)
    m.drops(i, "shape")
    body = const(3) + m.call("[constructor]shape") + put(2) + get(2) + m.call("[method]shape.area") + put(3) + _print(m, get(3))
    body += _print(m, m.call("live")) + get(2) + m.call("[resource-drop]shape") + _print(m, m.call("live"))
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "caller.wasm").write_bytes(_handle(m, body).assemble())
        (Path(folder) / "shapes.wasm").write_bytes(_provider())
        (Path(folder) / "tenon.toml").write_text(f"""tenon = 1
[app]
name = "shapes"
[component.caller]
source = "caller.wasm"
links = {{ "{SHAPES}" = "ops" }}
[component.ops]
source = "shapes.wasm"
[link.ops]
type = "component"
component = "ops"
[[trigger.http]]
route = "/..."
component = "caller"
""")
        with Server(folder, command="up") as s:
            check(s.get("/").status == 500 and s.get("/").status == 500, "a guest that says nothing was answered otherwise")
            found = _said(s, 6)
            check(found == ["9", "1", "0"] * 2, f"{found} {s.log_text()[-500:]}")


def preview_1_that_there_is_not_is_refused():
    for label, params, words in (("fd_teleport", [I32], "wasi_snapshot_preview1 has no function fd_teleport"), ("fd_close", [I64], "fd_close is imported with another type than it has")):
        m = Module()
        m.preview1(label, params)
        m.code("_start", ([], []), [], b"", None)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "command.wasm"
            path.write_bytes(m.assemble())
            r = subprocess.run([str(config.tenon), "run", str(path)], capture_output=True, text=True, timeout=60)
            check(r.returncode == 4 and words in r.stderr and f"import {label} of wasi_snapshot_preview1" in r.stderr, f"{r.returncode} {r.stderr!r}")

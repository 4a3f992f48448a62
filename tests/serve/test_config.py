"""Settings of a deployment (wasi:config, under each of its names) and messages of guests (wasi:logging)."""
import json, subprocess, tempfile
from pathlib import Path

from assemble import *
from harness import SHARED, Server, Skip, check, config

_FOLDER = tempfile.TemporaryDirectory(prefix="tenon-config-")
NAMES = ("store@0.2.0-draft", "store@0.2.0-draft-2024-09-27", "store@0.2.0-rc.1", "runtime@0.2.0-draft")
KEY, RESULT = 2048, 1024


def _write(c, body):
    c.code("run", ([], [I32]), [], body, RUN, "wasi:cli/run@0.2.0")
    return c.write(Path(tempfile.mkstemp(suffix=".wasm", dir=_FOLDER.name)[1]))


def _print_setting(interface):
    """Prints the setting "k"; fails where there is none."""
    c = Component()
    store_ = c.interface("wasi:config/" + interface)
    error = store_.variant("error", [("upstream", STRING), ("io", STRING)])
    store_.func("get", [("key", STRING)], store_.result(store_.option(STRING), error), ([I32, I32, I32], []))
    io = c.interface("wasi:io/error@0.2.0")
    io.resource("error")
    st = c.interface("wasi:io/streams@0.2.0")
    out = st.resource("output-stream")
    failed = st.variant("stream-error", [("last-operation-failed", st.own(st.use(io, "error"))), ("closed", None)])
    st.func("[method]output-stream.blocking-write-and-flush", [("self", st.borrow(out)), ("contents", st.list(U8))], st.result(None, failed), ([I32] * 4, []))
    stdout = c.interface("wasi:cli/stdout@0.2.0")
    stdout.func("get-stdout", [], stdout.own(stdout.use(st, "output-stream")), ([], [I32]))
    body = (store(KEY, ord("k"), 1) + const(KEY) + const(1) + const(RESULT) + c.call("get") + c.call("get-stdout") + load(RESULT + 8) + load(RESULT + 12) +
            const(RESULT + 64) + c.call("[method]output-stream.blocking-write-and-flush") + load(RESULT + 4) + const(1) + b"\x73")
    return _write(c, body)


def _log_at_each_level():
    """Messages "m\\n\\x1b", of context "c", from trace to critical."""
    c = Component()
    log = c.interface("wasi:logging/logging@0.1.0-draft")
    level = log.named("level", b"\x6d" + vec(name(n) for n in ("trace", "debug", "info", "warn", "error", "critical")))
    log.func("log", [("level", level), ("context", STRING), ("message", STRING)], None, ([I32] * 5, []))
    body = store(KEY, ord("c"), 1) + store(KEY + 4, int.from_bytes(b"m\n\x1b\0", "little"))
    return _write(c, body + b"".join(const(k) + const(KEY) + const(1) + const(KEY + 4) + const(3) + c.call("log") for k in range(6)) + const(0))


def _run(file, *flags, before=()):
    return subprocess.run([str(config.tenon), *before, "run", *flags, str(file)], capture_output=True, timeout=60)


def a_setting_is_served_under_each_name_of_the_interface():
    for interface in NAMES:
        file = _print_setting(interface)
        p = _run(file, "--config", "k=one=two", "--config", "other=3")
        check(p.returncode == 0 and p.stdout == b"one=two", f"{interface}: {p}")
        p = _run(file, "--config", "K=1")
        check(p.returncode == 1 and p.stdout == b"", f"{interface}: {p}")
        p = _run(file, "--config", "k=")
        check(p.returncode == 0 and p.stdout == b"", f"{interface}: {p}")


def a_name_that_is_none_of_them_does_not_link():
    p = _run(_print_setting("store@0.2.0-draft-2024-09-28"), "--config", "k=1")
    check(p.returncode == 4 and b"wasi:config/store@0.2.0-draft-2024-09-28" in p.stderr, str(p))


def messages_stand_in_the_log_with_their_level():
    file = _log_at_each_level()
    for level, shown in (("error", ("error", "critical")), ("warn", ("warn", "error", "critical")), ("info", ("info", "warn", "error", "critical")),
            ("debug", ("trace", "debug", "info", "warn", "error", "critical"))):
        p = _run(file, before=("--log", level))
        said = [json.loads(line) for line in p.stderr.decode().splitlines()]
        said = [o for o in said if "guest" in o]
        check(p.returncode == 0 and [o["guest_level"] for o in said] == list(shown), f"{level}: {p}")
        check(all(o["context"] == "c" and o["guest"] == "m\n\x1b" for o in said), f"{level}: {said}")
        check([o["level"] for o in said] == [{"trace": "debug", "critical": "error"}.get(x, x) for x in shown], f"{level}: {said}")


def messages_are_the_requests_and_within_its_limit():
    guest = SHARED / "guests-toolchains/rust-config-logging.wasm"
    if not guest.exists():
        raise Skip("../shared is not there")
    for flags, message in ((("--config", "b=2", "--config", "a=1"), "asked"), (("--log-bytes", "1"), "cut: the limit"), (("--log-bytes", "9"), "asked"),
            (("--log-bytes", "8"), "cut: the limit"), (("--log-bytes", "none"), "asked")):
        with Server(guest, *flags, log="debug") as s:
            a = s.get("/x", headers=[["X-Request-Id", "r-7"]])
            check(a.status == 200 and a.body == (b"b=2\na=1\n" if "b=2" in flags else b""), f"{flags}: {a.status} {a.body}")
            receipt = s.receipt("/x")
            said = [o for o in s.objects() if o.get("guest_level") == "info"]
            check(len(said) == 1 and message in said[0]["guest"] and said[0]["context"] == "cfg", f"{flags}: {s.log_text()}")
            check(said[0]["request"] == receipt["id"] and said[0]["request_id"] == "r-7", f"{flags}: {said} {receipt}")

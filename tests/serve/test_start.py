"""From the command line to the ready line."""
import json, signal, socket, subprocess, tempfile, time

import component
from harness import HELLO, MISBEHAVE, TOP, Server, check, config, exchange

CLI_FILES = TOP / "tests/cli/files"


def _refused(*argv):
    r = subprocess.run([str(config.tenon), *map(str, argv)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20)
    check(r.stdout == "", f"output of a command that failed: {r.stdout!r}")
    check(r.stderr.startswith("error: "), f"an error begins otherwise: {r.stderr!r}")
    return r.returncode, r.stderr


def a_ready_line_has_the_real_port_where_0_was_asked_for():
    with Server(HELLO) as s:
        check(s.addr[1] != 0, "port 0 in the ready line")
        a = s.get("/")
        check(a.status == 200 and a.body == b"Hello from a component!\n", f"{a.status} {a.body!r}")


def the_ready_line_is_json_with_json():
    p = subprocess.Popen([str(config.tenon), "--json", "serve", str(HELLO), "--addr", "127.0.0.1:0", "--shards", "1"], stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        line = json.loads(p.stdout.readline())
        check(line.keys() == {"event", "urls"} and line["event"] == "ready" and len(line["urls"]) == 1, f"{line}")
        host, port = line["urls"][0].removeprefix("http://").split(":")
        check(exchange((host, int(port)), {"method": "GET", "path": "/"}).status == 200, "it does not answer")
        p.terminate()
        check(p.wait(10) == 0, "it ended badly")
    finally:
        p.kill()


def a_request_sent_at_the_ready_line_is_answered_by_every_shard():
    for _ in range(3):
        with Server(HELLO, shards=2) as s:
            for _ in range(8):
                a = s.get("/")
                check(a.status == 200, f"{a.status} {a.error}")


def a_port_that_is_taken_is_the_environments_fault():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        status, text = _refused("serve", HELLO, "--addr", f"127.0.0.1:{taken.getsockname()[1]}")
        check(status == 5, f"exit {status}")
        check(str(taken.getsockname()[1]) in text and "hint:" in text, f"{text!r}")


def two_servers_never_share_a_port():
    with Server(HELLO, shards=2) as first:
        for shards in (1, 2):
            status, text = _refused("serve", MISBEHAVE, "--addr", f"127.0.0.1:{first.addr[1]}", "--shards", shards)
            check(status == 5, f"a second server ended with {status}: {text}")
        for _ in range(20):
            check(first.get("/").body == b"Hello from a component!\n", "another server answered")


def a_port_can_be_served_again_at_once():
    with Server(HELLO) as s:
        check(s.get("/").status == 200, "no answer")
        port = s.addr[1]
    with Server(HELLO, port=port) as s:
        check(s.get("/").status == 200, "no answer")


def what_is_no_component_has_a_sentence_of_its_own():
    for name, want, words in (("module.wasm", 3, "core module"), ("text.wat", 3, "text"), ("archive.zip", 3, "archive"), ("artifact.cwasm", 3, "artifact"),
            ("nothing.wasm", 4, "nothing to serve")):
        status, text = _refused("serve", CLI_FILES / name)
        check(status == want and words in text, f"{name}: exit {status}, {text!r}")
    elf = TOP / "build/release/tenon" if (TOP / "build/release/tenon").exists() else config.tenon
    status, text = _refused("serve", elf)
    check(status == 3 and "ELF" in text, f"ELF: exit {status}, {text!r}")


def a_file_that_is_missing_is_the_environments_fault():
    status, text = _refused("serve", "/nowhere/at-all.wasm")
    check(status == 5 and "/nowhere/at-all.wasm" in text, f"exit {status}, {text!r}")


def usage_errors_are_2_and_name_the_option():
    for argv in (["serve"], ["serve", HELLO, "--cpu", "fast"], ["serve", HELLO, "--nonsense"], ["serve", HELLO, "--policy", "never"],
            ["serve", HELLO, "--addr", "127.0.0.1:99999"], ["serve", HELLO, "--shards", "0"]):
        status, text = _refused(*argv)
        check(status == 2, f"{argv}: exit {status}, {text!r}")


def a_stream_of_short_lived_servers_leaves_no_process_behind():
    for _ in range(5):
        s = Server(HELLO, shards=2)
        began = time.monotonic()
        check(s.stop() == 0, "it ended badly")
        check(time.monotonic() - began < 3, "an idle server took long to end")


# ---- a start that does not end by itself ---------------------------------------------------------------------------------------------------

WAITS, COMPUTES = component.sleep(600_000_000_000), component.NEVER


class _Slow:
    """A component whose start function does not end."""

    def __init__(self, start):
        self.file = tempfile.NamedTemporaryFile(suffix=".wasm")
        self.file.write(component.handler(start=start))
        self.file.flush()

    def __enter__(self):
        return self.file.name

    def __exit__(self, *_):
        self.file.close()


def a_start_that_takes_too_long_is_an_error():
    for start in (WAITS, COMPUTES):
        with _Slow(start) as file:
            began = time.monotonic()
            status, text = _refused("serve", file, "--init", "once", "--deadline", "300ms", "--addr", "127.0.0.1:0")
            check(status == 124 and "while it is instantiated" in text, f"{status} {text!r}")
            check(time.monotonic() - began < 10, "the deadline is not kept")


def a_start_that_computes_is_bounded_by_cpu_too():
    with _Slow(COMPUTES) as file:
        status, text = _refused("serve", file, "--init", "once", "--cpu", "200ms", "--deadline", "none", "--addr", "127.0.0.1:0")
        check(status == 124, f"{status} {text!r}")


def a_signal_ends_a_start():
    for start, policy in ((WAITS, "fresh"), (COMPUTES, "fresh"), (WAITS, "keep")):
        for number in (signal.SIGTERM, signal.SIGINT):
            with _Slow(start) as file:
                p = subprocess.Popen([str(config.tenon), "serve", file, "--init", "once", "--deadline", "none", "--cpu", "none", "--addr", "127.0.0.1:0",
                    "--shards", "2", "--policy", policy], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                try:
                    time.sleep(0.8)  # loaded by then; before, the signal ends it as it ends any process
                    p.send_signal(number)
                    out, log = p.communicate(timeout=10)
                    check(out == "" and p.returncode in (0, -number), f"{p.returncode} {out!r} {log!r}")
                finally:
                    p.kill()


def a_request_that_runs_the_start_itself_is_bounded_as_any_other():
    with _Slow(WAITS) as file, Server(file, "--init", "each", "--deadline", "300ms") as s:
        check(s.get("/").status == 504, "not ended by its deadline")

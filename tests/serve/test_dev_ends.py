"""tenon dev: builds that don't end as they should, their page, and who ends with whom."""
import os, shutil, signal, socket, time
from pathlib import Path

from front import Folder
from harness import MISBEHAVE, check
from writing import APP, Dev, parts, until


def _is_alive(pid):
    try:
        return open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _server_of(d):
    children = open(f"/proc/{d.process.pid}/task/{d.process.pid}/children").read().split()
    return next(int(p) for p in children if b"\0up\0" in open(f"/proc/{p}/cmdline", "rb").read())


def _served(d):
    """By the newest server, which is the app's once both are built."""
    try:
        d.at = d.ready(len(d.urls))
        return d.status("one") != 500 and d.status("two") != 500
    except OSError:
        return False


def a_build_is_over_when_its_command_is_also_where_a_child_of_it_holds_its_streams():
    with Folder() as top, Dev(top, APP % parts("sleep 300 & echo $! >> .pids; cp %s/app.wasm %s.wasm")) as d:
        before = d.status("one")
        shutil.copy(MISBEHAVE, top / "one/app.wasm")
        until(lambda: "one: built in" in d.text())
        check(d.status("one") != before, d.text())
        for pid in (top / ".pids").read_text().split():
            os.kill(int(pid), signal.SIGKILL)


def a_build_that_ignores_its_end_is_ended_with_all_that_it_started():
    command = "trap '' TERM; sh -c \"trap '' TERM; echo \\$\\$ > .%s.pid; while :; do sleep 1; done\""
    with Folder() as top:
        d = Dev(top, APP % parts(command), ready=False)
        pids = [top / ".one.pid", top / ".two.pid"]
        check(until(lambda: all(p.exists() and p.read_text().strip() for p in pids)), d.text())
        began = time.monotonic()
        d.process.send_signal(signal.SIGINT)
        check(d.process.wait(60) == 0, d.text())
        check(time.monotonic() - began < 20, f"{time.monotonic() - began:.1f} s")
        for p in pids:
            check(until(lambda: not _is_alive(int(p.read_text())), 10), f"{p.name} is alive")


def a_page_with_a_zero_byte_and_megabytes_of_output_has_the_end_of_it():
    command = "if test -f %s/good; then cp %s/app.wasm %s.wasm; else head -c 2000000 /dev/zero; echo; echo 'a \"quote\" of %s'; exit 1; fi"
    with Folder() as top:
        for n in ("one", "two"):
            (top / n).mkdir()
        with Dev(top, APP % parts(command)) as d:
            a = d.get("/one/x")
            check(a.status == 500 and b"component one was not built" in a.body and b'a "quote" of one' in a.body and b'a "quote" of two' in a.body and b"\\x00\\x00" in a.body,
                f"{a.status} {a.body[:100]} {a.body[-100:]}")
            check(100 << 10 < len(a.body) <= (128 << 10) + 200, len(a.body))
            (top / "one/good").write_text("x")
            (top / "two/good").write_text("x")
            check(until(lambda: _served(d)), d.text())


def the_page_comes_also_where_the_command_line_says_something_of_the_manifest():
    manifest = APP % parts("exit 1") + '[variables]\nwho = { default = "you" }\n[profile.there.variables.who]\ndefault = "me"\n'
    with Folder() as top, Dev(top, manifest, "--set", "who=they", "--profile=there") as d:
        check(d.get("/").status == 500 and b"was not built" in d.get("/").body, d.text())


def the_server_ends_where_it_is_killed():
    with Folder() as top:
        d = Dev(top, APP % parts())
        server = _server_of(d)
        d.process.kill()
        d.process.wait(60)
        check(until(lambda: not _is_alive(server)), "the server is alive")
        try:
            socket.create_connection(d.at, 5).close()
            check(False, "somebody listens")
        except OSError:
            pass


def that_the_server_has_ended_is_told():
    with Folder() as top:
        for sig, status in ((signal.SIGKILL, 137), (signal.SIGTERM, 0)):
            d = Dev(top, APP % parts())
            os.kill(_server_of(d), sig)
            check(d.process.wait(60) == status, f"{d.process.returncode}: {d.text()}")
            until(lambda: "the server has ended" in d.text(), 5)
            check(f"the server has ended with {status}\n" in d.text(), d.text())


def _folder_of(d):
    """That of its state, by what its server was given."""
    env = open(f"/proc/{_server_of(d)}/environ", "rb").read().split(b"\0")
    return Path(next(e[12:] for e in env if e.startswith(b"TENON_STATE=")).decode())


def its_folder_is_gone_by_whatever_signal_it_ends_and_that_of_a_killed_one_with_the_next():
    # Beneath `nohup` the last one is ignored, and stays so.
    hangup = [] if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN else [signal.SIGHUP]
    for sig in (signal.SIGINT, signal.SIGTERM, *hangup):
        with Folder() as top:
            d = Dev(top, APP % parts())
            folder = _folder_of(d)
            check((folder / "lock").exists(), f"{list(folder.iterdir())}")
            d.process.send_signal(sig)
            check(d.process.wait(60) == 0 and not folder.exists(), f"{sig}: {d.process.returncode} {d.text()}")
    with Folder() as top, Folder() as other:
        with Dev(other, APP % parts()) as stays:
            d = Dev(top, APP % parts())
            killed, server = _folder_of(d), _server_of(d)
            d.process.kill()
            d.process.wait(60)
            check(until(lambda: not _is_alive(server)) and killed.exists(), "it was removed by nobody")
            with Dev(top, APP % parts()) as d:
                check(not killed.exists() and _folder_of(stays).exists() and _folder_of(d).exists(), f"{killed}")

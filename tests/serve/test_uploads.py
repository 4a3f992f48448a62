"""The bytes of a component that a request brings: they lie in a file of the state folder as they come, never whole in memory; what comes to nothing is removed."""
import hashlib, json, os, re, subprocess
from pathlib import Path

from front import Folder, connect
from harness import HELLO, MISBEHAVE, check, config
from test_faults import _small_disk
from test_update import _App
from writing import until

MIB = 1 << 20


def _files(top, name="upload-*"):
    return sorted(Path(top).glob(f"**/blobs/{name}"))


def _resident(app):
    status = Path(f"/proc/{app.process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) << 10


def _begin(app, size, sha256="0" * 64):
    s = connect(app.socket)
    s.settimeout(60)
    s.sendall(f"POST /v1/apps/shop/components/api/versions?sha256={sha256} HTTP/1.1\r\nHost: tenon\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n".encode())
    return s


def _padded(size):
    """HELLO with a custom section behind it, so that it has at least so many bytes."""
    n, leb = size + 2, b""
    while True:
        leb += bytes([n & 127 | (n > 127) << 7])
        n >>= 7
        if not n:
            break
    return HELLO.read_bytes() + b"\0" + leb + b"\1x" + bytes(size)


def what_comes_lies_on_the_disk_and_not_in_memory():
    with Folder() as top, _App(top) as app:
        before = _resident(app)
        s = _begin(app, 1 << 30)
        for _ in range(96):
            s.sendall(bytes(MIB))
        check(until(lambda: _files(top) and _files(top)[0].stat().st_size > 95 * MIB), "it is not written")
        more = [_begin(app, 1 << 30) for _ in range(32)]
        for t in more:
            t.sendall(bytes(2 * MIB))
        check(until(lambda: len([f for f in _files(top) if f.stat().st_size > MIB]) == 33), "they are not written")
        check(_files(top)[0].stat().st_mode & 0o777 == 0o600, "others can read it")
        check(_resident(app) - before < 24 * MIB, f"{_resident(app) - before} bytes more")
        for t in [s, *more]:
            t.close()
        check(until(lambda: not _files(top)), f"what came to nothing stays: {_files(top)}")
        app.must_say(HELLO)


def who_sends_it_has_a_piece_of_it_in_memory():
    with Folder() as top, _App(top) as app:
        large, most = Path(top) / "large.wasm", {}
        large.write_bytes(_padded(96 * MIB))
        for file in (HELLO, large):
            with open(Path(top) / "said", "w+") as said:
                p = subprocess.Popen([str(config.tenon), "update", "api", str(file), "--dry-run"], stdin=subprocess.DEVNULL, stdout=said, stderr=said, env=app.env)
                _, status, usage = os.wait4(p.pid, 0)
                p.returncode = os.waitstatus_to_exitcode(status)
                said.seek(0)
                check(p.returncode == 0, said.read())
            most[file] = usage.ru_maxrss << 10
        check(most[large] - most[HELLO] < 8 * MIB, f"{most}")
        app.tenon("update", "api", large)
        app.must_say(HELLO)
        check(hashlib.sha256(large.read_bytes()).hexdigest() in json.dumps(app.get("components/api/versions")), app.get("components/api/versions"))


def what_a_kill_leaves_goes_with_the_next_start():
    with Folder() as top, _App(top) as app:
        with _begin(app, 4 * MIB) as s:
            s.sendall(bytes(MIB))
            check(until(lambda: _files(top)), "it is not written")
            app.kill()
        check(len(_files(top)) == 1, _files(top))
        app.start()
        check(until(lambda: not _files(top)), "it stays")
        app.must_say(HELLO)


def what_fails_leaves_nothing_and_what_is_taken_is_whole():
    with Folder() as top, _App(top) as app:
        large = Path(top) / "large.wasm"
        large.write_bytes(_padded(3 * MIB + 12345))
        sha256 = hashlib.sha256(large.read_bytes()).hexdigest()
        with _begin(app, 5) as s:
            s.sendall(b"bytes")
            check(b" 202 " in s.makefile("rb").readline(), "an operation")
        wrong = Path(top) / "wrong.wasm"
        wrong.write_bytes(HELLO.read_bytes()[:-100])
        app.tenon("update", "api", wrong, status=6)
        app.tenon("update", "api", large, "--dry-run")
        check(until(lambda: not _files(top) and len(_files(top, "*")) == 1), f"only what runs stays: {_files(top, '*')}")
        app.tenon("update", "api", large)
        check(_files(top, sha256)[0].read_bytes() == large.read_bytes(), "it is another")
        app.tenon("update", "api", MISBEHAVE)
        app.tenon("update", "api", large)  # it is there already
        app.must_say(HELLO)
        check(not _files(top), _files(top))


def one_that_finds_no_room_is_refused_with_a_hint_and_nothing_is_lost():
    with Folder() as top, _small_disk(top) as disk:
        app = _App(top)
        app.kill()
        app.env["TENON_STATE"] = str(disk)
        app.start()
        with app:
            app.tenon("update", "api", MISBEHAVE)
            large = Path(top) / "large.wasm"
            large.write_bytes(_padded(3 * MIB))
            said = app.tenon("update", "api", large, status=6)
            check("the component's bytes can't be kept: No space left on device" in said and "TENON_STATE" in said, said)
            check(until(lambda: not _files(disk)), f"it stays: {_files(disk)}")
            app.must_say(MISBEHAVE)
            app.tenon("update", "api", HELLO)
            app.kill()
            app.start()
            app.must_say(HELLO)
            app.tenon("update", "api", "--rollback")
            app.must_say(MISBEHAVE)

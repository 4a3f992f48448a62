"""tenon run of WASI 0.3: results that come by and by (examples/values3), sockets (examples/sockets), requests that go out (files/lengths.wat)."""
import subprocess, tempfile
from pathlib import Path

import spoilt
from harness import FILES, TOP, check, config
from peers import Peer

VALUES3, SOCKETS = TOP / "examples/values3/values3.wasm", TOP / "examples/sockets/sockets.wasm"


def _still_runs(p):
    try:
        p.wait(0.5)
    except subprocess.TimeoutExpired:
        return True
    return False


def _run(file, *flags):
    return subprocess.run([str(config.tenon), "run", *flags, str(file)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)


def streams_are_printed_as_lists_and_futures_as_values():
    for call, text in (("countdown(5)", "[5, 4, 3, 2, 1]"), ("countdown(0)", "[]"), ('words("one two three")', '["one", "two", "three"]'),
            ('promise("you")', '"Hello, you!"'), ("broken(3)", '([0, 1, 2], err("broken"))'), ("broken(0)", '([], err("broken"))'),
            ("lines(2)", "[[{x: 0, y: 0}], [{x: 1, y: -1}]]"), ("lines(0)", "[]"), ("nothing()", "()")):
        p = _run(VALUES3, "--invoke", call)
        check(p.returncode == 0 and p.stdout == text + "\n" and not p.stderr, f"{call}: {p}")


def of_a_stream_without_an_end_so_much_is_printed_and_that_is_said():
    p = _run(VALUES3, "--invoke", "flood()")
    n = p.stdout.count("0")
    check(p.returncode == 0 and 2**20 - 10 < n <= 2**20 and p.stdout == "[" + ", ".join(["0"] * n) + "]\n" and "up to 1048576 values" in p.stderr, f"{p.returncode} {n} {p.stderr}")


def what_streams_bring_is_the_instances_memory():
    p = _run(VALUES3, "--invoke", "flood()", "--memory", "1536KiB")
    check(p.returncode == 134 and "--memory" in p.stderr and not p.stdout, f"{p.returncode} {len(p.stdout)} {p.stderr}")


def what_nobody_brings_is_a_deadlock_that_says_who_waits_for_what():
    p = _run(VALUES3, "--invoke", "stuck()")
    check(p.returncode == 134 and "deadlock detected" in p.stderr and "waits for an event of a waitable set" in p.stderr and not p.stdout, f"{p}")


def a_deadlock_is_told_beside_streams_of_the_hosts_at_which_nobody_waits():
    stuck = FILES / "stuck.wasm"
    for call, said, status, out in (("reads()", "five\n", 0, "5\n"), ("sits()", "", 134, "")):
        p = subprocess.Popen([str(config.tenon), "run", "--invoke", call, str(stuck)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if said:
            check(_still_runs(p), "it waits for what is about to come")
            p.stdin.write(said)
            p.stdin.flush()
        got, err = p.stdout.read(), p.stderr.read()  # its input stays open
        p.stdin.close()
        check(p.wait() == status and got == out and ("deadlock detected" in err) == (status != 0), f"{call}: {p.returncode} {got} {err}")


def sockets_speak_to_each_other_and_refuse_what_is_wrong():
    p = _run(SOCKETS, "--net", "127.0.0.1", "--listen-tcp", "127.0.0.1:0", "--listen-udp", "127.0.0.1:0")
    lines = p.stdout.splitlines()
    check(p.returncode == 0 and len(lines) == 39 and all(line.startswith("ok ") for line in lines), f"{p}")


def sockets_that_are_not_granted_are_denied_with_the_flag_that_would_grant_them():
    p = _run(SOCKETS)
    check(p.returncode == 134 and "a TCP socket; --net" in p.stderr, f"{p}")
    p = _run(SOCKETS, "--net", "127.0.0.1")
    wrong = [line[6:] for line in p.stdout.splitlines() if line.startswith("WRONG ")]
    check("listens" in wrong and "bound" not in wrong and "--listen-tcp" in p.stderr, f"{p}")


def sockets_of_an_instance_are_limited():
    flags = ("--net", "127.0.0.1", "--listen-tcp", "127.0.0.1:0", "--listen-udp", "127.0.0.1:0", "--open-sockets")
    check(_run(SOCKETS, *flags, "2").returncode == 134, "three were to be had")
    p = _run(SOCKETS, *flags, "4")  # a listener, two that speak, one that is late
    check(p.returncode == 0 and "WRONG" not in p.stdout, f"{p}")


class _Takes(Peer):
    """Answers each request of eleven bytes."""

    def __init__(self):
        self.bodies = []
        super().__init__()

    def _serve(self, c):
        data = b""
        with c:
            try:
                while part := c.recv(65536):
                    head, _, body = (data := data + part).partition(b"\r\n\r\n")
                    if len(body) >= 11:
                        self.bodies.append(body)
                        data = b""
                        c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            except OSError:
                pass


def a_request_whose_body_is_not_as_long_as_announced_ends_and_both_who_wait_hear_how_long_it_was():
    with _Takes() as peer, tempfile.TemporaryDirectory() as at:
        file = Path(at) / "lengths.wasm"
        file.write_bytes((FILES / "lengths.wasm").read_bytes().replace(b"127.0.0.1:00000", f"127.0.0.1:{peer.port}".encode()))
        p = _run(file, "--net", "127.0.0.1", "--deadline", "60s")
        check(p.returncode == 0 and not p.stderr, f"{p}")
        check(peer.bodies == [b"more than 1"] * 3, f"{peer.bodies}")


def who_sends_a_request_with_trailers_that_are_none_traps_and_nothing_of_the_request_is_written_to_afterwards():
    with tempfile.TemporaryDirectory() as d:
        at = Path(d) / "guest.wasm"
        at.write_bytes(spoilt.sender())
        p = _run(at, "--net", "127.0.0.1")
        check(p.returncode == 134 and "invalid result discriminant: 7" in p.stderr, f"{p.returncode}: {p.stderr}")

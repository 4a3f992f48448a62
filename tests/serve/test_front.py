"""Where a server listens: several addresses, sockets in the file system, sockets handed over; and what it tells who started it."""
import os, re, signal, socket, stat, subprocess, time

from front import Folder, Front, ask, connect, handed, listening, refused
from harness import HELLO, MISBEHAVE, Many, Skip, check, config
from pathlib import Path

BODY = b"Hello from a component!\n"


def _serves(at, times=1):
    for _ in range(times):
        a = ask(at)
        check(a.status == 200 and a.body == BODY, f"{at}: {a.status} {a.error}")


# ---- several addresses ------------------------------------------------------------------------------------------------------------------

def each_address_has_its_ready_line_and_is_served_by_every_shard():
    with Folder() as d, Front(HELLO, "--addr", "127.0.0.1:0", "--listen", "127.0.0.1:0", f"--addr=unix:{d}/s", addresses=3, shards=3) as s:
        check(len(set(s.urls)) == 3 and s.urls[2] == f"unix:{d}/s", f"{s.urls}")
        for at in s.at:
            _serves(at, 12)


def as_json_one_line_has_them_all():
    with Folder() as d, Front(HELLO, "--addr", "127.0.0.1:0", "--addr", f"unix:{d}/a\"b", json=True) as s:
        check(s.urls[0].startswith("http://127.0.0.1:") and s.urls[1] == f"unix:{d}/a\"b", f"{s.urls}")
        for at in s.at:
            _serves(at)


def both_families_beside_each_other():
    if not Path("/proc/net/if_inet6").exists():
        raise Skip("no IPv6 here")
    with Front(HELLO, "--addr", "[::1]:0", "--addr", "127.0.0.1:0", addresses=2) as s:
        check(s.urls[0].startswith("http://[::1]:"), f"{s.urls}")
        for at in s.at:
            _serves(at)


def one_address_that_can_not_be_had_is_no_start_and_leaves_nothing_behind():
    with Folder() as d, listening() as taken:
        status, text = refused(HELLO, "--addr", f"unix:{d}/s", "--addr", f"127.0.0.1:{taken.getsockname()[1]}")
        check(status == 5 and str(taken.getsockname()[1]) in text, f"{status} {text}")
        check(not (d / "s").exists(), "its socket is still there")


def a_drain_closes_all_of_them_and_cuts_nothing():
    with Folder() as d:
        s = Front(MISBEHAVE, "--addr", "127.0.0.1:0", "--addr", f"unix:{d}/s", addresses=2, shards=2)
        flying = Many([lambda at=at: ask(at, "/delay") for at in s.at for _ in range(20)])
        time.sleep(0.15)
        s.process.send_signal(signal.SIGTERM)
        check(s.stop(sig=None) == 0, s.log())
        bad = [a for a in flying.join() if getattr(a, "status", None) != 200]
        check(not bad, f"{len(bad)} of 40 were cut: {bad[:1]}")
        check(not (d / "s").exists(), "its socket is still there")


def a_service_with_one_instance_is_served_by_each_address():
    with Folder() as d, Front(MISBEHAVE, "--policy", "keep", "--addr", "127.0.0.1:0", "--addr", f"unix:{d}/s", addresses=2, shards=2) as s:
        check(ask(s.at[0], "/mark").status == 200, "not marked")
        for at in s.at * 4:
            check(ask(at, "/check").body != b"clean\n", "another instance answered")


# ---- in the file system -----------------------------------------------------------------------------------------------------------------

def bodies_go_both_ways_through_a_socket_in_the_file_system():
    body = os.urandom(3 << 20)
    with Folder() as d, Front(MISBEHAVE, "--addr", f"unix:{d}/s", shards=2) as s:
        a = ask(s.at[0], "/echo", "POST", body_hex=body.hex())
        check(a.status == 200 and a.body == body, f"{a.status} {len(a.body)}")
        check(len(ask(s.at[0], "/flood").body) == 64 << 20, "a long answer is not whole")
        check(ask(s.at[0], "/unfinished").aborted, "an answer that was cut looks whole")


def who_comes_by_it_is_named_so_in_the_log_and_not_counted_as_a_client():
    with Folder() as d, Front(MISBEHAVE, "--addr", f"unix:{d}/s", "--connections-per-client", "1") as s:
        held = [connect(s.at[0]) for _ in range(4)]
        check(ask(s.at[0], "/trap").status == 500, "refused")
        for c in held:
            c.close()
        for _ in range(200):
            if '"client":"unix"' in s.log():
                return
            time.sleep(0.02)
        raise AssertionError(s.log())


def the_umask_says_who_may_connect():
    for umask, mode in ((0o077, 0o700), (0o007, 0o770), (0o000, 0o777)):
        with Folder() as d, Front(HELLO, "--addr", f"unix:{d}/s", before=lambda: os.umask(umask)):
            check(stat.S_IMODE((d / "s").stat().st_mode) == mode, oct((d / "s").stat().st_mode))


def a_socket_that_a_dead_server_left_is_replaced():
    with Folder() as d:
        s = Front(HELLO, "--addr", f"unix:{d}/s")
        s.stop(signal.SIGKILL)
        check((d / "s").is_socket(), "nothing was left")
        with Front(HELLO, "--addr", f"unix:{d}/s") as s:
            _serves(s.at[0])
        check(not (d / "s").exists(), "its socket is still there")


def one_that_a_living_server_answers_on_is_not():
    with Folder() as d, Front(HELLO, "--addr", f"unix:{d}/s") as s:
        status, text = refused(HELLO, "--addr", f"unix:{d}/s")
        check(status == 5 and "another program listens" in text and f"unix:{d}/s" in text, f"{status} {text}")
        _serves(s.at[0])


def nor_anything_that_is_no_socket_of_a_stream():
    with Folder() as d:
        (d / "file").write_text("precious")
        (d / "link").symlink_to(d / "nowhere")
        other = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        other.bind(str(d / "datagrams"))
        for name in ("file", "link", "datagrams", "x" * 120, "no/such/folder"):
            status, text = refused(HELLO, "--addr", f"unix:{d}/{name}")
            check(status == 5, f"{name}: {status} {text}")
        check((d / "file").read_text() == "precious" and (d / "link").is_symlink() and (d / "datagrams").is_socket(), "something is gone")
        other.close()


def of_two_servers_that_start_together_one_has_it():
    with Folder() as d:
        for _ in range(4):
            dead = socket.socket(socket.AF_UNIX)
            dead.bind(f"{d}/s")
            dead.close()
            argv = [str(config.tenon), "serve", str(HELLO), "--shards", "1", "--addr", f"unix:{d}/s"]
            both = [subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
            try:
                ready = [p.stdout.readline() for p in both]
                check(sorted(bool(line) for line in ready) == [False, True], f"{ready}")
                _serves(f"{d}/s", 3)
            finally:
                for p in both:
                    p.terminate()
                    p.communicate(timeout=15)
            check(sorted(p.returncode for p in both) == [0, 5], f"{[p.returncode for p in both]}")


def what_another_put_in_its_place_stays_there():
    with Folder() as d:
        with Front(HELLO, "--addr", f"unix:{d}/s"):
            (d / "s").unlink()
            (d / "s").write_text("another's")
        check((d / "s").read_text() == "another's", "gone")


# ---- handed over ------------------------------------------------------------------------------------------------------------------------

def a_socket_that_is_handed_over_is_served_by_every_shard_instead_of_the_usual_address():
    with listening() as l, Front(HELLO, wrap=handed(l), shards=3) as s:
        check(s.at == [l.getsockname()], f"{s.urls}")
        _serves(s.at[0], 20)


def beside_addresses_that_are_given():
    with Folder() as d, listening(socket.AF_UNIX, f"{d}/handed") as l, Front(HELLO, "--addr", "127.0.0.1:0", wrap=handed(l), addresses=2) as s:
        check(s.urls[1] == f"unix:{d}/handed", f"{s.urls}")
        for at in s.at:
            _serves(at, 3)
        s.stop()
        check((d / "handed").is_socket(), "it is not ours to remove")


def several_are_served_if_each_is_named_so():
    with listening() as a, listening() as b:
        with Front(HELLO, wrap=handed(a, b), env={"LISTEN_FDNAMES": "http:http"}, addresses=2) as s:
            for at in s.at:
                _serves(at, 2)
        for names in ("", "http", "http:other", "connection:http"):
            status, text = refused(HELLO, wrap=handed(a, b), env={"LISTEN_FDNAMES": names} if names else None)
            check(status == 2 and "LISTEN_FDNAMES" in text, f"{names}: {status} {text}")
        with Front(HELLO, wrap=handed(a), env={"LISTEN_FDNAMES": "tenon.socket"}) as s:
            _serves(s.at[0])


def what_is_no_socket_that_listens_is_refused():
    with socket.socket() as idle, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams, open("/dev/null") as null:
        idle.bind(("127.0.0.1", 0))
        null.set_inheritable = lambda on: os.set_inheritable(null.fileno(), on)
        for what in (idle, datagrams, null, None):
            status, text = refused(HELLO, wrap=handed(what))
            check(status == 5 and "LISTEN_FDS" in text, f"{what}: {status} {text}")


def what_is_meant_for_another_process_is_let_be():
    with listening() as l, Front(HELLO, "--addr", "127.0.0.1:0", wrap=handed(l, other_pid=1)) as s:
        check(s.at[0] != l.getsockname(), "another's socket is served")
        _serves(s.at[0])


def clients_wait_in_a_socket_that_is_handed_over_from_one_server_to_the_next():
    with listening() as l:
        with Front(HELLO, wrap=handed(l)) as s:
            _serves(s.at[0])
        waiting = connect(l.getsockname())
        with Front(HELLO, wrap=handed(l)) as s:
            check(ask(None, sock=waiting).status == 200, "no answer")


# ---- a service manager ------------------------------------------------------------------------------------------------------------------

class _Manager:
    def __init__(self, name):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(name)
        self.sock.settimeout(20)

    def heard(self, but=b"WATCHDOG=1"):
        while (state := self.sock.recv(4096)) == but:
            pass
        return dict(line.split("=", 1) for line in state.decode().split("\n"))


    def forget(self):
        self.sock.setblocking(False)
        try:
            while self.sock.recv(4096):
                pass
        except BlockingIOError:
            self.sock.settimeout(20)


def _tells(name, environment):
    m = _Manager(name)
    with Front(HELLO, "--addr", "127.0.0.1:0", env={"NOTIFY_SOCKET": environment}) as s:
        state = m.heard()
        check(state["READY"] == "1" and s.urls[0] in state["STATUS"], f"{state}")
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        s.process.send_signal(signal.SIGHUP)
        state = m.heard()
        check(state["RELOADING"] == "1" and before <= int(state["MONOTONIC_USEC"]) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000, f"{state}")
        check(m.heard()["READY"] == "1", "not ready again")
        s.process.send_signal(signal.SIGTERM)
        check(m.heard()["STOPPING"] == "1", "not stopping")
        check(s.stop(0) == 0, "it ended otherwise")


def a_service_manager_is_told_of_ready_reload_and_stop():
    with Folder() as d:
        _tells(f"{d}/n", f"{d}/n")
    name = f"tenon-{os.getpid()}"
    _tells("\0" + name, "@" + name)


def and_given_signs_of_life():
    with Folder() as d:
        m = _Manager(f"{d}/n")
        with Front(HELLO, "--addr", "127.0.0.1:0", shards=2, env={"NOTIFY_SOCKET": f"{d}/n", "WATCHDOG_USEC": "400000"}):
            check("READY" in m.heard(), "not ready")
            for _ in range(5):
                check(m.sock.recv(100) == b"WATCHDOG=1", "something else")
        m.forget()
        with Front(HELLO, "--addr", "127.0.0.1:0", env={"NOTIFY_SOCKET": f"{d}/n", "WATCHDOG_USEC": "40000", "WATCHDOG_PID": "1"}):  # meant for another
            check("READY" in m.heard(but=b""), "not ready")
            m.sock.settimeout(0.3)
            try:
                check(False, f"told: {m.sock.recv(100)}")
            except TimeoutError:
                pass


def one_that_is_not_there_is_no_reason_not_to_serve():
    for name in ("/no/such/socket", "vsock:2:1234", "nonsense"):
        with Front(HELLO, "--addr", "127.0.0.1:0", env={"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "100000"}) as s:
            _serves(s.at[0])
            for _ in range(100):
                if "NOTIFY_SOCKET" in s.log():
                    break
                time.sleep(0.02)
            check(re.search(r'"level":"warn".*NOTIFY_SOCKET', s.log()), s.log())

"""Runs the programs of wasmtime's crates/test-programs, built: a folder with NAME.wasm (modules of preview 1, p1_…) and NAME.component.wasm (components:
those of preview 1 with its adapter, p2_… and p3_…). What each is given, and what it must do then, is as wasmtime's own tests run it (crates/wasi/tests,
crates/wasi-http/tests, tests/all/cli_tests.rs); what an embedder alone can give is skipped, with the reason."""
import base64, fnmatch, hashlib, os, pty, subprocess, tempfile, zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import guests
from http_client import exchange
from programs_peer import Peer, Preface

LIMERICK = "'Twas brillig, and the slithy toves.\n"
SAID = "So rested he by the Tumtum tree"
MUCH = 1 << 18
NETWORK = ["--net", "all", "--private"]
LISTEN = [f for kind in ("tcp", "udp") for ip in ("", "127.0.0.1", "[::1]") for f in (f"--listen-{kind}", f"{ip}:*")]
KINDS = ("p1_", "p2_", "p3_", "config_get", "keyvalue_main")
# Globs of names, and why what they need can't be given. In ./dev conform these count as skipped.
SKIPPED = {
    "p2_api_time": "needs clocks of an embedder's making",
    "p2_api_reactor": "is called by an embedder that passes it a stream of its own",
    "p?_cli_hostcall_fuel": "measures wasmtime's fuel of calls of the host; ours is the work of a call (docs/seam.md)",
    "p2_cli_serve_keyvalue": "needs a link for wasi:keyvalue",
    "keyvalue_main": "needs a link for wasi:keyvalue",
    "p[23]_tls_*": "wasi:tls is no part of WASI",
    "p3_http_middleware": "is a part of p3_http_middleware_composed",
    "p3_http_middleware_with_chain": "is a part of p3_http_middleware_with_chain_composed",
    "p3_http_forbidden_headers": "asks an authority that an embedder answers, and wants fields forbidden that it names",
    "p3_http_outbound_request_invalid_header": "wants fields forbidden that an embedder names",
    "p2_http_outbound_request_invalid_header": "wants fields forbidden that an embedder names",
}
# Programs that fail, and why that is meant: they count as skipped.
DIFFERS = {
    "p1_file_allocate": "wants no space taken before it is written; it can be",
    "p1_dir_fd_op_failures": "wants a folder not to be synced; it can be",
    "p1_path_filestat": "wants synchronous writes not to be supported; they are",
    "p1_poll_oneoff_files": "wants a call to end by a subscription that can't be waited for; witx has an event with its error",
    "p2_cli_initial_cwd": "wants an initial working directory; none is given",
    "p2_cli_serve_authority_and_scheme": "wants CONNECT to come to the guest; it is 501",
    "p3_cli_deny_listen": "wants no free port bound by who may reach out; he may bind one, and listens nowhere",
    "p3_cli_hello_stdout_post_return": "wants what goes on after `run` has returned to be dropped; it runs to its end",
    "p3_sockets_ip_name_lookup": "wants names of the Internet",
    "p2_http_outbound_request_missing_path_and_query": "wants an error where no path was set; none set is an empty one",
    **{f"p{n}_http_outbound_request_{name}": why for n in (2, 3) for name, why in (
        ("invalid_version", "wants CONNECT to be sent; it is http-request-method-invalid"),
        ("timeout", "wants an address of documentation asked; it needs naming, and this network leads nowhere"))},
}


def is_folder_of_them(files):
    return any(fnmatch.fnmatch(f, g) for f in files for g in ("p1_*.wasm", "p2_*.component.wasm", "p3_*.component.wasm"))


def group(name):
    """Whose share of the programs is told in the table."""
    for word, of in (("cli_", "cli"), ("http_", "http"), ("api_proxy", "http"), ("tcp_", "sockets"), ("udp_", "sockets"), ("ip_name", "sockets"),
        ("file_", "filesystem"), ("api_read_only", "filesystem"), ("filesystem_", "filesystem"), ("readdir", "filesystem"), ("sockets_", "sockets")):
        if name.startswith(("p2_" + word, "p3_" + word)):
            return f"{name[:2]}, {of}"
    return "p1" if name.startswith("p1_") else f"{name[:2] if name.startswith('p') else 'p2'}, other"


# ---- programs ---------------------------------------------------------------------------------------------------------------------------

class Program:
    """One run: flags of `tenon run`, arguments, what it reads, what must come of it."""

    def __init__(self, flags=(), args=(".",), stdin=b"", exit=0, stdout=None, stderr=None, files=None, after=None, argv0=None, how=None, prompt=b"> ",
        listens=False):
        self.prompt, self.listens = prompt, listens
        self.flags, self.args, self.stdin, self.exit = list(flags), list(args), stdin, exit
        self.stdout, self.stderr, self.files, self.after, self.argv0, self.how = stdout, stderr, files, after, argv0, how


def in_a_workspace(more=(), **kw):
    """What wasmtime gives all tests of WASI itself: an empty folder as `.`, the network, how errors are called."""
    return Program(["--env", "ERRNO_MODE_UNIX=1", *NETWORK, "--dir", "{work}::.", *more], listens=True, **kw)


def beside_read_only(file, text):
    return in_a_workspace(["--dir", "{ro}::readonly:ro"], files={"ro/" + file: text}, after={"ro/" + file: text})


def plain(*flags, args=(), **kw):
    return Program(flags, args=args, **kw)


def with_folder(files, suffix="", **kw):
    return plain("--dir", "{work}::/" + suffix, files={"work/" + k: v for k, v in files.items()}, **kw)


READ_ONLY = beside_read_only("test.txt", "read only test file\n")
SPECIAL = {
    "p1_stdio_isatty": in_a_workspace(how="terminal"),
    "p1_stat_extreme_host_mtime": in_a_workspace(files={"work/extreme.dat": "hello"}, how="extreme-mtime"),
    **{f"p{n}_file_{what}": READ_ONLY for n in (1, 2, 3) for what in ("truncation_readonly", "hardlink_across_perms", "rename_across_perms")},
    "p2_file_stream_not_permitted": beside_read_only("stream-perms.txt", "stream permission test\n"),
    "p2_stream_pollable_traps": in_a_workspace(exit=134),
    "p2_pollable_traps": in_a_workspace(exit=134),
    "p2_udp_send_too_much": in_a_workspace(exit=134),
    "p2_api_read_only": with_folder({"bar.txt": "And stood awhile in thought", "sub/": None}, ":ro"),
    "config_get": plain("--config", "hello=world"),
    "p2_cli_args": plain(args=["hello", "this", "", "is an argument", "with 🚩 emoji"]),
    "p2_cli_initial_cwd": plain(),
    "p2_cli_hello_stdout": plain(stdout="hello, world\n"),
    "p2_cli_stdin": plain(stdin=SAID.encode()),
    "p2_cli_stdin_empty": plain(stdin=b"not to be read"),
    "p2_cli_splice_stdin": plain(stdin=SAID.encode(), stdout=f"before splice\n{SAID}\ncompleted splicing {len(SAID)} bytes\n"),
    "p2_cli_stdin_eisdir": plain(stderr="got expected ErrorCode::IsDirectory", how="folder-as-stdin"),
    "p2_cli_stdout_epipe": plain(stderr="got expected StreamError::Closed", how="closed-stdout"),
    "p2_cli_stdio_write_flushes": plain(how="prompt"),
    "p2_cli_env": plain("--env", "frabjous=day", "--env", "callooh=callay"),
    "p2_cli_file_read": with_folder({"bar.txt": "And stood awhile in thought"}),
    "p2_cli_file_append": with_folder({"bar.txt": LIMERICK},
        after={"work/bar.txt": LIMERICK + "Did gyre and gimble in the wabe;\nAll mimsy were the borogoves,\nAnd the mome raths outgrabe.\n"}),
    "p2_cli_file_dir_sync": with_folder({"bar.txt": LIMERICK}),
    "p2_cli_directory_list": with_folder({"foo.txt": "", "bar.txt": "", "baz.txt": "", "sub/wow.txt": "", "sub/yay.txt": ""}),
    "p2_cli_exit_failure": plain(exit=1),
    "p2_cli_exit_with_code": plain(exit=42),
    "p2_cli_exit_panic": plain(exit=134, stderr="Curiouser and curiouser!"),
    "p2_cli_argv0": plain(args=["b"], argv0="b"),
    "p2_cli_large_env": plain(*[f for i in range(512) for f in ("--env", f"KEY{i}=" + "x" * 1024)]),
    "p2_cli_multiple_preopens": plain("--dir", "{work}::/a", "--dir", "{work}::/b", "--dir", "{work}::/c"),
    "p2_cli_sleep_forever": plain("--deadline", "250ms", how="killed"),
    "p2_cli_max_resources": plain("--handles", "200"),
    "p2_cli_many_resources": plain("--handles", "100", exit=134),
    "p2_cli_invoke_async": plain("--invoke", 'echo("hello?")', stdout='"hello?"\n'),
    "p2_cli_no_tcp": plain(),
    "p2_cli_no_udp": plain(),
    "p2_cli_no_ip_name_lookup": plain(),
    "p3_cli": in_a_workspace(argv0="p3_cli.component"),
    "p3_cli_hello_stdout": plain(stdout="hello, world\n"),
    "p3_cli_hello_stdout_post_return": plain(stdout="hello, world\n"),
    "p3_cli_read_stdin": plain(stdin=b"hello!"),
    "p3_cli_stdout_flush": plain(how="prompt", prompt=b"READY"),
    "p3_cli_many_tasks": plain("--handles", "100", exit=134),
    "p3_cli_many_stream": plain("--handles", "100"),
    "p3_cli_deny_listen": plain(*NETWORK),
    "p2_http_outbound_request_invalid_version": plain(*NETWORK, how="speaks HTTP/2"),
    "p3_http_outbound_request_invalid_version": plain(*NETWORK, how="speaks HTTP/2"),
    "p2_http_outbound_request_invalid_header": plain(*NETWORK, how="speaks HTTP/2"),
}


def appends_until_refused(part):
    """Fields have a limit; of 0.2 the program does not look for an error, and traps behind it."""
    return plain(args=[part], **({"stdout": "error received\n"} if part.startswith("p3") else {"exit": 134, "stderr": "unreachable"}))


RUNS = {  # those that run more than once: [(part, Program)]
    "p3_cli_random_limits": [(kind, plain(args=[kind, "256"])) for kind in ("random", "insecure")],
    "p2_cli_http_headers": [(f"{of}-append{how}", appends_until_refused(f"{of}-append{how}")) for of in ("p2", "p3") for how in ("", "-empty", "-same", "-same-empty")],
}


def what(name):
    if name in SPECIAL:
        return SPECIAL[name]
    if "much_stdout" in name:
        return plain(args=["a" * 1024, str(MUCH // 1024)], stdout="a" * MUCH)
    if name.startswith(("p2_http_", "p3_http_")):
        return plain(*NETWORK)
    return plain() if "_cli_" in name else in_a_workspace()


def lay(at, files):
    for folder in ("work", "ro"):
        (at / folder).mkdir()
    for path, text in (files or {}).items():
        to = at / path
        (to if path.endswith("/") else to.parent).mkdir(parents=True, exist_ok=True)
        if not path.endswith("/"):
            to.write_text(text)


def start(argv, p, at, **streams):
    return subprocess.Popen(argv, cwd=at, env=p.env, **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams})


def run_with_terminal(argv, p, at):
    ours, theirs = pty.openpty()
    process = start(argv, p, at, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    said = b""
    try:
        while part := os.read(ours, 65536):
            said += part
    except OSError:
        pass  # the last of the other side is closed
    os.close(ours)
    return process.wait(60), b"", said


def run_until_prompt(argv, p, at):
    process = start(argv, p, at, stdin=subprocess.PIPE)
    first = os.read(process.stdout.fileno(), 10)
    process.stdin.close()
    process.stdin = None
    out, err = process.communicate(timeout=60)
    return (process.returncode, first + out, err) if first == p.prompt else (f"{process.returncode}, and {first!r} came before anything was read", out, err)


def run_with_closed_stdout(argv, p, at):
    process = start(argv, p, at)
    os.read(process.stdout.fileno(), 64)
    process.stdout.close()
    process.stdout = None
    err = process.communicate(timeout=60)[1]
    return process.returncode, b"", err


def run_plainly(argv, p, at):
    if p.how == "folder-as-stdin":
        folder = os.open(at, os.O_RDONLY)
        process = start(argv, p, at, stdin=folder)
        os.close(folder)
        out, err = process.communicate(timeout=60)
    else:
        process = start(argv, p, at, stdin=subprocess.PIPE)
        out, err = process.communicate(p.stdin, timeout=60)
    return process.returncode, out, err


WAYS = {"terminal": run_with_terminal, "prompt": run_until_prompt, "closed-stdout": run_with_closed_stdout}


def problems_of(p, at, status, out, err):
    said = err.decode("utf-8", "replace")
    if p.how == "killed":
        if status == 0 or "deadline" not in said:
            yield f"exit is {status}, expected an end by its deadline"
    elif status != p.exit:
        yield f"exit is {status}, expected {p.exit}"
    if p.stdout is not None and out.decode("utf-8", "replace") != p.stdout:
        yield f"stdout is {out[:200]!r}"
    if p.stderr is not None and p.stderr not in said:
        yield f"stderr does not hold {p.stderr!r}"
    for path, text in (p.after or {}).items():
        if (at / path).read_text() != text:
            yield f"{path} is {(at / path).read_text()!r}"


def run_program(run, wasm, name, p):
    with tempfile.TemporaryDirectory(prefix="tenon-programs-") as folder:
        at = Path(folder)
        lay(at, p.files)
        flags = [f.replace("{work}", str(at / "work")).replace("{ro}", str(at / "ro")) for f in p.flags]
        if p.listens and not name.startswith("p1_"):  # preview 1 makes no sockets, it is given some that listen
            flags += LISTEN
        if p.how == "extreme-mtime":
            for seconds in (-(1 << 63), -(1 << 33), -1):
                try:
                    os.utime(at / "work/extreme.dat", (seconds, seconds))
                    break
                except (OSError, OverflowError):
                    pass  # the file system has no such time
        if p.argv0:
            (at / p.argv0).symlink_to(wasm)
        p.env = run.env
        peer = (Preface if p.how == "speaks HTTP/2" else Peer)() if name.startswith(("p2_http_", "p3_http_")) else None
        if peer:
            flags += ["--env", f"HTTP_SERVER=localhost:{peer.port}"]
        try:
            status, out, err = WAYS.get(p.how, run_plainly)([run.tenon, "run", *flags, p.argv0 or str(wasm), *p.args], p, at)
        except subprocess.TimeoutExpired:
            return ["did not end within a minute"]
        finally:
            if peer:
                peer.close()
        problems = list(problems_of(p, at, status, out, err))
    return problems + ([f"stderr: {err.decode('utf-8', 'replace')[:800]}"] if problems and err else [])


# ---- servers ----------------------------------------------------------------------------------------------------------------------------

def get(server, path="/", headers=(), method="GET", **more):
    return exchange(server.addr, {"method": method, "path": path, "headers": [["Host", "localhost"], *map(list, headers)], **more})


def expect_status(a, wanted):
    return [] if a.status == wanted else [f"status is {a.status}, expected {wanted} ({a.error}) {a.body[:200]!r}"]


def echo_env(server, peer):
    foo, bar = get(server, headers=[("env", "FOO")]), get(server, headers=[("env", "BAR")])
    return expect_status(foo, 200) + expect_status(bar, 200) + [f"env is {v}" for v in [foo.values("env"), bar.values("env")] if v not in (["bar"], [])] + (
        [] if foo.values("env") == ["bar"] and not bar.values("env") else ["FOO or BAR is not as given"])


def says_hello(server, peer):
    answers = [get(server) for _ in range(20)]
    return [p for a in answers for p in expect_status(a, 200)] + [f"body is {a.body!r}" for a in answers if a.body != b"Hello, WASI!"]


def prints(server, peer):
    found = [p for _ in range(2) for p in expect_status(get(server), 200)]
    for line in ("this is half a print to stdout", "this is half a print to stderr", "after empty", "start a print 1234"):
        if not server.log_matches(line, 0):
            found.append(f"the log does not hold {line!r}: {''.join(server.log)[-600:]}")
    return found


def answers_500(server, peer):
    return [p for _ in range(2) for p in expect_status(get(server), 500)]


def ends_late(server, peer):
    a = get(server)
    return [] if a.status and a.status >= 500 else [f"status is {a.status}"]


def authority_and_scheme(server, peer):
    return expect_status(get(server), 200) + expect_status(get(server, "localhost:80", method="CONNECT"), 200)


def hashes(server, peer):
    bodies = {"/a": "’Twas brillig, and the slithy toves", "/b": "Did gyre and gimble in the wabe:", "/c": "All mimsy were the borogoves,"}
    peer.bodies.update({k: v.encode() for k, v in bodies.items()})
    a = get(server, "/hash-all", [("url", f"http://127.0.0.1:{peer.port}{path}") for path in bodies])
    want = {f"http://127.0.0.1:{peer.port}{path}: {base64.b64encode(hashlib.sha256(b.encode()).digest()).decode().rstrip('=')}" for path, b in bodies.items()}
    return expect_status(a, 200) + ([] if set(a.body.decode().splitlines()) == want else [f"body is {a.body!r}"])


def denies(server, peer):
    a = get(server, "/hash-all", [("url", "http://forbidden.example"), ("url", f"http://127.0.0.1:{peer.port}/a")])
    lines = a.body.decode().splitlines()
    return expect_status(a, 200) + [line for line in lines if ("forbidden" in line) != ("HttpRequestDenied" in line)] + ([] if len(lines) == 2 else lines)


def echoes(path):
    body = bytes((251 * (n + 1)) & 255 for n in range(1 << 20))

    def act(server, peer):
        headers = [("content-type", "application/octet-stream"), ("url", f"http://127.0.0.1:{peer.port}/echo")]
        a = get(server, path, headers, "POST", body_hex=body.hex(), chunked=True)
        return expect_status(a, 200) + ([] if a.body == body else [f"the body is {len(a.body)} bytes, not what was sent"])
    return act


def proxy(server, peer):
    return expect_status(get(server, "/test-path"), 200) + expect_status(get(server, "/new_fields/50"), 200) + expect_status(get(server, "/modify_fields/50"), 200)


def early_drop(server, peer):
    import socket
    with socket.create_connection(server.addr) as s:
        s.sendall(b"GET /early_drop HTTP/1.1\r\nHost: localhost\r\n\r\n")
    return expect_status(get(server, "/test-path"), 200)


def forwards(server, peer):
    a = exchange(server.addr, {"method": "GET", "path": "/get", "headers": [["Host", f"127.0.0.1:{peer.port}"]]})
    return expect_status(a, 200) + ([] if a.values("x-wasmtime-test-uri") == ["/get"] else [f"headers are {a.headers}"])


def body_is(text):
    def act(server, peer):
        a = get(server)
        return expect_status(a, 200) + ([] if a.body.decode() == text else [f"body is {a.body!r}"])
    return act


def comes_back(*headers, compressed=False):
    """The request's fields, body and trailers; compressed on the way, both ways."""
    def act(server, peer):
        body = b"And the mome raths outgrabe"
        sent, more = (deflated(body), [("content-encoding", "deflate"), ("accept-encoding", "nonexistent-encoding, deflate")]) if compressed else (body, [])
        a = get(server, "/", [("foo", "bar"), *more, *headers], body_hex=sent.hex(), chunked=True, trailers=[["fizz", "buzz"]])
        got = inflated(a.body) if compressed else a.body
        found = [] if got == body else [f"body is {a.body!r}"]
        found += [] if a.values("foo") == ["bar"] else [f"headers are {a.headers}"]
        found += [] if not compressed or a.values("content-encoding") == ["deflate"] else [f"headers are {a.headers}"]
        return expect_status(a, 200) + found + ([] if [(k.lower(), v) for k, v in a.trailers] == [("fizz", "buzz")] else [f"trailers are {a.trailers}"])
    return act


def deflated(data):
    of = zlib.compressobj(wbits=-15)
    return of.compress(data) + of.flush()


def inflated(data):
    return zlib.decompress(data, wbits=-15)


def traps_within(server, peer):
    """A future of trailers whose both ends are in one component."""
    headers = [("x-host-to-host", "true"), ("content-encoding", "deflate"), ("accept-encoding", "nonexistent-encoding, deflate")]
    a = get(server, "/", headers, body_hex=deflated(b"And the mome raths outgrabe").hex(), chunked=True, trailers=[["fizz", "buzz"]])
    return [] if a.aborted or a.status == 500 else [f"status is {a.status}"]


def error_comes_back(server, peer):
    a = get(server, "/", [("inject-transmission-error", "true")], body_hex=b"And the mome raths outgrabe".hex(), chunked=True, trailers=[["fizz", "buzz"]])
    return [] if a.status and a.status >= 500 else [f"status is {a.status}, body {a.body!r}"]


def passes_on(server, peer):
    body = b"And the mome raths outgrabe"
    a = get(server, "/", [("url", f"http://127.0.0.1:{peer.port}/there")], body_hex=body.hex(), chunked=True)
    return expect_status(a, 200) + ([] if a.body == body and a.values("x-wasmtime-test-uri") == ["/there"] else [f"{a.headers} {a.body!r}"])


def works_on(server, peer):
    a = get(server)
    return expect_status(a, 200) + ([] if not a.body else [f"body is {a.body!r}"]) + ([] if server.log_matches("please see me", 0) else ["nothing was done after the answer"])


# Name: [(part, flags, act)].
SERVED = {
    "p2_cli_serve_echo_env": [("", ["--env", "FOO=bar"], echo_env)],
    "p2_cli_serve_hello_world": [("", [], says_hello)],
    "p2_cli_serve_with_print": [("", [], prints)],
    "p2_cli_serve_return_before_set": [("", [], answers_500)],
    "p2_cli_serve_trap_before_set": [("", [], answers_500)],
    "p2_cli_serve_sleep": [("", ["--deadline", "1ms"], ends_late)],
    "p2_cli_serve_authority_and_scheme": [("", [], authority_and_scheme)],
    "p2_cli_serve_config": [("", ["--config", "hello=world"], body_is("world"))],
    "p2_api_proxy": [("", [], proxy), ("early drop", [], early_drop)],
    "p2_api_proxy_streaming": [("hash-all", NETWORK, hashes), ("denied", ["--net", "127.0.0.1"], denies), ("echo", [], echoes("/echo")),
        ("double-echo", NETWORK, echoes("/double-echo"))],
    "p2_api_proxy_forward_request": [("", NETWORK, forwards)],
    "p3_cli_serve_hello_world": [("", [], says_hello), ("together", ["--policy", "concurrent"], says_hello)],
    "p3_cli_serve_sleep": [("", ["--deadline", "1ms"], ends_late), ("together", ["--deadline", "1ms", "--policy", "concurrent"], ends_late)],
    "p3_cli_serve_post_return": [("", [], works_on)],
    "p3_api_proxy": [("", [], body_is("hello, world!"))],
    "p3_http_echo": [("", [], comes_back()), ("by the host", [], comes_back(("x-host-to-host", "true")))],
    "p3_http_proxy": [("", NETWORK, passes_on)],
    "p3_http_middleware_composed": [("", [], comes_back(compressed=True)), ("within", [], traps_within), ("error", ["--deadline", "3s"], error_comes_back)],
    "p3_http_middleware_with_chain_composed": [("", [], comes_back(compressed=True)), ("by the host", [], comes_back(("x-host-to-host", "true"), compressed=True))],
}


def serve_program(run, wasm, flags, act):
    server, peer = guests.Server(run.tenon, str(wasm), flags, run.env), Peer()
    try:
        if not server.addr:
            server.process.wait(10)
            return [f"the server did not start: {''.join(server.log)[:600]}"]
        problems = act(server, peer)
    finally:
        peer.close()
        status = server.stop()
    if status != 0:
        problems.append(f"ended by SIGTERM the server's status is {status}")
    return problems + ([f"log: {''.join(server.log)[:800]}"] if problems else [])


# ---- a run ------------------------------------------------------------------------------------------------------------------------------

def run_programs(folder, run):
    """All programs of one folder but for what run.only leaves out; a line a group with its share at the end."""
    shares = {}

    def count(test, of, problems):
        with run.lock:
            share = shares.setdefault(of, [0, 0])
            share[bool(problems)] += 1
        why = DIFFERS.get(test["name"].split(".")[0])
        if why and problems:
            run.skip(why)
        else:
            run.count(test, {"name": ""}, problems)

    def one(wasm):
        name = wasm.name.split(".")[0]
        if why := next((w for g, w in SKIPPED.items() if fnmatch.fnmatch(name, g)), None):
            run.skip(why)
            return
        served = [(part, lambda flags=flags, act=act: serve_program(run, wasm, flags, act)) for part, flags, act in SERVED.get(name, ())]
        for part, tries in served or [(part, lambda p=p: run_program(run, wasm, name, p)) for part, p in RUNS.get(name, [("", what(name))])]:
            test = {"name": f"{wasm.name.removesuffix('.wasm')}{' ' + part if part else ''}"}
            try:
                problems = tries()
            except Exception as e:  # a bug of this runner is a failure, and the others go on
                problems = [f"{type(e).__name__}: {e}"]
            count(test, group(name), problems)

    def chosen(file):
        name = file.name.split(".")[0]
        if not name.startswith(KINDS) or (not name.startswith("p1_") and not file.name.endswith(".component.wasm")):
            return False
        return run.chooses(name, file.name.removesuffix(".wasm"))

    with ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        list(pool.map(one, [f for f in sorted(folder.glob("*.wasm")) if chosen(f)]))
    for of, (passed, failed) in sorted(shares.items()):
        print(f"programs, {of}: {passed} of {passed + failed}")

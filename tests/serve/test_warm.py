"""Starts from the cache: what is answered, and that the cache's files are of no consequence once they were copied."""
import contextlib, os, re, shutil, subprocess, sys, tempfile, threading, time
from pathlib import Path

from assemble import section, u, vec
from harness import HELLO, Connection, Server, Skip, check, config, exchange, in_clear, needs, shared_guest


@contextlib.contextmanager
def _cache():
    """An empty cache for the servers inside."""
    before = os.environ.get("TENON_CACHE")
    with tempfile.TemporaryDirectory(prefix="tenon-test-") as at:
        os.environ["TENON_CACHE"] = at
        try:
            yield Path(at)
        finally:
            if before is None:
                del os.environ["TENON_CACHE"]
            else:
                os.environ["TENON_CACHE"] = before


def _fill(file, *flags):
    with Server(file, *flags) as s:
        check(s.get("/").status == 200, "no answer")


def _maps(s, cache):
    return [l for l in Path(f"/proc/{s.pid}/maps").read_text().splitlines() if str(cache) in l]


def a_warm_start_answers_as_a_cold_one():
    for file in (HELLO, shared_guest("http/hello-rust.wasm")):
        with _cache() as cache:
            with Server(file) as s:
                cold = s.get("/")
            check(sorted(f.suffix for f in cache.iterdir() if f.suffix != ".id" and f.name != ".added") == [".bytes", ".code", ".image"], f"{list(cache.iterdir())}")
            for policy in ("fresh", "reuse", "keep"):
                with Server(file, "--policy", policy) as s:
                    for _ in range(3):
                        warm = s.get("/")
                        check((warm.status, warm.body) == (cold.status, cold.body), f"{policy}: {warm.status} {warm.body!r}")


# Files that a warm start may open: the dynamic linker's, what the process is allowed, the component, the cache, the control socket's folder.
STARTS_WITH = re.compile(r"""/etc/ld\.so\.cache | /.*/libc\.so\.6 | /proc/self/(?:cgroup|statm|pagemap) | /proc/sys/vm/max_map_count |
    /sys/fs/cgroup/.* | /dev/null | \. | .*/hello\.wasm | [0-9a-f]{64}\.(?:id|bytes|code|image) | .*tenon.*""", re.X)


def _files_of_a_start(*flags):
    """What the server opened until it had answered once."""
    with tempfile.NamedTemporaryFile("r") as out:
        p = subprocess.Popen(["strace", "-D", "-f", "-qq", "-e", "trace=open,openat,openat2", "-o", out.name, str(config.tenon), "serve", str(HELLO),
            "--addr", "127.0.0.1:0", *flags], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            host, port = p.stdout.readline().removeprefix("ready http://").strip().split(":")
            check(exchange((host, int(port)), {"method": "GET", "path": "/"}).status == 200, "no answer")
            return re.findall(r'open(?:at2?)?\((?:AT_FDCWD, |\d+, )?"([^"]+)"[^\n]*\) = \d', out.read())
        finally:
            p.kill()
            p.communicate()


def a_warm_start_opens_only_what_it_needs():
    needs("strace")
    with _cache():
        _fill(HELLO)
        found = _files_of_a_start()
    check(any(f.endswith(".wasm") for f in found) and any(f.endswith(".code") for f in found), f"strace saw too little: {found}")
    more = [f for f in found if not STARTS_WITH.fullmatch(f)]
    check(not more, f"a start without TLS, stores or time zones opens {more}")


def libraries_that_nobody_needs_are_not_mapped():
    with _cache():
        with Server(HELLO) as s:
            check(s.get("/").status == 200, "no answer")
            mapped = {m.group(1) for m in re.finditer(r"/([^/\s]+\.so[^/\s]*)$", Path(f"/proc/{s.pid}/maps").read_text(), re.M)}
    check(mapped <= {"libc.so.6", "ld-linux-x86-64.so.2"}, f"{mapped}")


def what_happens_to_the_cache_later_does_not_reach_what_runs():
    with _cache() as cache:
        _fill(HELLO)
        with Server(HELLO, shards=2) as s:
            for _ in range(8):
                check(s.get("/").status == 200, "no answer before the copy")
            for _ in range(200):  # the copies are made behind the first answers; slots of the files are made anew when they are given back
                if not _maps(s, cache):
                    break
                time.sleep(0.05)
                for _ in range(4):
                    s.get("/")
            check(not _maps(s, cache), f"still mapped: {_maps(s, cache)}")
            for f in cache.iterdir():
                os.truncate(f, 0)
            for _ in range(20):
                check(s.get("/").body == b"Hello from a component!\n", "another answer")


def a_damaged_cache_is_made_anew():
    for kind in (".code", ".image", ".id"):
        with _cache() as cache:
            _fill(HELLO)
            for f in cache.glob("*" + kind):
                data = bytearray(f.read_bytes())
                data[len(data) // 2] ^= 1
                data[20] ^= 1
                f.write_bytes(data)
            for _ in range(2):
                with Server(HELLO) as s:
                    check(s.get("/").body == b"Hello from a component!\n", f"damaged {kind}: another answer")


def a_component_that_changed_is_noticed():
    with _cache(), tempfile.TemporaryDirectory() as d:
        at = Path(d) / "x.wasm"
        shutil.copy(HELLO, at)
        with Server(at) as s:
            check(s.get("/").body == b"Hello from a component!\n", "no answer")
        other = shared_guest("http/hello-c.wasm")
        shutil.copy(other, at)
        os.utime(at, ns=(HELLO.stat().st_mtime_ns,) * 2)
        with Server(other) as s:
            want = s.get("/").body
        with Server(at) as s:
            check(s.get("/").body == want, "the old component answered")


# Becomes another user, maps the file, and writes to it when it is told to: from the second time on no times change.
TENANT = """import mmap, os, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
m = mmap.mmap(os.open(sys.argv[1], os.O_RDWR), 0)
at = m.find(b"Hello from")
for line in sys.stdin:
    m[at] = ord(line[0])
    print(flush=True)
"""


def who_owns_a_file_changes_nothing_for_others():
    """Bytes that change beneath their times come neither to their own server nor, by the cache, to somebody else's of the same bytes."""
    if os.geteuid():
        raise Skip("only root runs a program as another user")
    with _cache() as cache, tempfile.TemporaryDirectory() as d:
        os.chmod(d, 0o755)
        at = Path(d) / "x.wasm"
        shutil.copy(HELLO, at)
        os.chmod(at, 0o644)
        os.chown(at, 65534, 65534)
        tenant = subprocess.Popen([sys.executable, "-c", TENANT, str(at)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

        def write(byte):
            print(byte, file=tenant.stdin, flush=True)
            check(tenant.stdout.readline() == "\n", "the tenant can't write to its file")

        try:
            write("H")
            time.sleep(3.1)  # until another write would show in the times
            before = at.stat()
            _fill(at)
            for f in cache.glob("*.image"):
                f.unlink()
            write("J")
            if at.stat().st_mtime_ns != before.st_mtime_ns:
                raise Skip("the kernel wrote the page back meanwhile: the write shows in the times")
            for file in (at, at, HELLO):
                with Server(file) as s:
                    check(s.get("/").body == b"Hello from a component!\n", f"{file}: bytes of another time")
            check([f for f in cache.iterdir() if f.suffix == ".bytes"], f"what it held is not kept: {list(cache.iterdir())}")
        finally:
            tenant.kill()
            tenant.communicate()


def a_file_that_is_cut_short_before_the_first_answer_is_of_no_consequence():
    """An old one of ours: cold, from the cache, and without one."""
    with _cache() as cache, tempfile.TemporaryDirectory() as d:
        at = Path(d) / "x.wasm"
        for flags in ((), (), ("--no-cache",)):
            shutil.copy(HELLO, at)
            time.sleep(3.1)  # until another write would show in the times
            with Server(at, *flags) as s:
                os.truncate(at, 0)
                for _ in range(20):
                    check(s.get("/").body == b"Hello from a component!\n", f"{flags}: another answer")
        check([f for f in cache.iterdir() if f.suffix == ".bytes"], f"what it held is not kept: {list(cache.iterdir())}")


def _cut_and_write(at, over):
    data, n = at.read_bytes(), 0
    with open(at, "r+b", buffering=0) as f:
        while not over.is_set():
            n += 1
            f.truncate(len(data) * (n % 7) // 8 if n % 4 else 0)
            f.seek(0)
            f.write(data)
            os.utime(at, (1000, 1000))
            time.sleep(n % 16 / 1000)


def _serve_or_be_refused(file, flags, at_once=lambda: None):
    """True: it answered as it must, and ended by itself when it was told to. False: it was refused, and that was said. Nothing else."""
    p = subprocess.Popen([str(config.tenon), "serve", str(file), "--addr", "127.0.0.1:0", *flags], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    at_once()
    ready = p.stdout.readline()
    if ready:
        host, port = ready.removeprefix("ready http://").strip().split(":")
        check(exchange((host, int(port)), {"method": "GET", "path": "/"}).body == b"Hello from a component!\n", "another answer")
        p.terminate()
    _, told = p.communicate(timeout=120)
    check(p.returncode in ((0,) if ready else (3, 5)), f"it ended with {p.returncode}: {told}")
    check(ready or "error: " in told, f"nothing is said: {told}")
    return bool(ready)


def a_file_that_is_written_over_all_the_time_is_served_whole_or_refused():
    with _cache(), _with_much_code() as file:
        over = threading.Event()
        cutter = threading.Thread(target=_cut_and_write, args=(file, over))
        cutter.start()
        try:
            came = [_serve_or_be_refused(file, ["--no-cache"] if i % 3 == 2 else []) for i in range(60)]
        finally:
            over.set()
            cutter.join()
    check(not all(came), "it was never found cut short")


def an_old_file_that_is_cut_short_at_any_moment_of_a_start_ends_nobody():
    """Old: nobody was at it for seconds."""
    n = 40
    for kept in (False, True):
        with _cache(), _with_much_code(20000) as file, tempfile.TemporaryDirectory() as d:
            files = [shutil.copy(file, Path(d) / f"{i}.wasm") for i in range(n)]
            time.sleep(3.1)
            if kept:
                _fill(file)
                for at in files:
                    _fill(at)
            for i, at in enumerate(files):
                def cut(delay=i * 0.002, at=at):
                    time.sleep(delay)
                    os.truncate(at, 0)

                _serve_or_be_refused(at, [] if kept or i % 2 else ["--no-cache"], cut)


def a_start_without_a_cache_leaves_no_file():
    with _cache() as cache:
        _fill(HELLO, "--no-cache")
        check(not list(cache.iterdir()), f"{list(cache.iterdir())}")


@contextlib.contextmanager
def _with_much_code(n=3000):
    """The component with n times 200 bytes of code that nobody calls: all of its modules are compiled when they are called."""
    body = b"\x00" + b"\x41\x01\x1a" * 66 + b"\x0b"
    funcs = section(1, vec([b"\x60\x00\x00"])) + section(3, vec([b"\x00"] * n)) + section(10, vec([u(len(body)) + body] * n))
    with tempfile.TemporaryDirectory(prefix="tenon-test-") as folder:
        at = Path(folder) / "large.wasm"
        at.write_bytes(HELLO.read_bytes() + section(1, b"\0asm\x01\0\0\0" + funcs))
        yield at


@contextlib.contextmanager
def _told_of_code():
    """The functions that a server puts into memory, for profilers; but for a line that it is writing."""
    os.environ["TENON_PERF"] = "1"
    try:
        yield lambda pid: [l.split(maxsplit=2)[2] for l in Path(f"/tmp/perf-{pid}.map").read_text().rpartition("\n")[0].splitlines()]
    finally:
        del os.environ["TENON_PERF"]


def what_is_called_is_compiled_and_the_rest_behind_the_answer():
    with _cache() as cache, _with_much_code() as file, _told_of_code() as names:
        with Server(file) as s:
            check(s.get("/").body == b"Hello from a component!\n", "no answer")
            told = names(s.pid)
            check("wasm:(entries)" in told and len(told) < 3000, f"{len(told)} functions")
            for _ in range(3000):
                if len(names(s.pid)) > 3000 and list(cache.glob("*.code")):
                    break
                time.sleep(0.02)
            check(len(names(s.pid)) > 3000 and list(cache.glob("*.code")), "the rest is not compiled")
            for _ in range(3):
                check(s.get("/").body == b"Hello from a component!\n", "no answer of what was compiled as a whole")
        Path(f"/tmp/perf-{s.pid}.map").unlink()
        with Server(file) as s:
            check(s.get("/").body == b"Hello from a component!\n", "no answer from the cache")
            check("wasm:(entries)" not in names(s.pid), "it was not taken from the cache")
        Path(f"/tmp/perf-{s.pid}.map").unlink()


def a_process_that_ends_at_once_has_compiled_for_the_next():
    with _cache() as cache, _with_much_code() as file:
        _fill(file)
        check(list(cache.glob("*.code")), f"{list(cache.iterdir())}")
        _fill(file)
    with _cache() as cache, _with_much_code() as file:
        _fill(file, "--no-cache")
        check(not list(cache.iterdir()), f"{list(cache.iterdir())}")


def _comes_to(s, warm, what):
    """What it needed goes: records of forty thousand functions are megabytes. What is left in between on the heap may be one."""
    for _ in range(600):  # a second or two; who nobody calls is looked at by a timer
        cold = s.private_kib()
        if cold < 1.25 * warm + 1024:
            return
        time.sleep(0.1)
    raise AssertionError(f"{what}: {cold} KiB, after a warm start {warm}")


def _wait_for_code(cache, s):
    for _ in range(3000):
        if list(cache.glob("*.code")):
            break
        time.sleep(0.02)
    s.settle()


def _memory_when_warm(file, *flags):
    with Server(file, *flags) as w:
        check(w.get("/").status == 200, "no answer from the cache")
        w.settle()
        return w.private_kib()


def a_start_that_compiled_comes_to_the_memory_of_a_warm_one():
    if not config.release:
        raise Skip("only the release build is measured")
    for policy in ("fresh", "keep"):
        with _cache() as cache, _with_much_code(40000) as file:
            with Server(file, "--policy", policy) as s:
                check(s.get("/").status == 200, "no answer")
                _wait_for_code(cache, s)
                _comes_to(s, _memory_when_warm(file, "--policy", policy), policy)
                check(s.get("/").body == b"Hello from a component!\n", "another answer of what was compiled as a whole")


def who_is_called_while_the_whole_is_compiled_gets_it_later():
    if not config.release:
        raise Skip("only the release build is measured")
    in_clear()
    with _cache() as cache, _with_much_code(40000) as file:
        with Server(file, "--policy", "keep") as s, Connection(s.addr) as c:
            c.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\na")
            _wait_for_code(cache, s)
            time.sleep(1.5)  # its one instance is looked at after a second
            c.send("b")
            check(c.answer().body == b"ab", "no answer of what was called before")
            _comes_to(s, _memory_when_warm(file, "--policy", "keep"), "called meanwhile")
            check(s.get("/").body == b"Hello from a component!\n", "another answer of what was compiled as a whole")


def where_pages_may_not_become_code_the_whole_is_copied():
    """PR_SET_MDWE, as MemoryDenyWriteExecute of systemd."""
    refuse = "import ctypes, os, sys; ctypes.CDLL(None).prctl(65, 1, 0, 0, 0) and sys.exit(77); os.execvp(sys.argv[1], sys.argv[1:])"
    wrap = [sys.executable, "-c", refuse]
    if subprocess.run([*wrap, "true"]).returncode:
        raise Skip("this kernel has no PR_SET_MDWE")
    with _cache() as cache, _with_much_code() as file, _told_of_code() as names:
        with Server(file, wrap=wrap) as s:
            check(s.get("/").body == b"Hello from a component!\n", "no answer")
            _wait_for_code(cache, s)
            check(len(names(s.pid)) > 3000, "what was compiled behind the answer is not used")
            check(s.get("/").body == b"Hello from a component!\n", "no answer of what was compiled as a whole")
        Path(f"/tmp/perf-{s.pid}.map").unlink()
        with Server(file, wrap=wrap) as s:
            check(s.get("/").body == b"Hello from a component!\n", "no answer from the cache")
            check("wasm:(entries)" not in names(s.pid), "it was not taken from the cache")
        Path(f"/tmp/perf-{s.pid}.map").unlink()


def what_is_compiled_when_called_can_be_compiled_before():
    with _cache(), _with_much_code() as file, _told_of_code() as names:
        subprocess.run([str(config.tenon), "compile", str(file)], check=True, capture_output=True)
        with Server(file) as s:
            check(s.get("/").body == b"Hello from a component!\n", "no answer from the cache")
            check("wasm:(entries)" not in names(s.pid), "it was not taken from the cache")
        Path(f"/tmp/perf-{s.pid}.map").unlink()

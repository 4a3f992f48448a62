"""What becomes of an app when a store that it is linked to fails, the real one: each call gets an error within its deadline, it works again by itself, and who does
not use it notices nothing: on the same thread, his p99 beside calls that fail is bounded by that beside as many that don't, in the same run. The same for a disk that is
full and clocks that jump."""
import json, os, struct, subprocess, threading, time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from front import Folder, ask, clock_library, where
from harness import HELLO, MISBEHAVE, Skip, check, config
from test_link import _App, servers
from writing import until

DEADLINE, SLACK = 1.0, 10.0  # of a call; what a busy machine adds
AT_ONCE = 8
BESIDE, TIMES = DEADLINE / 4 * 1000, 10  # what a fault may add to the neighbour's p99, in ms, and how many times that without one it may be: who waits for the store waits for its deadline
MORE = f'[component.h]\nsource = "{MISBEHAVE}"\n[[trigger.http]]\nroute = "/env"\ncomponent = "h"\n'


class _Beside:
    """One who asks another route all the time."""

    def __init__(self, app):
        self.app, self.over, self.failed, self.times = app, threading.Event(), [], []
        self.thread = threading.Thread(target=self._ask, daemon=True)

    def _ask(self):
        while not self.over.wait(0.002):
            began = time.monotonic()
            try:
                status = self.app.request("/env")[0]
            except OSError as e:
                status = repr(e)
            self.times.append(time.monotonic() - began)
            if status != 200:
                self.failed.append(status)

    def mark(self):
        """The 99th percentile since the last one, in ms."""
        times, self.times = sorted(self.times), []
        return times[len(times) * 99 // 100] * 1000 if times else 0.0

    def __enter__(self):
        self.thread.start()
        time.sleep(0.3)
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join(60)


class _Faults:
    """A counter whose store is this link, and a neighbour: his p99 beside what is well and in each fault, in ms."""

    def __init__(self, app, beside):
        self.app, self.beside, self.well, self.faults = app, beside, [], {}

    def fails(self, what, calls=2 * AT_ONCE, method="POST", path="/incr/n", **more):
        def call(_):
            began = time.monotonic()
            status, body = self.app.request(path, method, **more)
            took = time.monotonic() - began
            check(status >= 500 and body, f"{what}: {status} {body}")
            check(took < DEADLINE + SLACK, f"{what}: {took:.1f} s")
        self.beside.mark()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(call, range(calls)))
        self.faults[what] = self.beside.mark()

    def recovers(self, what, within=60):
        end = time.monotonic() + within
        while (a := self.app.request("/incr/n", "POST"))[0] != 200 and time.monotonic() < end:
            time.sleep(0.05)
        check(a[0] == 200, f"{what} is over, and: {a}")
        self.be_well()

    def be_well(self):
        """As many at once that succeed, for as long as one that fails may take."""
        until = time.monotonic() + DEADLINE

        def call(_):
            while time.monotonic() < until:
                check(self.app.request("/get/n")[0] == 200, "what is well")
        self.beside.mark()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(call, range(AT_ONCE)))
        self.well.append(self.beside.mark())

    def end(self):
        check(not self.beside.failed, f"the neighbour: {self.beside.failed[:3]}")
        most = BESIDE + TIMES * max(self.well)
        told = f"{max(self.well):.1f} ms, " + ", ".join(f"{what} {ms:.1f} ms" for what, ms in self.faults.items())
        check(max(self.faults.values()) < most, f"the neighbour's p99 may be {most:.0f} ms: {told}")
        return f"the neighbour's p99: {told}"


def _link(kind, url):
    return f'type = "{kind}"\nurl = "{url}"\ndeadline = "{DEADLINE:.0f}s"\nstart = "lazy"'


def _fill(file):
    """Until nothing more goes onto its disk."""
    fd = os.open(file, os.O_WRONLY | os.O_CREAT)
    try:
        while os.write(fd, b"x" * 4096):
            pass
    except OSError:
        pass
    finally:
        os.close(fd)


def redis_stands_still_restarts_loads_is_full_and_has_another_password():
    if why := servers.Redis.lacks():
        raise Skip(why)
    with Folder() as top, servers.Redis() as redis, _App(top, _link("redis", f"redis://:one@127.0.0.1:{redis.port}/0"), MORE, shards=1) as app, _Beside(app) as beside:
        as_admin = lambda password, *words: subprocess.run(["redis-cli", "-p", str(redis.port), "-a", password, *words], capture_output=True, check=True, timeout=60)  # noqa: E731
        f = _Faults(app, beside)
        f.fails("no password")
        redis.ask("config", "set", "requirepass", "one")
        f.recovers("no password")
        redis.freeze()
        f.fails("SIGSTOP")
        redis.thaw()
        f.recovers("SIGSTOP")
        as_admin("one", "config", "set", "maxmemory", "1")
        f.fails("maxmemory")
        as_admin("one", "config", "set", "maxmemory", "0")
        f.recovers("maxmemory")
        as_admin("one", "config", "set", "requirepass", "two")
        as_admin("two", "client", "kill", "type", "normal")
        time.sleep(0.2)
        f.fails("another password")
        as_admin("two", "config", "set", "requirepass", "one")
        f.recovers("another password")
        redis.kill()
        f.fails("killed")
        redis.more = ("--requirepass", "one")
        redis.start()
        f.recovers("killed")
        as_admin("one", "config", "set", "appendfsync", "no")
        as_admin("one", "eval", "for i = 1, 60000 do redis.call('set', 'other' .. i, 'x') end", "0")
        as_admin("one", "bgrewriteaof")
        check(until(lambda: b"aof_rewrite_in_progress:1" not in as_admin("one", "info", "persistence").stdout), "its file is written")
        redis.kill()
        redis.more = ("--requirepass", "one", "--key-load-delay", "200", "--loading-process-events-interval-bytes", "1024")
        redis.start()
        f.fails("LOADING")
        as_admin("one", "config", "set", "key-load-delay", "0")
        f.recovers("LOADING")
        return f.end()


def nats_stands_still_restarts_and_has_another_password():
    if why := servers.Nats.lacks():
        raise Skip(why)
    with Folder() as top, servers.Nats("--user", "u", "--pass", "one") as nats, _App(top, _link("nats", f"nats://u:one@127.0.0.1:{nats.port}/links"), MORE, shards=1) as app, _Beside(app) as beside:
        f = _Faults(app, beside)
        f.recovers("the start")
        nats.freeze()
        f.fails("SIGSTOP")
        nats.thaw()
        f.recovers("SIGSTOP")
        nats.kill()
        f.fails("killed")
        nats.more = ("--user", "u", "--pass", "two")
        nats.start()
        f.fails("another password")
        nats.kill()
        nats.more = ("--user", "u", "--pass", "one")
        nats.start()
        f.recovers("another password")
        return f.end()


def nats_that_is_full_says_so_and_takes_more_when_there_is_room():
    if why := servers.Nats.lacks():
        raise Skip(why)
    nats = servers.Nats.limited("1MB")
    with Folder() as top, nats, _App(top, _link("nats", f"nats://127.0.0.1:{nats.port}/links"), MORE, shards=1) as app, _Beside(app) as beside:
        f = _Faults(app, beside)
        f.recovers("the start")
        fill = lambda i: app.request(f"/set/big{i}", "PUT", body_hex="78" * 65536)  # noqa: E731
        status, i = 200, 0
        while status == 200 and i < 64:
            (status, said), i = fill(i), i + 1
        check(status >= 500 and b"resource" in said, f"{i} values of 64 KiB: {status} {said}")
        f.fails("its storage is full", method="PUT", path="/set/more", body_hex="78" * 65536)
        check(app.request("/get/n") == (200, b"1"), app.request("/get/n"))
        nats.ask("$JS.API.STREAM.PURGE.KV_links")
        f.recovers("its storage is full")
        check(fill(0)[0] == 200, "there is room")
        return f.end()


@contextmanager
def _small_disk(top):
    if os.geteuid() != 0:
        raise Skip("mounting a small disk needs root")
    disk = Path(top) / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "tmpfs", disk], capture_output=True).returncode:
        raise Skip("a small disk can't be mounted here")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def a_change_that_finds_no_room_on_the_disk_is_none_until_there_is_room():
    """The journal's: what was in force is, also after a kill; each change of another kind fails with the same word and exit status."""
    with Folder() as top, _small_disk(top) as disk:
        variables = '[variables]\ngreeting = { default = "a" }\n'
        app = _App(top, more=MORE + variables)
        app.env["TENON_STATE"] = str(disk)
        with app:
            app.incr()
            _fill(disk / "filler")
            done = 0
            while "" == (why := _tries(app, "set", f"greeting={done:04}{'x' * 500}")):
                done += 1
            check("No space left on device" in why and done < 60, f"{done}: {why}")  # what the file had room for
            for change in (("link", "@store", f"file:{top}/x.db", "--copy"), ("link", "@store", f"file:{top}/y.db"), ("scale", "c", "--max", "7"), ("update", "h", HELLO), ("stop",)):
                why = _tries(app, *change)
                check("No space left on device" in why, f"{change}: {why}")
            check(app.status()["release"] == done + 1 and app.target() == "memory:" and app.incr() == 2, app.status())
            (disk / "filler").unlink()
            check(_tries(app, "link", "@store", f"file:{top}/x.db", "--copy") == "" and app.incr() == 3, "there is room")
            app.kill()
            app.start()
            check(app.target() == f"file:{top}/x.db" and app.count() == 3 and app.status()["release"] == done + 2, app.status())


def _tries(app, *args):
    """What is said of a change that is refused; "": it came about."""
    r = subprocess.run([str(config.tenon), *map(str, args)], capture_output=True, text=True, timeout=120, env=app.env)
    check(r.returncode in (0, 6), f"{args}: {r.returncode} {r.stderr}")
    return r.stderr if r.returncode else ""


def a_disk_that_is_full_takes_nothing_until_there_is_room():
    with Folder() as top, _small_disk(top) as disk:
        with _App(top, f'type = "file"\npath = "{disk}/a.db"\ndeadline = "{DEADLINE:.0f}s"', MORE, shards=1) as app, _Beside(app) as beside:
            f = _Faults(app, beside)
            f.recovers("the start")
            _fill(disk / "filler")
            f.fails("a full disk", method="PUT", path="/set/big", body_hex="78" * 65536)
            check(app.count() == 1, "what was there is read")
            (disk / "filler").unlink()
            f.recovers("a full disk")
            check(app.request("/set/big", "PUT", body_hex="78" * 65536)[0] == 200 and app.count() == 2, "there is room")
            return f.end()


def clocks_that_jump_fail_nobody():
    """The time of day by a day, there and back; the others by an hour forward, as after a sleep of the machine: what is under way then may be late, and nothing after it."""
    with Folder() as top:
        library, clocks = clock_library(top), Path(top) / "clocks"
        clocks.write_bytes(bytes(16))

        def jump(day, other):
            with open(clocks, "r+b") as at:
                at.write(struct.pack("<qq", day * 10**9, other * 10**9))
        app = _App(top, f'type = "file"\npath = "{top}/a.db"\ndeadline = "{DEADLINE:.0f}s"', MORE)
        app.start(LD_PRELOAD=str(library), CLOCK_FILE=str(clocks))
        with app:
            count = 0
            for day in (86400, -86400, 0):
                jump(day, 0)
                for _ in range(20):
                    check(app.incr() == count + 1 and app.request("/env")[0] == 200, "after a jump")
                    count += 1
            jump(0, 3600)
            time.sleep(0.5)
            for _ in range(20):
                count += 1
                check(app.incr() == count, "an hour later")


def a_cache_that_has_no_room_is_told_once_and_nothing_else_happens():
    with Folder() as top, _small_disk(top) as disk:
        cache = disk / "cache"
        cache.mkdir(mode=0o700)
        env = {**os.environ, "TENON_CACHE": str(cache), "TENON_CTL": str(Path(top) / "ctl")}

        def serve(is_told):
            p = subprocess.Popen([str(config.tenon), "serve", str(HELLO), "--addr", "127.0.0.1:0"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
            at = where(p.stdout.readline().split()[1])
            check(ask(at, "/").status == 200, "it answers")
            if is_told:
                said = json.loads(p.stderr.readline())
                check(said["level"] == "warn" and said["message"].startswith("the cache of compiled code takes nothing: No space left on device"), said)
            else:
                check(until(lambda: len(list(cache.glob("*.*"))) >= 3), "it is written")
            p.terminate()
            said = p.communicate(timeout=60)[1]
            check(p.returncode == 0 and "takes nothing" not in said, said)
        _fill(disk / "filler")
        serve(True)
        check(not list(cache.glob("tmp-*")), "what was begun stays")
        (disk / "filler").unlink()
        serve(False)

"""A store that is moved and a version that is updated while async calls are in flight, twenty in each instance: by examples/tally, which keeps names in a store
that it asks asynchronously (spin:key-value@3.0.0, --policy concurrent)."""
import time

import test_link
from front import Clients, Folder, ask
from harness import TOP, check

TALLY = TOP / "examples/tally/tally.wasm"
IN_EACH, SHARDS = 20, 2


class _App(test_link._App):
    def write(self, link, more=""):
        self.another_version("")
        (self.top / "tenon.toml").write_text(f'tenon = 1\n[app]\nname = "counter"\n[component.c]\nsource = "tally.wasm"\npolicy = "concurrent"\nconcurrency = {IN_EACH}\n'
            f'links = {{ "spin:key-value" = "store" }}\n[link.store]\n{link}\n[[trigger.http]]\nroute = "/..."\ncomponent = "c"\n{more}')

    def another_version(self, n):
        """The same with a custom section of its own behind it."""
        text = b"\x01v" + str(n).encode()
        (self.top / f"tally{n}.wasm").write_bytes(TALLY.read_bytes() + b"\x00" + bytes([len(text)]) + text)
        return self.top / f"tally{n}.wasm"

    def get(self, path):
        """Status and count of an answer."""
        a = ask(self.at, path, timeout=60)
        return a.status, int(a.values("x-count")[0]) if a.status == 200 else a.body


class _Load(Clients):
    """Clients that set names of their own all the time; `names`: those acknowledged, `failed`: what was not."""

    def __init__(self, app, n=IN_EACH * SHARDS):
        super().__init__(n)
        self.app, self.next, self.names, self.most = app, [0] * n, [], 0

    def one(self, i):
        name, self.next[i] = f"n{i}-{self.next[i]}", self.next[i] + 1
        a = ask(self.app.at, f"/set/{name}", timeout=60)
        if a.status == 200:
            self.names.append(name)
            self.most = max(self.most, int(a.values("x-most")[0]))
        else:
            self.failed.append((name, a.status, a.body[:200]))

    def __enter__(self):
        super().__enter__()
        self.goes_on(len(self.threads))
        return self

    def goes_on(self, more):
        """So many more are acknowledged."""
        goal, end = len(self.names) + more, time.monotonic() + 60
        while len(self.names) < goal and not self.failed and time.monotonic() < end:
            time.sleep(0.02)
        check(len(self.names) >= goal, f"the load stands still at {len(self.names)}: {self.failed[:3]}")


def _is_exact(app, load):
    check(not load.failed, f"{len(load.failed)} failed: {load.failed[:3]}")
    check(load.most >= IN_EACH * 3 // 4, f"at most {load.most} were in an instance at once")
    check(app.get("/keys") == (200, len(load.names)), f"{app.get('/keys')} are there, {len(load.names)} were acknowledged")
    lost = [n for n in load.names[::len(load.names) // 40 + 1] if app.get(f"/has/{n}")[0] != 200]
    check(not lost and app.get("/has/none")[0] == 404, f"lost: {lost[:5]}")


def a_store_moves_under_async_calls_and_each_name_is_there_once():
    with Folder() as top, _App(top, link='type = "memory"\ndeadline = "15s"', shards=SHARDS) as app:
        with _Load(app) as load:
            for target in (f"file:{top}/a.db", "memory:b"):
                app.link(target, "--copy", "--max-pause", "12s")
                load.goes_on(60)
        _is_exact(app, load)
        return f"{len(load.names)} names, {load.most} at once"


def a_version_changes_under_async_calls_and_none_fails():
    with Folder() as top, _App(top, link=f'type = "file"\npath = "{top}/a.db"', shards=SHARDS) as app:
        with _Load(app) as load:
            for n in range(3):
                app.tenon("update", "c", app.another_version(n))
                load.goes_on(60)
        _is_exact(app, load)
        return f"{len(load.names)} names, {load.most} at once"


def keys_are_read_in_pieces_and_may_be_left():
    with Folder() as top, _App(top) as app:
        check(app.get("/keys") == (200, 0) and app.get("/first") == (200, 0), "keys of nothing")
        for n in range(20):
            check(app.get(f"/set/k{n}")[0] == 200, n)
            check(app.get("/keys") == (200, n + 1) and app.get("/first") == (200, 1), f"of {n + 1}: {app.get('/keys')} {app.get('/first')}")

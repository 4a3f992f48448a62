"""What others were linked to, when they are not any more: it is bound to no interface of then, and nothing of it stays."""
import os, subprocess, tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from assemble import Component, load, store, const
from harness import HELLO, check, config
from test_components import _App, _differs, _outcome
from writing import until


def _body(c):
    made = load(64) + b"\x45\x04\x40" + store(64, const(41) + c.call("[constructor]thing")) + b"\x0b"
    return made + _differs(c, load(64) + c.call("[method]thing.value"), 41)


class _Live:
    """An app whose caller is linked, is linked no more, and stands alone."""

    def __init__(self, app, ctl):
        self.folder, self.env = Path(app.at.name), {"TENON_CTL": ctl, "TENON_STATE": ctl + "/state"}
        self.linked = (self.folder / "tenon.toml").read_text()
        (self.folder / "hello.wasm").write_bytes(HELLO.read_bytes())
        alone = self.linked.replace('source = "caller.wasm"', 'source = "hello.wasm"')
        self.unlinked = "\n".join(line for line in alone.splitlines() if not line.startswith("links = ")).replace('[link.ops]\ntype = "component"\ncomponent = "ops"\n', "")
        self.alone = self.unlinked.replace('[component.ops]\nsource = "provider.wasm"\n', "")

    def tenon(self, *args, status=0):
        r = subprocess.run([str(config.tenon), *map(str, args)], capture_output=True, timeout=120, text=True, env={**os.environ, **self.env})
        check(r.returncode == status, (args, r.returncode, r.stdout, r.stderr))
        return r.stdout + r.stderr

    def apply(self, text):
        (self.folder / "tenon.toml").write_text(text)
        return self.tenon("apply", self.folder)


def _with(test):
    with _App(_body) as app, tempfile.TemporaryDirectory() as ctl:
        live = _Live(app, ctl)
        os.environ.update(live.env)
        try:
            with app.up(shards=2) as server:
                test(live, server)
        finally:
            for name in live.env:
                del os.environ[name]


def what_nobody_is_linked_to_any_more_may_become_anything():
    def test(live, server):
        other = live.folder / "other.wasm"
        other.write_bytes(Component().assemble())
        check(_outcome(server, "/1") == "ok", server.log_text())
        check("does not export" in live.tenon("update", "shop/ops", other, status=6), "it is called")
        live.apply(live.unlinked)
        check(server.get("/").status == 200, "its caller")
        live.tenon("update", "shop/ops", other)
        live.tenon("update", "shop/ops", live.folder / "provider.wasm")
        live.apply(live.linked)
        check(_outcome(server, "/2") == "ok", server.log_text())
        check("does not export" in live.tenon("update", "shop/ops", other, status=6), "it is called again")
    _with(test)


def links_that_come_and_go_under_load_leave_nothing():
    def test(live, server):
        def maps():
            return len(Path(f"/proc/{server.process.pid}/maps").read_text().splitlines())

        with ThreadPoolExecutor(4) as pool:
            for i in range(24):
                asked = [pool.submit(server.get, f"/{i}-{k}") for k in range(20)]
                live.apply((live.alone, live.linked, live.unlinked, live.linked)[i % 4])
                check(all(a.result().status in (200, 404, 500) for a in asked), f"{i}: {[a.result().status for a in asked]}")
                if i == 7:
                    before = maps()
        check(until(lambda: maps() < before + 40), f"{before} mappings, {maps()} after 16 more changes")  # what the last ones left goes a moment later
        check(_outcome(server, "/last") == "ok", server.log_text()[-1000:])
    _with(test)

"""What releases and their folders are: the folder of a release's manifest, what a change that did not come about leaves, what is kept of operations."""
import json, os, shutil, subprocess, zlib
from pathlib import Path

from front import Folder, ask
from harness import HELLO, MISBEHAVE, check, config
from test_apply import COUNTER, Host, _component

FILES = '[component.files]\nsource = "a.wasm"\nfiles = [{ host = "assets", guest = "/" }]\n'


def _journal(folder, app="shop"):
    return folder / ".tenon/default" / app / "journal"


def _records(path):
    return [json.loads(line[9:]) for line in path.read_text().splitlines()[1:]]


def _write(path, records):
    lines = [json.dumps(r) for r in records]
    path.write_text("tenon-journal 1\n" + "".join(f"{zlib.crc32(line.encode()):08x} {line}\n" for line in lines))


def _asks_for(host, path):
    text = host.tenon("status", "shop", "--manifest")
    check(path in text, text)


def undo_after_an_apply_from_another_folder_has_the_paths_of_the_first():
    with Folder() as top, Host(top) as host:
        text = _component("api", "a", "/...") + FILES
        one = host.write("shop", text, a=HELLO)
        two = Path(top) / "two"
        for folder in (one, two):
            (folder / "assets").mkdir(parents=True)
        shutil.copy(one / "tenon.toml", two)
        shutil.copy(MISBEHAVE, two / "a.wasm")
        host.start(one)
        host.must_say(("/", HELLO))
        out = host.tenon("apply", two)
        check("component api source" in out and f"{one}/assets" in out, out)
        host.must_say(("/", MISBEHAVE))
        out = host.tenon("undo", "shop")
        check(f"{one}/assets" in out, out)
        host.must_say(("/", HELLO))
        _asks_for(host, f'host = "{one}/assets"')
        host.tenon("undo", "shop", "--to", 2)
        host.must_say(("/", MISBEHAVE))
        host.tenon("undo", "shop", "--to", 1)
        for what in ("set back", "a restart"):
            host.must_say(("/", HELLO))
            _asks_for(host, f'host = "{one}/assets"')
            if what == "set back":
                host.kill()
                host.start(one)  # where its state lies
        host.tenon("stop", "shop")
        host.tenon("apply", one)
        host.must_say(("/", HELLO))
        check("nothing differs" in host.tenon("apply", one), "again")


def a_start_in_another_folder_is_another_release():
    with Folder() as top, Host(top) as host:
        host.env["TENON_STATE"] = str(top / "state")
        one = host.write("shop", _component("api", "a", "/..."), a=HELLO)
        two = Path(top) / "two"
        shutil.copytree(one, two)
        shutil.copy(MISBEHAVE, two / "a.wasm")
        for folder, says, releases in ((one, HELLO, 1), (one, HELLO, 1), (two, MISBEHAVE, 2), (two, MISBEHAVE, 2)):
            host.start(folder)
            host.must_say(("/", says))
            check(len(host.history("shop")) == releases, host.history("shop"))
            host.kill()
        host.start()
        host.tenon("undo", "shop")
        host.must_say(("/", HELLO))


def what_was_changed_of_a_component_that_the_manifest_has_no_more_is_decided():
    more = 'policy = "reuse"\nenv = { WHO = "a" }\nlimits = { cpu = "1s" }\nnetwork = ["127.0.0.1"]\nprivate = ["127.0.0.0/8"]\nconfig = { a = "b" }\nexpose = true'
    two = lambda name: _component(name, "a", "/...", more)  # noqa: E731
    for how, left in (("--live", True), ("--manifest", False)):
        with Folder() as top, Host(top) as host:
            host.start(host.write("shop", two("old"), a=HELLO))
            host.tenon("scale", "shop/old", "--min", 2)
            host.kill()
            host.write("shop", two("new"))
            r = subprocess.run([str(config.tenon), "up", str(top / "shop"), "--addr", "127.0.0.1:0"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, env=host.env)
            check(r.returncode == 2 and "[component.old] was changed live" in r.stderr and "the manifest has nothing" in r.stderr and "min = 2" in r.stderr, f"{r.returncode} {r.stderr}")
            for flags in ((how,), ()):
                host.start(flags=("--addr", "127.0.0.1:0", *flags))
                host.must_say(("/", HELLO))
                text = host.tenon("status", "shop", "--manifest")
                check(("[component.old]" in text) == left and "[component.new]" in text and text.count('WHO = "a"') == 1 + left, text)
                host.kill()
            host.start()


def live_changes_that_do_not_go_with_the_manifest_any_more_are_dropped_by_it():
    link = '[link.{}]\ntype = "memory"\nurl = "memory:{}"\n'.format
    app = _component("api", "a", "/...", 'links = { "wasi:keyvalue" = "one" }') + link("one", "one")
    with Folder() as top, Host(top) as host:
        host.start(host.write("shop", app + link("two", "two"), a=COUNTER))
        host.tenon("link", "api:wasi:keyvalue", "@two")
        host.kill()
        host.write("shop", app)
        for flags, status in (((), 2), (("--live",), 2)):
            r = subprocess.run([str(config.tenon), "up", str(top / "shop"), "--addr", "127.0.0.1:0", *flags], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, env=host.env)
            check(r.returncode == status and "no link 'two'" in r.stderr and "--manifest" in r.stderr, f"{r.returncode} {r.stderr}")
        host.start(flags=("--addr", "127.0.0.1:0", "--manifest"))
        check('"wasi:keyvalue" = "one"' in host.tenon("status", "shop", "--manifest"), "what the manifest says")


def the_same_text_in_another_folder_is_another_release_also_where_no_path_is_told_from_it():
    with Folder() as top, Host(top) as host:
        one = host.write("shop", f'[component.api]\nsource = "{HELLO}"\n[[trigger.http]]\nroute = "/..."\ncomponent = "api"\n')
        two = Path(top) / "two"
        two.mkdir()
        shutil.copy(one / "tenon.toml", two)
        host.start(one)
        check("nothing differs" in host.tenon("apply", one), "its own")
        check("release 2 of shop is in force" in host.tenon("apply", two), host.history("shop"))
        check([r for r in _records(_journal(one)) if r.get("release") == 2][0]["folder"] == f"{two}/", _records(_journal(one)))
        check("nothing differs" in host.tenon("apply", two), "again")
        host.must_say(("/", HELLO))


def a_folder_may_move_with_its_state():
    with Folder() as top, Host(top) as host:
        app = host.write("shop", _component("api", "a", "/..."), a=HELLO, b=MISBEHAVE)
        host.start(app)
        host.write("shop", _component("api", "b", "/..."))
        host.tenon("apply", app)
        host.kill()
        moved = Path(top) / "moved"
        app.rename(moved)
        host.start(moved)
        host.must_say(("/", MISBEHAVE))
        check(len(host.history("shop")) == 2, host.history("shop"))
        host.tenon("undo", "shop")
        host.must_say(("/", HELLO))
        _asks_for(host, 'source = ".tenon/default/shop/blobs/')
        check(_records(_journal(moved))[0]["folder"] == "../../../", _records(_journal(moved))[0])


def a_journal_without_folders_is_read_and_gets_them():
    with Folder() as top, Host(top) as host:
        text = _component("api", "a", "/...") + FILES
        one = host.write("shop", text, a=HELLO, b=MISBEHAVE)
        two = Path(top) / "two"
        shutil.copytree(one, two)
        for folder in (one, two):
            (folder / "assets").mkdir()
        host.start(one)
        host.write("shop", text.replace("a.wasm", "b.wasm"))
        host.tenon("apply", one)
        host.kill()
        records = _records(_journal(one))
        check(any("folder" in r for r in records), records)
        _write(_journal(one), [{k: v for k, v in r.items() if k != "folder"} for r in records])
        host.start()
        check(len(host.history("shop")) == 2, host.history("shop"))
        host.tenon("apply", two)
        host.tenon("undo", "shop", "--to", 1)
        host.must_say(("/", HELLO))
        _asks_for(host, f'host = "{one}/assets"')


def a_dry_run_and_a_failed_apply_of_a_new_app_leave_nothing_behind():
    with Folder() as top, Host(top) as host:
        host.start(host.write("one", _component("api", "a", "/one/..."), a=HELLO))
        two = host.write("shop", _component("api", "a", "/two/..."), a=MISBEHAVE)
        body = {"path": str(two / "tenon.toml")}

        def asks(**more):
            a = ask(host.socket, "/v1/apps/shop/apply", "POST", body=json.dumps({**body, **more}), headers=[("Content-Type", "application/json")])
            check(a.status == 202, a.body)
            op = json.loads(a.body)["operation"]
            return op, host.json(f"/v1/operations/{op}?wait=60s")

        before, seen = sorted(p.name for p in two.iterdir()), set()
        for i in range(3):
            op, o = asks(dry_run=True)
            check(o["state"] == "done" and o["changes"], o)
            seen.add(op)
            host.write("shop", _component("api", "nothing", "/two/..."))
            op, o = asks()
            check(o["state"] == "failed" and "nothing.wasm" in o["error"]["message"], o)
            seen.add(op)
            host.write("shop", _component("api", "a", "/two/..."))
            check(sorted(p.name for p in two.iterdir()) == before, list(two.iterdir()))
        check(len(seen) == 6, f"an id came twice: {seen}")
        (two / ".tenon").mkdir(mode=0o700)
        (two / ".tenon/mine").write_text("x")
        asks(dry_run=True)
        check(sorted(p.name for p in (two / ".tenon").iterdir()) == [".gitignore", "mine"], list((two / ".tenon").iterdir()))
        shutil.rmtree(two / ".tenon")
        out = host.tenon("apply", two, "--dry-run")
        check("+ app" in out and not (two / ".tenon").exists(), out)
        host.tenon("apply", two)
        host.must_say(("/two", MISBEHAVE))
        check(_journal(two).exists() and len(host.history("shop")) == 1, host.history("shop"))
        host.tenon("apply", two, "--dry-run")
        check(_journal(two).exists(), "what lasts is gone")


def bytes_of_a_change_that_did_not_come_about_are_not_kept():
    with Folder() as top, Host(top) as host:
        app = host.write("shop", _component("api", "a", "/..."), a=HELLO, b=MISBEHAVE)
        (app / "c.wasm").write_bytes(HELLO.read_bytes()[:-100])
        host.start(app)
        blobs = app / ".tenon/default/shop/blobs"
        host.tenon("apply", app)  # what it begins with is kept by now

        def names():
            return sorted(p.name for p in blobs.iterdir())

        before = names()
        check(len(before) == 1, before)
        host.tenon("update", "api", app / "c.wasm", status=6)
        check(names() == before, f"a failed update: {names()}")
        host.tenon("update", "api", app / "b.wasm", "--dry-run")
        check(names() == before, f"a dry run: {names()}")
        (app / "a.wasm").write_bytes(MISBEHAVE.read_bytes())
        host.tenon("apply", app, "--dry-run")
        check(names() == before, f"a dry run of an apply: {names()}")
        (app / "a.wasm").write_bytes((app / "c.wasm").read_bytes())
        host.tenon("apply", app, status=6)
        check(names() == before, f"a failed apply: {names()}")
        host.kill()
        (app / "a.wasm").write_bytes(HELLO.read_bytes())
        host.start(break_at="load")  # killed when they are written, and nothing else
        subprocess.run([str(config.tenon), "update", "api", str(app / "b.wasm")], env=host.env, capture_output=True, timeout=60)
        host.process.wait(60)
        check(len(names()) == 2, names())
        host.kill()
        host.start()
        host.tenon("apply", app)
        check(names() == before, f"after a kill: {names()}")


def releases_are_numbered_from_one():
    with Folder() as top, Host(top) as host:
        host.start(host.write("shop", _component("api", "a", "/..."), a=HELLO))
        check("nothing was changed yet" in host.tenon("undo", status=6), "before the first")
        host.tenon("scale", "api", "--max", 3)
        check("not a release" in host.tenon("undo", "shop", "--to", 0, status=2), "--to 0")
        a = ask(host.socket, "/v1/apps/shop/undo", "POST", body='{"to":0}', headers=[("Content-Type", "application/json")])
        check(a.status == 400 and b"no release 0" in a.body, a.body)
        check(len(host.history("shop")) == 2, host.history("shop"))


def a_manifest_that_is_a_link_has_its_paths_where_the_link_lies():
    with Folder() as top, Host(top) as host:
        app = host.write("shop", _component("api", "a", "/..."), a=HELLO)
        (Path(top) / "etc").mkdir()
        shutil.move(app / "tenon.toml", Path(top) / "etc/shop.toml")
        (app / "tenon.toml").symlink_to(Path(top) / "etc/shop.toml")
        host.start(app)
        host.must_say(("/", HELLO))
        check("nothing differs" in host.tenon("apply", app) and "nothing differs" in host.tenon("apply", cwd=app), "by its folder")
        check("nothing differs" in host.tenon("apply", app / "tenon.toml"), "by its name")


def a_stopped_app_with_an_address_of_any_port_starts_again():
    with Folder() as top, Host(top) as host:
        app = host.write("one", '[http]\naddress = "127.0.0.1:0"\n' + _component("api", "a", "/..."), a=MISBEHAVE)
        host.start(app, flags=())
        for _ in range(2):
            host.tenon("stop", "one")
            host.must_say(("/", 404))
            host.tenon("apply", app)
            host.must_say(("/", MISBEHAVE))
            host.tenon("stop", "one")
            host.tenon("undo", "one")
            host.must_say(("/", MISBEHAVE))
            host.tenon("stop", "one")
            host.kill()
            host.start(app, flags=())
            host.tenon("apply", app)
            host.must_say(("/", MISBEHAVE))


def of_operations_that_are_over_the_last_ones_are_kept():
    with Folder() as top, Host(top) as host:
        host.start(host.write("shop", _component("api", "a", "/..."), a=HELLO))

        a = ask(host.socket, "/v1/apps/shop/components/api/scale", "POST", body='{"max":3,"min":0}', headers=[("Content-Type", "application/json"), ("If-Match", "1")])
        check(a.status == 202, a.body)
        host.json(f"/v1/operations/{json.loads(a.body)['operation']}?wait=60s")
        first = host.json("/v1/operations/shop-1")
        check(first["state"] == "done", first)
        for i in range(270):
            a = ask(host.socket, "/v1/apps/shop/undo", "POST", body='{"to":77}', headers=[("Content-Type", "application/json")])
            last = json.loads(a.body)["operation"]
            host.json(f"/v1/operations/{last}?wait=60s")
        check(ask(host.socket, "/v1/operations/shop-1").status == 404, "the first is kept")
        check(host.json(f"/v1/operations/{last}")["state"] == "failed" and ask(host.socket, "/v1/operations/shop-100").status == 200, "the last ones are not")
        threads = len(os.listdir(f"/proc/{host.process.pid}/task"))
        check(threads < 30, f"{threads} threads")

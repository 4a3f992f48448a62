"""What must be true of a store that is changed under load, whatever happens meanwhile (contract, section 8): targets and clients that are killed at each step, slow
targets, values and times to live that a target can't take, stores that another process has moved, undo after writes, two clients at once."""
import json, random, socket, subprocess, threading, time

from common import free_port
from front import Folder, ask
from harness import Skip, check, config, shared_guest
from test_link import STEPS, _App, _Load, servers
from writing import until


def _needs(*kinds):
    for kind in kinds:
        if why := kind.lacks():
            raise Skip(why)


def _fill(app, n):
    for i in range(n):
        check(app.request(f"/set/cold-{i}", "PUT")[0] == 200, "not set")


class _Slow:
    """A way to a server on which each piece takes up to so long, each direction in its order."""

    def __init__(self, port, delay):
        self.to, self.delay, self.listener = port, delay, socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                ours = self.listener.accept()[0]
            except OSError:
                return
            try:
                theirs = socket.create_connection(("127.0.0.1", self.to))
            except OSError:
                ours.close()
                continue
            for ends in ((ours, theirs), (theirs, ours)):
                threading.Thread(target=self._pass_on, args=ends, daemon=True).start()

    def _pass_on(self, source, to):
        try:
            while some := source.recv(65536):
                time.sleep(random.random() * self.delay)
                to.sendall(some)
        except OSError:
            pass
        for s in (source, to):
            s.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()


def _is_exact(app, load):
    check(not load.failed, load.failed[:3])
    check(app.count() == load.acknowledged, f"{app.count()} is counted, {load.acknowledged} were acknowledged")


def _change_until(app, step, *args):
    """`tenon link` with these arguments, as a process: this step of it has begun, or it is over."""
    with socket.socket(socket.AF_UNIX) as events:
        events.settimeout(60)
        events.connect(f"{app.top}/ctl/{app.process.pid}.sock")
        events.sendall(b"GET /v1/apps/counter/events HTTP/1.1\r\nhost: tenon\r\nlast-event-id: 0\r\n\r\n")
        client = subprocess.Popen([str(config.tenon), "--json", "link", "counter", "@store", *args], env=app.env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        target = args[0]
        for line in events.makefile("r", errors="replace"):
            if target in line and (f'"step":"{step}"' in line or '"busy":false' in line):
                break
    return client


def _count_once_it_is_back(app, within=30):
    """Each thread of the server finds out for itself."""
    end = time.monotonic() + within
    while (a := app.request("/get/n"))[0] != 200 and time.monotonic() < end:
        time.sleep(0.05)
    return int(a[1])


def _is_over(app):
    end = time.monotonic() + 60
    while app.status()["busy"] and time.monotonic() < end:
        time.sleep(0.02)
    check(not app.status()["busy"], "the change does not end")


def two_components_on_one_store_stay_exact():
    with Folder() as top:
        guest = shared_guest("kv") / "kv-counter-c.wasm"
        app = _App(top, more=f'[component.d]\nsource = "{guest}"\nlinks = {{ "wasi:keyvalue" = "store" }}\n[[trigger.http]]\nroute = "/incr/:k"\nmethods = ["POST"]\ncomponent = "d"\n')
        with app, _Load(app, 8) as load:
            for target in (f"file:{top}/a.db", "memory:b", f"file:{top}/c.db"):
                app.link(target, "--copy")
                check(app.count() > 0, "the other component sees what this one writes")
            load.__exit__()
            _is_exact(app, load)


def a_target_that_is_killed_at_each_step_loses_nothing():
    _needs(servers.Redis)
    seen = {}
    for step in STEPS:
        with Folder() as top, servers.Redis() as redis, _Slow(redis.port, 0.01) as way, _App(top) as app:
            url = f"redis://127.0.0.1:{way.port}/0"
            _fill(app, 200)
            with _Load(app, 4) as load:
                client = _change_until(app, step, url, "--copy", "--max-pause", "1.2s")  # less than a call's deadline
                redis.kill()
                client.stdout.read()
                seen[step] = client.wait(60)
                _is_over(app)
                load.__exit__()
            check(seen[step] in (0, 6), seen)
            if seen[step] == 6:
                check(app.target() == "memory:" and not load.failed, f"{step}: {app.target()} {load.failed[:3]}")
                _is_exact(app, load)
                redis.start()
                app.link(url, "--copy", "--max-pause", "5s")
                check(app.count() == load.acknowledged, f"{step}: {app.count()} {load.acknowledged} after the change")
            else:  # it was in force already: what failed since may have been counted
                redis.start()
                counted = _count_once_it_is_back(app)
                check(load.acknowledged <= counted <= load.acknowledged + len(load.failed), f"{step}: {counted} {load.acknowledged} {len(load.failed)}")
    check(6 in seen.values(), seen)
    return f"refused at {sum(s == 6 for s in seen.values())} of {len(seen)} steps"


def a_client_that_is_killed_at_each_step_ends_nothing():
    with Folder() as top, _App(top) as app:
        _fill(app, 200)
        with _Load(app, 4) as load:
            for i, step in enumerate(STEPS):
                client = _change_until(app, step, f"file:{top}/{i}.db", "--copy")
                client.kill()
                client.wait()
                _is_over(app)
                check(app.target() == f"file:{top}/{i}.db", f"{step}: {app.target()}")
            load.__exit__()
            _is_exact(app, load)
        check(app.status()["release"] == 1 + len(STEPS), app.status())


def a_slow_target_keeps_nobody_waiting_and_counts_exactly():
    _needs(servers.Redis, servers.Nats)
    with Folder() as top, servers.Redis() as redis, servers.Nats() as nats, _Slow(redis.port, 0.03) as to_redis, _Slow(nats.port, 0.03) as to_nats, _App(top) as app:
        _fill(app, 100)
        with _Load(app, 8) as load:
            for target in (f"redis://127.0.0.1:{to_redis.port}/0", f"nats://127.0.0.1:{to_nats.port}/links", f"redis://127.0.0.1:{to_redis.port}/1", "memory:last"):
                o = app.link(target, "--copy", "--max-pause", "5s")
                check(o["state"] == "done" and app.target() == target, o)
            load.__exit__()
            _is_exact(app, load)


def a_target_that_stands_still_keeps_nobody_waiting():
    """Nothing is heard of it until so many requests were answered; whatever becomes of the change, all are counted."""
    _needs(servers.Redis)
    for step in ("probe", "note", "copy", "rounds", "hold"):
        with Folder() as top, servers.Redis() as redis, _App(top) as app:
            _fill(app, 500)
            with _Load(app, 8) as load:
                client = _change_until(app, step, f"redis://127.0.0.1:{redis.port}/0", "--copy")
                redis.freeze()
                many = load.acknowledged + 500
                answered = until(lambda: load.acknowledged >= many or load.failed or client.poll() is not None)
                redis.thaw()
                client.stdout.read()
                check(answered and client.wait(60) in (0, 6), f"{step}: {load.acknowledged} of {many}")
                load.__exit__()
            if app.target() == "memory:":
                _is_exact(app, load)
            else:  # it was in force already: those that waited for it too long may have been counted
                counted = _count_once_it_is_back(app)
                check(load.acknowledged <= counted <= load.acknowledged + len(load.failed), f"{step}: {counted} {load.acknowledged} {len(load.failed)}")


def a_value_that_is_too_large_is_named_with_its_size():
    _needs(servers.Nats)
    with Folder() as top, servers.Nats() as nats, _App(top) as app:
        a = app.request("/set/big", "PUT", body_hex="78" * (2 << 20))
        check(a[0] == 200, a)
        url = f"nats://127.0.0.1:{nats.port}/links"
        said = app.link(url, "--copy", status=6)
        check("big" in said and "2097152 bytes" in said and "1048576" in said, said)
        check(app.target() == "memory:" and app.status()["release"] == 1, app.status())
        check(app.request("/del/big", "DELETE")[0] in (200, 204), "not deleted")
        app.link(url, "--copy")
        check(app.request("/set/big", "PUT", body_hex="78" * (2 << 20))[0] >= 400 and app.incr() == 1, "an error to the guest, and no more")


def times_to_live_go_along_and_end_when_they_would_have():
    _needs(servers.Redis, servers.Nats)
    with Folder() as top, servers.Redis() as redis, servers.Nats() as nats:
        with _App(top, f'type = "redis"\nurl = "redis://127.0.0.1:{redis.port}/0"') as app:
            _fill(app, 300)
            lines = "".join(f"set default/counter/default/soon-{i} 1 px {300 + 40 * i}\n" for i in range(60))  # they end all through the copy and after it
            subprocess.run(["redis-cli", "-p", str(redis.port)], input=lines.encode(), capture_output=True, check=True, timeout=60)
            all_over = time.monotonic() + 3
            redis.ask("set", "default/counter/default/later", "1", "px", "3600000")
            said = app.link(f"nats://127.0.0.1:{nats.port}/links", "--copy", status=6)
            check("time to live" in said and ("later" in said or "soon" in said), said)
            app.link(f"file:{top}/a.db", "--copy")
            time.sleep(max(0, all_over - time.monotonic()) + 1)
            left = [i for i in range(60) if app.request(f"/get/soon-{i}")[0] != 404]
            check(not left, f"{left} live on")
            check(app.request("/get/later")[0] == 200, "it is to live on")
            app.link(f"redis://127.0.0.1:{redis.port}/1", "--copy")
            left = int(subprocess.run(["redis-cli", "-p", str(redis.port), "-n", "1", "pttl", "default/counter/default/later"], capture_output=True, text=True, timeout=60).stdout)
            check(3500000 < left <= 3600000, left)


def a_store_that_another_process_has_moved_is_refused():
    _needs(servers.Redis)
    with Folder() as one, Folder() as two, servers.Redis() as redis:
        link = f'type = "redis"\nurl = "redis://127.0.0.1:{redis.port}/0"\nnamespace = "ours"'
        with _App(one, link) as a, _App(two, link) as b:
            a.incr()
            check(b.count() == 1, "one store")
            a.link(f"file:{one}/a.db", "--copy")
            said = b.link(f"file:{two}/b.db", "--copy", status=6)
            check("another process" in said and b.target().startswith("redis:"), said)
            a.link("--undo")
            check(a.count() == 1, a.count())
        with b.start():
            b.link(f"file:{two}/b.db", "--copy")  # started since: it knows what is there
            check(b.count() == 1, b.count())


def an_undo_after_a_thousand_writes_takes_them_along():
    with Folder() as top, _App(top) as app:
        app.incr()
        app.link(f"file:{top}/a.db", "--copy")
        with _Load(app, 16) as load:
            while load.acknowledged < 1000 and not load.failed:
                time.sleep(0.01)
            app.link("--undo")
            load.__exit__()
        check(not load.failed and app.count() == load.acknowledged + 1 and app.target() == "memory:", f"{app.count()} {load.acknowledged} {load.failed[:3]}")
        app.link("memory:b", "--copy")
        for i in range(1000):
            check(app.request(f"/set/k{i}", "PUT")[0] == 200, "not set")
        o = app.link("--undo", "--discard")
        check(o["discarded"] == 1000 and app.count() == load.acknowledged + 1, o)


def links_versions_and_scale_changed_by_two_clients_at_once_stay_exact():
    guest = shared_guest("kv") / "kv-counter-rust.wasm"
    with Folder() as top, _App(top) as app, _Load(app, 4) as load:
        ended = []

        def client(*commands):
            for c in commands:
                ended.append((c, subprocess.run([str(config.tenon), *map(str, c)], env=app.env, capture_output=True, text=True, timeout=120)))
        links = [("link", "@store", f"file:{top}/{i}.db" if i % 2 else f"memory:m{i}", "--copy") for i in range(6)]
        others = [("scale", "c", "--max", 60), ("update", "c", guest), ("scale", "c", "--max", 70), ("update", "c", shared_guest("kv") / "kv-counter-c.wasm"), ("scale", "c", "--max", 80)]
        threads = [threading.Thread(target=client, args=c) for c in (links, others)]
        for t in threads:
            t.start()
        for t in threads:
            t.join(180)
        load.__exit__()
        failed = [(c, r.returncode, r.stderr) for c, r in ended if r.returncode]
        check(len(ended) == 11 and not failed, failed[:3])
        _is_exact(app, load)
        check(app.status()["release"] == 12, app.status())


def what_a_link_does_is_told_in_status_and_links():
    with Folder() as top, _App(top) as app:
        for _ in range(5):
            app.incr()
        app.link(f"file:{top}/a.db", "--copy")
        app.incr()
        row = app.status()["links"][0]
        check(row["state"] == "open" and row["calls"] == 6 and row["errors"] == 0 and row["in_flight"] == row["waiting"] == 0 and row["mean_us"] >= 0, row)
        said = json.loads(ask(f"{top}/ctl/{app.process.pid}.sock", "/v1/apps/counter/links").body)["links"][0]
        check(said["link"] == "store" and said["calls"] == 6 and said["epoch"] == 2 and said["target"] == f"file:{top}/a.db", said)


def a_store_that_was_left_is_kept_as_long_as_it_is_said():
    for keep, count in (("", 1), ('\nkeep_old = "1h"', 1), ('\nkeep_old = "0.5s"', 0)):
        with Folder() as top, _App(top, f'type = "memory"{keep}') as app:
            app.incr()
            app.link("memory:b")
            time.sleep(2)
            app.link("--undo")
            check(app.count() == count, f"{keep}: {app.count()}")


def a_store_is_reached_by_tls_and_its_certificate_is_looked_at():
    _needs(servers.Redis)
    with Folder() as top:
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "key.pem", "-out", "cert.pem", "-days", "2", "-subj", "/CN=localhost",
            "-addext", "subjectAltName=DNS:localhost"], cwd=top, check=True, capture_output=True)
        port = free_port()
        url = f"rediss://localhost:{port}/0"
        with servers.Redis("--tls-port", str(port), "--tls-cert-file", f"{top}/cert.pem", "--tls-key-file", f"{top}/key.pem", "--tls-ca-cert-file", f"{top}/cert.pem", "--tls-auth-clients", "no"):
            app = _App(top)
            with app:
                said = app.link(url, "--copy", status=6)
                check("certificate" in said.lower() and app.target() == "memory:", said)
            with app.start("--ca", f"{top}/cert.pem"):
                app.incr()
                app.link(url, "--copy")
                check(app.count() == 1 and app.incr() == 2, app.count())
            with app.start("--ca", f"{top}/cert.pem"):
                check(app.count() == 2 and app.target() == url, "from the start")


def a_shadow_is_asked_too_and_nobody_waits_for_it():
    _needs(servers.Redis)
    with Folder() as top, servers.Redis() as redis, _App(top) as app:
        url = f"redis://127.0.0.1:{redis.port}/0"

        def read_all():
            for i in range(200):
                check(app.request(f"/get/cold-{i}")[0] == 200, "not read")

        def shadow(wanted=lambda s: True):
            end = time.monotonic() + 30
            while not wanted(s := app.status()["links"][0].get("shadow", {})) and time.monotonic() < end:
                time.sleep(0.05)
            return s
        _fill(app, 200)
        app.link(url, "--copy")
        app.link("--undo")
        lines = "".join(f"set default/counter/default/cold-{i} other\n" for i in range(100))
        subprocess.run(["redis-cli", "-p", str(redis.port)], input=lines.encode(), capture_output=True, check=True, timeout=60)
        check("no shadow" in app.link("--promote", status=6), "there is none")
        app.link(url, "--shadow", "100%")
        check(app.target() == "memory:" and app.status()["release"] == 3, "the store stays")
        read_all()
        s = shadow(lambda s: s["equal"] + s["different"] == 200)
        said = app.tenon("status")
        check(f"100 % is asked of {url}, too: {s['equal']} equal, {s['different']} different, 0 failed" in said, said)
        check((s["equal"], s["different"], s["failed"], s["percent"], s["target"]) == (100, 100, 0, 100, url), s)
        app.link(url, "--shadow", "10%")
        read_all()
        s = shadow(lambda s: s["equal"] + s["different"] >= 19)
        check(19 <= s["equal"] + s["different"] <= 20, f"a tenth, on two threads: {s}")
        app.link(url, "--shadow", "100%")
        redis.freeze()
        read_all()
        s = shadow(lambda s: s["failed"] > 0)
        check(s["failed"] > 0 and s["equal"] == s["different"] == 0, s)
        redis.thaw()
        app.link("--shadow", "0%")
        check(shadow() == {}, "it has ended")
        app.link(url, "--shadow", "1%")
        app.link("--promote", "--copy", "--replace")
        check(app.target() == url and shadow() == {} and app.request("/get/cold-0")[0] == 200, app.status())
        for words in (("memory:x", "--shadow", "101%"), ("memory:x", "--shadow", "x"), ("--shadow", "10%"), ("memory:x", "--shadow", "10%", "--copy"), ("memory:x", "--promote")):
            app.link(*words, status=2)
        check("in force" in app.link(url, "--shadow", "5%", status=6), "source = target")

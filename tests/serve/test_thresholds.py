"""Versions that their thresholds take back by themselves (contract, section 6), beside other changes: what serves is what the journal says, also after a kill."""
import hashlib, re, subprocess, threading, zlib
from pathlib import Path

import component
from front import Folder
from harness import HELLO, MISBEHAVE, check, config
from test_update import _App, _Load
from writing import until

FAILS = 'init = "once"\nlimits = { deadline = "2m" }\nupdate = { rollback = { errors = "5%", over = "3s" } }'
SECOND = 1_000_000_000


def _sum(at):
    return hashlib.sha256(Path(at).read_bytes()).hexdigest()


def _slow(top, seconds, name="slow.wasm"):
    """A version that takes so long until it is ready; it answers nothing (500)."""
    at = Path(top) / name
    at.write_bytes(component.handler(start=component.sleep(int(seconds * SECOND))))
    return at


def _changing(app, *args):
    return subprocess.Popen([str(config.tenon), *map(str, args)], env=app.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def _taken_back(app):
    return [e for e in app.events() if e["kind"] == "taken-back"]


def _fails_until_it_is_taken_back(app):
    with _Load(app.at, "/recurse"):
        check(until(lambda: _taken_back(app)), "it is not taken back")


def _has(app, file):
    """The journal's manifest says so, and so it is after a kill."""
    check(_sum(file) in app.tenon("status", "--manifest"), f"{file} is not in force: {app.tenon('status', '--manifest')}")


def _is_loaded(app, what):
    """An operation of that name has come so far, or is over."""
    check(until(lambda: any(what in e.get("what", "") and (e["step"] == "load" or not e["busy"]) for e in app.events())), "it is not loaded")


def _is_written(app, n):
    check(until(lambda: len(app.releases()) == n), app.releases())


def what_comes_while_the_one_before_is_taken_back_stays():
    with Folder() as top, _App(top, FAILS, shards=1) as app:
        app.tenon("update", "api", MISBEHAVE)
        slow = _slow(top, 4)
        c = _changing(app, "update", "api", slow, "--accept")
        _is_loaded(app, "slow.wasm")
        _fails_until_it_is_taken_back(app)
        check(c.poll() is None, "the other one came too early to tell")
        app.must_say(HELLO)
        said = c.communicate(timeout=60)[0]
        check(c.returncode == 0, said)
        _is_written(app, 4)
        _has(app, slow)
        check(app.says()[0] == 500, app.says())
        back = app.releases()[0]["rolled_back"]
        check(back == {"component": "api", "sha256": _sum(MISBEHAVE), "passed": True}, back)
        app.kill()
        app.start()
        check(app.says()[0] == 500, "what serves is what came last")
        app.tenon("update", "api", "--rollback")  # not to the one that was taken back
        app.must_say(HELLO)
        _has(app, HELLO)


def what_was_made_anew_of_one_that_is_taken_back_goes_with_it():
    with Folder() as top, _App(top, FAILS + '\nenv = { GREETING = "${greeting}" }', '[variables]\ngreeting = { default = "hello" }\n') as app:
        app.tenon("update", "api", MISBEHAVE)
        # Another component takes long in the same change, which has the failing bytes as well.
        text = (Path(top) / "tenon.toml").read_text() + f'[component.late]\nsource = "{_slow(top, 4)}"\ninit = "once"\nlimits = {{ deadline = "2m" }}\n[[trigger.http]]\nroute = "/late"\ncomponent = "late"\n'
        text = text.replace('source = "app.wasm"', f'source = "{MISBEHAVE}"').replace('default = "hello"', 'default = "other"')
        (Path(top) / "tenon.toml").write_text(text)
        c = _changing(app, "apply", top)
        _is_loaded(app, "apply")
        _fails_until_it_is_taken_back(app)
        check(c.poll() is None, "the other one came too early to tell")
        check(c.wait(60) == 0, c.stdout.read())
        _is_written(app, 4)
        app.must_say(HELLO)
        _has(app, HELLO)
        check('"other"' in app.tenon("status", "--manifest"), "the rest of the change stays")
        app.kill()
        app.start()
        app.must_say(HELLO)


def of_an_apply_the_bytes_alone_are_taken_back():
    with Folder() as top, _App(top, 'env = { GREETING = "${greeting}" }\nupdate = { rollback = { errors = "5%", over = "2s" } }', '[variables]\ngreeting = { default = "hello" }\n') as app:
        app.source.write_bytes(MISBEHAVE.read_bytes())
        app.tenon("apply", top)
        at = Path(top) / "tenon.toml"
        at.write_text(at.read_text().replace('default = "hello"', 'default = "other"'))
        app.source.write_bytes(component.handler())
        app.tenon("apply", top)
        check(app.says("/env")[0] == 500, "it fails")
        _fails_until_it_is_taken_back(app)
        _is_written(app, 4)
        for _ in range(2):
            check(until(lambda: b"GREETING=other" in app.says("/env")[1]), app.says("/env"))
            _has(app, MISBEHAVE)
            app.kill()
            app.start()


def one_that_is_tried_beside_one_that_is_taken_back_goes_on():
    with Folder() as top, _App(top, FAILS, shards=1) as app:
        app.tenon("update", "api", MISBEHAVE)
        slow = _slow(top, 4)
        c = _changing(app, "update", "api", slow, "--percent", "50", "--accept")
        _is_loaded(app, "slow.wasm")
        _fails_until_it_is_taken_back(app)
        check(c.poll() is None, "the other one came too early to tell")
        check(c.wait(60) == 0, c.stdout.read())
        _is_written(app, 4)
        check(sorted(app.says()[0] for _ in range(8)) == [200] * 4 + [500] * 4, "half of them")
        tried = app.get("status")["tried"]
        check(tried["sha256"] == _sum(slow) and tried["percent"] == 50, tried)
        _has(app, HELLO)
        app.tenon("update", "api", "--rollback")
        app.must_say(HELLO)



def the_release_of_one_that_is_taken_back_is_written_however_many_changes_wait():
    scale = "/v1/apps/shop/components/api/scale"
    with Folder() as top, _App(top, FAILS, shards=1) as app:
        app.tenon("update", "api", MISBEHAVE)
        c = _changing(app, "update", "api", _slow(top, 12), "--accept")
        _is_loaded(app, "slow.wasm")
        asked = [app.post(scale, b'{"max": %d}' % (10 + i)) for i in range(64)]
        check(asked == [202] * 64 and app.post(scale, b'{"max": 9}') == 429, f"as many as may wait: {asked}")
        _fails_until_it_is_taken_back(app)
        check(c.poll() is None, "the other one came too early to tell")
        check(c.wait(120) == 0, c.stdout.read())
        check(until(lambda: len(app.releases()) >= 4), app.releases())
        releases = app.releases()[::-1]  # from the oldest on: before all that waited
        check(releases[3]["rolled_back"] == {"component": "api", "sha256": _sum(MISBEHAVE), "passed": True}, releases[:5])


def a_file_that_is_written_over_while_an_apply_makes_it_ready_is_refused():
    """What would serve is not what the release says."""
    with Folder() as top, _App(top, 'init = "once"\nlimits = { deadline = "2m" }', shards=1) as app:
        app.source.write_bytes(_slow(top, 6).read_bytes())
        c = _changing(app, "apply", top)
        _is_loaded(app, "apply")
        app.source.write_bytes(MISBEHAVE.read_bytes())
        said = c.communicate(timeout=60)[0]
        check(c.returncode == 6 and "was written over while it was made ready" in said, (c.returncode, said))
        app.must_say(HELLO)
        check(len(app.releases()) == 1, app.releases())
        app.tenon("apply", top)
        app.must_say(MISBEHAVE)


def what_was_loaded_at_the_start_is_never_taken_for_what_its_file_has_since():
    """It is written over while the start takes long: an apply knows that what runs is something else, and there is no way back to it."""
    with Folder() as top, _App(top, 'init = "once"\nlimits = { deadline = "2m" }', shards=1) as app:
        app.kill()
        app.source.write_bytes(_slow(top, 5).read_bytes())
        over = threading.Timer(2.5, lambda: app.source.write_bytes(HELLO.read_bytes()))
        over.start()
        app.start()
        over.join()
        if app.says()[0] == 200:
            return  # a machine so slow that it was loaded after that
        app.tenon("apply", top)
        app.must_say(HELLO)
        check(len(app.releases()) == 2 and "updated" not in app.releases()[0], app.releases())
        check("no version to go back to" in app.tenon("update", "api", "--rollback", status=6), "to what?")


def one_whose_calls_hang_is_taken_back_when_they_have_come_to_their_deadline():
    """That is after the time that its failures are counted over."""
    with Folder() as top, _App(top, 'limits = { deadline = "6s" }\nupdate = { rollback = { errors = "5%", over = "2s" } }', shards=1) as app:
        hangs = Path(top) / "hangs.wasm"
        hangs.write_bytes(component.handler(handle=component.sleep(600 * SECOND)))
        with _Load(app.at, n=24):
            app.tenon("update", "api", hangs, "--accept")
            check(until(lambda: _taken_back(app)), "it is not taken back")
        _is_written(app, 3)
        app.must_say(HELLO)


def _watched(app):
    """Seconds that its component is watched for yet; None: it is not."""
    return app.get("status")["components"][0].get("watched")


LONG = 'update = { rollback = { errors = "5%", over = "2m" } }'


def _older(journal, seconds):
    """The same journal, all of it that long ago."""
    lines = journal.split(b"\n")
    for i, line in enumerate(lines[1:-1], 1):
        record = re.sub(rb'"time":(\d+)', lambda m: b'"time":%d' % (int(m[1]) - seconds * 1000), line[9:])
        lines[i] = b"%08x %s" % (zlib.crc32(record), record)
    return b"\n".join(lines)


def one_that_was_watched_is_watched_on_after_a_kill_and_taken_back():
    with Folder() as top, _App(top, LONG) as app:
        check(_watched(app) is None, "nothing was updated")
        app.tenon("update", "api", MISBEHAVE)
        left = _watched(app)
        check(0 < left <= 120 and "its thresholds take its last update back" in app.tenon("status"), app.tenon("status"))
        app.kill()
        app.start()
        check(until(lambda: _watched(app) is not None), "it is not watched on")
        check(0 < _watched(app) < left, f"{_watched(app)} of {left}: for the rest of its time")
        _fails_until_it_is_taken_back(app)
        _is_written(app, 3)
        check(until(lambda: app.says() == (200, b"Hello from a component!\n")), app.says())
        app.must_say(HELLO)
        check(_watched(app) is None, "what came back is not watched")
        check(app.releases()[0]["rolled_back"] == {"component": "api", "sha256": _sum(MISBEHAVE)}, app.releases()[0])
        app.kill()
        app.start()
        _has(app, HELLO)
        app.must_say(HELLO)
        check(_watched(app) is None, "nor after another one")


def of_an_apply_what_is_watched_is_watched_on_and_no_longer_than_its_time():
    with Folder() as top, _App(top, LONG) as app:
        check(until(lambda: app.get("components/api/versions")["versions"][0].get("sha256")), "what it started with is kept")
        app.source.write_bytes(MISBEHAVE.read_bytes())
        app.tenon("apply", top)
        app.kill()
        app.start()
        check(until(lambda: _watched(app) is not None), "it is not watched on")
        app.kill()
        journal = next(Path(top).glob("**/shop/journal"))
        journal.write_bytes(_older(journal.read_bytes(), 121))
        app.start()
        check(_watched(app) is None, "its time is over")
        check(not app.get("status")["busy"], "nothing is to be done")
        with _Load(app.at, "/recurse") as load:
            check(until(lambda: len(load.failed) > 40), "nothing fails")
        check(not _taken_back(app), "it is taken back")


def what_is_made_anew_for_something_else_is_watched_on_and_its_bytes_are_taken_back():
    with Folder() as top, _App(top, LONG + '\nenv = { GREETING = "${greeting}" }', '[variables]\ngreeting = { default = "hello" }\n') as app:
        app.tenon("set", "greeting=first")
        check(_watched(app) is None, "nothing was updated")
        app.tenon("update", "api", MISBEHAVE)
        left = _watched(app)
        app.tenon("set", "greeting=other")
        check(b"GREETING=other" in app.says("/env")[1], app.says("/env"))
        check(_watched(app) and 0 < _watched(app) <= left, f"{_watched(app)} of {left}: for the rest of its time")
        app.tenon("scale", "api", "--max", 7)
        check(_watched(app) and 0 < _watched(app) <= left, f"{_watched(app)} of {left}: for the rest of its time")
        _fails_until_it_is_taken_back(app)
        _is_written(app, 6)
        app.must_say(HELLO)
        _has(app, HELLO)
        check('"other"' in app.tenon("status", "--manifest"), "what was set stays")
        check(_watched(app) is None, "what came back is not watched")
        app.tenon("update", "api", MISBEHAVE)
        app.tenon("update", "api", "--rollback")
        app.tenon("set", "greeting=third")
        check(_watched(app) is None, "nor what was asked back, made anew")


def bytes_that_came_with_another_policy_are_taken_back_and_that_stays():
    for before, after in (("reuse", "keep"), ("keep", "reuse")):
        with Folder() as top, _App(top, f'{LONG}\npolicy = "{before}"', shards=3) as app:
            check(until(lambda: app.get("components/api/versions")["versions"][0].get("sha256")), "what it started with is kept")
            at = Path(top) / "tenon.toml"
            at.write_text(at.read_text().replace(f'"{before}"', f'"{after}"'))
            app.source.write_bytes(MISBEHAVE.read_bytes())
            app.tenon("apply", top)
            check(_watched(app) and app.says() == (200, b"well-behaved\n"), app.says())
            _fails_until_it_is_taken_back(app)
            _is_written(app, 3)
            for _ in range(2):
                check(until(lambda: app.says() == (200, b"Hello from a component!\n")), app.says())
                app.must_say(HELLO)
                _has(app, HELLO)
                check(app.get("components/api/scale")["policy"] == after, app.get("components/api/scale"))
                app.kill()
                app.start()

"""tenon up: what calls components besides requests. start (kept running), command (once), cron (at times), and how many instances are kept ready."""
import json, os, signal, subprocess, tempfile, time
from pathlib import Path

from assemble import *
from harness import HELLO, Many, Server, check, config

SECOND = 1000000000


def _command(body=b"", result=0):
    """A component that exports wasi:cli/run; `body(c)`: what it does before it returns."""
    c = Component()
    poll = c.interface("wasi:io/poll@0.2.0")
    poll.resource("pollable")
    poll.func("[method]pollable.block", [("self", poll.borrow(poll.resources["pollable"]))], None, ([I32], []))
    clock = c.interface("wasi:clocks/monotonic-clock@0.2.0")
    clock.func("subscribe-duration", [("when", U64)], clock.own(clock.use(poll, "pollable")), ([I64], [I32]))
    c.code("run", ([], [I32]), [], (body(c) if callable(body) else body) + const(result), RUN, "wasi:cli/run@0.2.0")
    return c.assemble()


def _sleeps(ns):
    return lambda c: const64(ns) + c.call("subscribe-duration") + c.call("[method]pollable.block")


class _App:
    """Components by name, and the rest of a manifest; `routed`: a route too, so that it has an address."""

    def __init__(self, components, rest, routed=True, more=None):
        self.at = tempfile.TemporaryDirectory()
        self.folder = Path(self.at.name)
        tables = []
        for name, bytes_ in components.items():
            (self.folder / f"{name}.wasm").write_bytes(bytes_)
            tables.append(f'[component.{name}]\nsource = "{name}.wasm"\n{(more or {}).get(name, "")}')
        route = '[[trigger.http]]\nroute = "/"\nstatic = { status = 200, body = "ok" }\n' if routed else ""
        (self.folder / "tenon.toml").write_text('tenon = 1\n[app]\nname = "jobs"\n' + "\n".join(tables) + route + rest)
        self.env = {**os.environ, "TENON_STATE": str(self.folder / "state"), "TENON_CTL": str(self.folder / "ctl")}

    def up(self, *flags, shards=1):
        before = dict(os.environ)
        os.environ.update(self.env)
        try:
            return Server(self.at.name, *flags, command="up", shards=shards)
        finally:
            os.environ.clear()
            os.environ.update(before)

    def run(self, *flags, timeout=30):
        return subprocess.run([str(config.tenon), "up", self.at.name, *flags], capture_output=True, text=True, timeout=timeout, env=self.env)

    def tenon(self, *argv):
        return subprocess.run([str(config.tenon), *argv], capture_output=True, text=True, timeout=60, env=self.env)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.at.cleanup()


def _lines(server, text):
    return [o for o in server.objects() if text in o.get("message", "")]


def _wait(server, text, n=1, seconds=30):
    """The first n lines of the log that have the text."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if len(found := _lines(server, text)) >= n:
            return found[:n]
        time.sleep(0.02)
    raise AssertionError(f"{len(_lines(server, text))} lines with {text!r}, not {n}: {server.log_text()[-1500:]}")


# ---- start ------------------------------------------------------------------------------------------------------------------------------

START = '[[trigger.start]]\nid = "worker"\ncomponent = "worker"\n'


def what_is_started_is_started_again_each_time_a_little_later():
    for guest, text in ((_command(), "start worker of jobs ended with 0"), (_command(result=1), "start worker of jobs ended with 1"),
            (_command(UNREACHABLE), "start worker of jobs failed")):
        with _App({"worker": guest}, START) as app, app.up() as s:
            at = [o["time"] for o in _wait(s, text, 5)]
            gaps = [b - a for a, b in zip(at, at[1:])]
            check(all(gap > 0.09 * 2 ** i for i, gap in enumerate(gaps)), gaps)


def what_runs_for_ever_is_there_once_and_is_stopped_at_the_end():
    for shards in (1, 2):
        with _App({"worker": _command(_sleeps(1000 * SECOND))}, START) as app, app.up(shards=shards) as s:
            time.sleep(1)
            check(not _lines(s, "start worker"), s.log_text())
            check(s.get().status == 200, "the route does not answer")
            began = time.monotonic()
            check(s.stop() == 0 and time.monotonic() - began < 8, "it was not stopped at once")
            _wait(s, "start worker of jobs was stopped")


def a_worker_has_no_limit_of_time_but_its_own():
    with _App({"worker": _command(_sleeps(1000 * SECOND))}, START, more={"worker": 'limits = { deadline = "200ms" }\n'}) as app, app.up() as s:
        _wait(s, "start worker of jobs failed", 2)
    with _App({"worker": _command(loop(b""))}, START, more={"worker": 'limits = { cpu = "100ms" }\n'}) as app, app.up() as s:
        _wait(s, "start worker of jobs failed", 2)


def another_version_takes_a_workers_place():
    for mode in ("stop", "overlap"):
        with _App({"worker": _command(_sleeps(1000 * SECOND))}, START + f'mode = "{mode}"\n') as app, app.up() as s:
            (app.folder / "next.wasm").write_bytes(_command(_sleeps(SECOND // 5)))
            r = app.tenon("update", "jobs/worker", str(app.folder / "next.wasm"))
            check(r.returncode == 0, r.stderr)
            _wait(s, "start worker of jobs was stopped")
            _wait(s, "start worker of jobs ended with 0", 2)
            (app.folder / "no.wasm").write_bytes(Component().assemble())
            r = app.tenon("update", "jobs/worker", str(app.folder / "no.wasm"))
            check(r.returncode not in (0, 1) and "no command" in r.stderr, (r.returncode, r.stderr))


# ---- command ----------------------------------------------------------------------------------------------------------------------------

def commands_alone_end_the_process_and_the_first_that_failed_says_how():
    both = '[[trigger.command]]\ncomponent = "a"\n[[trigger.command]]\ncomponent = "b"\n'
    for a, b, status in ((_command(), _command(_sleeps(SECOND // 5)), 0), (_command(), _command(result=1), 1), (_command(UNREACHABLE), _command(), 134)):
        with _App({"a": a, "b": b}, both, routed=False) as app:
            r = app.run()
            check(r.returncode == status and r.stdout == "ready\n", (status, r.returncode, r.stdout, r.stderr))
            check(r.stderr.count("command a of jobs") == 1 and r.stderr.count("command b of jobs") == 1, r.stderr)


def a_command_beside_a_route_ends_and_the_route_serves_on():
    with _App({"once": _command(result=1)}, '[[trigger.command]]\ncomponent = "once"\n') as app, app.up() as s:
        _wait(s, "command once of jobs ended with 1")
        time.sleep(0.5)
        check(s.get().status == 200 and len(_lines(s, "command once")) == 1, s.log_text())


def a_command_that_is_told_to_end_is_waited_for():
    with _App({"once": _command(_sleeps(SECOND))}, '[[trigger.command]]\ncomponent = "once"\n') as app, app.up() as s:
        time.sleep(0.3)
        check(s.stop() == 0, "its status")
        check(_lines(s, "command once of jobs ended with 0"), s.log_text())


# ---- cron -------------------------------------------------------------------------------------------------------------------------------

def _cron(schedule, more=""):
    return f'[[trigger.cron]]\nid = "tick"\nschedule = "{schedule}"\ncomponent = "tick"\n{more}'


def what_is_due_runs():
    with _App({"tick": _command()}, _cron("* * * * * *")) as app, app.up() as s:
        at = [o["time"] for o in _wait(s, "cron tick of jobs ended with 0", 3)]
        check(at[2] - at[0] > 1, at)


def what_is_not_due_does_not_run():
    minute = (time.gmtime().tm_min + 30) % 60
    with _App({"tick": _command()}, _cron(f"{minute} * * * *")) as app, app.up() as s:
        time.sleep(2)
        check(not _lines(s, "cron tick"), s.log_text())


def while_the_last_one_runs_the_next_is_skipped_unless_it_may_overlap():
    with _App({"tick": _command(_sleeps(3 * SECOND))}, _cron("* * * * * *")) as app, app.up() as s:
        _wait(s, "cron tick of jobs is skipped: the last one still runs")
        _wait(s, "cron tick of jobs ended with 0")
    with _App({"tick": _command(_sleeps(3 * SECOND))}, _cron("* * * * * *", 'overlap = "allow"\n')) as app, app.up() as s:
        at = [o["time"] for o in _wait(s, "cron tick of jobs ended with 0", 2)]
        check(at[1] - at[0] < 2.9 and not _lines(s, "skipped"), at)


def what_was_missed_is_made_up_for_once():
    with _App({"tick": _command()}, _cron("* * * * * *")) as app, app.up() as s:
        _wait(s, "cron tick of jobs ended", 1)
        s.process.send_signal(signal.SIGSTOP)
        time.sleep(5)
        on = int(time.time() * 1000) / 1000  # the log's resolution: a line may be of the same millisecond
        s.process.send_signal(signal.SIGCONT)
        _wait(s, "cron tick of jobs ended", len(_lines(s, "cron tick of jobs ended")) + 2)
        late = [o["time"] for o in _lines(s, "cron tick of jobs ended") if on <= o["time"] < on + 0.9]
        check(len(late) in (1, 2), f"{len(late)} runs right after four were missed")


def what_could_not_begin_when_it_was_due_begins_later():
    """A worker has the only place; it goes, and the time of the other one is long over."""
    t = time.gmtime(time.time() + 3)
    rest = _cron(f"{t.tm_sec} {t.tm_min} {t.tm_hour} * * *") + '[[trigger.command]]\nid = "long"\ncomponent = "tick"\n'
    with _App({"tick": _command(_sleeps(6 * SECOND))}, rest, more={"tick": "instances = { max = 1 }\n"}) as app, app.up() as s:
        _wait(s, "cron tick of jobs could not begin", seconds=60)
        _wait(s, "command long of jobs ended with 0", seconds=60)
        _wait(s, "cron tick of jobs ended with 0", seconds=120)


# ---- what is wrong ----------------------------------------------------------------------------------------------------------------------

def what_can_not_run_is_refused():
    silent = Component().assemble()
    for rest, status, word in (
            ('[[trigger.start]]\ncomponent = "x"\n', 4, "no command"),
            ('[[trigger.command]]\ncomponent = "x"\n', 4, "no command"),
            ('[[trigger.cron]]\nschedule = "* * * * *"\ncomponent = "x"\n', 4, "no command"),
            ('[[trigger.cron]]\nschedule = "* * * * *"\ncomponent = "x"\ntimezone = "Mars/Phobos"\n', 2, "no time zone 'Mars/Phobos'")):
        with _App({"x": silent}, rest) as app:
            r = app.run("--addr", "127.0.0.1:0")
            check(r.returncode == status and word in r.stderr, (rest, r.returncode, r.stderr))


# ---- instances --------------------------------------------------------------------------------------------------------------------------

def so_many_instances_as_are_said_are_kept_ready():
    for shards in (1, 2):
        for policy in ("fresh", "reuse"):
            more = f'policy = "{policy}"\ninstances = {{ min = 5 }}\n'
            with _App({"idle": _command()}, "", more={"idle": more}) as app, app.up("--admin", "127.0.0.1:0", shards=shards) as s:
                r = app.tenon("status", "--json")
                found = [c for line in r.stdout.splitlines() for a in json.loads(line)["apps"] for c in a["components"]]
                check(found and found[0]["instances"] == 5, r.stdout)


def an_idle_component_keeps_no_instances_but_those_that_are_kept_ready():
    for least, policy in ((0, "fresh"), (1, "fresh"), (2, "reuse")):
        more = f'policy = "{policy}"\ninstances = {{ min = {least}, idle = "200ms" }}\n'
        with _App({"idle": HELLO.read_bytes()}, '[[trigger.http]]\nroute = "/idle/..."\ncomponent = "idle"\n', more={"idle": more}) as app, app.up() as s:
            for _ in range(2):
                answers = Many([lambda: s.get("/idle/") for _ in range(20)]).join()
                check(all(a.status in (200, 404) for a in answers), "it does not answer")
                _comes_to(app, least)


def _comes_to(app, want):
    for _ in range(300):
        found = [c for line in app.tenon("status", "--json").stdout.splitlines() for a in json.loads(line)["apps"] for c in a["components"]]
        if found and found[0]["instances"] == want:
            return
        time.sleep(0.05)
    raise AssertionError(f"{found} and not {want} instances")

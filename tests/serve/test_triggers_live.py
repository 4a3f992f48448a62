"""Triggers besides http that come, change and go while an app runs, by apply, stop and undo."""
import time

from harness import check
from test_triggers import SECOND, START, _App, _command, _lines, _sleeps, _wait

LONG = _sleeps(1000 * SECOND)
CRON = '[[trigger.cron]]\nid = "tick"\ncomponent = "tick"\nschedule = "%s"\n'
COMMAND = '[[trigger.command]]\nid = "once"\ncomponent = "once"\n'


class _Live(_App):
    """One whose manifest is written anew and applied: `rest` behind what it began with."""

    def __init__(self, components, rest):
        super().__init__(components, rest)
        self.head = (self.folder / "tenon.toml").read_text().removesuffix(rest)

    def apply(self, rest, status=0, more=None):
        head = self.head
        for name, text in (more or {}).items():
            head = head.replace(f'source = "{name}.wasm"\n', f'source = "{name}.wasm"\n{text}\n')
        (self.folder / "tenon.toml").write_text(head + rest)
        r = self.tenon("apply", str(self.folder))
        check(r.returncode == status, (r.returncode, r.stdout, r.stderr))
        return r.stdout + r.stderr


def what_is_to_run_for_ever_comes_and_goes():
    for shards in (1, 2):
        with _Live({"worker": _command(LONG)}, "") as app, app.up(shards=shards) as s:
            for i in range(3):
                out = app.apply(START)
                check("+ trigger.start worker" in out, out)
                time.sleep(0.3)
                check(len(_lines(s, "start worker of jobs was stopped")) == i and not _lines(s, "start worker of jobs ended"), s.log_text())
                out = app.apply("")
                check("- trigger.start worker" in out, out)
                _wait(s, "start worker of jobs was stopped", i + 1)
            check(s.get().status == 200, "the route")


def one_that_went_does_not_come_again():
    with _Live({"worker": _command(result=1)}, START) as app, app.up() as s:
        _wait(s, "start worker of jobs ended with 1", 2)
        app.apply("")
        n = len(_lines(s, "start worker"))
        time.sleep(2)
        check(len(_lines(s, "start worker")) <= n + 1, s.log_text())


def a_command_that_comes_runs_once_and_not_again_for_other_changes():
    with _Live({"once": _command()}, "") as app, app.up() as s:
        app.apply(COMMAND)
        _wait(s, "command once of jobs ended with 0")
        app.apply(COMMAND + '[[trigger.http]]\nroute = "/more"\nstatic = { status = 200, body = "ok" }\n')
        app.apply(COMMAND, more={"once": 'limits = { deadline = "5s" }'})
        time.sleep(0.5)
        check(len(_lines(s, "command once")) == 1, s.log_text())
        app.apply("")
        app.apply(COMMAND)
        _wait(s, "command once of jobs ended with 0", 2)


def one_that_runs_when_it_goes_ends_by_itself():
    with _Live({"once": _command(_sleeps(SECOND))}, COMMAND) as app, app.up() as s:
        time.sleep(0.2)
        app.apply("")
        _wait(s, "command once of jobs ended with 0")
        app.apply("")
        check(s.get().status == 200, "it serves on")


def a_clock_comes_changes_and_goes():
    with _Live({"tick": _command()}, "") as app, app.up() as s:
        app.apply(CRON % "0 0 0 1 1 *")
        out = app.apply(CRON % "* * * * * *")
        check("~ trigger.cron tick schedule" in out, out)
        _wait(s, "cron tick of jobs ended with 0", 2)
        app.apply(CRON % "* * * * * *" + 'overlap = "allow"\n')
        n = len(_lines(s, "cron tick"))
        _wait(s, "cron tick of jobs ended with 0", n + 2)
        app.apply(CRON % "0 0 0 1 1 *")
        n = len(_lines(s, "cron tick"))
        time.sleep(2.5)
        check(len(_lines(s, "cron tick")) <= n + 1, s.log_text())
        out = app.apply(CRON % "0 0 0 1 1 *" + 'timezone = "No/Where"\n', status=2)
        check("No/Where" in out, out)


def limits_of_runs_are_those_of_the_component_as_it_is():
    with _Live({"tick": _command(LONG)}, CRON % "* * * * * *") as app, app.up("--drain", "100ms") as s:
        _wait(s, "cron tick of jobs is skipped")  # it has no limit
        app.apply(CRON % "* * * * * *", more={"tick": 'limits = { deadline = "300ms" }'})
        _wait(s, "cron tick of jobs is skipped", len(_lines(s, "cron tick of jobs is skipped")) + 1)  # what runs goes on as it began
        app.apply("")
        app.apply(CRON % "* * * * * *", more={"tick": 'limits = { deadline = "300ms" }'})
        _wait(s, "cron tick of jobs failed", 2)


def an_app_with_triggers_is_stopped_and_comes_again():
    with _Live({"worker": _command(LONG), "tick": _command()}, START + CRON % "* * * * * *") as app, app.up(shards=2) as s:
        _wait(s, "cron tick of jobs ended with 0")
        r = app.tenon("stop", "jobs")
        check(r.returncode == 0, r.stderr)
        _wait(s, "start worker of jobs was stopped")
        n = len(_lines(s, "cron tick"))
        time.sleep(2.5)
        check(len(_lines(s, "cron tick")) <= n + 1, s.log_text())
        r = app.tenon("undo", "jobs")
        check(r.returncode == 0, r.stderr)
        _wait(s, "cron tick of jobs ended with 0", len(_lines(s, "cron tick")) + 1)
        app.apply("")
        _wait(s, "start worker of jobs was stopped", 2)


def what_is_no_command_is_no_trigger():
    from assemble import Component
    with _Live({"worker": Component().assemble()}, "") as app, app.up() as s:
        out = app.apply(START, status=6)
        check("no command" in out and "worker" in out, out)
        check(s.get().status == 200, "it serves on")


def a_trigger_may_come_and_go_as_often_as_one_likes():
    with _Live({"worker": _command(LONG), "once": _command(), "tick": _command()}, "") as app, app.up(shards=2) as s:
        for i in range(40):
            app.apply((START if i % 2 else "") + (COMMAND if i % 3 else "") + (CRON % "* * * * * *" if i % 5 else ""))
        app.apply("")
        _wait(s, "start worker of jobs was stopped", 20)
        check(s.get().status == 200, "it serves on")

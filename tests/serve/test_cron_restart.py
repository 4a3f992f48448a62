"""What came due while nobody ran is made up for by one run at the next start; the clocks are moved (tests/preload/clock.c)."""
import contextlib, json, struct, time

from front import clock_library
from harness import check
from test_triggers import SECOND, _App, _command, _lines, _sleeps, _wait
from writing import until

DAY = 86400


class _Clocked(_App):
    """An app with a cron trigger; `.day(n)`: from its next start on the time of day is n days off."""

    def __init__(self, schedule, more=""):
        super().__init__({"tick": _command()}, self.rest(schedule, more))
        library, self.clocks = clock_library(self.folder), self.folder / "clocks"
        self.env |= {"LD_PRELOAD": str(library), "CLOCK_FILE": str(self.clocks)}
        self.clocks.write_bytes(bytes(16))
        self.memory = self.folder / "state/default/jobs/cron"

    @staticmethod
    def rest(schedule, more=""):
        return f'[[trigger.cron]]\nid = "tick"\nschedule = "{schedule}"\ncomponent = "tick"\n{more}'

    def day(self, n):
        with open(self.clocks, "r+b") as at:  # it is mapped by who runs
            at.write(struct.pack("<qq", int(n * DAY * 10**9), 0))

    def write(self, before, after):
        at = self.folder / "tenon.toml"
        at.write_text(at.read_text().replace(before, after))

    def known(self):
        """{id: seconds} of what it remembers."""
        lines = self.memory.read_text().splitlines()[1:] if self.memory.exists() else ()
        return {o["cron"]: o["at"] for o in (json.loads(line[9:]) for line in lines)}


def _once_a_day():
    """Twelve hours from now, so that nothing comes due while a test runs."""
    t = time.gmtime(time.time() + DAY // 2)
    return f"{t.tm_min} {t.tm_hour} * * *"


@contextlib.contextmanager
def _up(app):
    """It runs, and is killed at the end."""
    s = app.up()
    try:
        yield s
    finally:
        s.process.kill()
        s.process.wait(60)


def _begins(app, missed, text='"tick"'):
    """It is started, and killed once it is known whether it made up for something (so many runs) and it remembers what has that text."""
    with _up(app) as s:
        if missed:
            _wait(s, "cron tick of jobs was missed: it runs now")
            _wait(s, "cron tick of jobs ended with 0")
            check(until(lambda: app.known().get("tick", 0) >= int(next(s.objects())["time"])), f"{app.known()}")
        else:
            check(until(lambda: app.known() and text in app.memory.read_text()), "nothing is remembered")
            check(s.get().status == 200, "it serves")
            time.sleep(0.5)  # what would run now had its time
        check(len(_lines(s, "cron tick of jobs ended")) == missed, s.log_text())


def what_was_missed_over_a_kill_runs_once():
    with _Clocked(_once_a_day()) as app:
        _begins(app, 0)  # it never ran: nothing was missed
        _begins(app, 0)
        app.day(3)
        _begins(app, 1)
        _begins(app, 0)
        app.day(4)
        _begins(app, 1)


def what_begins_anew_has_missed_nothing():
    schedule = _once_a_day()
    with _Clocked(schedule) as app:
        _begins(app, 0)
        app.day(3)
        app.write('component = "tick"\n', 'component = "tick"\ntimezone = "Europe/Berlin"\n')  # another schedule
        _begins(app, 0, "Europe/Berlin")
        app.day(6)
        _begins(app, 1)
        rest = app.rest(schedule).replace('component = "tick"\n', 'component = "tick"\ntimezone = "Europe/Berlin"\n')
        app.write(rest, "")
        with _up(app) as s:
            check(until(lambda: app.known() == {}), f"{app.known()}")
        app.write('body = "ok" }\n', 'body = "ok" }\n' + rest)
        app.day(9)
        _begins(app, 0)  # it was away


def who_was_stopped_has_missed_nothing():
    with _Clocked(_once_a_day()) as app:
        _begins(app, 0)
        with _up(app) as s:
            check(app.tenon("stop", "jobs").returncode == 0 and until(lambda: app.known() == {}), f"{app.known()}")
            app.day(3)
            check(app.tenon("apply", str(app.folder)).returncode == 0 and until(lambda: "tick" in app.known()), f"{app.known()}")
            time.sleep(0.5)
            check(not _lines(s, "cron tick"), s.log_text())
        app.day(5)
        _begins(app, 1)


def a_clock_that_was_set_back_holds_nothing_up():
    with _Clocked("* * * * * *") as app:
        for day in (10, 0, -10):
            app.day(day)
            with _up(app) as s:
                _wait(s, "cron tick of jobs ended with 0", 2)


def of_a_clock_that_was_set_right_nothing_runs_twice():
    """By some seconds, as who sets clocks does all the time; the run was at a certain second of the day."""
    t = time.gmtime(time.time() + 4)
    with _Clocked(f"{t.tm_sec} {t.tm_min} {t.tm_hour} * * *") as app:
        with _up(app) as s:
            _wait(s, "cron tick of jobs ended with 0", seconds=60)
            check(until(lambda: app.known().get("tick", 0) >= int(next(s.objects())["time"])), f"{app.known()}")
        at = app.known()["tick"]
        app.day((at - 4 - time.time()) / DAY)  # four seconds before it
        with _up(app) as s:
            time.sleep(7)
            check(not _lines(s, "cron tick"), s.log_text())


def what_was_killed_in_a_run_is_not_run_again():
    """It was begun: who must know that it ended writes that down."""
    with _Clocked("* * * * *") as app:
        (app.folder / "tick.wasm").write_bytes(_command(_sleeps(600 * SECOND)))
        app.write("* * * * *", _once_a_day())
        _begins(app, 0)
        app.day(1)
        with _up(app) as s:
            _wait(s, "cron tick of jobs was missed: it runs now")
            check(until(lambda: app.known().get("tick", 0) >= int(next(s.objects())["time"])), f"{app.known()}")
        _begins(app, 0)


def what_remembers_nothing_is_told_and_runs_on():
    with _Clocked("* * * * * *") as app:
        app.memory.parent.mkdir(parents=True, mode=0o700)
        for at in (app.folder / "state", app.folder / "state/default"):
            at.chmod(0o700)
        blocks = app.memory.with_name("cron.new")
        blocks.mkdir()
        with _up(app) as s:
            _wait(s, "when cron triggers ran is not written")
            _wait(s, "cron tick of jobs ended with 0", 2)
            blocks.rmdir()
            check(until(lambda: "tick" in app.known()), "with room again")
        app.memory.write_text("tenon-journal 9\n")
        r = app.run()
        check(r.returncode == 5 and "format 9" in r.stderr and "cron" in r.stderr, (r.returncode, r.stderr))


@contextlib.contextmanager
def _comes_to(app):
    """Another app runs with the state folder of this one, which comes by `app.tenon("apply", …)`."""
    with _App({}, "") as other:
        at = other.folder / "tenon.toml"
        at.write_text(at.read_text().replace('"jobs"', '"other"').replace('route = "/"', 'route = "/other"'))
        other.env = app.env
        with _up(other) as s:
            yield s


def what_was_missed_by_one_that_comes_runs_once():
    with _Clocked(_once_a_day()) as app:
        _begins(app, 0)
        app.day(3)
        with _comes_to(app) as s:
            r = app.tenon("apply", str(app.folder))
            check(r.returncode == 0, r.stderr)
            _wait(s, "cron tick of jobs was missed: it runs now")
            _wait(s, "cron tick of jobs ended with 0")


def one_that_comes_with_a_damaged_memory_is_refused():
    with _Clocked("* * * * * *") as app:
        _begins_at_all(app)
        whole = app.memory.read_bytes()
        lines = whole.splitlines(True)
        for text, why in ((b"tenon-journal 9\n", "format 9"), (lines[0] + b"x" + lines[1] + lines[1], "remove the file")):
            app.memory.write_bytes(text)
            with _comes_to(app) as s:
                for _ in range(2):
                    r = app.tenon("apply", str(app.folder))
                    check(r.returncode == 5 and why in r.stderr and "'cron'" in r.stderr, (r.returncode, r.stderr))
                time.sleep(1.5)
                check(s.get("/other").status == 200 and not _lines(s, "cron tick of jobs"), s.log_text())
                app.memory.unlink()
                check(app.tenon("apply", str(app.folder)).returncode == 0, s.log_text())
                _wait(s, "cron tick of jobs ended with 0", 2)


def _begins_at_all(app):
    with _up(app) as s:
        _wait(s, "cron tick of jobs ended with 0")
        check(until(lambda: "tick" in app.known()), f"{app.known()}")


def what_remembers_nothing_is_told_before_anything_runs():
    with _Clocked(_once_a_day()) as app:
        app.memory.parent.mkdir(parents=True, mode=0o700)
        for at in (app.folder / "state", app.folder / "state/default"):
            at.chmod(0o700)
        app.memory.with_name("cron.new").mkdir()
        with _up(app) as s:
            _wait(s, "when cron triggers ran is not written")

"""tenon dev: which changes are seen, and whose they are: somebody's, or those of the builds themselves."""
import os, shutil

from front import Folder
from harness import MISBEHAVE, check
from writing import APP, Dev, at_rest, parts, until

COUNTED = "cp %s/app.wasm %s.wasm; echo >> .%s.log"  # what begins with a dot is not watched


def _counts(top, part="one"):
    log = top / f".{part}.log"
    return lambda: len(log.read_text()) if log.exists() else 0


def in_the_folder_of_the_project_no_path_is_needed():
    with Folder() as top, Dev(top, APP % parts(COUNTED, "./%s/**"), here=True) as d:
        before, n = d.status("one"), at_rest(_counts(top))
        check(n == 1, f"{n} builds before anything changed")
        shutil.copy(MISBEHAVE, top / "one/app.wasm")
        until(lambda: "one: built in" in d.text())
        check(d.status("one") != before and d.status("two") == before, d.text())


def without_watch_all_that_lies_beside_the_manifest_counts():
    with Folder() as top, Dev(top, APP % parts(COUNTED, None), here=True) as d:
        at_rest(_counts(top))
        before = d.status("one")
        (top / "deep/er").mkdir(parents=True)
        shutil.copy(MISBEHAVE, top / "one/app.wasm")
        until(lambda: d.status("one") != before)
        check(d.status("one") != before, d.text())


def two_components_that_write_where_both_are_watched_come_to_an_end():
    for writes in ("date +%N > %s/out", "mkdir -p new; echo > new/%s", "date +%N > %s/$(date +%N).$$; rm %s/*.$$", "date > %s/$(date +%N)"):
        with Folder() as top, Dev(top, APP % parts(f"{writes}; {COUNTED}", None)) as d:
            one, two = _counts(top), _counts(top, "two")
            for _ in range(2):
                began = at_rest(lambda: one() + two())
                check(began < 60, f"{writes}: {began} builds")
                shutil.copy(MISBEHAVE, top / "one/app.wasm")
                check(until(lambda: one() > 0 and one() + two() > began), f"{writes}: not built again")


def what_is_saved_while_it_is_built_is_built():
    command = "cat %s/value >> .%s.seen; sleep 0.5; cp %s/app.wasm %s.wasm"
    with Folder() as top:
        (top / "one").mkdir()
        (top / "two").mkdir()
        (top / "one/value").write_text("0\n")
        (top / "two/value").write_text("0\n")
        seen = lambda: (top / ".one.seen").read_text().split() if (top / ".one.seen").exists() else []
        with Dev(top, APP % parts(command), ready=False) as d:
            for n in range(1, 4):  # within the first build and the two that follow from that
                check(until(lambda: len(seen()) == n), f"{n}: {seen()} {d.text()}")
                (top / "one/value").write_text(f"{n}\n")
            check(until(lambda: "3" in seen()), f"{seen()} {d.text()}")
            check(seen() == ["0", "1", "2", "3"], seen())
            d.at = d.ready(1)
            for n in range(4, 7):  # the same twice within builds: still somebody's
                at_rest(lambda: len(seen()), 1)
                for text in (f"{n}\n", f"{n}\n", f"{n}{n}\n"):
                    before = len(seen())
                    (top / "one/value").write_text(text)
                    until(lambda: len(seen()) > before, 5)
                check(until(lambda: f"{n}{n}" in seen()), f"{seen()} {d.text()}")


def a_folder_that_another_takes_the_place_of_is_watched_on():
    with Folder() as top:
        (top / "src/one").mkdir(parents=True)
        (top / "src/two").mkdir()
        with Dev(top, APP % parts(COUNTED, "src/%s/**")) as d:
            one = _counts(top)

            def built_after(what, changes):
                before = at_rest(one, 0.7)
                changes()
                check(until(lambda: one() > before, 20), f"not built after {what}: {d.text()}")

            def replaced():
                os.rename(top / "src/one", top / "old")
                (top / "src/one").mkdir()

            def parent_replaced():
                os.rename(top / "src", top / "older")
                (top / "src/one").mkdir(parents=True)
                (top / "src/two").mkdir()

            def removed():
                shutil.rmtree(top / "src/one")
                (top / "src/one").mkdir()

            for what, changes in (("mv", replaced), ("mv above it", parent_replaced), ("rm", removed)):
                built_after(what, changes)
                built_after(f"{what} and a file", lambda: (top / "src/one/x").write_text("1"))
            built_after("a folder with a file", lambda: shutil.copytree(top / "older/one", top / "src/one/a/b", dirs_exist_ok=True) and (top / "src/one/a/b/x").write_text("1"))
            built_after("a file in it", lambda: (top / "src/one/a/b/x").write_text("2"))
            built_after("another name of it", lambda: os.rename(top / "src/one/a", top / "src/one/c"))
            built_after("a file in that", lambda: (top / "src/one/c/b/x").write_text("3"))
            built_after("a link", lambda: os.link(top / "src/one/c/b/x", top / "src/one/y"))
            built_after("its removal", lambda: shutil.rmtree(top / "src/one/c"))
            before = at_rest(one, 0.7)
            (top / "old/x").write_text("1")
            (top / "older/one/x").write_text("1")
            check(at_rest(one, 0.7) == before, "built for what was moved away")


def a_folder_that_is_not_there_is_told_at_the_start():
    with Folder() as top:
        d = Dev(top, APP % parts(COUNTED, "sources/%s/**"), ready=False)
        check(d.process.wait(60) == 5, d.text())
        until(lambda: "build.watch of component one" in d.text())
        check("cannot watch the folder" in d.text() and "build.watch of component one" in d.text(), d.text())


def what_the_app_writes_itself_is_no_change():
    link = '[link.store]\ntype = "file"\npath = "./store.db"\n'
    manifest = (APP % (parts(COUNTED, None) + link)).replace('source = "one.wasm"', 'source = "./one.wasm"\nfiles = [{ host = "data", guest = "/data", write = true }]')
    with Folder() as top:
        (top / "data").mkdir()
        with Dev(top, manifest, "--access-log", str(top / "access.log")) as d:
            one = _counts(top)
            before = at_rest(one)
            d.status("two")
            for name in ("store.db", "store.db-wal", "data/x", "access.log"):
                (top / name).write_text("x")
            check(at_rest(one) == before, f"built: {one()} after {before}")

"""tenon dev: what changes is built again and swapped in; what fails is told, and the last good version serves on. Builds are copies but where C is compiled."""
import re, shutil

from front import Folder
from harness import HELLO, MISBEHAVE, check
from writing import APP, Dev, at_rest, parts, until


def what_changes_is_built_and_takes_the_place_and_the_other_component_goes_on():
    with Folder() as top, Dev(top, APP % parts()) as d:
        before = d.status("one")
        pid = d.process.pid
        shutil.copy(MISBEHAVE, top / "one/app.wasm")
        until(lambda: "one: built in" in d.text())
        check(re.search(r"one: built in \d+ ms, serves \d+ ms later", d.text()), d.text())
        check(d.status("one") != before and d.status("two") == before and len(d.urls) == 1 and d.process.pid == pid, f"{d.status('one')} {d.status('two')}")
        check("two: built" not in d.text(), "the other was built, too")


def of_a_build_that_fails_the_output_is_told_and_the_last_good_version_serves_on():
    command = "if test -f %s/broken; then echo here is wrong; exit 3; fi; cp %s/app.wasm %s.wasm"
    with Folder() as top, Dev(top, APP % parts(command)) as d:
        before = d.status("one")
        (top / "one/broken").write_text("x")
        until(lambda: "here is wrong" in d.text())
        check(re.search(r"one: the build failed with 3 after \d+ ms; the last good version serves on\nhere is wrong\n", d.text()), d.text())
        check(d.status("one") == before, "it does not serve on")
        (top / "one/broken").unlink()
        shutil.copy(MISBEHAVE, top / "one/app.wasm")
        until(lambda: "serves" in d.text().split("here is wrong")[-1])
        check(d.status("one") != before, d.text())


def what_is_no_component_is_told_and_not_served():
    with Folder() as top, Dev(top, APP % parts()) as d:
        before = d.status("one")
        (top / "one/app.wasm").write_text("no component")
        until(lambda: "one: not served; the last good version serves on" in d.text())
        check("error: " in d.text() and d.status("one") == before, d.text())


def a_build_that_leaves_a_pipe_holds_nothing_up():
    command = "if test -f %s/pipe; then rm %s.wasm; mkfifo %s.wasm; else rm -f %s.wasm; cp %s/app.wasm %s.wasm; fi"
    with Folder() as top, Dev(top, APP % parts(command)) as d:
        before = d.status("one")
        (top / "one/pipe").write_text("x")
        until(lambda: "is not a file" in d.text())
        check(d.status("one") == before, d.text())
        (top / "one/pipe").unlink()
        shutil.copy(MISBEHAVE, top / "one/app.wasm")
        until(lambda: "serves" in d.text().split("is not a file")[-1])


def where_there_never_was_a_version_each_path_answers_with_what_the_build_says():
    command = "if test -f %s/good; then cp %s/app.wasm %s.wasm; else printf 'line 7 is \\033[31mwrong\\n'; exit 1; fi"
    with Folder() as top:
        (top / "two").mkdir()
        (top / "two/good").write_text("x")
        with Dev(top, APP % parts(command)) as d:
            for path in ("/one/x", "/two/x", "/"):
                a = d.get(path)
                check(a.status == 500 and b"component one was not built" in a.body and b"line 7 is" in a.body and a.values("content-type") == ["text/plain; charset=utf-8"], f"{a.status} {a.body}")
            (top / "one/good").write_text("x")
            d.at = d.ready(2)
            check(d.get("/one/x").status != 500 and d.get("/two/x").status != 500, d.text())


def a_build_that_writes_where_it_is_watched_comes_to_an_end():
    command = "date +%N > %s/out.txt; cp %s/app.wasm %s.wasm; echo built >> %s.log"
    with Folder() as top, Dev(top, APP % parts(command)) as d:
        built = lambda: (top / "one.log").read_text().count("built")
        for _ in range(3):
            n = built()
            shutil.copy(MISBEHAVE, top / "one/app.wasm")
            until(lambda: built() > n)
        n = at_rest(built)
        check(n < 20, f"{n} builds")


def of_what_a_build_says_the_end_is_kept():
    command = "head -c 3000000 /dev/zero | tr '\\0' x; echo; echo this is why; exit 1"
    with Folder() as top:
        for n in ("one", "two"):
            shutil.copy(HELLO, top / f"{n}.wasm")
        with Dev(top, APP % parts(command)) as d:
            until(lambda: d.text().count("this is why") == 2)
            check("... the first 2934477 bytes are left out\n" in d.text() and 2 * 65536 < len(d.text()) < 2 * 65536 + 2000, f"{len(d.text())}: {d.text()[:200]}")


def a_manifest_that_builds_nothing_is_refused():
    with Folder() as top:
        shutil.copy(HELLO, top / "one.wasm")
        manifest = 'tenon = 1\n[app]\nname = "dev"\n[component.one]\nsource = "one.wasm"\n[[trigger.http]]\nroute = "/..."\ncomponent = "one"\n'
        d = Dev(top, manifest, ready=False)
        check(d.process.wait(60) == 2, d.text())
        until(lambda: "build = {" in d.text())
        check("says of no component how it is built" in d.text(), d.text())


def nothing_of_it_lasts():
    with Folder() as top:
        with Dev(top, APP % parts()) as d:
            shutil.copy(MISBEHAVE, top / "one/app.wasm")
            until(lambda: "one: built in" in d.text())
        check(not (top / ".tenon").exists() and not list((top / ".ctl").glob("*.sock")), list(top.iterdir()))

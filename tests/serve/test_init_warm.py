"""--init warm=PATH: the image is taken after requests were answered once."""
import json, os, re, subprocess, tempfile
from unittest import mock
from pathlib import Path

from harness import HELLO, MANY, MISBEHAVE, Server, check, config


def _count(s):
    a = s.get("/count")
    check(a.status == 200, f"{a.status} {a.body!r}")
    return int(re.search(rb"\d+", a.body).group())


def what_the_requests_left_is_in_each_instance_and_no_more():
    for paths, before in (("/count", 1), ("/count,/,/count", 3)):
        with Server(HELLO, "--init", f"warm={paths}") as s:
            counts = [_count(s) for _ in range(5)]
            check(counts == [before + 1] * 5, f"{paths}: {counts}")


def an_instance_that_is_kept_goes_on_from_there():
    with Server(HELLO, "--init", "warm=/count", "--policy", "keep") as s:
        check([_count(s) for _ in range(3)] == [2, 3, 4], "counts of a kept instance")


def the_last_init_counts():
    with Server(HELLO, "--init", "warm=/count", "--init", "auto") as s:
        check(_count(s) == 1, "it was warmed")


def its_image_is_nobody_elses():
    with tempfile.TemporaryDirectory() as cache:
        for flags, want in (((), 1), (("--init", "warm=/count"), 2), (("--init", "once"), 1), (("--init", "warm=/count,/count"), 3), ((), 1)):
            with mock.patch.dict(os.environ, TENON_CACHE=cache), Server(HELLO, *flags) as s:
                check(_count(s) == want, f"{flags}: {_count(s)}")


def streams_that_the_guest_keeps_are_made_anew():
    with Server(MISBEHAVE, "--init", "warm=/print") as s:
        for _ in range(3):
            a = s.get("/print")
            check((a.status, a.body) == (200, b"printed\n"), f"{a.status} {a.body!r}")


def a_component_of_0_3_is_warmed_too():
    with Server(MANY, "--init", "warm=/") as s:
        a = s.get("/")
        check(a.status == 200 and a.values("x-count") == ["2"], f"{a.status} {a.headers}")  # the image has counted one


def _refused(*argv, status=None):
    r = subprocess.run([str(config.tenon), *map(str, argv), "--addr", "127.0.0.1:0"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    check(r.returncode == status and r.stderr.startswith("error: "), f"{argv}: {r.returncode} {r.stderr!r}")
    return r.stderr


def a_start_fails_where_a_request_is_not_answered_well():
    for file, path, words, status in ((HELLO, "/nothing", "/nothing, which is to warm the image, was answered with 404", 3), (HELLO, "/trap", "traps while it answers", 134),
            (MISBEHAVE, "/silent", "was not answered", 3), (MISBEHAVE, "/unfinished", "was not answered to its end", 3), (MISBEHAVE, "/spin", "traps while it answers", 124),
            (MISBEHAVE, "/late", "traps while it answers", 124)):
        text = _refused("serve", file, "--init", f"warm=/,{path}", "--cpu", "300ms", "--deadline", "2s", "--linger", "1s", status=status)
        check(words in text, f"{path}: {text!r}")


def what_no_other_instance_can_have_is_refused():
    text = _refused("serve", MISBEHAVE, "--init", "warm=/handles", "--deadline", "20s", status=3)
    check("the instance keeps a" in text and "over its calls" in text, f"{text!r}")


def what_is_no_path_is_refused():
    for paths in ("", "x", "/,", "/,x", "/a b", "/a#b", "http://h/"):
        text = _refused("serve", HELLO, "--init", f"warm={paths}", status=2)
        check("not paths of requests" in text and "hint: " in text, f"{paths}: {text!r}")
    text = _refused("serve", HELLO, "--init", "warm=" + ",".join(["/"] * 65), status=2)
    check("more than 64 paths" in text, f"{text!r}")


def _manifest(folder, paths):
    Path(folder, "tenon.toml").write_text(f'tenon = 1\napp.name = "a"\n[component.c]\nsource = "{HELLO}"\nwarm = {json.dumps(paths)}\n[[trigger.http]]\nid = "t"\nroute = "/..."\ncomponent = "c"\n')


def a_manifest_says_it_by_warm():
    with tempfile.TemporaryDirectory() as d:
        _manifest(d, ["/"] * 65)
        text = _refused("up", d, status=3)
        check("more than 64 paths" in text and "tenon.toml:5:" in text, f"{text!r}")
        _manifest(d, ["/count", "/count"])
        with Server(d, command="up") as s:
            check([_count(s) for _ in range(3)] == [3] * 3, "counts behind a manifest")

"""Many apps in one process: those of one component share its code and image, and what nobody calls keeps neither instances nor threads."""
import json, os, subprocess, tempfile
from pathlib import Path

from common import distinct
from harness import HELLO, MISBEHAVE, Server, check, config, in_clear, needs
from writing import until

APPS = 120


class Many:
    """So many apps by turns of so many components, each with a copy of the file in its own folder, on /aN."""

    def __init__(self, apps, components):
        self.apps, self.components = apps, components

    def __enter__(self):
        self.at = tempfile.TemporaryDirectory()
        self.folders = []
        for i in range(self.apps):
            folder = Path(self.at.name) / f"a{i}"
            folder.mkdir()
            (folder / "api.wasm").write_bytes(distinct(HELLO, i % self.components))
            (folder / "tenon.toml").write_text(f'tenon = 1\n[app]\nname = "a{i}"\n[component.api]\nsource = "api.wasm"\ninstances = {{ idle = "1s" }}\n'
                f'[[trigger.http]]\nroute = "/a{i}/..."\ncomponent = "api"\n')
            self.folders.append(str(folder))
        (Path(self.at.name) / "ctl").mkdir(0o700)
        self.before = os.environ.get("TENON_CTL")
        os.environ["TENON_CTL"] = self.at.name + "/ctl"  # not where other tests have theirs
        return self

    def __exit__(self, *_):
        del os.environ["TENON_CTL"]
        if self.before is not None:
            os.environ["TENON_CTL"] = self.before
        self.at.cleanup()

    def up(self, *flags, shards=2, wrap=()):
        return Server(self.folders[0], *self.folders[1:], *flags, shards=shards, command="up", wrap=wrap)


def _maps(s, word):
    """Distinct files of that name that are mapped."""
    return len({line.split()[4] for line in open(f"/proc/{s.pid}/maps") if word in line})


def _instances(s):
    """Mappings of memories that instances have of their image."""
    return sum("tenon-image" in line or ".image" in line for line in open(f"/proc/{s.pid}/maps"))


def _threads(s):
    return len(os.listdir(f"/proc/{s.pid}/task"))


def _status():
    r = subprocess.run([str(config.tenon), "--json", "status"], capture_output=True, timeout=120, text=True)
    check(r.returncode == 0, r.stderr)
    return json.loads(r.stdout.splitlines()[-1])["apps"]


def apps_of_one_component_share_its_code():
    in_clear()
    with Many(APPS, 3) as many, many.up() as s:
        check(all(s.get(f"/a{i}/").body.startswith(b"nothing here") for i in range(APPS)), "an app that doesn't answer")
        code = _maps(s, "tenon-code") + _maps(s, ".code")
        check(0 < code <= 3 * 4, f"{code} pieces of code for 3 components")
        check(_threads(s) < 20, _threads(s))


def an_update_of_one_app_leaves_the_others_as_they_are():
    in_clear()
    with Many(6, 1) as many, many.up() as s:
        for app in (0, 3, 5):
            r = subprocess.run([str(config.tenon), "update", f"a{app}/api", str(MISBEHAVE)], capture_output=True, timeout=60, text=True)
            check(r.returncode == 0, r.stderr)
        said = [s.get(f"/a{i}/").body for i in range(6)]
        check([b.startswith(b"see README") for b in said] == [i in (0, 3, 5) for i in range(6)], said)
        check(all(said[i].startswith(b"nothing here") for i in (1, 2, 4)), said)


def what_nobody_calls_keeps_no_instances():
    in_clear()
    with Many(APPS, 2) as many, many.up() as s:
        check(until(lambda: _instances(s) < APPS / 10), f"{_instances(s)} memories of images are mapped for no instance")
        check(until(lambda: not any(c["instances"] for a in _status() for c in a["components"])), "instances are left")
        apps = _status()
        check([a["components"][0]["component"] for a in apps] == ["api"] * APPS, apps[0])
        check(s.get("/a7/").body.startswith(b"nothing here"), "the next call makes one")
        check(next(a for a in _status() if a["app"] == "a7")["components"][0]["requests"] == 1, "counted elsewhere")


def status_does_not_wait_for_copies_of_components():
    """A disk that takes a second for each: while the start still keeps them, status is answered, again and again."""
    in_clear()
    compiler = os.environ.get("CC", "clang-19").split()
    needs(compiler[0])
    with Many(3, 3) as many, tempfile.TemporaryDirectory() as state:
        library = Path(state) / "slow_copies.so"
        subprocess.run([*compiler, "-shared", "-fPIC", "-O1", Path(__file__).parent / "files/slow_copies.c", "-o", library], check=True)
        copies = lambda: sum(len(f.name) == 64 for f in Path(state).glob("**/blobs/*"))
        with many.up(wrap=("env", f"LD_PRELOAD={library}", f"TENON_STATE={state}")) as s:
            before = 0
            while copies() < 3:
                check(len(_status()) == 3, "apps are missing")
                before += copies() < 3
            check(before >= 3, f"{before} answers while copies were made")
            check(len(_status()) == 3 and s.get("/a1/").body.startswith(b"nothing here"), "and afterwards")
            return f"{before} answers meanwhile"

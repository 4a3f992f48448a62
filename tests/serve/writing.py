"""What the tests of `tenon dev` share: it runs in a folder, and its components are copies of what lies in a folder of each."""
import json, os, shutil, signal, subprocess, threading, time

from front import ask, where
from harness import HELLO, check, config

APP = '''tenon = 1
[app]
name = "dev"
%s[[trigger.http]]
route = "/one/..."
component = "one"
[[trigger.http]]
route = "/two/..."
component = "two"
'''
PART = '[component.%s]\nsource = "%s.wasm"\nbuild = { command = %s%s }\n'


def parts(command="cp %s/app.wasm %s.wasm", watch="%s/**"):
    """Components one and two; %s is the name of each. watch None: none is given."""
    return "".join(PART % (n, n, json.dumps(command.replace("%s", n)), f', watch = ["{watch.replace("%s", n)}"]' if watch else "") for n in ("one", "two"))


class Dev:
    """`tenon dev` of a folder: lines of stderr come to `.said`. `here`: run in it, without a path."""

    def __init__(self, top, manifest, *flags, ready=True, here=False):
        self.top = top
        (top / "tenon.toml").write_text(manifest)
        for n in ("one", "two"):
            (top / n).mkdir(exist_ok=True)
            if not (top / n / "app.wasm").exists():
                shutil.copy(HELLO, top / n / "app.wasm")
        self.env = {**os.environ, "TENON_CTL": str(top / ".ctl")}
        argv = [str(config.tenon), "dev", *flags, "--addr", "127.0.0.1:0", "--shards", "1"]
        self.process = subprocess.Popen(argv if here else [*argv, str(top)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.env, text=True,
            errors="replace", cwd=top if here else None)
        self.said, self.urls = [], []
        for stream, to in ((self.process.stderr, self.said), (self.process.stdout, self.urls)):
            threading.Thread(target=lambda stream=stream, to=to: [to.append(line) for line in stream], daemon=True).start()
        if ready:
            self.at = self.ready(1)

    def ready(self, n):
        until(lambda: len(self.urls) >= n or self.process.poll() is not None)
        check(len(self.urls) >= n, f"not ready: {self.text()}")
        return where(self.urls[n - 1][6:-1])

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if self.process.poll() is None:
            self.stop()
        check(kind or self.process.returncode == 0, f"ended with {self.process.returncode}: {self.text()}")

    def text(self):
        return "".join(self.said)

    def get(self, path):
        return ask(self.at, path)

    def status(self, part):
        return self.get(f"/{part}/trap").status


def until(looks, seconds=60):
    """Whether that came to be."""
    end = time.monotonic() + seconds
    while not looks():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True


def at_rest(counts, seconds=1.5):
    """The number, once it has not changed for so long."""
    n, since = counts(), time.monotonic()
    while time.monotonic() < since + seconds:
        time.sleep(0.02)
        if counts() != n:
            n, since = counts(), time.monotonic()
    return n

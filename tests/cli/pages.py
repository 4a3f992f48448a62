"""Every command that a page or `./dev up` shows is typed, from a folder that is not the checkout: what is named by a path of the checkout is given
that path; what a server says it serves is asked there."""
import os, re, shlex, signal, subprocess, tempfile, threading
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
PAGES = ("README.md", "examples/hello/README.md", "examples/misbehave/README.md", "examples/values/README.md", "examples/counter/README.md", "examples/compose/README.md", "examples/filter/README.md")
# What runs this test, what builds for minutes, and what needs tools that are no part of it.
NOT_TYPED = ("./dev up", "./dev test", "../build.sh", "wasm-tools ", "cargo ", "apt-get ")


def shown(page):
    """(command, the lines that it is said to print) of a page: indented or fenced lines that begin with `$ `, or with `./dev` or `build/tenon`."""
    lines = re.sub(r"(?ms)^## A tour\n.*?(?=^## )", "", (TOP / page).read_text()).split("\n")  # which tools/tour.py types
    for n, line in enumerate(lines):
        text = line.strip()
        if not re.match(r"(\$ |    )", line) or not re.match(r"(\$ )?(\./dev|build/tenon|curl)\b", text):
            continue
        command = re.sub(r"\s+#.*", "", text.removeprefix("$ "))
        output = []
        for after in lines[n + 1:]:
            if not line.startswith("$ ") or after.startswith(("$ ", "```")):
                break
            output.append(after)
        yield command, output


def absolute(command):
    return [str(TOP / w) if re.match(r"(build/tenon|\./dev|examples/\S+)$", w) else w for w in shlex.split(command)]


class Server:
    """A command that serves, on a port that is free, until it is told to end."""

    def __init__(self, argv, cwd, env):
        at = argv.index("--addr") + 1 if "--addr" in argv else None
        if at:
            argv = argv[:at] + ["127.0.0.1:0"] + argv[at + 1:]
        else:
            argv = argv + ["--addr", "127.0.0.1:0"]
        self.process = subprocess.Popen(argv, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
        self.said = []
        self.reader = threading.Thread(target=lambda: self.said.extend(self.process.stderr), daemon=True)
        self.reader.start()
        line = self.process.stdout.readline()
        m = re.match(r"ready (http://\S+)", line)
        self.url = m.group(1) if m else None

    def stop(self):
        os.killpg(self.process.pid, signal.SIGTERM)
        status = self.process.wait(60)
        self.reader.join(10)
        return status


def type_page(page, cwd, env):
    """Problems of a page; servers that it starts stay until its end."""
    server = None
    for command, output in shown(page):
        if command.startswith(NOT_TYPED):
            continue
        argv = absolute(command)
        if argv[0].endswith("build/tenon") and "serve" in argv[:2]:
            if server:
                server.stop()
            server = Server(argv, cwd, env)
            if not server.url:
                yield f"{page}: {command}: is not ready: {''.join(server.said)}"
            continue
        if argv[0] == "curl" and server and server.url:
            argv = [re.sub(r"http://[\d.]+:\d+", server.url, w) for w in argv] + ["-sS"]
        r = subprocess.run(argv, cwd=cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        if r.returncode != 0:
            yield f"{page}: {command}: ends with {r.returncode}: {r.stderr}"
        elif output and r.stdout.rstrip("\n").split("\n") != output:
            yield f"{page}: {command}: prints {r.stdout!r}, the page says {output}"
    if server and server.stop() != 0:
        yield f"{page}: the server does not end well"


def type_hints_of_up(cwd, env):
    """`./dev up` from elsewhere: it says what to try; each of that is tried."""
    server = Server([str(TOP / "dev"), "up"], cwd, {**os.environ, **env})
    if not server.url:
        server.stop()
        yield f"./dev up is not ready: {''.join(server.said)}"
        return
    hints = [line.strip() for line in server.said if re.match(r"  (curl|wrk) ", line)]
    help_of = re.findall(r"all commands: (\S+ --help)", "".join(server.said))
    if len(hints) < 3 or not help_of:
        yield f"./dev up: what to try is missing: {''.join(server.said)}"
    for hint in hints + help_of:
        argv = shlex.split(re.sub(r"\s{2,}\(.*", "", hint))
        argv = [re.sub(r"http://[\d.]+:\d+", server.url, w).replace("-d5", "-d1") for w in argv]
        r = subprocess.run(argv, cwd=cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        if r.returncode != 0 or not r.stdout:
            yield f"./dev up: {hint}: ends with {r.returncode}: {r.stderr}"
    if server.stop() != 0:
        yield "./dev up does not end well"


def tests():
    """(name, problems) of each page."""
    with tempfile.TemporaryDirectory(prefix="tenon-pages-") as cwd:
        env = {"PATH": os.environ["PATH"], "HOME": cwd, "NO_COLOR": "1", "TENON_STATE": cwd + "/state"}
        for page in PAGES:
            yield page, list(type_page(page, cwd, env))
        yield "./dev up", list(type_hints_of_up(cwd, env))

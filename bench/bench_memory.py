"""Memory of an idle server with each guest, and after so many requests over a hundred connections, beside the peer's."""
import time
from pathlib import Path

import bench_serve, measure

ROUNDS = 1


def options(p):
    p.add_argument("--connections", type=int, default=100)
    p.add_argument("--requests", type=int, default=100000)
    p.add_argument("--settle", type=float, default=60, help="seconds that a server gets at most for what it does behind its answers")
    p.add_argument("--side", action="append", help="only these sides")


def mib(server):
    """(resident, of that private, of that anonymous): pages that only this process has are what it costs; mapped files are there for others as well."""
    kib = measure.pages(server.process.pid)
    return tuple(round(kib[k] / 1024, 1) for k in ("resident", "private", "anonymous"))


def works_behind(pid):
    """A thread of low priority is there: something is compiled or written behind the answers."""
    nice = [int(t.read_text().rsplit(")", 1)[1].split()[16]) for t in Path(f"/proc/{pid}/task").glob("*/stat")]
    return max(nice) > min(nice)


def settled(server, o):
    """Once nothing is done behind the answers and nothing has changed for three seconds; or after --settle."""
    end, last, since = time.monotonic() + o.settle, None, time.monotonic()
    while time.monotonic() < end and time.monotonic() - since < 3:
        time.sleep(0.2)
        now = mib(server)
        if now != last or works_behind(server.process.pid):
            last, since = now, time.monotonic()
    return last or mib(server)


def asked(server, o, core):
    """How many requests were answered, how many were not."""
    done = errors = 0
    while done < o.requests:
        r = bench_serve.load(server, o.connections, 2, core, "/")
        if not r:
            break
        done, errors = done + r["requests"], errors + r["errors"]
    return done, errors


def run(o):
    core, load_core = measure.cores()
    o.path = "/"
    rows, data = [], {}
    for g in o.guest or list(measure.GUESTS):
        file = measure.guest(g)
        if not file:
            print(f"  {g}: its component is not on this machine")
            continue
        data[g] = {}
        for name, argv in bench_serve.sides(o, g, file).items():
            servers = bench_serve.ready({name: measure.Server(argv, core)})  # one at a time: what they share would count for neither
            if name not in servers:
                continue
            server = servers[name]
            idle = settled(server, o)
            done, errors = asked(server, o, load_core)
            after = settled(server, o)
            server.stop()
            data[g][name] = {"idle_mib": idle, "after_mib": after, "requests": done, "errors": errors}
            rows.append([f"{g}: {name}", *idle, *after, done, errors])
            measure.table(HEAD, rows[-1:])
    print("all together")
    measure.table(HEAD, rows)
    measure.save("memory", {"connections": o.connections, "results": data})


HEAD = ["guest, side", "idle: MiB", "private", "anonymous", "after: MiB", "private", "anonymous", "requests", "errors"]

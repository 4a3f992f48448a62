"""What a guest makes the host do is its time: it ends at the budget, and others get their turns meanwhile."""
import subprocess, tempfile, threading, time
from pathlib import Path

import constructors, hungry, work, work3
from harness import Many, Server, check, config


def each_kind_of_host_work_ends_with_the_budget():
    table, bad = [], []
    for kind, make in hungry.WORK.items():
        # Of many lines some are dropped, a receipt as well: then what the process used is asked of the system, in hundredths of a second.
        with tempfile.TemporaryDirectory() as d, Server(make().write(Path(d) / "guest.wasm"), "--cpu", "100ms", "--deadline", "60s", "--log-bytes", "none") as s:
            s.settle()
            before = s.cpu_seconds()
            a = s.get("/", timeout=60)
            used = s.cpu_seconds() - before if kind == "empty_lines" else s.receipt("/")["cpu_us"] / 1e6
            table.append(f"{kind} {used * 1000:.0f}")
            if a.status != 503 or not 0.07 < used < 0.3:
                bad.append(f"{kind}: {a.status} after {used:.2f} s")
    check(not bad, "; ".join(bad))
    return "ms of CPU: " + ", ".join(table)


def a_deadline_and_a_signal_end_it_too():
    with tempfile.TemporaryDirectory() as d:
        at = hungry.same_name_again_and_again().write(Path(d) / "guest.wasm")
        with Server(at, "--cpu", "none", "--deadline", "1s") as s:
            check(s.get("/").status == 504 and s.receipt("/")["outcome"] == "deadline exceeded", f"{s.receipts()}")
        with Server(at, "--cpu", "none", "--deadline", "none", "--drain", "500ms") as s, s.connect() as c:
            c.ask("/")
            time.sleep(0.3)
            s.signal()
            check(s.wait(20) is not None, "a signal doesn't end it")


def others_are_answered_beside_it():
    with tempfile.TemporaryDirectory() as d:
        at = hungry.same_name_again_and_again().write(Path(d) / "guest.wasm")
        with Server(at, "--cpu", "2s", "--deadline", "300s") as s, s.connect(timeout=300) as busy:
            busy.ask("/")
            time.sleep(0.3)
            check(s.get("/\0bad", timeout=300).status == 400, "the shard is gone")
            check(not s.receipts("/"), "the guest had ended")
            check(busy.answer().status == 503, "it did not end at its budget")


def printing_a_result_is_the_guests_time():
    with tempfile.TemporaryDirectory() as d:
        at = hungry.printed(1000000).write(Path(d) / "guest.wasm")
        p = subprocess.run([str(config.tenon), "run", "--cpu", "300ms", "--invoke", "f()", str(at)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)
        check(p.returncode == 124 and b"budget" in p.stderr and len(p.stdout) > 1000, f"{p.returncode} {p.stderr} {len(p.stdout)}")
        at = hungry.printed(50000).write(Path(d) / "guest.wasm")
        p = subprocess.run([str(config.tenon), "run", "--invoke", "f()", str(at)], stdout=subprocess.PIPE, timeout=600)
        check(p.returncode == 0 and p.stdout.count(b",") == 49999 and p.stdout.endswith(b"]\n"), f"{p.returncode} {len(p.stdout)}")


# ---- each function of wit/, each constructor of types; beside others by `./dev spent work` ---------------------------------------------------

def _spend(guests, cpu, measure=work.measure):
    """Three at a time. What they did otherwise than to spend their budget of `cpu` ms."""
    left, bad, lock = list(guests), [], threading.Lock()

    def some():
        while left:
            with lock:
                g = left.pop() if left else None
            try:
                if g:
                    measure(g, cpu, 130)
            except AssertionError as e:
                bad.append(f"{g.name}: {e}")
    for r in Many([some] * 3).join(1200):
        if r:
            raise r
    return bad


def each_function_that_is_served_is_called_with_much_until_the_budget_is_spent():
    found = work.guests()
    missing = {f: why for f, why in found.items() if isinstance(why, str)}
    check(not missing and len(found) >= 182 and work.ONCE <= set(found), f"{len(found)} guests; none of {missing}")
    bad = _spend(found.values(), 20)
    check(not bad, "; ".join(bad))
    return f"{len(found) - len(work.ONCE)} until the budget, {len(work.ONCE)} once"


def each_function_of_wasi_0_3_is_called_with_much_until_the_budget_is_spent():
    found = work3.guests()
    missing = {f: why for f, why in found.items() if isinstance(why, str)}
    check(not missing and len(found) >= 128 and work3.ONCE <= set(found), f"{len(found)} guests; none of {missing}")
    bad = _spend(found.values(), 40, work3.measure)
    check(not bad, "; ".join(bad))
    return f"{len(found) - len(work3.ONCE)} until the budget, {len(work3.ONCE)} once"


def what_the_loop_moves_between_a_guests_memory_and_a_socket_is_on_its_budget():
    return work3.measure(work3.Command(work3.wit(), "wasi:sockets/types", work3.SEND), 600, 130)


def values_of_each_constructor_are_lifted_and_lowered_until_the_budget_is_spent():
    made = constructors.constructors(part=4)
    bad = _spend(made.values(), 40)
    check(not bad, "; ".join(bad))
    return f"{len(made)}"

"""What happens when something runs out: each shard goes on, what can't be served gets its 503, SIGTERM ends the server."""
import resource, tempfile, time

import component, spent
from harness import MISBEHAVE, Many, Server, Skip, check, exchange


def _component(**parts):
    file = tempfile.NamedTemporaryFile(suffix=".wasm")
    file.write(component.handler(**parts))
    file.flush()
    return file


def _idle_ticks(s):
    before = s.cpu_seconds()
    time.sleep(0.5)
    return s.cpu_seconds() - before


def _goes_on(s):
    check(s.get("/", timeout=20).status in (200, 500, 503), "no answer any more")
    check(_idle_ticks(s) < 0.4, "a shard computes though nothing is to be done")


def a_queue_that_no_instance_can_be_had_for_lets_its_shard_go_on():
    # Each sleeper holds 2 MiB that it wrote to; what is left of the process's memory does not suffice for all.
    with _component(handle=component.fill(32) + component.sleep(3_000_000_000)) as file:
        with Server(file.name, "--process-memory", "40MiB", "--queue-timeout", "1s", "--deadline", "20s") as s:
            began = time.monotonic()
            answers = Many([lambda: s.get("/", timeout=30) for _ in range(60)]).join()
            took = time.monotonic() - began
            statuses = [a.status for a in answers]
            check(503 in statuses, f"none was refused: {statuses}")
            check(500 in statuses, f"none ran to its end: {statuses}")  # they sleep and return without an answer
            check(all(st in (500, 503) for st in statuses), f"{statuses}")
            check(took < 20, f"took {took:.1f} s")
            _goes_on(s)


def the_wait_of_a_call_is_counted_from_its_first_moment_in_the_queue():
    with Server(MISBEHAVE, "--calls", "1", "--queue-timeout", "600ms", "--deadline", "3s") as s:
        held = Many([lambda: s.get("/sleep")])
        time.sleep(0.2)
        began = time.monotonic()
        waiting = Many([lambda: s.get("/")])
        a = waiting.join()[0]
        check(a.status == 503, f"{a.status}")
        check(0.5 < time.monotonic() - began < 5, f"{time.monotonic() - began:.2f} s")
        held.join()


def who_waits_is_served_in_order():
    with Server(MISBEHAVE, "--calls", "1", "--queue-timeout", "20s") as s:
        ended, jobs = [], []
        for n in range(8):
            jobs.append(Many([lambda n=n: (s.get("/delay"), ended.append(n))]))
            time.sleep(0.05)
        for j in jobs:
            j.join()
        check(ended == sorted(ended), f"{ended}")


def a_server_without_address_space_answers_503_and_ends_at_sigterm():
    # Enough for the start and 16 instances, each of which wants 6 GiB.
    with _component(handle=component.sleep(2_000_000_000)) as file, Server(file.name, "--queue-timeout", "500ms", limits=[(resource.RLIMIT_AS, 105 << 30)]) as s:
        statuses = [a.status for a in Many([lambda: s.get("/", timeout=30) for _ in range(40)]).join()]
        check(503 in statuses and 500 in statuses and all(st in (500, 503) for st in statuses), f"{statuses}")
        _goes_on(s)
        Many([lambda: exchange(s.addr, {"method": "GET", "path": "/"}, 20) for _ in range(40)])
        time.sleep(0.2)
        check(s.stop(seconds=15) == 0, "SIGTERM does not end it")


# ---- the table of `./dev spent`: a row a test, each phase in it --------------------------------------------------------------------------

def _row(name):
    return "; ".join(f"{phase} {spent.TABLE[name][phase]()}" for phase in spent.PHASES)


def memory_runs_out():
    return _row("memory")


def the_memory_of_the_process_runs_out():
    return _row("process memory")


def address_space_runs_out():
    return _row("address space")


def descriptors_run_out():
    return _row("descriptors")


def threads_run_out():
    try:
        return _row("threads")
    except PermissionError as e:  # root's threads have no limit, and a checkout may lie where others may not go
        raise Skip(f"nobody can't run it: {e}")


def the_disk_runs_out():
    return _row("disk")

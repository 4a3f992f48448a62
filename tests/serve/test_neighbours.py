"""Guests that misbehave beside 64 well-behaved clients on the same shard: the others' p99 rises by less than 10 ms, and the receipt says why."""
import threading

from harness import MISBEHAVE, Server, Skip, Wrk, check, config, cores, first_in_line, rises_little

RISE_MS = 10
BUSY_MS = 12  # p99 of 64 clients and nobody else: an idle machine has 2 to 6


def _alone(s, seconds):
    r = Wrk(s, 64, seconds).result()
    check(r["errors"] == 0, r["out"])
    return r["p99_ms"]


def _with(s, path, at_once):
    """p99 of the others beside it, and the answers that it got."""
    answers, stop = [], threading.Event()

    def misbehave():
        while not stop.is_set():
            answers.append(s.get(path).status)
    threads = [threading.Thread(target=misbehave, daemon=True) for _ in range(at_once)]
    for t in threads:
        t.start()
    beside = Wrk(s, 64, 3).result()
    stop.set()
    for t in threads:
        t.join(30)
    check(beside["errors"] == 0 and beside["requests"] > 1000, f"{beside['out']}")
    return beside["p99_ms"], answers


def _beside(path, status, outcome, trap="", at_once=1, deadline="20s"):
    if not config.release:
        raise Skip("only the release build is measured")
    with Server(MISBEHAVE, "--cpu", "150ms", "--deadline", deadline, "--memory", "64MiB", core=cores()[0]) as s:
        first_in_line(s.pid)
        Wrk(s, 64, 1).result()

        def beside():
            p99, answers = _with(s, path, at_once)
            check(len(answers) >= 2 and set(answers) == {status}, f"{path} was answered {answers[:10]}")
            r = s.receipt(path)
            check(r["outcome"] == outcome and r["status"] == status and trap in r["trap"], f"{r}")
            return p99, f" beside {len(answers)}"
        return rises_little(RISE_MS, BUSY_MS, lambda: _alone(s, 2), beside)


def an_endless_loop_ends_by_its_cpu_budget():
    return _beside("/spin", 503, "cpu budget spent")


def endless_growth_ends_by_its_cpu_budget():
    return _beside("/grow", 503, "cpu budget spent")


def endless_filling_of_memory_ends_by_its_cpu_budget():
    return _beside("/fill", 503, "cpu budget spent")


def endless_recursion_ends_as_a_trap():
    return _beside("/recurse", 500, "trap", "call stack exhausted")


def endless_sleep_ends_by_its_deadline():
    return _beside("/sleep", 504, "deadline exceeded", at_once=8, deadline="1s")

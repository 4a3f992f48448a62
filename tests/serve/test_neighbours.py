"""Guests that misbehave beside 64 well-behaved clients on the same shard: the others' p99 rises by less than 10 ms, and the receipt says why."""
import struct, tempfile, threading
from pathlib import Path

import assemble, component
from front import preload_library
from harness import MISBEHAVE, Many, Server, Skip, Wrk, check, config, cores, first_in_line, rises_little
from writing import until

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


def _writes(pages):
    """A guest that grows by so many pages of 64 KiB, and writes to each of the system's in them; it traps where one is not zero before."""
    end = component.s(pages * 65536)
    grow = b"\x41" + component.s(pages) + b"\x40\x00" + b"\x41\x7f\x46\x04\x40\x00\x0b"
    each = b"\x20\x02\x41" + component.s(4096) + b"\x6b\x22\x02" + b"\x28\x02\x00\x04\x40\x00\x0b" + b"\x20\x02\x41\x01\x36\x02\x00"
    return component.handler(handle=grow + b"\x41" + end + b"\x21\x02\x03\x40" + each + b"\x20\x02\x0d\x00\x0b")


def what_writes_to_much_is_reset_in_pieces_and_no_slots_are_heaped_up():
    mib, at_once, most = 100, 3, 0
    with tempfile.TemporaryDirectory() as d:
        at = Path(d) / "guest.wasm"
        at.write_bytes(_writes(mib * 16))
        with Server(at, "--deadline", "none") as s:
            def ask():
                nonlocal most
                for _ in range(8):
                    a = s.get("/", timeout=120)
                    most = max(most, s.private_kib() >> 10)
                    check(a.status == 500, f"{a.status}")
            for r in Many([ask] * at_once).join(300):
                if r:
                    raise r
            found = [s.receipt("/", n + 1)["outcome"] for n in range(8 * at_once)]
            check(set(found) == {"no response"}, f"{set(found)}")
            # Those at work, four that are being emptied, and one that was since.
            check(most < (at_once + 5) * mib + 50, f"{most} MiB")
            return f"at most {most} MiB"


def what_was_reset_in_pieces_goes_when_nobody_calls_it():
    mib, at_once = 64, 4
    with tempfile.TemporaryDirectory() as d:
        at = Path(d) / "guest.wasm"
        at.write_bytes(_writes(mib * 16))
        # All are at work or being emptied when the first has been idle for so long, most often.
        with Server(at, "--deadline", "none", "--idle", "20ms", shards=1) as s:
            start = threading.Barrier(at_once)

            def ask():
                start.wait(60)
                check(s.get("/", timeout=120).status == 500, "it answers nothing")
            for r in Many([ask] * at_once).join(300):
                if r:
                    raise r
            check(until(lambda: s.private_kib() >> 10 < 2 * mib, 60), f"{s.private_kib() >> 10} MiB are left of {at_once} instances")


def what_holds_much_and_is_idle_is_given_back_in_pieces():
    mib = 100
    with tempfile.TemporaryDirectory() as d:
        at = Path(d) / "guest.wasm"
        at.write_bytes(_writes(mib * 16))
        with Server(at, "--deadline", "none", "--policy", "reuse", "--idle", "1s") as s:
            for _ in range(3):
                check(s.get("/", timeout=120).status == 500, "it answers")
                held = s.private_kib() >> 10
                check(held >= mib, f"{held} MiB: it holds nothing")
                check(until(lambda: s.private_kib() >> 10 <= held - mib + 20, 60), f"{s.private_kib() >> 10} MiB are left of {held}")


# ---- things by the 100,000: what a turn of the loop takes, in CPU time ------------------------------------------------------------------------

THINGS, LONGEST_MS = 400_000, 50  # in one piece 100 to 200 ms; the guest's own turns are of 4
MAKES = {"stream.new": b"\x0e", "future.new": b"\x15"}


def _makes(what, end, n=THINGS):
    c = assemble.Component()
    types = c.interface("wasi:http/types@0.2.0")
    types.resource("incoming-request")
    types.resource("response-outparam")
    c._flush(types)
    of = {"stream.new": b"\x66\x01", "future.new": b"\x65\x01"}[what]
    c.builtin(what, ([], [assemble.I64]), MAKES[what] + assemble.u(c.define(of + assemble.U8)))
    body = assemble.times(2, n, c.call(what) + assemble.DROP) + end
    c.code("handle", ([assemble.I32] * 2, []), [assemble.I32], body, assemble.handler(c, types), "wasi:http/incoming-handler@0.2.0")
    return c.assemble()


def what_a_guest_left_of_async_is_let_go_in_pieces():
    if not config.release:
        raise Skip("only the release build is measured")
    said = []
    with tempfile.TemporaryDirectory() as d:
        at, turns = Path(d) / "guest.wasm", Path(d) / "turns"
        turns.write_bytes(bytes(8))
        env = ("env", f"LD_PRELOAD={preload_library(d, 'turns')}", f"TURNS_FILE={turns}")
        for what, end in (("stream.new", b""), ("future.new", assemble.UNREACHABLE)):
            at.write_bytes(_makes(what, end))
            longest = []
            for _ in range(3):  # the processor may be another's just then
                with Server(at, "--deadline", "none", "--cpu", "none", "--memory", "1GiB", "--handles", "none", wrap=env) as s:
                    s.settle()
                    before = s.private_kib()
                    for _ in range(2):
                        with open(turns, "r+b") as f:  # as long as it is: the server has it mapped
                            f.write(bytes(8))
                        check(s.get("/", timeout=120).status == 500, "it answers")
                        check(until(lambda: s.private_kib() < before + 40_000, 60), f"{s.private_kib()} KiB of {before} are left")
                        longest.append(struct.unpack("<Q", turns.read_bytes())[0] / 1e6)
                if max(longest[-2:]) < LONGEST_MS:
                    break
            check(0 < max(longest[-2:]) < LONGEST_MS, f"{what}, {'trap' if end else 'return'}: turns of {longest} ms")
            said.append(f"{max(longest[-2:]):.1f}")
    return "longest turns of " + ", ".join(said) + " ms"


def what_was_emptied_begins_anew():
    """An instance that is reset after every second request is reset after every second one, whatever the first two left."""
    counts = assemble.store(16, assemble.load(16) + assemble.const(1) + assemble.ADD)
    grows = assemble.load(16) + assemble.const(2) + b"\x46\x04\x40" + assemble.const(200) + b"\x40\0" + assemble.DROP + b"\x0b"
    with tempfile.TemporaryDirectory() as d:
        at = Path(d) / "guest.wasm"
        at.write_bytes(_makes("stream.new", counts + grows, 2000))
        with Server(at, "--policy", "reuse", "--requests-per-instance", "2", "--handles", "none") as s:
            grown = []
            for n in range(8):
                check(s.get("/").status == 500, "it answers")
                grown.append(s.receipt("/", n + 1)["peak_memory"] > 200 << 16)
            check(grown == [False, True] * 4, f"{grown}")

#!/usr/bin/env python3
"""./dev spent [TABLE]…: what happens when something runs out, and what a guest can make of the host, as tables. TABLE: resources, memory, work, connections; all, if none is named.
The last line is the total; exit 0 only if nothing failed."""
import sys, time

import constructors, crowd, harness, spent, test_host_memory, work, work3


class Total:
    passed = failed = skipped = 0


def cell(fn):
    """What is printed of a cell: what was seen, or why not."""
    try:
        seen = fn()
    except harness.Skip as e:
        Total.skipped += 1
        return f"skipped: {e}"
    except Exception as e:
        Total.failed += 1
        return f"FAILED: {'' if isinstance(e, AssertionError) else type(e).__name__ + ': '}{e}"
    Total.passed += 1
    return seen


def resources():
    """Rows: what runs out; columns: when."""
    for row, phases in spent.TABLE.items():
        print(row)
        for phase in spent.PHASES:
            print(f"  {phase:8} {cell(phases[phase])}", flush=True)


def connections():
    """10,000 at once, to guests that make as much as they may."""
    for kind in crowd.GUESTS:
        print(f"  {cell(lambda: crowd.crowd(kind, 10000, 512))}", flush=True)


def memory():
    """MiB that the process grew by for a guest that makes one kind of object until --memory 16MiB stops it."""
    for kind, grown in test_host_memory.GROWN.items():
        print(f"  {kind:24} {cell(lambda: f'{grown():.1f}')}", flush=True)


def host_work():
    """CPU time of a guest that has 100 ms and lets the host work, beside 64 others on its shard: with each function that is served, each constructor of types."""
    for what, guest in {**work.guests(), **constructors.constructors()}.items():
        print(f"  {what:76} {'no ' + guest if isinstance(guest, str) else cell(lambda: work.measure(guest, 100, 20, 64))}", flush=True)
    print("of WASI 0.3, by tenon run and alone")
    for what, guest in work3.guests().items():
        print(f"  {what:76} {'no ' + guest if isinstance(guest, str) else cell(lambda: work3.measure(guest, 100, 20))}", flush=True)


TABLES = {"resources": resources, "memory": memory, "work": host_work, "connections": connections}


def main():
    for name in sys.argv[1:] or TABLES:
        if name not in TABLES:
            sys.exit(f"error: no such table: {name}\n  hint: one of {' '.join(TABLES)}")
        began = time.monotonic()
        print(f"==== {name}", flush=True)
        TABLES[name]()
        print(f"{time.monotonic() - began:.0f} s")
    print(f"{Total.passed} passed, {Total.failed} failed, {Total.skipped} skipped")
    return 1 if Total.failed else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Reads src/rooms.def for the build and for ./dev check: rooms, their sources and tests, and the programs beside src/.

A program in tests/, fuzz/ or bench/ says what it is made of in a comment near its top:
    // PROGRAM(name, "rooms and libraries that it links", "further files of its folder")
"""
import re, sys
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
ROOM = re.compile(r'^ROOM\((\w+), (\w+), "([^"]*)", "([^"]*)"\)$')
PROGRAM = re.compile(r'^// PROGRAM\(([\w-]+), "([^"]*)", "([^"]*)"\)$', re.M)


def rooms():
    """(wing, room, rooms it stands on, libraries) in the order of the file."""
    for line in (TOP / "src/rooms.def").read_text().splitlines():
        if m := ROOM.match(line):
            yield m.group(1), m.group(2), m.group(3).split(), m.group(4).split()


def folder(wing, room):
    return TOP / "src" / wing / room if wing != room else TOP / "src" / wing


def sources(wing, room):
    return sorted(folder(wing, room).glob("*.[cS]"))


def tests(wing, room):
    return sorted(folder(wing, room).glob("test/test_*.c"))


def programs():
    """(kind, name, links, files): kind is test, fuzz or tool."""
    for f in sorted(f for d in ("tests", "fuzz", "bench") for f in (TOP / d).rglob("*.c")):
        if m := PROGRAM.search(f.read_text(errors="replace")[:4000]):
            kind = "test" if f.name.startswith("test_") else "fuzz" if f.parent.name == "fuzz" else "tool"
            yield kind, m.group(1), m.group(2).split(), [f] + [f.parent / also for also in m.group(3).split()]


def lines(what, *arg):
    if what == "list":
        return ["|".join([wing, room, " ".join(deps), " ".join(libs)]) for wing, room, deps, libs in rooms()]
    if what == "sources":
        return [str(f.relative_to(TOP)) for f in sources(*arg)]
    if what == "tests":
        return [str(f.relative_to(TOP)) for f in tests(*arg)]
    if what == "programs":
        return ["|".join([kind, name, " ".join(links), " ".join(str(f.relative_to(TOP)) for f in files)]) for kind, name, links, files in programs()]
    if what == "all":  # changes when the build must be configured anew
        found = lines("list") + lines("programs") + [str(f.relative_to(TOP)) for f in sorted((TOP / "wit").rglob("*.wit"))]
        for wing, room, _, _ in rooms():
            found += lines("sources", wing, room) + lines("tests", wing, room)
        return found
    sys.exit(f"rooms.py: no such question: {what}")


if __name__ == "__main__":
    print("\n".join(lines(*sys.argv[1:])))

#!/usr/bin/env python3
"""Reads src/rooms.def for the build: one line a room, or the sources of one room."""
import re, sys
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
ROOM = re.compile(r'^ROOM\((\w+), (\w+), "([^"]*)", "([^"]*)"\)$')


def rooms():
    for line in (TOP / "src/rooms.def").read_text().splitlines():
        if m := ROOM.match(line):
            yield m.group(1), m.group(2), m.group(3).split(), m.group(4).split()


def folder(wing, room):
    return TOP / "src" / wing / room if wing != room else TOP / "src" / wing


def main():
    what = sys.argv[1]
    if what == "list":
        for wing, room, deps, libs in rooms():
            print("|".join([wing, room, " ".join(deps), " ".join(libs)]))
    elif what in ("sources", "tests"):
        wing, room = sys.argv[2:4]
        place = folder(wing, room)
        found = place.glob("*.[cS]") if what == "sources" else place.glob("test/test_*.c")
        for f in sorted(found):
            print(f.relative_to(TOP))


if __name__ == "__main__":
    main()

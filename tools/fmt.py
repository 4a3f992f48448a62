#!/usr/bin/env python3
"""Formats the C sources in place, or says which are not formatted (--check). The style is .clang-format."""
import re, subprocess, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
FOLDERS = ("src", "tests", "tools", "fuzz", "bench", "include")
# clang-format breaks an enum on one line after each member when it has no column limit: joined again.
ENUM = re.compile(r"enum (?:\w+ )?\{ [^{}/]*\}")
# It also fills the space before a trailing comment now with tabs, now with spaces: with spaces.
COMMENT = re.compile(r"(?<=\S)[ ]*\t[ \t]*(?=//)")


def sources():
    return sorted(f for d in FOLDERS for f in (TOP / d).rglob("*.[ch]"))


def formatted(path):
    r = subprocess.run(["clang-format-19", "--style=file", path], capture_output=True, text=True, check=True, cwd=TOP)
    text = ENUM.sub(lambda m: re.sub(r"\s*\n\s*", " ", m.group()), r.stdout)
    return "\n".join(spaced(line) if "\t" in line.lstrip("\t") else line for line in text.split("\n"))


def spaced(line):
    m = COMMENT.search(line)
    if not m:
        return line
    code, comment = line[:m.start()], line[m.end():]
    return code + " " * (len(line[:m.end()].expandtabs(4)) - len(code.expandtabs(4))) + comment


def unformatted(paths):
    """(path, text as it should be) of each file that differs."""
    with ThreadPoolExecutor(4) as pool:
        return [(p, new) for p, new in zip(paths, pool.map(formatted, paths)) if new != p.read_text()]


def main():
    check = "--check" in sys.argv[1:]
    named = [Path(a).resolve() for a in sys.argv[1:] if not a.startswith("-")]
    wrong = unformatted(named or sources())
    for path, new in wrong:
        print(("not formatted: " if check else "formatted ") + str(path.relative_to(TOP)))
        if not check:
            path.write_text(new)
    return 1 if check and wrong else 0


if __name__ == "__main__":
    sys.exit(main())

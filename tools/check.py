#!/usr/bin/env python3
"""./dev check: the walls of the house, kept by machine. Each wall is one function below that yields what breaks it.

The last line is the total: one check each; clang-tidy's is left out where build/release is not configured. A name runs just that check.
"""
import json, os, re, subprocess, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import fmt, rooms

TOP = rooms.TOP
SRC = TOP / "src"
LINE_COLUMNS = 170
STRING = re.compile(r'"(?:[^"\\]|\\.)*"')  # may be as long as it is
DATA_LINE = re.compile(r'^\s*(#define \w+ +"|"|0x|\{"|[A-Z_]+(\(| "| [A-Z_]+ "))')  # tables and bytes may be wider
FUNCTION_LINES = 200
FILE_LINES = 1600
EXCEPTIONS = TOP / "tools/size_exceptions.txt"
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.M)
WORDS = re.compile(r"[A-Za-z_]\w*")


def rel(path):
    return str(Path(path).relative_to(TOP))


def room_of(path):
    """(wing, room) of a file in src/, or None."""
    parts = path.relative_to(SRC).parts
    if len(parts) == 1:
        return None
    for wing, room, _, _ in rooms.rooms():
        if parts[0] == wing and (wing == room or parts[1] == room):
            return wing, room
    return None


def c_files(*folders):
    return sorted(f for d in folders for f in (TOP / d).rglob("*") if f.suffix in (".c", ".h", ".def", ".S"))


# ---- walls ------------------------------------------------------------------------------------------------------------------------------

def check_rooms():
    """rooms.def has no cycles: every room stands on rooms above it in the file; every folder of src/ is a room."""
    seen = set()
    for wing, room, deps, _ in rooms.rooms():
        for d in deps:
            if d not in seen:
                yield f"src/rooms.def: {room} stands on {d}, which does not come before it"
        seen.add(room)
        if not rooms.sources(wing, room):
            yield f"src/rooms.def: the room {room} has no source"
    for f in c_files("src"):
        if f.parent != SRC and not room_of(f):
            yield f"{rel(f)}: in no room of src/rooms.def"


def check_includes():
    """An include that leaves a room is other/other.h of a room that it stands on. `base` is a family: base/base.h from outside."""
    deps = {room: set(d) for _, room, d, _ in rooms.rooms()}
    closed = {}
    for _, room, d, _ in rooms.rooms():
        closed[room] = set(d).union(*(closed.get(x, set()) for x in d))
    for f in c_files("src"):
        me = room_of(f)
        if not me:
            continue
        room = me[1]
        for inc in INCLUDE.findall(f.read_text()):
            if "/" not in inc:
                generated = inc == f"{room}_host.h"  # by tools/witgen, in the build tree
                if not generated and not (f.parent / inc).exists() and not (rooms.folder(*me) / inc).exists():
                    yield f"{rel(f)}: includes {inc}, which is not in its room"
                continue
            other = inc.split("/")[0]
            if other == room or inc == "banned.h":
                continue
            if inc.startswith("../"):
                if not str((f.parent / inc).resolve()).startswith(str(rooms.folder(*me))):
                    yield f"{rel(f)}: includes {inc}, which leaves its room"
                continue
            if other not in deps:
                if not (TOP / "build").exists() or not inc.startswith("wit"):
                    yield f"{rel(f)}: includes {inc}: no such room"
            elif inc not in (f"{other}/{other}.h",) and not (inc.endswith(".def") and inc.split("/")[0] in deps[room]):
                yield f"{rel(f)}: includes {inc}; only {other}/{other}.h may be included from outside"
            elif other not in deps[room]:
                if "test" in f.relative_to(SRC).parts and other in closed[room]:
                    continue
                yield f"{rel(f)}: includes {inc}, but {room} does not stand on {other} (src/rooms.def)"


def functions(text):
    """(name, first line, number of lines) of each function body, found by the braces in column 0 of this house's format."""
    lines = text.split("\n")
    for n, line in enumerate(lines):
        if line == "{" and n:
            end = next((m for m in range(n, len(lines)) if lines[m] == "}"), len(lines) - 1)
            start = n - 1
            while start > 0 and lines[start - 1] and not lines[start - 1].startswith(("//", "#", "}", "\t}")) and lines[start][:1] in (" ", "\t"):
                start -= 1
            m = re.search(r"(\w+)\(", lines[start])
            yield (m.group(1) if m else "?"), start + 1, end - start + 1


def read_exceptions():
    found = {}
    for line in EXCEPTIONS.read_text().splitlines() if EXCEPTIONS.exists() else []:
        if line.strip() and not line.startswith("#"):
            what, size = line.rsplit(None, 1)
            found[what] = int(size)
    return found


def check_sizes():
    """Functions up to 200 lines, files up to 1,600, lines up to 170 columns; exceptions are listed with their size and only shrink."""
    allowed, used = read_exceptions(), set()

    def over(what, size, limit):
        if size <= limit:
            return None
        used.add(what)
        if size <= allowed.get(what, 0):
            return None
        return f"{what}: {size} lines, at most {allowed.get(what, limit)}"

    for f in c_files("src", "tests", "tools", "fuzz", "bench"):
        text = f.read_text()
        lines = text.split("\n")
        problems = [over(rel(f), len(lines), FILE_LINES)]
        if f.suffix in (".c", ".h"):
            problems += [over(f"{rel(f)}:{name}", size, FUNCTION_LINES) for name, _, size in functions(text)]
        yield from (p for p in problems if p)
        for n, line in enumerate(STRING.sub('""', line).rstrip("\\ ") for line in lines):
            if f.suffix != ".def" and len(line.expandtabs(4)) > LINE_COLUMNS and not DATA_LINE.match(line):
                yield f"{rel(f)}:{n + 1}: {len(line.expandtabs(4))} columns, at most {LINE_COLUMNS}"
    for what in sorted(set(allowed) - used):
        yield f"{rel(EXCEPTIONS)}: {what} needs no exception any more"


DECLARED = re.compile(r"\b(\w+)\s*\((?=[^;{}]*\)[^;{}()]*;)")


def declared(header):
    """Names of the functions that a header declares (not those it defines in line)."""
    text = re.sub(r"//[^\n]*|/\*.*?\*/", "", header.read_text(), flags=re.S)
    text = re.sub(r"^\s*#(?:[^\n]*\\\n)*[^\n]*", "", text, flags=re.M)
    while True:
        flat = re.sub(r"\{[^{}]*\}", "{;", text)
        if flat == text:
            break
        text = flat
    for piece in text.split(";"):
        piece = re.sub(r"\b(?:NODISCARD|PRINTF_LIKE\s*\([^)]*\)|__attribute__\s*\(\([^)]*\)\))", " ", piece).strip()
        if not piece or "{" in piece or piece.startswith(("struct", "enum", "union")) and "(" not in piece or piece.startswith("typedef"):
            continue
        m = re.match(r"(?:[\w\s\*]*?[\s\*])(\w+)\s*\(", piece)
        if m and not piece.startswith("static"):
            yield m.group(1)


def check_callers():
    """What a room's header declares is used by another room, a test or a program beside src/."""
    users = {f: set(WORDS.findall(f.read_text())) for f in c_files("src", "tests", "tools", "fuzz", "bench", "build/release/wit") if f.exists()}
    for wing, room, _, _ in rooms.rooms():
        if wing == "cli":
            continue
        folder = rooms.folder(wing, room)
        headers = sorted(folder.glob("*.h")) if room == "base" else [folder / f"{room}.h"]
        inside = {f for f in users if folder in f.parents and "test" not in f.relative_to(folder).parts}
        outside = [words for f, words in users.items() if f not in inside]
        macros = set().union(*(users[h] for h in headers if h.exists())) if room == "base" else set()
        for h in headers:
            if not h.exists():
                yield f"{rel(folder)}: has no header {room}.h"
                continue
            for name in declared(h):
                if any(name in words for words in outside):
                    continue
                if room == "base" and h.read_text().count(name) > 1:
                    continue
                yield f"{rel(h)}: {name} has no caller in another room, a test or a tool"


def check_words():
    """No notes to self; spelling (codespell)."""
    note = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
    for f in tracked():
        if f.suffix in (".c", ".h", ".py", ".def", ".build", ".wit", ".md", ".sh") and f.name != "check.py" and f.exists():
            for n, line in enumerate(f.read_text(errors="replace").split("\n")):
                if note.search(line):
                    yield f"{rel(f)}:{n + 1}: {line.strip()[:100]}"
    files = [str(f) for f in tracked() if f.exists() and f.suffix in (".c", ".h", ".py", ".def", ".wit", ".md", "") and f.name != "LICENSE"
        and f.stat().st_size < 400000 and "seeds" not in f.parts and "corpus" not in f.parts]
    r = subprocess.run(["codespell", "-I", str(TOP / "tools/spelling_ignore.txt"), *files], capture_output=True, text=True)
    yield from (line.replace(str(TOP) + "/", "") for line in r.stdout.splitlines())


def tracked():
    r = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=TOP, capture_output=True, text=True)
    return [TOP / line for line in r.stdout.splitlines()]


def check_format():
    """clang-format agrees (./dev fmt does it)."""
    for path, _ in fmt.unformatted(fmt.sources()):
        yield f"{rel(path)}: not formatted (./dev fmt)"


def check_banned():
    """No #if inside a function: a choice is a file or a row of a table. Every source is compiled with banned.h."""
    for f in c_files("src"):
        if f.suffix != ".c" or "test" in f.relative_to(SRC).parts:
            continue
        lines = f.read_text().split("\n")
        for _, start, size in functions("\n".join(lines)):
            for n in range(start, start + size - 1):
                if re.match(r"\s*#\s*(if|ifdef|ifndef)\b", lines[n]) and "sanitizer" not in lines[n].lower() and "TENON_CHECK" not in lines[n]:
                    yield f"{rel(f)}:{n + 1}: {lines[n].strip()} inside a function"


def check_tidy():
    """clang-tidy's bugprone and cert checks (.clang-tidy)."""
    build = TOP / "build/release"
    database = json.loads((build / "compile_commands.json").read_text())
    files = sorted({str((build / c["file"]).resolve()) for c in database})
    files = [f for f in files if f.startswith(str(SRC)) and "/test/" not in f]

    def tidy(f):
        r = subprocess.run(["clang-tidy-19", "-p", str(build), "--quiet", f], capture_output=True, text=True)
        return [line for line in r.stdout.splitlines() if re.search(r": (warning|error): ", line)]

    with ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        for found in pool.map(tidy, files):
            yield from (line.replace(str(TOP) + "/", "").removeprefix("../../") for line in found)


CHECKS = {"rooms": check_rooms, "includes": check_includes, "sizes": check_sizes, "callers": check_callers, "words": check_words,
    "format": check_format, "banned": check_banned, "tidy": check_tidy}


def main():
    args = sys.argv[1:]
    configured = (TOP / "build/release/compile_commands.json").exists()
    named = [a for a in args if a in CHECKS] or [c for c in CHECKS if c != "tidy" or configured]
    failed = 0
    for name in named:
        problems = sorted(set(CHECKS[name]()))
        for p in problems:
            print(p)
        print(f"{'FAILED' if problems else 'ok':7} check {name}: {CHECKS[name].__doc__.split('.')[0]}" + (f" ({len(problems)})" if problems else ""))
        failed += bool(problems)
    print(f"{len(named) - failed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

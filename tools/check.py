#!/usr/bin/env python3
"""./dev check: the walls of the house, kept by machine. Each wall is one function below that yields what breaks it.

The last line is the total: one check each; clang-tidy's is left out where build/release is not configured. A name runs just that check.
What stood before its wall did is in tools/exceptions.txt, which only shrinks: `check.py --shrink` takes out what is not needed any more.
"""
import ast, json, os, re, subprocess, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import fmt, rooms, sources

TOP = rooms.TOP
SRC = TOP / "src"
LINE_COLUMNS = 170
STRING = re.compile(r'"(?:[^"\\]|\\.)*"')  # may be as long as it is
DATA_LINE = re.compile(r'^\s*(#define \w+ +"|"|0x|\{"|[A-Z_]+(\(| "| [A-Z_]+ "))')  # tables and bytes may be wider
FUNCTION_LINES = 100
FILE_LINES = 900
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.M)
SYSTEM_INCLUDE = re.compile(r"^\s*#\s*include\s+<([^>]+)>", re.M)


class Exceptions:
    """tools/exceptions.txt: a line is `WALL: WHAT  # REASON`, or `WALL: WHAT SIZE  # REASON` where the wall counts something."""

    def __init__(self, path):
        self.path, self.rows, self.used, self.without_reason = path, {}, {}, []
        for line in path.read_text().splitlines() if path.exists() else []:
            if line.strip() and not line.startswith("#"):
                wall, what, size, reason = self.parts(line)
                self.rows[wall, what] = size
                if not reason:
                    self.without_reason.append((wall, what))

    @staticmethod
    def parts(line):
        row, _, reason = line.partition("  # ")
        wall, what = row.strip().split(": ", 1)
        m = re.match(r"(.*\S) (\d+)$", what)
        return wall, m.group(1) if m else what, int(m.group(2)) if m else None, reason.strip()

    def excuses(self, wall, what, size=None):
        """Whether this may stand, and notes that the line is needed (for that size)."""
        if (wall, what) not in self.rows:
            return False
        self.used[wall, what] = size
        return size is None or size <= self.rows[wall, what]

    def not_needed(self, wall):
        for (w, what), size in self.rows.items():
            if w == wall and (w, what) not in self.used:
                yield f"{rel(self.path)}: {wall}: {what} needs no exception any more"
            elif w == wall and size is not None and self.used[w, what] < size:
                yield f"{rel(self.path)}: {wall}: {what} needs {self.used[w, what]} only, not {size}"
        for w, what in self.without_reason:
            if w == wall:
                yield f"{rel(self.path)}: {wall}: {what} has no reason"

    def shrink(self, walls):
        lines = []
        for line in self.path.read_text().splitlines():
            if line.startswith("#") or not line.strip() or line.split(":")[0] not in walls:
                lines.append(line)
                continue
            wall, what, size, reason = self.parts(line)
            if (wall, what) in self.used:
                lines.append(f"{wall}: {what} {min(self.used[wall, what], size)}  # {reason}" if size is not None else line)
        self.path.write_text("\n".join(lines) + "\n")


exceptions = Exceptions(TOP / "tools/exceptions.txt")


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
    """An include that leaves a room is other/other.h of a room that it stands on. `base` is a family: base/base.h from outside, and base/json.h for
    who reads JSON (its names are also those of jansson, which tests use)."""
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
                generated = inc in (f"{room}_host.h", f"{room}_provider.h", f"{room}_faces.h")  # by tools/witgen, in the build tree
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
            elif inc not in (f"{other}/{other}.h", "base/json.h") and not (inc.endswith(".def") and inc.split("/")[0] in deps[room]):
                yield f"{rel(f)}: includes {inc}; only {other}/{other}.h may be included from outside"
            elif other not in deps[room]:
                if "test" in f.relative_to(SRC).parts and other in closed[room]:
                    continue
                yield f"{rel(f)}: includes {inc}, but {room} does not stand on {other} (src/rooms.def)"


def check_sizes():
    """Functions up to 100 lines, files up to 900, lines up to 170 columns."""

    def over(what, size, limit):
        if size > limit and not exceptions.excuses("sizes", what, size):
            return f"{what}: {size} lines, at most {exceptions.rows.get(('sizes', what), limit)}"

    for f in c_files("src", "tests", "tools", "fuzz", "bench"):
        text = f.read_text()
        lines = text.split("\n")
        problems = [over(rel(f), text.count("\n"), FILE_LINES)]
        if f.suffix in (".c", ".h"):
            problems += [over(f"{rel(f)}:{name}", size, FUNCTION_LINES) for name, _, size, _ in sources.functions(text)]
        yield from (p for p in problems if p)
        for n, line in enumerate(STRING.sub('""', line).rstrip("\\ ") for line in lines):
            if f.suffix != ".def" and len(line.expandtabs(4)) > LINE_COLUMNS and not DATA_LINE.match(line):
                yield f"{rel(f)}:{n + 1}: {len(line.expandtabs(4))} columns, at most {LINE_COLUMNS}"


def check_callers():
    """What a room's header declares has a caller in another room or a tool, or is marked `// for tests` and has none."""
    tools = {f for kind, _, _, files in rooms.programs() if kind == "tool" for f in files}
    users = {f: sources.words(f.read_text()) for f in c_files("src", "tools", "build/release/wit") + sorted(tools) if "test" not in f.parts}
    for wing, room, _, _ in rooms.rooms():
        if wing == "cli":
            continue
        folder = rooms.folder(wing, room)
        headers = sorted(set(folder.glob("*.h")) - set(folder.glob("*_int.h"))) if room == "base" else [folder / f"{room}.h"]
        outside = set().union(*(words for f, words in users.items() if folder not in f.parents))
        for h in headers:
            if not h.exists():
                yield f"{rel(folder)}: has no header {room}.h"
                continue
            text = h.read_text()
            all_words = sources.WORDS.findall(sources.code(text))
            for name, is_for_tests in sources.declared(text):
                # Named again in its header: by a macro or a function defined there, which others use.
                has_caller = name in outside or all_words.count(name) > 1 or room == "base" and any(name in users[o] for o in headers if o != h)
                if is_for_tests and has_caller:
                    yield f"{rel(h)}: {name} has a caller: it is not only for tests"
                if not is_for_tests and not has_caller and not exceptions.excuses("callers", f"{rel(h)} {name}"):
                    yield f"{rel(h)}: {name} has no caller in another room or a tool"


# C's own headers, which don't show the system below (errno.h and time.h are C's, too).
STANDARD = set("assert ctype errno fenv float inttypes limits locale math stdarg stdatomic stdbool stddef stdint stdio stdlib string time".split())
# What a processor has, in the files for it.
PROCESSOR_HEADERS = ("cpuid.h", "sys/platform/x86.h", "immintrin.h", "ucontext.h")
# Headers of libraries: a room has them by its row in rooms.def.
LIBRARIES = {"xxhash.h": "libxxhash", "sqlite3.h": "libsqlite3", "openssl": "libcrypto", "jansson.h": "jansson", "nghttp2": "libnghttp2", "hiredis": "libhiredis", "elfutils": "libdw", "dwarf.h": "libdw", "libelf.h": "libelf"}


def check_system():
    """Headers of the system (POSIX, Linux) only in the room sys; headers of a library where rooms.def says so."""
    libraries = {room: libs for _, room, _, libs in rooms.rooms()}
    for f in c_files("src"):
        me = room_of(f)
        if not me or me[1] == "sys" or "test" in f.relative_to(SRC).parts:
            continue
        for inc in SYSTEM_INCLUDE.findall(f.read_text()):
            library = LIBRARIES.get(inc.split("/")[0])
            if inc.removesuffix(".h") in STANDARD or inc.startswith("sanitizer/") or library and library in libraries[me[1]]:
                continue
            if inc in PROCESSOR_HEADERS and f.stem.endswith("_x64"):
                continue
            if not exceptions.excuses("system", f"{rel(f)} <{inc}>"):
                yield f"{rel(f)}: includes <{inc}>; only sys stands on the system"


PROCESSOR = re.compile(r"\b(__asm__|asm|__x86_64__|__SSE\w*|__AVX\w*|[xX]64_\w+|REG_[RE]\w+|gregs|fpregs|_xsave\w*|cpuid|"
    r"R[A-D]X|R[SD]I|R[SB]P|RIP|R(?:8|9|1[0-5])|XMM\d+|[re][a-d]x|[re][sd]i|[re][sb]p|rip|xmm\d+)\b|<immintrin\.h>|<cpuid\.h>|_x64\.h\"")


def check_processor():
    """Code for one processor (its registers, instructions, assembly) only in files called *_x64."""
    for f in c_files("src"):
        if f.suffix not in (".c", ".h") or "test" in f.relative_to(SRC).parts or f.stem.endswith("_x64"):
            continue
        lines = sources.code(f.read_text(), keep_strings=True).split("\n")
        found = [n + 1 for n, line in enumerate(lines) if PROCESSOR.search(re.sub(r'(?<!include )"[^"]*"', '""', line))]
        if found and not exceptions.excuses("processor", rel(f), len(found)):
            yield f"{rel(f)}:{found[0]}: {len(found)} lines for one processor, at most {exceptions.rows.get(('processor', rel(f)), 0)}"


CHARGED = {"wasi": "*.c", "link": "face*.c"}  # stores know no guest: each has bounds of its own
ALLOCATES = re.compile(r"\b(mem_(?:alloc|zalloc|realloc)|malloc|calloc|realloc|strdup|strndup|asprintf|buf_(?:put|reserve|grow)\w*|arena_init|vec_\w*push\w*|"
    r"map_(?:put|set|insert)\w*)\s*\(")


def check_allocation():
    """What a guest makes the host keep is charged to its instance: host/wasi and the faces of links allocate by seam_mem_* only."""
    for wing, room, _, _ in rooms.rooms():
        for f in rooms.sources(wing, room) if room in CHARGED else []:
            for name in sorted(set(ALLOCATES.findall(sources.code(f.read_text()))) if f.match(CHARGED[room]) else []):
                if not exceptions.excuses("allocation", f"{rel(f)} {name}"):
                    yield f"{rel(f)}: {name}: memory that no account knows of (seam_mem_*)"


# Recursion of the grammar: what is read inside what.
GRAMMARS = {"wit": [{"wit_items.c", "wit_resolve.c"}], "comp": [{"extern.c", "types.c"}], "app": [{"toml.c", "toml_value.c"}]}


def check_circles():
    """No circle of files within a room, where one uses what another defines, but those of a grammar."""
    for wing, room, _, _ in rooms.rooms():
        texts = {f.name: f.read_text() for f in rooms.sources(wing, room) if f.suffix == ".c"}
        tables = {f.name: f.read_text() for f in rooms.folder(wing, room).glob("*.def")}
        defines = {name: sources.defined(text) | sources.data_defined(text) for name, text in texts.items()}
        uses = {name: sources.used(text, tables) - defines[name] for name, text in texts.items()}
        edges = {a: {b for b in texts if b != a and defines[b] & uses[a]} for a in texts}
        for circle in sources.circles(edges):
            if any(set(circle) <= g for g in GRAMMARS.get(room, [])):
                continue
            home = rel(rooms.folder(wing, room))
            listed = [what for wall, what in exceptions.rows if wall == "circles" and what.startswith(home + " ") and set(circle) <= set(what.split()[1:])]
            if any(exceptions.excuses("circles", what) for what in listed):
                continue
            ways = "; ".join(f"{a} uses {min(defines[b] & uses[a])} of {b}" for a in circle for b in circle if b in edges[a])
            yield f"{home}: a circle of {', '.join(circle)}: {ways}"


FILE_NAME = re.compile(r"(?<![\w/.*<$}-])((?:[\w-]+/)*[\w-]+\.(?:c|h|S|def|py|wit|md))(?![\w(*]|\.\w)")
# Names of others: the specification's reference, headers of libc in prose.
OTHERS_FILES = {"definitions.py", "CanonicalABI.md", "Explainer.md", "Binary.md", "WIT.md", "Concurrency.md"}


def check_files():
    """Files that comments and pages name are there."""
    have = {}
    for f in tracked():
        if f.exists():
            have.setdefault(f.name, []).append("/" + rel(f))
    for f in have_texts():
        if rel(f).startswith("docs/guests/"):
            continue  # what they name is the reader's
        text = f.read_text(errors="replace")
        if f.suffix == ".md":
            named = enumerate(text.split("\n"), 1)
        else:
            named = sources.python_comments(text) if f.suffix == ".py" else sources.comments(text)
        for n, line in named:
            for name in FILE_NAME.findall(re.sub(r"https?://\S+|\.\./shared/\S*", " ", line)):
                last = name.split("/")[-1]
                is_placeholder = re.search(r"\b[A-Z]{2,}[./]|_NAME\.", name) or re.fullmatch(r"\w+_host\.[ch]", name)  # or made by tools/witgen
                if any(at.endswith("/" + name) for at in have.get(last, [])) or is_placeholder or last in OTHERS_FILES:
                    continue
                if not exceptions.excuses("files", f"{rel(f)} {name}"):
                    yield f"{rel(f)}:{n}: there is no {name}"


def have_texts():
    return [f for f in tracked() if f.exists() and f.suffix in (".c", ".h", ".S", ".def", ".py", ".md") and f.name != "check.py" and "corpus" not in f.parts]


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


# What reads a clock.
CLOCK = re.compile(r"\b(?:sys_now_ns|sys_wall_ns|sys_thread_cpu_ns|sys_cpu_clock_ns|vm_fiber_cpu_ns|clock_gettime|loop_now_ns|loop_now_fresh_ns|time\.monotonic|cpu_seconds|"
                   r"cpu_us|wall_us|p99_ms)\b")
CLOCK_PAGE = "docs/testing.md"


OPTION_ROWS = ((SRC / "cli/options.def", r'^OPTION\("([\w-]+)"'), (SRC / "platform/app/limits.def", r'^SERVE_LIMIT\(\w+, \w+, "([\w-]+)"'))
OPTION_TESTS = re.compile(r"tests/(cli/\w+\.test|\w+/\w+\.py)")
REFUSING = ("usage", "hints", "rejected", "help")


def check_clocks():
    """Tests that read a clock stand in docs/testing.md, each with its reason."""
    page = TOP / CLOCK_PAGE
    text = page.read_text() if page.exists() else ""
    rows = re.findall(r"^\|(.*)\|(.*)\|$", text.partition("## Tests that read a clock")[2].partition("\n## ")[0], re.M)[2:]
    listed = {name for cell, why in rows if why.strip() for name in re.findall(r"`([^`]+)`", cell)}
    reading = {rel(f) for f in tracked() if f.exists() and f.suffix in (".c", ".h", ".py") and ("tests" in f.parts or "test" in f.parts) and CLOCK.search(f.read_text())}
    for f in sorted(reading - listed):
        yield f"{f} reads a clock: {CLOCK_PAGE} doesn't say why"
    for name in sorted(listed - reading):
        yield f"{CLOCK_PAGE}: {name} reads no clock"


LESSONS = "docs/lessons.md"
TEST_FILE = re.compile(r"\b([\w-]+/)?(test_\w+)")
TEST_NAME = re.compile(r"(?<![\w/…-])[A-Za-z0-9]+(?:_[A-Za-z0-9]+)+\b")
ROW_IDS = re.compile(r"\b([A-Z])(\d+)\b")


def check_lessons():
    """The page of lessons has each row once, and tests that a row names are in a file that it names (their rows' numbers may stand behind their names there)."""
    page = TOP / LESSONS
    rows = re.findall(r"^\| ([A-Z]\d[^|]*) \|(.*)\|$", page.read_text(), re.M) if page.exists() else []
    files = [f for d in ("src", "tests") for f in (TOP / d).rglob("test_*") if f.suffix in (".c", ".py")]
    texts = {f"{(f.parents[1] if f.parent.name == 'test' else f.parent).name}/{f.stem}": f.read_text() for f in files}
    numbers = {}
    for ids, cell in rows:
        for letter, number in ROW_IDS.findall(ids):
            numbers.setdefault(letter, []).append(int(number))
        cell, folder, found = re.sub(r"`[^`]*`", "", cell), "", []
        for at, file in TEST_FILE.findall(cell):
            folder = at or folder  # of the one before
            if folder + file not in texts:
                yield f"{LESSONS}: {ids}: there is no {folder}{file}"
            found.append(texts.get(folder + file, ""))
        for name in TEST_NAME.findall(TEST_FILE.sub("", cell)):
            if not any(re.search(rf"\b{name}(_[A-Za-z]\d+)*\b", t) for t in found):
                yield f"{LESSONS}: {ids}: there is no test {name}"
    for letter, of in numbers.items():
        if sorted(of) != list(range(1, len(of) + 1)):
            yield f"{LESSONS}: rows {letter}1 to {letter}{max(of)} are not there once each"


def check_imports():
    """What a Python file imports, it uses. Where another takes it from there, the line says F401."""
    for f in tracked():
        if f.suffix != ".py" or not f.exists():
            continue
        text = f.read_text()
        tree, lines = ast.parse(text), text.splitlines()
        used = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
        for n in ast.walk(tree):
            if isinstance(n, (ast.Import, ast.ImportFrom)) and "F401" not in lines[n.lineno - 1]:
                for name in ((a.asname or a.name).split(".")[0] for a in n.names):
                    if name not in used and name != "*":
                        yield f"{rel(f)}:{n.lineno}: {name} is not used"


def check_options():
    """Each flag, a row of options.def or limits.def, has a test of what it does in tests/: one that is not about what is refused."""
    rows = [(p, re.findall(form, p.read_text(), re.M)) for p, form in OPTION_ROWS if p.exists()]
    texts = [f.read_text() for f in tracked() if f.exists() and OPTION_TESTS.fullmatch(rel(f)) and f.stem not in REFUSING]
    for path, flags in rows:
        for flag in flags:
            if not any(re.search(rf"--{flag}(?![\w-])", t) for t in texts):
                yield f"{rel(path)}: --{flag} has no test in tests/"


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
        for _, start, size, _ in sources.functions("\n".join(lines)):
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


CHECKS = {"rooms": check_rooms, "includes": check_includes, "sizes": check_sizes, "callers": check_callers, "system": check_system,
    "processor": check_processor, "allocation": check_allocation, "circles": check_circles, "files": check_files, "words": check_words,
    "clocks": check_clocks, "lessons": check_lessons, "imports": check_imports, "options": check_options, "format": check_format, "banned": check_banned, "tidy": check_tidy}


def main():
    args = sys.argv[1:]
    configured = (TOP / "build/release/compile_commands.json").exists()
    named = [a for a in args if a in CHECKS] or [c for c in CHECKS if c != "tidy" or configured]
    failed = 0
    for wall in {wall for wall, _ in exceptions.rows} - set(CHECKS):
        sys.exit(f"error: {rel(exceptions.path)} names a wall {wall}, which does not stand")
    for name in named:
        problems = sorted(set(CHECKS[name]()) | set(() if "--shrink" in args else exceptions.not_needed(name)))
        for p in problems:
            print(p)
        print(f"{'FAILED' if problems else 'ok':7} check {name}: {CHECKS[name].__doc__.split('.')[0]}" + (f" ({len(problems)})" if problems else ""))
        failed += bool(problems)
    if "--shrink" in args:
        exceptions.shrink(named)
    print(f"{len(named) - failed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

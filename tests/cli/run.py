#!/usr/bin/env python3
"""Golden tests of the command line. A test is a file tests/cli/NAME.test with input and expectation together:

    # What it is about (comments; lessons it covers)
    $ tenon run @bad/empty.wasm         a command; @PATH is a guest of ../shared/guests (skipped where that is not there), tenon the binary
    < text                              a line of standard input
    > text                              a line of standard output, exactly;  >~ a regular expression that a line matches;  >* any output
    ! text                              a line of standard error, likewise with !~ and !*
    ? 3                                 the exit status (0 unless said)
    = NAME                              a file of this folder's files/ is there as NAME in the working directory (all commands run in an empty one)
    + NAME 00 61 'run' [ 01 02 ]        a file of these bytes: hex, 'names' with their length before them, [ … ] with its size before it; lines of one
                                        NAME join

Several commands in a file run one after the other in the same directory. Without any `>` (or `!`) line nothing may be printed there.
"""
import os, re, shlex, shutil, subprocess, sys, tempfile
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[1] / "manifest")]
import manifests, pages

TOP = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
SHARED = Path(os.environ.get("TENON_SHARED", TOP.parent / "shared"))


def parse(path):
    commands, files, made, now = [], [], {}, None
    for n, line in enumerate(path.read_text().split("\n"), 1):
        mark, text = line[:2].strip(), line[2:].lstrip(" ") if line[:2] in (">~", ">*", "!~", "!*") else line[2:]
        if mark == "$":
            now = {"line": n, "argv": shlex.split(text), "stdin": [], ">": None, "!": None, "status": 0}
            commands.append(now)
        elif mark == "=":
            files.append(text)
        elif mark == "+":
            name, _, words = text.partition(" ")
            made[name] = made.get(name, "") + " " + words
        elif mark == "<":
            now["stdin"].append(text)
        elif mark == "?":
            now["status"] = int(text)
        elif mark and mark[0] in ">!":
            now[mark[0]] = (now[mark[0]] or []) + [(mark[1:], text)]
        elif line and mark != "#":
            raise ValueError(f"{path.name}:{n}: what is this line?")
    return commands, files, made


def assemble(text):
    out = [b""]
    for w in re.findall(r"'[^']*'|\S+", text):
        if w == "[":
            out.append(b"")
        elif w == "]":
            inner = out.pop()
            out[-1] += bytes([(len(inner) >> 7 * i & 0x7F) | (0x80 if i < 4 else 0) for i in range(5)]) + inner
        elif w[0] == "'":
            out[-1] += bytes([len(w) - 2]) + w[1:-1].encode()
        else:
            out[-1] += bytes.fromhex(w)
    assert len(out) == 1, text
    return out[0]


def compare(name, got, wanted):
    """Lines of output against the marked lines; None: they agree."""
    if wanted and any(kind == "*" for kind, _ in wanted):
        return None
    lines = got.split("\n")[:-1] if got.endswith("\n") else got.split("\n") if got else []
    patterns = [p for p in wanted or [] if p[0] == "~"]
    if patterns and len(patterns) == len(wanted):
        for _, p in patterns:
            if not any(re.search(p, line) for line in lines):
                return f"{name}: no line matches {p!r} in\n{got}"
        return None
    for i, line in enumerate(lines):
        if i >= len(wanted or []):
            return f"{name}: line {i + 1} is not expected: {line!r}"
        kind, want = wanted[i]
        if not (re.search(want, line) if kind == "~" else line == want):
            return f"{name}: line {i + 1} is {line!r}, expected {want!r}"
    return f"{name}: ends before {wanted[len(lines)][1]!r}" if wanted and len(lines) < len(wanted) else None


class NotHere(Exception):
    pass


def word(w):
    if w == "tenon":
        return str(TOP / "build/tenon")
    if w.startswith("@"):
        for root in (SHARED / "guests", TOP / "build/guests", TOP / "examples"):
            if (root / w[1:]).exists():
                return str(root / w[1:])
        raise NotHere(w[1:])
    return w


def run(path):
    """Problems of one test."""
    commands, files, made = parse(path)
    with tempfile.TemporaryDirectory(prefix="tenon-cli-") as folder:
        for name in files:
            shutil.copy(HERE / "files" / name, folder)
        for name, text in made.items():
            (Path(folder) / name).write_bytes(assemble(text))
        env = {"PATH": os.environ["PATH"], "HOME": folder, "NO_COLOR": "1", **{k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")}}
        for c in commands:
            argv = [word(w) for w in c["argv"]]
            r = subprocess.run(argv, cwd=folder, env=env, input="".join(t + "\n" for t in c["stdin"]), capture_output=True, text=True, errors="replace",
                timeout=60)
            for problem in (compare("stdout", r.stdout, c[">"]), compare("stderr", r.stderr, c["!"]),
                    None if r.returncode == c["status"] else f"exit status {r.returncode}, expected {c['status']}"):
                if problem:
                    yield f"{path.name}:{c['line']}: {problem}" + (f"\n{r.stderr}" if problem.startswith("exit") else "")


def main():
    tests = [Path(a) for a in sys.argv[1:]] or sorted(HERE.glob("*.test"))
    passed = failed = skipped = 0
    for t in tests:
        try:
            problems = list(run(t))
        except NotHere as e:
            print(f"skipped {t.name}: {e} is not there")
            skipped += 1
            continue
        except Exception as e:
            problems = [f"{t.name}: {type(e).__name__}: {e}"]
        for p in problems:
            print("FAILED  " + p)
        failed += bool(problems)
        passed += not problems
    for name, problems in [] if sys.argv[1:] else [*pages.tests(), *manifests.tests()]:
        for p in problems:
            print("FAILED  " + p)
        failed += bool(problems)
        passed += not problems
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

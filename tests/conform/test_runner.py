#!/usr/bin/env python3
"""The runner of scripts itself: what a script may hold that the conformance data doesn't runs or is counted as skipped with the reason, never a
crash. Makes the scripts, runs tenon-conform on them, compares its counts."""
import json, subprocess, sys, tempfile
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path.append(str(TOP / "tests"))
from common import leb  # noqa: E402

MODULE = b"\0asm\1\0\0\0"
COMPONENT = b"\0asm\x0d\0\1\0"


def section(number, contents):
    return bytes([number]) + leb(len(contents)) + contents


def name(text):
    return leb(len(text)) + text.encode()


FUNC = section(1, b"\1\x60\0\1\x7f")  # (type (func (result i32)))
SEVEN = MODULE + FUNC + section(3, b"\1\0") + section(7, b"\1" + name("f") + b"\0\0") + section(10, b"\1\4\0\x41\7\x0b")
BY_NAME = MODULE + FUNC + section(2, b"\1" + name("seven") + name("f") + b"\0\0") + section(7, b"\1" + name("g") + b"\0\0")
THROWS = MODULE + section(1, b"\1\x60\0\0") + section(3, b"\1\0") + section(13, b"\1\0\0") + section(7, b"\1" + name("f") + b"\0\0") + section(10, b"\1\4\0\x08\0\x0b")
FOUR_GIB = MODULE + FUNC + section(3, b"\1\0") + section(5, b"\1\0" + leb(65536)) + section(7, b"\1" + name("f") + b"\0\0") + section(10, b"\1\4\0\x3f\0\x0b")
IMPORTS = COMPONENT + section(7, b"\1\x40\0\1\0") + section(10, b"\1\0" + name("f") + b"\1\0") + section(11, b"\1\0" + name("g") + b"\1\0\0")


def call(field, **more):
    return {"action": {"type": "invoke", "field": field, "args": [], **more}}


def i32(n):
    return {"expected": [{"type": "i32", "value": str(n)}]}


SCRIPTS = {
    # name: (files, commands, passed, skipped)
    "imports-something": ([IMPORTS], [{"type": "module", "filename": 0, "name": "c"}, {"type": "assert_return", **call("g"), "expected": []},
        {"type": "assert_return", **call("g", module="c"), "expected": []}, {"type": "assert_unlinkable", "filename": 0, "text": "unknown import"},
        {"type": "assert_uninstantiable", "filename": 0, "text": "unreachable"}], 1, 4),
    "imported-by-its-name": ([SEVEN, BY_NAME], [{"type": "module", "filename": 0, "name": "seven"}, {"type": "module", "filename": 1},
        {"type": "assert_return", **call("g"), **i32(7)}], 1, 0),
    "four-gibibytes": ([FOUR_GIB], [{"type": "module", "filename": 0}, {"type": "assert_return", **call("f"), **i32(65536)}], 1, 0),
    "threads": ([SEVEN], [{"type": "module", "filename": 0}, {"type": "thread", "name": "t", "commands": [{"type": "assert_return", **call("f"), **i32(7)}]},
        {"type": "wait", "thread": "t"}, {"type": "assert_return", **call("f"), **i32(7)}], 1, 2),
    "exceptions": ([THROWS], [{"type": "module", "filename": 0}, {"type": "assert_exception", **call("f")}], 1, 0),
}


def main():
    problems = []
    with tempfile.TemporaryDirectory(prefix="tenon-conform-") as folder:
        root = Path(folder)
        (root / "features.json").write_text(json.dumps({"features": {n: ["mvp"] for n in SCRIPTS}}))
        for script, (files, commands, _, _) in SCRIPTS.items():
            (root / script).mkdir()
            for i, data in enumerate(files):
                (root / script / f"{script}.{i}.wasm").write_bytes(data)
            lines = [{**c, "line": i + 1, **({"filename": f"{script}.{c['filename']}.wasm"} if "filename" in c else {})} for i, c in enumerate(commands)]
            (root / script / f"{script}.json").write_text(json.dumps({"commands": lines}))
        for script, (_, _, passed, skipped) in SCRIPTS.items():
            r = subprocess.run([TOP / "build/release/tenon-conform", "-v", "--only", script, root], capture_output=True, text=True, timeout=300)
            want = f"{passed} passed, 0 failed, {skipped} skipped"
            if r.stdout.splitlines()[-1:] != [want]:
                problems.append(f"{script}: expected {want}\n{r.stdout}{r.stderr}")
    for p in problems:
        print("FAILED  " + p)
    print(f"{len(SCRIPTS) - len(problems)} passed, {len(problems)} failed, 0 skipped")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""The walls of tools/check.py fall on what they are for: a small house holds, and with each planted fault just the wall that is meant fails."""
import re, shutil, subprocess, sys, tempfile
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent

HOUSE = {
    "src/rooms.def": 'ROOM(ground, base, "", "libxxhash")\nROOM(ground, sys, "base", "")\nROOM(engine, vm, "base sys", "")\nROOM(host, wasi, "base vm", "")\n',
    "src/ground/base/base.h": '#include "util.h"\n',
    "src/ground/base/util.h": "// Words.\nint base_add(int a, int b);\nvoid base_fail_nth(int n);  // for tests\n",
    "src/ground/base/util.c": '// Adding (util.h).\n#include "base.h"\n\n#include <xxhash.h>\n\nint base_add(int a, int b)\n{\n\treturn a + b;\n}\n'
    "void base_fail_nth(int n)\n{\n}\n",
    "src/ground/sys/sys.h": "int sys_now(void);\n",
    "src/ground/sys/sys.c": '#include "sys.h"\n\n#include <unistd.h>\n\nint sys_now(void)\n{\n\treturn 0;\n}\n',
    "src/engine/vm/vm.h": "int vm_run(void);\n",
    "src/engine/vm/vm_int.h": "int vm__step(void);\nint vm__end(void);\n",
    "src/engine/vm/run.c": '#include "vm.h"\n\n#include "base/base.h"\n#include "sys/sys.h"\n#include "vm_int.h"\n\nint vm_run(void)\n{\n'
    "\treturn vm__step() + base_add(sys_now(), vm__end());\n}\n",
    "src/engine/vm/step.c": '#include "vm_int.h"\n\nint vm__step(void)\n{\n\treturn 0;\n}\n',
    "src/engine/vm/entry_x64.c": '#include "vm_int.h"\n\nint vm__end(void)\n{\n\t__asm__ volatile("nop");\n\treturn 0;\n}\n',
    "src/host/wasi/wasi.h": "int wasi_start(void);\n",
    "src/host/wasi/wasi.c": '#include "wasi.h"\n\n#include "vm/vm.h"\n\nint wasi_start(void)\n{\n\treturn vm_run();\n}\n',
    "src/main.c": '#include "wasi/wasi.h"\n\nint main(void)\n{\n\treturn wasi_start();\n}\n',
    "src/engine/vm/test/test_step.c": "// Steps.\nvoid it_goes_on_L1(void);\n",
    "docs/lessons.md": "| row | test |\n|---|---|\n| L1, L2 | vm/test_step: it_goes_on; `spec/some_script` |\n",
    "docs/vm.md": "The room `vm` begins in `run.c`, which is src/engine/vm/run.c.\n",
}
WHY = "  # why\n"
NO_CALLER = "int vm_stop(void);\n"
LONG = "\nint vm__long(void)\n{\n" + "\tvm__step();\n" * 99 + "}\n"

# wall, what it is told, {file: text} (text that begins with + is added at its end), what the wall says
FAULTS = [
    ("rooms", "rooms on what comes later", {"src/rooms.def": 'ROOM(host, wasi, "base vm", "")\nROOM(ground, base, "", "")\n'}, "wasi stands on base, which does not come before"),
    ("rooms", "a folder that is no room", {"src/host/stray/stray.c": "int x;\n"}, "src/host/stray/stray.c: in no room"),
    ("includes", "a header inside another room", {"src/host/wasi/wasi.c": '+#include "vm/vm_int.h"\n'}, "only vm/vm.h may be included"),
    ("includes", "a room that is not below", {"src/ground/sys/sys.c": '+#include "vm/vm.h"\n'}, "sys does not stand on vm"),
    ("sizes", "a function of 102 lines", {"src/engine/vm/step.c": "+" + LONG}, "step.c:vm__long: 102 lines, at most 100"),
    ("sizes", "a file of 901 lines", {"src/engine/vm/step.c": "+" + "// more\n" * 895}, "src/engine/vm/step.c: 901 lines, at most 900"),
    ("sizes", "a line of 171 columns", {"src/engine/vm/step.c": "+// " + "x" * 168 + "\n"}, "step.c:7: 171 columns"),
    ("callers", "nobody calls it", {"src/engine/vm/vm.h": "+" + NO_CALLER}, "vm_stop has no caller"),
    ("callers", "only its own room calls it", {"src/engine/vm/vm.h": "+" + NO_CALLER, "src/engine/vm/step.c": "+int x = vm_stop();\n"}, "vm_stop has no caller"),
    ("callers", "only a test calls it", {"src/engine/vm/vm.h": "+" + NO_CALLER, "tests/vm/test_stop.c": '// PROGRAM(test_stop, "vm", "")\nint x = vm_stop();\n'},
        "vm_stop has no caller"),
    ("callers", "only another room's test calls it", {"src/engine/vm/vm.h": "+" + NO_CALLER, "src/host/wasi/test/test_stop.c": "int x = vm_stop();\n"},
        "vm_stop has no caller"),
    ("callers", "only a comment names it", {"src/engine/vm/vm.h": "+" + NO_CALLER, "src/host/wasi/wasi.c": "+// vm_stop\n"}, "vm_stop has no caller"),
    ("callers", "said to be for tests", {"src/engine/vm/vm.h": "+int vm_stop(void);  // for tests\n", "src/host/wasi/wasi.c": "+int x = vm_stop();\n"},
        "vm_stop has a caller: it is not only for tests"),
    ("system", "a header of Linux", {"src/engine/vm/step.c": "+#include <sys/mman.h>\n"}, "src/engine/vm/step.c: includes <sys/mman.h>"),
    ("system", "a library of another room", {"src/engine/vm/step.c": "+#include <xxhash.h>\n"}, "src/engine/vm/step.c: includes <xxhash.h>"),
    ("processor", "assembly", {"src/engine/vm/step.c": '+int vm__y(void)\n{\n\t__asm__("nop");\n}\n'}, "src/engine/vm/step.c:9: 1 lines for one processor"),
    ("processor", "a register", {"src/engine/vm/step.c": "+int vm__y = RAX;\n"}, "src/engine/vm/step.c:7: 1 lines for one processor"),
    ("processor", "registers of a signal", {"src/engine/vm/step.c": "+int vm__y = u->gregs[REG_RIP];\n"}, "src/engine/vm/step.c:7: 1 lines for one processor"),
    ("allocation", "memory for a guest", {"src/host/wasi/wasi.c": "+void *wasi__new = mem_zalloc(8);\n"}, "src/host/wasi/wasi.c: mem_zalloc"),
    ("allocation", "memory of libc", {"src/host/wasi/wasi.c": "+void *wasi__new = malloc(8);\n"}, "src/host/wasi/wasi.c: malloc"),
    ("circles", "two files that use each other", {"src/engine/vm/step.c": "+int x = vm_run();\n"}, "src/engine/vm: a circle of run.c, step.c"),
    ("circles", "a circle of three", {"src/engine/vm/step.c": "+int x = vm__end();\n", "src/engine/vm/entry_x64.c": "+int y = vm_run();\n"},
        "a circle of entry_x64.c, run.c, step.c"),
    ("circles", "through assembly", {"src/engine/vm/entry_x64.c": '+void vm__jump(void)\n{\n\t__asm__ volatile("call vm_run");\n}\n'},
        "a circle of entry_x64.c, run.c"),
    ("circles", "through a variable", {"src/engine/vm/run.c": "+int vm__count = 1;\n", "src/engine/vm/step.c": "+int x(void)\n{\n\treturn vm__count;\n}\n"},
        "a circle of run.c, step.c"),
    ("circles", "through a table", {"src/engine/vm/steps.def": "STEP(run)\n", "src/engine/vm/step.c": '+#define STEP(name) int x_##name = vm_##name();\n#include "steps.def"\n'},
        "a circle of run.c, step.c"),
    ("files", "a comment that names what is gone", {"src/engine/vm/step.c": "+// the rest is in leap.c\n"}, "src/engine/vm/step.c:7: there is no leap.c"),
    ("files", "a page that names what is gone", {"docs/vm.md": "+See docs/leap.md.\n"}, "docs/vm.md:2: there is no docs/leap.md"),
    ("files", "a file in another place", {"docs/vm.md": "+See src/host/vm/run.c.\n"}, "there is no src/host/vm/run.c"),
    ("options", "a flag that nobody tries", {"src/cli/options.def": 'OPTION("some", NULL, RUN, some, "x")\n', "tests/serve/test_x.py": '"--some-more"\n'}, "--some has no test"),
    ("options", "a limit that is refused alone", {"src/platform/app/limits.def": 'SERVE_LIMIT(service, x, "some", NS, RUN, 0, 0, "x")\n', "tests/cli/usage.test": "$ tenon run --some 1s\n"},
        "--some has no test"),
    ("clocks", "a test that bounds a time", {"src/engine/vm/test/test_run.c": "unsigned long sys_now_ns(void);\n"}, "test_run.c reads a clock"),
    ("clocks", "a row that is not needed", {"docs/testing.md": "## Tests that read a clock\n| tests | reason |\n|---|---|\n| `tests/x.c` | why |\n"}, "tests/x.c reads no clock"),
    ("lessons", "a test that is gone", {"docs/lessons.md": "+| L3 | vm/test_step: it_goes_on, it_stops |\n"}, "docs/lessons.md: L3: there is no test it_stops"),
    ("lessons", "a file that is gone", {"docs/lessons.md": "+| L3 | vm/test_run: it_goes_on |\n"}, "docs/lessons.md: L3: there is no vm/test_run"),
    ("lessons", "a test in another file", {"docs/lessons.md": "+| L3 | tests/test_x |\n| L4 | vm/test_x: it_goes_on |\n"}, "docs/lessons.md: L4: there is no test it_goes_on"),
    ("lessons", "a row that is missing", {"docs/lessons.md": "+| L4 | vm/test_step |\n"}, "docs/lessons.md: rows L1 to L4 are not there once each"),
    ("imports", "what a file does not use", {"tools/x.py": "import os, sys\nsys.exit()\n"}, "tools/x.py:1: os is not used"),
    ("words", "a note to self", {"src/engine/vm/step.c": "+// TO" "DO: more\n"}, "src/engine/vm/step.c:7: // TO" "DO: more"),
    ("words", "a word misspelt", {"docs/vm.md": "+It was recei" "ved and recie" "ved.\n"}, "docs/vm.md:2: recie" "ved"),
    ("format", "spaces for a tab", {"src/engine/vm/step.c": "+int vm__y(void)\n{\n    return 0;\n}\n"}, "src/engine/vm/step.c: not formatted"),
    ("banned", "a choice inside a function", {"src/engine/vm/step.c": "+int vm__y(void)\n{\n#if X\n\treturn 1;\n#endif\n\treturn 0;\n}\n"}, "#if X inside a function"),
    ("callers", "an exception that is not needed", {"tools/exceptions.txt": "callers: src/engine/vm/vm.h vm_run" + WHY}, "vm_run needs no exception any more"),
    ("sizes", "an exception that is too large", {"tools/exceptions.txt": "sizes: src/engine/vm/step.c:vm__long 120" + WHY, "src/engine/vm/step.c": "+" + LONG},
        "needs 102 only, not 120"),
    ("sizes", "an exception without a reason", {"tools/exceptions.txt": "sizes: src/engine/vm/step.c:vm__long 102\n", "src/engine/vm/step.c": "+" + LONG},
        "vm__long has no reason"),
    ("system", "a processor's header elsewhere", {"src/engine/vm/step.c": "+#include <cpuid.h>\n"}, "src/engine/vm/step.c: includes <cpuid.h>"),
]


def build(at, changes):
    for name in ("check.py", "sources.py", "rooms.py", "fmt.py", "spelling_ignore.txt"):
        (at / "tools").mkdir(exist_ok=True)
        shutil.copy(TOP / "tools" / name, at / "tools" / name)
    shutil.copy(TOP / ".clang-format", at / ".clang-format")
    files = dict(HOUSE)
    for name, text in changes.items():
        files[name] = files.get(name, "") + text[1:] if text.startswith("+") else text
    for name, text in files.items():
        (at / name).parent.mkdir(parents=True, exist_ok=True)
        (at / name).write_text(text)
    subprocess.run(["git", "init", "-q", str(at)], check=True)


def says(at, *walls):
    r = subprocess.run([sys.executable, "tools/check.py", *walls], cwd=at, capture_output=True, text=True)
    return r.returncode, r.stdout + r.stderr


def main():
    passed, failed = 0, 0

    def result(ok, name, text):
        nonlocal passed, failed
        passed, failed = passed + ok, failed + (not ok)
        if not ok:
            print(f"FAILED {name}:\n{text}")

    with tempfile.TemporaryDirectory(prefix="tenon-walls-") as folder:
        at = Path(folder) / "good"
        at.mkdir()
        build(at, {})
        status, text = says(at)
        result(status == 0, "a house without faults holds", text)
        walls = set(re.findall(r"^ok +check (\w+):", text, re.M))
        result({w for w, *_ in FAULTS} == walls, "each wall has a planted fault", f"{walls} {text}")
        for n, (wall, what, changes, expected) in enumerate(FAULTS):
            at = Path(folder) / str(n)
            at.mkdir()
            build(at, changes)
            status, text = says(at, wall)
            result(status == 1 and expected in text, f"{wall}: {what}: expected “{expected}”", text)
        # What is not needed goes, what is stays, and the comments with it.
        at = Path(folder) / "shrink"
        at.mkdir()
        build(at, {"tools/exceptions.txt": "# Why.\ncallers: src/engine/vm/vm.h vm_run" + WHY + "callers: src/engine/vm/vm.h vm_stop" + WHY + "sizes: src/engine/vm/step.c:vm__long 120" + WHY,
            "src/engine/vm/vm.h": "+" + NO_CALLER, "src/engine/vm/step.c": "+" + LONG})
        says(at, "callers", "sizes", "--shrink")
        left = (at / "tools/exceptions.txt").read_text()
        result(left == "# Why.\ncallers: src/engine/vm/vm.h vm_stop" + WHY + "sizes: src/engine/vm/step.c:vm__long 102" + WHY, "--shrink", left)
    print(f"{passed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

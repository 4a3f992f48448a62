#!/usr/bin/env python3
"""tools/tour.py [-v]: README's tour, typed line by line against the release build, in the checkout, with a state and a control socket of its own. The last line is the total."""
import re, sys, tempfile, time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from guests import Shell, TOP, Wrong, commands


def tour():
    """[(line, command, expected lines)]"""
    lines = (TOP / "README.md").read_text().split("\n")
    first = lines.index("## A tour")
    last = next(n for n in range(first + 1, len(lines)) if lines[n].startswith("## "))
    found, n = [], first
    while n < last:
        if lines[n] == "```console":
            end = lines.index("```", n)
            found += [(line, command, output) for line, _, _, command, output in commands(lines[n + 1:end], n + 2, "")]
            n = end
        n += 1
    return found


class Tourist(Shell):
    """Types in the checkout, as a reader does."""

    def __init__(self, folder, verbose):
        super().__init__(folder, verbose)
        self.cwd, self.at = TOP, folder
        self.env.update(TENON_STATE=str(folder / "state"), TENON_CTL=str(folder / "ctl"))

    def type(self, command, wanted):
        super().type(re.sub(r"^build/tenon up", "tenon up", command).replace("/tmp/numbers.db", str(self.at / "numbers.db")), wanted)


def main():
    with tempfile.TemporaryDirectory(prefix="tenon-tour-") as d:
        (Path(d) / "work").mkdir()
        shell = Tourist(Path(d) / "work", "-v" in sys.argv)
        passed = failed = 0
        began = time.monotonic()
        try:
            for line, command, output in tour():
                shell.type(command, output)
                passed += 1
            shell.stop()
        except (Wrong, OSError, ValueError) as e:
            print(f"FAILED  README.md:{line}: {command}: {e}")
            failed += 1
        finally:
            if shell.server:
                shell.server.kill()
        print(f"the tour takes {time.monotonic() - began:.1f} s")
        print(f"{passed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

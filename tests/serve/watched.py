"""What tenon-watched (tests/accounts/watched.c) saw: allocations during a guest's call that no account was charged for, but for those that need none."""
import bisect, os, re, subprocess
from collections import Counter

from harness import SHARED, TOP, Skip

PROGRAM = TOP / "build/release/tenon-watched"
# The function that allocates, or one that calls it, and why no account of the guest's is charged.
BOUNDED = {
    "serve__log_guest": "a line for the log, gone when it is written; --log-bytes, and a line is cut",
    "serve__log": "a line for the log, gone when it is written",
    "compile_called": "code of the module, once for all its instances: at most 24 times the Wasm; a function is compiled when it is called first",
    "baseline_compile_func": "likewise",
    "sig_find": "once for each type of the component that is served, for all its instances",
    "http__block_get": "of a connection that the process has: --connections; of outgoing ones SENT_BYTES are charged for each request",
    "http__spare_get": "likewise",
    "http__origin_get": "there as long as a connection of its own, which the process has, or a request for it, for which SENT_BYTES are charged",
}
COMPILER = "baseline__"  # how its functions' names begin: they call each other deeply
NEAR = 14  # places on the stack that may be calls under way, and not what earlier ones left


def _functions():
    """Sorted addresses, names."""
    out = subprocess.run(["nm", "-n", str(PROGRAM)], capture_output=True, text=True, check=True).stdout
    found = [(int(a, 16), n) for a, kind, n in re.findall(r"^([0-9a-f]+) ([a-zA-Z]) (\S+)$", out, re.M) if kind in "tTwW"]
    start = next(int(a, 16) for a, n in re.findall(r"^([0-9a-f]+) [a-zA-Z] (__executable_start)$", out, re.M))
    return [a - start for a, _ in found], [n for _, n in found]


def unaccounted(lines):
    """{how it came to it: how often} of what is not in BOUNDED."""
    at, names = _functions()
    found = Counter()
    for line in lines:
        places = [names[bisect.bisect(at, int(a, 16)) - 1] for a in line.split()[1:]]
        if not any(p in BOUNDED or p.startswith(COMPILER) for p in places[:NEAR]):
            found[" < ".join(dict.fromkeys(p for p in places if p not in ("tell", "on_alloc", "see")))] += 1
    return found


def run_guests(folder, into):
    """The cases of ../shared/guests/FOLDER by it: the last line, the total."""
    if not (SHARED / "guests" / folder).is_dir():
        raise Skip("../shared is not there")
    p = subprocess.run(["python3", "tests/conform/conform.py", "--watched", str(SHARED / "guests" / folder)], cwd=TOP, env={**os.environ, "TENON_WATCHED": str(into)},
        capture_output=True, text=True, timeout=1800)
    return p.stdout

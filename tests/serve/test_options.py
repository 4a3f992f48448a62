"""Every flag of every command, from src/cli/options.def and src/platform/app/limits.def: where it has an effect it is taken, elsewhere refused by name. What
each does is its own test's (a wall of tools/check.py asks for one)."""
import itertools, re, subprocess, tempfile
from pathlib import Path

from harness import HELLO, TOP, Server, check, config

COMMANDS = {"UP": "up", "SERVE": "serve", "RUN": "run", "COMPILE": "compile", "INSPECT": "inspect", "CHECK": "check", "DOCTOR": "doctor"}
GROUPS = {"SERVERS": {"up", "serve"}, "REUSERS": {"up", "serve"}, "CALLS": {"up", "serve", "run"}, "LOADS": {"up", "serve", "run", "compile"}, "STARTS": {"up", "serve", "run", "inspect"}}
# Of options.def: words that it may stand with. A limit's are its unit's.
SAMPLES = {"addr": "127.0.0.1:0", "listen": "127.0.0.1:0", "tls-cert": "a.pem --tls-key b.pem", "tls-key": "b.pem --tls-cert a.pem", "shards": "2", "policy": "reuse", "init": "once",
    "invoke": "f()", "env": "A=1", "config": "a=1", "dir": "/tmp::/tmp", "net": "example.org", "listen-tcp": "127.0.0.1:0", "listen-udp": "127.0.0.1:0",
    "private": "--net example.org", "ca": "/dev/null --net all", "tier": "baseline", "no-cache": "", "feature": "simd", "no-feature": "simd", "admin": "127.0.0.1:0", "otlp": "http://127.0.0.1:1", "trace-sample": "1% --otlp http://127.0.0.1:1", "access-log": "-", "log": "debug", "json": "",
    "wit": "", "poison-upper": "", "profile": "a", "set": "a=1", "schema": "", "follow": "",
    "copy": "", "no-copy": "", "replace": "", "undo": "", "discard": "", "shadow": "10%", "dry-run": "", "no-wait": "", "max-pause": "1s", "limit": "1s", "percent": "20", "promote": "", "accept": "", "rollback": "", "to": "3", "min": "3", "max": "3", "manifest": "", "live": ""}
UNITS = {"NS": "1s", "BYTES": "1KiB", "COUNT": "7"}
WITH = {"concurrency": " --policy concurrent", "requests-per-instance": " --policy reuse", "idle": " --policy reuse", "open-files": " --dir /tmp::/tmp", "file-size": " --dir /tmp::/tmp", "open-sockets": " --net all"}


def _commands(text):
    """Those of a row."""
    found = set()
    for word in re.split(r"\s*\|\s*", text.strip()):
        found |= GROUPS.get(word) or ({COMMANDS[word]} if word in COMMANDS else set())
    return found


def _rows():
    """{flag: (the commands that have it, whether --help has it, words behind it)}"""
    options, limits = (TOP / "src/cli/options.def").read_text(), (TOP / "src/platform/app/limits.def").read_text()
    found = {}
    for flag, of in re.findall(r'^OPTION\("([\w-]+)", [^,]+, ([\w |]+),', options, re.M):
        found[flag] = (_commands(of), "HIDDEN" not in of, SAMPLES.get(flag))
    for flag, unit, of in re.findall(r'^SERVE_LIMIT\(\w+, \w+, "([\w-]+)", (\w+), ([\w |]+),', limits, re.M):
        found[flag] = (_commands(of), True, UNITS[unit] + WITH.get(flag, ""))
    return found


def _said(*argv):
    p = subprocess.run([str(config.tenon), *argv], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    return p.returncode, p.stdout + p.stderr


def _look(flag, command, has, words):
    """What is wrong with a flag of a command."""
    of_manifest = has and (command, flag) in (("up", "profile"), ("up", "set"), ("up", "manifest"), ("up", "live"))
    file = [] if command == "doctor" or (command, flag) == ("check", "schema") else ["/nowhere.toml" if of_manifest else "/nowhere.wasm"]
    if not has:
        code, text = _said(command, f"--{flag}", *words.split(), *file)
        return None if code == 2 and f"--{flag} " in text else f"{command} --{flag}: not refused by name: {code} {text}"
    code, text = _said(command, f"--{flag}", *words.split(), *file)
    taken = code in (0, 5) if not file else code == 5 and "/nowhere." in text  # all that is asked for was understood
    return None if taken else f"{command} --{flag} {words}: {code} {text}"


def each_flag_is_taken_where_it_has_an_effect_and_refused_elsewhere():
    rows = _rows()
    unknown = [flag for flag, row in rows.items() if row[2] is None]
    check(len(rows) > 50 and not unknown, f"without words behind it: {unknown}")
    pairs = list(itertools.product(rows, COMMANDS.values()))
    looks = (_look(flag, command, command in rows[flag][0], rows[flag][2]) for flag, command in pairs)
    bad = [wrong for wrong in looks if wrong]
    check(not bad, "\n".join(bad))
    return f"{len(pairs)} pairs"


def help_lists_the_flags_of_its_command():
    rows = _rows()
    for command in COMMANDS.values():
        listed = set(re.findall(r"^  --([\w-]+)", _said(command, "--help")[1], re.M)) - {"help", "version"}
        wanted = {flag for flag, (of, shown, _) in rows.items() if shown and command in of}
        check(listed == wanted, f"{command}: {sorted(listed ^ wanted)}")


# ---- those that no other test is about -----------------------------------------------------------------------------------------------------

def listen_is_addr():
    with tempfile.TemporaryDirectory() as d:
        at = Path(d) / "s"
        p = subprocess.Popen([str(config.tenon), "serve", str(HELLO), "--listen", f"unix:{at}"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            check(p.stdout.readline() == f"ready unix:{at}\n".encode(), "not ready there")
        finally:
            p.terminate()
            p.communicate(timeout=60)


def a_tier_that_is_not_there_is_refused_and_the_one_that_is_serves():
    code, text = _said("serve", str(HELLO), "--tier", "optimising")
    check(code == 2 and "--tier" in text and "baseline" in text, f"{code} {text}")
    with Server(HELLO, "--tier", "baseline") as s:
        check(s.get("/").status == 200, "not served")


def poisoned_upper_halves_change_nothing():
    with Server(HELLO, "--poison-upper", "--no-cache") as poisoned, Server(HELLO) as plain:
        check(poisoned.get("/").body == plain.get("/").body, "another answer")
        check(poisoned.post("/echo", b"x" * 50000).body == b"x" * 50000, "another echo")

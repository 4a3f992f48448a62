"""Secrets (contract, sections 4, 5 and 7): what variables that are secret have, and passwords of URLs, is in nothing that is shown, said or written."""
import json, os, subprocess, sys, urllib.parse
from pathlib import Path

from front import Folder, ask, where
from harness import TOP, Skip, check, config, shared_guest

sys.path[:0] = [str(TOP / "tests/real")]
import servers  # noqa: E402

WORD = "pw-Q1@:/%41# 'x"  # a password as somebody may choose it
SECRETS = {"set": "of-set-Q2", "env": "of-env-Q3", "credential": "of-credential-Q4", "file": "of-file-Q5", "default": "of-default-Q6", "word": WORD}
LITERAL = "of-the-url%40Q7"
MANIFEST = """tenon = 1
[app]
name = "counter"
[variables]
set = { required = true, secret = true }
env = { required = true, secret = true }
credential = { required = true, secret = true }
file = { file = "file", secret = true }
default = { default = "%(default)s", secret = true }
word = { required = true, secret = true }
[component.c]
source = "%(guest)s"
links = { "wasi:keyvalue" = "store" }
config = { all = "${set} ${env} ${credential} ${file} ${default}" }
[link.store]
type = "redis"
url = "redis://:${word}@127.0.0.1:%(port)d/0"
[link.spare]
type = "redis"
url = "redis://:%(literal)s@127.0.0.1:%(port)d/1"
start = "lazy"
[link.partner]
type = "http"
hosts = ["http://127.0.0.1:1"]
headers = { authorization = "Bearer ${set}" }
[[trigger.http]]
route = "/..."
component = "c"
"""
COMMANDS = (["status"], ["status", "--manifest"], ["history"], ["explain", "c"], ["top"], ["logs"], ["set", "set=@{top}/other"], ["link", "@store", "redis://:${word}@127.0.0.1:{port}/2", "--copy"],
            ["link", "@store", "redis://:${set}@127.0.0.1:{port}/3", "--copy"], ["link", "@store", "redis://:of-a-command-Q8@127.0.0.1:{port}/3"], ["link", "@store", "redis://:of-a-command-Q8/x@127.0.0.1:{port}/3"],
            ["link", "@spare", "redis://:${word}@127.0.0.1:{port}/3"], ["apply", "{top}", "--dry-run"], ["apply", "{top}", "--no-copy"], ["undo"], ["status"], ["history"])
ROUTES = ("status", *(f"apps/counter/{x}" for x in ("status", "links", "variables", "manifest", "history", "releases", "events?follow=false", "logs?follow=false", "receipts", "explain?component=c", "components/c/versions")))


class _Kept:
    """What was said and written by whom, and whether a secret is in it: as it is, decoded, percent-encoded, or the end of it."""

    def __init__(self, *secrets):
        self.words = {w for s in secrets for w in (s, urllib.parse.unquote(s), urllib.parse.quote(s, safe=""), *(s[i:i + 2] for i in range(len(s) - 1) if s[i] == "Q" and s[i + 1].isdigit()))}
        self.looked = 0

    def look(self, of, text):
        text = text.decode("utf-8", "replace") if isinstance(text, (bytes, bytearray)) else text
        found = [w for w in self.words if w in text]
        check(not found, f"{of}: {found} in {text[:3000]}")
        self.looked += len(text)


def _folder(top, guest, port):
    (top / "credentials").mkdir()
    (top / "credentials/credential").write_text(SECRETS["credential"] + "\n")
    (top / "file").write_text(SECRETS["file"])
    (top / "set").write_text(SECRETS["set"])
    (top / "other").write_text("of-another-Q9")
    (top / "tenon.toml").write_text(MANIFEST % {"default": SECRETS["default"], "guest": guest, "port": port, "literal": LITERAL})
    return {**os.environ, "TENON_CTL": str(top / "ctl"), "TENON_STATE": str(top / "state"), "TENON_CACHE": str(top / "cache"), "TENON_VAR_ENV": SECRETS["env"], "TENON_VAR_WORD": WORD,
            "CREDENTIALS_DIRECTORY": str(top / "credentials")}


def secrets_are_in_nothing_that_is_said_or_written():
    if servers.Redis.lacks():
        raise Skip(servers.Redis.lacks())
    kept = _Kept(*SECRETS.values(), LITERAL, "of-a-command-Q8", "of-another-Q9")
    with Folder() as top, servers.Redis() as redis:
        top = Path(top)
        check(redis.ask("config", "set", "requirepass", WORD) == "OK", "no password")
        env, given = _folder(top, shared_guest("kv") / "kv-counter-c.wasm", redis.port), ("--set", f"set=@{top}/set")

        def run(*args):
            for more in ((), ("--json",)):
                args = [a.replace("{top}", str(top)).replace("{port}", str(redis.port)) for a in args]
                r = subprocess.run([str(config.tenon), *more, *args], env=env, capture_output=True, text=True, timeout=60)
                kept.look(args, r.stdout + r.stderr)
        run("check", str(top), *given)
        with open(top / "log", "w") as log:
            p = subprocess.Popen([str(config.tenon), "up", str(top), "--addr", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--access-log", str(top / "access"), *given], env=env, stdout=subprocess.PIPE,
                stderr=log, text=True)
        try:
            ready = [p.stdout.readline() for _ in range(2)]
            check(ready[0].startswith("ready"), (top / "log").read_text())
            at, admin = (where(line.split()[1]) for line in ready)
            check([bytes(ask(at, "/incr/n", "POST").body) for _ in range(2)] == [b"1\n", b"2\n"], "a password is meant as it is")
            for c in COMMANDS:
                run(*c)
            check(ask(at, "/incr/n", "POST").status == 200, "it counts on")
            socket = str(top / "ctl" / f"{p.pid}.sock")
            for route in ROUTES:
                a = ask(socket, f"/v1/{route}")
                check(a.status == 200, (route, a.status))
                kept.look(route, a.body)
            kept.look("metrics", ask(admin, "/metrics").body)
        finally:
            p.terminate()
            p.wait(60)
        for f in (top / "log", top / "access", *(f for f in (top / "state").rglob("*") if f.is_file())):
            kept.look(f, f.read_bytes())
        check("redis://:***@" in json.dumps((top / "state/default/counter/journal").read_text()), "what is written, without its password")
    check(kept.looked > 20000, kept.looked)


def what_is_wrong_with_a_secret_in_it_is_told_without_it():
    if servers.Redis.lacks():
        raise Skip(servers.Redis.lacks())
    guest = shared_guest("kv") / "kv-counter-c.wasm"
    url = "redis://:${word}@"
    for before, after in ((url, "redis://:${set}@"), (url, url + "${word}@"), ("wasi:keyvalue", "wasi:keyvalue/none"), (LITERAL, LITERAL + "/x"), (LITERAL, LITERAL + "%zz"), (LITERAL, LITERAL + " x"),
                          ('"Bearer', '"\\u0001 Bearer'), ("[link.store]", '[link.store]\nnamespace = "${set}"'), ("config =", 'files = [ { host = "/none/${set}", guest = "/x" } ]\nconfig ='),
                          ("config =", 'network = ["https://${set}:x"]\nconfig ='), ("config =", 'env = { A = "${set}" }\nconfig ='), (url, url + "${set}"), (url, "redis://${set}:${word}@")):
        kept = _Kept(*SECRETS.values(), LITERAL)
        with Folder() as top, servers.Redis() as redis:
            top = Path(top)
            check(redis.ask("config", "set", "requirepass", WORD) == "OK", "no password")
            env = _folder(top, guest, redis.port)
            text = (top / "tenon.toml").read_text()
            check(before in text, before)
            (top / "tenon.toml").write_text(text.replace(before, after))
            for command in ("check", "up"):
                more = ("--addr", "127.0.0.1:0") if command == "up" else ()
                r = subprocess.run([str(config.tenon), command, str(top), "--set", f"set=@{top}/set", *more], env=env, capture_output=True, text=True, timeout=60)
                kept.look((command, after), r.stdout + r.stderr)
            check(r.returncode in (2, 4, 5) and r.stderr.startswith("error: "), f"{after}: {r.returncode} {r.stderr}")

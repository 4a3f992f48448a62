#!/usr/bin/env python3
"""profile.py PROGRAM PROFDATA OUT: what a release build is laid out by (./dev build --pgo). PROGRAM was built with -fprofile-generate; PROFDATA is llvm-profdata.

The load is always the same and needs nothing but this folder: the examples compiled, started without and with compiled code, and asked on one connection, one
request after the other and sixteen at once, under each policy. Counts are taken to powers of two, so that what depends on the moment (a wake-up more, a read in
two parts) makes no other program.
"""
import os, re, signal, socket, subprocess, sys, tempfile
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
HELLO = TOP / "examples/hello/hello.wasm"
STARTS, REQUESTS, AT_ONCE, COMPILED = 20, 2000, 16, 5
REQUEST = b"GET / HTTP/1.1\r\nHost: profile\r\n\r\n"


def answers(s, n):
    """Reads n of them: each has a head and a body of a length that is told, or in chunks."""
    got = b""
    for _ in range(n):
        while b"\r\n\r\n" not in got:
            got += read(s)
        head, got = got.split(b"\r\n\r\n", 1)
        if not head.startswith(b"HTTP/1.1 200"):
            sys.exit(f"the load of the profile was answered {head[:40]!r}")
        length = re.search(rb"(?i)content-length: *(\d+)", head)
        while (len(got) < int(length[1])) if length else (b"0\r\n\r\n" not in got):
            got += read(s)
        got = got[int(length[1]):] if length else got.split(b"0\r\n\r\n", 1)[1]


def read(s):
    data = s.recv(1 << 16)
    if not data:
        sys.exit("the server that is profiled closed a connection")
    return data


def serve(program, env, requests, *flags):
    p = subprocess.Popen([program, "serve", HELLO, "--addr", "127.0.0.1:0", "--shards", "1", *flags], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    try:
        port = int(p.stdout.readline().rsplit(b":", 1)[1])
        with socket.create_connection(("127.0.0.1", port), timeout=60) as s:
            for _ in range(requests):
                s.sendall(REQUEST)
                answers(s, 1)
            for _ in range(requests // AT_ONCE):
                s.sendall(REQUEST * AT_ONCE)
                answers(s, AT_ONCE)
    finally:
        p.send_signal(signal.SIGTERM)
        p.communicate()
    if p.returncode:
        sys.exit(f"the server that is profiled ended with {p.returncode}")


def load(program, env):
    for n in range(COMPILED):
        for file in sorted((TOP / "examples").glob("*/*.wasm")):
            subprocess.run([program, "compile", file], env={**env, "TENON_CACHE": f"{env['TENON_CACHE']}/{n}"}, check=True, capture_output=True)
    serve(program, env, 1, "--no-cache")
    for _ in range(STARTS):
        serve(program, env, 1)
    for policy in ("fresh", "fresh", "reuse", "keep"):
        serve(program, env, REQUESTS, "--policy", policy)


def rounded(line):
    return str(1 << int(line).bit_length() - 1) if re.fullmatch(r"[1-9]\d*", line) else line


def steady(text):
    """Of each function: a name, "# Func Hash:", "# Num Counters:", "# Counter Values:" with a line each; then "# Num Value Kinds:" and what has been seen, where
    order and counts matter as little."""
    out, counts = [], False
    for line in text.split("\n"):
        if line.startswith("#") or not line:
            counts = line == "# Counter Values:"
        out.append(rounded(line) if counts else line)
    return "\n".join(out)


def main():
    program, profdata, out = map(Path, sys.argv[1:])
    with tempfile.TemporaryDirectory(prefix="tenon-profile-") as d:
        env = {**os.environ, "LLVM_PROFILE_FILE": f"{d}/%m.profraw", "TENON_CACHE": f"{d}/cache"}
        Path(env["TENON_CACHE"]).mkdir(mode=0o700)
        for n in range(COMPILED):
            Path(env["TENON_CACHE"], str(n)).mkdir(mode=0o700)
        load(program, env)
        text = Path(d, "text")
        subprocess.run([profdata, "merge", "-text", "-o", text, *Path(d).glob("*.profraw")], check=True)
        text.write_text(steady(text.read_text()))
        subprocess.run([profdata, "merge", "-o", out, text], check=True)


if __name__ == "__main__":
    main()

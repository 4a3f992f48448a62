"""The guests of ../shared/guests-toolchains, which have no expected.json: what its README says of each, in the form of guests.py, where `flags` are more flags
of a case. They are what the public toolchains make today, used as their documentation shows."""
import socket, threading
from pathlib import Path

NET = ["--net", "all", "--private"]
STD_PORT = 4390  # what rust-cli-std asks
STD = r'args \["[^"]*"{args}\]\n(env .*\n)*time ok true\nmap \{{1: 2\}}\nslept true\n{more}$'


def is_folder_of_them(files):
    return "rust-wstd-hello.wasm" in files


def http(file, *cases):
    return {"name": file.removesuffix(".wasm"), "file": file, "kind": "http", "cases": list(cases)}


def command(file, *cases):
    return {"name": file.removesuffix(".wasm"), "file": file, "kind": "command", "cases": list(cases)}


def request(name, path, expect, method="GET", **more):
    fields = {k: more.pop(k) for k in ("headers", "body", "body_repeat", "chunked") if k in more}
    return {"name": name, "request": {"method": method, "path": path, **fields}, "expect": {"status": 200, **expect}, **more}


def std(name, argv, more="", exit=0, **rest):
    """`more`: what comes on standard output after what it always says."""
    args = "".join(f', "{a}"' for a in argv)
    expect = {"exit": exit, "stdout_regex": STD.format(args=args, more=more), **rest.pop("expect", {})}
    return {"name": name, "argv": argv, "expect": expect, **rest}


JSON = [["Content-Type", "application/json"]]
GUESTS = [
    http("rust-wstd-hello.wasm",
        request("greets", "/", {"body": "hello from wstd GET\n"}),
        request("waits", "/wait", {"body_regex": r"^slept [1-9]\d\d+ ms\n$", "min_ms": 100}),
        request("streams a body", "/echo", {"body_length": 3000000}, "POST", body_repeat=["abc", 1000000], chunked=True),
        request("passes an answer on", "/fetch?http://{HOST_PORT}/", {"body": "hello from wstd GET\n"}, upstream="rust-wstd-hello", flags=NET),
        request("may not ask", "/fetch?http://{HOST_PORT}/", {"status": 500}, upstream="rust-wstd-hello"),
        request("knows no more", "/more", {"status": 404, "body": "no\n"})),
    http("rust-wstd-axum-app.wasm",
        request("greets", "/", {"body": "hello from axum\n"}),
        request("a path and a query", "/item/pear?n=3", {"body": '{"name":"pear","count":3}', "headers": {"content-type": "application/json"}}),
        request("a default", "/item/pear", {"body": '{"name":"pear","count":1}'}),
        request("a JSON body", "/item", {"status": 201, "body": '{"name":"fig","count":3}'}, "POST", headers=JSON, body='{"name":"fig","count":2}'),
        request("a body that is no JSON", "/item", {"status": 400}, "POST", headers=JSON, body='{"name":')),
    http("rust-spin5.wasm",
        request("greets and prints", "/", {"body": "Hello World! (spin-sdk 5)\n", "headers": {"content-type": "text/plain"}, "stderr_regex": "Handling request to"})),
    http("rust-config-logging.wasm",
        request("its configuration", "/", {"body": "colour=green\nsize=7\n", "stderr_regex": "asked"}, flags=["--config", "colour=green", "--config", "size=7"]),
        request("none", "/", {"body": ""})),
    http("rust-simd-hash.wasm",
        request("hashes and counts", "/a/b", {"body": "980fcad04473c1163a31dfb93fe2710046af2a462c117a1772cd819901d0c569 2000\n"})),
    command("rust-bleeding-edge-cli.wasm",
        {"name": "adds up", "argv": ["one"], "expect": {"exit": 0, "stdout": "5997000 1999\n"}}),
    command("rust-cli-std.wasm",
        std("says what it is given", ["plain"], env={"COLOUR": "green"}, expect={"stdout_contains": ["env COLOUR=green\n"]}),
        std("reads its input", ["cat"], more="SOME\nLINES\n", stdin="some\nlines\n"),
        std("writes and reads a file", ["file"], more="hi\n", files={"other.txt": "here"}, expect={"files_after": {"out.txt": "hi", "other.txt": "here"}}),
        std("may not write", ["file"], exit=134, files={}, grants={"files": "ro"}, expect={"stderr_regex": "panicked", "files_after": {"out.txt": None}}),
        std("asks a server", ["net"], more="HTTP/1.0 200 OK\n", flags=NET, needs="a server"),
        std("may not ask", ["net"], exit=134, expect={"stderr_regex": "panicked"}),
        std("looks up a name", ["dns"], more=r"Ok\(\[.*127\.0\.0\.1:80.*\]\)\n", flags=NET),
        std("has no threads", ["thread"], exit=134, expect={"stderr_regex": "panicked"}),
        std("panics", ["panic"], exit=134, expect={"stderr_regex": "boom"}),
        std("exits with a status", ["exit"], exit=1)),  # wasi:cli/exit@0.2 has success and failure only
    {"name": "c-zig017.p1", "file": "c-zig017.p1.wasm", "kind": "module", "cases": [
        {"name": "without a folder", "stdin": "one\ntwo\n", "expect": {"exit": 0, "stdout": "hello from C, 1 args, sqrt2 1.414214\n7\n" + "in: one\nfile no\n"}},
        {"name": "with a folder", "argv": ["a"], "files": {}, "expect": {"exit": 0, "stdout": "hello from C, 2 args, sqrt2 1.414214\n7\nfile ok\n",
            "files_after": {"x.txt": ""}}}]},
]


class Server:
    """Answers every connection to the port that rust-cli-std has written into it, on one thread."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", STD_PORT))
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                c, _ = self.listener.accept()
                with c:
                    c.recv(4096)
                    c.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n")
            except OSError:
                return

    def close(self):
        self.listener.close()


def run_toolchains(folder, run):
    run.find = lambda name: str(Path(folder) / next(g["file"] for g in GUESTS if g["name"] == name))
    guests = [g for g in GUESTS if run.chooses(g["name"])]
    server = None
    if any(c.get("needs") for g in guests for c in g["cases"]):
        try:
            server = Server()
        except OSError:
            run.skip(f"port {STD_PORT} is somebody else's")
            guests = [{**g, "cases": [c for c in g["cases"] if not c.get("needs")]} for g in guests]
    run.all(Path(folder), guests)
    if server:
        server.close()

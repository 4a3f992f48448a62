"""The examples that are apps, by their manifests: a counter with a store by link, two components in two languages, a filter before a store; and chains of such."""
import os, tempfile, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from harness import TOP, Many, Server, by_hand, check


class _Up:
    """`tenon up` with a state of its own."""

    def __init__(self, folder, *flags, shards=1):
        self.at = tempfile.TemporaryDirectory()
        os.environ["TENON_STATE"] = self.at.name
        try:
            self.server = Server(folder, *flags, command="up", shards=shards)
        finally:
            del os.environ["TENON_STATE"]

    def __enter__(self):
        return self.server.__enter__()

    def __exit__(self, *why):
        self.server.__exit__(*why)
        self.at.cleanup()


def _says(server, path, status, text, post=False):
    a = server.post(path) if post else server.get(path)
    check(a.status == status and a.body.decode() == text, f"{path}: {a.status} {a.body}")


def the_counter_counts():
    with _Up(TOP / "examples/counter", shards=2) as s:
        _says(s, "/", 200, "0\n")
        answers = Many([lambda: s.post("/apples") for _ in range(50)]).join()
        check(sorted(int(a.body) for a in answers) == list(range(1, 51)), [a.body for a in answers])
        _says(s, "/apples?x=1", 200, "50\n")
        _says(s, "/", 200, "0\n")


def one_component_stands_behind_the_other():
    with _Up(TOP / "examples/compose", shards=2) as s:
        for name in ("World", "x" * 1000):
            _says(s, "/" + name, 200, f"Hello {name}, from Rust through C!\n")
        _says(s, "/", 400, "to whom?\n")


def the_filter_stands_between_the_counter_and_its_store():
    with _Up(TOP / "examples/filter") as s:
        _says(s, "/Apples", 200, "1\n", post=True)
        _says(s, "/aPPles", 200, "2\n", post=True)
        _says(s, "/apples", 200, "2\n")
        _says(s, "/_secret", 403, "access denied\n")
        _says(s, "/_secret", 403, "access denied\n", post=True)


def components_stand_behind_each_other_in_a_chain():
    chain = [f"filter{i}" for i in range(4)]
    with tempfile.TemporaryDirectory() as d:
        for name in ("counter", "filter"):
            (Path(d) / f"{name}.wasm").write_bytes((TOP / f"examples/{name}/{name}.wasm").read_bytes())
        tables = "".join(f'[component.{name}]\nsource = "filter.wasm"\nlinks = {{ "wasi:keyvalue" = "{(chain + ["numbers"])[i + 1]}" }}\n'
            f'[link.{name}]\ntype = "component"\ncomponent = "{name}"\n' for i, name in enumerate(chain))
        (Path(d) / "tenon.toml").write_text(f"""tenon = 1
[app]
name = "chain"
[component.counter]
source = "counter.wasm"
links = {{ "wasi:keyvalue" = "filter0" }}
{tables}
[link.numbers]
type = "memory"
[[trigger.http]]
route = "/..."
component = "counter"
""")
        with _Up(d, shards=2) as s:
            answers = Many([lambda: s.post("/Pears") for _ in range(40)]).join()
            check(sorted(int(a.body) for a in answers) == list(range(1, 41)), [a.body for a in answers])
            _says(s, "/pears", 200, "40\n")
            _says(s, "/_pears", 403, "access denied\n")


class _Peer:
    """Answers a path when its event is set; 204 to /first, else 200."""

    def __init__(self):
        self.asked, self.events = threading.Semaphore(0), {p: threading.Event() for p in ("/first", "/second", "/third")}
        peer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                peer.asked.release()
                peer.events[self.path].wait(60)
                self.send_response(204 if self.path == "/first" else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.port = self.server.server_address[1]


def stream_asks_for_three_at_once_and_says_each_as_it_comes():
    by_hand()
    peer = _Peer()
    with Server(TOP / "examples/stream/stream.wasm", "--net", "127.0.0.1", "--private", "--deadline", "60s") as s, s.connect(timeout=60) as c:
        c.ask(f"/127.0.0.1:{peer.port}/first/second/third")
        said = b""
        for then, line in ((None, b"asking\n"), ("/third", b"/third: 200\n"), ("/first", b"/first: 204\n"), ("/second", b"/second: 200\n")):
            if then:
                peer.events[then].set()
            else:
                check(all(peer.asked.acquire(timeout=60) for _ in range(3)), "not all three are asked while none is answered")
            while line not in said:
                more = c.sock.recv(65536)
                check(more, f"the answer ends after {said}")
                said += more
        check(said.startswith(b"HTTP/1.1 200 OK\r\n") and said.index(b"asking") < said.index(b"/third") < said.index(b"/first") < said.index(b"/second"), said)


def stream_says_who_does_not_answer():
    with Server(TOP / "examples/stream/stream.wasm", "--net", "127.0.0.1", "--private") as s:
        said = s.get("/127.0.0.1:1/a/b").body.decode().splitlines()
        check(said[0] == "asking" and sorted(said[1:]) == ["/a: no answer", "/b: no answer"], said)
        _says(s, "/", 200, "asking\n")
    with Server(TOP / "examples/stream/stream.wasm") as s:
        _says(s, "/127.0.0.1:1/a", 200, "asking\n/a: no answer\n")

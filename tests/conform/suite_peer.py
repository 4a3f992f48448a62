"""The other end of wasi-testsuite's programs: servers that answer as their specification says, in threads, and addresses where nobody listens."""
import sys, threading
from pathlib import Path

from programs_peer import Handler, Listener

sys.path.append(str(Path(__file__).resolve().parents[1]))
from common import free_port  # noqa: E402

ECHOED, TRAILED = "x-echo-", "x-trailer-"


class Endpoints(Handler):
    """{method, path, response | mode} each; the server's `endpoints` has them by (method, path)."""

    def read_body(self):
        """Body and trailers."""
        if "chunked" not in self.headers.get("transfer-encoding", "").lower():
            return self.rfile.read(int(self.headers.get("content-length", 0))), []
        data, trailers = b"", []
        while size := int(self.rfile.readline().split(b";")[0] or b"0", 16):
            data += self.rfile.read(size)
            self.rfile.readline()
        while line := self.rfile.readline().strip():
            name, _, value = line.decode().partition(":")
            trailers.append((name.strip().lower(), value.strip()))
        return data, trailers

    def say(self, status, headers, body=b"", chunks=None, trailers={}):
        self.send_response(status)
        own = [("Content-Length", str(len(body)))] if chunks is None else [("Transfer-Encoding", "chunked")]
        own += [("Trailer", ", ".join(trailers))] if trailers else []
        for name, value in [*headers, *own, ("Connection", "close")]:
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
            for c in chunks or []:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(c.encode()), c.encode()))
            if chunks is not None:
                self.wfile.write(b"0\r\n" + "".join(f"{k}: {v}\r\n" for k, v in trailers.items()).encode() + b"\r\n")
        self.close_connection = True

    def answer(self):
        body, trailers = self.read_body()
        e = self.server.endpoints.get((self.command, self.path))
        if not e:
            self.say(404, [])
        elif e.get("mode") == "echo-body":
            self.say(200, [], body)
        elif e.get("mode") == "echo-headers":
            names = dict.fromkeys(k.lower() for k in self.headers.keys())
            came = [(ECHOED + n, v) for n in names for v in self.headers.get_all(n)] + [(TRAILED + n, v) for n, v in trailers]
            self.say(200, [("x-request-method", self.command), ("x-request-path", self.path), *came])
        else:
            r = e["response"] if isinstance(e["response"], dict) else {"body": e["response"]}
            self.say(r.get("status", 200), list(r.get("headers", {}).items()), r.get("body", "").encode(), r.get("chunks"), r.get("trailers", {}))


class Peers:
    """Of a specification's `servers`; `env`: what the program is told of them."""

    def __init__(self, specs):
        self.env, self.servers = {}, []
        for spec in specs:
            if spec.get("kind") == "closed":
                port = free_port()
            else:
                server = Listener(("127.0.0.1", 0), Endpoints)
                server.endpoints = {(e["method"], e["path"]): e for e in spec["endpoints"]}
                threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
                self.servers.append(server)
                port = server.server_address[1]
            self.env["HTTP_SERVER_" + spec["name"].upper()] = f"127.0.0.1:{port}"

    def close(self):
        for s in self.servers:
            s.shutdown()
            s.server_close()

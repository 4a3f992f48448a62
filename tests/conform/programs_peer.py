"""The servers that programs ask: one that says what it was asked and gives the body back (at /echo while it comes), one that speaks HTTP/2 only."""
import http.server, socket, threading


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def pieces(self):
        if "chunked" not in self.headers.get("transfer-encoding", ""):
            yield self.rfile.read(int(self.headers.get("content-length", 0)))
            return
        while size := int(self.rfile.readline().split(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def begin(self, *framing):
        self.send_response(200)
        self.send_header("x-wasmtime-test-method", self.command)
        self.send_header("x-wasmtime-test-uri", self.path)
        self.send_header(*framing)
        self.send_header("connection", "close")
        self.end_headers()
        self.close_connection = True

    def echo(self):
        """The head before anything of the body has come, which who asks may wait for."""
        self.begin("transfer-encoding", "chunked")
        for piece in self.pieces():
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if piece else b"")
        self.wfile.write(b"0\r\n\r\n")

    def answer(self):
        if self.path == "/echo":
            self.echo()
            return
        data = self.server.bodies.get(self.path) or b"".join(self.pieces())
        self.begin("content-length", str(len(data)))
        self.wfile.write(data)

    def __getattr__(self, name):
        if name.startswith("do_"):
            return self.answer
        raise AttributeError(name)

    def log_message(self, *args):
        pass


class Listener(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client):
        pass  # who asked has gone


class Peer:
    """Its `bodies` are what is answered to paths; else the request's body."""

    def __init__(self):
        self.server = Listener(("127.0.0.1", 0), Handler)
        self.server.bodies = self.bodies = {}
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Preface:
    """Sends its SETTINGS; what comes is no HTTP/2, so GOAWAY (PROTOCOL_ERROR) and the end."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                c, _ = self.listener.accept()
                with c:
                    c.sendall(b"\0\0\0\4\0\0\0\0\0")
                    c.recv(65536)
                    c.sendall(b"\0\0\x08\7\0\0\0\0\0" + b"\0\0\0\0" + b"\0\0\0\1")
            except OSError:
                return

    def close(self):
        self.listener.close()

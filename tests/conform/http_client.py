"""A small HTTP/1.1 client over a raw socket, that shows what others hide: aborted answers, trailers, every header as it came."""
import socket, threading, time


class Answer:
    def __init__(self):
        self.status = None
        self.headers = []
        self.trailers = []
        self.body = b""
        self.aborted = False  # the connection ended before the answer was whole
        self.error = ""
        self.ms = 0.0

    def values(self, name, where=None):
        return [v for k, v in (self.headers if where is None else where) if k.lower() == name.lower()]


def body_of(request):
    if "body_hex" in request:
        return bytes.fromhex(request["body_hex"])
    if "body_repeat" in request:
        text, times = request["body_repeat"]
        return text.encode() * times
    return request["body"].encode() if "body" in request else None


def encode(request, host):
    """The bytes of a request."""
    body = body_of(request)
    headers = list(request.get("headers", []))
    names = {k.lower() for k, _ in headers}
    chunked = request.get("chunked") or request.get("trailers")
    if "host" not in names:
        headers.insert(0, ["Host", host])
    if request.get("trailers") and "trailer" not in names:
        headers.append(["Trailer", ", ".join(k for k, _ in request["trailers"])])
    if "te" not in names:
        headers.append(["TE", "trailers"])
    if chunked:
        headers.append(["Transfer-Encoding", "chunked"])
    elif (body is not None or request["method"] in ("POST", "PUT", "PATCH")) and "content-length" not in names:
        headers.append(["Content-Length", str(len(body or b""))])
    head = f"{request['method']} {request['path']} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in headers) + "\r\n"
    out = [head.encode("utf-8", "surrogateescape")]
    if chunked:
        data = body or b""
        for at in range(0, len(data), 16000):
            piece = data[at:at + 16000]
            out.append(b"%x\r\n%s\r\n" % (len(piece), piece))
        out.append(b"0\r\n" + "".join(f"{k}: {v}\r\n" for k, v in request.get("trailers", [])).encode() + b"\r\n")
    elif body:
        out.append(body)
    return b"".join(out)


class Truncated(Exception):
    pass


class Enough(Exception):
    """As much of the body as was wanted is there."""


class Reader:
    def __init__(self, sock, most=None):
        self.file = sock.makefile("rb", 65536)
        self.left = most  # bytes of a body that are read before the client has enough

    def line(self):
        line = self.file.readline(1 << 20)
        if not line.endswith(b"\n"):
            raise Truncated("the connection ended in a line")
        return line.rstrip(b"\r\n").decode("utf-8", "surrogateescape")

    def exactly(self, n, into):
        while n:
            piece = self.file.read1(min(n, 65536, self.left or 65536))
            if not piece:
                raise Truncated("the connection ended in the body")
            into.append(piece)
            n -= len(piece)
            if self.left is not None:
                self.left -= len(piece)
                if not self.left:
                    raise Enough

    def fields(self):
        found = []
        while line := self.line():
            name, _, value = line.partition(":")
            found.append((name, value.strip()))
        return found


def read_answer(reader, method, answer):
    while True:
        line = reader.line()
        answer.status = int(line.split(" ")[1])
        answer.headers = reader.fields()
        if answer.status >= 200 or answer.status == 101:
            break
    pieces = []
    try:
        length = answer.values("content-length")
        if method == "HEAD" or answer.status in (204, 304):
            pass
        elif "chunked" in ",".join(answer.values("transfer-encoding")).lower():
            while size := int(reader.line().split(";")[0], 16):
                reader.exactly(size, pieces)
                if reader.line():
                    raise Truncated("a chunk does not end where it says")
            answer.trailers = reader.fields()
        elif length:
            reader.exactly(int(length[0]), pieces)
        else:
            while piece := reader.file.read1(65536):
                pieces.append(piece)
    finally:
        answer.body = b"".join(pieces)


def exchange(addr, request, timeout=60, connect=socket.create_connection):
    """Sends one request on a connection of its own and reads the answer, both at once. connect: from an address and a timeout to something like a socket."""
    answer = Answer()
    began = time.monotonic()
    try:
        sock = connect(addr, timeout)
    except OSError as e:
        answer.error = f"cannot connect: {e}"
        return answer
    data = encode(request, f"{addr[0]}:{addr[1]}")

    def send():
        try:
            sock.sendall(data)
        except OSError:
            pass  # the server may answer and close before it has read everything

    sender = None
    if len(data) > 60000:
        sender = threading.Thread(target=send, daemon=True)
        sender.start()
    else:
        send()
    try:
        read_answer(Reader(sock, request.get("read_bytes")), request["method"], answer)
    except Enough:
        sock.shutdown(socket.SHUT_RDWR)
    except (Truncated, OSError, ValueError, IndexError) as e:
        answer.aborted = True
        answer.error = f"{type(e).__name__}: {e}"
    answer.ms = (time.monotonic() - began) * 1000
    sock.close()
    if sender:
        sender.join(5)
    return answer

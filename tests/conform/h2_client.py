"""HTTP/2 by hand (RFC 9113, HPACK of RFC 7541): frames as a test wants them, also such as no library would send; and requests as http_client has them."""
import socket, ssl, struct, time
from http_client import Answer, body_of

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED = 1, 1, 4, 8
NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, SETTINGS_TIMEOUT, STREAM_CLOSED, FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL = range(9)
ENHANCE_YOUR_CALM, HTTP_1_1_REQUIRED = 11, 13
HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE = range(1, 7)
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

# ---- HPACK ------------------------------------------------------------------------------------------------------------------------------

_STATIC = """:authority|:method GET|:method POST|:path /|:path /index.html|:scheme http|:scheme https|:status 200|:status 204|:status 206|:status 304|:status 400|
:status 404|:status 500|accept-charset|accept-encoding gzip, deflate|accept-language|accept-ranges|accept|access-control-allow-origin|age|allow|authorization|cache-control|
content-disposition|content-encoding|content-language|content-length|content-location|content-range|content-type|cookie|date|etag|expect|expires|from|host|if-match|
if-modified-since|if-none-match|if-range|if-unmodified-since|last-modified|link|location|max-forwards|proxy-authenticate|proxy-authorization|range|referer|refresh|
retry-after|server|set-cookie|strict-transport-security|transfer-encoding|user-agent|vary|via|www-authenticate"""
STATIC = [tuple((x.strip() + " ").split(" ", 1)) for x in _STATIC.replace("\n", "").split("|")]
STATIC = [(name, value.strip()) for name, value in STATIC]

# Lengths of the codes by symbol (RFC 7541, B); codes of one length follow each other by symbol, and those of a length those of the one before.
_LENGTHS = [int(x) for x in """13 23 28 28 28 28 28 28 28 24 30 28 28 30 28 28 28 28 28 28 28 28 30 28 28 28 28 28 28 28 28 28 6 10 10 12 13 6 8 11 10 10 8 11 8 6 6 6
5 5 5 6 6 6 6 6 6 6 7 8 15 6 12 10 13 6 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 8 7 8 13 19 13 14 6 15 5 6 5 6 5 6 6 6 5 7 7 6 6 6 5 6 7 6 5 5 6 7 7 7 7 7 15 11 14 13 28
20 22 20 20 22 22 22 23 22 23 23 23 23 23 24 23 24 24 22 23 24 23 23 23 23 21 22 23 22 23 23 24 22 21 20 22 22 23 23 21 23 22 22 24 21 22 23 23 21 21 22 21 23 22 23 23
20 22 22 22 23 22 22 23 26 26 20 19 22 23 22 25 26 26 26 27 27 26 24 25 19 21 26 27 27 26 27 24 21 21 26 26 28 27 27 27 20 24 20 21 22 21 21 23 22 22 25 25 24 24 26 23
26 27 26 26 27 27 27 27 27 28 27 27 27 27 27 26 30""".split()]


def _codes():
    code, last, table = 0, 0, {}
    for length, symbol in sorted((n, s) for s, n in enumerate(_LENGTHS)):
        code <<= length - last
        table[(length, code)] = symbol
        code, last = code + 1, length
    assert code == 1 << last  # all codes are used
    return table


_HUFFMAN = _codes()


def _unhuffman(data):
    out, length, code = bytearray(), 0, 0
    for byte in data:
        for bit in range(7, -1, -1):
            length, code = length + 1, code << 1 | byte >> bit & 1
            if (length, code) in _HUFFMAN:
                out.append(_HUFFMAN[length, code])
                length = code = 0
    return bytes(out)


def integer(value, prefix, first=0):
    most = (1 << prefix) - 1
    if value < most:
        return bytes([first | value])
    out, value = bytearray([first | most]), value - most
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out + bytes([value]))


def text(data):
    data = data.encode("utf-8", "surrogateescape") if isinstance(data, str) else data
    return integer(len(data), 7) + data


def literal(name, value):
    """Not indexed, in clear: any bytes go."""
    return b"\x00" + text(name) + text(value)


def encode_fields(fields):
    return b"".join(literal(n, v) for n, v in fields)


class Decoder:
    def __init__(self):
        self.table, self.most = [], 4096

    def _integer(self, data, at, prefix):
        most = (1 << prefix) - 1
        value = data[at] & most
        at += 1
        if value == most:
            shift = 0
            while True:
                value += (data[at] & 127) << shift
                shift += 7
                at += 1
                if not data[at - 1] & 128:
                    break
        return value, at

    def _text(self, data, at):
        packed = data[at] & 128
        n, at = self._integer(data, at, 7)
        raw = data[at:at + n]
        return (_unhuffman(raw) if packed else raw).decode("utf-8", "surrogateescape"), at + n

    def _field(self, i):
        return STATIC[i - 1] if i <= len(STATIC) else self.table[i - len(STATIC) - 1]

    def _add(self, field):
        self.table.insert(0, field)
        while sum(len(n) + len(v) + 32 for n, v in self.table) > self.most:
            self.table.pop()

    def decode(self, data):
        at, out = 0, []
        while at < len(data):
            first = data[at]
            if first & 128:
                i, at = self._integer(data, at, 7)
                out.append(self._field(i))
                continue
            if first & 0xe0 == 0x20:
                self.most, at = self._integer(data, at, 5)
                continue
            i, at = self._integer(data, at, 6 if first & 64 else 4)
            if i:
                name = self._field(i)[0]
            else:
                name, at = self._text(data, at)
            value, at = self._text(data, at)
            out.append((name, value))
            if first & 64:
                self._add((name, value))
        return out


# ---- frames -----------------------------------------------------------------------------------------------------------------------------

def frame(kind, flags, stream, payload=b""):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def settings(**values):
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", globals()[k.upper()], v) for k, v in values.items()))


def window_update(stream, n):
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", n))


class Frame:
    def __init__(self, kind, flags, stream, payload):
        self.kind, self.flags, self.stream, self.payload, self.fields = kind, flags, stream, payload, []

    def __repr__(self):
        return f"<{self.kind} {self.flags:#x} on {self.stream}: {self.payload[:40]!r} {len(self.payload)}>"

    @property
    def code(self):
        return struct.unpack(">I", self.payload[:4] if self.kind == RST_STREAM else self.payload[4:8])[0]

    @property
    def last(self):
        return struct.unpack(">I", self.payload[:4])[0]


class Closed(Exception):
    pass


def tls_context(alpn=("h2",)):
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    c.check_hostname = False
    c.verify_mode = ssl.CERT_NONE
    c.set_alpn_protocols(list(alpn))
    return c


class Connection:
    """A connection that speaks HTTP/2. Nothing is answered by itself but SETTINGS and PING, and windows are opened only where `opens`."""

    def __init__(self, addr, timeout=20, tls=False, greet=True, opens=True, rcvbuf=None, **values):
        self.sock = socket.socket()
        if rcvbuf:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        self.sock.settimeout(timeout)
        self.sock.connect(addr)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            self.sock = tls_context().wrap_socket(self.sock, server_hostname="localhost")
        self.buffer, self.decoder, self.opens = b"", Decoder(), opens
        self.host, self.scheme, self.next_id = f"{addr[0]}:{addr[1]}", "https" if tls else "http", 1
        self.windows, self.kept = {0: 65535}, {}
        self.initial = 65535
        self.goaway = None
        if greet:
            self.send(PREFACE + settings(**values))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data)

    def read(self):
        """The next frame. Raises Closed at the end."""
        while True:
            if len(self.buffer) >= 9:
                n = int.from_bytes(self.buffer[:3], "big")
                if len(self.buffer) >= 9 + n:
                    b, self.buffer = self.buffer[:9 + n], self.buffer[9 + n:]
                    f = Frame(b[3], b[4], struct.unpack(">I", b[5:9])[0] & 0x7fffffff, b[9:])
                    self._heed(f)
                    return self._whole(f) if f.kind == HEADERS else f
            try:
                more = self.sock.recv(65536)
            except (ConnectionError, ssl.SSLEOFError):
                more = b""
            if not more:
                raise Closed("the connection ended")
            self.buffer += more

    def _whole(self, f):
        """A HEADERS frame with what continues it, and its fields."""
        block, g = f.payload, f
        if f.flags & PADDED:
            block = block[1:len(block) - block[0]]
        while not g.flags & END_HEADERS:
            g = self.read()
            block += g.payload
        f.fields = self.decoder.decode(block)
        return f

    def _heed(self, f):
        try:
            if f.kind == SETTINGS and not f.flags & ACK:
                for at in range(0, len(f.payload), 6):
                    key, value = struct.unpack(">HI", f.payload[at:at + 6])
                    if key == INITIAL_WINDOW_SIZE:
                        for k in self.windows:
                            self.windows[k] += (value - self.initial) * (k != 0)
                        self.initial = value
                self.send(frame(SETTINGS, ACK, 0))
            elif f.kind == PING and not f.flags & ACK:
                self.send(frame(PING, ACK, 0, f.payload))
            elif f.kind == WINDOW_UPDATE:
                self.windows[f.stream] = self.windows.get(f.stream, self.initial) + struct.unpack(">I", f.payload)[0]
            elif f.kind == DATA and self.opens and f.payload:
                self.send(window_update(0, len(f.payload)) + (b"" if f.flags & END_STREAM else window_update(f.stream, len(f.payload))))
        except OSError:
            pass  # what has come may still be read
        if f.kind == GOAWAY:
            self.goaway = f

    def until(self, kind, stream=None):
        while True:
            f = self.read()
            if f.kind == kind and stream in (None, f.stream):
                return f

    def ends(self):
        """All frames until the connection ends."""
        out = []
        try:
            while True:
                out.append(self.read())
        except (Closed, ssl.SSLError):
            return out

    def fields(self, method="GET", path="/", headers=(), **_):
        mine = [(":method", method), (":scheme", self.scheme), (":authority", self.host), (":path", path)]
        return mine + [(k.lower(), v) for k, v in headers if k.lower() not in ("connection", "transfer-encoding", "host", "keep-alive", "upgrade", "proxy-connection")]

    def head(self, end=True, fields=None, **request):
        """Sends the head of a request; its stream."""
        stream, self.next_id = self.next_id, self.next_id + 2
        block = encode_fields(self.fields(**request) if fields is None else fields)
        parts = [block[at:at + 16384] for at in range(0, len(block), 16384)] or [b""]
        out = b""
        for i, part in enumerate(parts):
            flags = (END_STREAM if end and i == 0 else 0) | (END_HEADERS if i == len(parts) - 1 else 0)
            out += frame(CONTINUATION if i else HEADERS, flags, stream, part)
        self.windows[stream] = self.initial
        self.send(out)
        return stream

    def answer(self, stream, most=None):
        """The answer on one stream, or as much of its body as is wanted; what comes on others is kept for theirs."""
        a, pieces = Answer(), []
        try:
            while most is None or sum(map(len, pieces)) < most:
                mine = self.kept.get(stream)
                f = mine.pop(0) if mine else self.read()
                if f.kind == GOAWAY and f.last < stream:
                    raise Closed(f"GOAWAY {f.code}")
                if f.stream != stream:
                    self._keep(f)
                elif self._take(a, f, pieces):
                    break
        except (Closed, OSError) as e:
            a.aborted, a.error = True, f"{type(e).__name__}: {e}"
        self.kept.pop(stream, None)
        a.body = b"".join(pieces)
        return a

    def _keep(self, f):
        if f.stream:
            self.kept.setdefault(f.stream, []).append(f)

    def _take(self, a, f, pieces):
        if f.kind == HEADERS:
            fields = f.fields
            status = dict(fields).get(":status")
            if status and status[0] == "1":
                return False
            if status:
                a.status, a.headers = int(status), [x for x in fields if x[0][0] != ":"]
            else:
                a.trailers = fields
        elif f.kind == DATA:
            pieces.append(f.payload)
        elif f.kind == RST_STREAM:
            raise Closed(f"RST_STREAM {f.code}")
        return f.kind in (HEADERS, DATA) and bool(f.flags & END_STREAM)

    def send_body(self, stream, data, end=True):
        """Within the windows; what comes meanwhile is kept for the answers. False: the stream was reset or answered to its end."""
        while data:
            n = min(len(data), 16384, self.windows[0], self.windows[stream])
            if n <= 0:
                f = self.read()
                self._keep(f)
                if f.stream == stream and (f.kind == RST_STREAM or f.kind in (HEADERS, DATA) and f.flags & END_STREAM):
                    return False
                continue
            self.windows[0] -= n
            self.windows[stream] -= n
            self.send(frame(DATA, END_STREAM if end and n == len(data) else 0, stream, data[:n]))
            data = data[n:]
        return True

    def ask(self, request):
        """Sends one whole request, or as much as is wanted of it; its stream."""
        body, trailers, headers = body_of(request), request.get("trailers"), list(request.get("headers", []))
        if body and not request.get("chunked") and not trailers and "content-length" not in {k.lower() for k, _ in headers}:
            headers.append(["content-length", str(len(body))])
        if "te" not in {k.lower() for k, _ in headers}:
            headers.append(["te", "trailers"])
        stream = self.head(end=not body and not trailers, method=request["method"], path=request["path"], headers=headers)
        if (not body or self.send_body(stream, memoryview(body), end=not trailers)) and trailers:
            self.send(frame(HEADERS, END_STREAM | END_HEADERS, stream, encode_fields((k.lower(), v) for k, v in trailers)))
        return stream

    def request(self, request):
        """One whole request and its answer."""
        began, stream = time.monotonic(), self.next_id
        try:
            self.ask(request)
            failed = ""
        except (Closed, OSError) as e:  # the answer may have come before
            failed = f"{type(e).__name__}: {e}"
        a = self.answer(stream, request.get("read_bytes"))
        a.error = a.error or failed
        a.ms = (time.monotonic() - began) * 1000
        return a


def exchange(addr, request, timeout=60, tls=False):
    """As http_client's."""
    try:
        with Connection(addr, timeout, tls) as c:
            return c.request(request)
    except OSError as e:
        a = Answer()
        a.error = f"cannot connect: {e}"
        return a

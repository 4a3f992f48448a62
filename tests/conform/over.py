"""What the requests of tests go over: HTTP/1.1 or HTTP/2, in clear or by TLS. A test that asks by `exchange` and `connect` is the same over each."""
import io, socket, ssl, struct, subprocess, tempfile, threading, time
from pathlib import Path

import h2_client, http_client

WAYS = {"h1": (False, False), "tls": (True, False), "h2c": (False, True), "h2": (True, True)}  # name: (by TLS, HTTP/2)


class ByHand(Exception):
    """A test, or the rest of one, is about what is written by hand, in what its server does not speak now."""


class Way:
    """How a server is asked; `flags` make `tenon serve` speak it."""

    def __init__(self, name="h1"):
        self.name, (self.tls, self.http2) = name, WAYS[name]
        self.flags, self.folder = [], None
        if self.tls:
            self.folder = tempfile.TemporaryDirectory(prefix="tenon-over-")
            cert, key = (Path(self.folder.name) / x for x in ("cert.pem", "key.pem"))
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", cert, "-days", "2", "-subj",
                "/CN=localhost"], check=True, capture_output=True)
            self.flags = ["--tls-cert", str(cert), "--tls-key", str(key)]

    def over(self, plain, timeout):
        """What HTTP/1.1 is spoken on by hand, on a connection."""
        return Tls(plain, timeout) if self.tls else plain

    def connect(self, addr, timeout):
        return self.over(socket.create_connection(addr, timeout), timeout)

    def exchange(self, addr, request, timeout=60):
        """One request on a connection of its own, and its answer."""
        if self.http2:
            return h2_client.exchange(addr, request, timeout, self.tls)
        return http_client.exchange(addr, request, timeout, self.connect)


class Tls:
    """A socket by TLS that one thread may read while another writes: OpenSSL's own calls are never made by both at once."""

    def __init__(self, plain, timeout, alpn=("http/1.1",)):
        self.sock, self.lock, self.sending = plain, threading.Lock(), threading.Lock()
        self.come, self.goes = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.ssl = h2_client.tls_context(alpn).wrap_bio(self.come, self.goes, server_hostname="localhost")
        plain.settimeout(timeout)
        self._until_done(self.ssl.do_handshake)

    def _until_done(self, what, *args):
        while True:
            try:
                with self.lock:
                    return what(*args)
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLZeroReturnError:
                return b""
            except ssl.SSLEOFError as e:
                raise ConnectionResetError(str(e)) from None
            finally:
                if self.goes.pending:
                    self._flush()
            data = self.sock.recv(1 << 16)
            with self.lock:
                self.come.write(data) if data else self.come.write_eof()

    def _flush(self):
        with self.sending:
            with self.lock:
                data = self.goes.read()
            self.sock.sendall(data)

    def recv(self, n):
        return self._until_done(self.ssl.read, n)

    def sendall(self, data):
        view = memoryview(data)
        for at in range(0, len(view), 1 << 16):
            with self.lock:
                self.ssl.write(view[at:at + (1 << 16)])
            self._flush()

    def send(self, data):
        self.sendall(data)
        return len(data)

    def makefile(self, _, size):
        return io.BufferedReader(_Raw(self), size)

    def shutdown(self, how):
        """Ours is said to be over (close_notify); what the other side sends can still be read, unless all is over."""
        try:
            with self.lock:
                self.ssl.unwrap()
        except ssl.SSLError:
            pass  # its close_notify has not come yet
        self._flush()
        self.sock.shutdown(how)

    def settimeout(self, seconds):
        self.sock.settimeout(seconds)

    def setsockopt(self, *what):
        self.sock.setsockopt(*what)

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class _Raw(io.RawIOBase):
    def __init__(self, of):
        self.of = of

    def readable(self):
        return True

    def readinto(self, into):
        data = self.of.recv(len(into))
        into[:len(data)] = data
        return len(data)


class Streams:
    """What harness.Connection is, by HTTP/2: requests on streams of their own, answers in the order of the requests."""

    def __init__(self, addr, timeout=20, rcvbuf=None, tls=False):
        self.c, self.asked = h2_client.Connection(addr, timeout, tls, rcvbuf=rcvbuf), []

    @property
    def sock(self):
        raise ByHand

    reader = sock

    def send(self, _):
        raise ByHand

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.c.close()

    def reset(self):
        self.c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def ask(self, path="/", method="GET", **more):
        self.asked.append(self.c.ask({"method": method, "path": path, **more}))

    def answer(self, method="GET"):
        return self.c.answer(self.asked.pop(0))

    def get(self, path="/", method="GET", **more):
        self.ask(path, method, **more)
        return self.answer(method)

    def ends_within(self, seconds):
        """The connection ends, and no stream got anything more; how long that took, or None."""
        began = time.monotonic()
        self.c.sock.settimeout(seconds)
        try:
            while True:
                f = self.c.read()
                if f.stream:
                    raise AssertionError(f"unexpected: {f}")
        except h2_client.Closed:
            return time.monotonic() - began
        except OSError:
            return None

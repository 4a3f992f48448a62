"""TLS on both sides: what is served by it, and whom guests that ask by it talk to."""
import os, signal, socket, ssl, subprocess, tempfile, threading, time
from pathlib import Path
from urllib.parse import quote

from front import Folder, Front, ask, handed, listening, refused
from harness import HELLO, Server, check, shared_guest
import h2_client


def _openssl(*argv):
    r = subprocess.run(["openssl", *map(str, argv)], capture_output=True)
    check(r.returncode == 0, f"openssl {argv[0]}: {r.stderr.decode()[-300:]}")


def _authority(d, name="ca"):
    _openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", d / f"{name}.key", "-out", d / f"{name}.pem", "-subj",
        f"/CN={name}", "-days", "2")
    return d / f"{name}.pem"


def _certificate(d, name, names, ca="ca", days=2):
    """A certificate for `names` (as DNS:… or IP:…); days < 0: expired."""
    _openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", d / f"{name}.key", "-out", d / f"{name}.csr", "-subj", f"/CN={name}")
    (d / "ext").write_text(f"subjectAltName={names}\n")
    _openssl("x509", "-req", "-in", d / f"{name}.csr", "-CA", d / f"{ca}.pem", "-CAkey", d / f"{ca}.key", "-CAcreateserial", "-out", d / f"{name}.pem", "-days", days,
        "-extfile", d / "ext")
    return d / f"{name}.pem", d / f"{name}.key"


def _served_name(addr, ca, name):
    """Common name of the certificate that is shown to who asks for `name`."""
    context = ssl.create_default_context(cafile=str(ca))
    context.check_hostname = False
    context.set_alpn_protocols(["http/1.1"])
    with socket.create_connection(addr, 10) as c, context.wrap_socket(c, server_hostname=name) as s:
        check(s.selected_alpn_protocol() == "http/1.1", f"{s.selected_alpn_protocol()}")
        return dict(x[0] for x in s.getpeercert()["subject"])["commonName"]


def _get(addr, ca, name="localhost", path="/", body=None):
    argv = ["curl", "-s", "-m", "20", "--http1.1", "--cacert", str(ca), "--resolve", f"{name}:{addr[1]}:127.0.0.1", f"https://{name}:{addr[1]}{path}"]
    r = subprocess.run(argv + (["--data-binary", "@-"] if body is not None else []), input=body, capture_output=True)
    return r.returncode, r.stdout


def tls_is_spoken_on_addresses_and_not_on_sockets_in_the_file_system():
    with Folder() as d:
        ca = _authority(d)
        cert, key = _certificate(d, "one", "DNS:localhost")
        flags = ("--tls-cert", cert, "--tls-key", key, "--addr", f"unix:{d}/s")
        with listening() as l, Front(HELLO, *flags, "--addr", "127.0.0.1:0", wrap=handed(l), addresses=3) as s:
            check([u.split(":")[0] for u in s.urls] == ["unix", "https", "https"], f"{s.urls}")
            check(ask(s.at[0]).status == 200, "no answer in clear")
            for at in s.at[1:]:
                check(_get(at, ca)[1], f"no answer at {at}")
        status, text = refused(HELLO, *flags)
        check(status == 2 and "no address to speak TLS on" in text, f"{status} {text}")


def a_file_that_is_not_there_is_told_by_its_path_and_why():
    with Folder() as d:
        _authority(d)
        cert, key = _certificate(d, "one", "DNS:localhost")
        none, folder = d / "none.pem", d / "folder"
        folder.mkdir()
        at = ("--addr", "127.0.0.1:0")
        for flags, said, hint in ((("--tls-cert", none, "--tls-key", key), f"no certificate in '{none}': No such file or directory", "a chain in PEM"),
                (("--tls-cert", cert, "--tls-key", none), f"no key for the certificate in '{none}': No such file or directory", f"the private key of '{cert}'"),
                (("--tls-cert", folder, "--tls-key", key), f"no certificate in '{folder}': Is a directory", "a chain in PEM"),
                (("--tls-cert", key, "--tls-key", key), f"no certificate in '{key}': nothing of the kind is in it as PEM", "a chain in PEM"),
                (("--net", "all", "--ca", none), f"no certificates in '{none}': No such file or directory", "a file of certificates")):
            status, text = refused(HELLO, *at, *flags)
            check(status == 5 and said in text and f"hint: {hint}" in text and "start line" not in text, f"{flags}: {status} {text}")


def what_tls_needs_is_loaded_where_it_is_spoken_only():
    with tempfile.TemporaryDirectory() as t:
        _authority(Path(t))
        cert, key = _certificate(Path(t), "one", "DNS:localhost")
        for flags, loaded in (((), False), (("--tls-cert", cert, "--tls-key", key), True), (("--net", "all"), True)):
            with Server(HELLO, *flags) as s:
                check(("libssl" in Path(f"/proc/{s.pid}/maps").read_text()) == loaded, f"{flags}: loaded is not {loaded}")


def a_server_speaks_tls_and_shows_the_certificate_that_is_asked_for():
    with tempfile.TemporaryDirectory() as t:
        d = Path(t)
        ca = _authority(d)
        one, two = _certificate(d, "one", "DNS:localhost,DNS:one.example"), _certificate(d, "two", "DNS:two.example,DNS:*.wild.example")
        with Server(HELLO, "--tls-cert", one[0], "--tls-key", one[1], "--tls-cert", two[0], "--tls-key", two[1]) as s:
            for name, want in (("localhost", "one"), ("two.example", "two"), ("a.wild.example", "two"), ("none.example", "one")):
                check(_served_name(s.addr, ca, name) == want, name)
            status, body = _get(s.addr, ca)
            check(status == 0 and body, f"{status} {body}")
            status, body = _get(s.addr, ca, "two.example")
            check(status == 0 and body, f"{status} {body}")
            check(_get(s.addr, ca, "none.example")[0] == 60, "a certificate for another name was shown as ours")
            with s.connect() as c:  # in clear
                c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                try:
                    check(c.sock.recv(1000)[:4] != b"HTTP", "an answer in clear")
                except ConnectionResetError:
                    pass


def by_tls_the_handshake_chooses_http2():
    with tempfile.TemporaryDirectory() as t:
        d = Path(t)
        ca = _authority(d)
        one = _certificate(d, "one", "DNS:localhost")
        with Server(HELLO, "--tls-cert", one[0], "--tls-key", one[1]) as s:
            with h2_client.Connection(s.addr, tls=True) as c:
                check(c.sock.selected_alpn_protocol() == "h2", f"{c.sock.selected_alpn_protocol()}")
                a = c.request({"method": "POST", "path": "/echo", "body": "hello"})
                check(a.status == 200 and a.body == b"hello", f"{a.status} {a.body} {a.error}")
            argv = ["curl", "-s", "-m", "20", "--cacert", str(ca), "-o", "/dev/null", "-w", "%{http_version} %{http_code}", f"https://localhost:{s.addr[1]}/"]
            for flags, want in ((["--http2"], "2 200"), (["--http1.1"], "1.1 200"), (["--tls-max", "1.2", "--http2"], "2 200"),
                    (["--tls-max", "1.2", "--ciphers", "ECDHE-ECDSA-AES128-SHA256", "--http2"], "1.1 200")):
                r = subprocess.run(argv[:1] + flags + argv[1:], capture_output=True, text=True)
                check(r.stdout == want, f"{flags}: {r.stdout} {r.returncode}")
            with socket.create_connection(s.addr, 10) as c, h2_client.tls_context(["h2"]).wrap_socket(c, server_hostname="localhost") as k:
                k.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")  # not what was agreed on
                k.settimeout(10)
                check(b"HTTP/1.1 200" not in k.recv(1000), "another protocol than was agreed on")


def certificates_are_read_again_when_they_change_and_on_sighup():
    with tempfile.TemporaryDirectory() as t:
        d = Path(t)
        ca = _authority(d)
        cert, key = _certificate(d, "live", "DNS:localhost")
        with Server(HELLO, "--tls-cert", cert, "--tls-key", key) as s:
            check(_served_name(s.addr, ca, "localhost") == "live", "the first")
            new = _certificate(d, "new", "DNS:localhost")
            os.replace(new[1], key)
            os.replace(new[0], cert)
            os.kill(s.pid, signal.SIGHUP)
            _until(lambda: _served_name(s.addr, ca, "localhost") == "new", "SIGHUP")
            cert.write_text("nothing of the kind")
            os.kill(s.pid, signal.SIGHUP)
            _until(lambda: "the certificates stay as they were" in s.log_text(), "a line in the log")
            check(_served_name(s.addr, ca, "localhost") == "new", "what was good was lost")
            third = _certificate(d, "third", "DNS:localhost")
            os.replace(third[1], key)
            os.replace(third[0], cert)
            _until(lambda: _served_name(s.addr, ca, "localhost") == "third", "the files have changed")


def _until(holds, what, seconds=60):
    end = time.monotonic() + seconds
    while not holds():
        check(time.monotonic() < end, what)
        time.sleep(0.1)


class _Peer:
    """A server of TLS that answers each request with `hello`."""

    def __init__(self, cert, key):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(cert, key)
        self.context.sni_callback = lambda s, name, c: self.names.append(name)
        self.names = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                c, _ = self.listener.accept()
            except OSError:
                return
            try:
                with self.context.wrap_socket(c, server_side=True) as s:
                    while b"\r\n\r\n" not in s.recv(65536):
                        pass
                    s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
            except OSError:
                pass

    def __enter__(self):
        return self

    def __exit__(self, *why):
        self.listener.close()


def _ask(s, url):
    return s.get("/fetch?url=" + quote(url, safe=""))


def an_alert_of_the_peer_is_told_with_its_number_and_name():
    proxy = shared_guest("http/proxy-rust.wasm")
    with tempfile.TemporaryDirectory() as t:
        d = Path(t)
        ca = _authority(d)
        cert, key = _certificate(d, "one", "DNS:localhost")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        context.load_verify_locations(str(ca))
        context.verify_mode = ssl.CERT_REQUIRED  # our guests have none
        with socket.create_server(("127.0.0.1", 0)) as listener, Server(proxy, "--net", "https://localhost", "--net", "127.0.0.1", "--ca", ca) as s:
            def serve():
                while True:
                    try:
                        c, _ = listener.accept()
                        context.wrap_socket(c, server_side=True)
                    except ssl.SSLError:
                        c.close()
                    except OSError:
                        return
            threading.Thread(target=serve, daemon=True).start()
            a = _ask(s, f"https://localhost:{listener.getsockname()[1]}/")
            check(a.status == 502 and b"TlsAlertReceived" in a.body and b"116" in a.body and b"certificate_required" in a.body, f"{a.status} {a.body}")


def a_guest_talks_only_to_whom_the_certificate_vouches_for():
    proxy = shared_guest("http/proxy-rust.wasm")
    with tempfile.TemporaryDirectory() as t:
        d = Path(t)
        ca, _ = _authority(d), _authority(d, "other")
        good, wrong, old = _certificate(d, "good", "DNS:localhost,IP:127.0.0.1"), _certificate(d, "wrong", "DNS:some.example"), _certificate(d, "old", "DNS:localhost", days=-1)
        unknown = _certificate(d, "unknown", "DNS:localhost", ca="other")
        flags = ("--net", "https://localhost", "--net", "127.0.0.1", "--ca", ca)
        with _Peer(*good) as p, Server(proxy, *flags) as s:
            for _ in range(2):
                a = _ask(s, f"https://localhost:{p.port}/")
                check(a.status == 200 and a.body == b"hello", f"{a.status} {a.body}")
            check(p.names[-1] == "localhost", f"{p.names}")
            a = _ask(s, f"https://127.0.0.1:{p.port}/")
            check(a.status == 200 and p.names[-1] is None, f"{a.status} {a.body} {p.names}")
            for pair in (wrong, old, unknown):
                with _Peer(*pair) as bad:
                    a = _ask(s, f"https://localhost:{bad.port}/")
                    check(a.status == 502 and b"TlsCertificateError" in a.body, f"{pair[0].name}: {a.status} {a.body}")
            with socket.create_server(("127.0.0.1", 0)) as clear:  # says nothing of TLS
                def answer():
                    c, _ = clear.accept()
                    c.recv(1000)
                    c.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                    c.close()
                threading.Thread(target=answer, daemon=True).start()
                a = _ask(s, f"https://localhost:{clear.getsockname()[1]}/")
                check(a.status == 502 and b"TlsProtocolError" in a.body, f"{a.status} {a.body}")
        with _Peer(*good) as p, Server(proxy, *flags[:-2]) as s:  # the system does not know our authority
            a = _ask(s, f"https://localhost:{p.port}/")
            check(a.status == 502 and b"TlsCertificateError" in a.body, f"{a.status} {a.body}")

"""What servers of stores that mean ill get: no password before TLS where that was asked for by either side, and no say in whose certificate is looked for."""
import json, ssl, subprocess

from front import Folder
from harness import check
from peers import Peer
from test_link import _App

PASSWORD = "of-nobody-elses"


class _Nats(Peer):
    """Says of itself that it is another host; what it was told: in clear, by TLS, and the name that was asked for."""

    def __init__(self, top, name, tls_required, more=b""):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "key.pem", "-out", "cert.pem", "-days", "2", "-subj", f"/CN={name}",
            "-addext", f"subjectAltName=DNS:{name}"], cwd=top, check=True, capture_output=True)
        self.clear, self.by_tls, self.names, self.tls_required, self.more = b"", b"", [], tls_required, more
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(f"{top}/cert.pem", f"{top}/key.pem")
        self.context.sni_callback = lambda sock, name, context: self.names.append(name)
        super().__init__()

    def _serve(self, c):
        info = {"server_id": "x", "server_name": "other.example", "host": "other.example", "port": 4222, "version": "2.9.0", "headers": True, "jetstream": True, "max_payload": 1 << 20,
            "connect_urls": ["other.example:4222"], "tls_required": self.tls_required}
        try:
            c.sendall(b"INFO " + json.dumps(info).encode() + b"\r\n" + self.more)
            c.settimeout(30)
            first = c.recv(1, 2)  # MSG_PEEK
            if first == b"\x16":
                with self.context.wrap_socket(c, server_side=True) as t:
                    self.by_tls += t.recv(65536)
            else:
                self.clear += c.recv(65536)
        except OSError:
            pass
        c.close()


def _asked(scheme, certificate_of, tls_required, more=b""):
    with Folder() as top, _Nats(top, certificate_of, tls_required, more) as peer:
        link = f'type = "nats"\nurl = "{scheme}://user:{PASSWORD}@localhost:{peer.port}/links"\nstart = "lazy"\ndeadline = "5s"'
        with _App(top, link, shards=1).start("--ca", f"{top}/cert.pem") as app:
            status, body = app.request("/incr/n", "POST")
        check(status >= 500 and PASSWORD not in str(body), f"{status} {body}")
        return peer


def a_server_of_nats_gets_no_password_before_tls_and_chooses_no_name_L91():
    for scheme, tls_required in (("nats", True), ("tls", False), ("tls", True)):
        peer = _asked(scheme, "localhost", tls_required)
        check(not peer.clear and PASSWORD.encode() in peer.by_tls and b"CONNECT" in peer.by_tls, f"{scheme}, {tls_required}: {peer.clear} {peer.by_tls}")
        check(set(peer.names) == {"localhost"}, f"{scheme}: {peer.names}")
        peer = _asked(scheme, "other.example", tls_required)
        check(not peer.clear and not peer.by_tls and set(peer.names) == {"localhost"}, f"a certificate of another: {peer.clear} {peer.by_tls} {peer.names}")
    peer = _asked("nats", "localhost", False)  # nobody wants TLS: so the test above is one
    check(PASSWORD.encode() in peer.clear and not peer.by_tls, f"{peer.clear} {peer.by_tls}")


def what_is_put_behind_the_greeting_of_nats_does_not_count_as_what_tls_brought():
    peer = _asked("tls", "localhost", True, b"PING\r\n")
    check(peer.accepted and not peer.clear and not peer.by_tls, f"{peer.clear} {peer.by_tls}")

"""gRPC by a real client (Python's grpcio): the four kinds of call, through a guest that answers with trailers (examples/grpc)."""
import tempfile, threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from harness import TOP, Server, check
from packages import have
from test_tls import _authority, _certificate

GUEST = TOP / "examples/grpc/grpc.wasm"


def _four_kinds(channel, grpc):
    check(channel.unary_unary("/echo.Echo/One")(b"hello", timeout=30) == b"hello", "unary")
    check(channel.unary_unary("/echo.Echo/One")(b"", timeout=30) == b"", "an empty message")
    large = bytes(range(256)) * 4000
    check(channel.unary_unary("/echo.Echo/One")(large, timeout=60) == large, "a large message")
    check(channel.stream_unary("/echo.Echo/Join")(iter([b"a", b"", b"bc"] * 100), timeout=30) == b"abc" * 100, "client streaming")
    check(list(channel.unary_stream("/echo.Echo/Split")(b"xyz" * 50, timeout=30)) == [b"x", b"y", b"z"] * 50, "server streaming")
    _in_turns(channel)
    for method, code in (("Fail", grpc.StatusCode.PERMISSION_DENIED), ("Else", grpc.StatusCode.UNIMPLEMENTED)):
        try:
            channel.unary_unary(f"/echo.Echo/{method}")(b"", timeout=30)
        except grpc.RpcError as e:
            check(e.code() == code and e.details() == "what this example has to say", f"{method}: {e.code()} {e.details()}")
        else:
            check(False, f"{method} went well")


def _in_turns(channel):
    """Each message is answered before the next is sent: nothing waits for the end of a body."""
    answered = threading.Semaphore(1)

    def messages():
        for i in range(50):
            check(answered.acquire(timeout=30), "the message before was not answered")
            yield b"%d" % i
    got = []
    for m in channel.stream_stream("/echo.Echo/Each")(messages(), timeout=60):
        got.append(m)
        answered.release()
    check(got == [b"%d" % i for i in range(50)], f"{len(got)} messages")


def the_four_kinds_of_call_go_by_a_real_client():
    grpc = have("grpc", "grpcio")
    with Server(GUEST) as s, grpc.insecure_channel("%s:%d" % s.addr) as channel:
        _four_kinds(channel, grpc)


def and_by_tls():
    grpc = have("grpc", "grpcio")
    with tempfile.TemporaryDirectory() as t:
        ca = _authority(Path(t))
        cert, key = _certificate(Path(t), "one", "DNS:localhost")
        credentials = grpc.ssl_channel_credentials(Path(ca).read_bytes())
        with Server(GUEST, "--tls-cert", cert, "--tls-key", key) as s, grpc.secure_channel("localhost:%d" % s.addr[1], credentials) as channel:
            _four_kinds(channel, grpc)


def many_calls_share_a_connection():
    grpc = have("grpc", "grpcio")
    with Server(GUEST, shards=2) as s, grpc.insecure_channel("%s:%d" % s.addr) as channel:
        with ThreadPoolExecutor(16) as pool:
            def call(i):
                return channel.unary_unary("/echo.Echo/One")(b"%d" % i, timeout=60) == b"%d" % i
            check(all(pool.map(call, range(400))), "an answer was another's")


def a_call_that_its_client_cancels_ends():
    grpc = have("grpc", "grpcio")
    with Server(GUEST) as s, grpc.insecure_channel("%s:%d" % s.addr) as channel:
        never, first = threading.Event(), channel.stream_stream("/echo.Echo/Each")

        def messages():
            yield b"one"
            never.wait(30)
        call = first(messages(), timeout=60)
        check(next(call) == b"one", "the first message")
        call.cancel()
        check(s.receipt("/echo.Echo/Each", 1)["outcome"] == "client gone", "it was not ended")
        never.set()
        check(channel.unary_unary("/echo.Echo/One")(b"x", timeout=30) == b"x", "the connection is of no use")

"""tenon up of a spin.toml: what a component imports of Spin's world and isn't given links to a denial, whatever it is."""
import json, os, subprocess, tempfile, tomllib
from pathlib import Path

from assemble import *
from harness import SHARED, TOP, Many, Server, Skip, check, config

NE, OR, EQ = b"\x47", b"\x72", b"\x46"


def _guest(interface, cases, result):
    """Asks an interface that nobody knows; ends well if the answer is an error, of that number among `cases` (a variant's)."""
    c = Component()
    i = c.interface(interface)
    error = i.variant("error", cases) if cases else None
    ok = i.own(i.resource("connection")) if result == "resource" else U32
    i.func("ask", [("what", STRING)], i.result(ok, error) if cases is not None else ok, ([I32] * 2 + [I32] * (cases is not None), [I32] * (cases is None)))
    e = c.interface("wasi:cli/exit@0.2.0")
    e.func("exit", [("status", e.result())], None, ([I32], []))
    h = c.interface("wasi:http/types@0.2.0")
    h.resource("incoming-request")
    h.resource("response-outparam")
    number = next((k for k, (n, _) in enumerate(cases or []) if n in ("access-denied", "other")), 0)
    asked = const(0) + const(0) + (const(64) if cases is not None else b"") + c.call("ask") + (DROP if cases is None else b"")
    wrong = load(64) + const(255) + b"\x71" + const(1) + NE + load(68) + const(255) + b"\x71" + const(number) + NE + OR
    c.code("handle", ([I32, I32], []), [], asked + wrong + c.call("exit"), handler(c, h), "wasi:http/incoming-handler@0.2.0")
    return c.assemble()


class _App:
    def __init__(self, guest, more=""):
        self.at = tempfile.TemporaryDirectory()
        (Path(self.at.name) / "guest.wasm").write_bytes(guest)
        (Path(self.at.name) / "spin.toml").write_text(f"""spin_manifest_version = 2
[application]
name = "asks"
[[trigger.http]]
route = "/..."
component = "guest"
[component.guest]
source = "guest.wasm"
{more}
""")

    def up(self):
        os.environ["TENON_STATE"] = self.at.name + "/state"
        try:
            return Server(self.at.name, command="up")
        finally:
            del os.environ["TENON_STATE"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.at.cleanup()


def what_is_not_granted_answers_access_denied_where_the_interface_can_say_so():
    for cases, result in (([("no-such-database", None), ("access-denied", None), ("io", STRING)], "resource"),
            ([("invalid-address", None), ("too-many-connections", None), ("other", STRING)], "number")):
        with _App(_guest("fermyon:spin/anything@2.0.0", cases, result)) as app, app.up() as s:
            for n in range(3):
                s.get(f"/{n}")
                check(s.outcome(f"/{n}") == "ok", s.log_text())
            check(s.logged("denied: fermyon:spin/anything@2.0.0; a link would grant it") == 1, s.log_text())


def where_it_can_not_the_call_traps():
    with _App(_guest("spin:nothing/at-all@3.0.0", None, "number")) as app, app.up() as s:
        check(s.get("/").status == 500 and s.receipt("/")["outcome"] == "trap", s.log_text())
        check(s.logged("access denied: nothing is granted of spin:nothing/at-all@3.0.0"), s.log_text())


def stores_that_it_names_and_does_not_import_do_no_harm():
    with _App(_guest("fermyon:spin/anything@2.0.0", [("other", STRING)], "number"), 'key_value_stores = ["default"]') as app:
        os.environ["TENON_CTL"] = app.at.name + "/ctl"
        try:
            with app.up() as s:
                s.get("/")
                check(s.outcome("/") == "ok", s.log_text())
                text = subprocess.run([str(config.tenon), "status", "--manifest"], capture_output=True, text=True, timeout=60).stdout
                check(text.startswith("# What is in force of a spin.toml") and "It is no manifest to run" in text and tomllib.loads(text)["link"], text)
        finally:
            del os.environ["TENON_CTL"]


def keys_come_as_a_stream_of_several_pages():
    """spin:key-value@3.0.0: what is listed is all of it, once; a list of one that is open for another is another."""
    app = SHARED / "apps/spin-rust-p3"
    if not app.exists():
        raise Skip("../shared is not there")
    with tempfile.TemporaryDirectory() as at:
        for f in ("spin.toml", "p3.wasm"):
            (Path(at) / f).write_bytes((app / f).read_bytes())
        os.environ["TENON_STATE"] = at + "/state"
        try:
            with Server(at, command="up") as s:
                check(s.get("/kv").body == b"\n", "keys of nothing")
                names = sorted(f"k{n}" for n in range(1100))
                Many([lambda some=some: [check(s.post(f"/incr/{n}").status == 200, n) for n in some] for some in (names[::2], names[1::2])]).join()
                for body in [s.get("/kv").body] + [a.body for a in Many([lambda: s.get("/kv") for _ in range(8)]).join()]:
                    check(body.decode() == ",".join(names) + "\n", f"{len(body)} bytes")
        finally:
            del os.environ["TENON_STATE"]


def what_would_grant_a_request_is_said_in_the_words_of_the_manifest():
    fetch, out, private = TOP / "examples/fetch/fetch.wasm", "http://127.0.0.1:9", "which leads to an address that was not named; "
    route = '[[trigger.http]]\nroute = "/..."\ncomponent = "a"\n[component.a]\nsource = "{}"\n{} = {{ UPSTREAM = "127.0.0.1:9" }}\n{}\n'
    heads = {"spin.toml": ('spin_manifest_version = 2\n[application]\nname = "a"\n', "environment"), "tenon.toml": ('tenon = 1\n[app]\nname = "a"\n', "env")}
    for name, grant, said, line in (
            ("spin.toml", "", f'; allowed_outbound_hosts = ["{out}"] would grant it', 'allowed_outbound_hosts = ["https://HOST"]'),
            ("spin.toml", 'allowed_outbound_hosts = ["http://*:*"]', f"{private}its address in `allowed_outbound_hosts` would grant it", None),
            ("tenon.toml", "", f'; network = ["{out}"] would grant it', 'network = ["https://HOST"]'),
            ("tenon.toml", 'network = ["all"]', f'{private}private = ["RANGE"], or its address in `network`, would grant it', None)):
        head, env = heads[name]
        with tempfile.TemporaryDirectory() as top:
            (Path(top) / name).write_text(head + route.format(fetch, env, grant))
            asked = subprocess.run([str(config.tenon), "check", top], capture_output=True, text=True, timeout=60)
            check(asked.returncode == 0 and (f" is given nothing; {line} would\n" in asked.stdout if line else " would" not in asked.stdout), asked)
            os.environ["TENON_CTL"] = top + "/ctl"
            try:
                with Server(top, command="up") as s:
                    check(s.get("/").status >= 400, "nothing is granted")
                    check(s.logged(json.dumps(said)[1:-1]) == 1, s.log_text())
                    told = subprocess.run([str(config.tenon), "explain", "a"], capture_output=True, text=True, timeout=60).stdout
                    check(f" is given nothing; {line} would\n" in told if line else told and " would" not in told, told)
            finally:
                del os.environ["TENON_CTL"]

"""A store that an app requires and that isn't there when tenon up starts (contract, section 9): of one app of many that app fails, answers 503 and is tried again; of one
that is alone it is the end of the start."""
import json, socket, subprocess, sys, threading, time

from common import free_port
from front import Folder, ask
from harness import HELLO, TOP, Skip, check, config, shared_guest
from test_apply import Host, _component
from test_triggers import _command
from writing import until

sys.path.append(str(TOP / "tests/real"))
import servers  # noqa: E402


def _counter(port, more="", trigger=""):
    return (f'[component.c]\nsource = "c.wasm"\nlinks = {{ "wasi:keyvalue" = "store" }}\n[link.store]\ntype = "redis"\nurl = "redis://127.0.0.1:{port}/0"\ndeadline = "500ms"\n{more}'
            f'[[trigger.http]]\nroute = "/incr/n"\ncomponent = "c"\n{trigger}')


def _state(host, app):
    return next(a["state"] for a in json.loads(host.tenon("status", "--json"))["apps"] if a["app"] == app)


def an_app_of_many_fails_alone_and_serves_once_its_store_is_there():
    if why := servers.Redis.lacks():
        raise Skip(why)
    with Folder() as top, Host(top) as host:
        port = free_port()
        job = '[component.job]\nsource = "job.wasm"\n[[trigger.start]]\nid = "worker"\ncomponent = "job"\n'
        one = host.write("one", _counter(port, trigger=job), c=shared_guest("kv") / "kv-counter-c.wasm")
        (one / "job.wasm").write_bytes(_command())
        two = host.write("two", _component("api", "a", "/..."), a=HELLO)
        host.start(one, two)
        a = ask(host.at[0], "/incr/n", "POST")
        check(a.status == 503 and a.values("retry-after") == ["1"], f"{a.status} {a.headers}")
        check(ask(host.at[0], "/").status == 200, "the other one")
        check((_state(host, "one"), _state(host, "two")) == ("failed", "running"), host.tenon("status"))
        check("one, release 1 (failed)" in host.tenon("status"), host.tenon("status"))
        log = (host.top / "stderr").read_text()
        check("app one fails" in log and f"redis://127.0.0.1:{port}/0" in log and "worker" not in log, log)
        with servers.Redis(port=port):
            check(until(lambda: _state(host, "one") == "running"), host.tenon("status"))
            a = ask(host.at[0], "/incr/n", "POST")
            check(a.status == 200 and int(a.body) == 1, f"{a.status} {a.body}")
            check(until(lambda: "start worker of one ended with 0" in (host.top / "stderr").read_text()), "its trigger begins then")
            check("app one serves" in (host.top / "stderr").read_text(), "it says so")
        check(ask(host.at[0], "/").status == 200 and _state(host, "one") == "running", "a store that goes later is an error of its calls")


def an_app_that_fails_may_be_stopped():
    with Folder() as top, Host(top) as host:
        port = free_port()
        one = host.write("one", _counter(port), c=shared_guest("kv") / "kv-counter-c.wasm")
        two = host.write("two", _component("api", "a", "/..."), a=HELLO)
        host.start(one, two)
        check(ask(host.at[0], "/incr/n", "POST").status == 503, "it fails")
        host.tenon("stop", "one")
        check(_state(host, "one") == "stopped" and ask(host.at[0], "/incr/n", "POST").status == 404, "stopped")
        host.kill()
        host.start()
        check(_state(host, "one") == "stopped", "what is stopped requires nothing")


class _Refusing:
    """In a store's place: takes connections and ends them; `rests`: none for three seconds, and one since."""

    def __init__(self, port):
        self.rests, self.listener = threading.Event(), socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        last = time.monotonic()
        while True:
            try:
                self.listener.accept()[0].close()
            except OSError:
                return
            if time.monotonic() - last > 3:
                self.rests.set()
            last = time.monotonic()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def an_app_that_failed_serves_at_once_when_it_is_applied():
    if why := servers.Redis.lacks():
        raise Skip(why)
    with Folder() as top, Host(top) as host:
        port = free_port()
        refusing = _Refusing(port)
        one = host.write("one", _counter(port), c=shared_guest("kv") / "kv-counter-c.wasm")
        host.start(one, host.write("two", _component("api", "a", "/..."), a=HELLO))
        check(_state(host, "one") == "failed", host.tenon("status"))
        check(refusing.rests.wait(60), "it asks again, ever more seldom")  # the next time is four seconds away
        refusing.close()
        host.tenon("stop", "one")
        with servers.Redis(port=port):
            host.tenon("apply", one)
            check(_state(host, "one") == "running" and ask(host.at[0], "/incr/n", "POST").status == 200, "it serves")


def a_store_that_is_dead_can_be_left_without_a_copy():
    if why := servers.Redis.lacks():
        raise Skip(why)
    with Folder() as top, Host(top) as host:
        with servers.Redis() as redis:
            one = host.write("one", _counter(redis.port), c=shared_guest("kv") / "kv-counter-c.wasm")
            host.start(one)
            check(ask(host.at[0], "/incr/n", "POST").status == 200, "it is there")
        check(ask(host.at[0], "/incr/n", "POST").status == 500, "it is there no more")
        said = host.tenon("link", "@store", "memory:", "--copy", status=6)
        check("the store in force: " in said and "without --copy" in said, said)
        check("it would be left" in host.tenon("link", "@store", "memory:", "--dry-run"), "a dry run")
        (one / "tenon.toml").write_text((one / "tenon.toml").read_text().replace('"redis"', '"memory"').replace(f'url = "redis://127.0.0.1:{redis.port}/0"', ""))
        said = host.tenon("apply", one, status=6)
        check(f"redis://127.0.0.1:{redis.port}/0 does not answer, memory: holds 0 keys" in said, said)
        said = host.tenon("link", "@store", "memory:")
        check("does not answer: it was left as it is" in said and "it starts with 0 keys" in said, said)
        a = ask(host.at[0], "/incr/n", "POST")
        check(a.status == 200 and int(a.body) == 1, f"{a.status} {a.body}")
        host.tenon("link", "@store", "--undo", status=6)
        check(ask(host.at[0], "/incr/n", "POST").status == 200, "what can't be gone back to changes nothing")


def an_app_that_fails_is_led_elsewhere():
    with Folder() as top, Host(top) as host:
        one = host.write("one", _counter(free_port()), c=shared_guest("kv") / "kv-counter-c.wasm")
        host.start(one, host.write("two", _component("api", "a", "/..."), a=HELLO))
        check(_state(host, "one") == "failed", host.tenon("status"))
        host.tenon("link", "one", "@store", "memory:")
        check(until(lambda: _state(host, "one") == "running"), host.tenon("status"))
        check(ask(host.at[0], "/incr/n", "POST").status == 200, "it serves")


def one_that_is_alone_is_not_started():
    with Folder() as top, Host(top) as host:
        one = host.write("one", _counter(free_port()).replace('deadline = "500ms"\n', ""), c=shared_guest("kv") / "kv-counter-c.wasm")
        r = subprocess.run([str(config.tenon), "up", str(one), "--addr", "127.0.0.1:0"], capture_output=True, text=True, timeout=60, env=host.env)
        check(r.returncode == 5 and r.stdout == "" and "connection was refused" in r.stderr and 'start = "lazy"' in r.stderr, f"{r.returncode} {r.stdout} {r.stderr}")

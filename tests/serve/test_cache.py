"""A component that is linked in between an app and its store, and out again, under load: the store beneath stays the same, so that the count stays exact, and nothing
fails; also while guests hold handles that it gave them."""
import threading, time

from front import Folder
from harness import TOP, Skip, check
from test_link import _App, _Load, servers
from writing import until

FILTER = TOP / "examples/filter/filter.wasm"
# It keeps nothing, and who asks it for a key with '_' in front is told so: that is how a test knows that it is there.
MORE = f'[component.cache]\nsource = "{FILTER}"\nlinks = {{{{ "wasi:keyvalue" = "store" }}}}\npolicy = "{{policy}}"\n'


def _goes_on(load, more=40):
    goal, end = load.acknowledged + more, time.monotonic() + 60
    while load.acknowledged < goal and not load.failed and time.monotonic() < end:
        time.sleep(0.01)
    check(load.acknowledged >= goal, f"the load stands still: {load.failed[:3]}")


def _put(app, there):
    app.tenon("link", "c:wasi:keyvalue", "component:cache" if there else "@store")
    status = app.request("/incr/_x", "POST")[0]
    check((status != 200) == there, f"in front: {there}, and {status}")


def _in_and_out(policy, times=4):
    with Folder() as top, _App(top, f'type = "file"\npath = "{top}/a.db"\ndeadline = "20s"', MORE.format(policy=policy)) as app:
        with _Load(app) as load:
            for _ in range(times):
                for there in (True, False):
                    _put(app, there)
                    _goes_on(load)
        check(not load.failed, load.failed[:3])
        check(app.count() == load.acknowledged, f"{app.count()} is counted, {load.acknowledged} were acknowledged")
        return f"{load.acknowledged} increments"


def a_component_in_front_of_a_store_comes_and_goes_under_load():
    return _in_and_out("fresh")


def one_that_is_used_again_comes_and_goes_under_load():
    return _in_and_out("reuse")


def what_stands_in_front_stays_while_the_store_moves_and_is_updated_itself():
    with Folder() as top, _App(top, f'type = "file"\npath = "{top}/a.db"\ndeadline = "20s"', MORE.format(policy="fresh")) as app:
        _put(app, True)
        with _Load(app) as load:
            for n in range(3):
                app.link(f"memory:{n}", "--copy", "--max-pause", "12s")
                _goes_on(load)
                newer = top / f"cache{n}.wasm"
                newer.write_bytes(FILTER.read_bytes() + b"\0\x03\x02v" + str(n).encode())
                app.tenon("update", "counter/cache", newer)
                _goes_on(load)
                app.link(f"file:{top}/{n}.db", "--copy", "--max-pause", "12s")
                _goes_on(load)
        check(not load.failed, load.failed[:3])
        check(app.count() == load.acknowledged, f"{app.count()} is counted, {load.acknowledged} were acknowledged")


def handles_that_it_gave_are_good_until_their_calls_have_ended():
    """All calls wait in the store, with a bucket of the component in hand, while it goes; and with one of the store while it comes."""
    if why := servers.Redis.lacks():
        raise Skip(why)
    with Folder() as top, servers.Redis() as redis, _App(top, f'type = "redis"\nurl = "redis://127.0.0.1:{redis.port}/0"\ndeadline = "50s"', MORE.format(policy="fresh")) as app:
        app.incr()
        for there in (True, False, True):
            check(redis.ask("CLIENT", "PAUSE", "100000", "WRITE") == "OK", "Redis stands still for who writes")
            answers = []
            calls = [threading.Thread(target=lambda: answers.append(app.request("/incr/n", "POST", timeout=100)), daemon=True) for _ in range(20)]
            for t in calls:
                t.start()
            check(until(lambda: app.status()["links"][0]["in_flight"] >= 20), "not all wait in the store")
            before = len(answers)
            app.tenon("link", "c:wasi:keyvalue", "component:cache" if there else "@store")
            check(len(answers) == before == 0, f"the change waited for calls: {answers[:3]}")
            redis.ask("CLIENT", "UNPAUSE")
            for t in calls:
                t.join(100)
            check(len(answers) == 20 and all(a[0] == 200 for a in answers), answers[:3])
            check((app.request("/incr/_x", "POST")[0] != 200) == there, f"in front: {there}")
        check(app.count() == 61, app.count())

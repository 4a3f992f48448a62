"""What those that change an app under load share: clients that stay connected, a load of them, `tenon up` in a folder of its own."""
import asyncio, json, os, signal, subprocess, tempfile, time
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
TENON = os.environ.get("TENON", TOP / "build/tenon")
SHARED = Path(os.environ.get("TENON_SHARED", TOP.parent / "shared"))

TALLY, IN_EACH = TOP / "examples/tally/tally.wasm", 20  # an async guest (policy concurrent), and how many calls are in one instance at once
COUNTER = """tenon = 1
[app]
name = "counter"
[component.c]
source = "{guest}"
{component}
[link.store]
{store}
[[trigger.http]]
route = "/..."
component = "c"
"""


def counter(guest, *store, component='links = { "wasi:keyvalue" = "store" }'):
    """The manifest of an app that counts in a store of those keys."""
    return COUNTER.format(guest=guest, component=component, store="\n".join(store))


def tally(guest, *store):
    """That of one that keeps names, many calls at once in an instance."""
    return counter(guest, *store, component=f'policy = "concurrent"\nconcurrency = {IN_EACH}\nlimits = {{ deadline = "2m", cpu = "1m" }}\nlinks = {{ "spin:key-value" = "store" }}')


def conclude(name, whole, args):
    """Runs it in a folder of its own, and prints the total. Its exit status."""
    try:
        with tempfile.TemporaryDirectory(prefix="t", dir="/tmp") as top:
            asyncio.run(whole(args, Path(top)))
        print("1 passed, 0 failed, 0 skipped")
        return 0
    except AssertionError as e:
        print(f"FAILED {name}: {e}\n0 passed, 1 failed, 0 skipped")
        return 1


class Client:
    """A connection that stays until it is closed: not every Python does that to one that nobody refers to any more."""

    def __init__(self, port):
        self.port, self.r, self.w, self.fields = port, None, None, {}

    async def read_answer(self):
        """Status and body; its fields are `fields`."""
        status = int((await self.r.readline()).split()[1])
        length, self.fields = 0, {}
        while (line := await self.r.readline()) not in (b"\r\n", b""):
            name, _, value = line.decode().partition(":")
            self.fields[name.lower()] = value.strip()
            length = int(value) if name.lower() == "content-length" else length
            if name.lower() == "transfer-encoding":
                length = None
        if length is not None:
            return status, await self.r.readexactly(length)
        body = b""
        while n := int((await self.r.readline()).split(b";")[0], 16):
            body += (await self.r.readexactly(n + 2))[:-2]
        await self.r.readline()
        return status, body

    async def send(self, method, path, times=1):
        if not self.w:
            self.r, self.w = await asyncio.open_connection("127.0.0.1", self.port)
        self.w.write(f"{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n".encode() * times)

    async def ask(self, method, path):
        await self.send(method, path)
        return await self.read_answer()

    def close(self):
        """It may be used again: by a connection anew."""
        if self.w:
            self.w.close()
        self.w = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


async def ask_once(port, method, path):
    """On a connection of its own."""
    with Client(port) as c:
        return await c.ask(method, path)


class Load:
    """Clients that ask all the time until `end`; `acknowledged` were answered with 200, `failed` (status, what was said) were not."""

    def __init__(self, port, clients, method="POST", path="/incr/n"):
        self.method, self.path = method, path
        self.acknowledged, self.failed, self.times, self.over, self.active = 0, [], [], False, clients
        self.tasks = [asyncio.create_task(self.client(Client(port), i)) for i in range(clients)]

    def next(self, i, k):
        """The path of the k-th request of client i."""
        return self.path

    def took(self, c, path):
        """An answer of 200 to that, whose fields the client has."""

    async def rest(self, i):
        """Before client i asks again."""

    def fewer(self):
        """Half of the clients stop: the machine doesn't keep up with all of them."""
        self.active = max(1, self.active // 2)

    async def client(self, c, i):
        k = 0
        while not self.over:
            await self.rest(i)
            if i >= self.active:
                await asyncio.sleep(0.05)
                continue
            began, k = time.monotonic(), k + 1
            path = self.next(i, k)
            try:
                status, body = await c.ask(self.method, path)
            except (OSError, ValueError, IndexError, asyncio.IncompleteReadError) as e:
                status, body = 0, repr(e).encode()
                c.close()
            self.times.append(time.monotonic() - began)
            if status == 200:
                self.acknowledged += 1
                self.took(c, path)
            else:
                self.failed.append((status, body[:200]))
                await asyncio.sleep(0.02)
        c.close()

    async def end(self):
        self.over = True
        await asyncio.gather(*self.tasks)


class Names(Load):
    """They leave names in TALLY's store: every second client one for each request, a few a second, and the fewer the longer it lasts, so that a slow machine has not
    all the more to copy; the others, which fill the instances, the same few again and again. `acknowledged` at the end: names that are there. `most`: calls that were in one instance at once."""
    loads, most = 0, 0

    def __init__(self, port, clients):
        Names.loads += 1
        self.of, self.names, self.began = Names.loads, set(), time.monotonic()
        super().__init__(port, clients, "GET")

    def next(self, i, k):
        return f"/set/n{self.of}-{i}-{k if i % 2 else k % 5}"

    async def rest(self, i):
        if i % 2:
            await asyncio.sleep(0.25 + (time.monotonic() - self.began) / 40)

    def took(self, c, path):
        self.names.add(path)
        Names.most = max(Names.most, int(c.fields["x-most"]))

    async def end(self):
        await super().end()
        self.acknowledged = len(self.names)

    @staticmethod
    async def count(port):
        """Of the names that are there."""
        with Client(port) as c:
            status, _ = await c.ask("GET", "/keys")
            assert status == 200, status
            return int(c.fields["x-count"])


class Tenon:
    """`tenon up` of this manifest on a free port."""

    def __init__(self, top, manifest, shards=2, env={}):
        self.top = top
        (top / "tenon.toml").write_text(manifest)
        self.env = {**os.environ, "TENON_CTL": str(top / "ctl"), "TENON_STATE": str(top / "state"), "TENON_CACHE": str(top / "cache")}
        self.p = subprocess.Popen([TENON, "up", top, "--addr", "127.0.0.1:0", "--shards", str(shards)], stdout=subprocess.PIPE, stderr=open(top / "log", "ab"), text=True, env={**self.env, **env})
        ready = self.p.stdout.readline()
        if not ready:
            raise AssertionError(f"not ready: {(top / 'log').read_text()[-1000:]}")
        self.port = int(ready.strip().rsplit(":", 1)[1])

    async def run(self, *args):
        """A command: how it ended, its last line as JSON, what it said to the other stream."""
        p = await asyncio.create_subprocess_exec(TENON, "--json", *map(str, args), env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        out, err = await p.communicate()
        return p.returncode, json.loads(out.splitlines()[-1]) if out.strip() else {}, err.decode()

    async def answers(self, paths, seconds=60):
        """All of them at once, each on a connection of its own, with 200."""
        end = time.monotonic() + seconds
        while True:
            got = await asyncio.gather(*(ask_once(self.port, "GET", path) for path in paths))
            if all(status == 200 for status, _ in got):
                return
            assert time.monotonic() < end, f"it does not recover: {[x for x in got if x[0] != 200][:3]}"
            await asyncio.sleep(0.1)

    def memory_kib(self):
        return next(int(line.split()[1]) for line in open(f"/proc/{self.p.pid}/status") if line.startswith("VmRSS"))

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.p.pid}/fd"))

    def open_files(self):
        """What each is: a file's path, or of a connection its end in `ss`."""
        at = Path(f"/proc/{self.p.pid}/fd")
        return sorted(os.readlink(f) for f in at.iterdir())

    async def descriptors_at_most(self, n):
        """Clients' connections, those to stores that were left and files of the cache are closed a moment later."""
        for _ in range(300):
            if self.descriptors() <= n:
                break
            await asyncio.sleep(0.1)
        return self.descriptors()

    def end(self):
        """It must end well."""
        if self.p.poll() is None:
            self.p.send_signal(signal.SIGTERM)
        try:
            ended = self.p.wait(60)
        finally:
            self.p.kill()
        assert ended == 0, f"tenon ended with {ended}: {(self.top / 'log').read_text()[-1000:]}"

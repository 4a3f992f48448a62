"""Servers of others for tests: Debian's redis-server and nats-server, each on a free port of loopback in a folder of its own, ended by process id."""
import os, shutil, signal, socket, subprocess, sys, tempfile, time
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))
from common import free_port  # noqa: E402

# What `adduser` leaves off the path of who is not root.
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"


class Server:
    binary = ""

    def __init__(self, *more, port=None):
        self.more, self.port, self.process = more, port or free_port(), None
        self.dir = tempfile.mkdtemp(prefix=f"tenon-{self.binary}-")

    @classmethod
    def lacks(cls):
        """Why the server can't be had, or None."""
        return None if shutil.which(cls.binary, path=PATH) else f"{cls.binary} is not installed (apt-get install {cls.binary})"

    def start(self):
        with open(Path(self.dir) / "output", "ab") as out:
            self.process = subprocess.Popen([shutil.which(self.binary, path=PATH), *self.argv(), *self.more], stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=self.dir)
        end = time.monotonic() + 30
        while time.monotonic() < end:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return self
            except OSError:
                if self.process.poll() is not None:
                    break
                time.sleep(0.02)
        raise RuntimeError(f"{self.binary} did not start:\n" + (Path(self.dir) / "output").read_text(errors="replace")[-2000:])

    def signal(self, which):
        if self.process and self.process.poll() is None:
            self.process.send_signal(which)

    def freeze(self):
        """All of its threads stand still when this returns."""
        self.signal(signal.SIGSTOP)
        states = lambda: {t.read_text().rsplit(")", 1)[1].split()[0] for t in Path(f"/proc/{self.process.pid}/task").glob("*/stat")}
        end = time.monotonic() + 30
        while states() != {"T"} and time.monotonic() < end:
            time.sleep(0.005)

    def thaw(self):
        self.signal(signal.SIGCONT)

    def kill(self):
        self.thaw()
        self.signal(signal.SIGKILL)
        if self.process:
            self.process.wait()

    def restart(self):
        self.kill()
        return self.start()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.kill()
        shutil.rmtree(self.dir, ignore_errors=True)


class Redis(Server):
    binary = "redis-server"

    def argv(self):
        return ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", self.dir, "--appendonly", "yes", "--appendfsync", "always", "--save", ""]

    @property
    def target(self):
        return f"redis://127.0.0.1:{self.port}/0"

    def ask(self, *words, port=None):
        """What the server answers, by its own client."""
        r = subprocess.run(["redis-cli", "-p", str(port or self.port), *words], capture_output=True, timeout=60)
        return r.stdout.decode(errors="replace").strip()


class Nats(Server):
    binary = "nats-server"

    def argv(self):
        return ["-a", "127.0.0.1", "-p", str(self.port), "-js", "-sd", self.dir]

    @classmethod
    def limited(cls, storage):
        """One whose account may keep so much on disk."""
        s = cls()
        file = Path(s.dir) / "nats.conf"
        file.write_text(f'listen: "127.0.0.1:{s.port}"\njetstream {{ store_dir: "{s.dir}", max_file_store: {storage} }}\n')
        s.argv = lambda: ["-c", str(file)]
        return s

    @property
    def target(self):
        return f"nats://127.0.0.1:{self.port}/links"

    def ask(self, subject, payload=b""):
        """A request of another program."""
        with socket.create_connection(("127.0.0.1", self.port), 5) as s:
            f = s.makefile("rb")
            f.readline()
            s.sendall(b'CONNECT {"verbose":false,"headers":true,"no_responders":true}\r\nSUB inbox.x 1\r\nPUB %s inbox.x %d\r\n%s\r\n' % (subject.encode(), len(payload), payload))
            while True:
                words = f.readline().split()
                if words[0] in (b"MSG", b"HMSG"):
                    return f.read(int(words[-1]))
                if words[0] == b"PING":
                    s.sendall(b"PONG\r\n")

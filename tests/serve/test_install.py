"""What `./dev install` and `./dev deb` make: a program that runs where it was put, completions that complete, manual pages without a warning, a service whose
sandbox lets it work, a package that installs."""
import functools, os, pty, re, select, shutil, subprocess, tempfile, time, urllib.request
from pathlib import Path

from common import free_port
from harness import *

_FOLDER = tempfile.TemporaryDirectory(prefix="tenon-install-")
PACKAGING = TOP / "packaging"
PLAIN = {**os.environ, "PROFDATA": "/no/llvm-profdata"}  # what is built already: a program by a profile is ./dev test pgo


def _need(tool):
    if not shutil.which(tool):
        raise Skip(f"{tool} is not there")
    return tool


def _run(*argv, status=0, **more):
    r = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=600, **more)
    check(r.returncode == status, f"{argv[0]} {argv[1:3]} ended with {r.returncode}: {r.stdout[-500:]} {r.stderr[-800:]}")
    return r.stdout + r.stderr


@functools.cache
def _installed():
    out = _run(TOP / "dev", "install", "/opt/tenon", env={**PLAIN, "DESTDIR": _FOLDER.name + "/root"})
    check("Built without a profile" in out and "/no/llvm-profdata is not there" in out, f"why there is no profile: {out}")
    return Path(_FOLDER.name) / "root/opt/tenon"


@functools.cache
def _commands():
    return sorted(p.name[6:-2] for p in (_installed() / "share/man/man1").glob("tenon-*.1"))


def the_installed_program_serves_and_runs():
    at = _installed()
    check("{left: 2, right: 1}" in _run(at / "bin/tenon", "run", TOP / "examples/values/values.wasm", "--invoke", "swap({left: 1, right: 2})"), "runs")
    check((at / "bin/tenon").stat().st_size < 0.8 * (TOP / "build/release/tenon").stat().st_size, "without symbols")
    there = [p.name for generation in ("wit", "wit-0.3") for p in (at / "share/tenon" / generation / "deps").iterdir()]
    check(sorted(there) == sorted(p.name for p in (TOP / "wit/deps").glob("*.wit")), "the interfaces")
    built, config.tenon = config.tenon, at / "bin/tenon"
    try:
        with Server(HELLO) as s:
            check(s.get("/").status == 200, "serves")
    finally:
        config.tenon = built


def a_prefix_must_be_a_whole_path():
    check("PREFIX is a whole path" in _run(TOP / "dev", "install", "opt", status=5), "refused")


# ---- completions -------------------------------------------------------------------------------------------------------------------------

def _bash(*words, cwd=TOP / "examples/hello"):
    """What bash offers for the last word."""
    script = 'source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _tenon; printf "%s\\n" "${COMPREPLY[@]}"'
    out = _run("bash", "--norc", "-c", script, _installed() / "share/bash-completion/completions/tenon", "tenon", *words, cwd=cwd)
    return sorted(out.splitlines() if out.strip() else [])


def bash_completes_commands_options_and_their_values():
    check(_bash("") == sorted([*_commands(), "help"]), f"{_bash('')}")
    check(_bash("insp") == ["inspect"], "a command")
    check(_bash("--lo") == ["--log"] and _bash("--log", "d") == ["debug"] and _bash("--log", "debug", "doc") == ["doctor"], "before the command")
    check(_bash("serve", "--pol") == ["--policy"], "an option")
    check(_bash("serve", "--policy", "") == ["concurrent", "fresh", "keep", "reuse"], f"{_bash('serve', '--policy', '')}")
    check(_bash("serve", "--policy", "=", "k") == ["keep"], "behind =")
    check(_bash("run", "--pol") == [], "what is no option of a command is not offered")
    check("hello.wasm" in _bash("serve", "") and "hello.c" not in _bash("serve", ""), f"{_bash('serve', '')}")
    check(_bash("serve", "--tls-cert", "hello.c") == ["hello.c"], "a file of another kind")
    check(_bash("doctor", "") == [], "nothing follows")


def names_of_files_are_offered_whole():
    with tempfile.TemporaryDirectory() as at:
        for name in ("my guest.wasm", "*.wasm", "a manifest.toml", "$(x).pem", "other.c"):
            (Path(at) / name).touch()
        (Path(at) / "a folder").mkdir()
        guests = ["*.wasm", "a folder", "my guest.wasm"]
        check(_bash("serve", "", cwd=at) == guests, f"{_bash('serve', '', cwd=at)}")
        check(_bash("serve", "my", cwd=at) == ["my guest.wasm"], f"{_bash('serve', 'my', cwd=at)}")
        for command in ("up", "dev", "check", "apply"):
            check(_bash(command, "", cwd=at) == sorted([*guests, "a manifest.toml"]), f"{command}: {_bash(command, '', cwd=at)}")
        check(_bash("serve", "--tls-key", "$", cwd=at) == ["$(x).pem"], f"{_bash('serve', '--tls-key', '$', cwd=at)}")
        check(_bash("run", "--dir", "", cwd=at) == ["a folder"], f"{_bash('run', '--dir', '', cwd=at)}")


def every_option_of_every_command_is_completed():
    for c in _commands():
        shown = re.findall(r"^  (--[\w-]+)", _run(config.tenon, c, "--help"), re.M)
        offered = _bash(c, "--")
        check(offered == sorted([*shown, "--help"]), f"{c}: {set(offered) ^ {*shown, '--help'}}")


def a_person_at_bash_types_tab():
    pid, fd = pty.fork()
    if pid == 0:
        os.execvp("bash", ["bash", "--norc", "-i"])
    try:
        os.write(fd, f"PS1='> '; source {_installed()}/share/bash-completion/completions/tenon; echo so''urced\n".encode())
        said = b""

        def until(what):
            nonlocal said
            end = time.monotonic() + 60
            while what not in said and time.monotonic() < end:
                if select.select([fd], [], [], 1)[0]:
                    said += os.read(fd, 4096)
            check(what in said, f"{said[-300:]!r}")

        until(b"sourced\r\n")
        os.write(fd, b"tenon serve --pol\t")
        until(b"tenon serve --policy ")
        os.write(fd, b"fr\t")
        until(b"--policy fresh ")
    finally:
        os.close(fd)
        os.waitpid(pid, 0)


def zsh_and_fish_take_theirs():
    at = _installed() / "share"
    _run(_need("zsh"), "-n", at / "zsh/site-functions/_tenon")
    script = "source $argv[1]; complete -C 'tenon se'; complete -C 'tenon serve --pol'; complete -C 'tenon serve --policy '"
    offered = _run(_need("fish"), "--no-config", "-c", script, at / "fish/vendor_completions.d/tenon.fish")
    for word in ("serve", "--policy", "fresh", "reuse", "keep", "concurrent"):
        check(re.search(rf"^{word}\b", offered, re.M), f"{word} is not in {offered}")


# ---- manual pages --------------------------------------------------------------------------------------------------------------------------

def the_manual_pages_have_no_warning():
    pages = sorted((_installed() / "share/man/man1").iterdir())
    check([p.name for p in pages] == sorted(["tenon.1", *(f"tenon-{c}.1" for c in _commands())]), f"{pages}")
    for p in pages:
        if shutil.which("mandoc"):
            check(_run("mandoc", "-T", "lint", "-W", "warning", p) == "", p.name)
        r = subprocess.run([_need("man"), "-l", "--warnings", "-E", "UTF-8", str(p)], capture_output=True, text=True, env={**os.environ, "MANWIDTH": "100"}, timeout=60)
        check(r.returncode == 0 and r.stderr == "", f"{p.name}: {r.stderr}")
        command = p.stem.removeprefix("tenon").removeprefix("-")
        for option in re.findall(r"^  (--[\w-]+)", _run(config.tenon, command, "--help"), re.M) if command else _commands():
            check(option in r.stdout, f"{option} is not in {p.name}")


# ---- the service -----------------------------------------------------------------------------------------------------------------------------

def the_service_is_sound_and_shut_in():
    _need("systemd-analyze")
    with tempfile.TemporaryDirectory() as d:
        for name in ("tenon.service", "tenon.socket"):  # as installed, but for where the program is
            text = (PACKAGING / name).read_text()
            Path(d, name).write_text(text.replace("/usr/bin/tenon", str(_installed() / "bin/tenon")).replace("Documentation=man:tenon-serve(1)\n", ""))
        check(_run("systemd-analyze", "verify", f"{d}/tenon.service", f"{d}/tenon.socket") == "", "verify")
        told = _run("systemd-analyze", "security", "--offline=yes", "--no-pager", f"{d}/tenon.service")
    m = re.search(r"exposure level for tenon.service: ([\d.]+)", told)
    check(m and float(m[1]) < 2, told[-300:])


def _calls(name):
    """System calls of a systemd set, with those of the sets in it."""
    out = set()
    told = _run("systemd-analyze", "syscall-filter", name)
    for word in (w for line in told.splitlines() if not line.strip().startswith("#") for w in line.split()):
        if word.startswith("@") and word != name:
            out |= _calls(word)
        elif re.fullmatch(r"[a-z_0-9]+", word):
            out.add(word)
    return out


def _allowed():
    """System calls that the service may make."""
    allowed = set()
    for line in re.findall(r"^SystemCallFilter=(.*)$", (PACKAGING / "tenon.service").read_text(), re.M):
        names = set().union(*(_calls(w) if w[0] == "@" else {w} for w in line.removeprefix("~").split()))
        allowed = allowed - names if line[0] == "~" else allowed | names
    return allowed


def the_service_allows_no_ring_of_calls_that_its_filter_does_not_see_L89():
    _need("systemd-analyze")
    allowed = _allowed()
    check("read" in allowed and not {c for c in allowed if c.startswith("io_uring")}, sorted(allowed))


def the_service_allows_every_system_call_that_a_server_makes():
    _need("systemd-analyze"), _need("strace")
    allowed = _allowed()
    with tempfile.NamedTemporaryFile() as log, tempfile.TemporaryDirectory() as d:
        trap = Path(d) / "trap.wasm"
        import component
        from test_traps import _NAMES, _dwarf
        trap.write_bytes(component.handler(customs=[_NAMES, *_dwarf(8)]))
        for file, path in ((MISBEHAVE, "/"), (trap, "/")):
            with Server(file, "--dir", d, shards=2, wrap=("strace", "-f", "-qq", "-o", log.name)) as s:
                for _ in range(5):
                    s.get(path)
                s.process.send_signal(signal.SIGHUP)
                time.sleep(0.3)
                os.kill(int(re.match(r"(\d+)", Path(log.name).read_text())[1]), signal.SIGTERM)  # the server itself, not strace
                check(s.wait(60) == 0, "ended well")
                s.ended = True
            made = set(re.findall(r"^\d+ +([a-z_0-9]+)\(", Path(log.name).read_text(), re.M))
            check("execve" in made and made - allowed == set(), f"not allowed: {sorted(made - allowed)}")


def a_socket_that_systemd_hands_over_is_served():
    _need("systemd-socket-activate")
    port = free_port()
    p = subprocess.Popen(["systemd-socket-activate", "-l", f"127.0.0.1:{port}", "--fdname=http", str(_installed() / "bin/tenon"), "serve", str(HELLO), "--shards", "1"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        for _ in range(200):
            try:
                body = urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=20).read()
                break
            except OSError:
                time.sleep(0.05)
        else:
            raise AssertionError("no answer")
        check(body, "an answer")
    finally:
        p.send_signal(signal.SIGTERM)
        p.wait(20)
        p.stderr.close()
    check(p.returncode == 0, f"ended with {p.returncode}")


# ---- the package -----------------------------------------------------------------------------------------------------------------------------

@functools.cache
def _package():
    _need("dpkg-deb")
    _run(TOP / "dev", "deb", _FOLDER.name, env=PLAIN)
    return next(Path(_FOLDER.name).glob("*.deb"))


def the_package_installs_and_runs():
    deb, root = _package(), Path(_FOLDER.name) / "debian"
    check("Package: tenon" in _run("dpkg-deb", "--info", deb), "its control file")
    for d in ("var/lib/dpkg/info", "var/lib/dpkg/updates", "var/log"):
        (root / d).mkdir(parents=True, exist_ok=True)
    (root / "var/lib/dpkg/status").touch()
    if os.getuid() == 0:
        # Its scripts find no systemd there, and no shell: what they would do without one is nothing.
        _run("dpkg", f"--root={root}", "--force-depends", "--force-script-chrootless", "--log=/dev/null", "-i", deb)
        check(re.search(r"^Status: install ok installed$", _run("dpkg-query", f"--admindir={root}/var/lib/dpkg", "-s", "tenon"), re.M), "installed")
    else:
        _run("dpkg-deb", "-x", deb, root)
    check("{left: 2, right: 1}" in _run(root / "usr/bin/tenon", "run", TOP / "examples/values/values.wasm", "--invoke", "swap({left: 1, right: 2})"), "runs")
    check((root / "usr/lib/systemd/system/tenon.service").exists() and (root / "etc/default/tenon").exists(), "the service")
    sums = _run("md5sum", "--quiet", "-c", "-", cwd=root, input=_run("dpkg-deb", "--info", deb, "md5sums"))
    check(sums == "", sums)


def the_package_is_without_lint():
    told = _run(_need("lintian"), "--allow-root", "--fail-on", "error", _package())
    check("E: " not in told, told)


def the_containerfile_builds_and_serves():
    for tool in ("podman", "docker"):
        if shutil.which(tool) and subprocess.run([tool, "info"], capture_output=True).returncode == 0:
            _run(tool, "build", "-f", PACKAGING / "Containerfile", "-t", "tenon-test", TOP)
            check("tenon" in _run(tool, "run", "--rm", "tenon-test", "--version"), "runs")
            return
    # What it does is what ./dev does; that is tested above. What it names is there.
    for word in re.findall(r"\./dev (\w+)", (PACKAGING / "Containerfile").read_text()):
        check(re.search(rf"^  {word}\b", _run(TOP / "dev", "help"), re.M), f"./dev {word}")
    raise Skip("no engine for containers is here")

"""`tenon doctor` on this machine, and where something is taken from it."""
import ctypes, json, os, resource, shutil, struct, subprocess, tempfile
from pathlib import Path

from harness import *


def _refuse(call):
    """From here on a system call of x86-64 is EPERM in this process, as a filter of a container has it."""
    code = struct.pack("=HBBI", 0x20, 0, 0, 0) + struct.pack("=HBBI", 0x15, 0, 1, call) + struct.pack("=HBBI", 6, 0, 0, 0x50001) + struct.pack("=HBBI", 6, 0, 0, 0x7fff0000)
    instructions = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("=HxxxxxxQ", len(code) // 8, ctypes.addressof(instructions))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    if prctl(38, 1, 0, 0, 0) or prctl(22, 2, program):  # PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP
        raise OSError(ctypes.get_errno(), "no filter of system calls")


def _doctor(*limits, status=0, before=(), refused=None, **env):
    def restrict():
        if refused is not None:
            _refuse(refused)
        for what, value in limits:
            resource.setrlimit(what, (value, value))

    with tempfile.TemporaryDirectory(prefix="tenon-doctor-") as home:
        argv = [*before, str(config.tenon), "doctor", "--json"]
        r = subprocess.run(argv, capture_output=True, text=True, timeout=60, preexec_fn=restrict, env={"PATH": os.environ["PATH"], "HOME": home, **env})
    check(r.returncode == status, f"status {r.returncode}: {r.stdout} {r.stderr}")
    d = json.loads(r.stdout)
    check(d["format"] == "tenon.doctor/1" and r.stderr == "", f"{d} {r.stderr}")
    rows = {row["name"]: row for row in d["rows"]}
    for state in ("costs", "missing"):
        check(d[state] == sum(row["state"] == state for row in rows.values()), f"{d}")
    return rows


def _is(row, state, *words):
    check(row["state"] == state and all(w in row["found"] for w in words), f"{row}")
    check((row["do"] is None) == (row["costs"] is None) == (state == "ok"), f"{row}")


def this_machine_lacks_nothing_that_matters():
    rows = _doctor()
    for name in ("processor", "engine", "address space", "descriptors"):
        check(rows[name]["state"] != "missing", f"{rows[name]}")
    r = subprocess.run([str(config.tenon), "doctor"], capture_output=True, text=True, timeout=60)
    lines = r.stdout.splitlines()
    check(r.returncode == 0 and sum(l[:8].strip() in ("ok", "costs", "missing") for l in lines) == len(rows), r.stdout)
    check("Nothing is lacking." in lines[-1] or "cost something" in lines[-1], lines[-1])


def few_descriptors_are_told():
    _is(_doctor((resource.RLIMIT_NOFILE, 1000))["descriptors"], "costs", "1000")
    _is(_doctor((resource.RLIMIT_NOFILE, 60), status=5)["descriptors"], "missing", "60")


def little_address_space_is_told():
    if not config.release:
        raise Skip("a sanitizer takes the address space for itself")
    _is(_doctor((resource.RLIMIT_AS, 100 << 30))["address space"], "costs")
    _is(_doctor((resource.RLIMIT_AS, 2 << 30))["address space"], "costs", "0")


def small_files_are_told():
    _is(_doctor((resource.RLIMIT_FSIZE, 1 << 10), status=5)["file size"], "missing", "1 KiB")
    _is(_doctor((resource.RLIMIT_FSIZE, 8 << 20))["file size"], "costs", "8192 KiB")
    _is(_doctor()["file size"], "ok", "no limit")


def few_threads_are_told():
    _is(_doctor((resource.RLIMIT_NPROC, 10))["threads"], "costs", "10")


def one_core_is_told():
    core = min(os.sched_getaffinity(0))
    _is(_doctor(before=("taskset", "-c", str(core)))["cores"], "costs", "1,")


def a_cache_that_can_not_be_is_told():
    with tempfile.TemporaryDirectory() as d:
        os.chmod(d, 0o755)
        _is(_doctor(TENON_CACHE=d)["cache"], "costs", d, "0700")
        os.chmod(d, 0o700)
        _is(_doctor(TENON_CACHE=d)["cache"], "ok", d)
        file = Path(d) / "file"
        file.write_text("")
        _is(_doctor(TENON_CACHE=str(file))["cache"], "costs", str(file))


def a_machine_without_certificates_is_told():
    _is(_doctor(SSL_CERT_FILE="/nowhere", SSL_CERT_DIR="/nowhere")["certificates"], "costs", "no certificates")
    with tempfile.TemporaryDirectory() as d:
        (Path(d) / "a.pem").write_text("")
        _is(_doctor(SSL_CERT_FILE="/nowhere", SSL_CERT_DIR=d)["certificates"], "ok", d)


def a_container_without_proc_is_told():
    unshare = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", 'mount -t tmpfs none /proc && exec "$@"', "sh")
    if not shutil.which("unshare") or subprocess.run([*unshare, "true"], capture_output=True).returncode:
        raise Skip("no namespaces are to be had here")
    rows = _doctor(before=unshare)
    _is(rows["memory"], "costs")
    _is(rows["overcommit"], "ok", "can't be read")
    check(rows["reset"]["state"] == "costs", f"{rows['reset']}")


def a_filter_that_lets_nothing_serve_is_told():
    for call, says in ((290, "event loop"), (291, "event loop"), (131, "stack"), (435, "thread"), (13, "signal")):  # eventfd2, epoll_create1, sigaltstack, clone3, rt_sigaction
        _is(_doctor(refused=call, status=5)["engine"], "missing", says)
    _is(_doctor(refused=437)["paths"], "costs", "no openat2")

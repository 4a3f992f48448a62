"""Runs apps by the spin.toml beside their expected.json: `tenon up FOLDER`, each with a state of its own. The format is in the README of the apps."""
import json, re, shutil, subprocess, tempfile
from pathlib import Path

import guests

# What an app, or a case of one, needs that is not served yet.
NOT_SERVED = {
    "spin-rust-sqlite": "needs fermyon:spin/sqlite",
    "spin-rust-redis-trigger": "needs a trigger for Redis",
    ("spin-rust-p3", "sql"): "needs spin:sqlite@3.1.0",
    ("spin-rust-out", "redis"): "needs fermyon:spin/redis",
    ("spin-js", "sql"): "needs fermyon:spin/sqlite",
    ("spin-shop", "message-then-http"): "needs a trigger for Redis",
}
OWN_HEADERS = "needs the headers that only Spin adds"  # where tenon adds its own
# Tables of a manifest that it is served without.
WITHOUT = {"spin-shop": ("application.trigger.redis", "trigger.redis", "component.sub")}


def is_app(files):
    return "expected.json" in files and "spin.toml" in files


def why_not(name, case):
    if "spin-headers" == case["name"]:
        return OWN_HEADERS
    return NOT_SERVED.get(name) or NOT_SERVED.get((name, case["name"]))


def without(text, tables):
    """A manifest without those tables and what lies in them."""
    kept = []
    for part in re.split(r"(?m)^(?=\[)", text):
        header = re.match(r"\[+([^]]+)\]", part)
        if not header or not any(header.group(1) == t or header.group(1).startswith(t + ".") for t in tables):
            kept.append(part)
    return "".join(kept)


def lay_out(folder, at):
    """All apps as they lie beside each other, with what the archive holds."""
    top = folder.parent
    shutil.copytree(top, at, ignore=shutil.ignore_patterns("*.zst", "src", "target", "node_modules"))
    if (top / "large.tar.zst").exists() and folder.name in ("spin-js", "spin-shop"):
        unpacked = subprocess.run(["zstd", "-d", "--long=27", "-c", str(top / "large.tar.zst")], stdout=subprocess.PIPE, check=True).stdout
        subprocess.run(["tar", "-x", "-C", str(at)], input=unpacked, check=True)


def groups_of(cases):
    """Cases that may follow each other in one store share a server."""
    shared = [c for c in cases if not c.get("fresh_store") and not c.get("grants")]
    return ([shared] if shared else []) + [[c] for c in cases if c not in shared]


def manifest_for(text, case):
    return re.sub(r"(?m)^allowed_outbound_hosts = .*$", "allowed_outbound_hosts = []", text) if case.get("grants", {}).get("network") == "none" else text


def run_form(run, guest, app, text, cases, upstreams):
    for group in groups_of(cases):
        with tempfile.TemporaryDirectory(prefix="tenon-state-") as state:
            (app / "spin.toml").write_text(manifest_for(text, group[0]))
            server = guests.Server(run.tenon, str(app), [], {**run.env, "TENON_STATE": state, "TENON_CTL": state + "/ctl"}, command="up")
            for case in group:
                if server.addr:
                    run.count(guest, case, guests.run_http_case(server, case, upstreams.get(upstream_of(case))))
                else:
                    server.process.wait()
                    run.failed(guest, case, [f"the app did not start: {''.join(server.log)[:600]}"])
            if server.addr and (status := server.stop()) != 0:
                run.failed(guest, group[-1], [f"ended by SIGTERM the server's status is {status}: {''.join(server.log[-5:])[:300]}"])


def as_module(text, guest):
    source, other = (f'source = "{name}"' for name in (guest["file"], guest["also"]["file"]))
    assert source in text, f"spin.toml has no {source}"
    return text.replace(source, other)


def upstream_of(case):
    return case.get("upstream") or case.get("request", {}).get("upstream")


def run_app(folder, run):
    guest = json.loads((folder / "expected.json").read_text())["guests"][0]
    if not run.chooses(guest["name"], folder.name):
        return
    cases = []
    for case in guest["cases"]:
        if why := why_not(folder.name, case):
            run.skip(f"{folder.name} {why}")
        else:
            cases.append(case)
    if not cases:
        return
    others = folder.parents[1] / "guests"
    upstreams = {name: guests.Server(run.tenon, str(others / (name + ".wasm")), [], run.env) for name in set(map(upstream_of, cases)) - {None}}
    with tempfile.TemporaryDirectory(prefix="tenon-apps-") as at:
        at = Path(at) / "apps"
        lay_out(folder, at)
        text = without((folder / "spin.toml").read_text(), WITHOUT.get(folder.name, ()))
        addresses = {name: u.addr for name, u in upstreams.items()}
        run_form(run, guest, at / folder.name, text, cases, addresses)
        if "also" in guest:  # the same app as a core module with its world in custom sections
            run_form(run, guest, at / folder.name, as_module(text, guest), cases, addresses)
    for u in upstreams.values():
        u.stop()

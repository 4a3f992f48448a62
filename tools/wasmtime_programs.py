#!/usr/bin/env python3
"""Builds wasmtime's crates/test-programs as tests/conform/programs.py reads them: modules of preview 1, and components of all, some composed of two.

    tools/wasmtime_programs.py SOURCE [OUT]

SOURCE is wasmtime's tree (of what is large in it crates/wasi-nn/examples may be absent), OUT ../wasmtime-programs. Needs cargo with the targets wasm32-wasip1 and
wasm32-unknown-unknown (`rustup target add`), and wasm-tools; what cargo makes stays in OUT/../wasmtime-programs-target (CARGO_TARGET_DIR)."""
import os, shutil, subprocess, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
KINDS = ("p1_", "p2_", "p3_", "config_get", "keyvalue_main")
ADAPTERS = {"reactor": [], "command": ["--no-default-features", "--features=command"], "proxy": ["--no-default-features", "--features=proxy"]}
ECHO = "p3_http_echo.component.wasm"
CHAIN = """dependencies:
  local:local/chain-http: {path: %s}
instantiations:
  root:
    dependency: local:local/chain-http
    arguments:
      local:local/chain-http: {instance: local:local/chain-http, export: "wasi:http/handler@0.3.0"}
"""


def adapter_of(name):
    """As crates/test-programs/artifacts/build.rs chooses it."""
    return "reactor" if name.startswith("p3_") else "proxy" if name.startswith("p2_api_proxy") else "command"


def run(argv, **more):
    said = subprocess.run(list(map(str, argv)), stderr=subprocess.PIPE, text=True, **more)
    if said.returncode:
        sys.exit(f"error: {' '.join(map(str, argv))}\n{said.stderr[-2000:]}")


def build(source, target):
    """The programs' modules by name, and the adapters."""
    cargo = ["nice", "cargo", "build", "--ignore-rust-version"]
    env = {**os.environ, "CARGO_TARGET_DIR": str(target), "CARGO_PROFILE_DEV_DEBUG": "0"}
    run([*cargo, "--target", "wasm32-wasip1", "--package", "test-programs"], cwd=source, env=env)
    for name, flags in ADAPTERS.items():
        run([*cargo, "--release", "--target", "wasm32-unknown-unknown", "--package", "wasi-preview1-component-adapter", *flags], cwd=source, env=env)
        shutil.copy(target / "wasm32-unknown-unknown/release/wasi_snapshot_preview1.wasm", target / f"{name}.wasm")
    return {f.stem: f for f in sorted((target / "wasm32-wasip1/debug").glob("*.wasm")) if f.stem.startswith(KINDS)}


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    source, out = Path(sys.argv[1]).resolve(), Path(sys.argv[2] if len(sys.argv) > 2 else TOP.parent / "wasmtime-programs").resolve()
    target, tools = Path(os.environ.get("CARGO_TARGET_DIR", out.parent / "wasmtime-programs-target")).resolve(), shutil.which("wasm-tools")
    if not tools:
        sys.exit("error: there is no wasm-tools in the path\n  hint: cargo install wasm-tools")
    modules = build(source, target)
    out.mkdir(parents=True, exist_ok=True)

    def make(name):
        if name.startswith("p1_"):
            shutil.copy(modules[name], out / f"{name}.wasm")
        run([tools, "component", "new", modules[name], "--adapt", f"wasi_snapshot_preview1={target / adapter_of(name)}.wasm", "-o", out / f"{name}.component.wasm"])

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(make, modules))
    echo, chain = target / "echo.wasm", target / "chain.yml"  # a definition's file has the instance's name
    shutil.copy(out / ECHO, echo)
    chain.write_text(CHAIN % echo)
    for name, how in (("p3_http_middleware", ["-d", echo]), ("p3_http_middleware_with_chain", ["-c", chain])):
        run([tools, "compose", out / f"{name}.component.wasm", *how, "-o", out / f"{name}_composed.component.wasm"])
    print(f"{len(list(out.glob('*.wasm')))} files in {out}")


if __name__ == "__main__":
    main()

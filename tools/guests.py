#!/usr/bin/env python3
"""./dev guests [--short] [-v] [PAGE…]: the pages of docs/guests are typed as written, each in an empty folder, against a real `tenon serve`.

A page:
    Needs `cargo`, `rustup`.      a paragraph that begins so: what must be on the machine: without it the page is skipped
    ## Once                       what is installed; where that can't be had here, the page is skipped as well, with the command's last line
    `src/main.rs`:                the fenced block below it is that file
    ```console
    $ curl localhost:3000         a command, and below it what it prints; a line `…` stands for any lines
    ```
Without lines below it a command may print what it likes, but must succeed. `tenon serve` goes on in the background until the next one or the page's end. What the page
calls 127.0.0.1:3000 and localhost:3000 is a port that is free, /usr/local/share/tenon what would be installed there. --short: no page that builds its
tools for minutes first (`cargo install`), unless they are there. The last line is the total.
"""
import argparse, os, re, shutil, signal, subprocess, sys, tempfile, threading, time
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
PAGES = TOP / "docs/guests"
TENON = TOP / "build/tenon"
MINUTES = 30


class Skip(Exception):
    """Why a page can't be typed on this machine."""


class Wrong(Exception):
    """What a page says and what is so."""


# ---- a page --------------------------------------------------------------------------------------------------------------------------------

def steps(text):
    """[(line, "file" | "command", section, name or command, content or expected lines)] of a page."""
    lines, found, section, n = text.split("\n"), [], "", 0
    while n < len(lines):
        line = lines[n]
        if line.startswith("#"):
            section = line.lstrip("# ")
        elif line.startswith("```"):
            end = lines.index("```", n + 1)
            block = lines[n + 1:end]
            before = next((l for l in reversed(lines[:n]) if l.strip()), "")
            named = re.search(r"`([^`]+)`:$", before)
            if line == "```console":
                found += commands(block, n + 2, section)
            elif named:
                found.append((n + 1, "file", section, named.group(1), "\n".join(block) + "\n"))
            else:
                raise Wrong(f"line {n + 1}: a block that is no file and no console")
            n = end
        n += 1
    return found


def commands(block, at, section):
    found = []
    for n, line in enumerate(block):
        if line.startswith("$ "):
            found.append((at + n, "command", section, line[2:], []))
        elif found and found[-1][3].endswith("\\"):
            found[-1] = (*found[-1][:3], found[-1][3] + "\n" + line, found[-1][4])
        elif found:
            found[-1][4].append(line)
        else:
            raise Wrong(f"line {at + n}: output of no command")
    return found


def same(got, wanted):
    """Whether lines are those that are wanted, of which `…` stands for any."""
    if not wanted:
        return not got
    if wanted[0] == "…":
        return any(same(got[k:], wanted[1:]) for k in range(len(got) + 1))
    return bool(got) and got[0].rstrip() == wanted[0].rstrip() and same(got[1:], wanted[1:])


# ---- typing --------------------------------------------------------------------------------------------------------------------------------

class Shell:
    def __init__(self, folder, verbose):
        self.folder, self.cwd, self.verbose = folder, folder, verbose
        self.server, self.addr, self.said = None, "127.0.0.1:3000", []
        programs = folder.parent / "bin"
        programs.mkdir()
        (programs / "tenon").symlink_to(TENON)
        self.share = folder.parent / "share"  # as `./dev install` lays it
        for kind, files in (("wit", "*[a-z].wit"), ("wit-0.3", "*3.wit")):
            (self.share / kind / "deps").mkdir(parents=True)
            for file in (TOP / "wit/deps").glob(files):
                (self.share / kind / "deps" / file.name).symlink_to(file)
        self.env = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}

    def type(self, command, wanted):
        command = re.sub(r"(127\.0\.0\.1|localhost):3000", self.addr, command).replace("/usr/local/share/tenon", str(self.share))
        if self.verbose:
            print(f"    $ {command}", flush=True)
        if re.match(r"tenon (serve|up)\b", command):
            return self.serve(command, wanted)
        at = self.folder.parent / "cwd"
        p = subprocess.Popen(["bash", "-c", f"{command}\nstatus=$?\npwd >'{at}'\nexit $status"], cwd=self.cwd, env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, errors="replace", start_new_session=True)
        try:
            out, err = p.communicate(timeout=MINUTES * 60)
        except BaseException:
            os.killpg(p.pid, signal.SIGKILL)  # with what it started
            p.communicate()
            raise
        self.cwd = Path(at.read_text().strip())
        if p.returncode:
            raise Wrong(f"ends with {p.returncode}:\n{out[-1500:]}{err[-1500:]}")
        if wanted and not same(out.rstrip("\n").split("\n"), wanted):
            raise Wrong(f"prints\n{out}{err}and not\n" + "\n".join(wanted))

    def serve(self, command, wanted):
        self.stop()
        self.server = subprocess.Popen(["bash", "-c", f"exec {command} --addr 127.0.0.1:0"], cwd=self.cwd, env=self.env, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.said = []
        self.reader = threading.Thread(target=self.said.extend, args=(self.server.stderr,), daemon=True)
        self.reader.start()
        timer = threading.Timer(120, self.server.kill)
        timer.start()
        m = re.fullmatch(r"ready http://(\S+)\n", self.server.stdout.readline())
        timer.cancel()
        if not m:
            self.server.wait()
            raise Wrong(f"is not ready: {''.join(self.said)}")
        self.addr = m.group(1)
        if wanted and wanted[0] != "ready http://127.0.0.1:3000":
            raise Wrong(f"says where it is ready, and not {wanted[0]!r}")

    def stop(self):
        if not self.server:
            return
        self.server.send_signal(signal.SIGTERM)
        try:
            status = self.server.wait(60)
        finally:
            self.server.kill()
            self.server = None
        if status:
            raise Wrong(f"the server ended with {status}: {''.join(self.said)[-1000:]}")


def needs(text, found, short):
    for program in re.findall(r"`([^`]+)`", text.partition("\nNeeds ")[2].partition(".")[0]):
        if not shutil.which(program):
            raise Skip(f"{program} is not here")
    for _, _, section, command, _ in found:
        m = re.match(r"cargo install .*?([\w-]+?)(?:-cli)?@", command)
        if short and section == "Once" and m and not shutil.which(m.group(1)):
            raise Skip(f"{m.group(1)} would have to be built first (the short form)")


def type_page(page, short, verbose):
    text = page.read_text()
    found = steps(text)
    needs(text, found, short)
    with tempfile.TemporaryDirectory(prefix="tenon-guests-") as d:
        (Path(d) / "work").mkdir()
        shell = Shell(Path(d) / "work", verbose)
        served = asked = 0
        try:
            for line, kind, section, name, content in found:
                try:
                    if kind == "file":
                        at = shell.cwd / name
                        at.parent.mkdir(parents=True, exist_ok=True)
                        at.write_text(content)
                    else:
                        shell.type(name, content)
                except (Wrong, subprocess.TimeoutExpired) as e:
                    if section == "Once":
                        raise Skip(f"line {line}: {name}: {str(e).strip().splitlines()[-1]}")
                    raise Wrong(f"line {line}: {name}: {e}")
                served += name.startswith("tenon serve")
                asked += name.startswith("curl ") and bool(content)
            shell.stop()
        except BaseException:
            if shell.server:
                shell.server.kill()
            raise
        if not served or not asked:
            raise Wrong("nothing is served, or nobody asks")


def main():
    p = argparse.ArgumentParser(prog="./dev guests", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--short", action="store_true")
    p.add_argument("-v", action="store_true", help="show what is typed")
    p.add_argument("page", nargs="*")
    o = p.parse_args()
    pages = [PAGES / f"{name.removesuffix('.md')}.md" for name in o.page] or sorted(p for p in PAGES.glob("*.md") if p.name != "README.md")
    passed = failed = skipped = 0
    for page in pages:
        began = time.monotonic()
        try:
            type_page(page, o.short, o.v)
            print(f"ok      {page.name} ({time.monotonic() - began:.0f} s)", flush=True)
            passed += 1
        except Skip as e:
            print(f"skipped {page.name}: {e}", flush=True)
            skipped += 1
        except (Wrong, OSError, ValueError) as e:
            print(f"FAILED  {page.name}: {e}", flush=True)
            failed += 1
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

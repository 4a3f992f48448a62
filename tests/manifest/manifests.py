#!/usr/bin/env python3
"""Manifests that are wrong, and what `tenon check` says of each: files NAME.cases, many cases each.

    #### what it is about
    [component.api]              the manifest; without `tenon =` (or spin_manifest_version, spin_version) two lines stand before it that say what every one must
    #> error: …                  what is said on stderr, exactly; #~ a regular expression that a line matches
    #? 4                         the exit status (2 unless said)
    #$ --profile p               more arguments

`--write` writes what is said now into the files, to be read before it is kept. A case without `#>` is one that is taken; then stdout is compared.
"""
import re, shlex, subprocess, sys, tempfile
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
HEAD = 'tenon = 1\napp.name = "a"\n'


def parse(path):
    for part in re.split(r"^#### ", path.read_text(), flags=re.M)[1:]:
        title, _, body = part.partition("\n")
        lines = body.rstrip("\n").split("\n")
        said = [line for line in lines if re.match(r"#[>~?$]", line)]
        yield title, "\n".join(line for line in lines if line not in said).rstrip("\n") + "\n", said


def check(text, said):
    """(stderr without hints that list all keys, stdout, status) of the manifest."""
    with tempfile.TemporaryDirectory(prefix="tenon-manifest-") as folder:
        is_whole = re.search(r"^(tenon\b|spin_manifest_version|spin_version)", text, re.M)
        (Path(folder) / "m.toml").write_bytes(((("" if is_whole else HEAD) + text).encode("utf-8", "surrogateescape")))
        more = [a for line in said if line.startswith("#$") for a in shlex.split(line[2:])]
        r = subprocess.run([TOP / "build/tenon", "check", "m.toml", *more], cwd=folder, capture_output=True, text=True, errors="replace", timeout=60,
            env={"PATH": "/usr/bin:/bin", "NO_COLOR": "1"})
    return r.stderr, r.stdout, r.returncode


def expected(stderr, status):
    lines = ["#> " + line for line in stderr.rstrip("\n").split("\n")] if stderr else []
    return lines + ([f"#? {status}"] if status != 2 else [])


def problems_of(title, text, said):
    stderr, stdout, status = check(text, said)
    want = [line[3:] for line in said if line.startswith("#>")]
    patterns = [line[3:] for line in said if line.startswith("#~")]
    code = next((int(line[2:]) for line in said if line.startswith("#?")), 2)
    if want and stderr.rstrip("\n").split("\n") != want:
        yield f"{title}: said is\n{stderr}"
    for p in patterns:
        if not re.search(p, stderr + stdout):
            yield f"{title}: nothing matches {p!r} in\n{stderr}{stdout}"
    if status != code:
        yield f"{title}: exit status {status}, expected {code}\n{stderr}"
    if not want and not patterns:
        yield f"{title}: nothing is expected"


def write(path):
    out = []
    for title, text, said in parse(path):
        keep = [line for line in said if re.match(r"#[$~]", line)]
        stderr, _, status = check(text, said)
        out.append(f"#### {title}\n{text}" + "\n".join(keep + (expected(stderr, status) if not [k for k in keep if k[1] == '~'] else
            [line for line in said if line.startswith("#?")])) + "\n")
    path.write_text(path.read_text().split("#### ")[0] + "\n".join(out))


def tests():
    """(name, problems) of each case."""
    for path in sorted(HERE.glob("*.cases")):
        for title, text, said in parse(path):
            yield f"{path.name}: {title}", [f"{path.name}: {p}" for p in problems_of(title, text, said)]


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        for p in sorted(HERE.glob("*.cases")):
            write(p)
        sys.exit()
    results = list(tests())
    failed = [p for _, problems in results for p in problems]
    for p in failed:
        print("FAILED  " + p)
    print(f"{len(results) - len(failed)} passed, {len(failed)} failed, 0 skipped")
    sys.exit(bool(failed))

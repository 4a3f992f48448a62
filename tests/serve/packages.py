"""Packages of PyPI that read what we write, installed beside the build where they can be had."""
import fcntl, importlib, subprocess, sys

from harness import TOP, Skip


def have(module, *packages):
    """The module, of one of these packages."""
    folder = TOP / "build/python"
    if folder.is_dir() and str(folder) not in sys.path:
        sys.path.append(str(folder))
    try:
        return importlib.import_module(module)
    except ImportError:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("w") as lock:  # tests run beside each other
            fcntl.flock(lock, fcntl.LOCK_EX)
            return _fetched(folder, module, packages)


def _fetched(folder, module, packages):
    try:
        sys.path.append(str(folder))
        importlib.invalidate_caches()
        return importlib.import_module(module)
    except ImportError:
        r = subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--upgrade", "--target", str(folder), *packages], capture_output=True)
        if r.returncode:
            raise Skip(f"{packages[0]} can't be had from PyPI")
        sys.path.append(str(folder))
        importlib.invalidate_caches()
        return importlib.import_module(module)

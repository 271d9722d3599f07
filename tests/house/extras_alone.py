"""Installs the extras edge and control alone, for real, in throw-away environments; imports their mains; prints sizes.

`make extras` runs it. The extra worker brings torch and takes minutes: test_extras.py checks it by an import hook.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
import venv
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.house.closure import MAINS, ROOT

SOURCES = ("edgewise", "policies", "control_plane", "edge_agent", "cloud_worker", "migrations")
FILES = ("pyproject.toml", "README.md", "LICENSE")
FORBIDDEN = {
    "edge": ("torch", "transformers", "sqlalchemy", "fastapi", "celery"),
    "control": ("torch", "transformers", "onnxruntime"),
}


def copy_sources(target: Path) -> Path:
    """The project without its environment and caches, so that a build leaves nothing behind in the checkout."""
    for name in SOURCES:
        shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        if (ROOT / name).is_file():
            shutil.copy(ROOT / name, target / name)
    return target


def run(*command: str | Path, cwd: Path) -> str:
    """Standard output of a command; its errors are shown and end this script."""
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stdout, done.stderr, sep="\n", file=sys.stderr)
        raise SystemExit(f"{' '.join(map(str, command))} ended with {done.returncode}")
    return done.stdout.strip()


def build_wheel(work: Path) -> Path:
    """The wheel that a user would install."""
    sources = copy_sources(work / "sources")
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", work / "wheels", sources, cwd=work)
    return next((work / "wheels").glob("*.whl"))


def size_mb(directory: Path) -> float:
    """Megabytes (10⁶ bytes) of the files below a directory."""
    return sum(path.lstat().st_size for path in directory.rglob("*")) / 1e6


def check_extra(extra: str, wheel: Path, work: Path) -> str:
    """Install one extra alone and import its main; returns the line to print."""
    started = time.monotonic()
    environment = work / extra
    venv.create(environment, with_pip=False)
    python = environment / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python)
    run(*pip, "install", "-q", "--no-compile", "-c", ROOT / "constraints.txt", f"{wheel}[{extra}]", cwd=work)
    run(python, "-c", f"import {MAINS[extra]}", cwd=work)
    present = [name for name in FORBIDDEN[extra] if _has(python, name, work)]
    if present:
        raise SystemExit(f"The extra {extra} brings {', '.join(present)}, which it must not")
    site = next((environment / "lib").glob("python*")) / "site-packages"
    return f"extra {extra}: alone, imports {MAINS[extra]}, {size_mb(site):.0f} MB, {time.monotonic() - started:.0f} s"


def _has(python: Path, module: str, work: Path) -> bool:
    code = f"import importlib.util; print(importlib.util.find_spec({module!r}) is not None)"
    return run(python, "-c", code, cwd=work) == "True"


def main() -> None:
    """Check all at once: they mostly wait for the index."""
    with tempfile.TemporaryDirectory(prefix="edgewise-extras-") as name:
        work = Path(name).resolve()
        wheel = build_wheel(work)
        with ThreadPoolExecutor() as pool:
            for line in pool.map(lambda extra: check_extra(extra, wheel, work), FORBIDDEN):
                print(line, flush=True)


if __name__ == "__main__":
    main()

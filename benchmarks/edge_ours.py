"""Our engine in a process of its own: `python -m benchmarks.edge_ours DIR --threads 2`. Asked as edge_process.py says.

It is the agent's OnnxEngine with sampling, slots and speculation, stepped as the agent's driver steps it.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.edge_process import Operation, operations_of, serve
from edge_agent.runtime import OnnxEngine
from edge_agent.runtime.engine import CHUNK_TOKENS, EngineOptions
from edge_agent.runtime.numerics import Numerics
from edgewise.generation.state import GenerationState, Sampling

CONTEXT_TOKENS = 1024
_GREEDY = Sampling(temperature=0.0)
_NAME = "bench"


class Ours:
    """One answer at a time. Nothing ends it but its budget."""

    def __init__(self, engine: OnnxEngine) -> None:
        self._engine = engine

    def read(self, ids: Sequence[int]) -> None:
        """Read `ids` and give the first token; an answer that was being written is forgotten."""
        self._engine.cancel(_NAME)
        self._engine.submit(_NAME, self._state(ids, CONTEXT_TOKENS))
        self._step(1)

    def write(self, count: int) -> None:
        """`count` more tokens of the answer."""
        self._step(count)

    def answer(self, ids: Sequence[int], tokens: int) -> dict[str, Any]:
        """A whole answer: its ids, the seconds to its first token, what was drafted and held, tokens not read again."""
        before, reused, started = self._engine.stats(), self._engine.reused_tokens, time.perf_counter()
        self._engine.cancel(_NAME)
        self._engine.submit(_NAME, self._state(ids, tokens))
        said = self._step(1)
        first_s = time.perf_counter() - started
        said += self._step(tokens - len(said)) if len(said) < tokens else []
        after = self._engine.stats()
        return {
            "ids": said,
            "first_s": first_s,
            "drafted": after.drafted - before.drafted,
            "accepted": after.accepted - before.accepted,
            "reused": self._engine.reused_tokens - reused,
        }

    def _state(self, ids: Sequence[int], tokens: int) -> GenerationState:
        never = (2**31 - 1,)  # an id that no vocabulary has: random weights must not end an answer
        return GenerationState(
            prompt_ids=tuple(ids), messages=(), model="", max_tokens=tokens, seed=0, sampling=_GREEDY, eos_ids=never
        )

    def _step(self, tokens: int) -> list[int]:
        said: list[int] = []
        while len(said) < tokens:
            for output in self._engine.step():
                if output.error:
                    raise RuntimeError(output.error)
                said += output.ids
        return said


def open_ours(arguments: argparse.Namespace) -> dict[str, Operation]:
    """Load the model and give the operations."""
    if arguments.private_mb:
        resource.setrlimit(resource.RLIMIT_DATA, (arguments.private_mb * 10**6,) * 2)
    options = EngineOptions(
        threads=arguments.threads,
        context_tokens=CONTEXT_TOKENS,
        numerics=Numerics(arguments.numerics),
        speculation=arguments.speculation,
        machine_dir=arguments.machine_dir,
        spinning=arguments.spinning,
        chunk=arguments.chunk,
    )
    ours = Ours(OnnxEngine.load(arguments.directory, options, verify=False))
    return {**operations_of(ours), "answer": ours.answer, "packing": packing}


def packing() -> dict[str, Any]:
    """The most memory in bytes that a child of this process had: that which packed the weights, 0 where none did."""
    return {"peak_bytes": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024}


def parser() -> argparse.ArgumentParser:
    """What the process is told on its command line."""
    found = argparse.ArgumentParser()
    found.add_argument("directory", type=Path)
    found.add_argument("--threads", type=int, default=1)
    found.add_argument("--spinning", action="store_true")
    found.add_argument("--chunk", type=int, default=CHUNK_TOKENS, help="tokens of a prompt's call")
    found.add_argument("--numerics", default="one-row")
    found.add_argument("--speculation", action="store_true")
    found.add_argument("--private-mb", type=int, default=0, help="RLIMIT_DATA: writable memory of the process alone")
    found.add_argument("--machine-dir", type=Path, default=None)
    return found


if __name__ == "__main__":
    given = parser().parse_args()
    serve(lambda: open_ours(given))

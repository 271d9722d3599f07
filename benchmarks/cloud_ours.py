"""Our cloud engine in a process of its own: `python -m benchmarks.cloud_ours DIR THREADS`. Asked as edge_process.py
says.

It is the worker's TorchEngine with its scheduler, sampler and speculation, stepped as the worker's driver steps it.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.cloud_crowd import Crowd
from benchmarks.edge_process import Operation, serve
from cloud_worker.engine.core import TorchEngine
from cloud_worker.engine.loader import FORMAT, load_model
from cloud_worker.engine.model.linear import AS_STORED, KINDS
from cloud_worker.engine.numerics import EngineOptions
from edgewise.generation.state import GenerationState, Sampling
from edgewise.wire.manifest import Manifest

CONTEXT_TOKENS = 1024
SLOTS = 64
_GREEDY = Sampling(temperature=0.0)
_NEVER = (2**31 - 1,)
"""An id that no vocabulary has: random weights must not end an answer."""


class Ours:
    """Crowds of greedy answers. Nothing ends one but its budget."""

    def __init__(self, engine: TorchEngine) -> None:
        self._engine = engine
        self._asked = 0

    def crowd(self, prompts: Sequence[Sequence[int]], tokens: int) -> dict[str, Any]:
        """Answer all prompts at once; see cloud_crowd.py. Tells what was said, what was drafted and what held, too."""
        self._asked += 1
        before, said = self._engine.stats(), list[list[int]]([] for _ in prompts)
        found = Crowd(len(prompts))
        for number, ids in enumerate(prompts):
            state = GenerationState(
                prompt_ids=tuple(ids),
                messages=(),
                model="",
                max_tokens=tokens,
                seed=0,
                sampling=_GREEDY,
                eos_ids=_NEVER,
            )
            self._engine.submit(f"{self._asked}-{number}", state)
        left = len(prompts)
        while left:
            for output in self._engine.step():
                if output.error is not None:
                    raise RuntimeError(output.error)
                number = int(output.attempt.split("-")[1])
                found.said(number, len(output.ids))
                said[number] += output.ids
                left -= output.finish is not None
        after = self._engine.stats()
        counts = {
            name: getattr(after, name) - getattr(before, name) for name in ("drafted", "accepted", "reused_tokens")
        }
        return {**found.told(), "said": said, **counts}


def open_ours(arguments: argparse.Namespace) -> dict[str, Operation]:
    """Load the model and give the operations."""
    torch.set_num_threads(arguments.threads)
    options = EngineOptions(
        precision="bfloat16", weights=arguments.weights, slots=SLOTS, speculation=arguments.speculation
    )
    return {"crowd": Ours(load_model(arguments.directory, bench_manifest(), options)).crowd}


def bench_manifest() -> Manifest:
    """What an engine is told of a directory without a manifest; answers have no end of their own."""
    return Manifest(
        name="bench",
        tier="cloud",
        format=FORMAT,
        context_tokens=CONTEXT_TOKENS,
        eos_ids=_NEVER,
        files={},
        weights_digest="",
        tokenizer_digest="",
        template_digest="",
    )


def parser() -> argparse.ArgumentParser:
    """What the process is told on its command line."""
    found = argparse.ArgumentParser()
    found.add_argument("directory", type=Path)
    found.add_argument("threads", type=int)
    found.add_argument("--speculation", default="off")
    found.add_argument("--weights", choices=KINDS, default=AS_STORED)
    return found


if __name__ == "__main__":
    given = parser().parse_args()
    serve(lambda: open_ours(given))

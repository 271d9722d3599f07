"""Greedy decoding of both formats for evaluation: torch through the cloud module, ONNX through onnxruntime.

The product's own decode loops live in cloud_worker/engine and edge_agent/runtime; these are plain on purpose.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import torch

from cloud_worker.architectures import model_sizes
from cloud_worker.forge.qwen2 import KVCache, Qwen2
from cloud_worker.forge.stepping import open_row
from cloud_worker.forge.tokenizer import END
from edgewise.graphs import Logits


class Greedy(Protocol):
    """Continues prompts with the most likely token."""

    def complete(self, prompt: Sequence[int], limit: int) -> list[int]:
        """At most `limit` ids after the prompt, without the end token."""
        ...


def _loop(first: Logits, step: Callable[[int], Logits], limit: int) -> list[int]:
    """Take arg-maxes until the end token or the limit; `step(id)` gives the logits after one more token."""
    out: list[int] = []
    logits = first
    while len(out) < limit:
        token = int(logits.argmax())
        if token == END:
            break
        out.append(token)
        logits = step(token)
    return out


class TorchGreedy:
    """The torch module, one sequence at a time, with a cache."""

    def __init__(self, model: Qwen2) -> None:
        self.model = model

    @torch.inference_mode()
    def complete(self, prompt: Sequence[int], limit: int) -> list[int]:
        """See Greedy."""
        cache = KVCache(self.model.config, len(prompt) + limit + 1, next(self.model.parameters()).dtype)

        def feed(ids: Sequence[int]) -> Logits:
            start = cache.length
            positions = torch.arange(start, start + len(ids))[None]
            hidden = self.model.hidden(torch.tensor([list(ids)]), positions, [cache])
            logits: Logits = self.model.head(hidden[0, -1]).float().numpy()
            return logits

        return _loop(feed(prompt), lambda token: feed([token]), limit)


class OnnxGreedy:
    """The graph of a model directory on one CPU thread, stepped by edgewise/graphs. Raises ManifestError."""

    def __init__(self, directory: Path) -> None:
        self.row = open_row(directory / "model.onnx", model_sizes(directory).max_position_embeddings)

    def complete(self, prompt: Sequence[int], limit: int) -> list[int]:
        """See Greedy."""
        self.row.rewind(0)
        return _loop(self.row.forward(prompt)[-1], lambda token: self.row.forward((token,))[-1], limit)

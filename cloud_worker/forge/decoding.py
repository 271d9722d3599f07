"""Greedy decoding of both formats for evaluation: torch through the cloud module, ONNX through onnxruntime.

The product's own decode loops live in cloud_worker/engine and edge_agent/runtime; these are plain and slow on purpose.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from cloud_worker.engine.models.qwen2 import KVCache, Qwen2
from cloud_worker.forge.architectures import model_sizes
from cloud_worker.forge.tokenizer import END

Logits = NDArray[np.float32]


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
    """An exported graph (input_ids, attention_mask, past_key_values.*) on one CPU thread."""

    def __init__(self, directory: Path) -> None:
        import onnxruntime  # type: ignore[import-untyped]

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        graph = str(directory / "model.onnx")
        self.session: Any = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        self.config = model_sizes(directory)
        self._outputs = [output.name for output in self.session.get_outputs()]
        self._takes_positions = "position_ids" in {given.name for given in self.session.get_inputs()}

    def complete(self, prompt: Sequence[int], limit: int) -> list[int]:
        """See Greedy."""
        state: dict[str, Any] = {"past": self.empty_cache(), "length": 0}

        def feed(ids: Sequence[int]) -> Logits:
            logits, state["past"] = self.run(ids, state["past"], state["length"])
            state["length"] += len(ids)
            last: Logits = logits[0, -1]
            return last

        return _loop(feed(prompt), lambda token: feed([token]), limit)

    def run(self, ids: Sequence[int], past: dict[str, Any], length: int) -> tuple[Logits, dict[str, Any]]:
        """One call: new ids after `length` cached ones; returns logits [1, rows, vocabulary] and the new cache."""
        mask = np.ones((1, length + len(ids)), dtype=np.int64)
        feeds = {"input_ids": np.array([ids], dtype=np.int64), "attention_mask": mask, **past}
        if self._takes_positions:
            feeds["position_ids"] = np.arange(length, length + len(ids), dtype=np.int64)[None]
        results = dict(zip(self._outputs, self.session.run(None, feeds), strict=True))
        kept = [name for name in results if name.startswith("present")]
        present = {name.replace("present", "past_key_values"): results[name] for name in kept}
        return results["logits"].astype(np.float32), present

    def empty_cache(self) -> dict[str, Any]:
        """A cache without rows: names to arrays [1, kv_heads, 0, head_dim]."""
        shape = (1, self.config.num_key_value_heads, 0, self.config.head_dim)
        names = [given.name for given in self.session.get_inputs() if given.name.startswith("past_key_values")]
        return {name: np.zeros(shape, dtype=np.float32) for name in names}

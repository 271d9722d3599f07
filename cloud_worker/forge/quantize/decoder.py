"""A decoder graph on one thread of ONNX Runtime, stepped as a device steps it: what every row of the table is run on.

cache  [1, kv_heads, capacity, head_dim]   past and present are one buffer, so rewinding costs nothing
mask   [1, capacity]                       its sum is the length
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort  # type: ignore[import-untyped]
from numpy.typing import NDArray

from cloud_worker.forge.export.errors import GraphUnfitError

Logits = NDArray[np.float32]
_PAST_KEY = re.compile(r"past_key_values\.(\d+)\.key")


def open_session(graph: Path) -> ort.InferenceSession:
    """One thread, CPU, nothing logged below errors. Raises GraphUnfitError when ONNX Runtime refuses the graph."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return ort.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise GraphUnfitError(
            f"ONNX Runtime does not load {graph.name}: {str(error)[:300]}",
            where=str(graph),
            expected="a decoder graph that this version of ONNX Runtime can run on the CPU",
            remedy="choose another method or precision",
        ) from error


class GraphDecoder:
    """One sequence of at most `capacity` tokens on a decoder graph of the onnxruntime-genai builder.

    `head_dim` is the width of an attention head, which the graph's signature leaves open. Raises GraphUnfitError.
    """

    def __init__(self, graph: Path, head_dim: int, capacity: int) -> None:
        self.capacity = capacity
        self.length = 0
        self._session = open_session(graph)
        self._inputs = {node.name: node for node in self._session.get_inputs()}
        outputs = {node.name: node for node in self._session.get_outputs()}
        if "logits" not in outputs or "past_key_values.0.key" not in self._inputs:
            raise GraphUnfitError(
                f"{graph.name} is no decoder graph",
                where=str(graph),
                expected="logits and past_key_values.0.key in its signature",
                remedy="export the model with the onnxruntime-genai builder",
            )
        self.vocabulary = int(outputs["logits"].shape[2])
        self.last_row_only = outputs["logits"].shape[1] == 1
        self._mask = np.zeros((1, capacity), np.int64)
        self._binding = self._session.io_binding()
        self._held = [self._bind("attention_mask", self._mask)]  # what is bound must outlive the binding
        self._bind_cache(head_dim)

    def _bind(self, name: str, array: NDArray[Any]) -> ort.OrtValue:
        value = ort.OrtValue.ortvalue_from_numpy(array)
        self._binding.bind_ortvalue_input(name, value)
        return value

    def _bind_cache(self, head_dim: int) -> None:
        for name, node in self._inputs.items():
            if name.startswith("past_key_values."):
                cache = np.zeros((1, node.shape[1], self.capacity, head_dim), np.float32)
                value = self._bind(name, cache)
                self._binding.bind_ortvalue_output(name.replace("past_key_values", "present"), value)
                self._held.append(value)

    def forward(self, ids: Sequence[int]) -> Logits:
        """Append `ids`; logits [rows, vocabulary] of the last of them, or of all where the head is not pruned."""
        end = self.length + len(ids)
        if not ids or end > self.capacity:
            raise ValueError(f"{len(ids)} tokens do not fit after {self.length} of {self.capacity}")
        self._mask[0, self.length : end] = 1
        given = [self._bind("input_ids", np.array([ids], np.int64))]
        if "position_ids" in self._inputs:
            given.append(self._bind("position_ids", np.arange(self.length, end, dtype=np.int64)[None]))
        rows: Logits = np.empty((1, 1 if self.last_row_only else len(ids), self.vocabulary), np.float32)
        taken = ort.OrtValue.ortvalue_from_numpy(rows)
        self._binding.bind_ortvalue_output("logits", taken)
        self._session.run_with_iobinding(self._binding)
        del given
        self.length = end
        last: Logits = rows[0]
        return last

    def rewind(self, length: int = 0) -> None:
        """Forget all but the first `length` tokens."""
        self._mask[0, length:] = 0
        self.length = length

    def teacher_forced(self, ids: Sequence[int], start: int) -> Logits:
        """Logits [len(ids) - start, vocabulary] for tokens start.., each fed alone as in decoding; start >= 1."""
        self.rewind()
        rows = [self.forward(ids[:start])[-1]]
        rows += [self.forward((token,))[-1] for token in ids[start:-1]]
        return np.stack(rows)

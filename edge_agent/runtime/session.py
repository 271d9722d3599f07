"""The loaded graph and the buffers of one sequence on it, bound once. What to feed and when is decided elsewhere.

cache   [1, kv_heads, capacity, head_dim] per layer, past and present are one buffer: a call writes rows in place
mask    [1, capacity]  1 1 1 1 1 0 0 0     its sum is the length; growing it by one is one write, never a re-bind
token   [1, 1]         the next id, for single-token calls
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort  # type: ignore[import-untyped]

from edge_agent.runtime.graph import GraphShape, inspect_graph
from edgewise.wire.errors import ManifestError

PROVIDER = "CPUExecutionProvider"
_KERNEL_FLAGS = frozenset({"avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm"})

Logits = npt.NDArray[np.float32]


class OnnxGraph:
    """A decoder graph in memory, ready to run.

    One thread by default: on two busy cores one thread beat two, and spinning threads cost more than half the speed.
    """

    def __init__(self, path: Path, threads: int = 1) -> None:
        self.path = path
        self.threads = threads
        self.session = _open_session(path, threads)
        self.shape: GraphShape = inspect_graph(self.session, path)

    def new_row(self, capacity: int) -> CacheRow:
        """Buffers for one sequence of at most `capacity` tokens."""
        return CacheRow(self, capacity)


def _open_session(path: Path, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return ort.InferenceSession(str(path), options, providers=[PROVIDER])
    except Exception as error:
        raise ManifestError(
            f"ONNX Runtime does not load {path.name}: {error}",
            where=str(path),
            expected="an ONNX graph for this version of ONNX Runtime",
            remedy="export the model again, or copy the model directory again",
        ) from error


class CacheRow:
    """The key-value cache of one sequence and its bindings. `length` rows are valid; rewinding costs nothing."""

    def __init__(self, graph: OnnxGraph, capacity: int) -> None:
        self._graph = graph
        self.capacity = capacity
        self.length = 0
        self._mask = np.zeros((1, capacity), np.int64)
        self._token = np.zeros((1, 1), np.int64)
        self._position = np.zeros((1, 1), np.int64)
        self._logits = np.zeros((1, 1, graph.shape.vocab), graph.shape.logits_dtype)
        self._values = {
            "attention_mask": _value(self._mask),
            "input_ids": _value(self._token),
            "position_ids": _value(self._position),
            "logits": _value(self._logits),
        }
        self._binding = graph.session.io_binding()
        self._bind_cache()
        self._binding.bind_ortvalue_input("attention_mask", self._values["attention_mask"])
        self._single = False

    @property
    def kv_bytes(self) -> int:
        """Bytes that the cache holds, used or not."""
        return self.capacity * self._graph.shape.kv_bytes_per_token

    def forward(self, ids: Sequence[int]) -> Logits:
        """Append `ids` and return the logits [vocab] after the last of them.

        The result is a view that the next call overwrites. Raises ValueError when the cache has no room.
        """
        end = self.length + len(ids)
        if not ids or end > self.capacity:
            raise ValueError(f"{len(ids)} tokens do not fit after {self.length} of {self.capacity}")
        self._mask[0, self.length : end] = 1
        row = self._one(ids[0]) if len(ids) == 1 else self._many(ids)
        self.length = end
        return np.asarray(row, np.float32)

    def rewind(self, length: int) -> None:
        """Forget the rows from `length` on; what they held is overwritten by later calls."""
        if not 0 <= length <= self.length:
            raise ValueError(f"cannot rewind to {length}: the cache holds {self.length} rows")
        self._mask[0, length : self.length] = 0
        self.length = length

    def _one(self, token: int) -> npt.NDArray[Any]:
        self._token[0, 0], self._position[0, 0] = token, self.length
        if not self._single:
            self._bind_inputs(self._values["input_ids"], self._values["position_ids"])
            self._binding.bind_ortvalue_output("logits", self._values["logits"])
            self._single = True
        self._graph.session.run_with_iobinding(self._binding)
        row: npt.NDArray[Any] = self._logits[0, -1]
        return row

    def _many(self, ids: Sequence[int]) -> npt.NDArray[Any]:
        shape = self._graph.shape
        positions = np.arange(self.length, self.length + len(ids), dtype=np.int64)[None]
        logits = self._logits if shape.last_row_only else np.zeros((1, len(ids), shape.vocab), shape.logits_dtype)
        self._bind_inputs(_value(np.array([ids], np.int64)), _value(positions))
        self._binding.bind_ortvalue_output("logits", _value(logits))
        self._single = False
        self._graph.session.run_with_iobinding(self._binding)
        row: npt.NDArray[Any] = logits[0, -1]
        return row

    def _bind_cache(self) -> None:
        shape = self._graph.shape
        for layer in range(shape.layers):
            for part in ("key", "value"):
                value = _value(np.zeros((1, shape.kv_heads, self.capacity, shape.head_dim), shape.kv_dtype))
                self._values[f"{layer}.{part}"] = value
                self._binding.bind_ortvalue_input(f"past_key_values.{layer}.{part}", value)
                self._binding.bind_ortvalue_output(f"present.{layer}.{part}", value)

    def _bind_inputs(self, ids: ort.OrtValue, positions: ort.OrtValue) -> None:
        self._binding.bind_ortvalue_input("input_ids", ids)
        if self._graph.shape.takes_positions:
            self._binding.bind_ortvalue_input("position_ids", positions)


def _value(array: npt.NDArray[Any]) -> ort.OrtValue:
    """A view of `array` on the CPU: writes to the array are seen by the next run."""
    return ort.OrtValue.ortvalue_from_numpy(array)


def kernel_id(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """What of this machine picks the arithmetic kernels: library version, provider, architecture, vector extensions."""
    try:
        words = set(cpuinfo.read_text(encoding="utf-8", errors="replace").split())
    except OSError:
        words = set()
    flags = ",".join(sorted(words & _KERNEL_FLAGS))
    return f"onnxruntime-{ort.__version__}/{PROVIDER}/{platform.machine()}[{flags}]"

"""The key-value cache of one sequence on a graph, and calls whose buffers are bound once.

cache      one buffer per layer and part for past and present: a call writes its rows in place
call       ids, positions, rows and logits of one shape (new tokens, wanted rows), bound when first used
padding    [a] as [a, a]: rows of the cache beyond those that are held are overwritten by the next call
dropping   rows close up, tokens keep their positions: `length` tokens were read, `held` of them have a row
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnxruntime as ort  # type: ignore[import-untyped]

from edgewise.graphs.adapter import Adapter
from edgewise.graphs.shape import GraphShape

SPARE_ROWS: Final = 1
"""Cache rows beyond the capacity, for the padding of a last call."""
TILE_ROWS: Final = 2
"""Matrix kernels take rows in tiles, and one row alone in a tile goes another way: its last bits differ.

Measured: tiles of 2 with weights in blocks of 64 and 128, of 32 in blocks of 32. Even counts suit them all.
"""
MOST_CALLS: Final = 16
"""Bound shapes kept: decoding has one for each number of drafts, prefill one for the chunk and one for a tail."""

Logits = npt.NDArray[np.float32]
KvRows = npt.NDArray[Any]
"""Copied cache rows [2 * layers, kv_heads, tokens, head_dim], planes in the order of GraphShape.cache_names."""
RowChoice = npt.NDArray[np.int64]
"""Rows of a cache by their places, ascending: [kept] for all heads, or [layers, kv_heads, kept]."""


class CacheRow:
    """`length` tokens were read, and each has a row unless some were dropped; rewinding costs nothing. Belongs to one
    thread."""

    def __init__(
        self, session: ort.InferenceSession, shape: GraphShape, capacity: int, adapter: Adapter | None = None
    ) -> None:
        self._session = session
        self._shape = shape
        self._adapter = adapter or Adapter.none(shape.adapter, shape.layers)
        self.capacity = capacity
        self.length = self.held = self._touched = 0
        self._dropped_at = 0
        size = (1, shape.kv_heads, capacity + SPARE_ROWS, shape.head_dim)
        self._cache = {name: np.zeros(size, shape.kv_dtype) for name in shape.cache_names}
        self._lengths = np.zeros(1, np.int32), np.zeros((), np.int32)
        fixed = {f"past_key_values.{name}": array for name, array in self._cache.items()}
        fixed |= {"seqlens_k": self._lengths[0], "total_sequence_length": self._lengths[1]}
        self._fixed = {name: ort.OrtValue.ortvalue_from_numpy(array) for name, array in fixed.items()}
        self._calls: dict[tuple[int, int], _Call] = {}
        self._logits = np.zeros((1, 0, shape.vocab), np.float32)
        self._last: _Call | None = None
        self._wanted = 0

    @property
    def kv_bytes(self) -> int:
        """Bytes that the cache holds, used or not."""
        return sum(array.nbytes for array in self._cache.values())

    @property
    def touched_bytes(self) -> int:
        """Bytes of the cache that were ever used: a fresh buffer takes memory as it is written."""
        return self._touched * self._shape.kv_bytes_per_token

    @property
    def whole(self) -> bool:
        """Whether every token has its row."""
        return self.held == self.length

    @property
    def adapter(self) -> Adapter:
        """What the tokens are read with."""
        return self._adapter

    def use(self, adapter: Adapter) -> None:
        """Read what follows with another adapter of this graph.

        Raises ValueError while tokens are held: their rows came from another one, and no text mixes two.
        """
        if adapter is self._adapter:
            return
        if (
            self.length and adapter.digest != self._adapter.digest
        ) or adapter.values.keys() != self._adapter.values.keys():
            raise ValueError(f"{self.length} tokens were read with another adapter, or this one is for another graph")
        self._adapter = adapter
        self._calls.clear()

    def forward(self, ids: Sequence[int], rows: int = 1, *, many: bool = False) -> Logits:
        """Append `ids` and return logits [rows, vocab] after each of the last `rows` of them.

        `many`: no token may be computed alone; a call that would leave one is padded by a repeat of its last token.
        Then neither the cache nor the logits can tell how a text was cut into calls. The result is a view that a later
        call overwrites. Raises ValueError when the cache has no room.
        """
        end = self.held + len(ids)
        if not 1 <= rows <= len(ids) or end > self.capacity:
            raise ValueError(f"{len(ids)} tokens ({rows} rows) do not fit after {self.held} of {self.capacity}")
        padded = [*ids, ids[-1]] if many and len(ids) % TILE_ROWS == 1 else ids
        call = self._call(len(padded), rows + (many and rows % TILE_ROWS == 1))
        call.fill(padded, self.length, len(ids), rows)
        total = self.held + len(padded)
        self._lengths[0][0], self._lengths[1][...] = total - 1, total
        self._session.run_with_iobinding(call.binding)
        self._holds(self.length + len(ids), end)
        self._wanted = rows
        last: Logits = call.logits[0, :rows]
        return last

    def hidden_states(self) -> Logits:
        """Hidden states [rows, hidden] of the last call. Raises ValueError where the graph has no such output."""
        if not self._shape.hidden or self._last is None:
            raise ValueError("this graph gives no hidden states, or nothing was run yet")
        last: Logits = self._last.hidden[0, : self._wanted]
        return last

    def rewind(self, length: int) -> None:
        """Forget the tokens from `length` on; what they held is overwritten by later calls.

        Raises ValueError for more than there is, and for a place (but the beginning) before which rows were dropped.
        """
        if not 0 <= length <= self.length or 0 < length < self._dropped_at:
            raise ValueError(
                f"cannot rewind to {length}: {self.length} tokens were read, rows dropped at {self._dropped_at}"
            )
        self._dropped_at = self._dropped_at if length else 0
        self._holds(length, self.held - self.length + length if length else 0)

    def keep(self, rows: RowChoice) -> None:
        """Drop all rows but these, and close up: attention no longer sees the others. Positions go on as they were.

        Rows that were dropped from cannot be copied. Raises ValueError for places that are not ascending or not held.
        """
        heads = (self._shape.layers, self._shape.kv_heads)
        fits = rows.shape[:-1] in ((), heads) and rows.shape[-1] > 0 and np.issubdtype(rows.dtype, np.integer)
        if not fits or rows.min() < 0 or rows.max() >= self.held or np.any(np.diff(rows) <= 0):
            raise ValueError(f"rows {rows.dtype} {rows.shape} are no places, ascending, among the {self.held} held")
        kept = rows.shape[-1]
        if kept == self.held:
            return
        places, head = np.broadcast_to(rows, (*heads, kept)), np.arange(self._shape.kv_heads)[:, None]
        for plane, array in enumerate(self._cache.values()):
            array[0, :, :kept] = array[0, head, places[plane // 2]]
        self._dropped_at = self.length
        self.held = kept

    def keys(self, start: int, stop: int) -> KvRows:
        """A copy of the keys [layers, kv_heads, stop - start, head_dim] in the rows start..stop. Raises ValueError."""
        if not 0 <= start <= stop <= self.held:
            raise ValueError(f"cannot read rows {start} to {stop}: the cache holds {self.held}")
        return np.stack([self._cache[name][0, :, start:stop] for name in self._shape.cache_names[::2]])

    def read(self, start: int, stop: int) -> KvRows:
        """A copy of the rows of tokens start..stop. Raises ValueError beyond them, or where rows were dropped."""
        if not 0 <= start <= stop <= self.length or not self.whole:
            raise ValueError(f"cannot read tokens {start} to {stop}: the cache holds {self.held} of {self.length}")
        return np.stack([array[0, :, start:stop] for array in self._cache.values()])

    def write(self, start: int, kv: KvRows) -> None:
        """Put copied rows at `start` (at most `length`) and let the sequence end after them. Raises ValueError."""
        stop = start + kv.shape[2] if kv.ndim == 4 else -1
        planes = (len(self._cache), self._shape.kv_heads, stop - start, self._shape.head_dim)
        if kv.shape != planes or kv.dtype != self._shape.kv_dtype or not 0 <= start <= self.length or not self.whole:
            raise ValueError(f"rows {kv.dtype} {kv.shape} do not fit this cache after token {start} of {self.length}")
        if stop > self.capacity:
            raise ValueError(f"{stop} tokens do not fit in {self.capacity}")
        for array, plane in zip(self._cache.values(), kv, strict=True):
            array[0, :, start:stop] = plane
        self._holds(stop, stop)

    def _holds(self, length: int, held: int) -> None:
        self.length, self.held, self._touched = length, held, max(self._touched, held)

    def _call(self, new: int, rows: int) -> _Call:
        if rows > self._logits.shape[1]:  # all calls write into one buffer: it is large where the vocabulary is
            self._logits = np.zeros((1, rows, self._shape.vocab), np.float32)
            self._calls.clear()
        call = self._calls.pop((new, rows), None)
        if call is None:
            fixed = self._fixed | self._adapter.bound
            call = _Call(self._session, self._shape, fixed, new, self._logits[:, :rows])
        self._calls[new, rows] = self._last = call  # the dictionary's order is that of use
        if len(self._calls) > MOST_CALLS:
            del self._calls[next(iter(self._calls))]
        return call


class _Call:
    """The buffers of calls with `new` tokens, bound to one sequence's cache; they write `logits` [1, rows, vocab]."""

    def __init__(
        self, session: ort.InferenceSession, shape: GraphShape, fixed: dict[str, ort.OrtValue], new: int, logits: Logits
    ) -> None:
        rows = logits.shape[1]
        self._ids = np.zeros((1, new), np.int64)
        self._positions = np.zeros((1, new), np.int64)
        self._rows = np.zeros(rows, np.int64)
        self._steps = np.arange(new, dtype=np.int64)
        self.logits = logits
        self.hidden = np.zeros((1, rows, shape.hidden), np.float32)
        self.binding = session.io_binding()
        given = {"input_ids": self._ids, "position_ids": self._positions, "rows": self._rows}
        self._values = {name: ort.OrtValue.ortvalue_from_numpy(array) for name, array in given.items()}
        for name, value in (fixed | self._values).items():
            self.binding.bind_ortvalue_input(name, value)
        for name in shape.cache_names:
            self.binding.bind_ortvalue_output(f"present.{name}", fixed[f"past_key_values.{name}"])
        self._bind_output("logits", self.logits)
        if shape.hidden:
            self._bind_output("hidden_states", self.hidden)

    def fill(self, ids: Sequence[int], start: int, count: int, rows: int) -> None:
        """Set ids that stand at `start`; logits are wanted of the last `rows` of the first `count`.

        A further row of logits is the last one again: the head's kernel, too, treats a row alone another way. Padding
        stands where the last token stands: beyond the model's context there are no positions.
        """
        self._ids[0] = ids
        np.add(self._steps, start, out=self._positions[0])
        self._positions[0, count:] = start + count - 1
        self._rows[:rows] = range(count - rows, count)
        self._rows[rows:] = count - 1

    def _bind_output(self, name: str, array: npt.NDArray[Any]) -> None:
        self._values[name] = ort.OrtValue.ortvalue_from_numpy(array)  # a view: what is run is seen in the array
        self.binding.bind_ortvalue_output(name, self._values[name])

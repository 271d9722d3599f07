"""What a call of a fixed size reads, in one tensor on the device, filled from the host in one copy.

    | ids rows | lengths rows | slots rows | units 2 · rows | tables rows · blocks |      int64

A size has its inputs once: a captured graph reads them where they lie. There are never more units than rows.
"""

from __future__ import annotations

import numpy as np
import torch

from cloud_worker.engine.gpu.attention import Reads
from cloud_worker.engine.gpu.batch import Call, Kind


class Inputs:
    """Tensors of calls of `kind` with `rows` padded rows and texts of at most `blocks` blocks."""

    def __init__(self, kind: Kind, rows: int, blocks: int, padding_slot: int, device: torch.device) -> None:
        self.rows, self._padding_slot = rows, padding_slot
        sizes = [rows, rows, rows, 2 * rows, rows * blocks]
        whole = torch.zeros(sum(sizes), dtype=torch.int64, device=device)
        self._host = np.zeros(sum(sizes), dtype=np.int64)
        self._whole = whole
        self.ids, self.lengths, self.slots, units, tables = torch.split(whole, sizes)
        self.reads = Reads(kind, self.lengths, units.view(rows, 2), tables.view(rows, blocks))
        bounds = np.cumsum(sizes)[:-1]
        self._ids, self._lengths, self._slots, pairs, blocks_of = np.split(self._host, bounds)
        self._units, self._tables = pairs.reshape(rows, 2), blocks_of.reshape(rows, blocks)

    def fill(self, call: Call) -> None:
        """Hold a call's numbers; the rest is padding: token 0, of no length, written where nobody reads."""
        tokens, units = len(call.ids), len(call.units)
        self._ids[:tokens], self._ids[tokens:] = call.ids, 0
        self._lengths[:tokens], self._lengths[tokens:] = call.lengths, 0
        self._slots[:tokens], self._slots[tokens:] = call.slots, self._padding_slot
        self._units[:units], self._units[units:] = call.units, 0
        for unit, table in enumerate(call.tables):
            self._tables[unit, : len(table)] = table
        self._whole.copy_(torch.from_numpy(self._host))

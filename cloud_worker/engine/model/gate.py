"""The gate of a feed-forward layer, cut so that a value has the same bits whatever rows stand beside it.

torch shares an element-wise call out among threads by the number of its values, so one's share may end inside a row;
the values before an end are computed one by one, in float32 with other bits than the rest.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

_SHARE: Final = 1 << 15
"""Values below which torch gives a thread no share, and so up to which a call has one share; whole vectors."""


def gated(gate_up: Tensor) -> Tensor:
    """silu(gate) · up for gate_up [n, 2 · width], whose first half is overwritten."""
    gate, up = gate_up.chunk(2, dim=-1)
    _silu(gate)
    return gate * up


def _silu(x: Tensor) -> None:
    """In place, x [n, width] of rows that stand apart: torch takes rows that touch for one long row.

    Shares are of whole rows while there are enough for all threads; what is left is done share by share.
    """
    rows, width = x.shape
    threads = torch.get_num_threads()
    even = rows - rows % threads if rows // threads * width >= _SHARE else 0
    if even:
        functional.silu(x[:even], inplace=True)
    for few in torch.split(x[even:], max(1, _SHARE // width)):
        for share in torch.split(few, _SHARE, dim=1):
            functional.silu(share, inplace=True)

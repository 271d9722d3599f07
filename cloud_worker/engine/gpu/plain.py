"""Attention of one row by its definition, for looking whether the kernels keep to it. Slow."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from cloud_worker.engine.work import BLOCK_TOKENS


def attend_plainly(query: Tensor, arena: Tensor, blocks: Sequence[int], length: int, window: int) -> Tensor:
    """Mixed values float64 [heads · head_dim] of query [heads, head_dim], the last of `length` tokens in `blocks`.

    `arena` [tokens, 2 · kv_heads, head_dim] is a layer's; `window` newest keys are seen, 0: all.
    """
    positions = torch.arange(max(0, length - window) if window else 0, length, device=arena.device)
    table = torch.tensor(blocks, device=arena.device)
    slots = table[positions // BLOCK_TOKENS] * BLOCK_TOKENS + positions % BLOCK_TOKENS
    keys, values = arena[slots].double().transpose(0, 1).chunk(2)
    heads = query.double().view(len(keys), -1, query.shape[-1])
    shares = (heads @ keys.transpose(1, 2) / math.sqrt(query.shape[-1])).softmax(-1)
    return (shares @ values).reshape(-1)

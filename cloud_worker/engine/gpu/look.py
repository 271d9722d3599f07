"""Whether the kernels do on this device what they should: right by the definition, and a row's bits its own.

Looked at when an engine starts, with its own heads, windows and store, over more keys than a split holds. Wrong kernels
serve nobody; bits that change in company are told by the numerics id, as those that exactness.py finds.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from cloud_worker.engine.gpu.batch import calls_of
from cloud_worker.engine.gpu.decoder import GpuDecoder
from cloud_worker.engine.gpu.inputs import Inputs
from cloud_worker.engine.gpu.plain import attend_plainly
from cloud_worker.engine.work import BLOCK_TOKENS, Segment
from edgewise.wire.errors import ConfigError

_TOLERANCE: Final = {torch.float32: 1e-4, torch.float16: 5e-3, torch.bfloat16: 4e-2}
"""How far from the definition for values about 1: a few times what rounding to the type costs."""
_PROMPT: Final = BLOCK_TOKENS + 7
_SEED: Final = 7


def attention_keeps_bits(decoder: GpuDecoder) -> bool:
    """Attend over random keys and values: equal bits for a row alone and in company? Overwrites the store, which nobody
    uses yet.

    Raises ConfigError where the kernels are wrong on this device.
    """
    look = _Look(decoder)
    windows = decoder.config.windows
    kept = [look.layer(windows.index(window)) for window in sorted(set(windows))]
    return all(kept)


class _Look:
    """One made-up text of random keys, values and queries; every segment of it reads the same."""

    def __init__(self, decoder: GpuDecoder) -> None:
        self._decoder, self._device = decoder, decoder.weights.norm.device
        self._dice = torch.Generator().manual_seed(_SEED)
        split = decoder.attention.split_keys
        blocks = min(decoder.context_blocks, decoder.kv.blocks, 2 * split // BLOCK_TOKENS + 2)
        self._blocks = tuple(reversed(range(blocks)))
        last = blocks * BLOCK_TOKENS - 1
        self._queries = self._random(last + 1, decoder.config.heads, decoder.config.head_dim)
        self._prompts = [self._segment(0, min(_PROMPT, last), prompt=True)]
        middle = min(split, last - 2) - 2
        self._rows = [self._segment(*span) for span in ((1, 2), (middle, middle + 4), (last - 1, last))]

    def layer(self, layer: int) -> bool:
        """Whether bits stay in a layer. Raises ConfigError."""
        arena = self._decoder.kv.layer(layer)
        used = arena[: len(self._blocks) * BLOCK_TOKENS]
        used.copy_(self._random(*used.shape))
        together = torch.cat((self._mixed(layer, self._prompts), self._mixed(layer, self._rows)))
        pieces = [self._segment(0, BLOCK_TOKENS, prompt=True), self._segment(BLOCK_TOKENS, self._prompts[0].stop, True)]
        pieces += [self._segment(n, n + 1) for each in self._rows for n in range(each.start, each.stop)]
        alone = torch.cat([self._mixed(layer, [piece]) for piece in pieces])
        self._check(layer, together)
        return torch.equal(together, alone)

    def _check(self, layer: int, mixed: Tensor) -> None:
        window = self._decoder.config.windows[layer]
        places = [n for each in (*self._prompts, *self._rows) for n in range(each.start, each.stop)]
        arena = self._decoder.kv.layer(layer)
        right = torch.stack([attend_plainly(self._queries[n], arena, self._blocks, n + 1, window) for n in places])
        error = float((mixed.double() - right).abs().max())
        if not error <= _TOLERANCE[mixed.dtype]:
            raise ConfigError(
                f"The attention kernels are wrong on {self._device}: off by {error:.3g} for values about 1",
                where="--device",
                expected=f"at most {_TOLERANCE[mixed.dtype]:g} in {mixed.dtype}",
                remedy="try another release of Triton or of the driver, or serve with --device cpu",
            )

    def _mixed(self, layer: int, segments: list[Segment]) -> Tensor:
        decoder, parts = self._decoder, []
        for call in calls_of(segments, decoder.unit_tokens, decoder.sizes):
            inputs = Inputs(call.kind, call.rows, decoder.context_blocks, decoder.kv.padding_slot, self._device)
            inputs.fill(call)
            query = self._queries[(inputs.lengths - 1).clamp(min=0)]
            parts.append(decoder.attention(layer, query, inputs.reads)[: len(call.ids)])
        return torch.cat(parts)

    def _segment(self, start: int, stop: int, prompt: bool = False) -> Segment:
        return Segment("look", self._blocks, start, (0,) * (stop - start), prompt)

    def _random(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self._dice).to(self._device, self._decoder.weights.norm.dtype)

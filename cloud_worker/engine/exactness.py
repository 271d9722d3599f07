"""Whether this machine keeps what exact answers rest on: a token's bits are its own, whatever is computed beside it.

Looked at when an engine starts, with the model that will serve; an engine on a machine that does not keep it serves all
the same, under a numerics id that says so.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

from cloud_worker.engine.model.decoder import Decoder
from cloud_worker.engine.model.linear import make_linear
from cloud_worker.engine.work import BLOCK_TOKENS, Segment

_WIDE, _WIDER, _HEAD, _KEYS = 896, 4864, 64, 600
"""Sizes at which kernels differ that look alike: narrower products were equal with and without bfloat16 units."""
_PROMPT_TOKENS = 2 * BLOCK_TOKENS + 6
_ROWS = 4
_COMPANIONS = 13
"""An odd crowd, so that rows stand elsewhere in tiles of kernels than they do alone."""
BLOCKS_NEEDED = 8


def keeps_bits(decoder: Decoder) -> bool:
    """Read a made-up text alone, then in pieces, scattered and in company: equal bits? Overwrites the first blocks.

    The decoder has at least BLOCKS_NEEDED blocks, and nobody uses it yet. A dozen calls of the model.
    """
    vocab = decoder.config.sizes.vocab_size
    ids = tuple((7 * place + 3) % vocab for place in range(_PROMPT_TOKENS + _ROWS))
    prompt, rows = ids[:_PROMPT_TOKENS], ids[_PROMPT_TOKENS:]
    alone, scattered, others = (0, 1, 2), (7, 4, 6), (3, 5)
    expected = [_read(decoder, alone, prompt)]
    expected += [_rows(decoder, alone, place, rows[place : place + 1]) for place in range(_ROWS)]
    company = _Company(decoder, others)
    company.beside(Segment("a", scattered, 0, prompt[:BLOCK_TOKENS], prompt=True))
    seen = [company.beside(Segment("a", scattered, BLOCK_TOKENS, prompt[BLOCK_TOKENS:], prompt=True, wanted=1))]
    seen += [company.beside(Segment("a", scattered, _PROMPT_TOKENS, rows, prompt=False, wanted=_ROWS))]
    return torch.equal(_judged(decoder, expected), _judged(decoder, seen))


def kernels_digest(dtype: torch.dtype) -> str:
    """Twelve hex digits of what this machine's kernels make of fixed numbers: products, attention, norms and curves.

    Processors that torch calls by one name may run other kernels; engines of unequal digests are of unequal numerics.
    """
    return _digest(dtype, torch.get_num_threads())


@cache
@torch.inference_mode()
def _digest(dtype: torch.dtype, _threads: int) -> str:
    source = torch.Generator().manual_seed(0)

    def numbers(*sizes: int) -> Tensor:
        return torch.empty(sizes).normal_(0.0, 0.05, generator=source).to(dtype)

    up, down = make_linear(numbers(_WIDER, _WIDE)), make_linear(numbers(_WIDE, _WIDER))
    keys, values = numbers(1, 2, _KEYS, _HEAD), numbers(1, 2, _KEYS, _HEAD)
    digest = hashlib.sha256()
    for rows in (4, 36):
        x = functional.rms_norm(numbers(rows, _WIDE), (_WIDE,))
        mixed = functional.scaled_dot_product_attention(x[:, : 2 * _HEAD].reshape(1, 2, rows, _HEAD), keys, values)
        out = down(functional.silu(up(x)))
        digest.update(out.float().numpy().tobytes() + mixed.float().numpy().tobytes())
    return digest.hexdigest()[:12]


class _Company:
    """Another text of which rows are computed in the same calls."""

    def __init__(self, decoder: Decoder, blocks: Sequence[int]) -> None:
        self._decoder, self._blocks = decoder, blocks
        self._ids = tuple(
            (5 * place + 1) % decoder.config.sizes.vocab_size for place in range(BLOCK_TOKENS + _COMPANIONS)
        )
        _read(decoder, blocks, self._ids[:BLOCK_TOKENS])

    def beside(self, segment: Segment) -> Tensor:
        """Hidden states of the segment's wanted tokens."""
        crowd = Segment("b", self._blocks, BLOCK_TOKENS, self._ids[BLOCK_TOKENS:], prompt=False, wanted=1)
        return self._decoder.forward([crowd, segment])[1:]


def _read(decoder: Decoder, blocks: Sequence[int], ids: tuple[int, ...]) -> Tensor:
    return decoder.forward([Segment("a", blocks, 0, ids, prompt=True, wanted=1)])


def _rows(decoder: Decoder, blocks: Sequence[int], place: int, ids: tuple[int, ...]) -> Tensor:
    return decoder.forward([Segment("a", blocks, _PROMPT_TOKENS + place, ids, prompt=False, wanted=len(ids))])


def _judged(decoder: Decoder, hidden: Sequence[Tensor]) -> Tensor:
    """Logits one call for each, as the calls came: the head is looked at, too."""
    return torch.cat([decoder.logits(each) for each in hidden])

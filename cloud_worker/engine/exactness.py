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

from cloud_worker.engine.model.base import DIGESTED_ROWS, Model
from cloud_worker.engine.model.gate import gated
from cloud_worker.engine.model.linear import AS_STORED, make_linear
from cloud_worker.engine.work import BLOCK_TOKENS, Segment

_WIDE, _WIDER, _HEAD, _KEYS = 896, 4864, 64, 600
"""Sizes at which kernels differ that look alike: narrower products were equal with and without bfloat16 units."""
_PROMPT_TOKENS = 2 * BLOCK_TOKENS + 6
_ROWS = 4
_COMPANIONS = 13
"""An odd crowd, so that rows stand elsewhere in tiles of kernels than they do alone."""
BLOCKS_NEEDED = 8
_FAR_TILES = 36
"""Whole tiles before the far tokens: kernels cut keys at 512 and at 1024."""
LOOKED_TOKENS = (_FAR_TILES + 2) * BLOCK_TOKENS
"""The longest text that is read here, where the model and its store have room for it."""
CPU = torch.device("cpu")


def keeps_bits(decoder: Model, step_tokens: int = 256) -> bool:
    """Read a made-up text alone, then in pieces, scattered and in company: equal bits? Overwrites the first blocks.

    The decoder has at least BLOCKS_NEEDED blocks, and nobody uses it yet. A dozen calls of the model, and half a dozen
    more behind as many keys as it has room for, up to a thousand or so; then the gate of the largest step.
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
    near = torch.equal(_judged(decoder, expected), _judged(decoder, seen))
    return near and _keeps_far_bits(decoder, alone, scattered, company, ids) and _keeps_gates(decoder, step_tokens)


def _keeps_gates(decoder: Model, rows: int) -> bool:
    """The one curve among what is computed value by value, at the size where all threads have a share of it."""
    norm = decoder.weights.norm
    source = torch.Generator().manual_seed(0)
    x = torch.empty(rows, 2 * decoder.config.sizes.intermediate_size).normal_(0.0, 3.0, generator=source).to(norm)
    return torch.equal(gated(x.clone()), torch.cat([gated(row.clone()) for row in torch.split(x, 1)]))


def _keeps_far_bits(
    decoder: Model, alone: Sequence[int], scattered: Sequence[int], company: _Company, ids: tuple[int, ...]
) -> bool:
    """A tile and rows behind many keys. Those are the first two tiles of the text over and over, which costs next to
    nothing to make: copied into one run for the text alone, the same blocks again and again where it is scattered.
    """
    most = decoder.config.sizes.max_position_embeddings // BLOCK_TOKENS
    tiles = min(_FAR_TILES, decoder.kv.blocks - BLOCKS_NEEDED - 2, most - 2) // 2 * 2
    if tiles < 2:
        return True
    run = range(BLOCKS_NEEDED, BLOCKS_NEEDED + tiles + 2)
    for place in range(tiles):
        decoder.kv.copy_block(alone[place % 2], run[place])
    strewn = [scattered[place % 2] for place in range(tiles)] + [scattered[2], alone[2]]
    prompt, rows, start = ids[:BLOCK_TOKENS], ids[-_ROWS:], tiles * BLOCK_TOKENS
    behind = start + BLOCK_TOKENS
    expected = [decoder.forward([Segment("a", run, start, prompt, prompt=True, wanted=1)])]
    for place, token in enumerate(rows):
        expected += [decoder.forward([Segment("a", run, behind + place, (token,), prompt=False, wanted=1)])]
    seen = [company.beside(Segment("a", strewn, start, prompt, prompt=True, wanted=1))]
    seen += [company.beside(Segment("a", strewn, behind, rows, prompt=False, wanted=_ROWS))]
    return torch.equal(_judged(decoder, expected), _judged(decoder, seen))


def kernels_digest(
    dtype: torch.dtype,
    kind: str = AS_STORED,
    device: torch.device = CPU,
    rows: tuple[int, ...] = DIGESTED_ROWS,
    named: str = "",
) -> str:
    """Twelve hex digits of what this machine's kernels make of fixed numbers: products, attention, norms and curves.

    Processors that torch calls by one name may run other kernels; engines of unequal digests are of unequal numerics.
    Products are of so many `rows`; `named` is what else chooses bits and cannot be seen in these numbers.
    """
    return _digest(dtype, kind, device, rows, named, torch.get_num_threads())


@cache
@torch.inference_mode()
def _digest(
    dtype: torch.dtype, kind: str, device: torch.device, sizes: tuple[int, ...], named: str, _threads: int
) -> str:
    source = torch.Generator().manual_seed(0)

    def numbers(*sizes: int) -> Tensor:
        return torch.empty(sizes).normal_(0.0, 0.05, generator=source).to(device, dtype)

    up, down = make_linear(numbers(_WIDER, _WIDE), None, kind), make_linear(numbers(_WIDE, _WIDER), None, kind)
    keys, values = numbers(1, 2, _KEYS, _HEAD), numbers(1, 2, _KEYS, _HEAD)
    digest = hashlib.sha256(named.encode())
    for rows in sizes:
        x = functional.rms_norm(numbers(rows, _WIDE), (_WIDE,))
        mixed = functional.scaled_dot_product_attention(x[:, : 2 * _HEAD].reshape(1, 2, rows, _HEAD), keys, values)
        out = down(functional.silu(up(x)))
        digest.update(out.float().cpu().numpy().tobytes() + mixed.float().cpu().numpy().tobytes())
    return digest.hexdigest()[:12]


class _Company:
    """Another text of which rows are computed in the same calls."""

    def __init__(self, decoder: Model, blocks: Sequence[int]) -> None:
        self._decoder, self._blocks = decoder, blocks
        self._ids = tuple(
            (5 * place + 1) % decoder.config.sizes.vocab_size for place in range(BLOCK_TOKENS + _COMPANIONS)
        )
        _read(decoder, blocks, self._ids[:BLOCK_TOKENS])

    def beside(self, segment: Segment) -> Tensor:
        """Hidden states of the segment's wanted tokens."""
        crowd = Segment("b", self._blocks, BLOCK_TOKENS, self._ids[BLOCK_TOKENS:], prompt=False, wanted=1)
        return self._decoder.forward([crowd, segment])[1:]


def _read(decoder: Model, blocks: Sequence[int], ids: tuple[int, ...]) -> Tensor:
    return decoder.forward([Segment("a", blocks, 0, ids, prompt=True, wanted=1)])


def _rows(decoder: Model, blocks: Sequence[int], place: int, ids: tuple[int, ...]) -> Tensor:
    return decoder.forward([Segment("a", blocks, _PROMPT_TOKENS + place, ids, prompt=False, wanted=len(ids))])


def _judged(decoder: Model, hidden: Sequence[Tensor]) -> Tensor:
    """Logits one call for each, as the calls came: the head is looked at, too."""
    return torch.cat([decoder.logits(each) for each in hidden])

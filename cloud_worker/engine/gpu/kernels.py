"""The Triton kernels of paged attention, for prompt tiles, next tokens, drafts and replay; launched by attention.py.

A unit is tokens of one text that stand side by side, with the query heads of one kv head; split s are the keys from
s·SPLIT on, counted from the text's first. A row sees its keys in an order that its position alone fixes; keys that are
read for other rows are hidden from it, and what is hidden changes no bit: it adds zeros and lifts no maximum.
"""

# mypy: disable-error-code="untyped-decorator, no-untyped-def"
# ruff: noqa: N803
from __future__ import annotations

import torch
import triton
import triton.language as tl

TYPES = {torch.float32: tl.float32, torch.float16: tl.float16, torch.bfloat16: tl.bfloat16}


@triton.jit
def attend_kernel(
    query, arena, out, partial, stats, lengths, units, tables,
    query_stride, arena_stride, table_stride, scale,
    WINDOW: tl.constexpr, KV_HEADS: tl.constexpr, GROUP: tl.constexpr, HEAD_DIM: tl.constexpr, DIM: tl.constexpr,
    BLOCK: tl.constexpr, ROWS: tl.constexpr, SPLIT: tl.constexpr, SPLITS: tl.constexpr, WORKERS: tl.constexpr,
    DOT: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """One unit, one kv head; with SPLITS every WORKERS-th split of its keys, into `partial`, else all, into `out`."""
    unit, head, worker = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    first_row = tl.load(units + unit * 2)
    count = tl.load(units + unit * 2 + 1)
    if count == 0:
        return
    table = tables + unit * table_stride
    first_length = tl.load(lengths + first_row)
    stop = first_length + count - 1
    start = tl.maximum(first_length - WINDOW, 0) if WINDOW > 0 else 0
    if worker >= tl.cdiv(stop, SPLIT) - start // SPLIT:
        return

    lane, dim = tl.arange(0, ROWS), tl.arange(0, DIM)
    row, query_head = first_row + lane // GROUP, head * GROUP + lane % GROUP
    length = first_length + lane // GROUP
    taken = (lane // GROUP < count)[:, None] & (dim < HEAD_DIM)[None, :]
    place = (row * query_stride + query_head * HEAD_DIM)[:, None] + dim[None, :]
    q = tl.load(query + place, mask=taken, other=0.0).to(DOT)
    keys_at = arena + head * HEAD_DIM
    values_at = arena + (KV_HEADS + head) * HEAD_DIM

    if SPLITS == 0:
        first = start // BLOCK * BLOCK
        mixed, best, mass = _over(
            q, keys_at, values_at, table, arena_stride, length, scale, first, stop,
            WINDOW, HEAD_DIM, DIM, BLOCK, ROWS, DOT, PRECISION,
        )  # fmt: skip
        target = (row * (KV_HEADS * GROUP * HEAD_DIM) + query_head * HEAD_DIM)[:, None] + dim[None, :]
        tl.store(out + target, (mixed / tl.where(mass > 0, mass, 1.0)[:, None]).to(out.dtype.element_ty), mask=taken)
    else:
        for split in range(start // SPLIT + worker, tl.cdiv(stop, SPLIT), WORKERS):
            end = tl.minimum((split + 1) * SPLIT, stop)
            first = tl.maximum(split * SPLIT, start // BLOCK * BLOCK)
            mixed, best, mass = _over(
                q, keys_at, values_at, table, arena_stride, length, scale, first, end,
                WINDOW, HEAD_DIM, DIM, BLOCK, ROWS, DOT, PRECISION,
            )  # fmt: skip
            cell = (row * (KV_HEADS * GROUP) + query_head) * SPLITS + split
            tl.store(partial + (cell * DIM)[:, None] + dim[None, :], mixed, mask=taken)
            inside = lane // GROUP < count
            tl.store(stats + cell * 2, best, mask=inside)
            tl.store(stats + cell * 2 + 1, mass, mask=inside)


@triton.jit
def _over(
    q, keys_at, values_at, table, arena_stride, length, scale, first, stop,
    WINDOW: tl.constexpr, HEAD_DIM: tl.constexpr, DIM: tl.constexpr, BLOCK: tl.constexpr, ROWS: tl.constexpr,
    DOT: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Softmax over keys `first` to `stop` as it runs (Milakov and Gimelshein, 2018): values mixed [ROWS, DIM] and not
    yet divided, the greatest score and the mass [ROWS], scores in powers of two."""
    dim = tl.arange(0, DIM)
    mixed = tl.zeros([ROWS, DIM], tl.float32)
    best = tl.full([ROWS], float("-inf"), tl.float32)
    mass = tl.zeros([ROWS], tl.float32)
    for tile in range(first, stop, BLOCK):
        key = tile + tl.arange(0, BLOCK)
        there = key < stop
        slot = tl.load(table + tile // BLOCK) * BLOCK + tl.arange(0, BLOCK)
        cells = (slot * arena_stride)[:, None] + dim[None, :]
        inside = there[:, None] & (dim < HEAD_DIM)[None, :]
        keys = tl.load(keys_at + cells, mask=inside, other=0.0).to(DOT)
        scores = tl.dot(q, tl.trans(keys), input_precision=PRECISION) * scale
        seen = key[None, :] < tl.minimum(length, stop)[:, None]
        if WINDOW > 0:
            seen = seen & (key[None, :] >= length[:, None] - WINDOW)
        scores = tl.where(seen, scores, float("-inf"))
        higher = tl.maximum(best, tl.max(scores, 1))
        level = tl.where(higher == float("-inf"), 0.0, higher)
        shares = tl.exp2(scores - level[:, None])
        kept = tl.exp2(best - level)
        values = tl.load(values_at + cells, mask=inside, other=0.0).to(DOT)
        mass = mass * kept + tl.sum(shares, 1)
        mixed = mixed * kept[:, None] + tl.dot(shares.to(DOT), values, input_precision=PRECISION)
        best = higher
    return mixed, best, mass


@triton.jit
def merge_kernel(
    partial, stats, out, lengths,
    WINDOW: tl.constexpr, HEADS: tl.constexpr, HEAD_DIM: tl.constexpr, DIM: tl.constexpr,
    SPLIT: tl.constexpr, SPLITS: tl.constexpr,
):  # fmt: skip
    """The splits of one row and head put together, the first one first; `out` stays as it is for a row of no length."""
    row, head = tl.program_id(0), tl.program_id(1)
    length = tl.load(lengths + row)
    if length == 0:
        return
    start = tl.maximum(length - WINDOW, 0) if WINDOW > 0 else 0
    first, last = start // SPLIT, tl.cdiv(length, SPLIT)
    cell = (row * HEADS + head) * SPLITS
    dim = tl.arange(0, DIM)
    best = float("-inf")
    for split in range(first, last):
        best = tl.maximum(best, tl.load(stats + (cell + split) * 2))
    mixed, mass = tl.zeros([DIM], tl.float32), 0.0
    for split in range(first, last):
        share = tl.exp2(tl.load(stats + (cell + split) * 2) - best)
        mass += tl.load(stats + (cell + split) * 2 + 1) * share
        mixed += tl.load(partial + (cell + split) * DIM + dim, mask=dim < HEAD_DIM, other=0.0) * share
    target = out + (row * HEADS + head) * HEAD_DIM + dim
    mixed = mixed / tl.where(mass > 0, mass, 1.0)
    tl.store(target, mixed.to(out.dtype.element_ty), mask=dim < HEAD_DIM)

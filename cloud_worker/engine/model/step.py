"""One step as the model sees it: the tokens of all segments in one list, and what each of them may attend to.

    tokens   | tile | tile | til | row | row | row | pad |        prompt tiles, then output rows, then padding
    wanted                     ^            ^     ^               logits behind them are asked for

Made once for a step, used by every layer. Which segments there are is the scheduler's choice.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cloud_worker.engine.model.kv import Span, slots_of
from cloud_worker.engine.model.linear import ROW_MULTIPLE
from cloud_worker.engine.work import BLOCK_TOKENS, Segment


@dataclass(frozen=True, slots=True)
class TileRead:
    """A tile: `rows` tokens from token `row` of the step on, the first at position `start`; keys begin at `base`."""

    row: int
    rows: int
    start: int
    base: int
    span: Span


@dataclass(frozen=True, slots=True)
class RowsRead:
    """Consecutive output rows from token `row` of the step on; a cut `(first, length)` is what one of them sees of the
    keys and values that the span is read as."""

    row: int
    span: Span
    cuts: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Reads:
    """All that is attended to in layers of one window."""

    tiles: tuple[TileRead, ...]
    rows: tuple[RowsRead, ...]


class Step:
    """Tensors and reads of a step. `tokens` are true, `padded` are computed."""

    def __init__(self, segments: Sequence[Segment], windows: Iterable[int], row_multiple: int = ROW_MULTIPLE) -> None:
        """Raises ValueError for a prompt segment that does not begin on a tile, or a block table that is too short."""
        for segment in segments:
            _check(segment)
        order = [segment for segment in segments if segment.prompt] + [each for each in segments if not each.prompt]
        ids = [token for segment in order for token in segment.ids]
        positions = [place for segment in order for place in range(segment.start, segment.stop)]
        self.tokens = len(ids)
        self.prompt_tokens = sum(len(segment.ids) for segment in order if segment.prompt)
        self.padded = padded_rows(self.tokens, row_multiple)
        padding = [0] * (self.padded - self.tokens)
        self.highest = max(positions, default=0)
        self.ids = torch.tensor(ids + padding, dtype=torch.int64)
        self.positions = torch.tensor(positions + padding, dtype=torch.int64)
        self.slots = _slots(order)
        self.stale = _stale(order)
        first_rows = _first_rows(order)
        self.wanted = _wanted(segments, first_rows)
        self.reads = {window: _reads(order, first_rows, window) for window in windows}


def padded_rows(rows: int, multiple: int = ROW_MULTIPLE) -> int:
    """Rows that are computed for `rows` true ones."""
    return -(-rows // multiple) * multiple


def _check(segment: Segment) -> None:
    if not segment.ids or segment.start < 0 or (segment.prompt and segment.start % BLOCK_TOKENS):
        raise ValueError(f"Step: a segment at {segment.start} of {len(segment.ids)} tokens stands on no tile")
    if len(segment.blocks) * BLOCK_TOKENS < segment.stop:
        raise ValueError(f"Step: {len(segment.blocks)} blocks do not cover {segment.stop} tokens")
    if not 0 <= segment.wanted <= len(segment.ids):
        raise ValueError(f"Step: {segment.wanted} logits of {len(segment.ids)} tokens")


def _slots(order: Sequence[Segment]) -> Tensor:
    """Where each true token's keys and values go; int64 [tokens]."""
    slots: list[int] = []
    for segment in order:
        blocks = segment.blocks
        slots += (
            blocks[place // BLOCK_TOKENS] * BLOCK_TOKENS + place % BLOCK_TOKENS
            for place in range(segment.start, segment.stop)
        )
    return torch.tensor(slots, dtype=torch.int64)


def _stale(order: Sequence[Segment]) -> Tensor | None:
    """Slots behind the ends of prompts that their last tiles read (masked); nothing where all tiles are whole."""
    ends = [(each.blocks, each.stop) for each in order if each.prompt and each.stop % BLOCK_TOKENS]
    parts = [slots_of(blocks, stop, _tile_end(stop)) for blocks, stop in ends]
    return torch.cat(parts) if parts else None


def _first_rows(order: Sequence[Segment]) -> dict[int, int]:
    """The first row of each segment in the step, by its identity."""
    rows, row = dict[int, int](), 0
    for segment in order:
        rows[id(segment)] = row
        row += len(segment.ids)
    return rows


def _wanted(segments: Sequence[Segment], first_rows: dict[int, int]) -> list[int]:
    """Rows whose logits are asked for, in the order of the segments as they were given."""
    rows: list[int] = []
    for segment in segments:
        stop = first_rows[id(segment)] + len(segment.ids)
        rows += range(stop - segment.wanted, stop)
    return rows


def _reads(order: Sequence[Segment], first_rows: dict[int, int], window: int) -> Reads:
    tiles = [tile for each in order if each.prompt for tile in _tiles(each, first_rows[id(each)], window)]
    rows = [_rows(each, first_rows[id(each)], window) for each in order if not each.prompt]
    return Reads(tuple(tiles), tuple(rows))


def _tiles(segment: Segment, row: int, window: int) -> Iterable[TileRead]:
    """Every tile reads whole blocks up to its own end, so that its bits do not depend on where the prompt ends."""
    for start in range(segment.start, segment.stop, BLOCK_TOKENS):
        base = _base(start, window)
        rows = min(BLOCK_TOKENS, segment.stop - start)
        span = Span(segment.blocks, base, start + BLOCK_TOKENS)
        yield TileRead(row + start - segment.start, rows, start, base, span)


def _rows(segment: Segment, row: int, window: int) -> RowsRead:
    base = _base(segment.start, window)
    span = Span(segment.blocks, base, segment.stop)
    cuts = []
    for place in range(segment.start, segment.stop):
        first = max(0, place + 1 - window) if window else 0
        cuts.append((span.origin + first - base, place + 1 - first))
    return RowsRead(row, span, tuple(cuts))


def _base(start: int, window: int) -> int:
    """The first token that is read for tokens at `start` and behind it: the first of a block."""
    return max(0, start + 1 - window) // BLOCK_TOKENS * BLOCK_TOKENS if window else 0


def _tile_end(stop: int) -> int:
    return -(-stop // BLOCK_TOKENS) * BLOCK_TOKENS

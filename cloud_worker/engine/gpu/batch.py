"""A step as calls of fixed sizes: prompts in one kind of call, output rows in another, cut into units. Pure; no torch.

    prompts  | tile | tile | til | padding |      every tile is cut into the same units wherever it stands
    rows     | row | row row | row | padding |    next tokens, drafts to verify, replay

Padding costs time, and a product's kernel is chosen by its rows: Sizes says which of the two counts for more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from cloud_worker.engine.work import BLOCK_TOKENS, Segment


class Kind(Enum):
    """What a call is made of; each has its own tiles in the kernels, and so its own bits."""

    PROMPT = "prompt"
    ROWS = "rows"


@dataclass(frozen=True, slots=True)
class Sizes:
    """Rows of a call of each kind; None: as few as hold what there is, prompts by tiles and rows by powers of two."""

    prompt: int | None
    rows: int | None

    @property
    def fixed(self) -> bool:
        """Whether every call of a kind has the same size."""
        return self.prompt is not None and self.rows is not None

    def padded(self, kind: Kind, rows: int) -> int:
        """Rows of the call that computes `rows`, at least one."""
        fixed = self.prompt if kind is Kind.PROMPT else self.rows
        if fixed is not None:
            return fixed
        return -(-rows // BLOCK_TOKENS) * BLOCK_TOKENS if kind is Kind.PROMPT else 1 << (rows - 1).bit_length()

    def most(self, kind: Kind) -> int:
        """Rows of the largest call; what is more makes a second one."""
        fixed = self.prompt if kind is Kind.PROMPT else self.rows
        return fixed or _MOST_ROWS


EXACT: Final = Sizes(prompt=256, rows=64)
"""Two sizes, so that every product of every step is one of two: a row's bits cannot depend on how many there are."""
FAST: Final = Sizes(prompt=None, rows=None)
_MOST_ROWS: Final = 1024


@dataclass(frozen=True, slots=True)
class Unit:
    """Consecutive tokens of one segment, `first` of them on, read by one tile of a kernel."""

    segment: int
    first: int
    tokens: int


@dataclass(slots=True)
class Call:
    """One call of the model. `tables` has a row for each unit; `wanted` pairs a row with its place in the answer."""

    kind: Kind
    rows: int = 0
    """Padded."""
    ids: list[int] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    """Keys that each row sees, its own among them."""
    slots: list[int] = field(default_factory=list)
    units: list[tuple[int, int]] = field(default_factory=list)
    """First row and number of tokens."""
    tables: list[Sequence[int]] = field(default_factory=list)
    wanted: list[tuple[int, int]] = field(default_factory=list)


def calls_of(segments: Sequence[Segment], unit_tokens: Mapping[Kind, int], sizes: Sizes) -> list[Call]:
    """The calls of a step, in the order in which they have to run: prompts, then rows, each text from left to right.

    Raises ValueError for a segment that stands on no tile or is not covered by its blocks.
    """
    for segment in segments:
        check(segment)
    places = _wanted_places(segments)
    calls = []
    for kind in Kind:
        mine = [n for n, segment in enumerate(segments) if segment.prompt is (kind is Kind.PROMPT)]
        call = Call(kind)
        for unit in _units(segments, mine, unit_tokens[kind]):
            if len(call.ids) + unit.tokens > sizes.most(kind):
                calls.append(call)
                call = Call(kind)
            _add(call, segments[unit.segment], unit, places[unit.segment])
        if call.ids:
            calls.append(call)
    for call in calls:
        call.rows = sizes.padded(call.kind, len(call.ids))
    return calls


def check(segment: Segment) -> None:
    """Raises ValueError for a segment that no step can read."""
    if not segment.ids or segment.start < 0 or (segment.prompt and segment.start % BLOCK_TOKENS):
        raise ValueError(f"a segment at {segment.start} of {len(segment.ids)} tokens stands on no tile")
    if len(segment.blocks) * BLOCK_TOKENS < segment.stop:
        raise ValueError(f"{len(segment.blocks)} blocks do not cover {segment.stop} tokens")
    if not 0 <= segment.wanted <= len(segment.ids):
        raise ValueError(f"{segment.wanted} logits of {len(segment.ids)} tokens")


def _wanted_places(segments: Sequence[Segment]) -> list[int]:
    """Where in the answer the first wanted token of each segment stands."""
    places, place = [], 0
    for segment in segments:
        places.append(place)
        place += segment.wanted
    return places


def _units(segments: Sequence[Segment], numbers: Sequence[int], most: int) -> Iterator[Unit]:
    for number in numbers:
        count = len(segments[number].ids)
        for first in range(0, count, most):
            yield Unit(number, first, min(most, count - first))


def _add(call: Call, segment: Segment, unit: Unit, place: int) -> None:
    row = len(call.ids)
    start = segment.start + unit.first
    positions = range(start, start + unit.tokens)
    call.units.append((row, unit.tokens))
    call.tables.append(segment.blocks[: -(-positions.stop // BLOCK_TOKENS)])
    call.ids += segment.ids[unit.first : unit.first + unit.tokens]
    call.lengths += (position + 1 for position in positions)
    call.slots += (segment.blocks[at // BLOCK_TOKENS] * BLOCK_TOKENS + at % BLOCK_TOKENS for at in positions)
    unwanted = len(segment.ids) - segment.wanted
    for token in range(max(unit.first, unwanted), unit.first + unit.tokens):
        call.wanted.append((row + token - unit.first, place + token - unwanted))

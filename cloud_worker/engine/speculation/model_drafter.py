"""Drafts by a small model of the same family, with a key-value store of its own. The only file here that sees tensors.

    ids so far   p p p p p p o o o     the first call reads what the small model lacks, of all answers together
    drafts                        a b  each further call reads one token of each and gives the next

A drafted token is drawn with the very noise that the large model's will be drawn with, so the two agree far more often
than two draws would. How exact the small model's bits are is of no consequence: a draft is a guess.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Final, Protocol

from torch import Tensor

from cloud_worker.engine.blocks import BlockPool, blocks_for
from cloud_worker.engine.speculation.drafting import Wanted
from cloud_worker.engine.speculation.step_costs import StepCosts
from cloud_worker.engine.work import BLOCK_TOKENS, Segment
from edgewise.generation import drawing, sampling
from edgewise.generation.penalties import Tally
from edgewise.generation.state import GenerationState

CATCH_UP_TOKENS: Final = 1024
"""Of all answers in one call, so that a long prompt holds up nobody's draft for long; the rest is read next time."""
ROWS_AT_MOST: Final = 8
"""Tokens that are read as rows; more are read in tiles, from the last whole tile on."""

Draw = Callable[[Tensor, Sequence[GenerationState], Sequence[Tally]], list[int | None]]
"""For each row of logits [n, vocab] the id that follows its state, whose tally is there, too; None where the row cannot
be sampled."""


class DraftModel(Protocol):
    """What is needed of a Decoder (cloud_worker.engine.model.decoder)."""

    def forward(self, segments: Sequence[Segment]) -> Tensor: ...

    def logits(self, hidden: Tensor) -> Tensor: ...


@dataclass(slots=True)
class _Text:
    """One answer: `read` are the ids whose keys are in `blocks`, the first `said` of them known to be of the text.

    `state` and its `tally` go on with what was said whenever a draft is made.
    """

    state: GenerationState
    tally: Tally
    read: list[int] = field(default_factory=list)
    said: int = 0
    blocks: list[int] = field(default_factory=list)


@dataclass(slots=True)
class _Draft:
    """A draft in the making: `state` and `tally` are the answer's with what was drafted so far."""

    wanted: Wanted
    text: _Text
    state: GenerationState
    tally: Tally
    ids: tuple[int, ...] = ()


class ModelDrafter:
    """A BatchDrafter. `blocks` is the room of the model's store, `context_tokens` and `vocab_size` are the model's.

    `costs` is told the time of every call that only drafted, by its rows.
    """

    def __init__(
        self,
        model: DraftModel,
        *,
        blocks: int,
        context_tokens: int,
        vocab_size: int,
        draw: Draw | None = None,
        costs: StepCosts | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._model, self._draw, self._costs, self._clock = model, draw or drawn, costs, clock
        self._context_tokens, self._vocab_size = context_tokens, vocab_size
        self._pool = BlockPool(blocks)
        self._texts: dict[str, _Text] = {}

    def begin(self, request: str, state: GenerationState) -> None:
        self.forget(request)
        touched = (*state.prompt_ids, *state.output_ids, *state.sampling.logit_bias)
        if all(0 <= token < self._vocab_size for token in touched):
            self._texts[request] = _Text(state, Tally(state))

    def draft(self, request: str, ids: Sequence[int], most: int) -> tuple[int, ...]:
        return self.draft_all([Wanted(request, ids, most)])[0]

    def draft_all(self, wanted: Sequence[Wanted]) -> list[tuple[int, ...]]:
        drafts: dict[str, _Draft] = {}
        segments, room = list[Segment](), CATCH_UP_TOKENS
        for each in wanted:
            if (text := self._made_ready(each)) and room > 0:
                segment = _lacking(each, text, room)
                segments.append(segment)
                room -= len(segment.ids)
                text.read[segment.start :] = segment.ids
                if segment.wanted:
                    _go_on(text, each.ids)
                    drafts[each.request] = _Draft(each, text, text.state, deepcopy(text.tally))
        self._call(segments, list(drafts.values()))
        while going := [draft for draft in drafts.values() if draft.ids and _goes_on(draft)]:
            self._call([_next_row(draft) for draft in going], going)
        return [drafts[each.request].ids if each.request in drafts else () for each in wanted]

    def accepted(self, request: str, drafted: int, held: int) -> None:
        """Nothing to learn: what did not hold is found when the next draft is asked for."""

    def forget(self, request: str) -> None:
        if (text := self._texts.pop(request, None)) is not None:
            self._pool.release(text.blocks)

    def check_integrity(self) -> None:
        """Raises AssertionError when blocks were lost or are had twice."""
        self._pool.check_integrity([text.blocks for text in self._texts.values()])

    def _made_ready(self, wanted: Wanted) -> _Text | None:
        """The answer's text, without what was read and did not hold, and with room for what is wanted."""
        text, tokens = self._texts.get(wanted.request), len(wanted.ids) + wanted.most
        if text is None or wanted.most < 1 or tokens > self._context_tokens:
            return None
        lacking = blocks_for(tokens) - len(text.blocks)
        if lacking > self._pool.room or any(not 0 <= token < self._vocab_size for token in wanted.ids[text.said :]):
            return None
        if lacking > 0:
            text.blocks += self._pool.allocate(lacking, text.blocks[-1] if text.blocks else None)
        last = len(wanted.ids) - 1  # its logits are what the draft begins with: it is always read
        place = min(text.said, last)
        while place < min(len(text.read), last) and text.read[place] == wanted.ids[place]:
            place += 1
        del text.read[place:]
        text.said = place
        return text

    def _call(self, segments: Sequence[Segment], drafts: Sequence[_Draft]) -> None:
        """One call of the model: what `segments` read, and the next id of each of `drafts`."""
        if not segments:
            return
        started = self._clock()
        hidden = self._model.forward(segments)
        if drafts:
            states, tallies = [draft.state for draft in drafts], [draft.tally for draft in drafts]
            drawn_ids = self._draw(self._model.logits(hidden), states, tallies)
            for draft, token in zip(drafts, drawn_ids, strict=True):
                if token is None:
                    draft.wanted = Wanted(draft.wanted.request, draft.wanted.ids, len(draft.ids))
                else:
                    draft.ids, draft.state = (*draft.ids, token), draft.state.advanced((token,), "")
                    draft.tally.add(token)
        if self._costs is not None and not any(segment.prompt for segment in segments):
            self._costs.observe(sum(len(segment.ids) for segment in segments), self._clock() - started)


def drawn(logits: Tensor, states: Sequence[GenerationState], tallies: Sequence[Tally]) -> list[int | None]:
    """Row by row, the ids of edgewise.generation.sampling."""
    return [_drawn_one(*each) for each in zip(logits, states, tallies, strict=True)]


def _drawn_one(logits: Tensor, state: GenerationState, tally: Tally) -> int | None:
    try:
        return drawing.draw(logits.numpy(), state, tally=tally)
    except sampling.LogitsError:
        return None


def _lacking(wanted: Wanted, text: _Text, room: int) -> Segment:
    """What the model has not read of the ids so far: a few as rows, many as tiles and at most about `room` of them."""
    start, stop = len(text.read), len(wanted.ids)
    tiles = stop - start > ROWS_AT_MOST
    if tiles:
        start -= start % BLOCK_TOKENS
        stop = min(stop, start + max(room // BLOCK_TOKENS, 1) * BLOCK_TOKENS)
    ids = tuple(wanted.ids[start:stop])
    return Segment(wanted.request, text.blocks, start, ids, tiles, wanted=int(stop == len(wanted.ids)))


def _goes_on(draft: _Draft) -> bool:
    return len(draft.ids) < draft.wanted.most


def _next_row(draft: _Draft) -> Segment:
    """The row of the id that was drafted last."""
    start = len(draft.text.read)
    draft.text.read.append(draft.ids[-1])
    return Segment(draft.wanted.request, draft.text.blocks, start, draft.ids[-1:], False, wanted=1)


def _go_on(text: _Text, ids: Sequence[int]) -> None:
    """With what was said since the last draft; `ids` are the whole text's."""
    if new := tuple(ids[len(text.state.prompt_ids) + len(text.state.output_ids) :]):
        text.state = text.state.advanced(new, "")
        for token in new:
            text.tally.add(token)

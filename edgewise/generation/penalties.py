"""What penalties and bias make of the logits of the tokens that they touch: a function of the ids and the rules alone.

Order: repetition (on the model's logit), frequency and presence (OpenAI's definition), bias. Only correctly rounded
float64 operations, so the bits are the same everywhere. Drawing lives in sampling.py.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from edgewise.generation.fixed_point import Ints
from edgewise.generation.state import GenerationState

Floats = NDArray[np.float64]


class Tally:
    """What the rules of one answer must know of its ids. `add` goes on with it, at a cost that does not grow with the
    prompt's length: `Tally(state)` and then `add(token)` is `Tally(state.advanced((token,), ""))`.
    """

    def __init__(self, state: GenerationState) -> None:
        rules = state.sampling
        self._repetition, self._frequency, self._presence = (
            rules.repetition_penalty,
            rules.frequency_penalty,
            rules.presence_penalty,
        )
        self._bias = rules.logit_bias
        self._repeats = rules.repetition_penalty != 1
        self._counts = bool(rules.frequency_penalty or rules.presence_penalty)
        self.ids = _NONE
        """The tokens whose logits change, ascending, each once."""
        if self._repeats or self._counts or self._bias:
            self._count(state)

    def _count(self, state: GenerationState) -> None:
        said = _array(state.output_ids) if self._repeats or self._counts else _NONE
        repeated = np.concatenate((_array(state.prompt_ids), said)) if self._repeats else _NONE
        self.ids = np.flatnonzero(_marked(np.concatenate((_array(self._bias), said, repeated))))
        self._is_repeated = _marked(repeated, size=len(self.ids) and self.ids[-1] + 1)[self.ids]
        self._times = np.bincount(np.searchsorted(self.ids, said), minlength=len(self.ids))
        self._changes = np.zeros(len(self.ids))
        if self._counts:
            changes = -(self._times * self._frequency) - self._presence
            self._changes = np.where(self._times > 0, changes, 0.0)
        bias = np.fromiter(self._bias.values(), np.float64, len(self._bias))
        self._changes[np.searchsorted(self.ids, _array(self._bias))] += bias

    def add(self, token: int) -> None:
        """One more id was said."""
        if not (self._repeats or self._counts):
            return
        place = int(np.searchsorted(self.ids, token))
        if place == len(self.ids) or self.ids[place] != token:
            self.ids = np.insert(self.ids, place, token)
            self._is_repeated = np.insert(self._is_repeated, place, False)
            self._times = np.insert(self._times, place, 0)
            self._changes = np.insert(self._changes, place, 0.0)
        self._is_repeated[place] = self._repeats
        self._times[place] += 1
        if self._counts:
            change = -(int(self._times[place]) * self._frequency) - self._presence
            self._changes[place] = change + self._bias[token] if token in self._bias else change

    def changed(self, logits: Floats) -> Floats:
        """Scores [n] of all `ids` [n], whose `logits` [n] the model gave."""
        if self._repeats:
            penalized = np.where(logits > 0, logits / self._repetition, logits * self._repetition)
            logits = np.where(self._is_repeated, penalized, logits)
        scores: Floats = logits + self._changes
        return scores


def touched_scores(
    logits: NDArray[np.float32], state: GenerationState, tally: Tally | None = None
) -> tuple[Ints, Floats]:
    """The ids whose logits change, ascending, each once, and their scores; `logits` are [V].

    `tally` is that of `state`, where somebody has it already.
    """
    if tally is None:
        tally = Tally(state)
    if not len(tally.ids):
        return tally.ids, np.empty(0)
    return tally.ids, tally.changed(logits[tally.ids].astype(np.float64))


def _marked(ids: Ints, size: int = 0) -> NDArray[np.bool_]:
    """True at each of `ids`; quicker than sorting where they are many, as a prompt's are."""
    marked = np.zeros(max(size, int(ids.max(initial=-1)) + 1), dtype=np.bool_)
    marked[ids] = True
    return marked


def _array(ids: Iterable[int]) -> Ints:
    return np.array(tuple(ids), dtype=np.int64)


_NONE = _array(())

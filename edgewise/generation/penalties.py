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


def touched_scores(logits: NDArray[np.float32], state: GenerationState) -> tuple[Ints, Floats]:
    """The ids whose logits change, ascending, each once, and their scores; `logits` are [V]."""
    ids = touched_ids(state)
    if not len(ids):
        return ids, np.empty(0)
    return ids, changed_scores(logits[ids].astype(np.float64), ids, state)


def touched_ids(state: GenerationState) -> Ints:
    """Ids that penalties or bias of `state` touch, ascending, each once; all ids are below the model's vocabulary."""
    parts = [_array(state.sampling.logit_bias)]
    if _repeats(state):
        parts.append(_array(state.prompt_ids))
    if _repeats(state) or _counts(state):
        parts.append(_array(state.output_ids))
    return np.flatnonzero(_marked(np.concatenate(parts)))


def changed_scores(logits: Floats, ids: Ints, state: GenerationState) -> Floats:
    """Scores [n] of all the touched `ids` [n], whose `logits` [n] the model gave."""
    rules, changes = state.sampling, np.zeros(len(ids))
    if _repeats(state):
        penalty = rules.repetition_penalty
        said = _marked(_array(state.prompt_ids + state.output_ids), size=len(ids) and ids[-1] + 1)[ids]
        logits = np.where(said, np.where(logits > 0, logits / penalty, logits * penalty), logits)
    if _counts(state):
        counts = np.bincount(np.searchsorted(ids, _array(state.output_ids)), minlength=len(ids))
        changes = np.where(counts > 0, -(counts * rules.frequency_penalty) - rules.presence_penalty, 0.0)
    bias = np.fromiter(rules.logit_bias.values(), np.float64, len(rules.logit_bias))
    changes[np.searchsorted(ids, _array(rules.logit_bias))] += bias
    scores: Floats = logits + changes
    return scores


def _repeats(state: GenerationState) -> bool:
    return state.sampling.repetition_penalty != 1


def _counts(state: GenerationState) -> bool:
    return bool(state.sampling.frequency_penalty or state.sampling.presence_penalty)


def _marked(ids: Ints, size: int = 0) -> NDArray[np.bool_]:
    """True at each of `ids`; quicker than sorting where they are many, as a prompt's are."""
    marked = np.zeros(max(size, int(ids.max(initial=-1)) + 1), dtype=np.bool_)
    marked[ids] = True
    return marked


def _array(ids: Iterable[int]) -> Ints:
    return np.array(tuple(ids), dtype=np.int64)

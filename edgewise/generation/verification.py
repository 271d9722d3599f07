"""What the rows of one step's logits say: for each answer the next ids, as far as its drafts hold. Pure; no torch.

A draft holds while it equals the token that is drawn, so k drafts are verified by drawing k + 1 rows in order and no
draft changes an answer. Making drafts is edgewise/speculation/, one token's drawing drawing.py.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgewise.generation.drawing import draw
from edgewise.generation.grammar import Constraint, InvalidGrammarError
from edgewise.generation.penalties import Tally
from edgewise.generation.probabilities import TokenProbability, token_probability
from edgewise.generation.sampling import LogitsError, bad_logits
from edgewise.generation.state import GenerationState
from edgewise.wire.errors import EdgewiseError


@dataclass(frozen=True, slots=True)
class Ask:
    """One answer in a step. Its rows of logits: after `state.output_ids`, then after each of `drafts`."""

    state: GenerationState
    drafts: Sequence[int] = ()
    stop_ids: Collection[int] = ()
    """Ids that end the answer, each by itself."""
    most: int | None = None
    """Ids that may still be said, at least 1; None for `state.budget`. Rows behind them are not looked at."""
    constraint: Constraint | None = None
    """What `state.grammar` asks for, with the ends in `stop_ids`; asked of what was drawn only, never of drafts."""
    tally: Tally | None = None
    """That of `state` where the caller keeps one: it goes on with what is said, as the state that comes back does."""


@dataclass(frozen=True, slots=True)
class Said:
    """What one answer says in a step.

    `state` has advanced by `ids`; their text is the caller's business. An id of `stop_ids` is never among `ids`, it
    shows as finish `stop`. `held` of the drafts were what was drawn; one that is an end and holds is counted, too.
    `probabilities` are there where the state asks for them: one for each of `ids`, and one for an id that stopped it.
    Where a grammar is complete, finish is `stop`, also at the last token that may be said.
    Where `error` is, the logits of the row after `ids` were no logits, or nothing follows the grammar; what was said
    before it stands.
    """

    ids: tuple[int, ...]
    state: GenerationState
    held: int = 0
    finish: Literal["stop", "length"] | None = None
    probabilities: tuple[TokenProbability, ...] = ()
    error: EdgewiseError | None = None


def next_tokens(logits: NDArray[np.float32], asks: Sequence[Ask]) -> list[Said]:
    """What each of `asks` says; their rows lie in `logits` [Σ (drafts + 1), V] one after the other.

    The ids are those of `sampling.next_token` called row after row, each under what its grammar allows there. Rows that
    cannot be sampled end their own answer alone. Raises LogitsError when the rows are not as many as asked for.
    """
    if logits.ndim != 2 or len(logits) != sum(len(ask.drafts) + 1 for ask in asks):
        raise bad_logits(logits.shape)
    said, start = list[Said](), 0
    for ask in asks:
        stop = start + len(ask.drafts) + 1
        said.append(verified(logits[start:stop], ask))
        start = stop
    return said


def verified(rows: NDArray[np.float32], ask: Ask) -> Said:
    """What one answer says by its own rows [drafts + 1, V]."""
    state, ids, probabilities, held = ask.state, list[int](), list[TokenProbability](), 0
    most, constraint = state.budget if ask.most is None else ask.most, ask.constraint
    tally = Tally(state) if ask.tally is None else ask.tally
    finish: Literal["stop", "length"] | None = None
    for place, row in enumerate(rows):
        try:
            token = draw(row, state, constraint.allowed(state.output_ids) if constraint else None, tally)
        except (LogitsError, InvalidGrammarError) as error:
            return Said(tuple(ids), state, held, None, tuple(probabilities), error)
        if state.probabilities:
            probabilities.append(token_probability(row, token))
        holds = place < len(ask.drafts) and token == ask.drafts[place]
        held += holds
        if token in ask.stop_ids:
            finish = "stop"
            break
        ids.append(token)
        tally.add(token)
        state = state.advanced((token,), "")
        if constraint is not None and _is_complete(constraint, state):
            finish = "stop"
            break
        if len(ids) >= most:
            finish = "length"
            break
        if not holds:
            break
    return Said(tuple(ids), state, held, finish, tuple(probabilities))


def _is_complete(constraint: Constraint, state: GenerationState) -> bool:
    """A grammar that cannot be followed on is told of when its next token is asked for, if ever."""
    try:
        return constraint.complete(state.output_ids)
    except InvalidGrammarError:
        return False

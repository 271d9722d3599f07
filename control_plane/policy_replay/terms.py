"""What a policy asks beside the modes it decides, compared with the terms that were recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from control_plane.policy_replay.columns import Mask, Table
from control_plane.policy_replay.decide import Decisions
from control_plane.policy_replay.names import Names
from policies import Policy
from policies.decision import asked

_MAX_DENSE: Final = 1_000_000
"""Pairs of recorded terms and rules are kept in a table of so many cells at most; beyond it they are sorted."""


def other_terms(policy: Policy, table: Table, found: Decisions, recorded: Names) -> Mask:
    """Where the terms and time limits are others than the recorded ones; nowhere where none were recorded.

    found: what `decide` gives for policy and table. recorded: JSON as `Decision.asked` gives it, empty where there was
    none; shape (rows,), as the result.
    """
    asks = [asked(outcome.terms, outcome.timeouts) for outcome in found.outcomes]
    said = [msgspec.json.decode(word) if word else None for word in recorded.words]
    pairs = recorded.codes.astype(np.int64) * len(asks) + found.rule

    def differs(pair: int) -> bool:
        before, rule = divmod(pair, len(asks))
        return said[before] is not None and said[before] != asks[rule]

    other = _for_each(pairs, len(said) * len(asks), differs)
    with_steps = np.array([bool(outcome.terms.fallback) for outcome in found.outcomes], np.bool_)
    for row in np.flatnonzero(found.clamped & with_steps[found.rule]).tolist():  # fewer fallbacks, fewer terms of them
        before = said[recorded.codes[row]]
        other[row] = before is not None and before != policy.decide(table.row(row)).asked()
    return other


def _for_each(keys: NDArray[np.int64], cells: int, judge: Callable[[int], bool]) -> Mask:
    """The judgement of every key, asked once for each distinct one."""
    if cells <= _MAX_DENSE:
        judged = np.zeros(cells, np.bool_)
        there = np.flatnonzero(np.bincount(keys, minlength=cells))
        judged[there] = _all(there.tolist(), judge)
        return judged[keys]
    distinct, places = np.unique(keys, return_inverse=True)
    return _all(distinct.tolist(), judge)[places]


def _all(keys: Iterable[int], judge: Callable[[int], bool]) -> NDArray[Any]:
    return np.array([judge(key) for key in keys], np.bool_)

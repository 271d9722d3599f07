"""Which rule holds first, for every row of a table: what `compile_choice` gives for each, computed by blocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from control_plane.policy_replay.columns import Mask, Table
from control_plane.policy_replay.plan import Block, Planner, Step
from policies.language.compile import compile_choice, inputs_of
from policies.language.functions import Registry
from policies.language.library import STANDARD
from policies.language.typed import Typed

ERROR: Final = -1
"""Stands for the position of a row that has none: a fact is bad, or a rule has no value before one holds."""
BLOCK_ROWS: Final = 32_768
"""Rows at a time: a column of doubles of so many stays in the processor's cache."""

Positions = NDArray[np.int32]


def positions(
    table: Table, rules: Sequence[Typed], variables: Sequence[Typed] = (), functions: Registry = STANDARD
) -> Positions:
    """For each row the position of the first rule that holds, `len(rules)` where none does, or ERROR; shape (rows,).

    table: has a column for every input that the rules read, others do no harm. Raises KeyError when one is missing.
    """
    names = [source.name for source in inputs_of(rules, variables)]
    planner = Planner(table, variables, functions)
    steps = [planner.step(rule) for rule in rules]
    found, unsure = np.zeros(table.rows, np.int32), np.zeros(table.rows, np.bool_)
    with np.errstate(all="ignore"):
        for start in range(0, table.rows, BLOCK_ROWS):
            rows = slice(start, min(start + BLOCK_ROWS, table.rows))
            unsure[rows] = _first(Block(table, rows), steps, found[rows])
    bad = _bad(table, names)
    found[bad] = ERROR
    _settle(table, names, np.flatnonzero(unsure & ~bad), compile_choice(rules, variables, functions), found)
    return found


def _first(block: Block, steps: Sequence[Step], found: Positions) -> Mask:
    """Count in `found` the rules before the first that holds; gives the rows whose rule is in doubt."""
    undecided, unsure = block.everywhere(), ~block.everywhere()
    for step in steps:
        rule = step(block)
        if rule.doubt is not None:
            unsure |= undecided & rule.doubt
            undecided &= ~rule.doubt
        undecided &= ~rule.values
        found += undecided
        if not undecided.any():
            break
    return unsure


def _bad(table: Table, names: Sequence[str]) -> Mask:
    """Rows with a value that the scalar form refuses before it looks at any rule."""
    masks = [bad for name in names if (bad := table.columns[name].bad) is not None]
    return np.logical_or.reduce(masks) if masks else np.zeros(table.rows, np.bool_)


def _settle(table: Table, names: Sequence[str], rows: NDArray[Any], choose: Any, found: Positions) -> None:
    for row in rows:
        try:
            found[row] = choose(table.row(int(row), names))
        except Exception:  # noqa: BLE001 - whatever goes wrong for a row is that row's error, as in Policy.decide
            found[row] = ERROR

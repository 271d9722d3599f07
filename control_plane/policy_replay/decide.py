"""What a policy decides for every row of a table, invariants held: `Policy.decide` in bulk, as modes and rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from control_plane.policy_replay.choose import ERROR, positions
from control_plane.policy_replay.columns import Mask, Table
from policies import Mode, Policy
from policies.build import Trees, build_trees
from policies.decision import DEFAULT_RULE_ID, ON_ERROR_RULE_ID
from policies.document import Outcome
from policies.facts import INPUTS
from policies.invariants import fit
from policies.language.typed import Const, Typed
from policies.modes import MODES

_MODE_CODES = {mode: code for code, mode in enumerate(MODES)}


@dataclass(frozen=True, slots=True)
class Decisions:
    """The decisions for all rows.

    rules: the ids that `rule` counts in: those of the document, "default", "onError". outcomes: what each decides.
    rule: which of them decided, shape (rows,). mode: the place in `policies.MODES`, shape (rows,).
    failed: where onError decided. clamped: where an invariant changed the outcome.
    """

    rules: tuple[str, ...]
    outcomes: tuple[Outcome, ...]
    rule: NDArray[np.int32]
    mode: NDArray[np.int8]
    failed: Mask
    clamped: Mask


def decide(policy: Policy, table: Table) -> Decisions:
    """The decision for every row; the same as `Policy.decide` gives for `table.row(…)`. `table`: see `facts_table`."""
    trees, _ = build_trees(policy.document, policy.source)
    document = policy.document
    outcomes = (*(rule.outcome for rule in document.rules), document.default, document.on_error)
    ids = (*(rule.id for rule in document.rules), DEFAULT_RULE_ID, ON_ERROR_RULE_ID)
    found = positions(table, trees.rules, trees.variables)
    failed = found == ERROR
    rule = np.where(failed, np.int32(len(ids) - 1), found)
    mode, clamped = _Clamp(trees, table).modes(outcomes, rule)
    return Decisions(ids, outcomes, rule, mode, failed, clamped)


def facts_table(facts: Sequence[dict[str, object]]) -> Table:
    """The columns of every fact that policies know."""
    return Table.of(facts, INPUTS.values())


class _Clamp:
    """Holds outcomes to the invariants of one policy: what `Policy` does with a single decision."""

    def __init__(self, trees: Trees, table: Table) -> None:
        self._trees = trees
        self._table = table
        self._violated: dict[Typed, Mask] = {}

    def modes(self, outcomes: Sequence[Outcome], rule: NDArray[np.int32]) -> tuple[NDArray[np.int8], Mask]:
        """The mode of every row, and where an invariant changed its outcome."""
        mode = np.array([_MODE_CODES[outcome.mode] for outcome in outcomes], np.int8)[rule]
        clamped = np.zeros(self._table.rows, np.bool_)
        for steps in {outcome.steps for outcome in outcomes}:
            rows = np.array([outcome.steps == steps for outcome in outcomes], np.bool_)[rule]
            broken = [self._broken(step) for step in steps]
            for mask in broken:
                clamped |= rows & mask
            unsafe = rows & broken[0]
            if unsafe.any():
                mode[unsafe] = self._safe_mode()[unsafe]
        return mode, clamped

    def _safe_mode(self) -> NDArray[np.int8]:
        """Edge where the device is there and may answer, else refuse."""
        device = self._table.columns["device.present"]
        present = device.data if device.bad is None else device.data & ~device.bad
        edge, refuse = np.int8(_MODE_CODES[Mode.EDGE]), np.int8(_MODE_CODES[Mode.REFUSE])
        return np.where(present & ~self._broken(Mode.EDGE), edge, refuse)

    def _broken(self, step: Mode) -> Mask:
        """Where a step breaks an invariant; one that cannot be evaluated counts as broken."""
        broken = np.zeros(self._table.rows, np.bool_)
        for invariant in self._trees.invariants:
            tree = fit(invariant.violated, step)
            if not (isinstance(tree, Const) and tree.value is False):
                broken |= self._violation(tree)
        return broken

    def _violation(self, tree: Typed) -> Mask:
        if tree not in self._violated:
            self._violated[tree] = positions(self._table, [tree], self._trees.variables) != 1
        return self._violated[tree]

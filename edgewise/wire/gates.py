"""The gates of a model version (mission F5): a pure function of its findings and its parent's. Nothing is measured.

A version with a parent must keep the parent's perplexity, accuracy and words; a version that drafts for a larger tier
must be accepted by it. Every gate is judged in each language by itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edgewise.wire.errors import BadRequestError
from edgewise.wire.findings import CellFound, Findings, ParentFound, accuracy, perplexity

DRAFT_TIER = "draft"
NEVER_RIGHT = "the parent is never right, so this gate asks for nothing"
_SHOWN = 6


@dataclass(frozen=True, slots=True)
class GateLimits:
    """The thresholds. perplexity_change: of the answers, child minus parent. accuracy_of_parent: the child's share of
    right answers divided by the parent's. agreement, acceptance: shares of token positions. All per language."""

    perplexity_change: float = 0.1
    accuracy_of_parent: float = 0.95
    agreement: float = 0.95
    acceptance: float = 0.8


@dataclass(frozen=True, slots=True)
class Gate:
    """One judged condition. `found` is None where nothing was measured, and then it does not hold.

    `reason` says why there is no figure, or why a figure means nothing (it is judged all the same)."""

    name: str
    language: str
    found: float | None
    limit: float
    at_most: bool = False
    reason: str = ""

    @property
    def holds(self) -> bool:
        """Whether the figure is on the right side of the limit; nan never is."""
        if self.found is None:
            return False
        return self.found < self.limit if self.at_most else self.found >= self.limit

    @property
    def short_by(self) -> float:
        """How much is missing, in the gate's own unit; 0 for a gate that holds, nan without a figure."""
        if self.holds:
            return 0.0
        return math.nan if self.found is None else abs(self.found - self.limit)

    def __str__(self) -> str:
        sign = "<" if self.at_most else ">="
        wanted = f"{self.name} ({self.language}): wanted {sign} {self.limit:g}"
        if self.found is None or math.isnan(self.found):
            return f"{wanted}, not measured{': ' + self.reason if self.reason else ''}"
        said = f"{wanted}, found {self.found:.4f}" + ("" if self.holds else f", short by {self.short_by:.4f}")
        return f"{said} ({self.reason})" if self.reason else said


class GateFailedError(BadRequestError):
    """A model version does not pass its gates; `gates` are those that fail."""

    number, code, http_status = 1130, "gate_failed", 422

    def __init__(self, name: str, gates: Sequence[Gate]) -> None:
        self.gates = tuple(gates)
        shown = "; ".join(str(gate) for gate in self.gates[:_SHOWN])
        more = f"; and {len(self.gates) - _SHOWN} more" if len(self.gates) > _SHOWN else ""
        super().__init__(
            f"The model {name[:64]} does not pass {len(self.gates)} of its gates: {shown}{more}",
            where="findings.json",
            expected="every gate to hold in every language",
            remedy="train, quantize or calibrate it again; or register it all the same, with a reason that is audited: "
            "`edgewise models register DIRECTORY --override REASON`",
        )


def gates_of(findings: Findings, parent: Findings | None = None, limits: GateLimits | None = None) -> list[Gate]:
    """Every gate that applies. `parent`: the findings of the registered parent version; without them the parent that
    the findings themselves carry counts. A draft model must have been judged as a draft."""
    bars = limits or GateLimits()
    found: list[Gate] = []
    if (base := _parent(findings, parent)) is not None:
        found += _against_parent(findings, base, parent, bars)
    return found + _acceptance(findings, bars)


def require_gates(findings: Findings, parent: Findings | None = None, limits: GateLimits | None = None) -> list[Gate]:
    """All gates, when they hold. Raises GateFailedError."""
    gates = gates_of(findings, parent, limits)
    if failing := [gate for gate in gates if not gate.holds]:
        raise GateFailedError(findings.name, failing)
    return gates


def _parent(findings: Findings, parent: Findings | None) -> ParentFound | None:
    if parent is None:
        return findings.parent
    return ParentFound(name=parent.name, weights_digest=parent.weights_digest, cells=parent.cells)


def _against_parent(findings: Findings, base: ParentFound, parent: Findings | None, bars: GateLimits) -> list[Gate]:
    other = parent is not None and parent.examination != findings.examination
    reason = "the parent sat another examination; measure both again" if other else ""
    found: list[Gate] = []
    for language in _languages(findings, base):
        mine, its = (_of(cells, language) for cells in (findings.cells, base.cells))
        change = None if other else perplexity(mine) - perplexity(its)
        share = None if other else _ratio(accuracy(mine), accuracy(its))
        found.append(Gate("perplexity change", language, change, bars.perplexity_change, at_most=True, reason=reason))
        if other or not its or any(cell.total for cell in its):  # prompts without answers: nobody can be right
            said = reason or (NEVER_RIGHT if accuracy(its) == 0 else "")
            found.append(Gate("share of the parent's accuracy", language, share, bars.accuracy_of_parent, reason=said))
        found.append(_agreement(findings, language, bars))
    return found


def _languages(findings: Findings, base: ParentFound) -> list[str]:
    """Those of the parent too: a version that was not examined in one of them does not pass there."""
    theirs = {cell.language for cell in base.cells}
    return sorted(theirs.union(findings.languages())) if findings.cells else ["no language"]


def _agreement(findings: Findings, language: str, bars: GateLimits) -> Gate:
    share = _share([(row.same, row.positions) for row in findings.agreement if row.language == language])
    reason = "no positions compared" if share is None else ""
    return Gate("agreement with the parent", language, share, bars.agreement, reason=reason)


def _acceptance(findings: Findings, bars: GateLimits) -> list[Gate]:
    targets = sorted({row.target for row in findings.accepted})
    if not targets and findings.tier == DRAFT_TIER:
        return [Gate("draft acceptance", "all", None, bars.acceptance, reason="no larger tier was drafted for")]
    found = []
    for target in targets:
        for language in findings.languages():
            rows = [row for row in findings.accepted if (row.target, row.language) == (target, language)]
            share = _share([(row.accepted, row.positions) for row in rows])
            found.append(Gate(f"draft acceptance by {target}", language, share, bars.acceptance))
    return found


def _of(cells: Iterable[CellFound], language: str) -> list[CellFound]:
    return [cell for cell in cells if cell.language == language]


def _share(pairs: Sequence[tuple[int, int]]) -> float | None:
    total = sum(whole for _, whole in pairs)
    return sum(part for part, _ in pairs) / total if total else None


def _ratio(child: float, parent: float) -> float:
    """The child's share of the parent's accuracy; a parent that is never right asks for nothing."""
    return child / parent if parent else (1.0 if parent == 0 else math.nan)

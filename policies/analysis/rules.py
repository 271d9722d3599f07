"""Which rules ever decide, which always hold, which may fail, and which of their clauses say nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from policies.analysis.formulas import FALSE
from policies.analysis.outline import Outline, outlines
from policies.analysis.proofs import proof_of
from policies.analysis.report import Finding, Proof, Reach, Refuted, Report, Unknown
from policies.analysis.solver import Budget
from policies.analysis.space import Found, Unsure
from policies.decide import Policy
from policies.decision import ON_ERROR_RULE_ID
from policies.language import typed
from policies.language.typed import Typed
from policies.positions import Positions

_MAX_CORE: Final = 40
"""A longer list of covering rules is not made shorter."""


def analyse(policy: Policy) -> Report:
    """All that can be said of one policy without facts."""
    outline = outlines([policy], Budget())[1][0]
    reach = tuple(_reach(outline, place) for place in range(len(outline.names)))
    proofs = tuple(proof_of(outline, invariant.name) for invariant in policy.trees.invariants)
    findings = [*_Findings(outline).all(reach), *(each for proof in proofs for each in _broken(policy, proof))]
    return Report(reach, tuple(sorted(findings, key=lambda each: (each.line, each.column))), proofs)


def _reach(outline: Outline, place: int) -> Reach:
    rule_id = outline.names[place]
    wanted = outline.decides(place)
    answer = outline.space.find(wanted, lambda facts: outline.policy.decide(facts).rule_id == rule_id)
    if isinstance(answer, Found):
        return Reach(rule_id, "reached", answer.facts)
    if isinstance(answer, Unsure):
        return Reach(rule_id, "unknown")
    own = 1 if place < len(outline.rules) else 0
    if own and outline.space.possible(wanted[0]) is False:
        return Reach(rule_id, "contradictory")
    covering = _smallest(outline, wanted[:own], [at - own for at in answer.core if at >= own])
    return Reach(rule_id, "shadowed", covered_by=tuple(outline.names[at] for at in covering))


def _smallest(outline: Outline, own: Sequence[int], covering: Sequence[int]) -> list[int]:
    """The rules without those that are not needed to leave nothing."""
    left = list(covering)
    if len(left) > _MAX_CORE:
        return left
    for place in reversed(covering):
        rest = [outline.rules[at].no for at in left if at != place]
        if outline.space.possible(*own, *rest) is False:
            left.remove(place)
    return left


def _broken(policy: Policy, proof: Proof) -> Iterator[Finding]:
    lines = {rule.id: rule.line for rule in policy.document.rules}
    if isinstance(proof, Refuted):
        message = f"{proof.rule_id} may decide {proof.step} where {proof.invariant} forbids it; it would be held back"
        yield Finding("invariant-broken", message, lines.get(proof.rule_id, 1), 1, proof.rule_id, proof.facts)
    if isinstance(proof, Unknown):
        yield Finding("not-known", f"whether {proof.invariant} is kept is not known: {proof.reason}", 1, 1)


class _Findings:
    def __init__(self, outline: Outline) -> None:
        self._outline = outline
        self._possible = outline.space.possible
        self._document = outline.policy.document
        self._positions = Positions.of(outline.policy.source)

    def all(self, reach: Sequence[Reach]) -> Iterator[Finding]:
        for place, tree in enumerate(self._outline.policy.trees.rules):
            yield from self._of_reach(place, reach[place])
            yield from self._of_condition(place)
            if reach[place].result == "contradictory":
                yield from self._clash(place, tree)
            else:
                yield from self._clauses(place, tree)

    def _told(self, code: str, message: str, place: int, node: Typed | None = None, **more: object) -> Finding:
        rule = self._document.rules[place]
        line, column = rule.line, rule.column
        if node is not None:
            line, column = self._positions.locate(rule.when.where, node.span.start)
        return Finding(code, message, line, column, rule.id, **more)  # type: ignore[arg-type]

    def _of_reach(self, place: int, reach: Reach) -> Iterator[Finding]:
        match reach.result:
            case "contradictory":
                yield self._told("rule-contradictory", "no facts make this rule hold", place)
            case "shadowed":
                by = ", ".join(reach.covered_by)
                yield self._told("rule-shadowed", f"this rule never decides: {by} leaves nothing to it", place)
            case "unknown":
                yield self._told("not-known", "whether this rule ever decides is not known", place)

    def _of_condition(self, place: int) -> Iterator[Finding]:
        outline = self._outline
        if self._possible(outline.space.formulas.negated(outline.rules[place].yes)) is False:
            yield self._told("rule-always-holds", "this rule holds for all facts", place)
        failure = outline.failure(place)
        if failure == FALSE:
            return
        decide = outline.policy.decide
        wanted = [failure, *outline.passed(place)]
        answer = outline.space.find(wanted, lambda facts: decide(facts).rule_id == ON_ERROR_RULE_ID)
        if isinstance(answer, Found):
            message = "this rule fails for some facts: onError decides then"
            yield self._told("rule-can-fail", message, place, facts=answer.facts)
        if isinstance(answer, Unsure):
            yield self._told("not-known", "whether this rule can fail is not known", place)

    # ── clauses ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _text(self, place: int, node: Typed) -> str:
        return self._document.rules[place].when.text[node.span.start : node.span.end]

    def _clash(self, place: int, tree: Typed) -> Iterator[Finding]:
        """The clauses that cannot hold together, told at the last of them."""
        clauses = tree.operands if isinstance(tree, typed.Logic) and tree.every else (tree,)
        left = list(clauses)
        for clause in clauses:
            rest = [self._outline.truth(each).yes for each in left if each is not clause]
            if self._possible(*rest) is False:
                left = [each for each in left if each is not clause]
        words = " and ".join(self._text(place, each) for each in left if each.span.start < each.span.end)
        told = "never hold together" if len(left) > 1 else "never holds"
        yield self._told("clause-contradictory", f"{words} {told}", place, left[-1])

    def _clauses(self, place: int, tree: Typed) -> Iterator[Finding]:
        if isinstance(tree, typed.Not):
            yield from self._clauses(place, tree.operand)
        if not isinstance(tree, typed.Logic):
            return
        left = [self._outline.truth(clause).yes for clause in tree.operands]
        for at in range(len(left) - 1, -1, -1):
            clause = tree.operands[at]
            if not tree.every and self._possible(left[at]) is False:
                yield self._told("clause-contradictory", f"{self._text(place, clause)} never holds", place, clause)
                del left[at]
            elif not _guards(clause) and self._is_idle(left, at, every=tree.every):
                message = f"{self._text(place, clause)} changes nothing beside the rest"
                yield self._told("clause-redundant", message, place, clause)
                del left[at]
            yield from self._clauses(place, clause)

    def _is_idle(self, clauses: Sequence[int], at: int, *, every: bool) -> bool:
        """The other clauses say all that this one says; those already told of are not among them."""
        formulas = self._outline.space.formulas
        others = [clause for place, clause in enumerate(clauses) if place != at]
        if not others:
            return False
        if every:
            return self._possible(formulas.negated(clauses[at]), *others) is False
        return self._possible(clauses[at], *map(formulas.negated, others)) is False


def _guards(clause: Typed) -> bool:
    """Asks whether a fact is there, which the checker wants, or is part of a rollout."""
    return clause.span.start == clause.span.end or any(isinstance(n, typed.InputPresent) for n in typed.walk(clause))

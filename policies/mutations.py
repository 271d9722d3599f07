"""Small changes to a policy that its tests should notice: which there are, and what each makes of the policy.

They are made on checked trees; what the checker would refuse, for want of the has() that guards a fact, is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from policies.build import Trees
from policies.document import Document, Expression, Outcome
from policies.facts import FACTS
from policies.language import typed
from policies.language.compile import inputs_of
from policies.language.tracing import clauses_of
from policies.language.typed import Const, Typed
from policies.language.types import BOOL, DOUBLE, DURATION, INT, INT_MAX, INT_MIN, STRING, Enum, Type
from policies.language.values import Duration
from policies.modes import Mode, implied_fallback

_OTHER_OPERATOR: Final[Mapping[str, str]] = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "=="}
_EQUALITY: Final = frozenset({"==", "!="})
_ABOUT_TEXT: Final = frozenset({"_in_", "startsWith", "endsWith", "contains"})
"""Calls whose constant texts are changed; a pattern, or the salt of a bucket, is not."""
_OTHER_MODE: Final[Mapping[Mode, Mode]] = {
    Mode.EDGE: Mode.CLOUD,
    Mode.PREFER_EDGE: Mode.PREFER_CLOUD,
    Mode.PREFER_CLOUD: Mode.PREFER_EDGE,
}
_SECOND: Final = 1_000_000_000

Parts = tuple[Document, Trees]


@dataclass(frozen=True, slots=True)
class Mutation:
    """One change, and how to make it.

    kind: "operator", "constant", "clause-negated", "clause-dropped", "rule-dropped", "rules-swapped", "mode" or
        "default".
    owner: the id of the rule, "default", or "variables.…".
    where, part: the expression, and the node in it, that change; None for changes of whole rules and outcomes.
    """

    kind: str
    owner: str
    change: str
    make: Callable[[], Parts]
    where: Expression | None = None
    part: Typed | None = None


def mutations(document: Document, trees: Trees) -> Iterator[Mutation]:
    """Every change there is, in the order of the document."""
    for at, variable in enumerate(document.variables):
        for edit in _edits(trees.variables[at], variable.expression.text, trees.variables):
            make = partial(_with_variable, document, trees, at, edit)
            yield Mutation(edit.kind, f"variables.{variable.name}", edit.change, make, variable.expression, edit.part)
    for at, rule in enumerate(document.rules):
        for edit in _edits(trees.rules[at], rule.when.text, trees.variables):
            make = partial(_with_condition, document, trees, at, edit)
            yield Mutation(edit.kind, rule.id, edit.change, make, rule.when, edit.part)
        yield from _of_rule(document, trees, at)
    other = _other_outcome(document.default)
    told = _mode_change(document.default, other)
    yield Mutation("default", "default", told, lambda: (replace(document, default=other), trees))


# ── rules and outcomes ──────────────────────────────────────────────────────────────────────────────────────────────


def _of_rule(document: Document, trees: Trees, at: int) -> Iterator[Mutation]:
    rule = document.rules[at]
    yield Mutation("rule-dropped", rule.id, "the rule was dropped", partial(_without_rule, document, trees, at))
    after = document.rules[at + 1] if at + 1 < len(document.rules) else None
    if after is not None and replace(after.outcome, reason="") != replace(rule.outcome, reason=""):
        told = f"the rule changed places with {after.id}"
        yield Mutation("rules-swapped", rule.id, told, partial(_swapped, document, trees, at))
    other = replace(rule, outcome=_other_outcome(rule.outcome))
    rules = partial(_put, document.rules, at, other)
    told = _mode_change(rule.outcome, other.outcome)
    yield Mutation("mode", rule.id, told, lambda: (replace(document, rules=rules()), trees))


def _without_rule(document: Document, trees: Trees, at: int) -> Parts:
    rules, conditions = document.rules, trees.rules
    fewer = replace(document, rules=rules[:at] + rules[at + 1 :])
    return fewer, replace(trees, rules=conditions[:at] + conditions[at + 1 :])


def _swapped(document: Document, trees: Trees, at: int) -> Parts:
    return replace(document, rules=_turned(document.rules, at)), replace(trees, rules=_turned(trees.rules, at))


def _turned(items: tuple[Any, ...], at: int) -> tuple[Any, ...]:
    return (*items[:at], items[at + 1], items[at], *items[at + 2 :])


def _put(items: tuple[Any, ...], at: int, item: Any) -> tuple[Any, ...]:
    return (*items[:at], item, *items[at + 1 :])


def _other_outcome(outcome: Outcome) -> Outcome:
    """Another mode; the fallbacks stay as they are, unless the mode implied them or is now among them."""
    mode = _OTHER_MODE.get(outcome.mode, Mode.EDGE)
    implied = outcome.fallback == implied_fallback(outcome.mode)
    fallback = implied_fallback(mode) if implied else tuple(step for step in outcome.fallback if step != mode)
    return replace(outcome, mode=mode, fallback=fallback)


def _mode_change(before: Outcome, after: Outcome) -> str:
    return f"the mode {before.mode} became {after.mode}"


# ── expressions ─────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class _Edit:
    """`old` gives way to `new` in a tree; `part` is what a person should look at."""

    kind: str
    change: str
    part: Typed
    old: Typed
    new: Typed


def _with_variable(document: Document, trees: Trees, at: int, edit: _Edit) -> Parts:
    return document, replace(trees, variables=_put(trees.variables, at, _exchanged(trees.variables[at], edit)))


def _with_condition(document: Document, trees: Trees, at: int, edit: _Edit) -> Parts:
    return document, replace(trees, rules=_put(trees.rules, at, _exchanged(trees.rules[at], edit)))


def _exchanged(node: Typed, edit: _Edit) -> Typed:
    return edit.new if node is edit.old else typed.rebuild(node, lambda child: _exchanged(child, edit))


def _edits(tree: Typed, text: str, variables: Sequence[Typed]) -> Iterator[_Edit]:
    guarded = {each.source.name for each in typed.walk(tree) if isinstance(each, typed.Input) and each.source.optional}
    for node in typed.walk(tree):
        match node:
            case typed.Compare():
                yield from _operators(node)
                step = _step(node, variables)
                yield from _constants(node, step)
            case typed.Apply():
                yield from _constants(node, 1.0, texts=node.name in _ABOUT_TEXT)
            case typed.Logic():
                yield from _dropped(node, text, guarded)
    if tree.type == BOOL:
        yield from _negated(tree, text, guarded)


def _operators(node: typed.Compare) -> Iterator[_Edit]:
    other = _OTHER_OPERATOR[node.operator]
    yield _Edit("operator", f"{node.operator} became {other}", node, node, replace(node, operator=other))


def _dropped(node: typed.Logic, text: str, guarded: set[str]) -> Iterator[_Edit]:
    for at, operand in enumerate(node.operands):
        if not _guards(operand, guarded):
            rest = node.operands[:at] + node.operands[at + 1 :]
            new = rest[0] if len(rest) == 1 else replace(node, operands=rest)
            yield _Edit("clause-dropped", f"{_spelt(operand, text)} was dropped", operand, node, new)


def _negated(tree: Typed, text: str, guarded: set[str]) -> Iterator[_Edit]:
    """Clauses turned round; those for which another operator does the same are left out."""
    for clause in clauses_of(tree):
        same = isinstance(clause, typed.Compare) and clause.operator in _EQUALITY
        if not same and not _guards(clause, guarded):
            new = typed.Not(clause.span, BOOL, clause)
            yield _Edit("clause-negated", f"{_spelt(clause, text)} was negated", clause, clause, new)


def _guards(node: Typed, guarded: set[str]) -> bool:
    """Whether a fact might be read unguarded if `node` said otherwise."""
    return any(isinstance(each, typed.InputPresent) and each.source.name in guarded for each in typed.walk(node))


def _spelt(node: Typed, text: str) -> str:
    return text[node.span.start : node.span.end] or "the rollout"


# ── constants ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _step(node: typed.Compare, variables: Sequence[Typed]) -> float:
    """The step of the fact that is compared, else 1."""
    known = [FACTS[source.name].step for source in inputs_of([node], variables) if source.name in FACTS]
    return known[0] if known else 1.0


def _constants(node: typed.Compare | typed.Apply, step: float, *, texts: bool = True) -> Iterator[_Edit]:
    partner = next((each.type for each in typed.children(node) if isinstance(each.type, Enum)), None)
    for operand in typed.children(node):
        if isinstance(operand, typed.Rank) and isinstance(operand.operand, Const):
            yield from _moved(operand.operand, Enum("", operand.order, ordered=True), step)
        for each in operand.items if isinstance(operand, typed.MakeList) else (operand,):
            if isinstance(each, Const) and (texts or each.type != STRING):
                yield from _moved(each, partner or each.type, step)


def _moved(node: Const, among: Type, step: float) -> Iterator[_Edit]:
    for value in _neighbours(node, among, step):
        change = f"{_shown(node.value)} became {_shown(value)}"
        yield _Edit("constant", change, node, node, replace(node, value=value))


def _neighbours(node: Const, among: Type, step: float) -> Iterator[Any]:
    """The constant moved by one step."""
    value: Any = node.value
    match among:
        case Enum() if value in among.values:
            at = among.values.index(value)
            yield among.values[(at + 1) % len(among.values)]
            return
    if node.type == BOOL:
        yield not value
    elif node.type == INT:
        yield from (
            near for near in (value - max(1, int(step)), value + max(1, int(step))) if INT_MIN <= near <= INT_MAX
        )
    elif node.type == DOUBLE:
        yield from (near for near in (round(value - step, 9), round(value + step, 9)) if near != value)
    elif node.type == STRING:
        yield f"{value}x"
    elif node.type == DURATION:
        yield from (Duration(value - _SECOND), Duration(value + _SECOND))


def _shown(value: Any) -> str:
    return f"{int(value) / _SECOND:g}s" if isinstance(value, Duration) else repr(value)

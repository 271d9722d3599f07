"""Export of a RoutingPolicy as CEL Policy YAML: a match for each rule, its output a map as `decide` has it.

Params are written out, orders of words become lists of words, and telemetry that may be absent is selected with `.?`,
so that an engine that knows neither our types nor our params reads the conditions alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping as Table
from typing import Any, Final

from policies.decide import Policy
from policies.document import Document, Expression, Outcome, Rollout
from policies.facts import FACTS
from policies.interchange.cel_policy import EXTRAS
from policies.interchange.draft import yaml_text
from policies.interchange.report import Exported, Unmapped
from policies.interchange.trees import (
    NOWHERE,
    compared,
    every,
    fact_path,
    literal,
    name,
    placed,
    rewrite,
)
from policies.language import syntax
from policies.language.parser import parse
from policies.language.syntax import CallOf, Node, Select
from policies.language.types import Enum
from policies.language.unparse import unparse
from policies.language.values import Duration
from policies.source import Located, Mapping, read_source

_FLIPPED: Final = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
_OWN_FUNCTIONS: Final = ("bucket", "version", "isVersion", "satisfies", "major", "minor", "patch")


def export_cel_policy(policy: Policy) -> Exported:
    """The policy as CEL Policy YAML. `import_cel_policy` gives a policy back that decides the same.

    unmapped: what an engine without our variable `edgewise` and our functions does not do. Raises ValueError for a
    policy that was not made from a document's text.
    """
    if "spec" not in policy.document.data:
        raise ValueError(f"{policy.name} has no document to export")
    return _Exporter(policy).exported()


class _Exporter:
    def __init__(self, policy: Policy) -> None:
        self._document: Document = policy.document
        self._root = read_source(policy.source)
        self._spec: Table[str, Any] = policy.document.data["spec"]
        self._params = {f"params.{param.name}": _constant(param.value) for param in policy.document.params}
        types = [tree.type for tree in policy.trees.variables]
        names = [f"variables.{variable.name}" for variable in policy.document.variables]
        self._enums = {fact.name: fact.language_type for fact in FACTS.values()} | dict(zip(names, types, strict=True))
        self._unmapped: list[Unmapped] = []

    def exported(self) -> Exported:
        document = self._document
        variables = [{"name": EXTRAS, "expression": unparse(literal(self._extras()))}]
        for at, variable in enumerate(document.variables):
            text = unparse(self._node(variable.expression, f"spec.variables[{at}].expr"))
            variables.append({"name": variable.name, "expression": text})
        rule = {"variables": variables, "match": list(self._matches())}
        self._tell_the_rest()
        return Exported(yaml_text({"name": document.name, "rule": rule}), tuple(self._unmapped))

    # ── parts ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _matches(self) -> Iterator[dict[str, str]]:
        for at, (rule, said) in enumerate(zip(self._document.rules, self._spec["rules"], strict=True)):
            path = f"spec.rules[{at}]"
            when = self._node(rule.when, f"{path}.when")
            if rule.rollout is not None:
                self._note(f"{path}.rollout", str(rule.rollout), "other engines need the function bucket", at=rule)
                when = every([when, _dealt(rule.rollout)])
            output = {"rule": rule.id, **_decide(said["decide"], rule.outcome)}
            yield {"condition": unparse(when), "output": unparse(literal(output))}
        default = _decide(self._spec["default"], self._document.default)
        yield {"output": unparse(literal(default))}

    def _extras(self) -> dict[str, Any]:
        """What the format has no place for."""
        document = self._document
        extras: dict[str, Any] = {"onError": _decide(self._spec["onError"], document.on_error)}
        if document.labels:
            extras["labels"] = dict(document.labels)
        if self._spec.get("context"):
            extras["context"] = {"ref": document.context.ref, "phase": document.context.phase}
        invariants = [
            {"name": each.name, "always" if each.negated else "never": unparse(self._inlined(each.expression))}
            for each in document.invariants
        ]
        return {**extras, "invariants": invariants} if invariants else extras

    def _tell_the_rest(self) -> None:
        carried = f"carried in the variable {EXTRAS}, which other engines do not read"
        self._note("spec.onError", str(self._document.on_error.mode), carried, at=self._part("onError"))
        for at, invariant in enumerate(self._document.invariants):
            self._note(f"spec.invariants[{at}]", invariant.name, carried, at=invariant.expression.where)
        self._note("privacy", "private-text-stays-on-its-device", "held by Edgewise only: other engines need a rule")
        for param in self._document.params:
            self._note(f"spec.params.{param.name}", str(param.value), "written out where it is used", at=param)
        if self._document.tests:
            self._note(
                "spec.tests",
                f"[{len(self._document.tests)} tests]",
                "tests stand beside a CEL policy, not in it",
                at=self._part("tests"),
            )

    def _part(self, key: str) -> Located | None:
        """Where a part of `spec` stands."""
        spec = self._root.get("spec") if isinstance(self._root, Mapping) else None
        return spec.get(key) if isinstance(spec, Mapping) else None

    def _note(self, path: str, value: str, reason: str, *, at: Any = None) -> None:
        line, column = (1, 1) if at is None else (at.line, at.column)
        self._unmapped.append(Unmapped(path, value[:200], reason, line, column))

    # ── expressions ─────────────────────────────────────────────────────────────────────────────────────────────

    def _inlined(self, expression: Expression) -> Node:
        """The tree without params."""
        node, _ = parse(expression.text)
        return rewrite(node, self._param)

    def _node(self, expression: Expression, path: str) -> Node:
        """The tree as other engines read it."""
        node = rewrite(self._inlined(expression), self._neutral)
        self._tell_own(node, path, expression.where)
        return node

    def _param(self, node: Node, bound: frozenset[str]) -> Node | None:
        found = self._params.get(fact_path(node, bound) or "")
        return None if found is None else placed(found, node.span, bound)

    def _neutral(self, node: Node, bound: frozenset[str]) -> Node | None:
        match node:
            case syntax.Binary() if node.operator in _FLIPPED:
                return self._listed(node, bound)
            case CallOf(function="orValue", target=Select() as target) if fact_path(target, bound) in FACTS:
                args = tuple(rewrite(arg, self._neutral, bound) for arg in node.args)
                return CallOf(
                    node.span,
                    "orValue",
                    node.function_span,
                    Select(target.span, target.operand, target.field, target.field_span, optional=True),
                    args,
                )
            case CallOf(function="lower", target=target, args=()) if target is not None:
                inner = rewrite(target, self._neutral, bound)
                return CallOf(node.span, "lowerAscii", node.function_span, inner, ())
            case _:
                return None

    def _listed(self, node: syntax.Binary, bound: frozenset[str]) -> Node | None:
        """`word in [all that the comparison holds for]`; None where no ordered words are compared with a literal."""
        left, right, operator = node.left, node.right, node.operator
        if isinstance(left, syntax.Literal):
            left, right, operator = right, left, _FLIPPED[operator]
        words = self._ordered(left, bound)
        if not isinstance(right, syntax.Literal) or right.value not in words:
            return None
        at = words.index(str(right.value))
        held = {"<": words[:at], "<=": words[: at + 1], ">": words[at + 1 :], ">=": words[at:]}[operator]
        return compared(left, "in", literal(list(held)))

    def _ordered(self, node: Node, bound: frozenset[str]) -> tuple[str, ...]:
        type_ = self._enums.get(fact_path(node, bound) or "")
        return type_.values if isinstance(type_, Enum) and type_.ordered else ()

    def _by_order(self, node: syntax.Binary, bound: frozenset[str]) -> bool:
        return bool(self._ordered(node.left, bound) or self._ordered(node.right, bound))

    def _tell_own(self, node: Node, path: str, where: Located) -> None:
        """Note what other engines do not know, or read otherwise."""

        def look(part: Node, bound: frozenset[str]) -> None:
            if isinstance(part, CallOf) and part.function in _OWN_FUNCTIONS:
                self._note(path, part.function, f"other engines need the function {part.function}", at=where)
            if isinstance(part, syntax.Binary) and part.operator in _FLIPPED and self._by_order(part, bound):
                self._note(path, unparse(part), "other engines compare these words by their letters", at=where)

        rewrite(node, look)


def _constant(value: Any) -> Node:
    if isinstance(value, Duration):
        return CallOf(NOWHERE, "duration", NOWHERE, None, (literal(f"{int(value)}ns"),))
    return literal(list(value) if isinstance(value, tuple) else value)


def _dealt(rollout: Rollout) -> Node:
    """The bucket of a rollout's key, as `build` makes it."""
    key = name(rollout.by)
    if FACTS[rollout.by].optional:
        assert isinstance(key, Select)
        maybe = Select(NOWHERE, key.operand, key.field, NOWHERE, optional=True)
        key = CallOf(NOWHERE, "orValue", NOWHERE, maybe, (literal(""),))
    bucket = CallOf(NOWHERE, "bucket", NOWHERE, None, (key, literal(rollout.salt)))
    return compared(bucket, "<", literal(rollout.percent))


def _decide(said: Table[str, Any], outcome: Outcome) -> dict[str, Any]:
    """What the document says of an outcome, with what it implies. A list in each makes outputs one type in CEL."""
    fallback = said.get("fallback")
    if fallback is None:
        fallback = [str(mode) for mode in outcome.fallback]
    steps = fallback if isinstance(fallback, list) else [fallback]
    rest = {
        key: value for key, value in said.items() if value is not None and key not in ("mode", "fallback", "reason")
    }
    return {"mode": str(outcome.mode), "fallback": steps, "reason": outcome.reason, **rest}

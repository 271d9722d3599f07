"""Located nodes to a Document: which keys there are, what they hold, and which values make no sense together.

What rules decide is read in read_outcome.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from collections.abc import Mapping as Table
from typing import Any, Final

from policies import document
from policies.decision import DEFAULT_RULE_ID, ON_ERROR_RULE_ID
from policies.document import Case, Context, Document, Expression, Invariant, Param, Rollout, Rule, Variable
from policies.facts import CONTEXT, FACTS, PHASES, FactSpec, FactType
from policies.heading import NAME, read_heading
from policies.language.declarations import value_of
from policies.language.library.notation import read_duration
from policies.language.suggest import did_you_mean
from policies.language.values import EvaluationError, Value
from policies.modes import Mode
from policies.problems import Problem
from policies.read_outcome import FALLBACKS, TERM_KEYS, OutcomeReader
from policies.shape import kind_of
from policies.source import Located, Mapping, Scalar, Sequence, plain

_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_SPEC: Final = ("context", "params", "variables", "invariants", "rules", "default", "onError", "tests")
_EXPECT: Final = ("rule", "mode", "fallback", "reason", *TERM_KEYS)
_PLAIN_TYPES: Final = {
    str(type_): type_
    for type_ in (
        FactType.BOOL,
        FactType.INT,
        FactType.DOUBLE,
        FactType.STRING,
        FactType.DURATION,
        FactType.TEXTS,
    )
}


def read_document(
    root: Located, supported_modes: Collection[Mode], facts: Table[str, FactSpec] = FACTS
) -> tuple[Document, list[Problem]]:
    """The document and what is wrong with its shape. With problems the document is incomplete."""
    reader = _Reader(supported_modes, facts)
    return reader.document(root), reader.problems


class _Reader(OutcomeReader):
    def __init__(self, supported_modes: Collection[Mode], facts: Table[str, FactSpec]) -> None:
        super().__init__(supported_modes)
        self._facts = facts
        self._keys: tuple[str, ...] = ()
        self._policy = ""

    def document(self, root: Located) -> Document:
        heading = read_heading(self, root, document.KIND)
        self._policy = heading.name
        spec = self.fields(heading.spec, _SPEC, ("rules", "default", "onError")) if heading.spec is not None else {}
        context = self._context(spec.get("context"))
        rules = self._rules(spec.get("rules"))
        return Document(
            name=self._policy,
            labels=heading.labels,
            params=self._params(spec.get("params")),
            variables=self._variables(spec.get("variables")),
            invariants=self._invariants(spec.get("invariants")),
            rules=rules,
            default=self.outcome(spec.get("default"), DEFAULT_RULE_ID),
            on_error=self.outcome(spec.get("onError"), ON_ERROR_RULE_ID),
            tests=self._tests(spec.get("tests"), [rule.id for rule in rules]),
            data=plain(root) if isinstance(root, Mapping) else {},
            context=context,
            warnings=tuple(self.warnings),
        )

    def _context(self, node: Located | None) -> Context:
        """Which table the facts come from, and how many phases of it are over when the policy decides."""
        fields = self.fields(node, ("ref", "phase")) if node is not None else {}
        self.word(fields.get("ref"), (CONTEXT,), "context")
        phase = self.word(fields.get("phase"), PHASES, "phase") or PHASES[0]
        known = PHASES[: PHASES.index(phase) + 1]
        self._keys = tuple(f.name for f in self._facts.values() if f.type is FactType.STRING and f.phase in known)
        if phase != PHASES[0]:
            self.advise("not-carried-out", f"nothing decides in the phase {phase} yet", fields["phase"])
        return Context(CONTEXT, phase)

    # ── params, variables, invariants ───────────────────────────────────────────────────────────────────────────

    def _params(self, node: Located | None) -> tuple[Param, ...]:
        params = (self._param(key, value) for key, value in self.entries(node, document.MAX_PARAMS, "params"))
        return tuple(param for param in params if param is not None)

    def _param(self, key: Scalar, node: Located) -> Param | None:
        name = self.name(key, _IDENTIFIER, "param's name")
        if isinstance(node, Sequence) or (isinstance(node, Scalar) and node.value is not None):
            return self._checked(key, name, _type_name(node), node, {})
        fields = self.fields(node, ("type", "default", "min", "max", "about"), ("default",))
        self.text(fields.get("about"))
        default = fields.get("default")
        if default is None:
            return None
        if isinstance(default, Mapping):
            self.wrong(default, "one value, or a list of texts")
            return None
        types = [*_PLAIN_TYPES, *(fact.name for fact in self._facts.values() if fact.enum)]
        type_ = self.word(fields["type"], types, "type") if "type" in fields else _type_name(default)
        return self._checked(key, name, type_, default, fields)

    def _checked(
        self, key: Scalar, name: str, type_: str, default: Located, fields: dict[str, Located]
    ) -> Param | None:
        spec = self._param_spec(type_) if type_ else None
        value = self._value(spec, default) if spec is not None else None
        if spec is None or value is None:
            return None
        for bound, holds in _BOUNDS.items():
            if bound in fields and isinstance(default, Scalar):
                self._within_bound(bound, holds, spec, value, default, fields[bound])
            elif bound in fields:
                self.wrong(fields[bound], f"no {bound}: a list has none", suggestion=f"remove {bound}:")
        return Param(name, type_, tuple(value) if isinstance(value, list) else value, key.line, key.column)

    def _within_bound(
        self, bound: str, holds: Callable[[Any, Any], bool], spec: FactSpec, value: Value, default: Scalar, at: Located
    ) -> None:
        limit = self._value(spec, at)
        if limit is not None and not holds(value, limit):
            written = at.raw if isinstance(at, Scalar) else ""
            self.tell("out-of-bounds", f"{default.raw} is beyond {bound}", default, expected=f"{bound} {written}")

    def _param_spec(self, type_: str) -> FactSpec:
        """A row like one of the facts table, so that params are read as facts are."""
        known = self._facts.get(type_)
        return known if known is not None else FactSpec(f"type {type_}", _PLAIN_TYPES[type_], "", optional=True)

    def _value(self, spec: FactSpec, node: Located) -> Value | None:
        """What the node holds, as a value of a fact or a param."""
        raw = _raw(spec, node)
        value = value_of(spec.language_type, raw) if raw is not None else None
        if value is not None:
            return value
        near = did_you_mean(node.raw, spec.enum) if isinstance(node, Scalar) else ""
        expected = ", ".join(repr(word) for word in spec.enum) if spec.enum else str(spec.type)
        remedy = f"did you mean {near}?" if near else ""
        self.tell(
            "wrong-value", f"{kind_of(node)} is no value of {spec.name}", node, expected=expected, suggestion=remedy
        )
        return None

    def _variables(self, node: Located | None) -> tuple[Variable, ...]:
        out: list[Variable] = []
        for item in self.items(node, document.MAX_VARIABLES, "variables"):
            fields = self.fields(item, ("name", "expr"), ("name", "expr"))
            name = self.name(fields.get("name"), _IDENTIFIER, "variable's name")
            self._once(name, [variable.name for variable in out], fields.get("name"))
            expression = self._expression(fields.get("expr"))
            if expression is not None:
                out.append(Variable(name, expression))
        return tuple(out)

    def _invariants(self, node: Located | None) -> tuple[Invariant, ...]:
        out: list[Invariant] = []
        for item in self.items(node, document.MAX_INVARIANTS, "invariants"):
            fields = self.fields(item, ("name", "never", "always"), ("name",))
            name = self.name(fields.get("name"), NAME, "name")
            self._once(name, [invariant.name for invariant in out], fields.get("name"))
            if ("never" in fields) == ("always" in fields):
                self.tell("missing-key", "an invariant says either never or always", item, suggestion="add never:")
            expression = self._expression(fields.get("never") or fields.get("always"))
            if expression is not None:
                out.append(Invariant(name, expression, negated="always" in fields))
        return tuple(out)

    def _once(self, name: str, before: Collection[str], node: Located | None) -> None:
        if node is not None and name and name in before:
            self.tell("double-name", f"{name} is there twice", node, suggestion="give it another name")

    def _expression(self, node: Located | None) -> Expression | None:
        if node is None:
            return None
        if isinstance(node, Scalar) and node.value is not None:
            return Expression(node.raw, node)
        self.wrong(node, "an expression such as request.task == 'code'")
        return None

    # ── rules ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _rules(self, node: Located | None) -> tuple[Rule, ...]:
        out: list[Rule] = []
        for item in self.items(node, document.MAX_RULES, "rules"):
            rule = self._rule(item, {rule.id for rule in out})
            self.rule_id = ""
            if rule is not None:
                out.append(rule)
        return tuple(out)

    def _rule(self, item: Located, before: Collection[str]) -> Rule | None:
        id_node = item.get("id") if isinstance(item, Mapping) else None
        self.rule_id = id_node.raw[:64] if isinstance(id_node, Scalar) else ""
        fields = self.fields(item, ("id", "when", "rollout", "decide"), ("id", "when", "decide"))
        id_ = self.name(fields.get("id"), NAME, "rule's id")
        self._once(id_, {*before, DEFAULT_RULE_ID, ON_ERROR_RULE_ID}, fields.get("id"))
        when = self._expression(fields.get("when"))
        rollout = self._rollout(fields["rollout"], id_) if "rollout" in fields else None
        outcome = self.outcome(fields.get("decide"), id_)
        return Rule(id_, when, outcome, item.line, item.column, rollout) if when is not None else None

    def _rollout(self, node: Located, rule_id: str) -> Rollout | None:
        fields = self.fields(node, ("percent", "by", "salt"), ("percent", "by"))
        percent = self.percent(fields.get("percent"))
        by = self.word(fields.get("by"), self._keys, "string fact")
        salt = self.text(fields.get("salt"), at_most=200) or f"{self._policy}/{rule_id}"
        return Rollout(percent, by, salt) if percent is not None and by else None

    # ── tests ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _tests(self, node: Located | None, rule_ids: list[str]) -> tuple[Case, ...]:
        out: list[Case] = []
        for item in self.items(node, document.MAX_TESTS, "tests"):
            fields = self.fields(item, ("name", "given", "expect"), ("name", "expect"))
            name = self.text(fields.get("name"))
            self._once(name, [case.name for case in out], fields.get("name"))
            given = {key.raw: self._given(key, value) for key, value in self.entries(fields.get("given"), 100, "facts")}
            expect = self._expect(fields.get("expect"), rule_ids)
            out.append(Case(name, given, expect, item.line, item.column))
        return tuple(out)

    def _given(self, key: Scalar, value: Located) -> Value | None:
        spec = self._facts.get(key.raw)
        if spec is None:
            near = did_you_mean(key.raw, self._facts)
            remedy = f"did you mean {near}?" if near else ""
            self.tell("unknown-name", f"there is no fact {key.raw[:64]}", key, suggestion=remedy)
            return None
        if isinstance(value, Scalar) and value.value is None:
            return None
        return self._value(spec, value)

    def _expect(self, node: Located | None, rule_ids: list[str]) -> dict[str, Any]:
        if node is None:
            return {}
        fields = self.fields(node, _EXPECT)
        if not fields:
            self.wrong(node, f"a map with some of {', '.join(_EXPECT)}")
        readers: dict[str, Callable[[Located], Any]] = {
            "rule": lambda item: self.word(item, [*rule_ids, DEFAULT_RULE_ID, ON_ERROR_RULE_ID], "rule"),
            "mode": lambda item: self.mode(item, self.supported),
            "fallback": self._expected_fallback,
            "reason": self.text,
        }
        plainly = {key: readers[key](item) for key, item in fields.items() if key in readers}
        return plainly | self.times(fields.get("timeout")) | self.said(fields)

    def _expected_fallback(self, node: Located) -> tuple[Mode, ...]:
        nodes = [node] if isinstance(node, Scalar) else self.items(node, len(FALLBACKS), "modes")
        return tuple(self.mode(item, FALLBACKS) for item in nodes)


_BOUNDS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "min": lambda value, limit: bool(value >= limit),
    "max": lambda value, limit: bool(value <= limit),
}


def _type_name(node: Located) -> str:
    """The type of a param that does not say it."""
    match node:
        case Sequence():
            return "list(string)"
        case Scalar(value=bool()):
            return "bool"
        case Scalar(value=int()):
            return "int"
        case Scalar(value=float()):
            return "double"
        case _:
            return "string"


def _raw(spec: FactSpec, node: Located) -> Value | None:
    """What a caller would hand in for this fact; None where the node can be no such value."""
    match spec.type, node:
        case FactType.DURATION, Scalar(value=str(text)):
            return _duration(text)
        case FactType.TEXTS | FactType.TEXT_MAP, Scalar():
            return None
        case _:
            return plain(node)


def _duration(text: str) -> Value | None:
    try:
        return read_duration(text)
    except EvaluationError:
        return None

"""Located nodes to a Document: which keys there are, what they hold, and which values make no sense together."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Any, Final

from policies import document
from policies.decision import DEFAULT_RULE_ID, ON_ERROR_RULE_ID, Timeouts
from policies.document import Case, Document, Expression, Invariant, Outcome, Param, Rule, Variable
from policies.facts import FACTS, FactSpec, FactType, FactValue
from policies.modes import MODES, Mode, implied_fallback
from policies.problems import Problem, did_you_mean
from policies.reading import FactError, accept
from policies.shape import Shape, kind_of
from policies.source import Located, Mapping, Scalar, plain

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_SPEC: Final = ("params", "variables", "invariants", "rules", "default", "onError", "tests")
_OUTCOME: Final = ("mode", "fallback", "timeout", "reason")
_EXPECT: Final = ("rule", "mode", "fallback", "reason")
_FALLBACKS: Final = (Mode.EDGE, Mode.CLOUD, Mode.REFUSE)
_PLAIN_TYPES: Final = {"bool": FactType.BOOL, "int": FactType.INT, "double": FactType.DOUBLE, "string": FactType.STRING}
_SAFE: Final = Outcome(Mode.REFUSE, (), Timeouts(), "")


def read_document(root: Located, supported_modes: Collection[Mode]) -> tuple[Document, list[Problem]]:
    """The document and what is wrong with its shape. With problems the document is incomplete."""
    reader = _Reader(supported_modes)
    return reader.whole(root), reader.problems


class _Reader(Shape):
    def __init__(self, supported_modes: Collection[Mode]) -> None:
        super().__init__()
        self._supported = tuple(mode for mode in MODES if mode in supported_modes)

    def whole(self, root: Located) -> Document:
        top = self.fields(root, ("apiVersion", "kind", "metadata", "spec"), ("apiVersion", "kind", "metadata", "spec"))
        self.word(top.get("apiVersion"), (document.API_VERSION,), "version of this format")
        self.word(top.get("kind"), (document.KIND,), "kind of document")
        metadata = self.fields(top["metadata"], ("name", "labels"), ("name",)) if "metadata" in top else {}
        spec = self.fields(top["spec"], _SPEC, ("rules", "default", "onError")) if "spec" in top else {}
        rules = self._rules(spec.get("rules"))
        return Document(
            name=self.name(metadata.get("name"), _NAME, "name"),
            labels=self._labels(metadata.get("labels")),
            params=self._params(spec.get("params")),
            variables=self._variables(spec.get("variables")),
            invariants=self._invariants(spec.get("invariants")),
            rules=rules,
            default=self._outcome(spec.get("default"), DEFAULT_RULE_ID),
            on_error=self._outcome(spec.get("onError"), ON_ERROR_RULE_ID),
            tests=self._tests(spec.get("tests"), [rule.id for rule in rules]),
            data=plain(root) if isinstance(root, Mapping) else {},
        )

    def _labels(self, node: Located | None) -> dict[str, str]:
        return {self.name(key, _NAME, "label"): self.text(value) for key, value in self.entries(node, 32, "labels")}

    # ── params, variables, invariants ───────────────────────────────────────────────────────────────────────────

    def _params(self, node: Located | None) -> tuple[Param, ...]:
        params = (self._param(key, value) for key, value in self.entries(node, document.MAX_PARAMS, "params"))
        return tuple(param for param in params if param is not None)

    def _param(self, key: Scalar, node: Located) -> Param | None:
        name = self.name(key, _IDENTIFIER, "param's name")
        if isinstance(node, Scalar) and node.value is not None:
            return self._checked(name, _type_name(node), node, {})
        fields = self.fields(node, ("type", "default", "min", "max", "about"), ("default",))
        self.text(fields.get("about"))
        default = fields.get("default")
        if default is None:
            return None
        if not isinstance(default, Scalar):
            self.wrong(default, "one value")
            return None
        types = [*_PLAIN_TYPES, *(fact.name for fact in FACTS.values() if fact.enum)]
        type_ = self.word(fields["type"], types, "type") if "type" in fields else _type_name(default)
        return self._checked(name, type_, default, fields)

    def _checked(self, name: str, type_: str, default: Scalar, fields: dict[str, Located]) -> Param | None:
        value = self._value(_param_spec(type_), default) if type_ else None
        if value is None:
            return None
        for bound, holds in _BOUNDS.items():
            limit = self._value(_param_spec(type_), fields[bound]) if bound in fields else None
            if limit is not None and not holds(value, limit):
                self.tell("out-of-bounds", f"{default.raw} is beyond {bound}", default, expected=f"{bound} {limit}")
        return Param(name, type_, value)

    def _value(self, spec: FactSpec, node: Located) -> FactValue | None:
        """The scalar as a value of a fact or a param."""
        if isinstance(node, Scalar) and node.value is not None:
            try:
                return accept(spec, node.value)
            except FactError:
                pass
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
            name = self.name(fields.get("name"), _NAME, "name")
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
        fields = self.fields(item, ("id", "when", "decide"), ("id", "when", "decide"))
        id_ = self.name(fields.get("id"), _NAME, "rule's id")
        self._once(id_, {*before, DEFAULT_RULE_ID, ON_ERROR_RULE_ID}, fields.get("id"))
        when = self._expression(fields.get("when"))
        outcome = self._outcome(fields.get("decide"), id_)
        return Rule(id_, when, outcome, item.line) if when is not None else None

    def _outcome(self, node: Located | None, rule_id: str) -> Outcome:
        if node is None:
            return _SAFE
        fields = self.fields(node, _OUTCOME, ("mode",))
        mode = self._mode(fields.get("mode"), self._supported)
        fallback = self._fallback(fields.get("fallback"), mode) if "fallback" in fields else implied_fallback(mode)
        reason = self.text(fields.get("reason")) or f"rule {rule_id}"
        return Outcome(mode, fallback, self._timeouts(fields.get("timeout")), reason)

    def _mode(self, node: Located | None, allowed: Collection[Mode]) -> Mode:
        word = node.raw if isinstance(node, Scalar) else ""
        if node is not None and word in MODES and word not in allowed:
            working = ", ".join(allowed)
            self.tell("unsupported-mode", f"the mode {word} does not work here", node, expected=f"one of {working}")
            return Mode.REFUSE
        return Mode(self.word(node, [str(mode) for mode in allowed], "mode") or Mode.REFUSE)

    def _fallback(self, node: Located | None, mode: Mode) -> tuple[Mode, ...]:
        if node is None:
            return ()
        nodes = [node] if isinstance(node, Scalar) else self.items(node, len(_FALLBACKS), "modes")
        out: list[Mode] = []
        for item in nodes:
            step = self._mode(item, _FALLBACKS)
            if step in (mode, *out):
                self.tell("double-name", f"{step} is tried already", item, suggestion="remove it")
            out.append(step)
        return tuple(out)

    def _timeouts(self, node: Located | None) -> Timeouts:
        if node is None:
            return Timeouts()
        fields = self.fields(node, ("firstToken", "total"))
        first, total = self.duration(fields.get("firstToken")), self.duration(fields.get("total"))
        if first is not None and total is not None and first > total:
            self.tell("out-of-bounds", "firstToken is longer than total", node, expected="firstToken at most total")
        return Timeouts(first, total)

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

    def _given(self, key: Scalar, value: Located) -> FactValue | None:
        spec = FACTS.get(key.raw)
        if spec is None:
            near = did_you_mean(key.raw, FACTS)
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
            "mode": lambda item: self._mode(item, self._supported),
            "fallback": lambda item: self._expected_fallback(item),
            "reason": self.text,
        }
        return {key: readers[key](item) for key, item in fields.items()}

    def _expected_fallback(self, node: Located) -> tuple[Mode, ...]:
        nodes = [node] if isinstance(node, Scalar) else self.items(node, len(_FALLBACKS), "modes")
        return tuple(self._mode(item, _FALLBACKS) for item in nodes)


_BOUNDS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "min": lambda value, limit: bool(value >= limit),
    "max": lambda value, limit: bool(value <= limit),
}


def _type_name(node: Scalar) -> str:
    match node.value:
        case bool():
            return "bool"
        case int():
            return "int"
        case float():
            return "double"
        case _:
            return "string"


def _param_spec(type_: str) -> FactSpec:
    """A row like one of the facts table, so that params are read as facts are."""
    return FACTS[type_] if type_ in FACTS else FactSpec(f"type {type_}", _PLAIN_TYPES[type_], "", optional=True)

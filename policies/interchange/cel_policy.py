"""Import of CEL Policy YAML (google/cel-spec, the format of cel-go's policy package): nested rules become one list.

A match under a condition may give nothing; then later matches are not asked, as in cel-go. After a nested rule without
a condition they are. Where nothing is given, the imported policy refuses.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from policies.document import MAX_RULES, MAX_VARIABLES
from policies.interchange.draft import REFUSED, Draft, plain_name, reason_text
from policies.interchange.foreign import Foreign, under
from policies.interchange.report import Imported
from policies.interchange.translation import Names, Translator, names_of
from policies.interchange.trees import NotPlainError, every, is_true, name, names_read, plain_data
from policies.language import syntax
from policies.language.parser import Limits, parse
from policies.language.syntax import CallOf, Node, path_of
from policies.language.unparse import unparse
from policies.modes import SUPPORTED_MODES, Mode
from policies.source import MAX_BYTES, Located, Scalar
from policies.source import Mapping as Entries

EXTRAS: Final = "edgewise"
"""The variable in which an export keeps what the format has no place for; no match reads it."""

_NOTHING: Final = {"mode": "refuse", "reason": "the policy gives no output here"}
_EXTRAS_LIMITS: Final = Limits(characters=MAX_BYTES)
_LEFT_OUT: Final = {
    "imports": "there are no message types here",
    "description": "a policy has no description",
    "kind": "an extension of the format",
    "metadata": "an extension of the format",
    "spec": "an extension of the format",
}

Outputs = Mapping[str, Mapping[str, Any]]


def import_cel_policy(
    text: str,
    *,
    names: Mapping[str, str] | None = None,
    outputs: Outputs | None = None,
    supported_modes: Collection[Mode] = SUPPORTED_MODES,
) -> Imported:
    """A RoutingPolicy that decides as the CEL policy. Raises PolicyError where the text is no such policy at all.

    names: foreign dotted names to expressions of ours, such as {"resource.origin": "request.tenant"}; our facts keep
        their names. outputs: what an output, as canonical CEL text, decides: {'"deny"': {"mode": "refuse"}}. Outputs
        that are maps as `decide` has them, and texts that are modes, need no entry.
    """
    foreign = Foreign(text, "CEL policy")
    return _Importer(foreign, outputs or {}, supported_modes).imported(names_of(names or {}, {}))


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a rule stands: the conditions around it, and what names mean there."""

    guards: tuple[Node, ...]
    names: Names


@dataclass(frozen=True, slots=True)
class _Output:
    """What one match gives, under further conditions if it is a choice."""

    when: tuple[Node, ...]
    decide: Mapping[str, Any]


class _Importer:
    def __init__(self, foreign: Foreign, outputs: Outputs, supported: Collection[Mode]) -> None:
        self._foreign = foreign
        self._outputs = outputs
        self._translator = Translator(foreign)
        self._draft = Draft(foreign, "cel-policy", supported)
        self._only_values: dict[int, tuple[Node, str, Located, str]] = {}

    def imported(self, names: Names) -> Imported:
        root = self._foreign.root
        if not isinstance(root, Entries) or not isinstance(root.get("rule"), Entries):
            raise self._foreign.refused("this is no CEL policy", "a map with name and rule")
        top = self._foreign.known(root, "", ("name", "rule"), _LEFT_OUT)
        self._draft.name = plain_name(self._foreign.text(top.get("name")), "cel-policy")
        if not self._rule(top["rule"], "rule", _Place((), names)):
            self._foreign.skip("rule", top["rule"], "where no match gives an output, requests are refused here")
            self._draft.default = dict(_NOTHING)
        for _, path, node, reason in self._only_values.values():
            self._foreign.skip(path, node, reason)
        return self._draft.imported()

    # ── rules and matches ───────────────────────────────────────────────────────────────────────────────────────

    def _rule(self, node: Located, path: str, place: _Place) -> bool:
        """Take a rule's matches on; whether one of them always gives an output where the rule is reached."""
        fields = self._foreign.known(
            node, path, ("id", "variables", "match"), {"description": "rules have no description here"}
        )
        rule_name = self._foreign.text(fields.get("id"))
        for at, item in enumerate(self._foreign.items(fields.get("variables"), MAX_VARIABLES, "variables")):
            place = self._variable(item, f"{path}.variables[{at}]", place)
        settled = False
        for at, item in enumerate(self._foreign.items(fields.get("match"), MAX_RULES, "matches")):
            here = f"{path}.match[{at}]"
            if settled:
                self._foreign.skip(here, item, "never reached: a match before it always gives an output")
            else:
                settled = self._match(item, here, place, rule_name)
        return settled

    def _match(self, node: Located, path: str, place: _Place, rule_name: str) -> bool:
        fields = self._foreign.known(node, path, ("condition", "output", "rule", "explanation"))
        if ("output" in fields) == ("rule" in fields):
            self._foreign.tell("missing-key", "a match has either an output or a rule", node)
            return False
        condition: Node | None = every([])
        if "condition" in fields:
            condition = self._translator.condition(fields["condition"], under(path, "condition"), place.names)
        if condition is None:
            self._foreign.skip(path, node, "left out with its condition")
            return False
        always = is_true(condition)
        inner = replace(place, guards=place.guards if always else (*place.guards, condition))
        if "output" in fields:
            return not self._output(fields, path, inner, rule_name) and always
        return self._nested(fields, path, inner, rule_name, always=always) and always

    def _nested(self, fields: Mapping[str, Located], path: str, place: _Place, rule_name: str, *, always: bool) -> bool:
        """A rule under a match. Under a condition, nothing behind it is asked when it gives nothing."""
        if "explanation" in fields:
            reason = "only an output has a reason here"
            self._foreign.skip(under(path, "explanation"), fields["explanation"], reason)
        settled = self._rule(fields["rule"], under(path, "rule"), place)
        if not settled and not always:
            inner = fields["rule"]
            own = inner.get("id") if isinstance(inner, Entries) else None
            word = own.raw if isinstance(own, Scalar) else rule_name or "rule"
            self._draft.rule(f"{word}-nothing", every(place.guards), _NOTHING, path, inner)
        return settled

    # ── outputs ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _output(self, fields: Mapping[str, Located], path: str, place: _Place, rule_name: str) -> bool:
        """Take an output on; whether it became a rule that always holds, so that what follows it is kept too.

        Where nothing is asked before it, it is the default, unless it names a rule.
        """
        node, here = fields["output"], under(path, "output")
        reason = self._explanation(fields.get("explanation"), under(path, "explanation"))
        when = every(place.guards)
        for output in self._given(node, here, place.names):
            decide = {"reason": reason, **output.decide} if reason else dict(output.decide)
            rule_id = decide.pop("rule", None)
            when = every((*place.guards, *output.when))
            if is_true(when) and not isinstance(rule_id, str):
                self._draft.default = self._draft.sound(decide, here, node)
                return False
            word = rule_id if isinstance(rule_id, str) else rule_name
            self._draft.rule(word or f"match-{len(self._draft.rules) + 1}", when, decide, here, node)
        return is_true(when)

    def _explanation(self, node: Located | None, path: str) -> str:
        if node is None:
            return ""
        tree = self._translator.tree(node)
        if isinstance(tree, syntax.Literal) and isinstance(tree.value, str):
            return reason_text(tree.value)
        if tree is not None:
            self._foreign.skip(path, node, "a reason is a fixed text here")
        return ""

    def _given(self, node: Located, path: str, names: Names) -> Iterator[_Output]:
        """What an output gives: one decision, or one for each arm of a choice."""
        tree = self._named(node, path, names)
        if tree is None or not isinstance(node, Scalar):
            yield _Output((), REFUSED)
            return
        while isinstance(tree, syntax.Choice):
            if self._translator.holds(tree.condition, node, path):
                yield _Output((tree.condition,), self._decision(tree.then, node, path))
            tree = _unwrapped(tree.otherwise)
        yield _Output((), self._decision(tree, node, path))

    def _named(self, node: Located, path: str, names: Names) -> Node | None:
        """The tree of an output under our names, with the values of the variables that it names."""
        tree = self._translator.tree(node)
        if tree is None or not isinstance(node, Scalar):
            return None
        value = names.values.get(path_of(tree) or "")
        if value is not None:
            self._only_values.pop(id(value), None)
            return _unwrapped(value)
        refused = {full: reason for full, reason in names.refused.items() if full not in names.values}
        inlined = Names({**names.ours, **names.values}, refused)
        found = self._translator.renamed(tree, node, path, inlined)
        for full in names_read(tree) if found is not None else ():
            self._only_values.pop(id(names.values.get(full)), None)
        return None if found is None else _unwrapped(found)

    def _decision(self, tree: Node, node: Located, path: str) -> Mapping[str, Any]:
        try:
            found = plain_data(tree)
        except NotPlainError as error:
            found = str(error)
        text = unparse(tree)
        if text in self._outputs:
            return self._outputs[text]
        if isinstance(found, dict) and "mode" in found:
            return found
        if isinstance(tree, syntax.Literal) and found in tuple(Mode):
            return {"mode": found}
        self._foreign.skip(path, node, f"nothing says which decision {text[:80]} is; it becomes a refusal")
        return REFUSED

    # ── variables ───────────────────────────────────────────────────────────────────────────────────────────────

    def _variable(self, item: Located, path: str, place: _Place) -> _Place:
        """The place with one more variable; one that is no expression of ours may still be what an output names."""
        fields = self._foreign.known(item, path, ("name", "expression"))
        word, node = self._foreign.text(fields.get("name")), fields.get("expression")
        if not word or node is None:
            self._foreign.tell("missing-key", "a variable has a name and an expression", item)
            return place
        if word == EXTRAS and path == "rule.variables[0]" and self._extras(node):
            return place
        full = f"variables.{word}"
        tree = self._translator.read(node, path, place.names)
        reason = "its expression was left out" if tree is None else self._translator.fault(tree, None)
        own = self._draft.variable(word, tree) if tree is not None and not reason else None
        if tree is not None and own is not None:
            self._translator.declare(own, tree)
            return _with(place, full, self._resolved(node, tree, place.names), ours=name(f"variables.{own}"))
        if tree is None:
            return _with(place, full, None, refused=f"{full} was left out")
        reason = reason or "there are too many variables"
        self._only_values[id(tree)] = (tree, path, node, reason)
        return _with(place, full, tree, refused=f"{full} was left out: {reason}")

    def _resolved(self, node: Located, tree: Node, names: Names) -> Node:
        """What a variable holds: where it only names another one, what that one holds."""
        written = self._translator.tree(node)
        return names.values.get(path_of(written) or "", tree) if written is not None else tree

    def _extras(self, node: Located) -> bool:
        """Take back what an export put aside; whether the variable holds that."""
        found = _plain(node)
        if not isinstance(found, dict) or "onError" not in found:
            return False
        on_error, labels = found["onError"], found.get("labels")
        if isinstance(on_error, dict):
            self._draft.on_error = self._draft.sound(on_error, f"{EXTRAS}.onError", node)
        if isinstance(labels, dict):
            self._draft.labels = {key: value for key, value in labels.items() if isinstance(value, str)}
        if isinstance(found.get("context"), dict):
            self._draft.context = found["context"]
        invariants = found.get("invariants")
        for invariant in invariants if isinstance(invariants, list) else []:
            self._draft.invariant(invariant)
        return True


def _with(place: _Place, full: str, value: Node | None, *, ours: Node | None = None, refused: str = "") -> _Place:
    """The place after a declaration, which hides one of the same name."""
    names = place.names
    trees = {key: node for key, node in names.ours.items() if key != full}
    reasons = {key: reason for key, reason in names.refused.items() if key != full}
    values = {key: node for key, node in names.values.items() if key != full}
    if ours is not None:
        trees[full] = ours
    if refused:
        reasons[full] = refused
    if value is not None:
        values[full] = value
    return replace(place, names=Names(trees, reasons, values))


def _plain(node: Located) -> Any:
    if not isinstance(node, Scalar):
        return None
    tree, faults = parse(node.raw, _EXTRAS_LIMITS)
    try:
        return None if faults else plain_data(tree)
    except NotPlainError:
        return None


def _unwrapped(tree: Node) -> Node:
    """What is in `optional.of(…)`."""
    is_call = isinstance(tree, CallOf) and tree.function == "of" and len(tree.args) == 1
    if is_call and isinstance(tree, CallOf) and tree.target is not None and path_of(tree.target) == "optional":
        return tree.args[0]
    return tree

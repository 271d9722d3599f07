"""A RoutingPolicy while it is put together from foreign rules, and its YAML. What it writes always loads."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from policies.decide import Policy
from policies.decision import DEFAULT_RULE_ID, ON_ERROR_RULE_ID
from policies.document import API_VERSION, KIND, MAX_INVARIANTS, MAX_RULES, MAX_VARIABLES
from policies.interchange.foreign import Foreign
from policies.interchange.report import Imported
from policies.interchange.trees import every
from policies.language.syntax import Node
from policies.language.unparse import unparse
from policies.modes import SUPPORTED_MODES, Mode
from policies.problems import PolicyError, Problem
from policies.read_outcome import OutcomeReader
from policies.source import Located, SourceError, read_source

_NO_NAME: Final = re.compile(r"[^A-Za-z0-9._-]+")
_NO_IDENTIFIER: Final = re.compile(r"[^A-Za-z0-9_]+")
_LONGEST_NAME: Final = 63
_LONGEST_REASON: Final = 500
_PASSES: Final = 4

REFUSED: Final[Mapping[str, Any]] = {"mode": "refuse", "reason": "what the source decides here has no counterpart"}


@dataclass(frozen=True, slots=True)
class _Origin:
    """Where a rule comes from."""

    path: str
    node: Located


@dataclass(slots=True)
class Draft:
    """The parts of the document to be; `add` and `variable` keep ids unique and within their limits."""

    foreign: Foreign
    name: str
    supported: Collection[Mode] = SUPPORTED_MODES
    labels: dict[str, str] = field(default_factory=dict)
    context: dict[str, Any] = field(default_factory=dict)
    variables: dict[str, Node] = field(default_factory=dict)
    invariants: list[dict[str, Any]] = field(default_factory=list)
    rules: dict[str, dict[str, Any]] = field(default_factory=dict)
    default: dict[str, Any] = field(default_factory=lambda: {"mode": "refuse", "reason": "no rule holds"})
    on_error: dict[str, Any] = field(
        default_factory=lambda: {"mode": "refuse", "reason": "the facts could not be judged"}
    )
    _origins: dict[str, _Origin] = field(default_factory=dict)

    # ── parts ───────────────────────────────────────────────────────────────────────────────────────────────────

    def variable(self, name: str, node: Node) -> str | None:
        """Take a variable on; its name in the document, or None when there are too many."""
        if len(self.variables) >= MAX_VARIABLES:
            return None
        plain = _NO_IDENTIFIER.sub("_", name)[:_LONGEST_NAME] or "v"
        own = _unique(f"v{plain}"[:_LONGEST_NAME] if plain[0].isdigit() else plain, self.variables, "_")
        self.variables[own] = node
        return own

    def rule(
        self,
        name: str,
        when: Node,
        decide: Mapping[str, Any],
        path: str,
        node: Located,
        *,
        rollout: Mapping[str, Any] | None = None,
    ) -> None:
        """Take a rule on. Parts of `decide` that no document may hold are noted; without a mode it refuses."""
        if len(self.rules) >= MAX_RULES:
            self.foreign.skip(path, node, f"a document has at most {MAX_RULES} rules")
            return
        plain = _NO_NAME.sub("-", name).strip("._-")[:_LONGEST_NAME] or "rule"
        own = _unique(plain, {*self.rules, DEFAULT_RULE_ID, ON_ERROR_RULE_ID}, "-")
        whole = {"id": own, "when": unparse(every([when])), "decide": self.sound(decide, path, node)}
        self.rules[own] = whole if rollout is None else {**whole, "rollout": dict(rollout)}
        self._origins[own] = _Origin(path, node)

    def invariant(self, found: Any) -> None:
        """Take an invariant on, as a document has it."""
        if isinstance(found, dict) and len(self.invariants) < MAX_INVARIANTS:
            self.invariants.append(found)

    def sound(self, decide: Mapping[str, Any], path: str, node: Located) -> dict[str, Any]:
        """The parts of a decision that a document may hold; the others are noted."""
        said = {key: value for key, value in decide.items() if value is not None}
        if not self._fault_of(said):
            return said
        kept: dict[str, Any] = {"mode": decide.get("mode")}
        reason = self._fault_of(kept)
        if reason:
            self.foreign.skip(path, node, f"this becomes a refusal: {reason}")
            return dict(REFUSED)
        for key, value in said.items():
            reason = self._fault_of({**kept, key: value})
            if reason:
                self.foreign.skip(f"{path}.{key[:64]}", node, reason)
            else:
                kept[key] = value
        return kept

    def _fault_of(self, decide: Mapping[str, Any]) -> str:
        try:
            node = read_source(json.dumps(decide))
        except (SourceError, ValueError) as error:
            return str(error)
        reader = OutcomeReader(self.supported)
        reader.outcome(node, "rule")
        return _sentence(reader.problems[0]) if reader.problems else ""

    # ── the document ────────────────────────────────────────────────────────────────────────────────────────────

    def imported(self) -> Imported:
        """The document, and all notes. Rules that `Policy.load` refuses, such as too costly ones, are left out."""
        for _ in range(_PASSES):
            text = self.text()
            try:
                Policy.load(text, supported_modes=self.supported)
            except PolicyError as error:
                self._leave_out(error.problems)
            else:
                break
        else:
            for _ in range(2):  # without what is no rule, then without all
                self._leave_out([Problem("too-large", "this is more than a document may hold", 1, 1)])
            text = self.text()
        problems = tuple(sorted(self.foreign.problems, key=lambda problem: (problem.line, problem.column)))
        return Imported(text, self.foreign.unmapped, problems)

    def text(self) -> str:
        """The document as YAML."""
        variables = [{"name": name, "expr": unparse(node)} for name, node in self.variables.items()]
        spec: dict[str, Any] = {"context": self.context, "variables": variables, "invariants": self.invariants}
        spec = {key: value for key, value in spec.items() if value}
        spec |= {"rules": list(self.rules.values()), "default": self.default, "onError": self.on_error}
        metadata: dict[str, Any] = {"name": plain_name(self.name, "imported")}
        if self.labels:
            metadata["labels"] = self.labels
        return yaml_text({"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": spec})

    def _leave_out(self, problems: Collection[Problem]) -> None:
        """Without the rules that have problems. Where others have some: without what is no rule, then without all."""
        by_rule = {problem.rule_id: _sentence(problem) for problem in problems}
        if not by_rule.keys() <= self.rules.keys():
            others = [reason for rule_id, reason in by_rule.items() if rule_id not in self.rules]
            by_rule = self._without_extras(others[0], by_rule)
        for id_, reason in by_rule.items():
            del self.rules[id_]
            origin = self._origins[id_]
            self.foreign.skip(origin.path, origin.node, reason)

    def _without_extras(self, reason: str, by_rule: Mapping[str, str]) -> dict[str, str]:
        """Drop what is no rule; the rules that must go as well, with the reasons."""
        had = [word for word in ("labels", "context", "invariants") if getattr(self, word)]
        if had:
            self.labels, self.context, self.invariants = {}, {}, []
            self.foreign.skip("", self.foreign.root, f"without its {', '.join(had)}: {reason}")
            return {rule_id: each for rule_id, each in by_rule.items() if rule_id in self.rules}
        self.variables = {}
        self.foreign.skip("", self.foreign.root, f"without its rules: {reason}")
        return dict.fromkeys(self.rules, reason)


def reason_text(text: str) -> str:
    """A text as people are told it: within the limit of a reason."""
    return text if len(text) <= _LONGEST_REASON else f"{text[: _LONGEST_REASON - 1]}…"


def plain_name(text: str, otherwise: str) -> str:
    """A name of a document made of any text."""
    return _NO_NAME.sub("-", text).strip("._-")[:_LONGEST_NAME] or otherwise


def _unique(name: str, taken: Collection[str], joint: str) -> str:
    if name not in taken:
        return name
    number = 2
    while (numbered := f"{name[: _LONGEST_NAME - 6]}{joint}{number}") in taken:
        number += 1
    return numbered


def _sentence(problem: Problem) -> str:
    return f"{problem.message}; expected {problem.expected}" if problem.expected else problem.message


# ── YAML ────────────────────────────────────────────────────────────────────────────────────────────────────────────


class _Dumper(yaml.SafeDumper):
    """YAML as the strict reader takes it: no aliases, and texts that could be read as another value are quoted."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_BARE: Final = re.compile(r"[A-Za-z][A-Za-z0-9 ._/-]*")


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    quoted = "'" if text.isprintable() else '"'  # single quotes would fold line ends, of which YAML knows several
    style = None if _BARE.fullmatch(text) else quoted
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


def yaml_text(data: Mapping[str, Any]) -> str:
    """Plain data as YAML that `read_source` reads back to the same data."""
    return str(yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100_000, indent=2))

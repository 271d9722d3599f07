"""Import of Bifrost routing rules (maximhq/bifrost, docs "Routing Rules"): the JSON of its config file or of its API.

Rules are ordered as there: by scope, then by priority. Weighted targets become shares of keys, always the same ones.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from policies.interchange.draft import Draft, reason_text
from policies.interchange.foreign import Foreign, under
from policies.interchange.report import Imported
from policies.interchange.tiers import (
    EDGE_PROVIDERS,
    STICKY_BY,
    Alternative,
    Target,
    Weighted,
    decide_of,
    shares,
    target_of,
)
from policies.interchange.translation import Names, Translator, names_of
from policies.interchange.trees import compared, every, literal
from policies.language.syntax import Node
from policies.source import Located, Scalar
from policies.source import Mapping as Entries
from policies.source import Sequence as Items

NAMES: Final[Mapping[str, str]] = {
    "model": "request.model",
    "request_type": '"chat_completion"',
    "customer_id": "request.tenant",
    "customer_name": "request.tenant",
    "budget_used": "100.0 - cloud.budget_left_pct.orValue(100.0)",
    "complexity_tier": 'request.complexity < 0.3 ? "SIMPLE" : request.complexity < 0.7 ? "MEDIUM" : "COMPLEX"',
}
"""What the variables of Bifrost are here. A customer is the tenant of a key; complexity is cut where its tiers are."""

REFUSED_NAMES: Final[Mapping[str, str]] = {
    "provider": "no fact tells a provider: tiers choose their own upstreams",
    "headers": "no fact holds a header",
    "params": "no fact holds a query parameter",
    "virtual_key_id": "no fact tells the key",
    "virtual_key_name": "no fact tells the key",
    "team_id": "no fact tells a team",
    "team_name": "no fact tells a team",
    "tokens_used": "no fact tells how much of a token limit is used",
    "request": "no fact tells how much of a request limit is used",
}
SCOPES: Final = ("virtual_key", "team", "customer", "global")

_RULE: Final = (
    *("id", "name", "description", "enabled", "chain_rule", "cel_expression", "targets", "fallbacks"),
    *("scope", "scope_id", "priority", "provider", "model"),
)
_BOOKKEEPING: Final = {
    "query": "the form of its visual builder; the expression was imported",
    "created_at": "bookkeeping of the source",
    "updated_at": "bookkeeping of the source",
}
_NO_KEY: Final = "which key is used belongs to the upstream"
_LISTS: Final = ("routing_rules", "rules")
_MOST_RULES: Final = 5000


def import_bifrost(
    text: str,
    *,
    names: Mapping[str, str] | None = None,
    edge_providers: Collection[str] = EDGE_PROVIDERS,
    sticky_by: str = STICKY_BY,
) -> Imported:
    """A RoutingPolicy from a config, a list of rules, or one rule. Raises PolicyError where the text holds no rules.

    names: more or other meanings of its variables, as expressions of ours, such as
        {"headers.x-tier": "request.user_tier"}. edge_providers: whose targets are the device.
    sticky_by: the string fact by which weighted targets are dealt.
    """
    foreign = Foreign(text, "Bifrost rules")
    table = names_of({**NAMES, **(names or {})}, REFUSED_NAMES)
    return _Importer(foreign, table, frozenset(edge_providers), sticky_by).imported()


@dataclass(frozen=True, slots=True)
class _Rule:
    """One rule as read. order: scope, then priority."""

    order: tuple[int, float]
    path: str
    node: Located
    fields: Mapping[str, Located]


class _Importer:
    def __init__(self, foreign: Foreign, names: Names, edge_providers: Collection[str], sticky_by: str) -> None:
        self._foreign = foreign
        self._names = names
        self._edge = edge_providers
        self._by = sticky_by
        self._translator = Translator(foreign)
        self._draft = Draft(foreign, "bifrost-rules", labels={"imported-from": "bifrost"})

    def imported(self) -> Imported:
        self._draft.default = {"mode": "cloud", "reason": "no rule holds; the model that was asked for answers"}
        rules = [self._read(item, path) for path, item in self._listed(self._foreign.root, "")]
        for rule in sorted((rule for rule in rules if rule is not None), key=lambda rule: rule.order):
            self._rule(rule)
        return self._draft.imported()

    # ── where the rules are ─────────────────────────────────────────────────────────────────────────────────────

    def _listed(self, node: Located, path: str) -> Sequence[tuple[str, Located]]:
        """The rules of a config, of an answer of the API, of a list, or the one rule; with their paths."""
        if isinstance(node, Items):
            found = self._foreign.items(node, _MOST_RULES, "rules")
            return [(f"{path}[{at}]", item) for at, item in enumerate(found)]
        if not isinstance(node, Entries):
            raise self._foreign.refused("there are no routing rules here", "governance.routing_rules")
        if node.get("cel_expression") is not None:
            return [(path or "rule", node)]
        for key in ("governance", *_LISTS, "rule"):
            inner = node.get(key)
            if inner is not None:
                self._foreign.known(node, path, (key,), {"count": "bookkeeping of the source"})
                return self._listed(inner, under(path, key))
        raise self._foreign.refused("there are no routing rules here", "governance.routing_rules")

    def _read(self, node: Located, path: str) -> _Rule | None:
        fields = self._foreign.known(node, path, _RULE, _BOOKKEEPING)
        if not fields:
            return None
        enabled = fields.get("enabled")
        if isinstance(enabled, Scalar) and enabled.value is False:
            self._foreign.skip(path, node, "it is switched off there")
            return None
        scope = self._foreign.word(fields.get("scope"), SCOPES, "scope") if "scope" in fields else "global"
        if not scope:
            return None
        priority = self._foreign.number(fields.get("priority"), -1e9, 1e9)
        return _Rule((SCOPES.index(scope), priority or 0.0), path, node, fields)

    # ── one rule ────────────────────────────────────────────────────────────────────────────────────────────────

    def _rule(self, rule: _Rule) -> None:
        when = self._when(rule)
        targets = self._targets(rule)
        if when is None or not targets:
            self._foreign.skip(rule.path, rule.node, "left out: its condition or its targets have no counterpart")
            return
        self._tell_chain(rule)
        word = self._foreign.text(rule.fields.get("name")) or self._foreign.text(rule.fields.get("id")) or "rule"
        about = self._foreign.text(rule.fields.get("description"), at_most=100_000)
        fallbacks = self._fallbacks(rule)
        for target, rollout in shares(targets, self._by, word):
            decide = {**decide_of(self._foreign, target, fallbacks), "reason": reason_text(about or word)}
            self._draft.rule(word, when, decide, rule.path, rule.node, rollout=rollout)

    def _when(self, rule: _Rule) -> Node | None:
        """The rule's scope and its expression; an empty expression always holds."""
        scope = self._scope(rule)
        written = rule.fields.get("cel_expression")
        if scope is None or written is None or (isinstance(written, Scalar) and not written.raw.strip()):
            return scope
        condition = self._translator.condition(written, under(rule.path, "cel_expression"), self._names)
        return None if condition is None else every([scope, condition])

    def _scope(self, rule: _Rule) -> Node | None:
        scope, node = SCOPES[rule.order[0]], rule.fields.get("scope_id")
        if scope == "global":
            return every([])
        owner = self._names.ours.get(f"{scope}_id")
        if owner is None or not isinstance(node, Scalar):
            reason = (
                self._names.refused.get(f"{scope}_id", "a scope needs an id") if owner is None else "an id is missing"
            )
            self._foreign.skip(under(rule.path, "scope"), rule.fields["scope"], reason)
            return None
        return compared(owner, "==", literal(node.raw))

    def _tell_chain(self, rule: _Rule) -> None:
        chain = rule.fields.get("chain_rule")
        if isinstance(chain, Scalar) and chain.value is True:
            reason = "rules are not asked again with the new model: this one decides"
            self._foreign.skip(under(rule.path, "chain_rule"), chain, reason)

    # ── targets ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _targets(self, rule: _Rule) -> list[Weighted]:
        """The targets with their weights; a rule of old has one, in its own fields."""
        if "targets" not in rule.fields:
            target = self._target(rule.fields, rule.path, rule.node)
            return [] if target is None else [Weighted(target, 1.0)]
        path = under(rule.path, "targets")
        found: list[Weighted] = []
        for at, item in enumerate(self._foreign.items(rule.fields["targets"], 100, "targets")):
            fields = self._foreign.known(item, f"{path}[{at}]", ("provider", "model", "weight"), {"key_id": _NO_KEY})
            target = self._target(fields, f"{path}[{at}]", item)
            weight = self._foreign.number(fields.get("weight"), 0.0, 1e9) if "weight" in fields else 1.0
            if target is not None and weight is not None:
                found.append(Weighted(target, weight))
        if len(found) > 1:
            reason = f"drawn at random for each request there; here by {self._by}, always alike for a key"
            self._foreign.skip(path, rule.fields["targets"], reason)
        return found

    def _target(self, fields: Mapping[str, Located], path: str, node: Located) -> Target | None:
        provider, model = self._foreign.text(fields.get("provider")), self._foreign.text(fields.get("model"))
        if not provider and not model:
            self._foreign.tell("missing-key", "a target has a provider or a model", node)
            return None
        if provider and not model:
            reason = "the model that was asked for is kept; of the provider only its tier is known"
            self._foreign.skip(under(path, "provider"), fields["provider"], reason)
        return target_of(provider, model, self._edge)

    def _fallbacks(self, rule: _Rule) -> list[Alternative]:
        path = under(rule.path, "fallbacks")
        items = self._foreign.items(rule.fields.get("fallbacks"), 100, "fallbacks")
        found = [self._fallback(item, f"{path}[{at}]") for at, item in enumerate(items)]
        return [each for each in found if each is not None]

    def _fallback(self, node: Located, path: str) -> Alternative | None:
        """`provider/model`, or a map of the two."""
        if isinstance(node, Entries):
            left_out = {"key_id": _NO_KEY, "provider_key_name": _NO_KEY}
            fields = self._foreign.known(node, path, ("provider", "model"), left_out)
            target = self._target(fields, path, node)
            return None if target is None else Alternative(target, path, node)
        provider, _, model = self._foreign.text(node).partition("/")
        return Alternative(target_of(provider, model, self._edge), path, node) if provider else None

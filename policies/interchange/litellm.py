"""Import of LiteLLM router settings (BerriAI/litellm, proxy config.yaml): rules for each model group.

A request names a group by `model`. Which deployment of a group answers, and with which key, is not decided by policies:
what is left is the tier, the model, the share of keys, and what is tried next. Deployments are read in deployments.py.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from policies.interchange.deployments import Deployment, read_deployments
from policies.interchange.draft import Draft
from policies.interchange.foreign import Foreign, under
from policies.interchange.report import Imported
from policies.interchange.tiers import EDGE_PROVIDERS, STICKY_BY, Alternative, Weighted, decide_of, shares
from policies.interchange.translation import Names, names_of
from policies.interchange.trees import NOWHERE, compared, every, literal
from policies.language.syntax import CallOf, Node
from policies.shape import MAX_DURATION_S
from policies.source import Located, Scalar
from policies.source import Mapping as Entries
from policies.source import Sequence as Items

NAMES: Final[Mapping[str, str]] = {
    "model": "request.model",
    "tags": "request.user_tier",
    "context_tokens": "request.context_tokens",
}
"""What a request's model, its one tag and the size of its conversation are here."""

_DYNAMIC: Final = "which deployment is free, fast or cheap is known to the tier alone; shares are equal here"
_SECTIONS: Final = ("model_list", "router_settings", "litellm_settings")
_SETTINGS: Final = (
    *("fallbacks", "default_fallbacks", "context_window_fallbacks", "model_group_alias", "routing_strategy"),
    *("enable_tag_filtering", "tag_filtering_match_any", "timeout", "request_timeout", "stream_timeout"),
)
_RETRIES: Final = "retries and cooling down are the upstream's own"
_LEFT_OUT: Final = {
    "content_policy_fallbacks": "no fact tells that a model refused the content",
    **dict.fromkeys(
        ("num_retries", "retry_policy", "allowed_fails", "allowed_fails_policy", "cooldown_time"), _RETRIES
    ),
    **dict.fromkeys(("cache", "cache_params", "redis_host", "redis_port", "redis_password"), "caching is no routing"),
}
_DEFAULT_TAG: Final = "default"
_ANY: Final = "*"


def import_litellm(
    text: str,
    *,
    names: Mapping[str, str] | None = None,
    edge_providers: Collection[str] = EDGE_PROVIDERS,
    sticky_by: str = STICKY_BY,
) -> Imported:
    """A RoutingPolicy from a proxy config. Raises PolicyError where the text has no `model_list`.

    names: other meanings of `model`, `tags` and `context_tokens`, as expressions of ours. edge_providers: whose
        deployments are the device. sticky_by: the string fact by which a group's deployments are dealt.
    """
    foreign = Foreign(text, "LiteLLM config")
    return _Importer(foreign, names_of({**NAMES, **(names or {})}, {}), frozenset(edge_providers), sticky_by).imported()


@dataclass(frozen=True, slots=True)
class _Setting:
    """One setting and where it stands."""

    path: str
    node: Located


@dataclass(frozen=True, slots=True)
class _Next:
    """A group that a list of fallbacks names, and where."""

    group: str
    path: str
    node: Located


class _Importer:
    def __init__(self, foreign: Foreign, names: Names, edge_providers: Collection[str], sticky_by: str) -> None:
        self._foreign = foreign
        self._names = names
        self._edge = edge_providers
        self._by = sticky_by
        self._settings: dict[str, _Setting] = {}
        self._groups: dict[str, list[Deployment]] = {}
        self._aliases: dict[str, list[str]] = {}
        self._after: dict[str, list[_Next]] = {}
        self._after_all: list[_Next] = []
        self._larger: dict[str, list[_Next]] = {}
        self._times: dict[str, float | None] = {}
        self._draft = Draft(foreign, "litellm-router", labels={"imported-from": "litellm"})

    def imported(self) -> Imported:
        root = self._foreign.root
        if not isinstance(root, Entries) or not isinstance(root.get("model_list"), Items):
            raise self._foreign.refused("this is no LiteLLM config", "a map with the list model_list")
        top = self._foreign.known(root, "", _SECTIONS)
        self._read_settings(top)
        for each in read_deployments(self._foreign, top.get("model_list"), self._edge):
            self._groups.setdefault(each.group, []).append(each)
        self._read_lists()
        self._tell_settings()
        self._draft.default = {"mode": "refuse", "reason": "there is no model of this name"}
        for group in sorted(self._groups, key=_how_wide):
            self._group(group)
        return self._draft.imported()

    # ── settings ────────────────────────────────────────────────────────────────────────────────────────────────

    def _read_settings(self, top: Mapping[str, Located]) -> None:
        """Those of the router win over those of the library."""
        for section in ("litellm_settings", "router_settings"):
            found = self._foreign.known(top[section], section, _SETTINGS, _LEFT_OUT) if section in top else {}
            self._settings |= {key: _Setting(under(section, key), node) for key, node in found.items()}

    def _tell_settings(self) -> None:
        strategy = self._settings.get("routing_strategy")
        if strategy is not None and self._foreign.text(strategy.node) != "simple-shuffle":
            self._foreign.skip(strategy.path, strategy.node, _DYNAMIC)
        match_any = self._settings.get("tag_filtering_match_any")
        if match_any is not None:
            self._foreign.skip(match_any.path, match_any.node, "a request has one tag here, its user tier")

    def _read_lists(self) -> None:
        """What the settings say of groups, and for how long: read once, so that a fault is told once."""
        self._aliases = self._read_aliases()
        self._after = self._read_after("fallbacks")
        self._larger = self._read_after("context_window_fallbacks")
        every_time = self._settings.get("default_fallbacks")
        self._after_all = list(self._named(every_time.node, every_time.path)) if every_time is not None else []
        self._times = {key: self._seconds(key) for key in ("timeout", "request_timeout", "stream_timeout")}

    def _read_aliases(self) -> dict[str, list[str]]:
        """Group to the other names it goes by."""
        setting = self._settings.get("model_group_alias")
        found: dict[str, list[str]] = {}
        for key, node in self._foreign.entries(setting.node, 1000, "aliases") if setting is not None else ():
            inner = node.get("model") if isinstance(node, Entries) else node
            group = self._foreign.text(inner)
            if group in self._groups:
                found.setdefault(group, []).append(key.raw)
            elif group and setting is not None:
                self._foreign.skip(under(setting.path, key.raw), node, "there is no such model group")
        return found

    def _is_on(self, key: str) -> bool:
        setting = self._settings.get(key)
        return setting is not None and isinstance(setting.node, Scalar) and setting.node.value is True

    def _read_after(self, key: str) -> dict[str, list[_Next]]:
        """For each group, and for `*`, the groups that a list such as `fallbacks` names behind it."""
        setting = self._settings.get(key)
        found: dict[str, list[_Next]] = {}
        if setting is None:
            return found
        for at, item in enumerate(self._foreign.items(setting.node, 1000, "fallbacks")):
            for word, inner in self._foreign.entries(item, 100, "fallbacks"):
                path = f"{setting.path}[{at}].{word.raw[:64]}"
                found.setdefault(word.raw, []).extend(self._named(inner, path))
        return found

    def _named(self, node: Located, path: str) -> Iterator[_Next]:
        for at, item in enumerate(self._foreign.items(node, 100, "model groups")):
            here = f"{path}[{at}]"
            group = item.raw if isinstance(item, Scalar) else ""
            if group in self._groups:
                yield _Next(group, here, item)
            else:
                self._foreign.skip(here, item, "there is no such model group")

    def _behind(self, group: str) -> list[_Next]:
        """What is tried when a group fails."""
        found = [*self._after.get(group, ()), *self._after.get(_ANY, ())]
        return found or self._after_all

    # ── rules ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _group(self, group: str) -> None:
        """The rules of a group: for conversations too long for it, for each tag, and for all others."""
        deployments = self._groups[group]
        asked = self._asked_for(group)
        if asked is None:
            return
        self._too_long(group, asked)
        filtered = self._is_on("enable_tag_filtering")
        tagged = [each for each in deployments if each.tags] if filtered else []
        for tags in dict.fromkeys(each.tags for each in tagged if _DEFAULT_TAG not in each.tags):
            when = every([asked, _among(self._names.ours["tags"], tags)])
            self._rules(f"{group}-{'-'.join(tags)}", when, [each for each in tagged if each.tags == tags], group)
        plain = [each for each in tagged if _DEFAULT_TAG in each.tags] or deployments
        self._rules(group, asked, plain, group)
        for each in deployments if not filtered else ():
            if each.tags:
                self._foreign.skip(under(each.path, "litellm_params.tags"), each.node, "tag filtering is off")

    def _asked_for(self, group: str) -> Node | None:
        """The condition that a request names a group; None where its pattern has no counterpart."""
        model = self._names.ours["model"]
        if _ANY not in group:
            return _among(model, (group, *self._aliases.get(group, ())))
        prefix = group.removesuffix(_ANY)
        if _ANY in prefix:
            first = self._groups[group][0]
            self._foreign.skip(f"{first.path}.model_name", first.node, "only a star at the end has a counterpart")
            return None
        return CallOf(NOWHERE, "startsWith", NOWHERE, model, (literal(prefix),)) if prefix else every([])

    def _too_long(self, group: str, asked: Node) -> None:
        """A conversation beyond the group's window goes to the first group behind it."""
        for larger in self._larger.get(group, ()):
            windows = [each.window for each in self._groups[group] if each.window is not None]
            if not windows:
                reason = f"the config does not tell how much {group} holds (model_info.max_input_tokens)"
                self._foreign.skip(larger.path, larger.node, reason)
                continue
            long = compared(self._names.ours["context_tokens"], ">", literal(min(windows)))
            self._rules(f"{group}-too-long", every([asked, long]), self._groups[larger.group], larger.group)

    def _rules(self, word: str, when: Node, deployments: Sequence[Deployment], group: str) -> None:
        """Rules that deal a group's deployments of the first order; the others, and other groups, are tried next."""
        first = min(each.order for each in deployments)
        main = [each for each in deployments if each.order == first]
        others = [Alternative(each.target, each.path, each.node) for each in deployments if each.order != first]
        others += self._alternatives(group)
        terms = self._terms(main[0])
        for target, rollout in shares(self._weighted(main), self._by, word):
            decide = {**decide_of(self._foreign, target, others), **terms, "reason": f"the model group {group[:400]}"}
            self._draft.rule(word, when, decide, main[0].path, main[0].node, rollout=rollout)

    def _alternatives(self, group: str) -> list[Alternative]:
        found = [each for each in self._behind(group) if each.group != group]
        return [Alternative(self._groups[each.group][0].target, each.path, each.node) for each in found]

    def _weighted(self, deployments: Sequence[Deployment]) -> list[Weighted]:
        """As a shuffle draws: by weight, else by requests, else by tokens a minute, else all alike."""
        if len({each.target for each in deployments}) > 1:
            reason = f"drawn at random for each request there; here by {self._by}, always alike for a key"
            self._foreign.skip(deployments[0].path, deployments[0].node, reason)
        for kind in range(3):
            weights = [each.weights[kind] for each in deployments]
            if self._shuffles() and any(weight is not None for weight in weights):
                return [Weighted(each.target, each.weights[kind] or 0.0) for each in deployments]
        return [Weighted(each.target, 1.0) for each in deployments]

    def _shuffles(self) -> bool:
        strategy = self._settings.get("routing_strategy")
        return strategy is None or (isinstance(strategy.node, Scalar) and strategy.node.raw == "simple-shuffle")

    # ── limits ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _terms(self, deployment: Deployment) -> dict[str, Any]:
        """The time limits and the longest answer of a deployment, or of all."""
        total = deployment.timeout_s or self._times["timeout"] or self._times["request_timeout"]
        first = deployment.first_token_s or self._times["stream_timeout"]
        if total is not None and total > MAX_DURATION_S:
            reason = f"longer than time limits are here: at most {MAX_DURATION_S:g} s"
            self._foreign.skip(under(deployment.path, "timeout"), deployment.node, reason)
            total = None
        if first is not None and total is not None:
            first = min(first, total)
        times = {"firstToken": _written(first), "total": _written(total)}
        timeout = {key: text for key, text in times.items() if text}
        budget = {"maxTokens": deployment.max_tokens} if deployment.max_tokens is not None else None
        return {
            key: value for key, value in {"timeout": timeout or None, "budget": budget}.items() if value is not None
        }

    def _seconds(self, key: str) -> float | None:
        setting = self._settings.get(key)
        return None if setting is None else self._foreign.number(setting.node, 0.0, 1e9)


def _among(node: Node, words: Sequence[str]) -> Node:
    """One of these words."""
    return compared(node, "==", literal(words[0])) if len(words) == 1 else compared(node, "in", literal(list(words)))


def _how_wide(group: str) -> tuple[bool, int]:
    """Names come before patterns, and long patterns before short ones."""
    return _ANY in group, -len(group) if _ANY in group else 0


def _written(seconds: float | None) -> str:
    return f"{seconds:.3f}".rstrip("0").rstrip(".") + "s" if seconds else ""

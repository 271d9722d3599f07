"""What a rule, default or onError decides, read from located nodes: mode, fallbacks, time limits and terms."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any, Final

from policies.decision import Timeouts
from policies.document import Outcome
from policies.language.library.versions import judge_range
from policies.modes import MODES, Mode, implied_fallback
from policies.shape import Shape, kind_of
from policies.source import Located, Mapping, Scalar
from policies.terms import NOT_CARRIED_OUT, REDACTIONS, Redaction, StepTerms, Terms

FALLBACKS: Final = (Mode.EDGE, Mode.CLOUD, Mode.REFUSE)
TERM_KEYS: Final = ("timeout", "models", "redact", "escalate", "pacing", "priority", "budget")
MAX_TOKENS: Final = 1_000_000
MAX_TOKENS_PER_S: Final = 1_000.0
MAX_COST: Final = 10**15
"""As far as budgets count: beyond it, not every whole number is a double."""
MAX_PRIORITY: Final = 10
SAFE: Final = Outcome(Mode.REFUSE, (), Timeouts(), "")

_KEYS: Final = ("mode", "fallback", "reason", *TERM_KEYS)
_MODEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,79}")


class OutcomeReader(Shape):
    """Reads outcomes. supported_modes: what the runner can do; other modes are a problem."""

    def __init__(self, supported_modes: Collection[Mode]) -> None:
        super().__init__()
        self.supported = tuple(mode for mode in MODES if mode in supported_modes)

    def outcome(self, node: Located | None, rule_id: str) -> Outcome:
        """What `decide`, `default` or `onError` holds; refusing where it is absent or faulty."""
        if node is None:
            return SAFE
        fields = self.fields(node, _KEYS, ("mode",))
        mode = self.mode(fields.get("mode"), self.supported)
        steps = self._fallback(fields["fallback"], mode) if "fallback" in fields else implied_fallback(mode)
        spoken = self.said(fields)
        terms = Terms(**spoken, fallback=self._step_terms(fields.get("fallback")))
        timeouts = self._timeouts(fields.get("timeout"))
        self._advise(fields, mode, steps)
        return Outcome(mode, steps, timeouts, self.text(fields.get("reason")) or f"rule {rule_id}", terms)

    def mode(self, node: Located | None, allowed: Collection[Mode]) -> Mode:
        """One of the allowed modes; `refuse` where it is absent or faulty."""
        word = node.raw if isinstance(node, Scalar) else ""
        if node is not None and word in MODES and word not in allowed:
            working = ", ".join(allowed)
            self.tell("unsupported-mode", f"the mode {word} does not work here", node, expected=f"one of {working}")
            return Mode.REFUSE
        return Mode(self.word(node, [str(mode) for mode in allowed], "mode") or Mode.REFUSE)

    # ── fallbacks ───────────────────────────────────────────────────────────────────────────────────────────────

    def _fallback(self, node: Located, mode: Mode) -> tuple[Mode, ...]:
        out: list[Mode] = []
        for item in self._steps(node):
            step = self._step(item)
            if step in (mode, *out):
                self.tell("double-name", f"{step} is tried already", item, suggestion="remove it")
            out.append(step)
        return tuple(out)

    def _steps(self, node: Located) -> Collection[Located]:
        """One step, or a list of them."""
        return (node,) if isinstance(node, Scalar | Mapping) else self.items(node, len(FALLBACKS), "modes")

    def _step(self, item: Located) -> Mode:
        if not isinstance(item, Mapping):
            return self.mode(item, FALLBACKS)
        return self.mode(self.fields(item, ("mode", "maxTokens", "reason"), ("mode",)).get("mode"), FALLBACKS)

    def _step_terms(self, node: Located | None) -> tuple[StepTerms, ...]:
        """The terms of the steps that are maps and say more than a mode; faults of modes were told before."""
        items = (node,) if isinstance(node, Mapping) else getattr(node, "items", ())
        found = (self._terms_of_step(item) for item in items if isinstance(item, Mapping))
        return tuple(step for step in found if step is not None)

    def _terms_of_step(self, item: Mapping) -> StepTerms | None:
        mode = item.get("mode")
        max_tokens = self.whole(_given(item, "maxTokens"), 1, MAX_TOKENS)
        reason = self.text(_given(item, "reason"))
        if not isinstance(mode, Scalar) or mode.raw not in FALLBACKS or (max_tokens is None and not reason):
            return None
        return StepTerms(Mode(mode.raw), max_tokens, reason)

    # ── time limits and terms ───────────────────────────────────────────────────────────────────────────────────

    def _timeouts(self, node: Located | None) -> Timeouts:
        return Timeouts(**self.times(node))

    def times(self, node: Located | None) -> dict[str, float]:
        """The time limits that are given, in seconds, by their names in Timeouts."""
        if node is None:
            return {}
        fields = self.fields(node, ("soft", "firstToken", "total"))
        found = {key: seconds for key, item in fields.items() if (seconds := self.duration(item)) is not None}
        for key, seconds in found.items():
            if seconds > found.get("total", seconds):
                self.tell("out-of-bounds", f"{key} is longer than total", node, expected=f"{key} at most total")
        return {_TIMES[key]: seconds for key, seconds in found.items()}

    def said(self, fields: dict[str, Located]) -> dict[str, Any]:
        """The terms that are given, by their names in Terms; those of fallbacks are not among them."""
        models = self._inner(fields, "models", ("edge", "cloud"))
        budget = self._inner(fields, "budget", ("maxTokens", "maxCost"))
        pace = self._inner(fields, "pacing", ("tokensPerSecond",)).get("tokensPerSecond")
        redact = self.word(fields.get("redact"), REDACTIONS, "redaction")
        said = {
            "edge_model": self._model(models.get("edge")),
            "cloud_model": self._model(models.get("cloud")),
            "redact": Redaction(redact) if redact else None,
            "escalate_below": self.number(self._inner(fields, "escalate", ("below",)).get("below"), 0.0, 1.0),
            "tokens_per_s": self.number(pace, 0.1, MAX_TOKENS_PER_S),
            "priority": self.whole(fields.get("priority"), -MAX_PRIORITY, MAX_PRIORITY),
            "max_tokens": self.whole(budget.get("maxTokens"), 1, MAX_TOKENS),
            "max_cost": self.whole(budget.get("maxCost"), 0, MAX_COST),
        }
        return {name: value for name, value in said.items() if value is not None and value != ""}

    def _inner(self, fields: dict[str, Located], key: str, known: Collection[str]) -> dict[str, Located]:
        return self.fields(fields[key], known) if key in fields else {}

    def _model(self, node: Located | None) -> str:
        """A name, or a range of versions: what begins with a sign can only be a range."""
        text = self.text(node, at_most=256)
        if node is not None and text and judge_range(text) and not _MODEL.fullmatch(text):
            expected = "a name such as edgewise-small, or a range such as >=2.1 <3"
            self.tell("wrong-value", f"{kind_of(node)} is no model", node, expected=expected)
            return ""
        return text

    # ── warnings ────────────────────────────────────────────────────────────────────────────────────────────────

    def _advise(self, fields: dict[str, Located], mode: Mode, steps: Collection[Mode]) -> None:
        """Warn of what nothing carries out yet, and of what says nothing in this mode."""
        for path in NOT_CARRIED_OUT:
            for node in _at(fields, path):
                self.advise("not-carried-out", f"{path} is kept and shown, but nothing carries it out yet", node)
        if "escalate" in fields and mode is not Mode.CASCADE:
            message = f"escalate says something in the mode cascade only, and not in {mode}"
            self.advise("no-effect", message, fields["escalate"])
        soft = _at(fields, "timeout.soft")
        if soft and (mode is Mode.RACE or not {Mode.EDGE, Mode.CLOUD} & set(steps)):
            message = f"timeout.soft lets the next step start, and {mode} has no other tier to go on with"
            self.advise("no-effect", message, soft[0])


def _at(fields: dict[str, Located], path: str) -> list[Located]:
    """The values under a path of one or two keys; of a list, those of each item."""
    key, _, inner = path.partition(".")
    node = fields.get(key)
    if node is None or not inner:
        return [] if node is None else [node]
    maps = [node, *getattr(node, "items", ())]
    found = [_given(item, inner) for item in maps if isinstance(item, Mapping)]
    return [item for item in found if item is not None]


def _given(node: Mapping, key: str) -> Located | None:
    """The value of a key; None where it has none."""
    value = node.get(key)
    return None if isinstance(value, Scalar) and value.value is None else value


_TIMES: Final = {"soft": "soft_s", "firstToken": "first_token_s", "total": "total_s"}

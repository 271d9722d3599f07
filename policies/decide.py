"""Policy: a document loaded, checked and compiled; facts in, a Decision out. It never waits and keeps no state."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from policies.advice import warnings_of
from policies.build import Trees, build_trees
from policies.cases import case_problems, run_case
from policies.decision import (
    DEFAULT_RULE_ID,
    ON_ERROR_RULE_ID,
    Decision,
    TestOutcome,
)
from policies.document import Document, Outcome
from policies.explain import Explanation
from policies.facts import FactValue
from policies.flips import find_flips
from policies.invariants import Guard
from policies.language.compile import Choose, compile_choice
from policies.language.values import EvaluationError
from policies.modes import SUPPORTED_MODES, Mode
from policies.problems import PolicyError
from policies.read import read_document
from policies.source import SourceError, read_source
from policies.trace import Trace, Tracer, snapshot


@dataclass(frozen=True, slots=True)
class _Ready:
    """An outcome with all that the hot path needs: its decision, made once, and its quick invariant check."""

    outcome: Outcome
    decision: Decision
    check: Choose | None
    clear: int


class Policy:
    """One loaded policy. Immutable, and safe to share between threads. Made by `load` or `load_for_activation`.

    name, labels: the document's metadata.
    digest: SHA-256 of `canonical_json`, in hex; equal for YAML and JSON forms of one document.
    source: the text it was loaded from.
    document, trees: its parts as read, and its checked expressions.
    warnings: what its author should look at, in the order of the text; never a reason to refuse it.
    """

    def __init__(self, document: Document, trees: Trees, source: str, *, digest: str = "") -> None:
        """digest: of the document that the trees were made from, where `document` is not all of it (bundles)."""
        self.document = document
        self.name = document.name
        self.labels = dict(document.labels)
        self.source = source
        self.canonical_json = canonical_json(document.data)
        self.digest = digest or hashlib.sha256(self.canonical_json.encode("ascii")).hexdigest()
        self.warnings = warnings_of(document, trees)
        self.trees = trees
        self._guard = Guard(trees.invariants, trees.variables)
        self._choose = compile_choice(trees.rules, trees.variables)
        ids = [*(rule.id for rule in document.rules), DEFAULT_RULE_ID]
        outcomes = [*(rule.outcome for rule in document.rules), document.default]
        self._outcomes = tuple(map(self._ready, ids, outcomes))
        self._on_error = self._ready(ON_ERROR_RULE_ID, document.on_error)

    @classmethod
    def load(cls, text: str, *, supported_modes: Collection[Mode] = SUPPORTED_MODES) -> Policy:
        """Parse, check and compile a YAML or JSON document. Raises PolicyError with everything that is wrong.

        supported_modes: what the runner can do; a document that names another mode is refused.
        """
        try:
            root = read_source(text)
        except SourceError as error:
            raise PolicyError(error.problems, source=text) from None
        document, problems = read_document(root, supported_modes)
        trees, more = build_trees(document, text)
        if problems or more:
            raise PolicyError([*problems, *more], source=text, name=document.name or "policy")
        return cls(document, trees, text)

    @classmethod
    def load_for_activation(cls, text: str, *, supported_modes: Collection[Mode] = SUPPORTED_MODES) -> Policy:
        """As `load`; the document's own tests must pass too. A failing test is a problem at the test's line."""
        policy = cls.load(text, supported_modes=supported_modes)
        problems = case_problems(policy.run_tests())
        if problems:
            raise PolicyError(problems, source=text, name=policy.name)
        return policy

    def _ready(self, rule_id: str, outcome: Outcome) -> _Ready:
        decision = Decision(
            outcome.mode,
            rule_id,
            outcome.reason,
            outcome.fallback,
            outcome.timeouts,
            terms=outcome.terms,
            policy_name=self.name,
            policy_digest=self.digest,
        )
        check, clear = self._guard.quick(outcome) or (None, 0)
        return _Ready(outcome, decision, check, clear)

    # ── deciding ────────────────────────────────────────────────────────────────────────────────────────────────

    def decide(self, facts: Mapping[str, FactValue]) -> Decision:
        """The decision for these facts: a flat map of dotted names; a missing name, or None, is an absent fact.

        Never raises: where evaluation fails, the document's onError applies and `Decision.errors` says why.
        """
        try:
            ready = self._outcomes[self._choose(facts)]
            if ready.check is None or ready.check(facts) == ready.clear:
                return ready.decision
        except Exception:  # noqa: BLE001, S110 - callers hand in anything; the careful path tells what was wrong
            pass
        return self._decide_carefully(facts)

    def _decide_carefully(self, facts: Mapping[str, Any]) -> Decision:
        """The same decision, for facts that fail or break an invariant."""
        known = facts if isinstance(facts, Mapping) else {}
        ready, errors = self._chosen(facts)
        return self._clamped(replace(ready.decision, errors=errors), ready.outcome, known)

    def _chosen(self, facts: Mapping[str, Any]) -> tuple[_Ready, tuple[str, ...]]:
        try:
            return self._outcomes[self._choose(facts)], ()
        except EvaluationError as error:
            return self._on_error, (str(error),)
        except Exception as error:  # noqa: BLE001 - see decide
            return self._on_error, (f"the facts cannot be read: {type(error).__name__}",)

    def _clamped(self, decision: Decision, outcome: Outcome, facts: Mapping[str, Any]) -> Decision:
        """The decision without the steps that break an invariant; where the mode itself does, edge or else refuse."""
        broken = {step: self._guard.broken(step, facts) for step in outcome.steps}
        names = tuple(dict.fromkeys(name for step in outcome.steps for name in broken[step]))
        if not names:
            return decision
        mode, fallback = outcome.mode, tuple(step for step in outcome.fallback if not broken[step])
        if broken[mode]:
            mode, fallback = self._safe_mode(facts), ()
        told = f"{decision.rule_id} would have broken {', '.join(names)}: {mode} without {_steps(outcome, broken)}"
        reason = decision.reason if mode == outcome.mode else f"{decision.reason}; held back by {names[0]}"
        errors = (*decision.errors, told)
        terms = decision.terms.kept_for(fallback)
        return replace(
            decision, mode=mode, reason=reason, fallback=fallback, errors=errors, clamped_by=names, terms=terms
        )

    def _safe_mode(self, facts: Mapping[str, Any]) -> Mode:
        can_stay = facts.get("device.present") is True and not self._guard.broken(Mode.EDGE, facts)
        return Mode.EDGE if can_stay else Mode.REFUSE

    # ── explaining and testing ──────────────────────────────────────────────────────────────────────────────────

    def decide_traced(self, facts: Mapping[str, FactValue]) -> tuple[Decision, Trace]:
        """What `decide` gives, and what was looked at on the way. Costs less than three times as much; never raises."""
        try:
            place, values = self.tracer.choose(facts)
            ready = self._outcomes[place]
            if ready.check is None or ready.check(facts) == ready.clear:
                return ready.decision, Trace(self.tracer, dict(facts), place, values)
        except Exception:  # noqa: BLE001, S110 - as in decide
            pass
        return self._decide_carefully(facts), self.tracer.trace(facts)

    @cached_property
    def tracer(self) -> Tracer:
        """The conditions compiled once more, to tell every clause; not made before it is asked for."""
        return Tracer(self.document, self.trees)

    def explain(self, facts: Mapping[str, FactValue]) -> Explanation:
        """What became of every rule, and what would have flipped the decision. Milliseconds, not for the hot path."""
        decision, trace = self.decide_traced(facts)
        trees = [*self.trees.rules, *(invariant.violated for invariant in self.trees.invariants)]
        flips = find_flips(snapshot(facts), self.decide, trees, self.trees.variables)
        return Explanation(replace(decision, flips=flips), trace.rules(), flips)

    def iter_tests(self) -> Iterator[TestOutcome]:
        """As `run_tests`, each test run when it is asked for."""
        return (run_case(case, self._unclamped, self.decide, self._guard) for case in self.document.tests)

    def run_tests(self) -> list[TestOutcome]:
        """The document's own tests, in order. A test also fails where a rule, unclamped, breaks an invariant."""
        return list(self.iter_tests())

    def _unclamped(self, facts: Mapping[str, Any]) -> Sequence[tuple[str, Outcome]]:
        """What the rules, and what onError, would do with these facts if there were no invariants."""
        ready, _ = self._chosen(facts)
        return [(ready.decision.rule_id, ready.outcome), (ON_ERROR_RULE_ID, self._on_error.outcome)]


def canonical_json(data: Mapping[str, Any]) -> str:
    """One spelling for equal data: ASCII, sorted keys, no spaces. Itself a document that `Policy.load` takes."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return text.replace("\x7f", "\\u007f")


def _steps(outcome: Outcome, broken: Mapping[Mode, tuple[str, ...]]) -> str:
    return ", ".join(step for step in outcome.steps if broken[step])

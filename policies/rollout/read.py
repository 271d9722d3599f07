"""A PolicyRollout document, YAML or JSON, to a RolloutPlan; what is wrong with it, at its place.

Whether the policy and its version exist is for the caller to say: nothing outside the text is known.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from policies.decide import canonical_json
from policies.facts import FACTS, PHASES, FactType
from policies.heading import read_heading
from policies.language.library.arithmetic import NANOSECONDS
from policies.language.library.notation import read_duration, read_timestamp
from policies.language.suggest import remedy
from policies.language.values import EvaluationError
from policies.problems import PolicyError
from policies.rollout import plan
from policies.rollout.gates import Gate
from policies.rollout.limits import GATES, forms, read_gate
from policies.rollout.plan import KIND, Approvals, OnBreach, RolloutPlan, Stage, StageMode, Window
from policies.shape import Shape, kind_of
from policies.source import Located, Mapping, Scalar, SourceError, plain, read_source

_SPEC: Final = (
    "policy",
    "stages",
    "gates",
    "approvals",
    "startAt",
    "windows",
    "onBreach",
    "by",
    "salt",
    "alpha",
    "atLeast",
)
_VERSION: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,62})@([1-9][0-9]{0,8})")
_CLOCK: Final = re.compile(r"(?:([01][0-9]|2[0-3]):([0-5][0-9])|24:00)")
_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_KEYS: Final = tuple(fact.name for fact in FACTS.values() if fact.type is FactType.STRING and fact.phase == PHASES[0])


def load_rollout(text: str) -> RolloutPlan:
    """Read and check one document. Raises PolicyError with everything that is wrong."""
    try:
        root = read_source(text)
    except SourceError as error:
        raise PolicyError(error.problems, source=text) from None
    reader = _Reader()
    read = reader.rollout(root)
    if reader.problems:
        raise PolicyError(reader.problems, source=text, name=read.name or "rollout")
    return read


class _Reader(Shape):
    def rollout(self, root: Located) -> RolloutPlan:
        heading = read_heading(self, root, KIND)
        spec = self.fields(heading.spec, _SPEC, ("policy", "stages")) if heading.spec is not None else {}
        policy, version = self._version(spec.get("policy"))
        data = plain(root) if isinstance(root, Mapping) else {}
        alpha = self.number(spec.get("alpha"), 1e-6, 0.2)
        at_least = self.whole(spec.get("atLeast"), 0, plan.MAX_AT_LEAST)
        read = RolloutPlan(
            name=heading.name,
            labels=heading.labels,
            policy=policy,
            version=version,
            stages=self._stages(spec.get("stages")),
            gates=tuple(self._gates(spec.get("gates"))),
            approvals=self._approvals(spec.get("approvals")),
            start_at_s=self._moment(spec.get("startAt")),
            on_breach=OnBreach(self.word(spec.get("onBreach"), tuple(OnBreach), "answer to a breach") or "rollback"),
            windows=tuple(self._windows(spec.get("windows"))),
            by=self.word(spec.get("by"), _KEYS, "string fact") or plan.DEFAULT_KEY,
            salt=self.text(spec.get("salt"), at_most=200) or heading.name,
            alpha=plan.DEFAULT_ALPHA if alpha is None else alpha,
            at_least=1 if at_least is None else at_least,
            data=data,
            digest="" if self.problems else hashlib.sha256(canonical_json(data).encode("ascii")).hexdigest(),
        )
        return self._advised(read, spec.get("gates", root))

    def _advised(self, read: RolloutPlan, at: Located) -> RolloutPlan:
        """The plan with warnings about gates that are missing, or that no stage can measure."""
        if not read.gates:
            self.advise("no-gates", "nothing watches this rollout: no measure can stop it", at)
        due = {gate.name for stage in read.stages for gate in read.due(stage)}
        for gate in read.gates:
            if gate.name not in due:
                self.advise("not-measured", f"no stage has to measure {gate.name}", at)
        return replace(read, warnings=tuple(self.warnings))

    def _version(self, node: Located | None) -> tuple[str, int]:
        text = self.text(node)
        found = _VERSION.fullmatch(text)
        if node is not None and text and found is None:
            self.tell("policy", f"{text[:64]!r} names no version of a policy", node, expected="such as my-policy@42")
        return (found[1], int(found[2])) if found is not None else ("", 0)

    # ── stages ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _stages(self, node: Located | None) -> tuple[Stage, ...]:
        items = self.items(node, plan.MAX_STAGES, "stages")
        out: list[Stage] = []
        for item in items:
            stage = self._stage(item, last=item is items[-1])
            if stage is not None:
                self._order(out, stage, item)
                out.append(stage)
        if node is not None and len(out) == len(items):
            self._end(out, items[-1] if items else node)
        return tuple(out)

    def _stage(self, item: Located, *, last: bool) -> Stage | None:
        fields = self.fields(item, ("mode", "percent", "for"), ("mode",) if last else ("mode", "for"))
        mode = self.word(fields.get("mode"), tuple(StageMode), "mode of a stage")
        percent = self.percent(fields.get("percent"))
        if mode == StageMode.ENFORCE and "percent" not in fields:
            self.tell("missing-key", "percent is missing", item, suggestion="add percent:")
        for_s = self._span(fields.get("for"))
        if not mode or (percent is None and ("percent" in fields or mode == StageMode.ENFORCE)):
            return None
        return Stage(StageMode(mode), 100.0 if percent is None else percent, for_s)

    def _order(self, before: list[Stage], stage: Stage, item: Located) -> None:
        """Shadow comes first, and the shares grow: nobody who has the candidate loses it while it goes on."""
        enforced = [each.percent for each in before if each.mode is StageMode.ENFORCE]
        if stage.mode is StageMode.SHADOW and enforced:
            self.tell("stage-order", "shadow comes after enforce", item, expected="shadow stages first")
        least = max(enforced, default=0.0)
        if stage.percent <= (least if stage.mode is StageMode.ENFORCE else 0.0):
            self.tell("stage-order", f"{stage.percent:.10g} percent is no growth", item, expected=f"over {least:.10g}")

    def _end(self, stages: list[Stage], at: Located) -> None:
        if not stages or stages[-1].mode is not StageMode.ENFORCE or stages[-1].percent < 100.0:
            expected = "a last stage {mode: enforce, percent: 100}"
            self.tell("stage-order", "the stages do not reach everybody", at, expected=expected)

    def _span(self, node: Located | None) -> float | None:
        if node is None:
            return None
        seconds = _seconds(node)
        if not 0.0 < seconds <= plan.MAX_STAGE_S:
            self.tell(
                "duration", f"{kind_of(node)} is no duration", node, expected="such as 30m, 2h or 168h, up to 2160h"
            )
            return None
        return seconds

    # ── gates, approvals, times ─────────────────────────────────────────────────────────────────────────────────

    def _gates(self, node: Located | None) -> Iterator[Gate]:
        for key, value in self.entries(node, len(GATES), "gates"):
            if key.raw not in GATES:
                near = remedy(key.raw, GATES)
                expected = ", ".join(GATES)
                self.tell("unknown-key", f"{key.raw[:64]!r} is no gate", key, expected=expected, suggestion=near)
                continue
            gate = read_gate(key.raw, value.raw) if isinstance(value, Scalar) else None
            if gate is None:
                self.tell("limit", f"{kind_of(value)} is no limit of {key.raw}", value, expected=forms(key.raw))
            else:
                yield gate

    def _approvals(self, node: Located | None) -> Approvals:
        fields = self.fields(node, ("count", "selfApprove"), ("count",)) if node is not None else {}
        count = self.whole(fields.get("count"), 0, plan.MAX_APPROVALS)
        return Approvals(count or 0, self.flag(fields.get("selfApprove")))

    def _moment(self, node: Located | None) -> float | None:
        text = self.text(node)
        if node is None or not text:
            return None
        try:
            return int(read_timestamp(text)) / NANOSECONDS
        except EvaluationError as error:
            self.tell("timestamp", str(error), node, expected="such as 2026-12-01T08:00:00Z")
            return None

    def _windows(self, node: Located | None) -> Iterator[Window]:
        for item in self.items(node, plan.MAX_WINDOWS, "windows"):
            fields = self.fields(item, ("days", "from", "to"), ("from", "to"))
            words = [self.word(day, _DAYS, "day") for day in self.items(fields.get("days"), len(_DAYS), "days")]
            from_s, until_s = self._clock(fields.get("from")), self._clock(fields.get("to"))
            if from_s is None or until_s is None or "" in words:
                continue
            if from_s >= until_s:
                expected = "from before to; write two windows across midnight"
                self.tell("out-of-bounds", "this window is empty", item, expected=expected)
            yield Window(tuple(_DAYS.index(word) for word in words or _DAYS), from_s, until_s)

    def _clock(self, node: Located | None) -> int | None:
        text = self.text(node)
        found = _CLOCK.fullmatch(text)
        if node is not None and text and found is None:
            self.tell("time-of-day", f"{text[:20]!r} is no time of day", node, expected='in UTC, such as "08:00"')
        if found is None:
            return None
        return 86_400 if found[1] is None else int(found[1]) * 3600 + int(found[2]) * 60


def _seconds(node: Located) -> float:
    """The seconds that a text such as 2h names; 0 for others."""
    if not isinstance(node, Scalar) or not isinstance(node.value, str):
        return 0.0
    try:
        return int(read_duration(node.value)) / NANOSECONDS
    except EvaluationError:
        return 0.0

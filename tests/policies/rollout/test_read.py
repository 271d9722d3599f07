"""The PolicyRollout document: what it may hold, and where a fault is told."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from policies import PolicyError, Problem
from policies.rollout import Approvals, OnBreach, Stage, StageMode, Window, load_rollout
from policies.rollout.limits import GATES
from tests.policies.rollout.rollouts import HEAD, START_S, document, planned

EXAMPLE = """\
apiVersion: edgewise/v1
kind: PolicyRollout
metadata: {name: field-tablets-r42, labels: {team: support}}
spec:
  policy: field-tablets@42
  stages: [{mode: shadow, for: 2h}, {mode: enforce, percent: 5, for: 1h30m}, {mode: enforce, percent: 100}]
  gates: {decisionChange: "<= 8%", p95FirstToken: "<= +5%", errors: <= 0.1%, replayUnknown: == 0}
  approvals: {count: 2, selfApprove: false}
  startAt: 2026-12-01T08:00:00Z
  windows: [{days: [mon, fri], from: "08:00", to: "24:00"}, {from: "00:00", to: "06:30"}]
  onBreach: hold
  by: request.tenant
  salt: again
  alpha: 0.05
  atLeast: 200
"""
GOOD = "  policy: a@1\n  stages: [{mode: enforce, percent: 100}]\n"


def problems(text: str) -> tuple[Problem, ...]:
    with pytest.raises(PolicyError) as caught:
        load_rollout(text)
    return caught.value.problems


def test_a_document_with_everything() -> None:
    plan = load_rollout(EXAMPLE)
    assert (plan.name, plan.labels, plan.policy, plan.version) == (
        "field-tablets-r42",
        {"team": "support"},
        "field-tablets",
        42,
    )
    shadow, enforce = StageMode.SHADOW, StageMode.ENFORCE
    assert plan.stages == (Stage(shadow, 100.0, 7200.0), Stage(enforce, 5.0, 5400.0), Stage(enforce, 100.0, None))
    assert [(gate.name, gate.text) for gate in plan.gates] == [
        ("decisionChange", "<= 8%"),
        ("p95FirstToken", "<= +5%"),
        ("errors", "<= 0.1%"),
        ("replayUnknown", "== 0"),
    ]
    assert plan.approvals == Approvals(2, self_approve=False) and plan.on_breach is OnBreach.HOLD
    assert plan.start_at_s == START_S
    assert plan.windows == (Window((0, 4), 28_800, 86_400), Window((0, 1, 2, 3, 4, 5, 6), 0, 23_400))
    assert (plan.by, plan.salt, plan.alpha, plan.at_least) == ("request.tenant", "again", 0.05, 200)
    assert plan.warnings == ()


def test_what_is_not_said() -> None:
    plan = planned()
    assert (plan.approvals, plan.start_at_s, plan.windows) == (Approvals(), None, ())
    assert (plan.on_breach, plan.by, plan.salt) == (OnBreach.ROLLBACK, "device.id", "r42")
    assert (plan.alpha, plan.at_least) == (0.01, 1)


@pytest.mark.parametrize(
    ("spec", "code", "place", "told"),
    [
        ("  stages: [{mode: enforce, percent: 100}]\n", "missing-key", (5, 3), "policy"),
        ("  policy: a@1\n", "missing-key", (5, 3), "stages"),
        ("  policy: a\n  stages: [{mode: enforce, percent: 100}]\n", "policy", (5, 11), "my-policy@42"),
        ("  policy: a@0\n  stages: [{mode: enforce, percent: 100}]\n", "policy", (5, 11), ""),
        ("  policy: a@1\n  stages: []\n", "stage-order", (6, 11), "enforce, percent: 100"),
        ("  policy: a@1\n  stages: [{mode: enforce, percent: 50}]\n", "stage-order", (6, 12), "reach everybody"),
        ("  policy: a@1\n  stages: [{mode: shadow}]\n", "stage-order", (6, 12), "reach everybody"),
        ("  policy: a@1\n  stages: [{mode: enforce}]\n", "missing-key", (6, 12), "percent"),
        (
            "  policy: a@1\n  stages:\n  - {mode: shadwo, for: 1h}\n  - {mode: enforce, percent: 100}\n",
            "unknown-word",
            (7, 12),
            "did you mean shadow?",
        ),
        (
            "  policy: a@1\n  stages:\n  - {mode: shadow}\n  - {mode: enforce, percent: 100}\n",
            "missing-key",
            (7, 5),
            "add for:",
        ),
        (
            "  policy: a@1\n  stages:\n  - {mode: enforce, percent: 9, for: 1h}\n  - {mode: shadow, for: 1h}\n"
            "  - {mode: enforce, percent: 100}\n",
            "stage-order",
            (8, 5),
            "shadow stages first",
        ),
        (
            "  policy: a@1\n  stages:\n  - {mode: enforce, percent: 9, for: 1h}\n"
            "  - {mode: enforce, percent: 9, for: 1h}\n  - {mode: enforce, percent: 100}\n",
            "stage-order",
            (8, 5),
            "over 9",
        ),
        (
            "  policy: a@1\n  stages:\n  - {mode: enforce, percent: 0, for: 1h}\n  - {mode: enforce, percent: 100}\n",
            "stage-order",
            (7, 5),
            "over 0",
        ),
        (
            "  policy: a@1\n  stages:\n  - {mode: shadow, for: 2 h}\n  - {mode: enforce, percent: 100}\n",
            "duration",
            (7, 25),
            "2h",
        ),
        (
            "  policy: a@1\n  stages:\n  - {mode: shadow, for: 9999h}\n  - {mode: enforce, percent: 100}\n",
            "duration",
            (7, 25),
            "2160h",
        ),
        (
            "  policy: a@1\n  stages:\n  - {mode: enforce, percent: 1.000001, for: 1h}\n"
            "  - {mode: enforce, percent: 100}\n",
            "wrong-value",
            (7, 30),
            "0.00001",
        ),
        (GOOD + "  gates: {eror: == 0}\n", "unknown-key", (7, 11), "did you mean errors?"),
        (GOOD + '  gates: {errors: "< 1%"}\n', "limit", (7, 19), "+0.5pp"),
        (GOOD + "  gates: {errors: 0.1}\n", "limit", (7, 19), ""),
        (GOOD + "  gates: {errors: [1]}\n", "limit", (7, 19), ""),
        (GOOD + '  gates: {p95FirstToken: "<= 5%"}\n', "limit", (7, 26), "+5%"),
        (GOOD + "  approvals: {selfApprove: true}\n", "missing-key", (7, 14), "count"),
        (GOOD + "  approvals: {count: 1, selfApprove: yes}\n", "wrong-type", (7, 38), "true or false"),
        (GOOD + "  approvals: {count: 99}\n", "out-of-bounds", (7, 22), ""),
        (GOOD + "  startAt: tomorrow\n", "timestamp", (7, 12), "2026-12-01T08:00:00Z"),
        (GOOD + "  startAt: 2026-02-30T08:00:00Z\n", "timestamp", (7, 12), "no such day"),
        (GOOD + "  onBreach: rolback\n", "unknown-word", (7, 13), "did you mean rollback?"),
        (GOOD + "  windows: [{from: '18:00', to: '08:00'}]\n", "out-of-bounds", (7, 13), "midnight"),
        (GOOD + "  windows: [{from: '8', to: '9:00'}]\n", "time-of-day", (7, 20), "08:00"),
        (GOOD + "  windows: [{days: [mom], from: '08:00', to: '09:00'}]\n", "unknown-word", (7, 21), "mon"),
        (GOOD + "  by: device.battery_pct\n", "unknown-word", (7, 7), "device.id"),
        (GOOD + "  alpha: 0.5\n", "out-of-bounds", (7, 10), ""),
        (GOOD + "  atLeast: -1\n", "out-of-bounds", (7, 12), ""),
        (GOOD + "  sart: 1\n", "unknown-key", (7, 3), "startAt"),
    ],
)
def test_a_fault_is_told_at_its_place(spec: str, code: str, place: tuple[int, int], told: str) -> None:
    found = problems(HEAD + spec)[0]
    assert (found.code, found.line, found.column) == (code, *place)
    assert told in f"{found.message} {found.expected} {found.suggestion}"


def test_another_kind_of_document() -> None:
    found = problems(EXAMPLE.replace("PolicyRollout", "RoutingPolicy"))
    assert [(one.code, one.line, one.column) for one in found] == [("unknown-word", 2, 7)]


def test_no_document_at_all() -> None:
    assert [one.code for one in problems("a: [")] == ["yaml-syntax"]


@pytest.mark.parametrize(
    ("spec", "codes"),
    [
        ({}, ["no-gates"]),
        ({"gates": {"errors": "<= 1%"}}, []),
        ({"gates": {"errors": "<= 1%"}, "stages": [{"mode": "enforce", "percent": 100, "for": "1h"}]}, []),
        (
            {"gates": {"errors": "<= +1pp"}, "stages": [{"mode": "enforce", "percent": 100, "for": "1h"}]},
            ["not-measured"],
        ),
        ({"gates": {"decisionChange": "<= 1%"}, "stages": [{"mode": "enforce", "percent": 100}]}, ["not-measured"]),
    ],
)
def test_warnings_refuse_nothing(spec: dict[str, Any], codes: list[str]) -> None:
    warnings = planned(**spec).warnings
    assert [warning.code for warning in warnings] == codes
    assert all(warning.severity == "warning" for warning in warnings)


def test_yaml_and_json_are_one_plan() -> None:
    as_json = json.dumps(yaml.load(EXAMPLE, Loader=yaml.BaseLoader))
    for number in ("5", "100", "2", "0.05", "200"):
        as_json = as_json.replace(f'"{number}"', number)
    as_json = as_json.replace('"false"', "false")
    assert load_rollout(as_json) == load_rollout(EXAMPLE)
    assert len(load_rollout(EXAMPLE).digest) == 64
    assert load_rollout(EXAMPLE.replace("@42", "@43")).digest != load_rollout(EXAMPLE).digest


_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(
        ["shadow", "enforce", "1h", "-1h", "<= 8%", "== 0", "a@1", "08:00", "mon", "9" * 30, "9" * 30 + "h"]
    ),
    st.text(max_size=5),
)
_KEYS = st.sampled_from(["mode", "percent", "for", "count", "selfApprove", "from", "to", "days", *GATES])
_VALUES = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3), max_leaves=8
)
_SPEC = st.sampled_from(
    ["policy", "stages", "gates", "approvals", "startAt", "windows", "onBreach", "by", "salt", "alpha"]
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(_SPEC, _VALUES, max_size=4))
def test_any_spec_is_a_plan_or_told(spec: dict[str, Any]) -> None:
    try:
        load_rollout(document(**spec))
    except PolicyError as error:
        assert all(problem.line >= 1 and problem.message for problem in error.problems)

"""The gates: which apply, which fail and by how much, in each language by itself."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise.wire.findings import AcceptedFound, AgreementFound, CellFound, ParentFound
from edgewise.wire.gates import Gate, GateFailedError, GateLimits, gates_of, require_gates
from tests.factories.findings import LANGUAGES, cells, findings

EVERY = (
    "perplexity change",
    "share of the parent's accuracy",
    "agreement with the parent",
    "draft acceptance by cloud",
)


def failing(**changes: Any) -> list[str]:
    """Names and languages of the gates that such findings fail."""
    return [f"{gate.name}, {gate.language}" for gate in gates_of(findings(**changes)) if not gate.holds]


def chinese(right: int, nll: float) -> tuple[CellFound, ...]:
    """Cells that differ from the passing ones in Chinese only."""
    return tuple(
        other if other.language == "zh" else one for one, other in zip(cells(), cells(right, nll), strict=True)
    )


def test_a_good_version_passes_every_gate_in_every_language() -> None:
    gates = require_gates(findings())
    assert {(gate.name, gate.language) for gate in gates} == {(name, tag) for name in EVERY for tag in LANGUAGES}


def test_prompts_without_answers_have_no_gate_of_accuracy() -> None:
    unanswered = tuple(msgspec.structs.replace(cell, right=0, total=0) for cell in cells())
    parent = findings().parent
    assert parent is not None
    judged = findings(cells=unanswered, parent=msgspec.structs.replace(parent, cells=unanswered))
    assert {gate.name for gate in require_gates(judged)} == set(EVERY) - {EVERY[1]}


def test_a_parent_that_is_never_right_is_told() -> None:
    judged = findings(cells=cells(0), parent=ParentFound(name="p", weights_digest="d" * 64, cells=cells(0)))
    told = [str(gate) for gate in require_gates(judged) if gate.name == EVERY[1]]
    assert len(told) == len(LANGUAGES)
    assert all(one.endswith("found 1.0000 (the parent is never right, so this gate asks for nothing)") for one in told)


def test_a_language_of_the_parent_cannot_be_left_out() -> None:
    english = tuple(cell for cell in cells() if cell.language == "en")
    assert failing(cells=english, accepted=()) == [f"{EVERY[0]}, zh", f"{EVERY[1]}, zh"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"cells": chinese(90, 10.0)}, ["share of the parent's accuracy, zh"]),
        ({"cells": chinese(96, 110.0)}, ["perplexity change, zh"]),
        (
            {"agreement": (AgreementFound("en", 99, 100), AgreementFound("zh", 94, 100))},
            ["agreement with the parent, zh"],
        ),
        ({"agreement": (AgreementFound("en", 99, 100),)}, ["agreement with the parent, zh"]),
        (
            {"accepted": (AcceptedFound("cloud", 1, "en", 79, 100, 9), AcceptedFound("cloud", 1, "zh", 80, 100, 9))},
            ["draft acceptance by cloud, en"],
        ),
        ({"accepted": ()}, []),
        ({"accepted": (), "tier": "draft"}, ["draft acceptance, all"]),
        ({"parent": None, "agreement": ()}, []),
        ({"cells": ()}, [f"{name}, no language" for name in EVERY[:3]]),
    ],
)
def test_what_fails(changes: dict[str, Any], expected: list[str]) -> None:
    assert failing(**changes) == expected


def test_the_registered_parent_counts_before_the_one_that_the_findings_carry() -> None:
    parent = findings(name="older", cells=cells(100, 9.0), parent=None)
    names = {gate.name for gate in gates_of(findings(cells=cells(94)), parent) if not gate.holds}
    assert names == {"share of the parent's accuracy"}
    assert not [gate for gate in gates_of(findings(cells=cells(94))) if not gate.holds]


def test_a_parent_of_another_examination_cannot_be_compared() -> None:
    parent = findings(examination="f" * 64)
    gates = [gate for gate in gates_of(findings(), parent) if not gate.holds]
    assert {gate.name for gate in gates} == set(EVERY[:2])
    assert "another examination" in str(gates[0])


def test_a_failing_gate_says_which_and_by_how_much() -> None:
    with pytest.raises(GateFailedError) as caught:
        require_gates(findings(cells=chinese(90, 10.0)))
    assert "share of the parent's accuracy (zh): wanted >= 0.95, found 0.9184, short by 0.0316" in caught.value.message
    assert [gate.language for gate in caught.value.gates] == ["zh"]
    assert caught.value.remedy


def test_many_failures_are_counted() -> None:
    with pytest.raises(GateFailedError, match="and 2 more"):
        raise GateFailedError("m", [Gate(f"g{n}", "en", 0.0, 1.0) for n in range(8)])


def test_limits_are_one_place() -> None:
    strict = GateLimits(perplexity_change=0.0, accuracy_of_parent=1.0, agreement=1.0, acceptance=1.0)
    assert len([gate for gate in gates_of(findings(), None, strict) if not gate.holds]) == 8


def test_the_limit_itself_is_enough_except_for_perplexity() -> None:
    assert Gate("g", "en", 0.8, 0.8).holds
    assert not Gate("g", "en", 0.1, 0.1, at_most=True).holds
    assert Gate("g", "en", 0.5, 0.8).short_by == pytest.approx(0.3)
    assert not Gate("g", "en", float("nan"), 0.8).holds


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.integers(0, 100), st.integers(0, 100))
def test_a_better_child_never_fails_where_a_worse_one_passes(right: int, other: int) -> None:
    worse, better = sorted((right, other))
    base = ParentFound(name="p", weights_digest="d" * 64, cells=cells(70))

    def passed(count: int) -> bool:
        found = msgspec.structs.replace(findings(), cells=cells(count), parent=base)
        return all(gate.holds for gate in gates_of(found) if gate.name == EVERY[1])

    assert passed(better) or not passed(worse)

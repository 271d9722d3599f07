"""Where new answers go: the clamp of decisions, and refusals that say why, what to do and when to come back."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.ladder import Accept, Limits, Place
from edge_agent.serving.placing import CLAMP, RETRY_AFTER_S, clamped, place, refused
from edgewise.api.intake import _kinds, _terms
from edgewise.wire.errors import ManifestError
from policies import Decision
from policies.modes import Mode
from policies.terms import StepTerms, Terms

LOW = Limits(accept=Accept.ONLY_HERE, reason="the battery is low")
SAVING = Limits(cloud_from_tokens=256)
NOTHING = Limits(accept=Accept.NONE, reason="the device is too hot and cools down", cooling_until_s=130.0)
LIMITS = (Limits(), LOW, SAVING, NOTHING, Limits(window_tokens=100))
BOTH = Decision(Mode.PREFER_EDGE, "r", "because", fallback=(Mode.CLOUD,))


def facts(**changes: Any) -> dict[str, Any]:
    known = {"max_tokens": 512, "prompt_tokens": 10, "sensitivity": "public"} | changes
    return {"cloud.available": known.pop("cloud", True)} | {f"request.{name}": value for name, value in known.items()}


@pytest.mark.parametrize(
    ("decision", "limits", "changes", "mode"),
    [
        (BOTH, Limits(), {}, Mode.PREFER_EDGE),
        (BOTH, LOW, {}, Mode.CLOUD),
        (BOTH, LOW, {"sensitivity": "personal"}, Mode.PREFER_EDGE),
        (BOTH, LOW, {"cloud": False}, Mode.PREFER_EDGE),
        (BOTH, SAVING, {}, Mode.CLOUD),
        (BOTH, SAVING, {"max_tokens": 64}, Mode.PREFER_EDGE),
        (Decision(Mode.PREFER_EDGE, "r", "b", (Mode.CLOUD,), terms=Terms(max_tokens=64)), SAVING, {}, Mode.PREFER_EDGE),
        (BOTH, NOTHING, {}, Mode.CLOUD),
        (BOTH, Limits(window_tokens=100), {}, Mode.CLOUD),
        (BOTH, Limits(window_tokens=100), {"max_tokens": 64}, Mode.PREFER_EDGE),
        (Decision(Mode.RACE, "r", "b"), LOW, {}, Mode.CLOUD),
        (Decision(Mode.EDGE, "r", "b"), LOW, {}, Mode.EDGE),
        (Decision(Mode.EDGE, "r", "b", (Mode.CLOUD,)), LOW, {}, Mode.CLOUD),
        (Decision(Mode.CLOUD, "r", "b", (Mode.EDGE,)), LOW, {}, Mode.CLOUD),
        (Decision(Mode.REFUSE, "r", "b"), LOW, {}, Mode.REFUSE),
    ],
)
def test_the_cloud_comes_first_only_where_plan_and_reach_allow_it(
    decision: Decision, limits: Limits, changes: dict[str, Any], mode: Mode
) -> None:
    found = clamped(decision, facts(**changes), limits, every_row=True)
    assert found.mode is mode
    if found is not decision:
        assert found.clamped_by == (CLAMP,) and "ladder" in found.errors[0]


@pytest.mark.parametrize(("own", "step", "most"), [(None, 64, 64), (32, 64, 32), (None, None, None)])
def test_what_the_policy_asks_of_the_cloud_as_a_fallback_stays(
    own: int | None, step: int | None, most: int | None
) -> None:
    asked = StepTerms(Mode.CLOUD, step, reason="the cloud is dear"), StepTerms(Mode.REFUSE, reason="no more")
    terms = Terms(max_tokens=own, fallback=asked)
    decision = Decision(Mode.EDGE, "r", "b", (Mode.CLOUD, Mode.REFUSE), terms=terms)
    found = clamped(decision, facts(), LOW, every_row=True)
    assert found.mode is Mode.CLOUD and found.fallback == (Mode.EDGE, Mode.REFUSE)
    assert _terms(found).max_tokens == most and _terms(found).fallback == asked[1:]
    assert "the cloud is dear" in found.errors[0]


@given(
    st.sampled_from([Mode.EDGE, Mode.CLOUD, Mode.PREFER_EDGE, Mode.PREFER_CLOUD, Mode.RACE]),
    st.lists(st.sampled_from([Mode.EDGE, Mode.CLOUD, Mode.REFUSE]), unique=True).map(tuple),
    st.sampled_from(LIMITS),
    st.booleans(),
    st.sampled_from(["public", "personal"]),
)
def test_whoever_could_answer_before_still_can(
    mode: Mode, fallback: tuple[Mode, ...], limits: Limits, cloud: bool, sensitivity: str
) -> None:
    decision = Decision(mode, "r", "b", fallback)
    found = clamped(decision, facts(cloud=cloud, sensitivity=sensitivity), limits, every_row=True)
    assert set(_kinds(found)) == set(_kinds(decision))
    assert (Mode.REFUSE in found.fallback) == (Mode.REFUSE in decision.fallback)


def test_an_engine_that_bounds_its_rows_needs_no_cloud_for_long_contexts() -> None:
    short = Limits(window_tokens=100)
    known: dict[str, Any] = {"private": False, "cloud": True, "tokens": 200, "context_tokens": 300}
    assert place(short, every_row=True, **known) is Place.CLOUD
    assert place(short, every_row=False, **known) is Place.HERE
    assert place(short, every_row=True, **{**known, "cloud": False}) is Place.HERE


def test_a_refusal_says_why_what_to_do_and_when() -> None:
    cooling = refused(NOTHING, "edge:phone-1", now_s=100.0)
    assert "too hot and cools down" in cooling.message and cooling.retry_after_s == 30.0 and cooling.remedy
    assert refused(LOW, "edge:phone-1", 0.0).retry_after_s == RETRY_AFTER_S
    broken = refused(Limits(), "edge:phone-1", 0.0, ManifestError("it is torn", remedy="copy it again"))
    assert "it is torn" in broken.message and broken.remedy == "copy it again"
    assert refused(SAVING, "edge:phone-1", 0.0).remedy

"""The modes: who is asked, in which order, what happens to the losers, and what a plan lets speak at all."""

import asyncio

import msgspec
import pytest

from edgewise.generation.grammar import InvalidGrammarError
from edgewise.generation.state import GenerationState
from edgewise.routing.attempt import Attempt
from edgewise.routing.modes import MODES
from edgewise.routing.modes.base import REMEDY
from edgewise.routing.plan import Limits, Plan, can_serve
from edgewise.routing.scripted import Script, ScriptedTier
from edgewise.routing.tier import Capabilities, Tier, TierKind
from edgewise.wire.errors import (
    NoTierError,
    TierError,
    TierLostError,
    TierRefusedError,
    TierRejectedError,
    TierTimeoutError,
)

STATE = GenerationState(
    prompt_ids=(1, 2), messages=(), model="m", max_tokens=10, seed=1, tokenizer_digest="t", template_digest="c"
)
HELD = msgspec.structs.replace(STATE, grammar='{"regex":"a"}')
HOLDING = Capabilities(models=("m",), grammars=True)
BOTH: tuple[TierKind, ...] = ("edge", "cloud")


def plan(
    *tiers: ScriptedTier, mode: str = "prefer-edge", kinds: tuple[TierKind, ...] = BOTH, first_s: float = 9
) -> Plan:
    def source(kind: TierKind) -> list[Tier]:
        return [tier for tier in tiers if tier.kind == kind]

    return Plan(mode=mode, kinds=kinds, tiers=source, limits=Limits(first_token_s=first_s))


async def opened(a_plan: Plan, state: GenerationState = STATE) -> tuple[str, int, list[str]]:
    ids = iter(range(99))
    open_mode, _ = MODES[a_plan.mode]
    opening = await open_mode(a_plan, state, lambda tier: Attempt(tier, state, str(next(ids))))
    await opening.attempt.abandon()
    return opening.attempt.tier.name, opening.waste_tokens, [failure.code for failure in opening.failures]


async def test_the_first_kind_is_preferred() -> None:
    edge, cloud = ScriptedTier("e", "edge", Script()), ScriptedTier("c", "cloud", Script())
    assert (await opened(plan(edge, cloud)))[0] == "e"
    assert (await opened(plan(edge, cloud, kinds=("cloud", "edge"))))[0] == "c"
    assert cloud.states and edge.states


@pytest.mark.parametrize("script", [Script(fails_at=0), Script(fails_at=0, error=TierRefusedError("full"))])
async def test_falls_back_before_the_first_token(script: Script) -> None:
    edge, cloud = ScriptedTier("e", "edge", script), ScriptedTier("c", "cloud", Script())
    name, _, failures = await opened(plan(edge, cloud))
    assert name == "c"
    assert failures == [script.error.code]


async def test_a_silent_tier_is_left_after_its_time_limit() -> None:
    edge, cloud = ScriptedTier("e", "edge", Script(hangs_at=0)), ScriptedTier("c", "cloud", Script())
    name, _, failures = await opened(plan(edge, cloud, first_s=0.001))
    assert (name, failures) == ("c", ["tier_timeout"])
    assert edge.cancelled == ["0"]


async def test_a_kind_outside_the_plan_never_speaks() -> None:
    cloud = ScriptedTier("c", "cloud", Script())
    with pytest.raises(NoTierError):
        await opened(plan(cloud, mode="edge", kinds=("edge",)))
    assert cloud.states == []


async def test_everybody_failing_names_what_each_said() -> None:
    edge = ScriptedTier("e", "edge", Script(fails_at=0, error=TierRefusedError("queue is full")))
    with pytest.raises(NoTierError, match="queue is full"):
        await opened(plan(edge))


@pytest.mark.parametrize("mode", ["prefer-edge", "race"])
async def test_everybody_failing_tells_the_remedy_that_helps_most_and_who_is_free_first(mode: str) -> None:
    lost = TierLostError("gone", remedy="restart it")
    full = TierRefusedError("no memory", remedy="ask for fewer tokens", retry_after_s=5.0)
    fuller = TierRefusedError("queue is full", remedy="try again soon", retry_after_s=9.0)
    tiers = [
        ScriptedTier(f"{kind}-{place}", kind, Script(fails_at=0, error=error))
        for kind in BOTH
        for place, error in enumerate((lost, fuller, full))
    ]
    with pytest.raises(NoTierError, match=r"gone.*no memory") as raised:
        await opened(plan(*tiers, mode=mode))
    assert (raised.value.remedy, raised.value.retry_after_s) == ("ask for fewer tokens", 5.0)


@pytest.mark.parametrize(
    ("error", "remedy", "retry_after_s"),
    [
        (TierLostError("gone", remedy="restart it"), "restart it", 1.0),
        (TierTimeoutError("silent"), REMEDY, 1.0),
        (TierTimeoutError("silent", retry_after_s=3.0), REMEDY, 3.0),
        (TierRefusedError("drained", remedy="ask an operator"), "ask an operator", 1.0),
    ],
)
async def test_whatever_fails_there_is_something_to_do_and_a_time(
    error: TierError, remedy: str, retry_after_s: float
) -> None:
    with pytest.raises(NoTierError) as raised:
        await opened(plan(ScriptedTier("e", "edge", Script(fails_at=0, error=error))))
    assert (raised.value.remedy, raised.value.retry_after_s) == (remedy, retry_after_s)


async def test_race_is_won_by_the_first_token_and_the_loser_is_cancelled() -> None:
    slow = ScriptedTier("e", "edge", Script(gate=asyncio.Event()))
    fast = ScriptedTier("c", "cloud", Script())
    name, waste, _ = await opened(plan(slow, fast, mode="race"))
    assert (name, waste) == ("c", 0)
    assert slow.states and slow.cancelled == ["0"]


async def test_race_counts_what_the_loser_had_said() -> None:
    """Both are ready in the same turn of the loop: the preferred one wins, the other's token is waste."""
    edge, cloud = ScriptedTier("e", "edge", Script()), ScriptedTier("c", "cloud", Script())
    name, waste, _ = await opened(plan(edge, cloud, mode="race"))
    assert (name, waste) == ("e", 1)
    assert cloud.cancelled == ["1"]


async def test_race_survives_a_failing_runner_and_then_tries_the_rest() -> None:
    edge, cloud = ScriptedTier("e", "edge", Script(fails_at=0)), ScriptedTier("c", "cloud", Script())
    assert (await opened(plan(edge, cloud, mode="race")))[0] == "c"
    spare = ScriptedTier("c2", "cloud", Script())
    broken = ScriptedTier("c", "cloud", Script(fails_at=0))
    assert (await opened(plan(edge, broken, spare, mode="race")))[0] == "c2"


@pytest.mark.parametrize("mode", ["prefer-edge", "race", "edge"])
async def test_an_answer_under_a_grammar_is_made_by_a_tier_that_holds_it_to_one(mode: str) -> None:
    edge, other = ScriptedTier("e", "edge", Script()), ScriptedTier("e2", "edge", Script(), HOLDING)
    assert (await opened(plan(edge, other, mode=mode), HELD))[0] == "e2"
    for able in (plan(edge, other, mode=mode), plan(mode=mode)):
        able.check_grammars(HELD)
    with pytest.raises(TierRejectedError, match="holds an answer") as raised:
        plan(edge, mode=mode, kinds=("edge",)).check_grammars(HELD)
    told = raised.value.info()
    assert (told.code, told.retryable, edge.states) == ("unsupported_parameter", False, [])


@pytest.mark.parametrize("mode", ["prefer-edge", "race", "edge"])
async def test_a_tier_that_is_gone_is_no_tier_without_grammars(mode: str) -> None:
    gone = Script(fails_at=0, error=TierLostError("e2 is gone"))
    edge, lost = ScriptedTier("e", "edge", Script()), ScriptedTier("e2", "edge", gone, HOLDING)
    with pytest.raises(NoTierError, match="e2 is gone") as raised:
        await opened(plan(edge, lost, mode=mode), HELD)
    assert "holds an answer" not in str(raised.value) and raised.value.info().retryable
    plan(edge, mode=mode).check_grammars(HELD.advanced((5,), "x"))


@pytest.mark.parametrize("mode", ["prefer-cloud", "prefer-edge", "race", "cloud"])
async def test_a_grammar_that_one_tier_cannot_follow_is_tried_on_no_other(mode: str) -> None:
    fault = TierRejectedError(InvalidGrammarError("too much", where="grammar").info())
    tiers = [ScriptedTier(f"c{n}", "cloud", Script(fails_at=0, error=fault), HOLDING) for n in range(3)]
    lost = ScriptedTier("e", "edge", Script(fails_at=0), HOLDING)
    with pytest.raises(TierRejectedError, match="too much") as raised:
        await opened(plan(lost, *tiers, mode=mode), HELD)
    assert raised.value.info().number == 1112
    assert sum(len(tier.states) for tier in tiers) == 1


@pytest.mark.parametrize(
    ("capabilities", "state", "able"),
    [
        (Capabilities(models=("m",), tokenizer_digest="t", template_digest="c", context_tokens=9), {}, True),
        (Capabilities(models=("m",), tokenizer_digest="x", template_digest="c", context_tokens=9), {}, False),
        (Capabilities(models=("m",), tokenizer_digest="t", template_digest="x", context_tokens=9), {}, False),
        (Capabilities(models=("m",), tokenizer_digest="t", template_digest="c", context_tokens=2), {}, False),
        (Capabilities(models=("m",)), {}, True),
        (Capabilities(models=("m",)), {"local_only": True}, False),
        (Capabilities(models=("m",), continues=False), {"output_text": "x"}, False),
        (Capabilities(models=("m",)), {"grammar": '{"regex":"a"}'}, False),
        (Capabilities(models=("m",), grammars=True), {"grammar": '{"regex":"a"}'}, True),
        (
            Capabilities(models=("m",), tokenizer_digest="t", template_digest="c", context_tokens=9),
            {"output_text": "x"},
            False,
        ),
    ],
)
def test_who_can_take_a_state(capabilities: Capabilities, state: dict[str, object], able: bool) -> None:
    from msgspec.structs import replace

    tier = ScriptedTier("x", "cloud", Script(), capabilities)
    assert can_serve(tier, replace(STATE, **state)) is able

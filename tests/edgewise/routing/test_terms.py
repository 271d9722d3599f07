"""What a policy asks beside the mode, as the runner obeys it: models, terms of fallbacks, a head start."""

import asyncio
import itertools

import pytest

from edgewise.routing.attempt import Attempt
from edgewise.routing.modes import MODES
from edgewise.routing.modes.base import Opening
from edgewise.routing.modes.ordered import open_ordered
from edgewise.routing.plan import Limits, Plan
from edgewise.routing.scripted import Script, ScriptedTier
from edgewise.routing.terms import serves
from edgewise.routing.tier import Capabilities, Tier, TierKind
from edgewise.streams.entries import EndEntry, Entry, ErrorEntry, TierEntry, WarnEntry
from policies import Mode, StepTerms, Terms
from tests.edgewise.routing.bench import STATE, WORDS, Bench, cloud, edge, ids, speakers, text

HEAD_START = Limits(head_start_s=0.001)
PATIENT = Limits(head_start_s=3600.0)


def named(name: str, *models: str, kind: TierKind = "cloud", version: str = "") -> ScriptedTier:
    """A tier with these models."""
    capabilities = Capabilities(
        models=models, model_version=version, tokenizer_digest="t", template_digest="c", context_tokens=10_000
    )
    return ScriptedTier(name, kind, Script(WORDS), capabilities)


def told(entries: list[Entry]) -> list[str]:
    return [entry.message for entry in entries if isinstance(entry, WarnEntry)]


def length(entries: list[Entry]) -> tuple[str, int]:
    end = entries[-1]
    assert isinstance(end, EndEntry)
    return end.finish, end.completion_tokens


# ── models ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("models", "version", "wanted", "able"),
    [
        (("large",), "", "", True),
        (("large",), "", "large", True),
        (("large",), "", "larg", False),
        (("small", "large"), "", "large", True),
        (("large",), "0a1b", "0a1b", True),
        (("small-2.1.0",), "", ">=2.1 <3", True),
        (("small-3.0.0",), "", ">=2.1 <3", False),
        (("org/small@2.1.0-rc.1",), "", ">=2.1", False),
        (("org/small@2.1.0-rc.1",), "", "2.1.0-rc.1", True),
        (("small:v2.4.0",), "", "2.4", True),
        (("llama-3.1-8b",), "", "3.1", False),
        (("small-2.1.0",), "", "large", False),
        (("small",), "2.2.0", ">=2.1 <3", True),
        (("small",), "0a1b" * 16, ">=0", False),
        ((), "", "large", False),
    ],
)
def test_who_has_a_model(models: tuple[str, ...], version: str, wanted: str, able: bool) -> None:
    assert serves(Capabilities(models=models, model_version=version), wanted) is able


def test_who_chooses_among_tiers_of_its_own_is_not_judged() -> None:
    assert serves(Capabilities(models=("edgewise",), chooses=True), "large")


async def test_only_tiers_with_the_model_speak(bench: Bench) -> None:
    small, large = named("cloud:small", "small"), named("cloud:large", "large")
    _, entries = await bench.answer(small, large, terms=Terms(cloud_model="large"))
    assert list(speakers(entries)) == [("cloud:large", "chosen")]
    assert small.states == []


async def test_one_kind_is_bound_and_the_other_is_not(bench: Bench) -> None:
    phone = named("edge:p", "small-1.0.0", kind="edge")
    _, entries = await bench.answer(phone, cloud(), terms=Terms(cloud_model="large"))
    assert list(speakers(entries)) == [("edge:p", "chosen")]


async def test_without_the_model_a_tier_is_as_absent_and_the_reason_is_kept(bench: Bench) -> None:
    phone = named("edge:p", "small-1.0.0", kind="edge")
    outcome, entries = await bench.answer(phone, cloud(), terms=Terms(edge_model=">=2"))
    assert list(speakers(entries)) == [("cloud:w", "fallback")]
    assert [failure.message for failure in outcome.failures] == [
        "No edge tier has the model '>=2', which the policy asks for"
    ]
    assert phone.states == []


@pytest.mark.parametrize("mode", MODES)
async def test_nobody_with_the_model_is_an_error_that_says_so(bench: Bench, mode: str) -> None:
    terms = Terms(edge_model="large", cloud_model="large")
    outcome, entries = await bench.answer(edge(), cloud(), mode=mode, terms=terms)
    assert outcome.finish == "error" and text(entries) == ""
    error = next(entry.error for entry in entries if isinstance(entry, ErrorEntry))
    assert error.code == "no_tier_available" and "'large', which the policy asks for" in error.message


async def test_another_tier_goes_on_only_with_the_model(bench: Bench) -> None:
    first, other, second = (named(f"cloud:{n}", model) for n, model in enumerate(("large", "small", "large")))
    first.script = Script(WORDS, fails_at=4)
    _, entries = await bench.answer(first, other, second, terms=Terms(cloud_model="large"))
    assert list(speakers(entries)) == [("cloud:0", "chosen"), ("cloud:2", "continued")]
    assert ids(entries) == list(range(12))


# ── terms of fallbacks ──────────────────────────────────────────────────────────────────────────────────────────

SHORT = Terms(fallback=(StepTerms(Mode.CLOUD, 3, "the device is busy"),))


async def test_a_fallback_that_begins_is_bounded_and_told(bench: Bench) -> None:
    _, entries = await bench.answer(edge(fails_at=0), cloud(), terms=SHORT)
    assert list(speakers(entries)) == [("cloud:w", "fallback")]
    assert (length(entries), told(entries)) == (("length", 3), ["the device is busy"])


async def test_an_absent_first_choice_is_a_fallback_too(bench: Bench) -> None:
    _, entries = await bench.answer(cloud(), terms=SHORT)
    assert list(speakers(entries)) == [("cloud:w", "fallback")]
    assert (length(entries), told(entries)) == (("length", 3), ["the device is busy"])


async def test_who_goes_on_with_an_answer_is_no_fallback(bench: Bench) -> None:
    _, entries = await bench.answer(edge(fails_at=5), cloud(), terms=SHORT)
    assert list(speakers(entries)) == [("edge:a", "chosen"), ("cloud:w", "continued")]
    assert (length(entries), told(entries)) == (("stop", 12), [])


async def test_the_bound_stays_when_another_tier_goes_on(bench: Bench) -> None:
    lost = cloud("cloud:0", fails_at=2)
    _, entries = await bench.answer(lost, cloud("cloud:1"), terms=SHORT)
    assert list(speakers(entries)) == [("cloud:0", "fallback"), ("cloud:1", "continued")]
    assert (length(entries), ids(entries)) == (("length", 3), [0, 1, 2])


async def test_a_bound_never_lengthens(bench: Bench) -> None:
    worker = cloud()
    _, entries = await bench.answer(worker, terms=Terms(fallback=(StepTerms(Mode.CLOUD, 500),)))
    assert (length(entries), told(entries)) == (("stop", 12), [])
    assert worker.states[0].max_tokens == STATE.max_tokens


async def test_giving_up_says_why(bench: Bench) -> None:
    terms = Terms(fallback=(StepTerms(Mode.REFUSE, None, "come back after lunch"),))
    _, entries = await bench.answer(edge(fails_at=0), terms=terms)
    error = next(entry.error for entry in entries if isinstance(entry, ErrorEntry))
    assert error.message.startswith("come back after lunch: Every tier failed")


# ── a head start ────────────────────────────────────────────────────────────────────────────────────────────────


async def opened(*tiers: ScriptedTier) -> Opening:
    """The mode prefer-edge over these tiers, after a short head start."""

    def source(kind: TierKind) -> list[Tier]:
        return [tier for tier in tiers if tier.kind == kind]

    plan, numbers = Plan("prefer-edge", ("edge", "cloud"), source, HEAD_START), itertools.count()
    return await open_ordered(plan, STATE, lambda tier: Attempt(tier, STATE, str(next(numbers))))


async def test_a_silent_first_choice_keeps_only_its_head_start(bench: Bench) -> None:
    slow, quick = edge(hangs_at=0), cloud()
    outcome, entries = await bench.answer(slow, quick, limits=HEAD_START)
    assert list(speakers(entries)) == [("cloud:w", "fallback")]
    assert text(entries) == "".join(WORDS)
    assert "head start" in outcome.failures[0].message
    assert len(slow.cancelled) == 1


async def test_within_its_head_start_nobody_else_is_asked(bench: Bench) -> None:
    phone, worker = edge(), cloud()
    outcome, entries = await bench.answer(phone, worker, limits=PATIENT)
    assert list(speakers(entries)) == [("edge:a", "chosen")]
    assert worker.states == [] and outcome.failures == []


async def test_a_failure_ends_the_head_start(bench: Bench) -> None:
    _, entries = await bench.answer(edge(fails_at=0), cloud(), limits=PATIENT)
    assert list(speakers(entries)) == [("cloud:w", "fallback")]


async def test_the_first_choice_may_win_late(bench: Bench) -> None:
    """Both are under way; the one that began first gives the first token, the other is stopped."""
    gate = asyncio.Event()
    phone, worker = edge(gate=gate), cloud(hangs_at=0)
    ended = await bench.start(phone, worker, limits=HEAD_START)
    while not worker.states:
        await asyncio.sleep(0)
    gate.set()
    outcome = await ended
    assert list(speakers(await bench.entries())) == [("edge:a", "chosen")]
    assert len(worker.cancelled) == 1 and outcome.timings.waste_tokens == 0


async def test_tokens_of_the_one_that_loses_are_waste() -> None:
    gate = asyncio.Event()
    phone, worker = edge(gate=gate), cloud(gate=gate)
    opening = asyncio.create_task(opened(phone, worker))
    while not worker.states:
        await asyncio.sleep(0)
    gate.set()
    winner = await opening
    assert (winner.attempt.tier.name, winner.waste_tokens) == ("edge:a", 1)
    await winner.attempt.abandon()


async def test_nobody_giving_a_token_names_them_all(bench: Bench) -> None:
    outcome, _ = await bench.answer(edge(fails_at=0), cloud(fails_at=0), limits=PATIENT)
    assert [failure.code for failure in outcome.failures] == ["no_tier_available"]
    assert outcome.failures[0].message.count("scripted failure") == 2


async def test_a_cancelled_opening_stops_them_all() -> None:
    phone, worker = edge(hangs_at=0), cloud(hangs_at=0)
    opening = asyncio.create_task(opened(phone, worker))
    while not worker.states:
        await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert len(phone.cancelled) == len(worker.cancelled) == 1


async def test_the_tier_entry_names_who_answers(bench: Bench) -> None:
    _, entries = await bench.answer(edge(hangs_at=0), cloud(), limits=HEAD_START)
    assert [entry.kind for entry in entries if isinstance(entry, TierEntry)] == ["cloud"]

"""The runner: one gap-free log, one end, and text that goes on whoever dies. Over a real SQLite log."""

import asyncio

import msgspec
import pytest

from edgewise.node.backoff import BackoffConfig
from edgewise.routing.plan import Limits, Plan
from edgewise.routing.runner import Job, Outcome
from edgewise.routing.scripted import Script, ScriptedTier
from edgewise.routing.seams import Seams
from edgewise.routing.tier import Capabilities, Chunk, Usage
from edgewise.streams.entries import (
    CancelEntry,
    EndEntry,
    ErrorEntry,
    TierEntry,
    WarnEntry,
    encode_entry,
)
from edgewise.wire.errors import BadRequestError, TierLostError, UnsupportedParameterError
from tests.edgewise.routing.bench import SID, STATE, WORDS, Bench, cloud, edge, ids, speakers, text


async def test_an_answer_is_tier_tokens_end(bench: Bench) -> None:
    outcome, entries = await bench.answer(edge())
    assert isinstance(entries[0], TierEntry)
    assert isinstance(entries[-1], EndEntry)
    assert text(entries) == "".join(WORDS)
    assert (entries[-1].finish, entries[-1].prompt_tokens, entries[-1].completion_tokens) == ("stop", 3, 12)
    assert outcome.finish == "stop"
    assert outcome.tiers == ["edge:a"]


@pytest.mark.parametrize("cut", range(1, len(WORDS)))
async def test_a_tier_that_dies_anywhere_is_continued_without_loss_or_repeat(bench: Bench, cut: int) -> None:
    outcome, entries = await bench.answer(edge(fails_at=cut), cloud())
    assert text(entries) == "".join(WORDS)
    assert ids(entries) == list(range(12))
    assert list(speakers(entries)) == [("edge:a", "chosen"), ("cloud:w", "continued")]
    assert sum(isinstance(entry, EndEntry) for entry in entries) == 1
    assert bench.tiers[1].states[0].output_ids == tuple(range(cut))
    assert outcome.finish == "stop"


async def test_who_goes_on_is_told_which_version_spoke_last(bench: Bench) -> None:
    tiers = edge(fails_at=2), cloud("cloud:1", fails_at=5), cloud("cloud:2")
    for tier, version in zip(tiers, ("base+adapter", "large", ""), strict=True):
        tier.capabilities = msgspec.structs.replace(tier.capabilities, model_version=version)
    await bench.answer(*tiers)
    assert [tier.states[0].model_version for tier in tiers] == ["", "base+adapter", "large"]


async def test_every_tier_may_die_once(bench: Bench) -> None:
    _, entries = await bench.answer(edge(fails_at=2), cloud("cloud:1", fails_at=5), cloud("cloud:2"))
    assert text(entries) == "".join(WORDS)
    assert [tier for tier, _ in speakers(entries)] == ["edge:a", "cloud:1", "cloud:2"]


async def test_a_silent_tier_is_left_in_mid_answer(bench: Bench) -> None:
    _, entries = await bench.answer(edge(hangs_at=3), cloud(), limits=Limits(stall_s=0.001))
    assert text(entries) == "".join(WORDS)


async def test_an_answer_that_has_begun_waits_for_its_only_tier_to_come_back(bench: Bench) -> None:
    lost = edge(fails_at=4)

    def comes_back() -> None:
        bench.tiers = [edge()]

    bench.on_nap = comes_back
    outcome, entries = await bench.answer(lost)
    assert text(entries) == "".join(WORDS)
    assert outcome.finish == "stop"


def holding(tier: ScriptedTier) -> ScriptedTier:
    tier.capabilities = msgspec.structs.replace(tier.capabilities, grammars=True)
    return tier


async def test_an_answer_under_a_grammar_waits_for_its_only_tier_to_come_back(bench: Bench) -> None:
    """Beside a device that holds nothing to one, and could not have begun it."""

    def comes_back() -> None:
        bench.tiers = [edge(), holding(cloud())]

    bench.on_nap = comes_back
    state = msgspec.structs.replace(STATE, grammar='{"regex":"a"}')
    outcome, entries = await bench.answer(edge(), holding(cloud(fails_at=4)), state=state)
    assert text(entries) == "".join(WORDS) and outcome.finish == "stop" and bench.now > 0


async def test_an_answer_under_a_grammar_is_not_begun_where_nobody_holds_it_to_one(bench: Bench) -> None:
    state = msgspec.structs.replace(STATE, grammar='{"regex":"a"}')
    outcome, entries = await bench.answer(tier := edge(), state=state)
    assert [type(entry) for entry in entries] == [ErrorEntry, EndEntry]
    assert [failure.info().number for failure in outcome.failures] == [UnsupportedParameterError.number]
    assert not tier.states and bench.now == 0


async def test_when_nobody_is_left_the_part_stays_and_the_error_ends_it(bench: Bench) -> None:
    outcome, entries = await bench.answer(edge(fails_at=4, error=TierLostError("gone")))
    assert text(entries) == "".join(WORDS[:4])
    *_, error, end = entries
    assert isinstance(error, ErrorEntry)
    assert error.error.code == "no_tier_available"
    assert isinstance(end, EndEntry)
    assert end.finish == outcome.finish == "error"


async def test_a_fallback_before_the_first_token_says_so(bench: Bench) -> None:
    _, entries = await bench.answer(edge(fails_at=0), cloud())
    assert list(speakers(entries)) == [("cloud:w", "fallback")]


async def test_no_tier_at_all_ends_with_the_error_alone(bench: Bench) -> None:
    outcome, entries = await bench.answer()
    assert [type(entry) for entry in entries] == [ErrorEntry, EndEntry]
    assert outcome.finish == "error"


async def test_a_dead_tier_with_the_budget_spent_ends_with_length(bench: Bench) -> None:
    from msgspec.structs import replace

    tier = edge(fails_at=5)
    outcome, entries = await bench.answer(tier, state=replace(STATE, max_tokens=5))
    assert outcome.finish == "length"
    assert ids(entries) == [0, 1, 2, 3, 4]


async def test_an_answer_begun_in_text_is_encoded_for_the_tier_that_goes_on(bench: Bench) -> None:
    class TextTier(ScriptedTier):
        async def generate(self, state, attempt):  # type: ignore[no-untyped-def]
            async for chunk in super().generate(state, attempt):
                yield type(chunk)(0, (), chunk.text, chunk.finish)

    upstream = TextTier("cloud:up", "cloud", Script(WORDS, fails_at=5), Capabilities(models=("big",)))
    _, entries = await bench.answer(upstream, edge(), kinds=("cloud", "edge"))
    assert text(entries) == "".join(WORDS)
    assert bench.tiers[1].states[0].output_ids == (0, 1, 2, 3, 4)


async def test_a_cancel_fences_the_writer_and_nothing_follows(bench: Bench) -> None:
    gate = asyncio.Event()
    ended = await bench.start(edge(gate=gate))
    await bench.log.cancel(SID, payload=encode_entry(CancelEntry("client")))
    gate.set()
    outcome = await ended
    assert outcome.finish == "cancelled"
    assert [type(entry) for entry in await bench.entries()] == [CancelEntry]
    assert bench.tiers[0].cancelled


async def test_stop_answer_cancels_the_tier_at_once(bench: Bench) -> None:
    ended = await bench.start(edge(hangs_at=2))
    while not bench.tiers[0].states:
        await asyncio.sleep(0)
    await bench.log.cancel(SID, payload=encode_entry(CancelEntry("client")))
    bench.runner.stop_answer(SID)
    assert (await ended).finish == "cancelled"
    assert bench.tiers[0].cancelled
    await bench.runner.drain(1)
    assert bench.runner.running == 0


async def test_a_long_silence_warns_the_reader_once(bench: Bench) -> None:
    gate = asyncio.Event()
    ended = await bench.start(edge(gate=gate), limits=Limits(soft_s=0.0))
    while not any(isinstance(entry, WarnEntry) for entry in await bench.entries()):
        await asyncio.sleep(0)
    gate.set()
    assert (await ended).finish == "stop"
    assert text(await bench.entries()) == "".join(WORDS)


async def test_the_total_time_limit_keeps_the_part(bench: Bench) -> None:
    outcome, entries = await bench.answer(edge(hangs_at=3), limits=Limits(total_s=0.05))
    assert text(entries) == "".join(WORDS[:3])
    assert outcome.finish == "error"
    assert [entry.error.code for entry in entries if isinstance(entry, ErrorEntry)] == ["tier_timeout"]


async def test_seams_see_text_before_the_log_and_usage_at_the_end(bench: Bench) -> None:
    bills: list[tuple[int, int]] = []
    seams = Seams(
        restore=lambda part: part.replace("w", "v"),
        filter=str.upper,
        bill=lambda usage, waste: bills.append((usage.completion_tokens, waste)),
    )
    _, entries = await bench.answer(edge(), seams=seams)
    assert text(entries) == "".join(WORDS).replace("w", "V").upper()
    assert bills == [(12, 0)]


async def test_drain_lets_answers_end_and_stops_the_rest(bench: Bench) -> None:
    ended = await bench.start(edge(hangs_at=1))
    await bench.runner.drain(0.01)
    assert ended.done()
    assert (await bench.log.head(SID)).status == "open"
    assert await bench.log.expired() == [SID]  # its lease was given up: another runner may take it at once


async def test_a_resumed_answer_waits_for_a_tier_and_goes_on_where_the_log_ends(bench: Bench) -> None:
    claim = await bench.runner.open(SID, owner="k", request=b"r")
    plan = Plan(mode="prefer-edge", kinds=("edge", "cloud"), tiers=bench.source)

    def comes_back() -> None:
        bench.tiers = [edge()]

    bench.on_nap = comes_back
    ended: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    state = STATE.advanced((0, 1, 2), "w0 w1 w2 ")
    bench.runner.start(Job(SID, claim, plan, state, 0.0, resumed=True), ended.set_result)
    assert (await ended).finish == "stop"
    entries = await bench.entries()
    assert ids(entries) == list(range(3, 12))
    assert list(speakers(entries)) == [("edge:a", "continued")]


async def test_a_resumed_answer_waits_as_long_as_a_node_may_take_to_dial_again(bench: Bench) -> None:
    claim = await bench.runner.open(SID, owner="k", request=b"r")
    plan = Plan(mode="prefer-edge", kinds=("edge",), tiers=bench.source)

    def comes_back() -> None:
        bench.tiers = [edge()] if bench.now >= BackoffConfig().cap_s else []

    bench.on_nap = comes_back
    ended: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    bench.runner.start(Job(SID, claim, plan, STATE, 0.0, resumed=True), ended.set_result)
    assert (await ended).finish == "stop"


async def test_a_fault_of_the_request_found_by_the_engine_ends_with_its_own_number(bench: Bench) -> None:
    class Picky(ScriptedTier):
        async def generate(self, state, attempt):  # type: ignore[no-untyped-def]
            raise BadRequestError("token id 999999 is beyond the vocabulary")
            yield

    outcome, entries = await bench.answer(Picky("edge:a", "edge", Script()))
    (error,) = [entry for entry in entries if isinstance(entry, ErrorEntry)]
    assert (error.error.code, error.error.retryable) == ("invalid_request", False)
    assert outcome.finish == "error"


@pytest.mark.parametrize("cut", [0, 4])
async def test_a_tier_that_breaks_in_an_unforeseen_way_is_continued_too(bench: Bench, cut: int) -> None:
    class Broken(ScriptedTier):
        async def generate(self, state, attempt):  # type: ignore[no-untyped-def]
            async for chunk in super().generate(state, attempt):
                if chunk.n0 == cut:
                    raise KeyError("a bug")
                yield chunk

    outcome, entries = await bench.answer(Broken("edge:a", "edge", Script(WORDS)), cloud())
    assert text(entries) == "".join(WORDS)
    assert outcome.finish == "stop"


async def test_a_fault_of_ours_ends_the_answer_with_an_error_instead_of_leaving_it_open(bench: Bench) -> None:
    def bug(part: str) -> str:
        raise ValueError(part)

    outcome, entries = await bench.answer(edge(), seams=Seams(filter=bug))
    assert isinstance(entries[-1], EndEntry)
    assert outcome.finish == "error"
    assert "w0" not in repr(entries)


class TextOnly(ScriptedTier):
    """Continues by text, as an upstream that takes an open turn does."""

    async def generate(self, state, attempt):  # type: ignore[no-untyped-def]
        said = len(state.output_text.split())
        for index in range(said, len(WORDS)):
            if index == self.script.fails_at:
                raise TierLostError("gone")
            yield Chunk(0, (), WORDS[index])
        yield Chunk(0, (), "", "stop")


async def test_from_ids_to_text_and_back_to_ids_nothing_is_doubled(bench: Bench) -> None:
    upstream = TextOnly("cloud:up", "cloud", Script(fails_at=7), Capabilities(models=("big",)))
    first = edge(fails_at=3)
    last = ScriptedTier("cloud:w", "cloud", Script(WORDS))
    outcome, entries = await bench.answer(first, upstream, last)
    assert [tier for tier, _ in speakers(entries)] == ["edge:a", "cloud:up", "cloud:w"]
    assert text(entries) == "".join(WORDS)
    assert outcome.finish == "stop"


class Counting(TextOnly):
    """Counts for itself: the answer so far is part of its prompt, and its own words alone are said by it."""

    async def generate(self, state, attempt):  # type: ignore[no-untyped-def]
        begun = len(state.output_text.split())
        async for chunk in super().generate(state, attempt):  # type: ignore[no-untyped-call]
            usage = Usage(30 + begun, len(WORDS) - begun) if chunk.finish else None
            yield msgspec.structs.replace(chunk, usage=usage)


@pytest.mark.parametrize(
    ("first", "encode", "prompt"),
    [
        (edge(fails_at=7), True, 3),
        (Counting("cloud:a", "cloud", Script(fails_at=7), Capabilities(models=("big",))), True, 3),
        (Counting("cloud:a", "cloud", Script(fails_at=7), Capabilities(models=("big",))), False, 30),
    ],
    ids=["ids-to-text", "text-to-text", "text-alone"],
)
async def test_what_every_tier_said_is_counted(bench: Bench, first: ScriptedTier, encode: bool, prompt: int) -> None:
    state = STATE if encode else msgspec.structs.replace(STATE, prompt_ids=())
    last = Counting("cloud:b", "cloud", Script(), Capabilities(models=("big",)))
    outcome, entries = await bench.answer(first, last, state=state, encode=encode)
    assert text(entries) == "".join(WORDS)
    assert (outcome.usage.prompt_tokens, outcome.usage.completion_tokens) == (prompt, 12)


async def test_one_tier_that_counts_for_itself_is_believed(bench: Bench) -> None:
    outcome, _ = await bench.answer(Counting("cloud:a", "cloud", Script(), Capabilities(models=("big",))))
    assert outcome.usage == Usage(30, 12)


async def test_tiers_that_bring_nothing_are_not_tried_for_ever(bench: Bench) -> None:
    class Empty(ScriptedTier):
        async def generate(self, state, attempt):  # type: ignore[no-untyped-def]
            if state.output_ids:
                yield Chunk(len(state.output_ids), (), "")
            else:
                yield Chunk(0, (0,), "w0 ")
            raise TierLostError("gone")

    outcome, entries = await bench.answer(Empty("edge:a", "edge", Script()))
    assert outcome.finish == "error"
    assert text(entries) == "w0 "


async def test_what_was_held_back_is_said_in_the_end_entry(bench: Bench) -> None:
    class Holding(ScriptedTier):
        async def generate(self, state, attempt):  # type: ignore[no-untyped-def]
            yield Chunk(0, (0,), "a")
            yield Chunk(1, (), "tail", "stop")

    _, entries = await bench.answer(Holding("edge:a", "edge", Script()))
    assert isinstance(entries[-1], EndEntry)
    assert (text(entries), entries[-1].text) == ("a", "tail")
    assert entries[-1].completion_tokens == 1

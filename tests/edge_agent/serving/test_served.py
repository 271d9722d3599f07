"""Limits at work on a real engine: pace, drafts, contexts, lengths, refusals; and answers that leave in the middle."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from edge_agent.ladder import Accept, Limits
from edge_agent.runtime import OnnxEngine
from edge_agent.runtime.engine import EngineOptions
from edge_agent.runtime.kv_disk import DiskOptions
from edge_agent.runtime.numerics import Numerics
from edge_agent.serving import GatewayDoor, ServedModel
from edge_agent.serving.leaving import ENDS, MOST_TOKENS, ends_sentence
from edge_agent.serving.rest import LINGER_S
from edgewise.generation.state import GenerationState, Sampling
from edgewise.generation.tokenizer import ChatTokenizer
from edgewise.node.driver import EngineDriver
from edgewise.node.engine import EngineStats
from edgewise.routing.plan import Limits as PlanLimits
from edgewise.routing.plan import Plan
from edgewise.routing.runner import Job, Outcome, Runner
from edgewise.routing.tier import Capabilities, Chunk, Load, Tier, TierKind
from edgewise.streams.entries import Entry, decode_entry
from edgewise.streams.memory import MemoryStreamLog
from edgewise.wire.errors import TierLeavingError, TierRefusedError
from tests.edge_agent.serving.stage import Stage, begin, chunks, ids, until
from tests.edgewise.routing.bench import SID, speakers, text
from tests.edgewise.routing.bench import ids as ids_of

pytestmark = pytest.mark.timeout(60)
ENDING_BYTES = frozenset("".join(ENDS).encode())
"""Bytes without which no sentence ends."""
REPEATING = tuple(range(40, 60)) * 8


@pytest.fixture
def stage() -> Stage:
    return Stage()


def stats(served: ServedModel) -> EngineStats:
    assert served.models.current is not None
    return served.models.current.driver.stats


async def obeyed(served: ServedModel, limits: Limits) -> None:
    """Take limits, and wait until the engine's thread has."""
    served.models.obey(limits)
    assert served.models.current is not None
    done = asyncio.Event()
    loop = asyncio.get_running_loop()
    served.models.current.driver.run(lambda: loop.call_soon_threadsafe(done.set))
    await done.wait()


async def test_drafting_stops_for_running_answers_too_and_changes_no_text(tiny_dir: Path) -> None:
    stage = Stage(EngineOptions(numerics=Numerics.MANY_ROW))
    async with stage.serving(tiny_dir, throttle=400.0) as served:
        copying = begin(served, prompt_ids=REPEATING, sampling=Sampling(temperature=0.0), max_tokens=120)
        free = await ids(served, copying)
        drafted = stats(served).drafted
        assert drafted
        running = served.generate(copying, "b")
        seen = [await anext(running)]
        await obeyed(served, Limits(speculation=False))
        here = stats(served).drafted
        seen += [chunk async for chunk in running]
        assert stats(served).drafted - here <= 3  # what the step that ran just then had drafted
        assert tuple(token for chunk in seen for token in chunk.ids) == free
        await obeyed(served, Limits())
        assert await ids(served, copying, "c") == free and stats(served).drafted > here + 3


async def test_the_slower_of_ladder_and_operator_is_the_pace(stage: Stage, tiny_dir: Path) -> None:
    async with stage.serving(tiny_dir, throttle=1000.0) as served:
        for ladder, pace in ((None, 1000.0), (100.0, 100.0), (5000.0, 1000.0)):
            served.models.obey(Limits(tokens_per_s=ladder))
            assert served.models.current is not None
            assert served.models.current.driver.interval_s == 1 / pace
            assert len(await ids(served, begin(served, max_tokens=12))) == 12


async def test_contexts_are_given_up_and_kept_again(tiny_dir: Path, tmp_path: Path) -> None:
    saved = DiskOptions(tmp_path / "saved", 1 << 20)
    stage = Stage(EngineOptions(slots=1, saved=saved))
    async with stage.serving(tiny_dir) as served:
        engine = served.models.current.engine if served.models.current else None
        assert engine is not None

        async def reused_by_a_second_turn() -> int:
            before = stats(served).reused_tokens
            await ids(served, begin(served, 100))
            await ids(served, begin(served, 60, seed=3, prompt_ids=tuple(range(30, 90))))
            await ids(served, begin(served, 100))
            return stats(served).reused_tokens - before

        await ids(served, begin(served, 100))
        assert await reused_by_a_second_turn() > 99
        await obeyed(served, Limits(prefix_share=0.0))
        assert await reused_by_a_second_turn() <= 99  # only what the row itself held
        await obeyed(served, Limits(prefix_share=0.0, keep_idle_kv=False))
        assert stats(served).kv_bytes == 0
        assert await reused_by_a_second_turn() == 0 and stats(served).kv_bytes == 0
        assert engine.idle_work() is None and not list(saved.directory.iterdir())
        await obeyed(served, Limits())
        await ids(served, begin(served, 100))
        assert await reused_by_a_second_turn() > 99


async def test_promised_memory_is_what_the_ladder_hears_of(stage: Stage, tiny_dir: Path) -> None:
    async with stage.serving(tiny_dir, throttle=50.0) as served:
        running = served.generate(begin(served, max_tokens=200), "a")
        await anext(running)
        assert served.models.current is not None
        row_bytes = served.models.current.engine.shape.kv_bytes_per_token
        assert 150 * row_bytes < served.needs().growth_bytes <= 240 * row_bytes
        await served.cancel("a")
        await until(lambda: served.needs().growth_bytes == 0)


async def test_a_nearly_empty_battery_shortens_new_answers_only(stage: Stage, tiny_dir: Path) -> None:
    async with stage.serving(tiny_dir) as served:
        whole = await ids(served, begin(served))
        served.models.obey(Limits(max_output_tokens=5))
        short = await chunks(served, begin(served))
        assert tuple(token for chunk in short for token in chunk.ids) == whole[:5] and short[-1].finish == "length"
        begun = begin(served).advanced(whole[:10], "x")
        assert await ids(served, begun) == whole[10:]


async def test_a_device_that_takes_nothing_new_still_ends_what_has_begun(stage: Stage, tiny_dir: Path) -> None:
    cooling = Limits(hand_over=True, accept=Accept.NONE, reason="the device is too hot and cools down")
    async with stage.serving(tiny_dir) as served:
        whole = await ids(served, begin(served))
        served.models.obey(cooling)
        for tier in (served, GatewayDoor(served)):
            with pytest.raises(TierRefusedError, match="too hot"):
                await ids(tier, begin(served, local_only=True))
            assert await ids(tier, begin(served).advanced(whole[:10], "x")) == whole[10:]


async def test_the_gateway_is_refused_what_another_tier_should_make(stage: Stage, tiny_dir: Path) -> None:
    async with stage.serving(tiny_dir) as served:
        door = GatewayDoor(served)
        assert (door.name, door.kind, door.capabilities) == (served.name, served.kind, served.capabilities)
        for limits, takes in (
            (Limits(), True),
            (Limits(accept=Accept.ONLY_HERE, reason="the battery is low"), False),
            (Limits(cloud_from_tokens=24), False),
            (Limits(cloud_from_tokens=25), True),
            (Limits(window_tokens=63), False),
            (Limits(window_tokens=64), True),
        ):
            served.models.obey(limits)
            assert await ids(served, begin(served)) and await ids(door, begin(served, local_only=True))
            if takes:
                assert await ids(door, begin(served))
            else:
                with pytest.raises(TierRefusedError) as refused:
                    await ids(door, begin(served))
                assert refused.value.remedy and refused.value.retry_after_s


# Answers that leave --------------------------------------------------------------------------------------------------


def sentences(served: ServedModel, **more: Any) -> GenerationState:
    """An answer in which a sentence ends now and then."""
    full_stop = served.models.tokenizer.encode(".")[0]
    return begin(served, sampling=Sampling(logit_bias={full_stop: 3.0}), max_tokens=150, **more)


@asynccontextmanager
async def cloud_of(directory: Path) -> AsyncIterator[EngineDriver]:
    """The same model as a tier of the cloud."""
    engine, tokenizer = OnnxEngine.load(directory), ChatTokenizer.load(directory)
    driver = EngineDriver(engine, tokenizer, kind="cloud", name="cloud:w", models=("tiny-edge",))
    await driver.start()
    yield driver
    await driver.stop()


async def made(
    state: GenerationState, *tiers: Tier, mode: str = "edge", kinds: tuple[TierKind, ...] = ("edge", "cloud")
) -> tuple[Outcome, list[Entry]]:
    """The answer that a runner makes with these tiers, and its log."""

    def source(kind: TierKind) -> list[Tier]:
        return [tier for tier in tiers if tier.kind == kind]

    log = MemoryStreamLog()
    runner = Runner(log, holder="test", lease_s=60)
    claim = await runner.open(SID, owner="k", request=b"r")
    ended: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    runner.start(Job(SID, claim, Plan(mode, kinds, source), state, 0.0), ended.set_result)
    outcome = await ended
    return outcome, [decode_entry(record.payload) for record in await log.read(SID, after=-1)]


async def test_a_running_answer_goes_on_in_the_cloud_behind_its_sentence(stage: Stage, tiny_dir: Path) -> None:
    async with stage.serving(tiny_dir) as served, cloud_of(tiny_dir) as cloud:
        _, whole = await made(sentences(served), served)
        served.models.obey(Limits(hand_over=True))
        outcome, entries = await made(sentences(served), GatewayDoor(served), cloud)
        assert ids_of(entries) == ids_of(whole) and text(entries) == text(whole)
        assert list(speakers(entries)) == [("edge:phone-1", "chosen"), ("cloud:w", "continued")]
        assert outcome.finish == "length" and isinstance(outcome.failures[0], TierLeavingError)


async def test_it_leaves_where_a_sentence_ends_or_after_a_bounded_wait(stage: Stage, tiny_dir: Path) -> None:
    async with stage.serving(tiny_dir, throttle=2000.0) as served:
        served.models.obey(Limits(hand_over=True))
        said, tokens = await until_it_leaves(served, sentences(served))
        assert ends_sentence(said) and 0 < tokens < MOST_TOKENS
        known, ends = served.models.tokenizer, ENDING_BYTES
        banned = {token: -1e9 for token in range(known.vocab_size) if ends & {*known.token_bytes(token)}}
        endless = begin(served, sampling=Sampling(logit_bias=banned), max_tokens=150)
        said, tokens = await until_it_leaves(served, endless)
        assert tokens == MOST_TOKENS and not ends_sentence(said)


async def until_it_leaves(served: ServedModel, state: GenerationState) -> tuple[str, int]:
    """Text and tokens of an answer that is handed over."""
    said, tokens = "", 0
    with pytest.raises(TierLeavingError):
        async for chunk in GatewayDoor(served).generate(state, "a"):
            said, tokens = said + chunk.text, tokens + len(chunk.ids)
    return said, tokens


def gone_cloud(directory: Path) -> EngineDriver:
    """A tier that is listed, and takes nothing."""
    engine, tokenizer = OnnxEngine.load(directory), ChatTokenizer.load(directory)
    return EngineDriver(engine, tokenizer, kind="cloud", name="cloud:gone", models=("tiny-edge",))


async def test_what_nobody_takes_comes_back_and_stays(stage: Stage, tiny_dir: Path) -> None:
    async with stage.serving(tiny_dir) as served:
        _, whole = await made(sentences(served), served)
        served.models.obey(Limits(hand_over=True))
        outcome, entries = await made(sentences(served), GatewayDoor(served), gone_cloud(tiny_dir))
        assert ids_of(entries) == ids_of(whole) and outcome.finish == "length"
        assert list(speakers(entries)) == [("edge:phone-1", "chosen"), ("edge:phone-1", "continued")]


async def test_a_model_that_is_to_go_waits_for_an_answer_that_comes_back(stage: Stage, tiny_dir: Path) -> None:
    gone = Limits(loaded=False, hand_over=True, accept=Accept.NONE, reason="the device is short of memory")
    async with stage.serving(tiny_dir, throttle=1000.0) as served:
        _, whole = await made(sentences(served), served)
        making = asyncio.create_task(made(sentences(served), GatewayDoor(served), gone_cloud(tiny_dir)))
        await until(lambda: stats(served).running)
        served.models.obey(gone)
        _, entries = await making
        assert ids_of(entries) == ids_of(whole)
        await until(lambda: not served.models.alive)


@pytest.mark.parametrize("why", ["private", "alone", "an app's"])
async def test_what_must_or_can_only_be_made_here_does_not_leave(stage: Stage, tiny_dir: Path, why: str) -> None:
    async with stage.serving(tiny_dir) as served:
        served.models.obey(Limits(hand_over=True, accept=Accept.ONLY_HERE, reason="the device is too hot"))
        tier: Tier = served if why == "an app's" else GatewayDoor(served)
        outcome, entries = await made(sentences(served, local_only=why == "private"), tier)
        assert outcome.finish == "length" and len(ids_of(entries)) == 150
        assert list(speakers(entries)) == [("edge:phone-1", "chosen")]


@pytest.mark.parametrize(
    ("mode", "kinds"),
    [("prefer-cloud", ("cloud", "edge")), ("prefer-edge", ("edge", "cloud")), ("race", ("edge", "cloud"))],
)
async def test_a_device_that_would_rather_not_answers_when_everybody_else_has_failed(
    stage: Stage, tiny_dir: Path, mode: str, kinds: tuple[TierKind, ...]
) -> None:
    async with stage.serving(tiny_dir) as served:
        whole = await ids(served, begin(served))
        served.models.obey(Limits(accept=Accept.ONLY_HERE, reason="the battery is low"))
        tiers = GatewayDoor(served), gone_cloud(tiny_dir)
        outcome, entries = await made(begin(served), *tiers, mode=mode, kinds=kinds)
        assert outcome.finish == "length" and tuple(ids_of(entries)) == whole
        assert any("not running" in failure.message for failure in outcome.failures)
        served.models.obey(Limits(accept=Accept.NONE, reason="the device is too hot"))
        outcome, _ = await made(begin(served), *tiers, mode=mode, kinds=kinds)
        assert outcome.finish == "error"


class SlowCloud:
    """A tier that is listed, and takes long to say that it takes nothing."""

    kind: TierKind = "cloud"
    name = "cloud:slow"

    def __init__(self, capabilities: Capabilities) -> None:
        self.capabilities = capabilities
        self.asked, self.gate = asyncio.Event(), asyncio.Event()

    def load(self) -> Load:
        return Load()

    async def cancel(self, attempt: str) -> None:
        """Nothing runs here."""

    async def generate(self, state: GenerationState, attempt: str) -> AsyncIterator[Chunk]:
        self.asked.set()
        await self.gate.wait()
        raise TierRefusedError("The queue is full")
        yield


async def test_a_model_stays_as_long_as_the_next_tier_may_take_to_fail(stage: Stage, tiny_dir: Path) -> None:
    gone = Limits(loaded=False, hand_over=True, accept=Accept.NONE, reason="the device is short of memory")
    async with stage.serving(tiny_dir, throttle=1000.0) as served:
        _, whole = await made(sentences(served), served)
        slow = SlowCloud(served.capabilities)
        making = asyncio.create_task(made(sentences(served), GatewayDoor(served), slow))
        await until(lambda: stats(served).running)
        served.models.obey(gone)
        await slow.asked.wait()
        stage.later_s = PlanLimits().first_s()
        served.models.obey(gone)
        await asyncio.sleep(0.3)  # time in which a model that waits too short a time goes
        slow.gate.set()
        _, entries = await making
        assert ids_of(entries) == ids_of(whole)
        await until(lambda: not served.models.alive)  # nobody else is away


async def test_a_model_goes_when_the_answer_has_long_been_elsewhere(stage: Stage, tiny_dir: Path) -> None:
    async with stage.serving(tiny_dir) as served, cloud_of(tiny_dir) as cloud:
        served.models.obey(Limits(hand_over=True))
        await made(sentences(served), GatewayDoor(served), cloud)
        served.models.obey(Limits(loaded=False, hand_over=True, accept=Accept.NONE))
        stage.later_s = LINGER_S
        await until(lambda: not served.models.alive)

"""EngineDriver over a ScriptedEngine: order, text, stops, cancelling, throttling, failures, shutting down."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from edgewise.generation.state import GenerationState, Message
from edgewise.node.driver import EngineDriver
from edgewise.node.scripted import ScriptedEngine, scripted_manifest
from edgewise.routing.tier import Chunk
from edgewise.wire.errors import ConflictError, ModelDigestError, TierError, TierLostError, TierRefusedError
from tests.factories.states import make_state
from tests.factories.tokenizers import tiny_tokenizer

TOKENIZER = tiny_tokenizer()
TEXT = "The quick brown fox 你好，世界 😀"
ANSWER = TOKENIZER.encode(TEXT)


class Timers:
    """A clock and `call_later` that move only when told to."""

    def __init__(self) -> None:
        self.now = 0.0
        self.waits: list[float] = []
        self._due: list[tuple[float, Callable[[], object]]] = []
        self.armed = asyncio.Event()

    def clock(self) -> float:
        return self.now

    def call_later(self, delay: float, call: Callable[[], object]) -> asyncio.TimerHandle:
        self.waits.append(delay)
        self._due.append((self.now + delay, call))
        self.armed.set()
        return asyncio.TimerHandle(self.now + delay, call, (), asyncio.get_running_loop())

    def advance(self, seconds: float) -> None:
        self.now += seconds
        self.armed.clear()
        due, self._due = [c for at, c in self._due if at <= self.now], [d for d in self._due if d[0] > self.now]
        for call in due:
            call()


@asynccontextmanager
async def driving(engine: ScriptedEngine, **options: Any) -> AsyncIterator[EngineDriver]:
    driver = EngineDriver(engine, TOKENIZER, kind="edge", name="edge:test", models=("tiny",), **options)
    await driver.start()
    try:
        yield driver
    finally:
        engine.open()
        await driver.stop()


def saying(text: str = TEXT, **options: Any) -> ScriptedEngine:
    return ScriptedEngine(lambda state: TOKENIZER.encode(text), **options)


def long_state(**fields: Any) -> GenerationState:
    return make_state(**({"max_tokens": 200} | fields))


async def collect(chunks: AsyncIterator[Chunk]) -> list[Chunk]:
    return [chunk async for chunk in chunks]


def check_order(chunks: list[Chunk], start: int = 0) -> None:
    """Indices have no hole, text is whole, only the last chunk ends."""
    for chunk in chunks:
        assert chunk.n0 == start
        start += len(chunk.ids)
        assert "\ufffd" not in chunk.text
    assert [bool(chunk.finish) for chunk in chunks] == [False] * (len(chunks) - 1) + [True]


async def test_an_answer_comes_whole_and_in_order() -> None:
    async with driving(saying()) as driver:
        chunks = await collect(driver.generate(long_state(), "a"))
    check_order(chunks)
    assert "".join(chunk.text for chunk in chunks) == TEXT
    assert chunks[-1].finish == "stop"
    assert chunks[-1].usage is not None
    assert (chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens) == (3, len(ANSWER))


async def test_many_answers_at_once_do_not_mix() -> None:
    engine = ScriptedEngine(lambda state: TOKENIZER.encode(f"answer number {state.seed}"))
    async with driving(engine) as driver:
        answers = await asyncio.gather(*(collect(driver.generate(long_state(seed=n), f"a{n}")) for n in range(20)))
    for number, chunks in enumerate(answers):
        check_order(chunks)
        assert "".join(chunk.text for chunk in chunks) == f"answer number {number}"


async def test_the_first_token_does_not_wait_for_the_second() -> None:
    engine = saying(gated=True)
    async with driving(engine) as driver:
        chunks = driver.generate(long_state(), "a")
        engine.allow()
        first = await anext(chunks)
        assert first.ids == ANSWER[:1]
        engine.open()
        assert (await anext(chunks)).n0 == 1


async def test_what_is_ready_comes_in_one_chunk() -> None:
    async with driving(saying()) as driver:
        chunks = driver.generate(long_state(), "a")
        got = [await anext(chunks)]
        while driver.load().running:
            await asyncio.sleep(0)
        got += await collect(chunks)
    assert sum(len(chunk.ids) for chunk in got) == len(ANSWER)
    assert len(got) <= 3


async def test_a_budget_ends_with_length() -> None:
    async with driving(saying()) as driver:
        chunks = await collect(driver.generate(make_state(max_tokens=3), "a"))
    assert (sum(len(chunk.ids) for chunk in chunks), chunks[-1].finish) == (3, "length")


@pytest.mark.parametrize("cut", range(len(ANSWER)))
async def test_a_continuation_completes_the_text(cut: int) -> None:
    async with driving(saying()) as driver:
        whole = await collect(driver.generate(long_state(stops=("😀",)), "whole"))
        first = await collect(driver.generate(long_state(max_tokens=cut, stops=("😀",)), "first")) if cut else []
        ids = tuple(token for chunk in first for token in chunk.ids)
        rest = await collect(driver.generate(long_state(output_ids=ids, stops=("😀",)), "rest"))
    check_order(rest, start=len(ids))
    assert ids + tuple(i for c in rest for i in c.ids) == tuple(i for c in whole for i in c.ids)
    assert "".join(c.text for c in whole) == TEXT[:-1]


async def test_a_stop_string_ends_the_attempt_and_the_engine() -> None:
    engine = saying(gated=True)
    async with driving(engine) as driver:
        engine.allow(len(TOKENIZER.encode("The quick brown")))
        chunks = await collect(driver.generate(long_state(stops=("quick",)), "a"))
        check_order(chunks)
        assert "".join(chunk.text for chunk in chunks) == "The "
        assert chunks[-1].finish == "stop"
    assert engine.cancelled == ["a"]


async def test_an_answer_that_stopped_already_stops_at_once() -> None:
    engine = saying(gated=True)
    async with driving(engine) as driver:
        state = long_state(output_ids=ANSWER, stops=("fox",))
        assert await collect(driver.generate(state, "a")) == [Chunk(len(ANSWER), (), "", "stop", usage(3, 0))]


def usage(prompt: int, completion: int) -> Any:
    from edgewise.routing.tier import Usage

    return Usage(prompt, completion)


async def test_what_a_stop_string_held_back_comes_with_the_end() -> None:
    async with driving(saying()) as driver:
        chunks = await collect(driver.generate(long_state(stops=("😀!", "世界 !")), "a"))
    assert "".join(chunk.text for chunk in chunks) == TEXT


async def test_cancel_is_immediate_and_idempotent() -> None:
    engine = saying(gated=True)
    async with driving(engine) as driver:
        chunks = driver.generate(long_state(), "a")
        engine.allow()
        await anext(chunks)
        waiting = asyncio.create_task(collect(chunks))
        await driver.cancel("a")
        await driver.cancel("a")
        assert await waiting == []
        await driver.cancel("unknown")
        engine.open()
    assert engine.cancelled == ["a"]


async def test_closing_the_iterator_cancels() -> None:
    engine = saying(gated=True)
    async with driving(engine) as driver:
        chunks = driver.generate(long_state(), "a")
        engine.allow()
        await anext(chunks)
        await chunks.aclose()  # type: ignore[attr-defined]
        assert driver.load().running + driver.load().queued <= 1
        engine.open()
    assert engine.cancelled == ["a"]


async def test_an_attempt_runs_once() -> None:
    engine = saying(gated=True)
    async with driving(engine) as driver:
        chunks = driver.generate(long_state(), "a")
        engine.allow()
        await anext(chunks)
        with pytest.raises(ConflictError):
            await anext(driver.generate(long_state(), "a"))
        engine.open()
        assert (await collect(chunks))[-1].finish == "stop"


async def test_a_full_queue_refuses() -> None:
    engine = saying(gated=True, slots=1)
    async with driving(engine, max_queue=1) as driver:
        running = [asyncio.create_task(collect(driver.generate(long_state(), name))) for name in "ab"]
        await asyncio.sleep(0)
        with pytest.raises(TierRefusedError) as caught:
            await anext(driver.generate(long_state(), "c"))
        assert caught.value.retry_after_s
        engine.open()
        assert all(chunks[-1].finish == "stop" for chunks in await asyncio.gather(*running))


async def test_a_refusal_of_the_engine_reaches_the_caller() -> None:
    async with driving(saying(slots=0, max_queue=0), max_queue=9) as driver:
        with pytest.raises(TierRefusedError):
            await anext(driver.generate(long_state(), "a"))


async def test_throttled_tokens_keep_their_distance() -> None:
    timers, arrivals = Timers(), []
    async with driving(saying(), throttle_tokens_per_s=4, clock=timers.clock, call_later=timers.call_later) as driver:
        chunks = driver.generate(long_state(), "a")
        tokens = 0
        while tokens < 5:
            following = asyncio.ensure_future(anext(chunks))
            armed = asyncio.create_task(timers.armed.wait())
            await asyncio.wait((following, armed), return_when=asyncio.FIRST_COMPLETED)
            if not following.done():
                timers.advance(0.25)
            chunk = await following
            armed.cancel()
            tokens += len(chunk.ids)
            arrivals.append(timers.now)
            assert len(chunk.ids) == 1
        await chunks.aclose()  # type: ignore[attr-defined]
    assert arrivals == [0.0, 0.25, 0.5, 0.75, 1.0]


async def test_a_throttled_engine_works_no_more_than_one_token_ahead() -> None:
    timers, engine = Timers(), saying()
    async with driving(engine, throttle_tokens_per_s=1, clock=timers.clock, call_later=timers.call_later) as driver:
        chunks = driver.generate(long_state(), "a")
        await anext(chunks)
        following = asyncio.ensure_future(anext(chunks))
        await timers.armed.wait()
        steps = engine.stats().output_tokens
        for _ in range(100):
            await asyncio.sleep(0)
        assert engine.stats().output_tokens == steps == 2
        driver.retune(None)
        check_order([Chunk(0, ANSWER[:1], ""), await following, *await collect(chunks)])


async def test_a_failing_step_fails_its_attempts_and_the_driver_goes_on() -> None:
    engine = saying(gated=True)
    async with driving(engine) as driver:
        chunks = driver.generate(long_state(), "a")
        engine.allow()
        first = await anext(chunks)
        engine.fail_next(ValueError("bad kernel"))
        engine.open()
        with pytest.raises(TierError, match="bad kernel"):
            await collect(chunks)
        assert driver.healthy
        rest = await collect(driver.generate(long_state(output_ids=first.ids), "b"))
        check_order(rest, start=1)
    assert engine.cancelled == ["a"]


@pytest.mark.parametrize("broken", ["three failures in a row", "cancel raises"])
async def test_an_engine_that_cannot_go_on_is_given_up(broken: str) -> None:
    engine = saying()
    engine.break_cancel = broken == "cancel raises"
    engine.fail_next(ValueError("dead"), times=3)
    async with driving(engine) as driver:
        for name in ("a", "b", "c"):
            with pytest.raises(TierError):
                await collect(driver.generate(long_state(), name))
        await driver.given_up.wait()
        assert not driver.healthy
        with pytest.raises(TierLostError):
            await anext(driver.generate(long_state(), "d"))


async def test_stop_ends_everything_with_tier_lost() -> None:
    engine = saying(gated=True)
    async with driving(engine) as driver:
        running = asyncio.create_task(collect(driver.generate(long_state(), "a")))
        await asyncio.sleep(0)
        engine.open()
        engine.fail_next(RuntimeError("unseen"))
        stopping = asyncio.create_task(driver.stop())
        with pytest.raises(TierLostError):
            await running
        await stopping
        with pytest.raises(TierLostError):
            await anext(driver.generate(long_state(), "b"))


async def test_a_driver_that_was_not_started_refuses() -> None:
    driver = EngineDriver(saying(), TOKENIZER, kind="edge", name="edge:test", models=("tiny",))
    with pytest.raises(TierLostError):
        await anext(driver.generate(long_state(), "a"))


async def test_messages_are_encoded_where_ids_are_missing_or_foreign() -> None:
    seen: list[GenerationState] = []

    def script(state: GenerationState) -> tuple[int, ...]:
        seen.append(state)
        return ANSWER[:1]

    messages = (Message("user", "hello"),)
    async with driving(ScriptedEngine(script)) as driver:
        await collect(driver.generate(long_state(prompt_ids=(), messages=messages), "a"))
        await collect(driver.generate(long_state(tokenizer_digest="other", messages=messages), "b"))
        with pytest.raises(TierRefusedError):
            await anext(driver.generate(long_state(tokenizer_digest="other", output_ids=(9,), messages=messages), "c"))
        with pytest.raises(TierRefusedError):
            await anext(driver.generate(long_state(output_text="Hi"), "d"))
    assert {state.prompt_ids for state in seen} == {TOKENIZER.encode_chat(messages)}
    assert {state.eos_ids for state in seen} == {TOKENIZER.eos_ids}


async def test_load_counts_what_runs_and_waits() -> None:
    engine = saying(gated=True, slots=1)
    async with driving(engine) as driver:
        running = [driver.generate(long_state(), name) for name in "abc"]
        waiting = [asyncio.ensure_future(anext(chunks)) for chunks in running]
        engine.allow()
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        assert (driver.load().running, driver.load().queued, driver.load().slots) == (1, 2, 1)
        engine.open()
        for task in waiting:
            await task
        for chunks in running:
            await collect(chunks)
        assert driver.load().queued == 0


async def test_capabilities_name_model_and_tokenizer() -> None:
    driver = EngineDriver(saying(), TOKENIZER, kind="cloud", name="cloud:w", models=("tiny", "auto"))
    told = driver.capabilities
    assert (told.models, told.tokenizer_digest, told.numerics_id) == (("tiny", "auto"), TOKENIZER.digest, "scripted")
    assert told.model_version == scripted_manifest().id


def test_a_tokenizer_of_another_model_is_refused() -> None:
    import msgspec

    manifest = msgspec.structs.replace(scripted_manifest(), tokenizer_digest="f" * 64)
    with pytest.raises(ModelDigestError):
        EngineDriver(saying(manifest=manifest), TOKENIZER, kind="edge", name="e", models=())


@pytest.mark.parametrize("missing", [1, 0, -1])
def test_a_tokenizer_with_ids_that_the_model_lacks_is_refused(missing: int) -> None:
    engine = saying()
    engine.vocab_size = TOKENIZER.vocab_size - missing
    if missing <= 0:
        EngineDriver(engine, TOKENIZER, kind="edge", name="e", models=())
        return
    with pytest.raises(ModelDigestError, match=f"up to {TOKENIZER.vocab_size - 1}"):
        EngineDriver(engine, TOKENIZER, kind="edge", name="e", models=())

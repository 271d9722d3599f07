"""The runner: one gap-free log, one end, and text that goes on whoever dies. Over a real SQLite log."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_agent.sqlite_log import SqliteStreamLog
from edgewise.generation.state import GenerationState
from edgewise.node.backoff import BackoffConfig
from edgewise.routing.plan import Limits, Plan
from edgewise.routing.runner import Job, Outcome, Runner
from edgewise.routing.scripted import Script, ScriptedTier
from edgewise.routing.seams import Seams
from edgewise.routing.tier import Capabilities, Chunk, Tier, TierKind
from edgewise.streams.entries import (
    CancelEntry,
    EndEntry,
    Entry,
    ErrorEntry,
    TierEntry,
    TokensEntry,
    WarnEntry,
    decode_entry,
    encode_entry,
)
from edgewise.streams.log import Appended, Claim, Head
from edgewise.wire.errors import BadRequestError, ShuttingDownError, TierLostError

WORDS = tuple(f"w{index} " for index in range(12))
STATE = GenerationState(
    prompt_ids=(1, 2, 3), messages=(), model="m", max_tokens=50, seed=1, tokenizer_digest="t", template_digest="c"
)
SID = "0" * 26


class Bench:
    """A runner over a fresh log, with tiers that follow scripts."""

    def __init__(self, log: SqliteStreamLog) -> None:
        self.log = log
        self.now = 0.0
        self.naps: list[float] = []
        self.runner = Runner(log, holder="test", lease_s=60, clock=lambda: self.now, sleep=self.nap)
        self.tiers: list[ScriptedTier] = []
        self.on_nap: Callable[[], None] = lambda: None

    async def nap(self, seconds: float) -> None:
        self.now += seconds
        self.on_nap()

    def source(self, kind: TierKind) -> list[Tier]:
        return [tier for tier in self.tiers if tier.kind == kind]

    async def start(
        self,
        *tiers: ScriptedTier,
        kinds: tuple[TierKind, ...] = ("edge", "cloud"),
        state: GenerationState = STATE,
        limits: Limits | None = None,
        seams: Seams | None = None,
    ) -> asyncio.Future[Outcome]:
        self.tiers = list(tiers)
        claim = await self.runner.open(SID, owner="k", request=b"r")
        plan = Plan(mode="prefer-edge", kinds=kinds, tiers=self.source, limits=limits or Limits())
        ended: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        encode = lambda text: tuple(range(len(text.split())))  # noqa: E731
        self.runner.start(Job(SID, claim, plan, state, 0.0, encode, seams=seams or Seams()), ended.set_result)
        return ended

    async def answer(self, *tiers: ScriptedTier, **options: object) -> tuple[Outcome, list[Entry]]:
        outcome = await (await self.start(*tiers, **options))  # type: ignore[arg-type]
        return outcome, await self.entries()

    async def entries(self) -> list[Entry]:
        return [decode_entry(record.payload) for record in await self.log.read(SID, after=-1)]


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    log = SqliteStreamLog(tmp_path / "log.sqlite3")
    yield Bench(log)
    await log.aclose()


def text(entries: list[Entry]) -> str:
    return "".join(entry.text for entry in entries if isinstance(entry, TokensEntry))


def ids(entries: list[Entry]) -> list[int]:
    return [token for entry in entries if isinstance(entry, TokensEntry) for token in entry.ids]


def speakers(entries: list[Entry]) -> Iterator[tuple[str, str]]:
    return ((entry.tier, entry.why) for entry in entries if isinstance(entry, TierEntry))


def edge(**script: object) -> ScriptedTier:
    return ScriptedTier("edge:a", "edge", Script(WORDS, **script))  # type: ignore[arg-type]


def cloud(name: str = "cloud:w", **script: object) -> ScriptedTier:
    return ScriptedTier(name, "cloud", Script(WORDS, **script))  # type: ignore[arg-type]


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


async def test_another_claim_is_seen_and_told_apart_from_a_cancel(bench: Bench) -> None:
    gate = asyncio.Event()
    ended = await bench.start(edge(gate=gate))
    await bench.log.claim(SID, holder="test", lease_s=60, seen_epoch=1)  # the same holder may claim again
    gate.set()
    assert (await ended).finish == "fenced"
    assert bench.tiers[0].cancelled


async def test_while_draining_nothing_is_begun_and_what_is_cut_off_is_interrupted(bench: Bench) -> None:
    ended = await bench.start(edge(hangs_at=1))
    await bench.runner.drain(0.01)
    assert (await ended).finish == "interrupted"
    with pytest.raises(ShuttingDownError):
        await bench.runner.open("1" * 26, owner="k", request=b"r")
    with pytest.raises(ShuttingDownError):
        await bench.runner.claim(SID, seen_epoch=1)


async def test_told_to_stop_again_and_again_it_is_cancelled_all_the_same(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by a cancel here that the writer notices by itself, too."""
    head = bench.log.head

    async def slow_head(sid: str) -> Head:
        for _ in range(3):
            await asyncio.sleep(0)
        return await head(sid)

    monkeypatch.setattr(bench.log, "head", slow_head)
    ended = await bench.start(edge(hangs_at=2))
    while not bench.tiers[0].states:
        await asyncio.sleep(0)
    await bench.log.cancel(SID, payload=encode_entry(CancelEntry("client")))
    while not ended.done():
        bench.runner.stop_answer(SID)
        await asyncio.sleep(0)
    assert (await ended).finish == "cancelled"


async def test_an_end_that_was_on_its_way_when_the_answer_was_stopped_counts(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored, append = asyncio.Event(), bench.log.append

    async def slow_to_answer(sid: str, **entries: Any) -> Appended:
        appended = await append(sid, **entries)
        if entries["end"] and not stored.is_set():
            stored.set()
            await asyncio.Event().wait()
        return appended

    monkeypatch.setattr(bench.log, "append", slow_to_answer)
    ended = await bench.start(edge())
    await stored.wait()
    bench.runner.stop_answer(SID)
    outcome = await ended
    assert (outcome.finish, outcome.usage.completion_tokens) == ("stop", 12)


async def test_a_stream_that_was_being_opened_when_the_drain_began_is_left_to_others(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, opening = asyncio.Event(), bench.log.open

    async def slow_to_open(sid: str, **said: Any) -> Claim:
        claim = await opening(sid, **said)
        await gate.wait()
        return claim

    monkeypatch.setattr(bench.log, "open", slow_to_open)
    starting = asyncio.create_task(bench.start(edge(hangs_at=1)))
    await asyncio.sleep(0)
    await bench.runner.drain(0.01)
    gate.set()
    assert (await (await starting)).finish == "interrupted"
    assert await bench.log.expired() == [SID]
    assert await bench.entries() == []


async def test_an_error_is_never_in_the_log_without_the_end(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever resumed a stream with an error in it would go on speaking behind it."""
    append, steps = bench.log.append, list[list[type[Entry]]]()

    async def noted(sid: str, **entries: Any) -> Appended:
        steps.append([type(decode_entry(payload)) for payload in entries["payloads"]])
        return await append(sid, **entries)

    monkeypatch.setattr(bench.log, "append", noted)
    await bench.answer(edge(fails_at=2), kinds=("edge",))
    assert steps[-1][-2:] == [ErrorEntry, EndEntry]


async def test_a_job_that_was_fenced_leaves_the_next_one_of_its_stream_alone(bench: Bench) -> None:
    gate = asyncio.Event()
    first = await bench.start(edge(gate=gate))
    claim = await bench.runner.claim(SID, seen_epoch=1)
    plan = Plan(mode="prefer-edge", kinds=("edge",), tiers=bench.source)
    second: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    bench.runner.start(Job(SID, claim, plan, STATE, 0.0, resumed=True), second.set_result)
    bench.tiers = [edge(hangs_at=3)]
    gate.set()
    assert (await first).finish == "fenced"
    await asyncio.sleep(0)
    assert bench.runner.is_making(SID)
    await bench.runner.drain(0.01)
    assert (await second).finish == "interrupted"


class WholeTier(ScriptedTier):
    """Gives its answer in one piece when it is asked to, a while after."""

    def __init__(self, name: str, kind: TierKind, script: Script, after_s: float = 0.0) -> None:
        super().__init__(name, kind, script, Capabilities(models=("m",), whole=True))
        self.after_s = after_s

    async def generate_whole(self, state: GenerationState, attempt: str) -> AsyncIterator[Chunk]:
        await asyncio.sleep(self.after_s)
        yield Chunk(0, (), "".join(self.script.words), "stop")


async def start_whole(bench: Bench, *tiers: ScriptedTier, limits: Limits | None = None) -> tuple[Outcome, list[Entry]]:
    bench.tiers = list(tiers)
    claim = await bench.runner.open(SID, owner="k", request=b"r")
    plan = Plan("prefer-edge", ("edge", "cloud"), bench.source, limits or Limits(), whole=True)
    ended: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    bench.runner.start(Job(SID, claim, plan, STATE, 0.0), ended.set_result)
    return await ended, await bench.entries()


async def test_an_answer_that_nobody_reads_before_its_end_comes_in_one_piece(bench: Bench) -> None:
    outcome, entries = await start_whole(bench, WholeTier("cloud:up", "cloud", Script(WORDS)))
    assert [type(entry) for entry in entries] == [TierEntry, EndEntry]
    assert isinstance(entries[1], EndEntry) and entries[1].text == "".join(WORDS)
    assert (outcome.finish, outcome.tiers) == ("stop", ["cloud:up"])


async def test_a_tier_that_cannot_give_it_whole_streams(bench: Bench) -> None:
    _, entries = await start_whole(bench, edge())
    assert text(entries) == "".join(WORDS)


async def test_a_whole_answer_may_take_as_long_as_its_tokens_and_no_longer(bench: Bench) -> None:
    slow = WholeTier("edge:slow", "edge", Script(WORDS), after_s=0.05)
    outcome, _ = await start_whole(bench, slow, cloud(), limits=Limits(stall_s=0.001))
    assert outcome.tiers == ["edge:slow"]  # 50 tokens may take ten seconds
    assert Limits(stall_s=2.0).first_s(10) == 4.0 and Limits(first_token_s=1.0).first_s() == 1.0

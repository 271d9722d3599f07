"""Answers that nobody reads before their end are asked for in one piece."""

import asyncio

from edgewise.generation.state import GenerationState
from edgewise.routing.plan import Limits, Plan
from edgewise.routing.runner import Job, Outcome
from edgewise.routing.scripted import Script, ScriptedTier
from edgewise.routing.tier import Capabilities, Chunk, Finish, TierKind
from edgewise.streams.entries import (
    EndEntry,
    Entry,
    TierEntry,
)
from tests.edgewise.routing.bench import SID, STATE, WORDS, Bench, cloud, edge, text


class WholeTier(ScriptedTier):
    """Gives its answer in one piece when it is asked to, a while after."""

    def __init__(
        self, name: str, kind: TierKind, script: Script, after_s: float = 0.0, finish: Finish | None = "stop"
    ) -> None:
        super().__init__(name, kind, script, Capabilities(models=("m",), whole=True))
        self.after_s = after_s
        self.finish = finish

    async def generate_whole(self, state: GenerationState, attempt: str) -> Chunk:
        await asyncio.sleep(self.after_s)
        return Chunk(0, (), "".join(self.script.words), self.finish)


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


async def test_a_part_of_an_answer_is_no_whole_one(bench: Bench) -> None:
    half = WholeTier("edge:half", "edge", Script(WORDS), finish=None)
    outcome, entries = await start_whole(bench, half, cloud())
    assert outcome.tiers == ["cloud:w"] and text(entries) == "".join(WORDS)
    assert "a part for a whole answer" in outcome.failures[0].message


async def test_a_tier_that_cannot_give_it_whole_streams(bench: Bench) -> None:
    _, entries = await start_whole(bench, edge())
    assert text(entries) == "".join(WORDS)


async def test_a_whole_answer_may_take_as_long_as_its_tokens_and_no_longer(bench: Bench) -> None:
    slow = WholeTier("edge:slow", "edge", Script(WORDS), after_s=0.05)
    outcome, _ = await start_whole(bench, slow, cloud(), limits=Limits(stall_s=0.001))
    assert outcome.tiers == ["edge:slow"]  # 50 tokens may take ten seconds
    assert Limits(stall_s=2.0).first_s(10) == 4.0 and Limits(first_token_s=1.0).first_s() == 1.0

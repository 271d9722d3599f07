"""Answers that the runner moves between engines: what the log holds in the end, and what every engine was asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from control_plane.upstreams.kinds import KindName
from edgewise.generation.state import GenerationState, Message
from edgewise.routing.plan import Limits, Plan
from edgewise.routing.runner import Job, Outcome, Runner
from edgewise.routing.tier import Tier
from edgewise.streams.entries import EndEntry, TokensEntry, decode_entry
from edgewise.streams.sqlite_log import SqliteStreamLog
from tests.control_plane.upstreams.engines import TOKENIZER, Engine, chat, id_stream, tier_for

SID = "0" * 26
STATE = GenerationState(
    prompt_ids=(5, 6, 7),
    messages=(Message("user", "hi"),),
    model="m",
    max_tokens=200,
    seed=4,
    stops=("\n\n",),
    eos_ids=(1,),
    tokenizer_digest=TOKENIZER.digest,
    template_digest=TOKENIZER.template_digest,
)


@asynccontextmanager
async def tiers(*engines: tuple[Engine, KindName, bool]) -> AsyncIterator[list[Tier]]:
    async with AsyncExitStack() as stack:
        found: list[Tier] = []
        for number, (engine, kind, ids) in enumerate(engines):
            tier = await stack.enter_async_context(tier_for(engine, kind, ids=ids))
            tier.name = f"cloud:{number}"
            found.append(tier)
        yield found


async def answer(
    path: Path, found: Sequence[Tier], limits: Limits | None = None, state: GenerationState = STATE
) -> tuple[Outcome, str]:
    log = SqliteStreamLog(path / "log.sqlite3")
    runner = Runner(log, holder="test", lease_s=60)
    claim = await runner.open(SID, owner="k", request=b"r")
    plan = Plan(mode="cloud", kinds=("cloud",), tiers=lambda kind: list(found), limits=limits or Limits())
    ended: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    runner.start(Job(SID, claim, plan, state, 0.0, TOKENIZER.encode), ended.set_result)
    async with asyncio.timeout(20):
        outcome = await ended
    entries = [decode_entry(record.payload) for record in await log.read(SID, after=-1)]
    await log.aclose()
    return outcome, "".join(entry.text for entry in entries if isinstance(entry, TokensEntry | EndEntry))


def breaks_off(texts: Sequence[str]) -> Engine:
    return Engine(chat("vllm", texts, "stop")[:-1], done=False)


@pytest.mark.parametrize(("rest", "whole"), [("two", "one\ntwo"), ("\ntwo", "one\n"), ("", "one\n")])
async def test_from_text_to_ids_no_character_is_doubled_at_a_stop_string(tmp_path: Path, rest: str, whole: str) -> None:
    last = Engine(id_stream("vllm", [TOKENIZER.encode(rest)], "stop", 1))
    async with tiers((breaks_off(["one", "\n"]), "vllm", False), (last, "vllm", True)) as found:
        outcome, text = await answer(tmp_path, found)
    assert (text, outcome.finish, outcome.tiers) == (whole, "stop", ["cloud:0", "cloud:1"])
    assert last.asked[0][1]["prompt"] == [5, 6, 7, *TOKENIZER.encode("one\n")]


async def test_from_ids_to_text_every_token_is_counted_once(tmp_path: Path) -> None:
    begun = TOKENIZER.encode("one two three")
    first = Engine([*id_stream("vllm", [begun, begun], "stop", None)[:1]], done=False)
    usage = {"choices": [], "usage": {"prompt_tokens": 60, "completion_tokens": 3}}
    last = Engine([*chat("vllm", [" four", " five", " six"], "stop"), usage])
    async with tiers((first, "vllm", True), (last, "vllm", False)) as found:
        outcome, text = await answer(tmp_path, found)
    assert (text, outcome.finish) == ("one two three four five six", "stop")
    assert (outcome.usage.prompt_tokens, outcome.usage.completion_tokens) == (3, len(begun) + 3)


async def test_an_engine_that_falls_silent_is_told_and_left(tmp_path: Path) -> None:
    silent = Engine(chat("sglang", ["one"], "stop")[:-1], done=False, hang=True)
    last = Engine(id_stream("vllm", [TOKENIZER.encode(" two")], "stop", 1))
    async with tiers((silent, "sglang", False), (last, "vllm", True)) as found:
        outcome, text = await answer(tmp_path, found, Limits(first_token_s=5.0, stall_s=1.0))
        await silent.hung_up.wait()
    assert (text, outcome.finish) == ("one two", "stop")
    assert [path for path, _ in silent.asked] == ["/v1/chat/completions", "/abort_request"]


async def test_what_must_not_leave_reaches_no_engine(tmp_path: Path) -> None:
    engine = Engine(id_stream("vllm", [TOKENIZER.encode("one")], "stop", 1))
    private = msgspec.structs.replace(STATE, local_only=True)
    async with tiers((engine, "vllm", True)) as found:
        outcome, _ = await answer(tmp_path, found, state=private)
    assert (outcome.finish, engine.asked) == ("error", [])

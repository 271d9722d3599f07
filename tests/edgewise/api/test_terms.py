"""Terms of decisions through the endpoints: the pace of each reader, what a cost pays for, fallbacks, taking up."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import msgspec
import pytest

from edgewise.api.asgi import Receive, Scope, Send
from edgewise.api.chat import ChatCompletions
from edgewise.api.intake import Snapshot
from edgewise.api.service import AnswerService
from edgewise.api.stream_socket import StreamSocket
from edgewise.api.streams import Streams
from edgewise.generation.state import GenerationState
from edgewise.routing.runner import Runner
from edgewise.routing.scripted import Script, ScriptedTier
from edgewise.routing.tier import Chunk
from edgewise.streams.entries import TokensEntry, decode_entry
from edgewise.streams.log import StreamLog
from edgewise.streams.tailer import TailerHub
from policies import Mode, StepTerms, Terms, Timeouts
from tests.edgewise.api.conftest import WORDS, Api
from tests.edgewise.api.test_chat import text_of
from tests.edgewise.api.test_stream_socket import opened

SLOW = Terms(tokens_per_s=0.001)
"""A token in a quarter of an hour: whoever waits for the second one waits for ever."""


def decide(api: Api, terms: Terms, **changes: Any) -> None:
    api.host.decision = dataclasses.replace(api.host.decision, terms=terms, **changes)


class InOnePiece(ScriptedTier):
    """Says something else where it may give its answer in one piece."""

    async def generate_whole(self, state: GenerationState, attempt: str) -> Chunk:
        return Chunk(0, (), "in one piece", "stop")


class Reading:
    """A reader of a stream that hangs up when it is told to."""

    def __init__(self, app: ChatCompletions | Streams, scope: Scope, body: bytes = b"") -> None:
        self.seen = asyncio.Event()
        self.text = ""
        self._body = body
        self._gone = asyncio.Event()
        self._asked = False
        self._task = asyncio.create_task(self._run(app, scope))

    async def until(self, words: str) -> None:
        """Wait until these words are shown."""
        async with asyncio.timeout(10):
            while words not in text_of(self.text):
                self.seen.clear()
                await self.seen.wait()

    async def hang_up(self) -> str:
        """Leave; the text that was shown."""
        self._gone.set()
        await self._task
        return text_of(self.text)

    async def _run(self, app: ChatCompletions | Streams, scope: Scope) -> None:
        receive: Receive = self._receive
        send: Send = self._send
        await app(scope, receive, send)

    async def _receive(self) -> dict[str, Any]:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": self._body}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        self.text += message.get("body", b"").decode()
        self.seen.set()


async def made(log: StreamLog, sid: str, words: int) -> None:
    """Wait until so many words are in the log, in however many records."""
    async with asyncio.timeout(10):
        while True:
            entries = [decode_entry(record.payload) for record in await log.read(sid, after=-1)]
            if sum(len(entry.ids) for entry in entries if isinstance(entry, TokensEntry)) >= words:
                return
            await asyncio.sleep(0)


def scope(method: str, sid: str = "", query: str = "") -> Scope:
    headers = [(b"authorization", b"Bearer alice")]
    return {
        "type": "http",
        "method": method,
        "headers": headers,
        "query_string": query.encode(),
        "path_params": {"sid": sid},
    }


# ── pacing ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_paced_answer_is_made_at_once_and_shown_slowly(api: Api) -> None:
    decide(api, SLOW)
    reading = Reading(api.chat, scope("POST"), api.body(stream=True))
    await reading.until(WORDS[0])
    await api.runner.drain(5)
    assert api.host.outcomes[0].usage.completion_tokens == len(WORDS)
    assert await reading.hang_up() == WORDS[0]


async def test_who_leaves_holds_nobody_back_any_more(api: Api) -> None:
    """A process that stops would cut the reader off; the answer is whole in the log."""
    decide(api, SLOW)
    reading = Reading(api.chat, scope("POST"), api.body(stream=True))
    await reading.until(WORDS[0])
    await api.runner.drain(5)
    api.leaving.begin()
    await reading.until("".join(WORDS))
    assert await reading.hang_up() == "".join(WORDS)


async def test_each_reader_is_paced_from_its_own_cursor(api: Api) -> None:
    decide(api, SLOW)
    whole = (await api.ask()).json()
    assert whole["choices"][0]["message"]["content"] == "".join(WORDS)
    sid = whole["edgewise"]["stream"]
    again = Reading(Streams(api.service), scope("GET", sid))
    await again.until(WORDS[0])
    assert await again.hang_up() == WORDS[0]
    _, (_, first), *_ = [(decode_entry(each.payload), each.seq) for each in await api.service.log.read(sid, after=-1)]
    rest = await asyncio.wait_for(api.read(f"/v1/streams/{sid}?after={first}"), 10)
    assert text_of(rest.text) == "".join(WORDS[1:])


async def test_a_reader_on_a_socket_is_paced(api: Api) -> None:
    decide(api, SLOW)
    sid = (await api.ask()).json()["edgewise"]["stream"]
    async with opened(StreamSocket(api.service, api.visits, api.leaving)) as wire:
        wire.say(type="subscribe", id=sid, credit=9)
        shown = [await wire.hear() for _ in range(2)]
        assert shown[1]["data"]["choices"][0]["delta"]["content"] == WORDS[0]
        wire.say(type="ping", nonce="n")
        assert (await wire.hear())["type"] == "pong"
        assert wire.is_silent()


@pytest.mark.parametrize("by", ["client", "operator"])
async def test_a_cancel_ends_the_pacing(api: Api, by: str) -> None:
    """Of an answer of which four words are in the log and one is shown; here, and by a gateway that only reads it."""
    api.host.scripted = [api.host.tier("edge:a", "edge", hangs_at=4)]
    decide(api, SLOW)
    reading = Reading(api.chat, scope("POST"), api.body(stream=True))
    await reading.until(WORDS[0])
    sid = api.host.admissions[0].sid
    log = api.service.log
    other = AnswerService(api.host, log, TailerHub(log), Runner(log, holder="other", lease_s=60))
    readings = [reading, *(Reading(Streams(service), scope("GET", sid)) for service in (api.service, other))]
    for each in readings:
        await each.until(WORDS[0])
    async with opened(StreamSocket(api.service, api.visits, api.leaving)) as wire:
        wire.say(type="subscribe", id=sid, credit=9)
        await wire.hear()
        await made(log, sid, 4)
        if by == "client":
            await api.client.delete(f"/v1/streams/{sid}", headers=api.as_key("alice"))
        else:
            await api.service.cancel_any(sid)
        for each in readings:
            await each.until("".join(WORDS[:4]))
            assert await each.hang_up() == "".join(WORDS[:4])
        while (await wire.hear())["type"] != "end":
            pass


async def test_a_cancelled_answer_is_read_again_at_once(api: Api) -> None:
    api.host.scripted = [api.host.tier("edge:a", "edge", hangs_at=4)]
    decide(api, SLOW)
    reading = Reading(api.chat, scope("POST"), api.body(stream=True))
    await reading.until(WORDS[0])
    sid = api.host.admissions[0].sid
    await made(api.service.log, sid, 4)
    await api.service.cancel_any(sid)
    await reading.hang_up()
    rest = await asyncio.wait_for(api.read(f"/v1/streams/{sid}"), 10)
    assert text_of(rest.text) == "".join(WORDS[:4])


async def test_no_pace_holds_nobody(api: Api) -> None:
    assert text_of((await api.ask(stream=True)).text) == "".join(WORDS)


# ── budget.maxCost ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("pays_for", "granted"), [(3, 3), (None, 9), (1, 1), (100, 9)])
async def test_a_cost_bounds_the_length(api: Api, pays_for: int | None, granted: int) -> None:
    api.host.pays_for = pays_for
    decide(api, Terms(max_cost=40))
    await api.ask(max_tokens=9)
    assert api.host.scripted[0].states[0].max_tokens == granted == api.host.reserved[0][2]
    kinds, prompt_tokens, cost = api.host.priced[0]
    assert (kinds, cost) == (("edge", "cloud"), 40)
    assert prompt_tokens == len(api.host.scripted[0].states[0].prompt_ids)


async def test_a_cost_that_pays_for_no_token_is_refused(api: Api) -> None:
    api.host.pays_for = 0
    decide(api, Terms(max_cost=40))
    response = await api.ask()
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (403, "refused_by_policy")
    assert "40 micro-units" in error["message"] and "budget.maxCost of rule 规则 1" in error["where"]
    assert api.host.reserved == [] and api.host.admissions == []


async def test_without_a_cost_nobody_asks_for_prices(api: Api) -> None:
    await api.ask()
    assert api.host.priced == []


# ── models, fallbacks, a head start ─────────────────────────────────────────────────────────────────────────────


async def test_a_fallback_is_bounded_and_its_reason_told(api: Api) -> None:
    api.host.scripted = [api.host.tier("edge:a", "edge", fails_at=0), api.host.tier("cloud:w", "cloud")]
    decide(api, Terms(fallback=(StepTerms(Mode.CLOUD, 2, "the device is busy"),)))
    whole = (await api.ask()).json()
    assert (whole["usage"]["completion_tokens"], whole["choices"][0]["finish_reason"]) == (2, "length")
    assert whole["edgewise"]["warnings"] == [{"code": "fallback", "message": "the device is busy"}]
    streamed = (await api.ask(stream=True)).text
    assert '"warning":{"code":"fallback","message":"the device is busy"}' in streamed


async def test_a_fallback_to_the_modes_own_tier_is_none(api: Api) -> None:
    decide(api, Terms(fallback=(StepTerms(Mode.EDGE, 2, "never"),)), mode=Mode.RACE, fallback=(Mode.EDGE,))
    whole = (await api.ask()).json()
    assert whole["usage"]["completion_tokens"] == len(WORDS) and "warnings" not in whole["edgewise"]


async def test_a_model_that_nobody_has_is_an_error_that_may_be_retried(api: Api) -> None:
    decide(api, Terms(edge_model="model-large"))
    response = await api.ask()
    assert response.status_code == 503
    assert "'model-large', which the policy asks for" in response.json()["error"]["message"]


async def test_a_head_start_ends_by_itself(api: Api) -> None:
    api.host.scripted = [api.host.tier("edge:a", "edge", hangs_at=0), api.host.tier("cloud:w", "cloud")]
    decide(api, Terms(), timeouts=Timeouts(soft_s=0.001))
    assert (await api.ask()).json()["edgewise"]["tier"] == "cloud:w"


@pytest.mark.parametrize(("soft_s", "said"), [(None, "in one piece"), (3600.0, "".join(WORDS))])
async def test_a_head_start_needs_a_first_token(api: Api, soft_s: float | None, said: str) -> None:
    """An answer in one piece has none before its end, so every tier would seem silent."""
    capabilities = msgspec.structs.replace(api.host.tier("edge:a", "edge").capabilities, whole=True)
    api.host.scripted = [InOnePiece("edge:a", "edge", Script(WORDS), capabilities)]
    decide(api, Terms(), timeouts=Timeouts(soft_s=soft_s))
    assert (await api.ask()).json()["choices"][0]["message"]["content"] == said


# ── taking up ───────────────────────────────────────────────────────────────────────────────────────────────────


async def test_who_takes_a_fallbacks_answer_up_keeps_its_bound(api: Api) -> None:
    """Its runner stops after the first token; the next one knows from the log that a fallback had begun."""
    host = api.host
    host.scripted = [host.tier("cloud:w", "cloud", hangs_at=1)]
    decide(api, Terms(fallback=(StepTerms(Mode.CLOUD, 3),)))
    reading = Reading(api.chat, scope("POST"), api.body(stream=True))
    await reading.until(WORDS[0])
    await api.runner.drain(0)
    host.scripted = [host.tier("cloud:v", "cloud")]
    runner = Runner(api.service.log, holder="other", lease_s=60)
    await AnswerService(host, api.service.log, TailerHub(api.service.log), runner).resume(host.admissions[0].sid)
    await runner.drain(5)
    await reading.hang_up()
    assert host.scripted[0].states[0].output_ids == (0,)
    assert (host.outcomes[-1].finish, host.outcomes[-1].usage.completion_tokens) == ("length", 3)


def test_streams_of_before_there_were_terms_are_read() -> None:
    fields = {"sid": "s", "created": 1, "model": "m", "include_usage": False, "mode": "edge", "rule": "r"}
    state = {"prompt_ids": [1], "messages": [], "model": "m", "max_tokens": 5, "seed": 1}
    limits = {"first_token_s": None, "stall_s": 30.0, "soft_s": 10.0, "total_s": None}
    old = {
        "header": fields | {"reason": "", "policy": ""},
        "state": state,
        "caller": {"key_id": "k", "tenant": "t", "user_tier": "free"},
        "device": "",
        "mode": "edge",
        "kinds": ["edge"],
        "limits": limits,
    }
    snapshot = msgspec.msgpack.decode(msgspec.msgpack.encode(old), type=Snapshot)
    assert snapshot.terms == Terms() and snapshot.header.tokens_per_s is None and snapshot.limits.head_start_s is None

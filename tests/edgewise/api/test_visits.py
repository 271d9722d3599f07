"""A repeated request reads the answer it asked for before, and nothing is generated twice."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from edgewise.api.chat import ChatCompletions
from edgewise.api.repeats import Held
from edgewise.api.visits import ORPHAN_S, Repetition, Visits, body_digest, repetition
from edgewise.ids import new_id
from edgewise.streams.log import Claim
from edgewise.streams.memory import MemoryStreamLog
from edgewise.wire.errors import TierRefusedError
from policies import Decision, Mode
from tests.edgewise.api.conftest import WORDS, Api, api_over
from tests.edgewise.api.test_chat import text_of

KEY = {"idempotency-key": "8e03978e-40d5-43dd-bc93-6894a57f9324"}
STREAM_ID, REPLAYED = "x-edgewise-stream-id", "x-edgewise-replayed"
EVERYTHING = "".join(WORDS)


def retry(count: int) -> dict[str, str]:
    return {"x-stainless-retry-count": str(count)}


def generations(api: Api) -> int:
    return sum(len(tier.states) for tier in api.host.scripted)


# By key -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
async def test_the_same_key_and_body_is_the_same_answer(api: Api, stream: bool) -> None:
    first = await api.ask(headers=KEY, stream=stream)
    again = await api.ask(headers=KEY, stream=stream)
    assert again.text == first.text
    assert again.headers[STREAM_ID] == first.headers[STREAM_ID]
    assert (REPLAYED in first.headers, again.headers[REPLAYED]) == (False, "true")
    assert generations(api) == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_a_key_attaches_to_an_answer_that_is_being_made(api: Api, stream: bool) -> None:
    answers = await asyncio.gather(*(api.ask(headers=KEY, stream=stream) for _ in range(5)))
    assert {answer.text for answer in answers} == {answers[0].text}
    assert len({answer.headers[STREAM_ID] for answer in answers}) == 1
    assert sum(REPLAYED in answer.headers for answer in answers) == 4
    assert generations(api) == 1


async def test_another_body_under_the_same_key_is_refused_for_good(api: Api) -> None:
    await api.ask(headers=KEY)
    other = await api.ask(headers=KEY, max_tokens=3)
    assert (other.status_code, other.json()["error"]["code"]) == (422, "idempotency_key_reused")
    assert other.headers["x-should-retry"] == "false"


async def test_the_same_key_of_another_caller_is_another_key(api: Api) -> None:
    one, other = await api.ask(headers=KEY), await api.ask("bob", headers=KEY, max_tokens=3)
    assert (one.status_code, other.status_code) == (200, 200)
    assert one.headers[STREAM_ID] != other.headers[STREAM_ID]


@pytest.mark.parametrize("key", ["k" * 256, "tab\there", "naïve"])
async def test_what_cannot_be_a_key(api: Api, key: str) -> None:
    response = await api.client.post(
        "/v1/chat/completions",
        content=api.body(),
        headers=[(b"authorization", b"Bearer alice"), (b"idempotency-key", key.encode("latin-1"))],
    )
    assert (response.status_code, response.json()["error"]["code"]) == (400, "idempotency_key_invalid")


@pytest.mark.parametrize("stream", [False, True])
async def test_an_http_error_is_no_answer_and_frees_the_key(api: Api, stream: bool) -> None:
    good = api.host.scripted
    api.host.scripted = [api.host.tier("edge:a", "edge", fails_at=0, error=TierRefusedError("queue is full"))]
    assert (await api.ask(headers=KEY, stream=stream)).status_code == 503
    api.host.scripted = good
    again = await api.ask(headers=KEY, stream=stream)
    assert (again.status_code, REPLAYED in again.headers) == (200, False)


async def test_so_does_a_refusal(api: Api) -> None:
    allowed, api.host.decision = api.host.decision, Decision(mode=Mode("refuse"), rule_id="no", reason="no")
    assert (await api.ask(headers=KEY)).status_code == 403
    api.host.decision = allowed
    assert (await api.ask(headers=KEY)).status_code == 200


async def test_an_answer_that_only_this_process_stopped_keeps_its_key(api: Api) -> None:
    api.host.scripted = [api.host.tier("edge:a", "edge", hangs_at=0)]
    asking = asyncio.create_task(api.ask(headers=KEY))
    while not generations(api):
        await asyncio.sleep(0)
    sid = api.host.admissions[0].sid
    await api.runner.drain(0.01)
    assert (await asking).json()["error"]["code"] == "shutting_down"
    held = await api.repeats.hold("alice", KEY["idempotency-key"], Held(new_id(), "other"))
    assert held.sid == sid
    assert sid in await api.service.log.expired()  # whoever comes may go on at once


@pytest.mark.parametrize("stream", [False, True])
async def test_with_a_key_a_hang_up_changes_nothing(api: Api, stream: bool) -> None:
    gate = api.gated()
    sid = await api.hang_up(KEY, stream=stream)
    assert (await api.service.log.head(sid)).status == "open"
    again = asyncio.create_task(api.ask(headers=KEY, stream=stream))
    gate.set()
    assert (await again).headers[STREAM_ID] == sid
    assert generations(api) == 1


async def test_a_key_and_a_cursor_read_the_rest(api: Api) -> None:
    first = await api.ask(headers=KEY, stream=True)
    cursor = [line[4:] for line in first.text.splitlines() if line.startswith("id: ")][1]
    rest = await api.ask(headers=KEY | {"last-event-id": cursor}, stream=True)
    assert first.text.endswith(rest.text)
    assert f"id: {cursor}\n" not in rest.text


async def test_a_key_whose_holder_died_before_it_opened_the_stream(api: Api) -> None:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    promised = Held(new_id(), body_digest(api.body()))
    await api.repeats.hold("alice", KEY["idempotency-key"], promised)
    visits, said = Visits(api.service, api.repeats, sleep=sleep), Repetition(key=KEY["idempotency-key"])
    visit = await visits.open(api.host.authenticate("Bearer alice"), api.request(), api.body(), said)
    assert (visit.answer.sid, visit.replayed) == (promised.sid, False)
    assert 1 < sum(waited) < 10


class LateLog(MemoryStreamLog):
    """The first stream is opened late: only when somebody else has opened it in the meantime."""

    def __init__(self) -> None:
        super().__init__()
        self.tries = 0
        self.second = asyncio.Event()

    async def open(self, sid: str, *, owner: str, request: bytes, holder: str, lease_s: float) -> Claim:
        self.tries += 1
        if self.tries == 1:
            await self.second.wait()
        claim = await super().open(sid, owner=owner, request=request, holder=holder, lease_s=lease_s)
        self.second.set()
        return claim


async def test_two_that_open_the_same_promised_stream_make_one_answer() -> None:
    """The second lost its patience with the first, which was only slow."""
    log = LateLog()
    async with api_over(log) as api:
        impatient = Visits(api.service, api.repeats, sleep=lambda seconds: asyncio.sleep(0))
        caller, said = api.host.authenticate("Bearer alice"), Repetition(key="K")
        opened = await asyncio.gather(
            *(impatient.open(caller, api.request(), api.body(), said) for _ in range(2)), return_exceptions=True
        )
        visits = [visit for visit in opened if not isinstance(visit, BaseException)]
        assert len(visits) == 2
        assert len({visit.answer.sid for visit in visits}) == 1
        assert sorted(visit.replayed for visit in visits) == [False, True]
        assert (log.tries, len(api.host.admissions)) == (2, 1)


# By cursor ----------------------------------------------------------------------------------------------------------


async def test_a_post_with_a_cursor_reads_on(api: Api) -> None:
    first = await api.ask(stream=True)
    ids = [line[4:] for line in first.text.splitlines() if line.startswith("id: ")]
    for cursor in ids[:-1]:
        rest = await api.ask(headers={"last-event-id": cursor}, stream=True)
        assert rest.text == first.text[first.text.index(f"id: {cursor}\n") :].partition("\n\n")[2]
        assert rest.headers[REPLAYED] == "true"
    assert (await api.ask(headers={"last-event-id": ids[-1]}, stream=True)).status_code == 204
    assert generations(api) == 1


@pytest.mark.parametrize(
    ("cursor", "key", "fields", "status", "code"),
    [
        ("{sid}/0", "alice", {"max_tokens": 2}, 409, "other_request"),
        ("{sid}/0", "bob", {}, 404, "stream_not_found"),
        ("{sid}/999", "alice", {}, 409, "cursor_ahead"),
        ("0", "alice", {}, 400, "cursor_malformed"),
        ("banana", "alice", {}, 400, "cursor_malformed"),
    ],
)
async def test_a_post_with_a_bad_cursor_generates_nothing(
    api: Api, cursor: str, key: str, fields: dict[str, Any], status: int, code: str
) -> None:
    sid = (await api.ask(stream=True)).headers[STREAM_ID]
    response = await api.ask(key, headers={"last-event-id": cursor.format(sid=sid)}, stream=True, **fields)
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)
    assert generations(api) == 1


# By the retry header of OpenAI's SDK --------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
async def test_a_retry_takes_up_the_answer_that_its_client_lost(api: Api, stream: bool) -> None:
    gate = api.gated()
    lost = await api.hang_up(retry(0), stream=stream)
    asking = asyncio.create_task(api.ask(headers=retry(1), stream=stream))
    gate.set()
    again = await asking
    assert (again.headers[STREAM_ID], again.headers[REPLAYED]) == (lost, "true")
    assert generations(api) == 1


async def test_a_retry_that_is_lost_itself_leaves_the_answer_to_the_next(api: Api) -> None:
    gate = api.gated()
    lost = await api.hang_up(retry(0))
    assert await api.hang_up(retry(1)) == lost
    asking = asyncio.create_task(api.ask(headers=retry(2)))
    gate.set()
    assert (await asking).headers[STREAM_ID] == lost
    assert generations(api) == 1


async def test_two_lost_answers_cannot_be_told_apart(api: Api) -> None:
    api.gated().set()
    lost = {await api.hang_up(retry(0)), await api.hang_up(retry(0))}
    assert len(lost) == 2
    assert (await api.ask(headers=retry(1))).headers[STREAM_ID] not in lost


@pytest.mark.parametrize("headers", [retry(0), {}], ids=["a first try", "no header"])
async def test_without_a_retry_nothing_is_taken_up(api: Api, headers: dict[str, str]) -> None:
    api.gated().set()
    lost = await api.hang_up(retry(0))
    assert (await api.ask(headers=headers)).headers[STREAM_ID] != lost


async def test_an_answer_that_was_read_is_not_read_by_a_retry_of_another(api: Api) -> None:
    read = (await api.ask(headers=retry(0))).headers[STREAM_ID]
    assert (await api.ask(headers=retry(1))).headers[STREAM_ID] != read


async def test_an_answer_that_is_being_read_is_not_taken_from_its_reader(api: Api) -> None:
    gate = api.gated()
    reading = asyncio.create_task(api.ask(headers=retry(0)))
    while not generations(api):
        await asyncio.sleep(0)
    other = asyncio.create_task(api.ask(headers=retry(1)))
    while generations(api) < 2:
        await asyncio.sleep(0)
    gate.set()
    assert (await reading).headers[STREAM_ID] != (await other).headers[STREAM_ID]


async def test_the_reader_of_a_gateway_that_died_is_lost_with_it(api: Api) -> None:
    gate = api.gated()
    reading = asyncio.create_task(api.ask(headers=retry(0)))
    while not generations(api):
        await asyncio.sleep(0)
    sid = api.host.admissions[0].sid
    await api.service.log.release(sid, epoch=1)  # as when its lease ran out
    retrying = asyncio.create_task(api.ask(headers=retry(1)))
    while await api.repeats.candidates("alice", body_digest(api.body())):
        await asyncio.sleep(0)
    gate.set()
    assert (await retrying).headers[STREAM_ID] == sid
    await reading


async def test_a_failed_try_leaves_nothing_to_take_up(api: Api) -> None:
    good = api.host.scripted
    api.host.scripted = [api.host.tier("edge:a", "edge", fails_at=0, error=TierRefusedError("queue is full"))]
    assert (await api.ask(headers=retry(0))).status_code == 503
    api.host.scripted = good
    again = await api.ask(headers=retry(1))
    assert (again.status_code, REPLAYED in again.headers) == (200, False)


@pytest.mark.parametrize("comes_back", [True, False])
async def test_an_answer_for_nobody_is_stopped_unless_a_retry_comes_in_time(api: Api, comes_back: bool) -> None:
    time_is_up, waits = asyncio.Event(), []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        await time_is_up.wait()

    visits = Visits(api.service, api.repeats, sleep=sleep)
    gate = api.gated()
    lost = await api.hang_up(retry(0), ChatCompletions(api.service, visits))
    asking = asyncio.create_task(api.ask(headers=retry(1))) if comes_back else None
    while comes_back and await api.repeats.candidates("alice", body_digest(api.body())):
        await asyncio.sleep(0)
    time_is_up.set()
    while visits.watching:
        await asyncio.sleep(0)
    assert waits == [ORPHAN_S]
    assert (await api.service.log.head(lost)).status == ("open" if comes_back else "cancelled")
    gate.set()
    if asking:
        assert (await asking).json()["choices"][0]["message"]["content"] == EVERYTHING


async def test_a_cancelled_answer_is_not_taken_up(api: Api) -> None:
    gate = api.gated()
    lost = await api.hang_up(retry(0))
    await api.client.delete(f"/v1/streams/{lost}", headers=api.as_key("alice"))
    gate.set()
    assert (await api.ask(headers=retry(1))).headers[STREAM_ID] != lost


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ([], None),
        ([(b"accept", b"*/*"), (b"authorization", b"Bearer k")], None),
        ([(b"x-stainless-retry-count", b"nonsense")], None),
        ([(b"x-stainless-retry-count", b"0")], Repetition(retry="0")),
        ([(b"idempotency-key", b"K"), (b"last-event-id", b"s/1")], Repetition("K", "s/1")),
    ],
)
def test_what_headers_say_of_repeating(headers: list[tuple[bytes, bytes]], said: Repetition | None) -> None:
    assert repetition({"headers": headers}) == said


async def test_text_of_a_replay_is_whole(api: Api) -> None:
    await api.ask(headers=KEY, stream=True)
    assert text_of((await api.ask(headers=KEY, stream=True)).text) == EVERYTHING

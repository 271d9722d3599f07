"""GET and DELETE /v1/streams/{id}: the same bytes from any cursor, for the owner only, and a cancel that holds."""

import asyncio

import pytest

from tests.edgewise.api.conftest import WORDS, Api
from tests.edgewise.api.test_chat import text_of


async def finished(api: Api) -> tuple[str, str]:
    response = await api.ask(stream=True)
    return response.headers["x-edgewise-stream-id"], response.text


async def test_a_replay_is_byte_identical(api: Api) -> None:
    sid, body = await finished(api)
    assert (await api.read(f"/v1/streams/{sid}")).text == body


async def test_every_cursor_resumes_exactly_behind_it(api: Api) -> None:
    sid, body = await finished(api)
    blocks = [block + "\n\n" for block in body.split("\n\n") if block]
    ids = [line[4:] for line in body.splitlines() if line.startswith("id: ")]
    for cursor in ids[:-1]:
        rest = body[body.index(f"id: {cursor}\n") :].partition("\n\n")[2]
        for response in (
            await api.read(f"/v1/streams/{sid}", **{"last-event-id": cursor}),
            await api.read(f"/v1/streams/{sid}?after={cursor}"),
            await api.read(f"/v1/streams/{sid}?after={cursor.partition('/')[2]}"),
        ):
            assert response.text == rest
    assert "".join(blocks) == body


async def test_behind_the_end_there_is_nothing_to_reconnect_for(api: Api) -> None:
    sid, body = await finished(api)
    last = [line[4:] for line in body.splitlines() if line.startswith("id: ")][-1]
    assert (await api.read(f"/v1/streams/{sid}", **{"last-event-id": last})).status_code == 204


@pytest.mark.parametrize(
    ("after", "status", "code"),
    [
        ("banana", 400, "cursor_malformed"),
        ("01hzzzzzzzzzzzzzzzzzzzzzzz/3", 400, "cursor_malformed"),
        ("999", 409, "cursor_ahead"),
    ],
)
async def test_a_bad_cursor_is_told_apart(api: Api, after: str, status: int, code: str) -> None:
    sid, _ = await finished(api)
    response = await api.read(f"/v1/streams/{sid}?after={after}")
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)


async def test_another_keys_stream_does_not_exist(api: Api) -> None:
    sid, _ = await finished(api)
    assert (await api.read(f"/v1/streams/{sid}", key="bob")).status_code == 404
    cancel = await api.client.delete(f"/v1/streams/{sid}", headers=api.as_key("bob"))
    assert cancel.status_code == 404
    unknown = await api.read("/v1/streams/nothing", key="bob")
    assert unknown.json()["error"]["code"] == "stream_not_found"


async def test_nothing_follows_the_answer_to_a_cancel(api: Api) -> None:
    gate = asyncio.Event()
    api.host.scripted = [api.host.tier("edge:a", "edge", hangs_at=2)]
    asking = asyncio.create_task(api.ask(stream=True))
    while not (api.host.admissions and api.host.scripted[0].states):
        await asyncio.sleep(0)
    sid = api.host.admissions[0].sid
    answer = await api.client.delete(f"/v1/streams/{sid}", headers=api.as_key("alice"))
    assert answer.json()["status"] == "cancelled"
    head = await api.service.log.head(sid)
    assert answer.json()["last_seq"] == head.next_seq - 1
    gate.set()
    streamed = (await asking).text
    assert (await api.read(f"/v1/streams/{sid}")).text == streamed
    assert (await api.service.log.head(sid)).next_seq == head.next_seq
    again = await api.client.delete(f"/v1/streams/{sid}", headers=api.as_key("alice"))
    assert again.json() == answer.json()
    assert text_of(streamed) in ("", "你", "你好")


async def test_a_cancel_that_comes_after_the_end_is_no_second_ending(api: Api) -> None:
    sid, _ = await finished(api)
    await api.runner.drain(5)
    answer = await api.client.delete(f"/v1/streams/{sid}", headers=api.as_key("alice"))
    assert answer.json()["status"] == "done"
    assert [outcome.finish for outcome in api.host.outcomes] == ["stop"]


async def test_readers_hear_of_it_when_their_writer_has_to_stop(api: Api) -> None:
    api.host.scripted = [api.host.tier("edge:a", "edge", hangs_at=2)]
    asking = asyncio.create_task(api.ask(stream=True))
    while not (api.host.admissions and api.host.scripted[0].states):
        await asyncio.sleep(0)
    sid = api.host.admissions[0].sid
    while (await api.service.log.head(sid)).next_seq < 2:
        await asyncio.sleep(0)
    await api.runner.drain(0.01)
    body = (await asking).text
    assert "shutting_down" in body
    assert body.endswith("data: [DONE]\n\n")
    assert api.host.outcomes == []  # the stream is open; who ends it will tell


async def test_a_whole_read_is_the_completion(api: Api) -> None:
    sid = (await api.ask()).headers["x-edgewise-stream-id"]
    whole = await api.read(f"/v1/streams/{sid}", accept="application/json")
    assert whole.json()["choices"][0]["message"]["content"] == "".join(WORDS)
    assert whole.headers["x-edgewise-stream-id"] == sid
    assert (await api.read(f"/v1/streams/{sid}", "bob", accept="application/json")).status_code == 404


async def test_a_whole_read_waits_for_the_end(api: Api) -> None:
    gate = api.gated()
    asking = asyncio.create_task(api.ask())
    while not api.host.admissions:
        await asyncio.sleep(0)
    reading = asyncio.create_task(api.read(f"/v1/streams/{api.host.admissions[0].sid}", accept="application/json"))
    gate.set()
    assert (await reading).content == (await asking).content


async def test_an_event_source_is_told_when_to_come_back(api: Api) -> None:
    """Before the first data line, never as a block of its own: that would kill OpenAI's client."""
    _, body = await finished(api)
    first, *others = body.split("\n\n")
    assert first.splitlines()[0] == "retry: 500"
    assert any(line.startswith("data: ") for line in first.splitlines())
    assert not any("retry:" in block for block in others)


async def test_a_reader_is_sent_away_when_the_process_leaves(api: Api) -> None:
    api.host.scripted = [api.host.tier("edge:a", "edge", hangs_at=2)]
    asking = asyncio.create_task(api.ask(stream=True))
    while not api.host.admissions:
        await asyncio.sleep(0)
    sid = api.host.admissions[0].sid
    reading = asyncio.create_task(api.read(f"/v1/streams/{sid}"))
    while (await api.service.log.head(sid)).next_seq < 2:
        await asyncio.sleep(0)
    api.leaving.begin()
    body = (await reading).text
    assert body.endswith("\n\n")
    *_, goodbye = [block for block in body.split("\n\n") if block]
    assert "reconnect_after_ms" in goodbye
    assert "id: " not in goodbye  # the cursor stays where it is
    assert not asking.done()  # a client that cannot come back is let to its end
    late = asyncio.create_task(api.read(f"/v1/streams/{sid}"))  # it found nobody else
    await api.client.delete(f"/v1/streams/{sid}", headers=api.as_key("alice"))
    assert (await late).text.endswith("[DONE]\n\n")
    assert (await asking).text.endswith("[DONE]\n\n")

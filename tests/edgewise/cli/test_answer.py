"""Folding a streamed answer, and coming back by cursor when the connection breaks."""

from __future__ import annotations

import json

import httpx
import pytest

from edgewise.cli.answer import Answer, AnswerReader
from edgewise.cli.connection import Target, UnreachableError, connected
from edgewise.dialects.sse import Event
from edgewise.wire.errors import RemoteError
from tests.edgewise.cli.fake_api import SID, FakeApi, Reply, end_chunk, stream, text_chunk, tier_chunk

ALL = [(0, tier_chunk("edge:e")), (1, text_chunk("你好，")), (2, text_chunk("world")), (3, end_chunk("edge:e"))]
DONE = (3, "[DONE]")
RESUME = f"/v1/streams/{SID}"


def read(api: FakeApi, tries: int = 3) -> tuple[Answer, list[float]]:
    pauses: list[float] = []
    with connected(Target(api.url, "ek_app")) as client:
        reader = AnswerReader(client, tries=tries, pause=pauses.append)
        text = "".join(reader.read({"messages": []}))
    assert text == reader.answer.text
    return reader.answer, pauses


def test_an_undisturbed_answer(api: FakeApi) -> None:
    api.reply("POST", "/v1/chat/completions", stream(*ALL, DONE))
    answer, pauses = read(api)
    assert (answer.text, answer.finish, answer.tiers, answer.sid) == ("你好，world", "stop", ["edge:e"], SID)
    assert answer.tokens_per_s == pytest.approx(50.0)  # 10 tokens after the first in 200 ms
    assert pauses == []
    assert api.asked[0].json["stream"] is True


@pytest.mark.parametrize("broken", [True, False], ids=["cut", "closed early"])
@pytest.mark.parametrize("seen", [1, 2, 3, 4])
def test_a_broken_connection_goes_on_from_its_cursor(api: FakeApi, seen: int, broken: bool) -> None:
    api.reply("POST", "/v1/chat/completions", stream(*ALL[:seen], broken=broken))
    api.reply("GET", RESUME, stream(*ALL[seen:], DONE))
    answer, _ = read(api)
    assert answer.text == "你好，world"
    assert answer.done
    assert api.asked[1].headers["last-event-id"] == f"{SID}/{seen - 1}"


def test_a_break_inside_an_event_loses_nothing(api: FakeApi) -> None:
    whole = stream(*ALL).body
    cut = whole.index("好".encode()) + 1  # inside a character, too
    api.reply("POST", "/v1/chat/completions", Reply(whole[:cut], headers={"X-Edgewise-Stream-Id": SID}, broken=True))
    api.reply("GET", RESUME, stream(*ALL[1:], DONE))
    assert read(api)[0].text == "你好，world"


def test_a_gateway_that_is_away_is_asked_again_with_growing_pauses(api: FakeApi) -> None:
    api.reply("POST", "/v1/chat/completions", stream(*ALL[:2], broken=True))
    api.reply("GET", RESUME, Reply(status=503), Reply(status=502), stream(*ALL[2:], DONE))
    answer, pauses = read(api)
    assert answer.text == "你好，world"
    assert pauses == [0.2, 0.4, 0.8]


def test_it_does_not_come_back_for_ever(api: FakeApi) -> None:
    api.reply("POST", "/v1/chat/completions", stream(*ALL[:2], broken=True))
    api.reply("GET", RESUME, Reply(status=503))
    with pytest.raises(UnreachableError):
        read(api, tries=2)


def test_an_answer_that_stands_still_is_not_waited_for_again(api: FakeApi) -> None:
    def stand_still(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("timed out", request=request)

    with httpx.Client(base_url=api.url, transport=httpx.MockTransport(stand_still)) as client:
        reader = AnswerReader(client, pause=lambda seconds: pytest.fail("it came back"))
        with pytest.raises(UnreachableError, match="stands still"):
            list(reader.read({}))


def test_nothing_left_to_read_is_an_end(api: FakeApi) -> None:
    api.reply("POST", "/v1/chat/completions", stream(*ALL, broken=True))
    api.reply("GET", RESUME, Reply(status=204))
    assert read(api)[0].text == "你好，world"


@pytest.mark.parametrize("status", [401, 404, 503])
def test_an_error_instead_of_an_answer_is_raised(api: FakeApi, status: int) -> None:
    api.json(
        "POST", "/v1/chat/completions", {"error": {"message": "No. To do: x.", "number": 7, "remedy": "x"}}, status
    )
    with pytest.raises(RemoteError, match="No") as error:
        read(api)
    assert error.value.info().number == 7
    assert error.value.remedy == "x"


def test_an_error_in_the_stream_is_raised_after_the_text(api: FakeApi) -> None:
    error = {"error": {"message": "The tier is lost", "number": 1404, "code": "tier_lost"}}
    api.reply("POST", "/v1/chat/completions", stream(*ALL[:2], (2, error), (3, "[DONE]")))
    with pytest.raises(RemoteError, match="The tier is lost"):
        read(api)


def test_tiers_are_listed_in_the_order_in_which_they_spoke() -> None:
    answer = Answer()
    for tier in ("edge:e", "edge:e", "cloud:w"):
        answer.fold(Event(json.dumps(tier_chunk(tier))))
    assert answer.tiers == ["edge:e", "cloud:w"]


def test_a_warning_is_kept_apart() -> None:
    answer = Answer()
    answer.fold(
        Event(json.dumps({"choices": [], "edgewise": {"warning": {"code": "slow", "message": "It takes long"}}}))
    )
    assert answer.warnings == ["It takes long"]
    assert "warning" not in answer.about


@pytest.mark.parametrize("about", [{}, {"tokens": 1, "first_token_ms": 1, "total_ms": 9}, {"tokens": 5}])
def test_no_speed_without_two_tokens_and_their_times(about: dict[str, float]) -> None:
    assert Answer(about=dict(about)).tokens_per_s is None


def test_nothing_at_the_address_is_said_plainly() -> None:
    target = Target("http://127.0.0.1:1", "ek_app")
    with pytest.raises(UnreachableError, match="does not answer"), connected(target) as client:
        client.get("/healthz")
    assert isinstance(httpx.ConnectError("x"), httpx.TransportError)


def test_a_break_before_the_stream_is_known_repeats_the_question_with_its_key(api: FakeApi) -> None:
    api.reply("POST", "/v1/chat/completions", Reply(broken=True, headers={}), stream(*ALL, DONE))
    assert read(api)[0].text == "你好，world"
    first, again = api.asked
    assert first.body == again.body
    assert first.headers["idempotency-key"] == again.headers["idempotency-key"] != ""


@pytest.mark.parametrize("code", [(1409, "shutting_down"), (1304, "log_unavailable")])
def test_a_gateway_that_leaves_in_mid_answer_is_no_end(api: FakeApi, code: tuple[int, str]) -> None:
    error = {"error": {"message": "going", "number": code[0], "code": code[1]}}
    api.reply("POST", "/v1/chat/completions", stream(*ALL[:2], (None, error), (None, "[DONE]")))
    api.reply("GET", RESUME, stream(*ALL[2:], DONE))
    assert read(api)[0].text == "你好，world"
    assert api.asked[1].headers["last-event-id"] == f"{SID}/1"


def test_a_goodbye_without_an_id_keeps_the_cursor(api: FakeApi) -> None:
    goodbye = {"choices": [], "edgewise": {"stream": SID, "reconnect_after_ms": 250}}
    api.reply("POST", "/v1/chat/completions", stream(*ALL[:2], (None, goodbye)))
    api.reply("GET", RESUME, stream(*ALL[2:], DONE))
    assert read(api)[0].text == "你好，world"
    assert api.asked[1].headers["last-event-id"] == f"{SID}/1"


def test_each_break_is_told(api: FakeApi) -> None:
    api.reply("POST", "/v1/chat/completions", stream(*ALL[:2], broken=True))
    api.reply("GET", RESUME, stream(*ALL[2:], DONE))
    told: list[str] = []
    with connected(Target(api.url, "ek_app")) as client:
        list(AnswerReader(client, pause=lambda seconds: None, on_break=told.append).read({"messages": []}))
    assert len(told) == 1


def test_nobody_at_the_address_is_told_at_once(api: FakeApi) -> None:
    with connected(Target("http://127.0.0.1:1", "ek_app")) as client:
        reader = AnswerReader(client, pause=lambda seconds: pytest.fail("it came back"))
        with pytest.raises(UnreachableError):
            list(reader.read({}))


def test_a_known_stream_is_read_from_a_cursor(api: FakeApi) -> None:
    api.reply("GET", RESUME, stream(*ALL[2:], DONE))
    with connected(Target(api.url, "ek_app")) as client:
        assert "".join(AnswerReader(client).reread(SID, f"{SID}/1")) == "world"
    assert api.asked[0].headers["last-event-id"] == f"{SID}/1"

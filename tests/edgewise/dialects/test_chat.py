"""Chat requests: what is understood, what is refused by name, and that no bytes escape the typed errors."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise.dialects.chat import (
    format_fields,
    grammar_of,
    messages_of,
    parse_chat_request,
    sampling_of,
    stops_of,
)
from edgewise.generation.grammar import InvalidGrammarError
from edgewise.generation.state import Message, Sampling
from edgewise.wire.errors import BadRequestError, EdgewiseError, MalformedJsonError, UnsupportedParameterError


def body(**fields: object) -> bytes:
    return json.dumps({"model": "edgewise", "messages": [{"role": "user", "content": "hi"}]} | fields).encode()


def schema_format(schema: object, **more: object) -> dict[str, object]:
    return {"type": "json_schema", "json_schema": {"name": "x", "schema": schema} | more}


DEEP = json.loads('{"x": [' * 99 + "]}" * 99)


def test_defaults_are_openais() -> None:
    request = parse_chat_request(body())
    assert sampling_of(request) == Sampling(temperature=1.0, top_p=1.0)
    assert (request.stream, request.include_usage, request.budget, stops_of(request)) == (False, False, None, ())


def test_parts_and_the_developer_role_become_plain_messages() -> None:
    parts = [{"type": "text", "text": "你"}, {"type": "text", "text": "好"}]
    request = parse_chat_request(
        body(messages=[{"role": "developer", "content": "short"}, {"role": "user", "content": parts}])
    )
    assert messages_of(request) == (Message("system", "short"), Message("user", "你好"))


@pytest.mark.parametrize(
    ("fields", "error", "where"),
    [
        ({"messages": []}, BadRequestError, "messages"),
        ({"messages": "hi"}, BadRequestError, "request body"),
        ({"messages": [{"role": "user", "content": "x"}] * 513}, BadRequestError, "messages"),
        ({"stop": ["a"] * 5}, BadRequestError, "stop"),
        ({"stop": ""}, BadRequestError, "stop"),
        ({"temperature": 3}, BadRequestError, "request body"),
        ({"max_tokens": 0}, BadRequestError, "request body"),
        ({"max_tokens": 10**30}, BadRequestError, "request body"),
        ({"top_k": 10**30}, BadRequestError, "request body"),
        ({"n": 2}, UnsupportedParameterError, "n"),
        ({"tools": [{}]}, UnsupportedParameterError, "tools"),
        ({"response_format": {"type": "xml"}}, UnsupportedParameterError, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, BadRequestError, "response_format.json_schema.schema"),
        ({"response_format": schema_format(True)}, BadRequestError, "response_format.json_schema.schema"),
        ({"response_format": schema_format({"x": "y" * 40_000})}, InvalidGrammarError, "response_format"),
        ({"response_format": schema_format(DEEP)}, InvalidGrammarError, "response_format"),
        ({"edgewise": {"regex": ""}}, InvalidGrammarError, "edgewise.regex"),
        ({"edgewise": {"regex": "x" * 3000}}, InvalidGrammarError, "edgewise.regex"),
        ({"edgewise": {"regex": "x"}, "response_format": {"type": "json_object"}}, BadRequestError, "edgewise.regex"),
        ({"edgewise": {"mod": "edge"}}, BadRequestError, "request body"),
    ],
)
def test_what_cannot_be_answered_is_refused_by_name(
    fields: dict[str, object], error: type[EdgewiseError], where: str
) -> None:
    with pytest.raises(error) as caught:
        grammar_of(parse_chat_request(body(**fields)))
    assert caught.value.where == where


@pytest.mark.parametrize(
    "message", [{"role": "robot", "content": "x"}, {"role": "user", "content": [{"type": "image_url"}]}]
)
def test_unknown_roles_and_pictures_are_refused(message: dict[str, object]) -> None:
    with pytest.raises(BadRequestError):
        messages_of(parse_chat_request(body(messages=[message])))


@pytest.mark.parametrize("key", ["x", "", "-5", "1_0", "９", "9" * 30])
def test_a_bias_key_that_is_no_token_id_is_refused(key: str) -> None:
    with pytest.raises(BadRequestError, match="logit_bias"):
        sampling_of(parse_chat_request(body(logit_bias={key: 1})))


@pytest.mark.parametrize(
    ("fields", "grammar"),
    [
        ({}, None),
        ({"response_format": {"type": "text"}}, None),
        ({"response_format": {"type": "json_object"}}, {"json_schema": {"type": "object"}}),
        ({"response_format": schema_format({"type": "array"}, strict=True)}, {"json_schema": {"type": "array"}}),
        ({"edgewise": {"mode": "cloud", "regex": "[0-9]好"}}, {"regex": "[0-9]好"}),
        ({"edgewise": {"regex": "a"}, "response_format": {"type": "text"}}, {"regex": "a"}),
    ],
)
def test_what_an_answer_is_held_to_goes_there_and_back(
    fields: dict[str, object], grammar: dict[str, object] | None
) -> None:
    found = grammar_of(parse_chat_request(body(**fields)))
    assert (None if found is None else json.loads(found)) == grammar
    again = parse_chat_request(body(**format_fields(found, {"mode": "cloud"})))
    assert grammar_of(again) == found and again.edgewise.mode == "cloud"


def test_deep_nesting_is_malformed_and_no_crash() -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    with pytest.raises(MalformedJsonError):
        parse_chat_request(b'{"model": "m", "messages": [], "response_format": {"x": ' + deep + b"}}")


def test_not_json_says_so() -> None:
    with pytest.raises(MalformedJsonError):
        parse_chat_request(b'{"model": ')


@given(
    st.binary() | st.recursive(st.none() | st.text() | st.integers(), st.lists).map(lambda v: json.dumps(v).encode())
)
def test_any_bytes_give_a_request_or_a_typed_error(raw: bytes) -> None:
    try:
        parse_chat_request(raw)
    except EdgewiseError as error:
        assert error.http_status == 400

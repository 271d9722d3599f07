"""The text form of grammars: what it takes, what it refuses and says of it."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise.generation.grammar import (
    ANY_OBJECT,
    GRAMMAR_MAX_BYTES,
    REGEX_MAX_CHARS,
    SCHEMA_MAX_DEPTH,
    InvalidGrammarError,
    json_grammar,
    parse_grammar,
    regex_grammar,
)

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def nested(depth: int) -> dict[str, object]:
    schema: dict[str, object] = {}
    for _ in range(depth - 1):
        schema = {"items": schema}
    return schema


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.text(), VALUES, max_size=5))
def test_a_schema_comes_back_as_it_went_in_or_is_refused(schema: dict[str, object]) -> None:
    try:
        text = json_grammar(schema)
    except InvalidGrammarError as error:
        assert error.where == "response_format" and error.expected
        return
    plain = json.loads(json.dumps(schema), parse_constant=lambda _: None)  # JSON has no infinity
    read = parse_grammar(text)
    assert read.json_schema == plain and list(read.json_schema or {}) == list(schema)


@settings(deadline=None)
@given(st.text(min_size=1, max_size=50))
def test_a_pattern_comes_back_as_it_went_in(pattern: str) -> None:
    assert parse_grammar(regex_grammar(pattern)).regex == pattern


@settings(max_examples=60, deadline=None)
@given(st.text() | VALUES.map(json.dumps))
def test_whatever_a_peer_calls_a_grammar_is_read_or_refused(text: str) -> None:
    try:
        read = parse_grammar(text)
    except InvalidGrammarError as error:
        assert (error.number, error.code, error.http_status) == (1112, "invalid_grammar", 400)
    else:
        assert (read.json_schema is None) != (read.regex is None)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "root ::= 1",
        "{}",
        "[]",
        '{"regex": ""}',
        '{"regex": "a", "json_schema": {}}',
        '{"regex": "a", "x": 1}',
        '{"json_schema": true}',
        '{"regex": "\\ud800"}',
        '{"json_schema": ' + "[" * 5000 + "]" * 5000 + "}",
        "\ud800",
    ],
    ids=range(11),
)
def test_what_is_no_grammar_is_refused(text: str) -> None:
    with pytest.raises(InvalidGrammarError):
        parse_grammar(text)


def test_sizes_have_ends() -> None:
    assert parse_grammar(regex_grammar("x" * REGEX_MAX_CHARS)).regex
    assert parse_grammar(json_grammar(nested(SCHEMA_MAX_DEPTH))).json_schema
    for refused in (
        lambda: regex_grammar("x" * (REGEX_MAX_CHARS + 1)),
        lambda: json_grammar(nested(SCHEMA_MAX_DEPTH + 1)),
        lambda: json_grammar(nested(100_000)),
        lambda: json_grammar({"description": "x" * GRAMMAR_MAX_BYTES}),
        lambda: parse_grammar(json_grammar(ANY_OBJECT) + " " * GRAMMAR_MAX_BYTES),
    ):
        with pytest.raises(InvalidGrammarError) as caught:
            refused()
        assert caught.value.expected

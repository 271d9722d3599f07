"""Drafts load as policies; what a policy refuses is left out and listed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.interchange.draft import yaml_text
from policies.source import plain, read_source

_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.text(
    "0123456789eE+-._~ :#'\"\n\\", max_size=6
)
_data = st.recursive(
    _texts
    | st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3),
    max_leaves=6,
)


@given(data=_data)
@settings(max_examples=60, deadline=None)
def test_what_is_written_is_read_back(data: Any) -> None:
    assert plain(read_source(yaml_text({"data": data}))) == {"data": data}


@pytest.mark.parametrize(
    "text",
    [
        "089",
        "1e5",
        "1_0",
        "0o7",
        "~",
        "yes",
        "null",
        "- x",
        "a: b",
        "a #b",
        "!x",
        "&x",
        "1:30",
        "",
        "\x85",
        "a\u2028b",
        "a\nb\n",
    ],
)
def test_texts_stay_texts(text: str) -> None:
    shared = [text]
    assert plain(read_source(yaml_text({"a": shared, "b": shared}))) == {"a": [text], "b": [text]}

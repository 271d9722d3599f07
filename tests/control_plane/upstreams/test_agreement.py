"""Ids and the text beside them: never a false alarm for the same tokenizer, an early one for another."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from control_plane.upstreams.agreement import LOOKED_AT_CHARS, Agreement
from tests.control_plane.upstreams.engines import TOKENIZER, shown_parts

TEXT = st.text("ab 你好。😀\n", max_size=20)


@given(text=TEXT, cuts=st.lists(st.integers(0, 60), max_size=5), begun=st.integers(0, 10), tidy=st.booleans())
def test_an_engine_with_our_tokenizer_is_never_suspected(text: str, cuts: list[int], begun: int, tidy: bool) -> None:
    """Wherever the answer goes on, a half character too, however it is cut, and with white space left out."""
    ids = TOKENIZER.encode(text)[begun:]
    parts = [ids[a:b] for a, b in pairwise(sorted({0, len(ids), *(min(cut, len(ids)) for cut in cuts)}))]
    agreement = Agreement(TOKENIZER)
    for part, shown in zip(parts, shown_parts(parts), strict=True):
        assert agreement.holds(part, shown.strip() if tidy else shown)


@given(text=st.text("ab你好", min_size=1, max_size=20), other=st.text("cd世界", min_size=1, max_size=20))
def test_an_engine_that_means_another_text_is_found_out(text: str, other: str) -> None:
    assert not Agreement(TOKENIZER).holds(TOKENIZER.encode(text), other)


def test_no_more_than_the_beginning_is_looked_at() -> None:
    agreement, line = Agreement(TOKENIZER), "a" * LOOKED_AT_CHARS
    assert agreement.holds(TOKENIZER.encode(line), line)
    assert agreement.holds(TOKENIZER.encode("b"), "c")


def test_one_side_may_be_behind() -> None:
    agreement = Agreement(TOKENIZER)
    assert agreement.holds(TOKENIZER.encode("one two"), "")
    assert agreement.holds((), "one t")
    assert not agreement.holds((), "hree")

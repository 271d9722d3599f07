"""The seam of an answer that goes on by text: nothing is said twice, nothing is lost, however the reply is cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.upstreams.requests import split_seam
from control_plane.upstreams.seam import Seam

BLANK = st.text(st.sampled_from(" \n\t\u3000"), max_size=4)


@given(text=st.text(max_size=8), blank=BLANK, cuts=st.lists(st.integers(0, 16), max_size=4), rest=st.text(max_size=8))
def test_an_engine_that_says_the_white_space_again_gives_the_whole_text(
    text: str, blank: str, cuts: list[int], rest: str
) -> None:
    shown, tail = split_seam(text + blank)
    reply = tail + rest
    seam, places = Seam(tail), sorted({0, len(reply), *(min(cut, len(reply)) for cut in cuts)})
    said = "".join(seam.join(reply[a:b]) for a, b in pairwise(places))
    assert shown + tail == text + blank
    assert text + blank + said == text + blank + rest


@given(tail=BLANK, parts=st.lists(st.text(st.sampled_from(" \n\tab"), max_size=4), max_size=5))
def test_nothing_but_white_space_is_ever_left_out_however_it_comes(tail: str, parts: list[str]) -> None:
    reply, seam = "".join(parts), Seam(tail)
    said = Seam(tail).join(reply)
    assert "".join(map(seam.join, parts)) == said
    assert reply.endswith(said)
    assert not reply[: len(reply) - len(said)].strip()
    assert tail.startswith(reply[: len(reply) - len(said)])


@pytest.mark.parametrize(
    ("tail", "reply", "said"),
    [(" ", "world", "world"), (" ", " world", "world"), ("\n\n", "\nb", "b"), ("\n", "\n\nb", "\nb"), ("", " b", " b")],
)
def test_what_is_shown_behind_the_seam(tail: str, reply: str, said: str) -> None:
    assert Seam(tail).join(reply) == said

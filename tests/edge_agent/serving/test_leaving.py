"""Where a sentence ends, and that an answer without one leaves in the end."""

from __future__ import annotations

import pytest

from edge_agent.serving.leaving import MOST_TOKENS, Leaving, ends_sentence
from edgewise.routing.tier import Chunk


@pytest.mark.parametrize(
    "text", ["It rains.", "Really?! ", '"No!"', "a line\n", "下雨了。", "真的吗？」", "好！", "so…", "(yes.)\n"]
)
def test_these_end_a_sentence(text: str) -> None:
    assert ends_sentence(text)


@pytest.mark.parametrize("text", ["", " ", "It rains", "3.14", "one, ", "下雨，", "\n  x", "“"])
def test_these_do_not(text: str) -> None:
    assert not ends_sentence(text)


def test_an_answer_leaves_only_while_it_is_wanted_and_without_sentences_after_a_while() -> None:
    leaving = Leaving()
    assert not leaving.may_leave_after(Chunk(0, (1,), "One."), wanted=False)
    assert leaving.may_leave_after(Chunk(1, (2,), " Two."), wanted=True)
    endless = Leaving()
    leaves = [endless.may_leave_after(Chunk(n, (n,), "x"), wanted=True) for n in range(MOST_TOKENS)]
    assert leaves == [False] * (MOST_TOKENS - 1) + [True]
    again = Leaving()
    again.may_leave_after(Chunk(0, tuple(range(MOST_TOKENS - 1)), "x"), wanted=True)
    again.may_leave_after(Chunk(0, (1,), "x"), wanted=False)
    assert not again.may_leave_after(Chunk(0, (1,), "x"), wanted=True)

"""Drafts: positions that are the target's own, passes of the target, and no second look at equal replies."""

from __future__ import annotations

import pytest

from cloud_worker.forge.evaluate.acceptance import Accepted, accepted, rate, tokens_per_pass
from tests.cloud_worker.forge.evaluate.scripted import Scripted


@pytest.mark.parametrize(
    ("hits", "passes"),
    [("", 0), ("1", 1), ("0", 1), ("11111", 1), ("111111", 2), ("00000", 5), ("10101", 3), ("11110", 1), ("111101", 2)],
)
def test_passes_of_the_target_at_four_drafted(hits: str, passes: int) -> None:
    assert Accepted(tuple(hit == "1" for hit in hits)).passes(4) == passes


def test_positions_are_compared_with_the_end_token_among_them() -> None:
    draft = Scripted(lambda prompt: (7, 8, 9))
    found = accepted(draft, [[1], [1], [1]], [[7, 8, 9], [7, 5], []], [(7, 8, 9), (7, 8, 9), None])
    assert [one.hits for one in found] == [(True,) * 4, (True, False, False), (False,)]
    assert draft.forced == 2
    assert rate(found) == pytest.approx(5 / 8)
    assert tokens_per_pass(found) == pytest.approx(8 / 4)


def test_a_reply_that_was_cut_has_no_end_token_to_accept() -> None:
    draft = Scripted(lambda prompt: (7, 8))
    found = accepted(draft, [[1], [1], [1]], [[7, 8], [7, 9], []], [(7, 8), None, None], ended=[False] * 3)
    assert [one.hits for one in found] == [(True, True), (True, False), ()]


def test_nothing_compared_is_nothing_accepted() -> None:
    assert (rate([]), tokens_per_pass([])) == (0.0, 0.0)


def test_a_reply_beyond_the_context_has_no_positions() -> None:
    draft = Scripted(lambda prompt: (), context_tokens=4)
    done: list[int] = []
    found = accepted(draft, [[1, 2], [1, 2]], [[5], [5, 6]], [None, None], done.append)
    assert [len(one.hits) for one in found] == [2, 0]

"""Judging on a user's prompts with scripted models: right answers, likelihoods, the parent's words, languages."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from cloud_worker.forge.evaluate.decoder import Advance, Forced, Said, no_progress
from cloud_worker.forge.export import GraphUnfitError
from cloud_worker.forge.import_model.judge import agreement, cells, edge_views, parent_views, questions
from cloud_worker.forge.import_model.prompts import OwnPrompt, PromptsFileError
from tests.factories.tokenizers import END_ID, tiny_tokenizer

TOKENIZER = tiny_tokenizer()
PROMPTS = (
    OwnPrompt(1, "Who are you?", "en", "A  FOX"),
    OwnPrompt(2, "How are you?", "en", ""),
    OwnPrompt(3, "你好", "zh", "你好"),
)
EXAM = questions(PROMPTS, TOKENIZER, 256, 16)


@dataclass
class Scripted:
    """Says what it is told to, in the order of the questions; every token has a log-probability of -0.5."""

    replies: Sequence[str]
    cut: frozenset[int] = frozenset()
    wrong_from: int = 99
    end: int = END_ID
    context_tokens: int = 256
    forced: list[tuple[int, ...]] = field(default_factory=list)

    def complete(
        self, prompts: Sequence[Sequence[int]], limits: Sequence[int], advance: Advance = no_progress
    ) -> list[Said]:
        advance(len(prompts))
        ids = [TOKENIZER.encode(reply) for reply in self.replies]
        return [Said(tuple(each), (-0.5,) * (len(each) + 1), place not in self.cut) for place, each in enumerate(ids)]

    def force(
        self, prompts: Sequence[Sequence[int]], replies: Sequence[Sequence[int]], advance: Advance = no_progress
    ) -> list[Forced]:
        self.forced += [tuple(reply) for reply in replies]
        whole = [(*reply, self.end) for reply in replies]
        best = [tuple(i if place < self.wrong_from else -1 for place, i in enumerate(each)) for each in whole]
        return [Forced(one, (-0.5,) * len(each)) for one, each in zip(best, whole, strict=True)]


def test_right_is_an_answer_that_stands_in_the_reply() -> None:
    views = parent_views(Scripted(["I am a fox.", "fine", "你 好"]), EXAM, TOKENIZER, 16, no_progress)
    assert [view.right for view in views.each] == [True, None, False]
    found = {cell.language: (cell.right, cell.total) for cell in cells(EXAM, views)}
    assert found == {"en": (1, 1), "zh": (0, 1)}


def test_the_reference_is_the_users_answer_or_the_parents_reply() -> None:
    model = Scripted(["x", "fine", "y"])
    views = parent_views(model, EXAM, TOKENIZER, 16, no_progress)
    assert model.forced == [EXAM[0].answer, TOKENIZER.encode("fine"), EXAM[2].answer]
    assert [view.tokens for view in views.each] == [len(ids) + 1 for ids in model.forced]
    assert all(view.nll == 0.5 * view.tokens for view in views.each)


def test_a_reply_that_was_cut_is_not_asked_for_its_end() -> None:
    views = parent_views(Scripted(["x", "fine", "y"], cut=frozenset({1})), EXAM, TOKENIZER, 16, no_progress)
    assert views.each[1].tokens == len(TOKENIZER.encode("fine"))
    edge = edge_views(Scripted(["x", "other", "y"]), EXAM, views, TOKENIZER, 16, no_progress)
    assert edge.positions[1] == len(TOKENIZER.encode("fine"))


def test_agreement_counts_the_parents_words_by_language() -> None:
    parent = parent_views(Scripted(["abc", "fine", "hello"]), EXAM, TOKENIZER, 16, no_progress)
    edge = edge_views(Scripted(["abc", "fin", "help"], wrong_from=1), EXAM, parent, TOKENIZER, 16, no_progress)
    found = {row.language: (row.same, row.positions) for row in agreement(EXAM, edge)}
    same = len(TOKENIZER.encode("abc")) + 1
    assert found["en"] == (same + 1, same + len(TOKENIZER.encode("fine")) + 1)
    assert found["zh"] == (1, len(TOKENIZER.encode("hello")) + 1)


def test_a_prompt_without_room_for_an_answer_is_named() -> None:
    with pytest.raises(PromptsFileError, match="leaves no room") as caught:
        questions(PROMPTS, TOKENIZER, 20, 16)
    assert caught.value.where == "line 1"


def test_logits_that_are_no_numbers_pass_for_nothing() -> None:
    """A model that overflows agrees with itself at every place, and would pass every gate."""

    class Overflown(Scripted):
        def force(
            self, prompts: Sequence[Sequence[int]], replies: Sequence[Sequence[int]], advance: Advance = no_progress
        ) -> list[Forced]:
            return [Forced((0,) * (len(one) + 1), (math.nan,) * (len(one) + 1)) for one in replies]

    with pytest.raises(GraphUnfitError, match="no numbers"):
        parent_views(Overflown(["a", "b", "c"]), EXAM, TOKENIZER, 16, no_progress)

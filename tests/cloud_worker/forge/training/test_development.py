"""The development examination: right only when every token of the answer is the most likely one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cloud_worker.forge.qwen2 import Qwen2
from cloud_worker.forge.training import corpus, development
from cloud_worker.forge.training.development import Paper
from cloud_worker.forge.training.optimise import initialise
from tests.factories.forge import SHAPE, small_tokenizer

EMPTY = corpus.pack([])


@pytest.fixture(scope="module")
def sure() -> Qwen2:
    """A model that always says 60: its states and the embedding of 60 point the same way."""
    model = Qwen2(SHAPE)
    initialise(model, 1)
    with torch.no_grad():
        for value in model.model.layers.parameters():
            value.zero_()
        model.model.embed_tokens.weight.copy_(torch.nn.functional.normalize(torch.ones(512, 64), dim=1))
        model.model.embed_tokens.weight[60] *= 2
    return model


def paper(*answers: list[int]) -> Paper:
    packed = corpus.pack([([3, 50, 4, *answer], [0, 0, 0, *[1] * len(answer)]) for answer in answers])
    return Paper((packed, EMPTY, EMPTY, EMPTY))


def test_one_wrong_token_makes_an_answer_wrong(sure: Qwen2) -> None:
    found = development.examine(sure, paper([60, 60], [60, 61], [60]))
    assert found.tolist() == [[2, 3], [0, 0], [0, 0], [0, 0]]


def test_ranks_together_see_every_exercise(sure: Qwen2) -> None:
    given = paper(*[[60] * 40] * 9)
    parts = [development.examine(sure, given, rank, 2) for rank in range(2)]
    assert torch.equal(parts[0] + parts[1], development.examine(sure, given))


def test_the_paper_has_every_grade(tmp_path: Path) -> None:
    small_tokenizer().save(str(tmp_path / "tokenizer.json"))
    grades = development.paper(tmp_path / "tokenizer.json", 1).grades
    assert len(grades) == 4 and all(found.tokens > 0 for found in grades)

"""A step's material: which tokens weigh, and that the loss is the cross-entropy of those alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cloud_worker.forge.qwen2 import Qwen2
from cloud_worker.forge.training.corpus import Rows
from cloud_worker.forge.training.lesson import PROMPT_SHARE, PROMPT_WEIGHT, batch_of, plain_loss
from cloud_worker.forge.training.optimise import initialise
from tests.factories.forge import SHAPE


def rows(ids: list[int], answer: list[int], document: list[int]) -> Rows:
    return Rows(*(np.array([part], dtype=np.uint16) for part in (ids, answer, document)))


PACKED = rows([3, 50, 4, 60, 1, 3, 51, 0], [0, 0, 0, 1, 1, 0, 0, 0], [1, 1, 1, 1, 1, 2, 2, 0])


def test_answers_weigh_one_and_nothing_else_without_a_choice() -> None:
    batch = batch_of(PACKED, None)
    assert batch.weights.tolist() == [[0, 0, 1, 1, 0, 0, 0, 0]]
    assert batch.targets[0, :4].tolist() == [50, 4, 60, 1]


def test_chosen_prompt_tokens_weigh_little_and_never_cross_documents_or_padding() -> None:
    batch = batch_of(PACKED, np.ones((1, 8), bool))
    low = PROMPT_WEIGHT / PROMPT_SHARE
    assert batch.weights.tolist() == [pytest.approx([low, low, 1, 1, 0, low, 0, 0])]


def test_the_loss_is_the_cross_entropy_of_the_answer() -> None:
    model = Qwen2(SHAPE)
    initialise(model, 1)
    ids = torch.tensor([[3, 50, 4, 60, 1]])
    logits = model(ids[:, :-1], torch.arange(4)[None])
    expected = torch.nn.functional.cross_entropy(logits[0, 2:], ids[0, 3:])
    assert torch.allclose(plain_loss(model, batch_of(PACKED, None)), expected, atol=1e-5)

"""Greedy decoding with a cache says what the whole model says without one, and stops where it should."""

from __future__ import annotations

import dataclasses

import torch

from cloud_worker.forge.decoding import TorchGreedy
from cloud_worker.forge.qwen2 import Qwen2
from cloud_worker.forge.tokenizer import END
from tests.factories.models import TINY, tiny_model

PROMPT = [3, 17, 42, END, 4]


@torch.inference_mode()
def naive(model: Qwen2, prompt: list[int], limit: int) -> list[int]:
    """The most likely token after a forward pass over everything, again and again."""
    ids = list(prompt)
    while len(ids) < len(prompt) + limit:
        token = int(model(torch.tensor([ids]), torch.arange(len(ids))[None])[0, -1].argmax())
        if token == END:
            break
        ids.append(token)
    return ids[len(prompt) :]


def test_the_cache_changes_nothing() -> None:
    model = tiny_model()
    assert TorchGreedy(model).complete(PROMPT, 20) == naive(model, PROMPT, 20)


def test_the_limit_holds() -> None:
    assert len(TorchGreedy(tiny_model()).complete(PROMPT, 3)) == 3


def test_the_end_token_ends_and_is_not_said() -> None:
    model = Qwen2(dataclasses.replace(TINY, tie_word_embeddings=False)).eval()
    assert model.lm_head is not None
    with torch.no_grad():
        model.lm_head.weight.zero_()
        hidden = model.hidden(torch.tensor([PROMPT]), torch.arange(len(PROMPT))[None])[0, -1]
        model.lm_head.weight[END] = hidden
    assert TorchGreedy(model).complete(PROMPT, 20) == []

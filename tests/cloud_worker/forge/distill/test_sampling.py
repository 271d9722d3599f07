"""Sampling: the cached steps are the model's own logits, prompts stay, answers end."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from cloud_worker.forge.distill.sampling import _Cache, sample
from cloud_worker.forge.qwen2 import Qwen2
from cloud_worker.forge.tokenizer import END, PAD
from cloud_worker.forge.training.optimise import initialise
from tests.factories.forge import SHAPE


@pytest.fixture(scope="module")
def model() -> Qwen2:
    made = Qwen2(dataclasses.replace(SHAPE, num_hidden_layers=2, num_attention_heads=2))
    initialise(made, 4)
    return made


def test_steps_give_the_model_s_logits(model: Qwen2) -> None:
    ids = torch.randint(5, 500, (3, 7), generator=torch.Generator().manual_seed(1))
    cache = _Cache(model, 3, 7)
    with torch.no_grad():
        found = torch.stack([cache.step(ids[:, at], at) for at in range(7)], dim=1)
        expected = model(ids, torch.arange(7).expand_as(ids))
    assert torch.allclose(found, expected, atol=1e-4)


def test_prompts_stay_and_answers_keep_to_the_limit(model: Qwen2) -> None:
    prompts = [[3, 70, 4], [3, 71, 72, 73, 4]]
    spoken = sample(model, prompts, 6, torch.Generator().manual_seed(1))
    for row, prompt in enumerate(prompts):
        assert spoken.ids[row, : len(prompt)].tolist() == prompt
        own = spoken.written[row].nonzero()[:, 0].tolist()
        assert own == list(range(len(prompt), len(prompt) + len(own))) and 1 <= len(own) <= 6
        if END in spoken.ids[row, own[:-1]].tolist():
            pytest.fail("something was written after the end token")
        assert set(spoken.ids[row, own[-1] + 1 :].tolist()) <= {PAD}


def test_the_seed_decides_the_words(model: Qwen2) -> None:
    said = [sample(model, [[3, 70, 4]], 8, torch.Generator().manual_seed(seed)).ids for seed in (1, 1, 2)]
    assert torch.equal(said[0], said[1]) and not torch.equal(said[0], said[2])

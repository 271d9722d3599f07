"""First weights, rates, and which rank steps which parameter."""

from __future__ import annotations

import torch

from cloud_worker.forge.qwen2 import Qwen2
from cloud_worker.forge.recipes import EDGE_SHAPE
from cloud_worker.forge.training.optimise import FLOOR, initialise, optimizers, rate
from cloud_worker.forge.training.team import owned_by
from tests.factories.forge import SHAPE, small_recipe


def test_the_rate_warms_up_stays_and_falls() -> None:
    rates = [rate(step, 100) for step in range(100)]
    assert rates[:2] == [0.5, 1.0]
    assert set(rates[2:30]) == {1.0}
    assert rates[30:] == sorted(rates[30:], reverse=True)
    assert min(rates) >= FLOOR


def test_the_seed_decides_the_first_weights() -> None:
    models = [Qwen2(SHAPE) for _ in range(3)]
    for model, seed in zip(models, (1, 1, 2), strict=True):
        initialise(model, seed)
    first, same, other = (model.model.embed_tokens.weight for model in models)
    assert torch.equal(first, same) and not torch.equal(first, other)


def test_every_parameter_has_one_owner_and_work_is_even() -> None:
    named = list(Qwen2(EDGE_SHAPE).named_parameters())
    owners = owned_by(named, 2)
    assert set(owners) == {0, 1} and len(owners) == len(named)
    matrices = [value.numel() for (name, value), owner in zip(named, owners, strict=True) if owner and value.ndim == 2]
    everything = sum(value.numel() for _, value in named if value.ndim == 2)
    assert 0.2 < sum(matrices) / everything < 0.8
    assert owned_by(named, 1) == [0] * len(named)


def test_muon_takes_the_matrices_of_layers_and_adam_the_rest() -> None:
    named = list(Qwen2(SHAPE).named_parameters())
    muon, adam = optimizers(named, small_recipe("edge"))
    assert all(value.ndim == 2 for value in muon.param_groups[0]["params"])
    assert sum(len(made.param_groups[0]["params"]) for made in (muon, adam)) == len(named)
    assert len(optimizers(named[:1], small_recipe("edge"))) == 1

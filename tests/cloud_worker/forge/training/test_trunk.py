"""The training pass computes what the engine's model computes, and documents in one row do not see each other."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest
import torch

from cloud_worker.forge.qwen2 import Qwen2
from cloud_worker.forge.training.optimise import initialise
from cloud_worker.forge.training.trunk import compiled, frame, observed, trunk
from tests.factories.forge import SHAPE

WIDE = dataclasses.replace(SHAPE, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2)


@pytest.fixture(scope="module")
def model() -> Qwen2:
    made = Qwen2(WIDE)
    initialise(made, 3)
    return made.eval()


def engine(model: Qwen2, ids: torch.Tensor) -> torch.Tensor:
    return model.hidden(ids, torch.arange(ids.shape[1]).expand_as(ids))


def test_one_document_gives_the_engine_s_states(model: Qwen2) -> None:
    ids = torch.randint(5, 500, (3, 20), generator=torch.Generator().manual_seed(1))
    found = trunk(model, ids, torch.ones_like(ids))
    assert torch.allclose(found, engine(model, ids), atol=1e-5)
    assert torch.allclose(trunk(model, ids, None), engine(model, ids), atol=1e-5)


def test_packed_documents_give_the_states_that_they_have_alone(model: Qwen2) -> None:
    ids = torch.randint(5, 500, (1, 24), generator=torch.Generator().manual_seed(2))
    documents = torch.tensor([[1] * 10 + [2] * 9 + [0] * 5])
    found = trunk(model, ids, documents)
    for part in (slice(0, 10), slice(10, 19)):
        assert torch.allclose(found[:, part], engine(model, ids[:, part]), atol=1e-5)


def test_padding_changes_nothing_and_is_finite(model: Qwen2) -> None:
    found = trunk(model, torch.zeros(1, 6, dtype=torch.long), torch.zeros(1, 6, dtype=torch.long))
    assert torch.isfinite(found).all()


def test_positions_start_again_with_every_document() -> None:
    cos = frame(WIDE, torch.tensor([[1, 1, 2, 2, 2]])).cos
    assert torch.equal(cos[0, 0, 0], cos[0, 0, 2]) and torch.equal(cos[0, 0, 1], cos[0, 0, 3])
    assert not torch.equal(cos[0, 0, 1], cos[0, 0, 4])


def test_the_observed_pass_keeps_every_layer(model: Qwen2) -> None:
    ids = torch.randint(5, 500, (2, 8))
    seen = observed(model, ids, torch.ones_like(ids))
    assert torch.allclose(seen.hidden, trunk(model, ids, torch.ones_like(ids)))
    assert [state.shape for state in seen.states] == [(2, 8, 64)] * 2
    assert all(torch.allclose(maps.sum(-1), torch.ones(2, 4, 8)) for maps in seen.maps)


def test_every_process_compiles_in_a_folder_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "/shared")
    compiled()
    own = os.environ["TORCHINDUCTOR_CACHE_DIR"]
    assert own != "/shared" and Path(own).is_dir()
    compiled()
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == own

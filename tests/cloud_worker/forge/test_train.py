"""Training: the schedule, the loss, and that an interrupted run ends where an undisturbed one does."""

from __future__ import annotations

import dataclasses
from itertools import count
from pathlib import Path

import pytest
import torch

from cloud_worker.engine.models.qwen2 import Qwen2
from cloud_worker.forge import corpus
from cloud_worker.forge.train import FLOOR, CheckpointError, Job, Trainer, initialise, loss_of, rate
from tests.factories.forge import SHAPE, small_recipe, small_tokenizer


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rows")
    small_tokenizer().save(str(folder / "tokenizer.json"))
    corpus.build(folder / "tokenizer.json", seed=1, tokens=16_000, processes=1).save(folder / "rows.npz")
    return folder / "rows.npz"


def job(rows: Path, out: Path, seed: int = 7) -> Job:
    out.mkdir(exist_ok=True)
    recipe = small_recipe("edge")
    return Job(recipe, rows, out, seed, device="cpu", compile=False, checkpoint_every=2)


def trainer(given: Job) -> Trainer:
    ticks = count()
    return Trainer(given, clock=lambda: float(next(ticks)))


class InterruptedRunError(Exception):
    """Stands for a killed process."""


def interrupt_at(step: int, _steps: int, _loss: float) -> None:
    if step == 4:
        raise InterruptedRunError


def silently(step: int, steps: int, loss: float) -> None:
    assert 1 <= step <= steps and loss > 0


def test_the_rate_warms_up_stays_and_falls() -> None:
    rates = [rate(step, 100) for step in range(100)]
    assert rates[:4] == [0.25, 0.5, 0.75, 1.0]
    assert set(rates[4:30]) == {1.0}
    assert rates[30:] == sorted(rates[30:], reverse=True)
    assert min(rates) >= FLOOR


def test_an_interrupted_run_ends_where_an_undisturbed_one_does(rows: Path, tmp_path: Path) -> None:
    whole = trainer(job(rows, tmp_path / "whole"))
    whole.run(silently)
    with pytest.raises(InterruptedRunError):
        trainer(job(rows, tmp_path / "cut")).run(interrupt_at)
    resumed = trainer(job(rows, tmp_path / "cut"))
    resumed.run(silently)
    assert resumed.losses == whole.losses and len(whole.losses) == whole.steps
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name


def test_a_finished_run_leaves_weights_and_log_but_no_checkpoint(rows: Path, tmp_path: Path) -> None:
    done = trainer(job(rows, tmp_path))
    done.run(silently)
    done.finish()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["edge", "edge.log.json"]
    assert Qwen2.load(tmp_path / "edge").config == SHAPE


def test_a_checkpoint_of_another_run_is_refused(rows: Path, tmp_path: Path) -> None:
    with pytest.raises(InterruptedRunError):
        trainer(job(rows, tmp_path)).run(interrupt_at)
    with pytest.raises(CheckpointError, match="delete it"):
        trainer(job(rows, tmp_path, seed=8)).run(silently)


def test_the_seed_decides_the_first_weights() -> None:
    models = [Qwen2(SHAPE) for _ in range(3)]
    for model, seed in zip(models, (1, 1, 2), strict=True):
        initialise(model, seed)
    first, same, other = (model.model.embed_tokens.weight for model in models)
    assert torch.equal(first, same) and not torch.equal(first, other)


def test_the_loss_counts_answers_and_chosen_prompt_tokens_only() -> None:
    torch.manual_seed(0)
    model = Qwen2(dataclasses.replace(SHAPE, num_hidden_layers=1))
    ids, none = torch.tensor([[5, 6, 7, 8, 0]]), torch.zeros(1, 5)
    answer = torch.tensor([[0, 0, 0, 1, 0]])
    alone = loss_of(model, ids, answer, none)
    logits = model(ids[:, :-1], torch.arange(4)[None])
    expected = torch.nn.functional.cross_entropy(logits[0, 2:3], ids[0, 3:4])
    assert torch.allclose(alone, expected)
    everything = loss_of(model, ids, answer, torch.ones(1, 5))
    assert not torch.allclose(alone, everything)
    longer_ids, longer_answer = (torch.nn.functional.pad(part, (0, 3)) for part in (ids, answer))
    assert torch.allclose(everything, loss_of(model, longer_ids, longer_answer, torch.ones(1, 8)))

"""Training: interrupted, it ends where an undisturbed run does, with and without lessons, alone or with two ranks."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import threading
from itertools import count
from multiprocessing import active_children
from pathlib import Path

import pytest
import torch

from cloud_worker.forge.distill import labels
from cloud_worker.forge.qwen2 import Qwen2
from cloud_worker.forge.recipes import Lessons
from cloud_worker.forge.training import corpus, launch
from cloud_worker.forge.training.checkpoint import ForeignCheckpointError
from cloud_worker.forge.training.launch import RankDiedError
from cloud_worker.forge.training.optimise import initialise
from cloud_worker.forge.training.team import Team
from cloud_worker.forge.training.train import Job, Trainer, TrainingStoppedError, pupil_of
from tests.factories.forge import SHAPE, small_recipe, small_tokenizer

TEACHER = dataclasses.replace(SHAPE, hidden_size=128, num_attention_heads=2, num_hidden_layers=2)
LESSONS = Lessons("cloud", guided_tokens=4_000, taught_tokens=8_000, on_policy_tokens=4_000)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows, a teacher's directory and its labels."""
    place = tmp_path_factory.mktemp("rows")
    small_tokenizer().save(str(place / "tokenizer.json"))
    rows = corpus.build(place / "tokenizer.json", seed=1, tokens=16_000, processes=1)
    rows.save(place / "rows.npz")
    teacher = Qwen2(TEACHER)
    initialise(teacher, 5)
    (place / "cloud").mkdir()
    teacher.save(place / "cloud")
    labels.save(place / "labels", rows, labels.label(teacher, rows))
    return place


def job(folder: Path, out: Path, seed: int = 7, taught: bool = False, ranks: int = 1) -> Job:
    out.mkdir(exist_ok=True)
    recipe = dataclasses.replace(small_recipe("edge"), tokens=24_000, lessons=LESSONS if taught else None)
    plain = Job(recipe, folder / "rows.npz", out, seed, "cpu", False, ranks, checkpoint_every=3)
    return dataclasses.replace(plain, labelled=folder / "labels", teacher=folder / "cloud") if taught else plain


def trainer(given: Job) -> Trainer:
    ticks, pupil = count(), pupil_of(given)
    return Trainer(given, pupil, Team.of(1, pupil), clock=lambda: float(next(ticks)))


class InterruptedRunError(Exception):
    """Stands for a killed process."""


def interrupt_at(step: int, _steps: int, _loss: float) -> None:
    if step == 4:
        raise InterruptedRunError


def silently(step: int, steps: int, loss: float) -> None:
    assert 1 <= step <= steps and loss > 0


@pytest.mark.parametrize("taught", [False, True])
def test_an_interrupted_run_ends_where_an_undisturbed_one_does(folder: Path, tmp_path: Path, taught: bool) -> None:
    whole = trainer(job(folder, tmp_path / "whole", taught=taught))
    whole.run(silently)
    with pytest.raises(InterruptedRunError):
        trainer(job(folder, tmp_path / "cut", taught=taught)).run(interrupt_at)
    resumed = trainer(job(folder, tmp_path / "cut", taught=taught))
    resumed.run(silently)
    assert resumed.losses == whole.losses and len(whole.losses) == whole.steps
    for name, value in whole.pupil.state_dict().items():
        assert torch.equal(value, resumed.pupil.state_dict()[name]), name


def test_the_parts_follow_each_other(folder: Path, tmp_path: Path) -> None:
    made = trainer(job(folder, tmp_path, taught=True))
    assert [part.name for part in made.parts] == ["guided", "plain", "taught", "on_policy"]
    assert [name for name, _ in made.pupil.bridge.named_parameters()] == ["0.weight"]
    assert 22_000 < made.tokens < 26_000


def test_a_request_to_stop_leaves_a_checkpoint(folder: Path, tmp_path: Path) -> None:
    given = job(folder, tmp_path)

    def stop(step: int, _steps: int, _loss: float) -> None:
        if step == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(TrainingStoppedError, match="step 3"):
        launch.train_model(given, stop)
    assert given.checkpoint.exists() and not given.log.exists()
    assert signal.getsignal(signal.SIGTERM) is before
    launch.train_model(given, silently)
    assert given.log.exists() and not given.checkpoint.exists()


@pytest.mark.soak
def test_two_ranks_end_alike_however_often_they_are_stopped(folder: Path, tmp_path: Path) -> None:
    def once(name: str, stop_first: bool) -> bytes:
        given = dataclasses.replace(job(folder, tmp_path / name, ranks=2), checkpoint_every=4)
        if stop_first:
            with pytest.raises(TrainingStoppedError):
                launch.train_model(given, lambda step, steps, loss: os.kill(os.getpid(), signal.SIGINT))
        launch.train_model(given, lambda step, steps, loss: None)
        return (tmp_path / name / "edge" / "model.safetensors").read_bytes()

    assert once("whole", False) == once("cut", True)


@pytest.mark.soak
def test_a_request_while_ranks_still_start_is_kept_for_them(folder: Path, tmp_path: Path) -> None:
    given, asked = job(folder, tmp_path, ranks=2), list[int]()

    def ask() -> None:
        while not asked:
            asked.extend(process.pid for process in active_children() if process.pid)
        for pid in asked:
            os.kill(pid, signal.SIGINT)

    asking = threading.Thread(target=ask)
    asking.start()
    with pytest.raises(TrainingStoppedError):
        launch.train_model(given, lambda step, steps, loss: None)
    asking.join()
    assert given.checkpoint.exists() and not active_children()


@pytest.mark.soak
def test_when_a_rank_is_killed_the_others_do_not_wait_for_it(folder: Path, tmp_path: Path) -> None:
    given = dataclasses.replace(job(folder, tmp_path, ranks=2), checkpoint_every=2)

    def kill(_step: int, _steps: int, _loss: float) -> None:
        if victims := active_children():
            os.kill(victims[-1].pid or 0, signal.SIGKILL)

    with pytest.raises(RankDiedError, match=r"SIGKILL.*go on"):
        launch.train_model(given, kill)
    assert not active_children()
    launch.train_model(given, lambda step, steps, loss: None)
    assert given.log.exists()


@pytest.mark.soak
def test_two_ranks_learn_from_all_rows(folder: Path, tmp_path: Path) -> None:
    given = job(folder, tmp_path, ranks=2)
    launch.train_model(given, lambda step, steps, loss: None)
    losses = json.loads(given.log.read_text())["losses"]
    assert losses[-1] < losses[0] - 0.3


def test_a_finished_run_leaves_weights_log_and_plots_but_no_checkpoint(folder: Path, tmp_path: Path) -> None:
    given = dataclasses.replace(job(folder, tmp_path), tokenizer=folder / "tokenizer.json", paper_per_cell=1)
    launch.train_model(given, silently)
    expected = ["edge", "edge.accuracy.png", "edge.log.json", "edge.loss.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == expected
    assert Qwen2.load(tmp_path / "edge").config == SHAPE
    log = json.loads(given.log.read_text())
    assert log["accuracies"][-1]["step"] == log["steps"] and len(log["accuracies"][-1]["by_grade"]) == 4


def test_a_checkpoint_of_another_run_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InterruptedRunError):
        trainer(job(folder, tmp_path)).run(interrupt_at)
    with pytest.raises(ForeignCheckpointError, match="delete it"):
        trainer(job(folder, tmp_path, seed=8)).run(silently)

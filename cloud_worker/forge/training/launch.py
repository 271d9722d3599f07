"""Starts the ranks of one model's training, passes on what they report, and draws the plots at the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.multiprocessing.spawn import ProcessExitedException, spawn

from cloud_worker.forge.training import plots
from cloud_worker.forge.training.team import Team, heed, held_back, stopping
from cloud_worker.forge.training.train import Job, Pupil, Trainer, TrainingStoppedError, pupil_of

POLL_S = 0.5
GRACE_S = 5.0

Report = Callable[[int, int, float], None]


class RankDiedError(Exception):
    """A process of a training ended by itself; the others were ended too."""


def train_model(job: Job, report: Report) -> None:
    """Train one model to the end: weights, log and plots under the job's folder. Uses `job.ranks` processes.

    SIGINT and SIGTERM end it after a checkpoint with TrainingStoppedError; the same call goes on from there. Raises
    RankDiedError when a rank is killed.
    """
    pupil = pupil_of(job)
    team = Team.of(job.ranks, pupil)
    with stopping(team.stop):
        if job.ranks == 1:
            _train(0, job, pupil, team, report)
        else:
            _together(job, pupil, team, report)
    if not job.log.exists():
        raise TrainingStoppedError(f"{job.checkpoint}: stopped as asked; give the same command to go on")


def _together(job: Job, pupil: Pupil, team: Team, report: Report) -> None:
    with held_back():
        ranks = spawn(_rank, args=(job, pupil, team), nprocs=job.ranks, join=False)  # type: ignore[no-untyped-call]
    try:
        _watch(ranks, team, report)
    except ProcessExitedException as died:
        said = f"rank {died.error_index} of {job.ranks} ended with {died.signal_name or died.exit_code}"
        remedy = "SIGKILL is mostly too little memory; give the same command to go on from the last checkpoint"
        raise RankDiedError(f"{job.checkpoint}: {said}; {remedy}") from died
    except BaseException:  # of `report`: nobody watches the ranks any more
        team.stop.set()
        raise


def _watch(ranks: Any, team: Team, report: Report) -> None:
    """Report what the ranks leave in shared memory until they end; raises what a rank raised.

    When one of them fails the others, which wait for it, are killed after GRACE_S.
    """
    last = -1.0
    while not ranks.join(timeout=POLL_S, grace_period=GRACE_S):
        step, steps, loss = (float(value) for value in team.told)
        if step != last and steps:
            report(int(step), int(steps), loss)
            last = step


def _rank(rank: int, job: Job, pupil: Pupil, team: Team) -> None:
    """One process: it tells of its steps through shared memory, and ends quietly when asked to stop."""

    def tell(step: int, steps: int, loss: float) -> None:
        if rank == 0:
            team.told.copy_(torch.tensor([step, steps, loss]))

    with stopping(team.stop):
        heed()
        try:
            _train(rank, job, pupil, team, tell)
        except TrainingStoppedError:
            return


def _train(rank: int, job: Job, pupil: Pupil, team: Team, report: Report) -> None:
    torch.set_num_threads(1)
    if job.device.startswith("cuda"):
        torch.set_float32_matmul_precision("high")
    trainer = Trainer(job, pupil, team, rank)
    trainer.run(report)
    if rank == 0:
        trainer.finish()
        tier = job.recipe.tier
        plots.draw_losses(trainer.losses, job.out / f"{tier}.loss.png", tier)
        plots.draw_accuracies(trainer.accuracies, job.out / f"{tier}.accuracy.png", tier)

"""Starts the ranks of one model's training, passes on what they report, and draws the plots at the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.multiprocessing.spawn import spawn

from cloud_worker.forge.training import plots
from cloud_worker.forge.training.team import Team, stopping
from cloud_worker.forge.training.train import Job, Pupil, Trainer, TrainingStoppedError, pupil_of

POLL_S = 0.5

Report = Callable[[int, int, float], None]


def train_model(job: Job, report: Report) -> None:
    """Train one model to the end: weights, log and plots under the job's folder. Uses `job.ranks` processes.

    SIGINT and SIGTERM end it after a checkpoint with TrainingStoppedError; the same call goes on from there.
    """
    pupil = pupil_of(job)
    team = Team.of(job.ranks, pupil)
    with stopping(team.stop):
        if job.ranks == 1:
            _train(0, job, pupil, team, report)
        else:
            _watch(spawn(_rank, args=(job, pupil, team), nprocs=job.ranks, join=False), team, report)  # type: ignore[no-untyped-call]
    if not job.log.exists():
        raise TrainingStoppedError(f"{job.checkpoint}: stopped as asked; give the same command to go on")


def _watch(ranks: Any, team: Team, report: Report) -> None:
    """Report what the ranks leave in shared memory until they end; raises what a rank raised."""
    last = -1.0
    while not ranks.join(timeout=POLL_S):
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

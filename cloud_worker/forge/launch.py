"""Starts the ranks of one model's training, shows the progress bar and draws the loss curve."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch.multiprocessing.spawn import spawn

from cloud_worker.forge.train import Job, Report, Trainer


def train_model(job: Job) -> None:
    """Train one model to the end: weights and log under the job's folder. Uses `job.ranks` processes."""
    rendezvous = job.out / f"{job.recipe.tier}.rendezvous"
    rendezvous.unlink(missing_ok=True)
    if job.ranks == 1:
        _rank(0, job, rendezvous)
    else:
        spawn(_rank, args=(job, rendezvous), nprocs=job.ranks)  # type: ignore[no-untyped-call]
    rendezvous.unlink(missing_ok=True)


def _rank(rank: int, job: Job, rendezvous: Path) -> None:
    torch.set_num_threads(1)
    if job.device.startswith("cuda"):
        torch.set_float32_matmul_precision("high")
    if job.ranks > 1:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
        dist.init_process_group("gloo", init_method=f"file://{rendezvous.absolute()}", rank=rank, world_size=job.ranks)
    trainer = Trainer(job, rank)
    if rank:
        trainer.run(lambda step, steps, loss: None)
    else:
        with _progress(job.recipe.tier) as report:
            trainer.run(report)
        trainer.finish()
        draw_losses(trainer.losses, job.out / f"{job.recipe.tier}.loss.png", job.recipe.tier)
    if job.ranks > 1:
        dist.destroy_process_group()


@contextmanager
def _progress(name: str) -> Iterator[Report]:
    steps = TextColumn("{task.completed}/{task.total} steps")
    columns = (TextColumn("{task.description}"), BarColumn(), steps, TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, refresh_per_second=0.5) as bar:
        task = bar.add_task(name, total=None)
        smooth = [0.0]

        def report(step: int, steps: int, loss: float) -> None:
            smooth[0] = loss if step == 1 else 0.98 * smooth[0] + 0.02 * loss
            bar.update(task, completed=step, total=steps, description=f"{name} loss {smooth[0]:.3f}")
            if not bar.console.is_terminal and step % 100 == 0:
                bar.console.print(f"{name} step {step}/{steps} loss {smooth[0]:.4f}")

        yield report


def draw_losses(losses: list[float], path: Path, title: str) -> None:
    """The loss curve (dots: mean of 20 steps) as a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    width = max(1, min(20, len(losses)))
    means = np.convolve(np.asarray(losses), np.ones(width) / width, mode="valid")
    axes.semilogy(np.arange(len(means)) + width, means)
    axes.set(title=f"{title}: training loss", xlabel="step", ylabel="weighted cross-entropy")
    figure.savefig(path, dpi=110)

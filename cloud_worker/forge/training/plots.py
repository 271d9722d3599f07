"""The two pictures of a training as PNG files: its loss, and its accuracy by grade."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cloud_worker.forge.training.train import Accuracy


def draw_losses(losses: Sequence[float], path: Path, title: str) -> None:
    """The loss curve: means of 20 steps, logarithmic."""
    figure, axes = _canvas()
    width = max(1, min(20, len(losses)))
    means = np.convolve(np.asarray(losses), np.ones(width) / width, mode="valid")
    axes.semilogy(np.arange(len(means)) + width, means)
    axes.set(title=f"{title}: training loss", xlabel="step", ylabel="weighted cross-entropy")
    figure.savefig(path, dpi=110)


def draw_accuracies(accuracies: Sequence[Accuracy], path: Path, title: str) -> None:
    """Percent of development exercises whose every answer token is the most likely one, a line for each grade."""
    figure, axes = _canvas()
    steps = [mark.step for mark in accuracies]
    for grade in range(4 if accuracies else 0):
        axes.plot(steps, [mark.by_grade[grade] for mark in accuracies], marker="o", label=f"grade {grade + 1}")
    axes.set(title=f"{title}: development examination", xlabel="step", ylabel="percent right", ylim=(0, 102))
    if accuracies:
        axes.legend(loc="lower right")
    figure.savefig(path, dpi=110)


def _canvas() -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.5), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()

"""Two pictures of the reference models' benchmark: accuracy by grade, and the cascade's curve."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.report import Report, Row

_GRADE = re.compile(r"(?P<model>[\w-]+), grade (?P<grade>\d), (?P<language>\w+), known phrasings")
_SHARE = re.compile(r"(?P<share>\d+) % on the edge by .*, (?P<words>[\w-]+) phrasings")


def draw(folder: Path, report: Report) -> list[Path]:
    """Write accuracy-by-grade.png and cascade.png; returns their paths."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for name, plot in (("accuracy-by-grade", _grades), ("cascade", _cascade)):
        figure, axes = pyplot.subplots(figsize=(7, 4))
        plot(axes, report.rows)
        axes.legend()
        axes.grid(alpha=0.3)
        path = folder / f"{name}.png"
        figure.savefig(path, dpi=120, bbox_inches="tight")
        pyplot.close(figure)
        made.append(path)
    return made


def curves(rows: Iterable[Row], metric: str, pattern: re.Pattern[str], x: str) -> dict[str, list[tuple[float, float]]]:
    """Points (x, ours) of a metric's rows, by what else their condition says."""
    found: dict[str, list[tuple[float, float]]] = {}
    for each in rows:
        if each.metric == metric and (match := pattern.fullmatch(each.condition)):
            words = match.groupdict()
            place = float(words.pop(x))
            found.setdefault(", ".join(words.values()), []).append((place, each.ours))
    return found


def _grades(axes: Any, rows: Iterable[Row]) -> None:
    for label, points in curves(rows, "exact match", _GRADE, "grade").items():
        axes.plot(*zip(*points, strict=True), marker="o", label=label)
    axes.set(xlabel="grade", ylabel="exact match, %", xticks=(1, 2, 3, 4), ylim=(0, 102), title="Known phrasings")


def _cascade(axes: Any, rows: Iterable[Row]) -> None:
    for label, points in curves(rows, "cascade accuracy", _SHARE, "share").items():
        axes.plot(*zip(*points, strict=True), marker="o", label=f"{label} phrasings")
    axes.set(xlabel="kept on the edge, %", ylabel="exact match, %", title="Cascade by the edge's least sure token")

"""Pictures of the ladder's benchmark: one a stress, a column a device; heat, battery, memory, speed and rungs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edge_agent.ladder import Ladder, LadderSettings
from tests.simulators.device_days import Day, Second

if TYPE_CHECKING:
    from benchmarks.ladder import Pair

MIB: Final = 1 << 20
SMOOTH_S: Final = 30
COLOURS: Final = {"memory": "tab:blue", "heat": "tab:red", "battery": "tab:green", "contention": "tab:purple"}
WITH: Final = {"color": "tab:blue", "linewidth": 1.2, "label": "with the ladder"}
WITHOUT: Final = {"color": "0.65", "linewidth": 0.9, "label": "without"}


def draw(file: Path, pairs: Iterable[Pair]) -> list[Path]:
    """Write FILE-<stress>.png for each stress; returns their paths."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    file.parent.mkdir(parents=True, exist_ok=True)
    made = []
    for stress, group in groupby(sorted(pairs, key=lambda pair: pair.stress), key=lambda pair: pair.stress):
        columns = list(group)
        size = (4.2 * len(columns), 12.5)
        figure, axes = pyplot.subplots(5, len(columns), figsize=size, squeeze=False, sharex=True)
        for column, pair in enumerate(columns):
            _device([line[column] for line in axes], pair)
        axes[0][0].legend(fontsize="small")
        figure.suptitle(f"{stress}: one virtual hour", fontsize="x-large")
        path = file.with_name(f"{file.stem}-{stress.replace(' ', '-')}.png")
        figure.tight_layout()
        figure.savefig(path, dpi=80)
        pyplot.close(figure)
        made.append(path)
    return made


def _device(axes: Sequence[Any], pair: Pair) -> None:
    heat, battery, memory, speed, rungs = axes
    for day, style in ((pair.without, WITHOUT), (pair.with_, WITH)):
        minutes = [second / 60 for second in range(len(day.seconds))]
        heat.plot(minutes, [each.temperature_c for each in day.seconds], **style)
        if day.seconds[0].battery_pct is not None:
            battery.plot(minutes, [each.battery_pct for each in day.seconds], **style)
        memory.plot(minutes, [max(0, each.available_bytes) / MIB for each in day.seconds], **style)
        speed.plot(minutes, _smooth(day), **style)
    heat.axhline(pair.profile.throttle_c, color="tab:red", linestyle=":", linewidth=1)
    heat.set(title=pair.profile.name, ylabel="°C")
    battery.set(ylabel="battery, %", ylim=(0, 100))
    memory.set(ylabel="free memory, MiB", ylim=(0, None))
    speed.set(ylabel=f"tokens/s, mean of {SMOOTH_S} s", ylim=(0, None))
    _rungs(rungs, pair.with_)
    for each in axes:
        each.grid(alpha=0.3)


def _rungs(axes: Any, day: Day) -> None:
    """One band for each ladder: the higher the line, the graver the rung."""
    minutes = [second / 60 for second in range(len(day.seconds))]
    places, labels = [], []
    base = 0
    for table in Ladder(LadderSettings(cores=day.profile.cores)).tables:
        levels = [base + _level(table.names, each, table.ladder) for each in day.seconds]
        axes.step(minutes, levels, color=COLOURS[table.ladder], linewidth=1.4, where="post")
        places += [base + level for level in range(len(table.names))]
        labels += [f"{table.ladder}: {name}" if not level else name for level, name in enumerate(table.names)]
        base += len(table.names) + 1
    axes.set(yticks=places, xlabel="minutes")
    axes.set_yticklabels(labels, fontsize=6)


def _level(names: tuple[str, ...], second: Second, ladder: str) -> int:
    return names.index(second.rungs[ladder])


def _smooth(day: Day) -> list[float]:
    speeds = [each.tokens_per_s for each in day.seconds]
    windows = (speeds[max(0, end - SMOOTH_S) : end] for end in range(1, len(speeds) + 1))
    return [sum(window) / len(window) for window in windows]

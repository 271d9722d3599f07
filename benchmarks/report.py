"""The benchmark report: rows of a metric under a condition, ours beside a peer's, as a table or as JSON."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from typing import Literal

import msgspec
from rich.console import Console
from rich.table import Table

Better = Literal["higher", "lower"]


class Floor(msgspec.Struct, frozen=True):
    """What must hold: `of` (ratio, ours or limit) compared by `op` (>= or <=) with `value`."""

    of: Literal["ratio", "ours", "limit"]
    op: Literal[">=", "<="]
    value: float


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One figure. `ratio` is ours / peer; `limit` the physical bound measured in the same run, when there is one.

    A peer that could not be run has value None and `reason`; such a row does not hold.
    """

    metric: str
    condition: str
    unit: str
    better: Better
    ours: float
    peer: str = ""
    peer_value: float | None = None
    ratio: float | None = None
    limit: float | None = None
    samples: int = 0
    floor: Floor | None = None
    holds: bool | None = None
    reason: str = ""


class Report(msgspec.Struct, frozen=True):
    bench: str
    machine: str
    rows: list[Row]


def row(
    metric: str,
    condition: str,
    unit: str,
    better: Better,
    ours: float,
    *,
    peer: str = "",
    peer_value: float | None = None,
    limit: float | None = None,
    samples: int = 0,
    floor: Floor | None = None,
    reason: str = "",
) -> Row:
    """A row with its ratio and verdict worked out."""
    ratio = ours / peer_value if peer_value else None
    return Row(
        metric=metric,
        condition=condition,
        unit=unit,
        better=better,
        ours=ours,
        peer=peer,
        peer_value=peer_value,
        ratio=ratio,
        limit=limit,
        samples=samples,
        floor=floor,
        holds=_holds(floor, ours, ratio) if not reason else False,
        reason=reason,
    )


def _holds(floor: Floor | None, ours: float, ratio: float | None) -> bool | None:
    if floor is None:
        return None
    value = {"ratio": ratio, "ours": ours, "limit": None}[floor.of]
    if value is None:
        return False
    return value >= floor.value if floor.op == ">=" else value <= floor.value


def machine() -> str:
    """The machine in words: processor architecture, cores, Python."""
    return f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def percentile(values: Sequence[float], percent: float) -> float:
    """Nearest-rank percentile of a non-empty sequence."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(percent / 100 * (len(ordered) - 1)))]


def show(report: Report, *, as_json: bool) -> None:
    """Print the report for people, or for machines."""
    if as_json:
        print(msgspec.json.encode(report).decode())
        return
    table = Table(title=f"{report.bench} ({report.machine})")
    for title in ("metric", "condition", "ours", "peer", "peer's", "ours / peer's", "n", "holds"):
        table.add_column(title)
    for each in report.rows:
        table.add_row(
            each.metric,
            each.condition,
            f"{each.ours:.4g} {each.unit}",
            each.peer,
            "" if each.peer_value is None else f"{each.peer_value:.4g} {each.unit}",
            "" if each.ratio is None else f"{each.ratio:.2f}",
            str(each.samples),
            {None: "", True: "yes", False: f"no {each.reason}"}[each.holds],
        )
    Console().print(table)

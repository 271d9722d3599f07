"""`edgewise status --latency`: where answers spent their time, as a table with bars."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgewise.cli.connection import call
from edgewise.cli.tables import make_table

if TYPE_CHECKING:
    import httpx
    from rich.table import Table

BAR_CHARS = 24
_COLUMNS = ("point", "p50", "p95", "p99", "share of the mean")


def latency(client: httpx.Client) -> dict[str, Any]:
    """The summary of the control plane. Raises RemoteError."""
    found: dict[str, Any] = call(client, "GET", "/admin/v1/latency")
    return found


def draw_latency(found: dict[str, Any]) -> Table:
    """The five points with their bars, then the first token and the whole."""
    points = found["points"]
    whole = sum(point["mean_ms"] for point in points.values()) or 1.0
    rows = [(name, *_times(point), _bar(point["mean_ms"] / whole)) for name, point in points.items()]
    for name in ("first_token", "total"):
        if found[name] is not None:
            rows.append((name.replace("_", " "), *_times(found[name]), ""))
    return make_table(_COLUMNS, rows, f"Latency of the last {found['answers']} answers")


def _times(point: dict[str, float]) -> tuple[str, str, str]:
    p50, p95, p99 = (f"{point[name]:.1f} ms" for name in ("p50_ms", "p95_ms", "p99_ms"))
    return p50, p95, p99


def _bar(share: float) -> str:
    return f"{'█' * round(share * BAR_CHARS):<{BAR_CHARS}} {share:4.0%}"

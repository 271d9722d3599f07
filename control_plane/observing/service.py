"""Latency: percentiles over the decision records, so every gateway's answers are in it, and a restart loses none."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime

from control_plane.database import Database
from control_plane.decisions.recorder import DecisionRecorder
from control_plane.observing.repository import AnswerTimes, LatencyRepository
from control_plane.observing.schemas import LatencyView, Quantiles
from edgewise.observability.names import POINTS


class Latency:
    """The service behind /admin/v1/latency."""

    def __init__(self, database: Database, recorder: DecisionRecorder) -> None:
        self._database = database
        self._recorder = recorder

    async def summary(self, *, since: datetime | None = None, tier: str | None = None, limit: int) -> LatencyView:
        """Percentiles of the newest `limit` answers, those that just ended among them."""
        await self._recorder.flush()
        async with self._database.reading() as session:
            return summarize(await LatencyRepository(session).newest(since=since, tier=tier, limit=limit))


def summarize(answers: Sequence[AnswerTimes]) -> LatencyView:
    """Percentiles of each point over the answers that have all of them."""
    measured = [each for each in answers if each.points and set(POINTS) <= set(each.points)]
    points = {name: quantiles([each.points[name] for each in measured if each.points]) for name in POINTS if measured}
    first = [each.first_token_s for each in answers if each.first_token_s]
    total = [each.total_s for each in answers if each.total_s]
    return LatencyView(
        answers=len(measured),
        points=points,
        first_token=quantiles(first) if first else None,
        total=quantiles(total) if total else None,
    )


def quantiles(seconds: Sequence[float]) -> Quantiles:
    """Nearest-rank percentiles of at least one value, in milliseconds."""
    ordered = sorted(seconds)

    def at(share: float) -> float:
        return round(ordered[max(0, math.ceil(share * len(ordered)) - 1)] * 1000, 3)

    mean_ms = round(sum(ordered) / len(ordered) * 1000, 3)
    return Quantiles(p50_ms=at(0.50), p95_ms=at(0.95), p99_ms=at(0.99), mean_ms=mean_ms)

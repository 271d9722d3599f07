"""HTTP shapes of /admin/v1/latency and /admin/v1/diagnostics."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

Id = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^\x00]*$")]


class Quantiles(BaseModel):
    """Milliseconds: median, 95th and 99th percentile (nearest rank), and the mean."""

    p50_ms: float
    p95_ms: float
    p99_ms: float
    mean_ms: float


class LatencyView(BaseModel):
    """Where answers spent their time: `points` by name (network, queue, tokenization, model, postprocessing), each over
    the same `answers`. `total` and `first_token` are measured by themselves; points that overlap add up to more."""

    answers: int
    points: dict[str, Quantiles]
    first_token: Quantiles | None
    total: Quantiles | None


class DiagnosticsView(BaseModel):
    """Which streams of this gateway write diagnostic lines: a share of all (0 to 1), streams by id, keys by id."""

    share: float = Field(default=0.0, ge=0.0, le=1.0)
    streams: list[Id] = Field(default_factory=list, max_length=100)
    keys: list[Id] = Field(default_factory=list, max_length=100)

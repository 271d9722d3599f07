"""LadderFacts: all that the ladders are told in one step. None is unknown: the platform lacks the sensor, or it failed.

Nothing is measured here (edge_agent/telemetry does), and nothing is smoothed.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LadderFacts:
    """One reading of the device, and what the runtime says of itself.

    memory_some_pct, memory_full_pct: share of the last ten seconds in which some, or all, work stood still for want of
    memory (PSI avg10).
    growth_bytes: what the answers that were taken may still need (KV bytes per token × tokens they may yet have).
    freed_bytes: what the memory ladder's rungs gave up and will be wanted again below them (the model, caches).
    throttled: the platform says that it has slowed down because of heat.
    others_cores: cores kept busy by other processes, 0 to `cores`.
    """

    memory_total_bytes: int | None = None
    memory_available_bytes: int | None = None
    memory_some_pct: float | None = None
    memory_full_pct: float | None = None
    growth_bytes: int = 0
    freed_bytes: int = 0
    cpu_temp_c: float | None = None
    throttled: bool | None = None
    battery_pct: float | None = None
    charging: bool | None = None
    cores: int | None = None
    others_cores: float | None = None

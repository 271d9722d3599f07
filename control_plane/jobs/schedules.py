"""What is due when. Times of day are UTC."""

from __future__ import annotations

from datetime import time

from control_plane.decisions.tasks import yesterday
from control_plane.jobs.ticks import Daily, Every, Schedule

SCHEDULES = (
    Schedule(name="seal", kind="seal_and_trim", when=Every(30)),
    Schedule(name="warm", kind="warm_caches", when=Every(300)),
    Schedule(name="purge-sealed", kind="purge_sealed", when=Daily(time(2, 40))),
    Schedule(name="prune-charges", kind="prune_charges", when=Daily(time(2, 50))),
    Schedule(name="export", kind="export_decisions", when=Daily(time(1, 10)), payload=yesterday),
)

"""A gateway seals a few streams by itself and leaves the rest to the job."""

from __future__ import annotations

from control_plane.streams.sealing import SealShare
from tests.factories.clock import ManualClock


def test_a_burst_is_sealed_then_so_many_a_second() -> None:
    clock, sealed = ManualClock(), list[str]()
    share = SealShare(sealed.append, per_s=2.0, burst=3.0, clock=clock)
    for number in range(10):
        share.ended(f"burst-{number}")
    assert sealed == ["burst-0", "burst-1", "burst-2"]
    clock.jump(0.5)
    share.ended("later-0")
    share.ended("later-1")
    clock.jump(1000.0)
    for number in range(10):
        share.ended(f"rested-{number}")
    assert sealed[3:] == ["later-0", "rested-0", "rested-1", "rested-2"]

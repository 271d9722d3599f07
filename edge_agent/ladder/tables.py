"""The four tables of rungs: what each ladder does step by step, when it does so, and when it takes it back.

Thresholds are in the units of their signals (signals.py). docs/howto/a-device-under-stress.md tells them to operators.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from edge_agent.ladder.climb import Bound, Rung, Table
from edge_agent.ladder.limits import Accept, Limits
from edge_agent.ladder.signals import (
    BATTERY,
    HEADROOM,
    OTHERS,
    SPARE,
    SPARE_BACK,
    SPARE_SOON,
    STALLED,
    STALLED_FULL,
    THROTTLED,
    TIME_TO_HOT,
)


@dataclass(frozen=True, slots=True)
class LadderSettings:
    """What differs between devices.

    cores: what the machine has. throttle_c: where the platform slows the processor down. window_tokens: contexts when
    memory is short. slow_tokens_per_s, slowest_tokens_per_s: reading speed, comfortable and slow. long_tokens: answers
    that a device with half a battery would rather not make. short_tokens: the longest with a nearly empty one.
    """

    cores: int = 2
    throttle_c: float = 85.0
    window_tokens: int = 1024
    slow_tokens_per_s: float = 12.0
    slowest_tokens_per_s: float = 8.0
    long_tokens: int = 256
    short_tokens: int = 64


def _spare(enter: float, leave: float, *, soon: bool = True) -> Bound:
    return Bound(SPARE_SOON if soon else SPARE, enter, leave, back=SPARE_BACK)


FEW_CORES: Final = 4
NO_MEMORY: Final = "the device is short of memory"
TOO_HOT: Final = "the device is too hot"
LOW_BATTERY: Final = "the battery is low"


def memory_table(settings: LadderSettings) -> Table:
    """From the cheapest measure to the dearest, which is urgent."""
    rungs = (
        Rung("no-speculation", Limits(speculation=False), (_spare(12, 16),), 30),
        Rung("int8-kv", Limits(kv_element="int8"), (_spare(10, 14), Bound(STALLED, 10, 2)), 30),
        Rung("short-window", Limits(window_tokens=settings.window_tokens), (_spare(8, 12),), 30),
        Rung("no-prefixes", Limits(prefix_share=0.0), (_spare(6, 10), Bound(STALLED, 25, 5)), 60),
        Rung(
            "no-idle-kv",
            Limits(keep_idle_kv=False),
            (_spare(4, 8), Bound(STALLED_FULL, 10, 2)),
            60,
        ),
        Rung(
            "unloaded",
            Limits(loaded=False, hand_over=True, accept=Accept.NONE, reason=NO_MEMORY),
            (_spare(2.5, 6, soon=False), _spare(1, 6), Bound(STALLED_FULL, 30, 5)),
            120,
            urgent=True,
        ),
    )
    return Table("memory", "free", rungs)


def heat_table(settings: LadderSettings) -> Table:
    """Slower before hotter: reading speed, one thread, hand over, rest."""
    slow, slowest = settings.slow_tokens_per_s, settings.slowest_tokens_per_s
    rungs = (
        Rung(
            "reading-speed",
            Limits(tokens_per_s=slow, speculation=False, spinning=False),
            (Bound(HEADROOM, 8, 13), Bound(TIME_TO_HOT, 60, 240)),
            60,
        ),
        Rung("one-thread", Limits(tokens_per_s=slowest, threads=1), (Bound(HEADROOM, 5, 10),), 60),
        Rung(
            "hand-over",
            Limits(hand_over=True, accept=Accept.ONLY_HERE, reason=TOO_HOT),
            (Bound(HEADROOM, 2, 8), Bound(THROTTLED, 1, 0)),
            60,
            urgent=True,
        ),
        Rung(
            "cooling",
            Limits(accept=Accept.NONE, reason=f"{TOO_HOT} and cools down"),
            (Bound(HEADROOM, 0, 8), Bound(THROTTLED, 60, 0)),
            120,
            urgent=True,
        ),
    )
    return Table("heat", "cool", rungs)


def battery_table(settings: LadderSettings) -> Table:
    """What the battery has left decides who answers; on external power it counts as full."""
    rungs = (
        Rung("saving", Limits(cloud_from_tokens=settings.long_tokens), (Bound(BATTERY, 50, 55),), 20),
        Rung("low", Limits(accept=Accept.ONLY_HERE, reason=LOW_BATTERY), (Bound(BATTERY, 20, 25),), 20),
        Rung(
            "nearly-empty", Limits(max_output_tokens=settings.short_tokens), (Bound(BATTERY, 10, 13),), 20, urgent=True
        ),
    )
    return Table("battery", "full", rungs)


def contention_table(settings: LadderSettings) -> Table:
    """A good guest: one quiet thread until the machine is known to be idle, and again as soon as it is not.

    With four cores and more there is a step between: half of them, which leaves the others room.
    """
    half = Rung("half", Limits(threads=settings.cores // 2, spinning=False), (Bound(OTHERS, 25, 12),), 30)
    one = Limits(threads=1, spinning=False)
    if settings.cores < FEW_CORES:
        rungs: tuple[Rung, ...] = (Rung("one-thread", one, half.bounds, 30),)
    else:
        rungs = (half, Rung("one-thread", one, (Bound(OTHERS, 60, 40),), 30, urgent=True))
    return Table("contention", "idle", rungs, start=len(rungs))

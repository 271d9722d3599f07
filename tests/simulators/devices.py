"""Simulated devices under a virtual clock: profiles, and the physics of heat, battery, memory and speed.

The profiles are plausible, not measured: they show how a ladder behaves, not how fast any product is.
What such a device does all day is device_days.py.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace
from typing import Final

MIB: Final = 1 << 20
GIB: Final = 1 << 30
SPECULATION_GAIN: Final = 1.1
PREFILL_GAIN: Final = 5.0
SPINNING_GAIN: Final = 1.05
INT8_SHARE: Final = 66 / 256
"""A row of 64 values in int8 with its float16 scale, of the same row in float32."""
KILL_SHARE: Final = 0.015
"""Below so much of its memory, at most of 8 GiB, the system ends the largest process in the background: the agent."""
STALL_SHARE: Final = 0.06
RECOVER_C: Final = 4.0
"""A throttled processor is let go when it has cooled by so much."""


@dataclass(frozen=True, kw_only=True)
class Profile:
    """One kind of device. Speeds are tokens/s by threads, quiet and on an idle machine; heat is one resistor (K/W) and
    one capacity (J/K) over the air around; a battery of None is a cable. Memory of others swings around `others_bytes`.
    """

    name: str
    cores: int
    speeds: tuple[float, ...]
    memory_bytes: int
    others_bytes: int
    model_bytes: int
    kv_token_bytes: int
    context_tokens: int = 2048
    idle_cache_bytes: int = 64 * MIB
    load_s: float = 4.0
    idle_w: float
    core_w: float
    radio_w: float = 0.8
    ambient_c: float = 25.0
    hot_room_c: float = 40.0
    kelvin_per_w: float
    joules_per_kelvin: float
    throttle_c: float
    throttled_speed: float = 0.5
    throttled_power: float = 0.5
    battery_wh: float | None = None
    battery_pct: float = 80.0
    charger_w: float = 0.0
    others_cores: float = 0.5
    gap_s: float
    hog_share: float = 0.0


PROFILES: Final = (
    Profile(
        name="watch", cores=2, speeds=(9.0, 14.0), memory_bytes=GIB, others_bytes=420 * MIB, model_bytes=140 * MIB,
        kv_token_bytes=6144, context_tokens=1024, idle_cache_bytes=16 * MIB, idle_w=0.06, core_w=0.42, radio_w=0.5,
        ambient_c=29.0, kelvin_per_w=24.0, joules_per_kelvin=38.0, throttle_c=46.0, battery_wh=1.2, others_cores=0.2,
        hot_room_c=36.0, gap_s=18.0,
    ),
    Profile(
        name="low phone", cores=4, speeds=(8.0, 13.0, 16.0, 18.0), memory_bytes=2 * GIB, others_bytes=1000 * MIB,
        model_bytes=330 * MIB, kv_token_bytes=24_576, idle_w=0.4, core_w=0.6, kelvin_per_w=16.0,
        joules_per_kelvin=55.0, throttle_c=62.0, battery_wh=11.0, gap_s=12.0,
    ),
    Profile(
        name="4 GB phone", cores=8, speeds=(11.0, 19.0, 24.0, 28.0), memory_bytes=4 * GIB, others_bytes=1900 * MIB,
        model_bytes=900 * MIB, kv_token_bytes=57_344, idle_cache_bytes=128 * MIB, idle_w=0.5, core_w=1.0,
        kelvin_per_w=13.0, joules_per_kelvin=70.0, throttle_c=72.0, battery_wh=15.0, gap_s=8.0,
    ),
    Profile(
        name="Pi", cores=4, speeds=(9.0, 16.0, 20.0, 23.0), memory_bytes=4 * GIB, others_bytes=700 * MIB,
        model_bytes=900 * MIB, kv_token_bytes=57_344, idle_cache_bytes=128 * MIB, idle_w=2.7, core_w=1.5,
        kelvin_per_w=7.5, joules_per_kelvin=60.0, throttle_c=80.0, gap_s=10.0,
    ),
    Profile(
        name="laptop", cores=8, speeds=(22.0, 39.0, 50.0, 58.0), memory_bytes=16 * GIB, others_bytes=7 * GIB,
        model_bytes=900 * MIB, kv_token_bytes=57_344, context_tokens=4096, idle_cache_bytes=256 * MIB, load_s=2.0,
        idle_w=4.0, core_w=6.0, radio_w=1.0, kelvin_per_w=2.6, joules_per_kelvin=160.0, throttle_c=92.0,
        battery_wh=52.0, others_cores=1.0, gap_s=5.0,
    ),
)  # fmt: skip

STRESSES: Final = ("calm", "hot room", "memory hog", "low battery")


def under(profile: Profile, stress: str) -> Profile | None:
    """The profile under one stress; None where it cannot have it (a cable is never low)."""
    if stress == "hot room":
        return replace(profile, ambient_c=profile.hot_room_c)
    if stress == "memory hog":
        return replace(profile, hog_share=1.0)
    if stress == "low battery":
        return None if profile.battery_wh is None else replace(profile, battery_pct=22.0)
    return profile


class Others:
    """The other processes of a device: seeded, the same whatever our agent does. Steps of one second."""

    def __init__(self, profile: Profile, random_: random.Random) -> None:
        self._profile = profile
        self._random = random_
        self._busy_left_s = 0.0
        self._quiet_left_s = random_.expovariate(1 / 120)
        self._swing = 0.0
        self._second = 0
        self.cores = 0.0
        self.bytes = profile.others_bytes

    def step(self) -> None:
        """One second of what they do."""
        self._second += 1
        self.cores = self._work()
        room = self._profile.memory_bytes - self._profile.others_bytes - self._profile.model_bytes
        self._swing += -self._swing / 200 + self._random.gauss(0, room * 0.008)
        self.bytes = round(self._profile.others_bytes + self._swing + room * self._profile.hog_share * self._hog())

    def _work(self) -> float:
        """Minutes of quiet, then half a minute of work on some cores, and so on."""
        if self._quiet_left_s > 0:
            self._quiet_left_s -= 1
            self._busy_left_s = self._random.expovariate(1 / 30)
            return self._profile.others_cores * self._random.uniform(0, 0.2)
        self._busy_left_s -= 1
        if self._busy_left_s <= 0:
            self._quiet_left_s = self._random.expovariate(1 / 180)
        return min(float(self._profile.cores), self._profile.others_cores * self._random.uniform(2, 4))

    def _hog(self) -> float:
        """An app that takes nearly all that is left within a minute, and holds it for six; every 25 minutes."""
        second = (self._second - 600) % 1500
        if self._second < 600 or second >= 420:
            return 0.0
        return 0.99 * min(1.0, second / 60)


class Body:
    """Heat and battery of a device. Steps of one second."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self.temperature_c = profile.ambient_c + profile.idle_w * profile.kelvin_per_w
        self.throttled = False
        self._left_j = None if profile.battery_wh is None else profile.battery_wh * 36.0 * profile.battery_pct

    @property
    def battery_pct(self) -> float | None:
        if self._left_j is None or self._profile.battery_wh is None:
            return None
        return self._left_j / (self._profile.battery_wh * 36.0)

    def step(self, own_cores: float, others_cores: float, radio: bool) -> float:
        """One second with so many busy cores. Returns the joules that the agent caused."""
        power_share = self._profile.throttled_power if self.throttled else 1.0
        own_w = own_cores * self._profile.core_w * power_share + (self._profile.radio_w if radio else 0.0)
        watts = self._profile.idle_w + others_cores * self._profile.core_w * power_share + own_w
        self._warm(watts)
        if self._left_j is not None and self._profile.battery_wh is not None:
            full_j = self._profile.battery_wh * 3600.0
            self._left_j = min(full_j, max(0.0, self._left_j - watts + self._profile.charger_w))
        return own_w

    def cool(self) -> None:
        """One second of being off."""
        self._warm(0.0)

    def _warm(self, watts: float) -> None:
        """The exact step of the circuit for constant power, then the platform's own throttling."""
        end_c = self._profile.ambient_c + watts * self._profile.kelvin_per_w
        constant_s = self._profile.kelvin_per_w * self._profile.joules_per_kelvin
        self.temperature_c = end_c + (self.temperature_c - end_c) * math.exp(-1.0 / constant_s)
        limit_c = self._profile.throttle_c - (RECOVER_C if self.throttled else 0.0)
        self.throttled = self.temperature_c >= limit_c


def speed(
    profile: Profile, *, threads: int, spinning: bool, speculation: bool, others: float, throttled: bool
) -> float:
    """Tokens/s. Threads that share cores with others wait for each other, and spinning ones steal the time besides:
    the proportions are those of research on two cores (two spinning threads of a busy machine are half one quiet one).
    """
    lacking = min(1.0, max(0.0, threads + others - profile.cores) / threads)
    loss = 0.05 if threads == 1 else 0.62 if spinning else 0.4
    gains = (SPINNING_GAIN if spinning and threads > 1 else 1.0) * (SPECULATION_GAIN if speculation else 1.0)
    return profile.speeds[threads - 1] * gains * (1 - loss * lacking) * (profile.throttled_speed if throttled else 1.0)


def stalled_pct(profile: Profile, available_bytes: int) -> float:
    """Share of the time in which work waits for memory: none above 6 % free, ever more below."""
    free = available_bytes / profile.memory_bytes
    return min(100.0, max(0.0, 100.0 * (STALL_SHARE - free) / STALL_SHARE))

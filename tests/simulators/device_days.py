"""A simulated device at work: people ask, it answers as limits, heat and memory allow, the ladder steps each second.

`spend` runs it with the ladder or without and returns what happened, second by second and in sum. Seeded: no clock.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from edge_agent.ladder import Change, Ladder, LadderFacts, LadderSettings, Limits, Place
from tests.simulators.devices import (
    GIB,
    INT8_SHARE,
    KILL_SHARE,
    MIB,
    PREFILL_GAIN,
    Body,
    Others,
    Profile,
    speed,
    stalled_pct,
)

SENTENCE_TOKENS: Final = 20
CLOUD_TOKENS_PER_S: Final = 40.0
RUNTIME_BYTES: Final = 48 * MIB
PRIVATE_SHARE: Final = 0.15
WAIT_MAX_S: Final = 10.0
"""Who would wait longer for the device goes to the cloud where that may be, with a ladder and without."""
RESTART_S: Final = 5.0


@dataclass
class Answer:
    """One request on its way. `made` counts tokens; `prefilled` prompt tokens that were read."""

    at_s: float
    prompt: int
    tokens: int
    private: bool
    prefilled: float = 0.0
    made: float = 0.0
    first_s: float | None = None


@dataclass(frozen=True, slots=True)
class Second:
    """How the device was in one second."""

    temperature_c: float
    battery_pct: float | None
    available_bytes: int
    tokens_per_s: float
    rungs: Mapping[str, str]


@dataclass
class Day:
    """What happened. `served` were made here to their end, `moved` begun here, `sent` made in the cloud; `refused`
    were nobody's, `lost` were cut off by a kill or an unloaded model."""

    profile: Profile
    seconds: list[Second] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    first_tokens_s: list[float] = field(default_factory=list)
    served: int = 0
    moved: int = 0
    sent: int = 0
    refused: int = 0
    lost: int = 0
    kills: int = 0
    own_joules: float = 0.0
    hot_seconds: int = 0

    @property
    def answered(self) -> int:
        """Answers that people got whole."""
        return self.served + self.moved + self.sent

    def most_switches(self, ladder: str, *, urgent: bool) -> int:
        """The most switches of a ladder in any ten minutes: the urgent ones, or the others."""
        times = [change.at_s for change in self.changes if change.ladder == ladder and change.urgent == urgent]
        return max((sum(start <= at < start + 600.0 for at in times) for start in times), default=0)


def requests(profile: Profile, seconds: int, random_: random.Random) -> list[Answer]:
    """Questions of people: arrivals at random, the profile's gap apart in the mean; lengths from a line to a page."""
    found, at_s = [], random_.expovariate(1 / profile.gap_s)
    while at_s < seconds:
        prompt = min(profile.context_tokens // 2, int(random_.lognormvariate(4.2, 0.8)) + 8)
        tokens = min(profile.context_tokens // 2, int(random_.lognormvariate(4.6, 0.7)) + 8)
        found.append(Answer(at_s, prompt, tokens, random_.random() < PRIVATE_SHARE))
        at_s += random_.expovariate(1 / profile.gap_s)
    return found


def spend(profile: Profile, *, seconds: int, seed: int, ladder: bool, cloud: bool = True) -> Day:
    """Run the device for so long. By the seed, people and other processes do the same with a ladder and without."""
    device = _Device(profile, requests(profile, seconds, random.Random(seed)), random.Random(seed + 1), cloud)
    climbing = Ladder(LadderSettings(cores=profile.cores, throttle_c=profile.throttle_c)) if ladder else None
    limits, rungs = Limits(), dict[str, str]()
    for second in range(seconds):
        if climbing is not None:
            standing = climbing.step(device.facts(), float(second))
            limits, rungs = standing.limits, dict(standing.rungs)
            device.day.changes.extend(standing.changes)
        device.step(float(second), limits, rungs)
    return device.day


class _Device:
    """One second after the other: memory, then work, then heat."""

    def __init__(self, profile: Profile, asked: list[Answer], random_: random.Random, cloud: bool) -> None:
        self.day = Day(profile)
        self._profile = profile
        self._asked = deque(asked)
        self._others = Others(profile, random_)
        self._body = Body(profile)
        self._cloud = cloud
        self._queue: deque[Answer] = deque()
        self._idle_bytes = 0
        self._dropped_bytes = 0
        self._dead_s = 0.0
        self._loading_s = 0.0
        self._loaded = True
        self._element_share = 1.0
        self._radio_s = 0.0

    def facts(self) -> LadderFacts:
        """What the sensors say now: a temperature in whole degrees, as most of them do."""
        stalled = stalled_pct(self._profile, self._available)
        return LadderFacts(
            memory_total_bytes=self._profile.memory_bytes,
            memory_available_bytes=max(0, self._available),
            memory_some_pct=stalled,
            memory_full_pct=max(0.0, stalled - 50.0),
            growth_bytes=self._growth(),
            freed_bytes=self._dropped_bytes + (0 if self._loaded else self._profile.model_bytes),
            cpu_temp_c=float(round(self._body.temperature_c)),
            throttled=self._body.throttled,
            battery_pct=self._body.battery_pct,
            charging=None if self._profile.battery_wh is None else self._profile.charger_w > 0,
            cores=self._profile.cores,
            others_cores=self._others.cores,
        )

    def step(self, now_s: float, limits: Limits, rungs: Mapping[str, str]) -> None:
        """One second under these limits; an empty battery ends it all."""
        self._others.step()
        if self._body.battery_pct == 0.0:
            self._go_dark(now_s, rungs)
            return
        self._obey(limits)
        self._survive()
        self._take(now_s, limits)
        tokens, own_cores = self._work(now_s, limits)
        radio, self._radio_s = self._radio_s > 0, max(0.0, self._radio_s - 1.0)
        self.day.own_joules += self._body.step(own_cores, self._others.cores, radio)
        self.day.hot_seconds += self._body.temperature_c >= self._profile.throttle_c
        level = self._body.battery_pct
        self.day.seconds.append(Second(self._body.temperature_c, level, self._available, tokens, rungs))

    def _go_dark(self, now_s: float, rungs: Mapping[str, str]) -> None:
        """Nobody gets an answer from, or through, a device that is off; a private answer under way is lost."""
        self.day.lost += len(self._queue)
        self._queue.clear()
        while self._asked and self._asked[0].at_s <= now_s:
            self._asked.popleft()
            self.day.refused += 1
        self._body.cool()
        self.day.seconds.append(Second(self._body.temperature_c, 0.0, self._available, 0.0, rungs))

    @property
    def _available(self) -> int:
        own = 0
        if not self._dead_s:
            model = self._profile.model_bytes if self._loaded else 0
            own = RUNTIME_BYTES + self._idle_bytes + self._kv_bytes() + model
        return self._profile.memory_bytes - self._others.bytes - own

    def _kv_bytes(self) -> int:
        used = sum(answer.prefilled + answer.made for answer in list(self._queue)[:1])
        return round(used * self._profile.kv_token_bytes * self._element_share)

    def _growth(self) -> int:
        """What the answer under way may still take, and a model that is being loaded."""
        left = sum(a.prompt + a.tokens - a.prefilled - a.made for a in list(self._queue)[:1])
        return round(left * self._profile.kv_token_bytes * self._element_share)

    def _obey(self, limits: Limits) -> None:
        self._element_share = INT8_SHARE if limits.kv_element == "int8" else 1.0
        if limits.prefix_share == 0.0 or not limits.keep_idle_kv:
            self._dropped_bytes = max(self._dropped_bytes, self._idle_bytes)
            self._idle_bytes = 0
        else:
            self._dropped_bytes = 0
        if self._loaded and not limits.loaded:
            self._loaded = False
            self._give_up()
        elif not self._loaded and limits.loaded:
            self._loaded, self._loading_s = True, self._profile.load_s

    def _give_up(self) -> None:
        """The model goes: what may leave goes on in the cloud, the rest is cut off."""
        waiting, self._queue = self._queue, deque()
        for answer in waiting:
            if answer.private or not self._cloud:
                self.day.lost += 1
            else:
                self._move(answer)

    def _survive(self) -> None:
        """The system ends the agent when memory runs out: it starts again, its answers are lost."""
        if self._dead_s > 0:
            self._dead_s -= 1.0
            self._loading_s = self._profile.load_s
            return
        if not self._loaded or self._available >= KILL_SHARE * min(self._profile.memory_bytes, 8 * GIB):
            return
        self.day.kills += 1
        self.day.lost += len(self._queue)
        self._queue.clear()
        self._idle_bytes = 0
        self._dead_s = RESTART_S

    def _take(self, now_s: float, limits: Limits) -> None:
        """New requests go where the limits say; waiting ones too, while they have not begun."""
        while self._asked and self._asked[0].at_s <= now_s:
            self._queue.append(self._asked.popleft())
        kept: deque[Answer] = deque()
        for answer in self._queue:
            if answer.prefilled:
                kept.append(answer)
                continue
            place = limits.place(private=answer.private, cloud=self._cloud, tokens=answer.tokens)
            if place is Place.HERE and self._wait_s(kept, limits) > WAIT_MAX_S and self._cloud and not answer.private:
                place = Place.CLOUD
            if place is Place.HERE:
                kept.append(answer)
            elif place is Place.CLOUD:
                self.day.sent += 1
                self._radio_s += answer.tokens / CLOUD_TOKENS_PER_S
            else:
                self.day.refused += 1
        self._queue = kept

    def _work(self, now_s: float, limits: Limits) -> tuple[float, float]:
        """Tokens that were made in this second, and the cores that it took."""
        left_s, tokens = 1.0, 0.0
        if self._dead_s > 0:
            return 0.0, 0.0
        if self._loading_s > 0:
            self._loading_s -= 1.0
            return 0.0, 1.0
        threads, rate = self._threads(limits), self._rate(limits)
        busy_s = 0.0
        while self._queue and left_s > 1e-9:
            answer = self._queue[0]
            if (unread := answer.prompt - answer.prefilled) > 1e-9:
                spent_s = min(left_s, unread / (rate * PREFILL_GAIN))
                answer.prefilled += spent_s * rate * PREFILL_GAIN
                busy_s, left_s = busy_s + spent_s, left_s - spent_s
                continue
            pace = min(rate, limits.tokens_per_s or rate)
            goal = self._goal(answer, limits)
            spent_s = min(left_s, max(0.0, goal - answer.made) / pace)
            if answer.first_s is None:
                answer.first_s = now_s + 1.0 - left_s + 1.0 / rate
                self.day.first_tokens_s.append(answer.first_s - answer.at_s)
            answer.made += spent_s * pace
            tokens, busy_s, left_s = tokens + spent_s * pace, busy_s + spent_s * pace / rate, left_s - spent_s
            if answer.made >= goal - 1e-6:
                self._finish(answer, moved=goal < min(answer.tokens, limits.max_output_tokens or answer.tokens))
        return tokens, busy_s * threads

    def _threads(self, limits: Limits) -> int:
        return min(limits.threads or len(self._profile.speeds), len(self._profile.speeds))

    def _rate(self, limits: Limits) -> float:
        return speed(
            self._profile,
            threads=self._threads(limits),
            spinning=limits.spinning,
            speculation=limits.speculation,
            others=self._others.cores,
            throttled=self._body.throttled,
        )

    def _wait_s(self, ahead: Iterable[Answer], limits: Limits) -> float:
        """How long those before one will take."""
        pace = min(self._rate(limits), limits.tokens_per_s or math.inf)
        return sum(answer.tokens - answer.made for answer in ahead) / pace

    def _goal(self, answer: Answer, limits: Limits) -> float:
        """Where the answer stops here: its end, or the end of its sentence where it is to be handed over."""
        end = float(min(answer.tokens, limits.max_output_tokens or answer.tokens))
        if not limits.hand_over or answer.private or not self._cloud:
            return end
        sentences = -(-answer.made // SENTENCE_TOKENS)
        return min(end, max(1.0, sentences) * SENTENCE_TOKENS)

    def _finish(self, answer: Answer, *, moved: bool) -> None:
        self._queue.popleft()
        left_behind = round((answer.prompt + answer.made) * self._profile.kv_token_bytes * self._element_share)
        self._idle_bytes = min(self._profile.idle_cache_bytes, self._idle_bytes + left_behind)
        if moved:
            self._move(answer)
        else:
            self.day.served += 1

    def _move(self, answer: Answer) -> None:
        self.day.moved += 1
        self._radio_s += (answer.tokens - answer.made) / CLOUD_TOKENS_PER_S

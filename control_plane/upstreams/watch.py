"""How an upstream is: ready or not, and how busy, asked of its health and metrics routes now and then."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus

from control_plane.upstreams.errors import HttpError
from control_plane.upstreams.exposition import read_gauges
from control_plane.upstreams.http_client import HttpClient, HttpTarget
from control_plane.upstreams.kinds import EngineKind
from edgewise.routing.tier import Load

logger = logging.getLogger(__name__)
LOOK_TIMEOUT_S = 2.0
FAILURES_MAX = 2
"""Looks in a row that must fail before an upstream is passed over: one lost packet takes nobody out."""
STALE_S = 10.0
COUNT_MAX = 2**31
SLOTS = 1_000
"""Nobody tells how many answers fit; so many that a share of them is never taken for full."""
METRICS_MAX_BYTES = 1 << 20
HEALTH_MAX_BYTES = 65_536


class Watch:
    """The last looks at one upstream. One without a health route is ready; one that was never looked at is, too.

    `ours` tells how many answers run there for us: what was told is a moment old, and others ask there as well.
    """

    def __init__(
        self,
        name: str,
        root_url: str,
        kind: EngineKind,
        http: HttpClient,
        headers: Mapping[str, str],
        *,
        ours: Callable[[], int] = lambda: 0,
        clock: Callable[[], float] = time.monotonic,
        timeout_s: float = LOOK_TIMEOUT_S,
    ) -> None:
        self._name, self._http, self._ours, self._clock, self._timeout_s = name, http, ours, clock, timeout_s
        self._gauges = kind.gauges
        self._health = http.target("GET", root_url + kind.health, headers) if kind.health else None
        self._metrics = http.target("GET", root_url + kind.metrics, headers) if kind.metrics else None
        self._failures = 0
        self._told = Load(slots=SLOTS)
        self._told_at: float | None = None
        self._ours_then = 0
        self._kv_use = 0.0

    @property
    def ready(self) -> bool:
        return self._failures < FAILURES_MAX

    @property
    def measured(self) -> bool:
        """Whether it told its load a moment ago."""
        return self._told_at is not None and self._clock() - self._told_at < STALE_S

    @property
    def busy(self) -> tuple[int, int, float]:
        """For putting upstreams in order: how many wait there, how many run, and how full its memory is."""
        load = self.load()
        return load.queued, load.running, self._kv_use if self.measured else 0.0

    def load(self) -> Load:
        """What it told and what we have begun since, or no more than what runs there for us; no slots while it is
        passed over."""
        ours, slots = self._ours(), SLOTS if self.ready else 0
        if not self.measured:
            return Load(running=ours, slots=slots)
        assert self._told_at is not None
        running = max(ours, self._told.running + ours - self._ours_then)
        return Load(running, self._told.queued, slots, age_s=self._clock() - self._told_at)

    async def look(self) -> None:
        """Ask once. Never raises: what cannot be asked is a failed look."""
        if self._health is not None:
            status, _ = await self._get(self._health, HEALTH_MAX_BYTES)
            self._heard(0 < status < HTTPStatus.INTERNAL_SERVER_ERROR)  # a server without that route is well, too
        if self._metrics is not None and not self._failures:
            status, page = await self._get(self._metrics, METRICS_MAX_BYTES)
            if status == HTTPStatus.OK:
                self._read(page)

    def _heard(self, well: bool) -> None:
        before = self.ready
        self._failures = 0 if well else self._failures + 1
        if self.ready != before:
            logger.warning("upstream %s is %s", self._name, "ready again" if self.ready else "passed over: not healthy")

    def _read(self, page: bytes) -> None:
        """Several engines behind one address are counted together; the fullest memory counts."""
        names = (self._gauges.running, self._gauges.waiting, self._gauges.kv_use)
        found = read_gauges(page.decode("utf-8", errors="replace"), names)
        running, waiting, kv_use = (found.get(name, []) for name in names)
        if not running and not waiting:
            return
        self._told = Load(_count(running), _count(waiting), SLOTS)
        self._kv_use = min(1.0, max(kv_use, default=0.0))
        self._told_at, self._ours_then = self._clock(), self._ours()

    async def _get(self, target: HttpTarget, most: int) -> tuple[int, bytes]:
        """Status and body; 0 and nothing where no response came whole."""
        try:
            async with asyncio.timeout(self._timeout_s):
                with await self._http.request(target, b"") as response:
                    return response.status, await response.read(most)
        except (HttpError, TimeoutError):
            return 0, b""


def _count(values: list[float]) -> int:
    return int(min(sum(values), COUNT_MAX))

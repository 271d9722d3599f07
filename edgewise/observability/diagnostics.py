"""The diagnostic line: one JSON line per event of a stream that is watched. Off by default; a share of streams, single
streams or keys are switched on while the process runs. A thread writes; what finds the queue full is dropped and
counted. The text of an answer is never in a line.
"""

from __future__ import annotations

import json
import logging
import queue
import threading
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from edgewise.observability.trail import Clock, Trail

QUEUE_MAX = 10_000
_SHARE_STEPS = 1 << 32
logger = logging.getLogger(__name__)


class Lines(Protocol):
    """Where lines go (diagnostics_file.py, or a list in tests)."""

    def write(self, line: str) -> None: ...


@dataclass(frozen=True)
class Rules:
    """Who is watched: a share of all streams (0 to 1, by stream id, so the same on every gateway), streams by id, and
    keys by id."""

    share: float = 0.0
    streams: frozenset[str] = frozenset()
    keys: frozenset[str] = frozenset()

    def want(self, sid: str, key_id: str) -> bool:
        """Whether a stream is watched."""
        if sid in self.streams or key_id in self.keys:
            return True
        return self.share > 0 and zlib.crc32(sid.encode()) < self.share * _SHARE_STEPS


class Diagnostics:
    """The switch, and the way to the file. `lines` None: there is nowhere to write, nothing is ever watched."""

    def __init__(self, lines: Lines | None, *, clock: Clock = time.monotonic, queue_max: int = QUEUE_MAX) -> None:
        self.on_drop: Callable[[], None] = lambda: None
        self.rules = Rules()
        self._clock = clock
        self._lines = lines
        self._running: dict[str, Trail] = {}
        self._queue: queue.Queue[dict[str, Any] | None] = queue.Queue(queue_max)
        self._thread: threading.Thread | None = None

    @property
    def able(self) -> bool:
        """Whether lines can be written at all."""
        return self._lines is not None

    def switch(self, rules: Rules) -> None:
        """Watch by these rules from now on, running streams too."""
        self.rules = rules
        for trail in self._running.values():
            self._judge(trail)

    def attach(self, trail: Trail) -> None:
        """A stream begins, or goes on, here."""
        self._running[trail.sid] = trail
        self._judge(trail)

    def detach(self, trail: Trail, action: str) -> None:
        """Work on it is over here."""
        if self._running.pop(trail.sid, None) is not None and trail.watch is not None:
            trail.watch.note(action)

    def stop(self) -> None:
        """Write what is queued and end the thread."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None

    def put(self, line: dict[str, Any]) -> None:
        """Queue a line; never waits."""
        try:
            self._queue.put_nowait(line)
        except queue.Full:
            self.on_drop()

    def _judge(self, trail: Trail) -> None:
        if self._lines is None or not self.rules.want(trail.sid, trail.key_id):
            trail.watch = None
        elif trail.watch is None:
            self._start()
            trail.watch = StreamWatch(self, trail, self._clock)

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._write, name="diagnostics", daemon=True)
            self._thread.start()

    def _write(self) -> None:
        assert self._lines is not None
        while (line := self._queue.get()) is not None:
            try:
                self._lines.write(json.dumps(line, separators=(",", ":")))
            except OSError as error:
                logger.warning("a diagnostic line could not be written: %s", error.strerror)
                self.on_drop()


class StreamWatch:
    """Makes the lines of one stream. `latency` and `network_rtt` are milliseconds, `buffer_size` counts tokens that
    were taken and are not confirmed by the log."""

    def __init__(self, diagnostics: Diagnostics, trail: Trail, clock: Clock) -> None:
        self._diagnostics = diagnostics
        self._sid = trail.sid
        self._clock = clock
        self._last_at = trail.arrived_at
        self._rtt_ms: float | None = None
        self._total = 0
        self._buffered = 0

    def moved(self, rtt_ms: float | None) -> None:
        self._rtt_ms = rtt_ms
        self.note("tier")

    def said(self, ids: tuple[int, ...]) -> None:
        count = len(ids) or 1
        self._total += count
        self._buffered += count
        self._line("token", ids[-1] if ids else None)

    def stored(self) -> None:
        self._buffered = 0
        self.note("append")

    def note(self, action: str) -> None:
        self._line(action, None)

    def _line(self, action: str, token_id: int | None) -> None:
        now = self._clock()
        latency_ms, self._last_at = (now - self._last_at) * 1000, now
        self._diagnostics.put(
            {
                "stream_id": self._sid,
                "token_id": token_id,
                "latency": round(latency_ms, 3),
                "buffer_size": self._buffered,
                "network_rtt": self._rtt_ms,
                "action": action,
                "total_tokens": self._total,
            }
        )

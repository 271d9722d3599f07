"""Stop strings over a growing text: what may be shown is released, what may become a stop string is held back."""

from __future__ import annotations

from collections.abc import Sequence

from edgewise.wire.errors import BadRequestError


class StopScanner:
    """Releases text up to the stop string that is complete first (of two that end together, the longer one).

    What is released in total is a pure function of the whole text, however it is split. Raises BadRequestError for
    an empty stop string.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        if not all(stops):
            raise BadRequestError("A stop string is empty", where="stop", expected="strings of at least one character")
        self._stops = tuple(stops)
        self._held = ""
        self.stopped = False

    def push(self, text: str) -> str:
        """More text; returns what may be shown now. After a stop nothing is."""
        if self.stopped:
            return ""
        if not self._stops:
            return text
        seen = self._held + text
        matches = [(start + len(stop), start) for stop in self._stops if (start := seen.find(stop)) >= 0]
        if matches:
            self.stopped, self._held = True, ""
            return seen[: min(matches)[1]]
        keep = len(seen) - self._possible_start(seen)
        self._held = seen[keep:]
        return seen[:keep]

    def finish(self) -> str:
        """What was held back, now that no more text will come."""
        held, self._held = self._held, ""
        return held

    def _possible_start(self, seen: str) -> int:
        """Length of the longest end of `seen` that begins a stop string."""
        longest = min(len(seen), max(map(len, self._stops)) - 1)
        ends = (n for n in range(longest, 0, -1) if any(stop.startswith(seen[-n:]) for stop in self._stops))
        return next(ends, 0)

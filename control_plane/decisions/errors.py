"""Faults of asking for decisions."""

from __future__ import annotations

from edgewise.wire.errors import NotFoundError


class DecisionNotFoundError(NotFoundError):
    """No decision is recorded under that stream id."""

    def __init__(self, stream_id: str) -> None:
        super().__init__(
            f"No decision is recorded for stream {stream_id[:40]}",
            expected="a stream id, or the id of a chat completion",
            remedy="list the decisions: `edgewise decisions list` or /admin/v1/decisions",
        )

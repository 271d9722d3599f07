"""Events for the tests of the recorder."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from control_plane.decisions.records import Decided, Finished
from tests.factories.admin import NOON


def sid(number: int) -> str:
    """A well-formed stream id that sorts by `number`."""
    return f"{number:026d}"


def decided(number: int, **changes: Any) -> Decided:
    """A decision at noon plus `number` seconds."""
    values: dict[str, Any] = {
        "stream_id": sid(number),
        "at": NOON + timedelta(seconds=number),
        "tenant": "acme",
        "key_id": "key-1",
        "origin": "control_plane",
        "facts": {"request.complexity": 0.2, "request.language": "zh", "device.present": True},
        "mode": "race",
        "rule": "default",
        "reason": "nothing else matched",
        "policy_digest": "sha256:abc",
        "model": "edgewise",
        "tier": "edge:phone-7",
        "fallbacks": ("cloud",),
        "terms": {"max_tokens": 64, "timeouts": {"total_s": 30.0}},
    }
    return Decided(**(values | changes))


def finished(number: int, **changes: Any) -> Finished:
    """The end of the answer of `decided(number)`."""
    values: dict[str, Any] = {
        "stream_id": sid(number),
        "at": NOON + timedelta(seconds=number + 2),
        "status": "done",
        "finish": "stop",
        "tier": "cloud:worker-0",
        "prompt_tokens": 12,
        "completion_tokens": 34,
        "waste_tokens": 5,
        "first_token_s": 0.12,
        "total_s": 1.5,
        "timings_s": {"queue": 0.01},
    }
    return Finished(**(values | changes))

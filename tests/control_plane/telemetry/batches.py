"""Telemetry for tests, as the registry hands it over."""

from __future__ import annotations

from control_plane.nodes.admission import Admission
from control_plane.nodes.telemetry import FreshTelemetry
from edgewise.wire.frames import Scalar, TelemetryRecord
from tests.factories.admin import NOON

BY = Admission(key_id="key-7", tenant="acme")


def record(number: int = 0, kind: str = "device", **values: Scalar) -> TelemetryRecord:
    """A record at noon plus `number` seconds."""
    return TelemetryRecord(NOON.timestamp() + number, kind, values)


def fresh(
    first_seq: int, *records: TelemetryRecord, node_id: str = "phone", stream: str = "s", by: Admission = BY
) -> FreshTelemetry:
    return FreshTelemetry(node_id, stream, first_seq, records, 0, by)


def samples(first_seq: int, last_seq: int, node_id: str = "phone", stream: str = "s") -> FreshTelemetry:
    """Records that say their own number."""
    return fresh(first_seq, *(record(n, n=n) for n in range(first_seq, last_seq + 1)), node_id=node_id, stream=stream)


def decision(stream: str, **values: Scalar) -> TelemetryRecord:
    """What edge_agent/host.py records at admission."""
    told: dict[str, Scalar] = {"stream": stream, "mode": "edge", "rule": "offline", "policy": "abc", "clamped": False}
    facts: dict[str, Scalar] = {"request.model": "edgewise", "request.complexity": 0.25, "device.id": "phone"}
    return record(0, "decision", **told | facts | values)


def answer(stream: str, **values: Scalar) -> TelemetryRecord:
    """What edge_agent/host.py records at the end."""
    told: dict[str, Scalar] = {"stream": stream, "finish": "stop", "tier": "edge:phone", "tiers": 1, "error_code": ""}
    used: dict[str, Scalar] = {"prompt_tokens": 3, "completion_tokens": 9, "waste_tokens": 0}
    return record(2, "answer", **told | used | {"first_token_s": 0.05, "total_s": 0.5} | values)

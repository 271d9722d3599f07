"""Decisions that a device made for its own apps: from its telemetry records to events, and into the table.

The records (kinds `decision` and `answer`, docs/protocol.md) hold no text, and what is taken from them is less still.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from sqlalchemy.ext.asyncio import AsyncSession

from control_plane.decisions.batch import write_batch
from control_plane.decisions.records import Decided, Event, Finished, status_of
from control_plane.decisions.repository import DecisionRepository
from edgewise.ids import is_id
from edgewise.observability.names import POINTS
from edgewise.wire.frames import Scalar
from policies import Terms, Timeouts
from policies.decision import asked
from policies.facts import without_text

log = logging.getLogger(__name__)

DECISION_KIND, ANSWER_KIND = "decision", "answer"
ORIGIN = "device"
TERMS_MAX_CHARS = 4096

Count = Annotated[int, Meta(ge=0, lt=2**31)]
Seconds = Annotated[float, Meta(ge=0, le=1e9)]


@dataclass(frozen=True, slots=True)
class Reporter:
    """The node whose records these are, and the key under which it is in."""

    node_id: str
    key_id: str
    tenant: str


class _Decision(msgspec.Struct, frozen=True):
    stream: str
    mode: str
    rule: str = ""
    policy: str = ""
    clamped: bool = False
    terms: str = ""


class _Limits(msgspec.Struct, frozen=True):
    timeouts: Timeouts = Timeouts()


class _Answer(msgspec.Struct, frozen=True):
    stream: str
    finish: str
    tier: str = ""
    error_code: str = ""
    prompt_tokens: Count = 0
    completion_tokens: Count = 0
    waste_tokens: Count = 0
    first_token_s: Seconds = 0.0
    total_s: Seconds = 0.0
    network_s: Seconds | None = None
    queue_s: Seconds | None = None
    tokenization_s: Seconds | None = None
    model_s: Seconds | None = None
    postprocessing_s: Seconds | None = None

    @property
    def points(self) -> dict[str, float]:
        """The five latency points, as far as the device told them."""
        told = {point: getattr(self, f"{point}_s") for point in POINTS}
        return {point: seconds for point, seconds in told.items() if seconds is not None}


def device_event(by: Reporter, at: datetime, kind: str, values: Mapping[str, Scalar]) -> Event | None:
    """What a record tells of an answer; None for other kinds, and for one that does not have the agreed form."""
    event: Event | None = None
    try:
        if kind == DECISION_KIND:
            event = _decided(by, at, values)
        elif kind == ANSWER_KIND:
            event = _finished(by, at, values)
    except msgspec.ValidationError as error:
        log.warning("a record of kind %s of node %s is not understood: %s", kind, by.node_id, error)
    return event if event is not None and is_id(event.stream_id) else None


def _decided(by: Reporter, at: datetime, values: Mapping[str, Scalar]) -> Decided:
    told = msgspec.convert(values, _Decision)
    facts = without_text(values) | {"device.id": by.node_id, "request.origin": ORIGIN}
    return Decided(
        stream_id=told.stream,
        at=at,
        tenant=by.tenant,
        key_id=by.key_id,
        origin=ORIGIN,
        facts=facts,
        mode=told.mode,
        rule=told.rule,
        reason=f"decided on device {by.node_id}" + (", changed by an invariant" if told.clamped else ""),
        policy_digest=told.policy,
        model=str(facts.get("request.model", "")),
        terms=_asked(told.terms) if 0 < len(told.terms) <= TERMS_MAX_CHARS else None,
    )


def _asked(text: str) -> dict[str, Any] | None:
    """The terms and time limits that are told in JSON, and nothing else of it; None where they are not understood."""
    try:
        return asked(msgspec.json.decode(text, type=Terms), msgspec.json.decode(text, type=_Limits).timeouts)
    except (msgspec.DecodeError, UnicodeError):
        return None


def _finished(by: Reporter, at: datetime, values: Mapping[str, Scalar]) -> Finished:
    told = msgspec.convert(values, _Answer)
    return Finished(
        stream_id=told.stream,
        at=at,
        status=status_of(told.finish),
        finish=told.finish,
        error_code=told.error_code if told.finish == "error" else "",
        tier=told.tier,
        prompt_tokens=told.prompt_tokens,
        completion_tokens=told.completion_tokens,
        waste_tokens=told.waste_tokens,
        first_token_s=told.first_token_s or None,
        total_s=told.total_s or None,
        timings_s=told.points,
    )


async def write_device_events(session: AsyncSession, events: Iterable[Event], tenant: str) -> None:
    """Write a device's events in the caller's transaction. What is repeated changes nothing, and no record of a device
    touches a decision of the control plane or of another tenant, whatever stream id it names."""
    events = list(events)
    decisions = DecisionRepository(session)
    stream_ids = {event.stream_id for event in events}
    decided = await decisions.known(stream_ids)
    others = decided - await decisions.known(stream_ids, origin=ORIGIN, tenant=tenant)
    await write_batch(session, _news(events, decided, others))


def _news(events: Iterable[Event], decided: set[str], others: set[str]) -> list[Event]:
    """The events that may be written; the first decision of a stream stands."""
    news: list[Event] = []
    for event in events:
        repeated = isinstance(event, Decided) and event.stream_id in decided
        if repeated or event.stream_id in others:
            continue
        decided = decided | {event.stream_id} if isinstance(event, Decided) else decided
        news.append(event)
    return news

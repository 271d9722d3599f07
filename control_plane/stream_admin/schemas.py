"""HTTP shapes of /admin/v1/streams."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel

from control_plane.decisions.schemas import DecisionView
from control_plane.stream_admin.service import StreamDetail, StreamState, StreamSummary

_RECORDED = (
    "at",
    "tenant",
    "key_id",
    "mode",
    "rule",
    "model",
    "error_code",
    "completion_tokens",
    "first_token_s",
    "total_s",
)


class StreamView(BaseModel):
    """A stream without its text. Decision and figures are null until they are recorded, a moment after its beginning
    and its end; `unsettled` is one that has ended in the log while nobody has recorded how."""

    stream_id: str
    state: StreamState
    at: datetime | None
    tenant: str | None
    key_id: str | None
    mode: str | None
    rule: str | None
    model: str | None
    tier: str | None
    error_code: str | None
    completion_tokens: int | None
    first_token_s: float | None
    total_s: float | None

    @classmethod
    def of(cls, found: StreamSummary) -> StreamView:
        """The shape of one stream of a list."""
        row = found.decision
        told = {name: getattr(row, name) for name in _RECORDED} if row else dict.fromkeys(_RECORDED)
        tier = (row.last_tier or row.tier) if row else None
        return cls.model_validate({"stream_id": found.stream_id, "state": found.state, "tier": tier, **told})


class StreamPage(BaseModel):
    """Streams, newest first."""

    items: list[StreamView]
    next: str | None


class HeadView(BaseModel):
    """Where a stream stands in the log; `holder` is at work on it while `lease_left_s` is positive."""

    epoch: int
    last_seq: int
    owner: str
    holder: str
    lease_left_s: float


class StreamWhole(BaseModel):
    """A stream's head, decision, timings and tiers; `text` only where it was asked for."""

    stream_id: str
    state: StreamState
    head: HeadView
    tiers: list[str]
    decision: DecisionView | None
    text: str | None

    @classmethod
    def of(cls, found: StreamDetail) -> StreamWhole:
        """The shape of one stream."""
        head, row = found.head, found.summary.decision
        return cls(
            stream_id=found.summary.stream_id,
            state=found.summary.state,
            head=HeadView(
                epoch=head.epoch,
                last_seq=head.next_seq - 1,
                owner=head.owner,
                holder=head.holder,
                lease_left_s=head.lease_left_s,
            ),
            tiers=list(found.tiers),
            decision=DecisionView.model_validate(row) if row else None,
            text=found.text,
        )


class StreamCancelled(BaseModel):
    """Where a stream stands after somebody stopped it; one that had ended before keeps its state."""

    id: str
    status: str
    last_seq: int

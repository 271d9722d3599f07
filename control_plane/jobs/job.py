"""What a job is to those who add, claim and run one. No SQL, no Celery here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, get_args

import msgspec

JobState = Literal["queued", "running", "done", "failed", "dead"]
"""failed: ended for good by its body or an operator. dead: every attempt was used up."""
STATES: tuple[JobState, ...] = get_args(JobState)
LIVE: tuple[JobState, ...] = ("queued", "running")
ENDED: tuple[JobState, ...] = ("done", "failed", "dead")

QueueName = Literal["resume", "seal", "warm", "export", "forge"]
QUEUES: tuple[QueueName, ...] = get_args(QueueName)

KEY_MAX_CHARS = 160
ONCE_MAX_CHARS = 120
"""Of an idempotency key: prefix and caller must fit into a key beside it."""
MESSAGE_MAX_CHARS = 200
ERROR_MAX_CHARS = 500


@dataclass(frozen=True, kw_only=True)
class JobKind:
    """How jobs of one kind are run. Times are seconds.

    lease_s: how long a holder may be silent. time_limit_s: how long one attempt may take. for_nodes: claimed over
    /internal/v1/jobs by processes without SQL, so no Celery child runs it. needs: a capability that such a process must
    offer to claim it. payload: the shape that a payload must fit before there is a row.
    """

    name: str
    queue: QueueName
    lease_s: float = 6.0
    max_attempts: int = 5
    time_limit_s: float = 60.0
    for_nodes: bool = False
    needs: str = ""
    payload: type[msgspec.Struct] | None = None


@dataclass(frozen=True, kw_only=True)
class NewJob:
    """A job to be added. While a job of this kind with this key is live, adding it again changes nothing."""

    kind: str
    key: str
    payload: Mapping[str, Any] = field(default_factory=dict)
    run_after: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class ClaimedJob:
    """The right to work on a job, until `lease_until`, under `epoch`."""

    id: str
    kind: str
    payload: Mapping[str, Any]
    epoch: int
    attempt: int
    max_attempts: int
    lease_until: datetime


@dataclass(frozen=True)
class Progress:
    """How far a job is: 0..1, and a few words."""

    fraction: float = 0.0
    message: str = ""

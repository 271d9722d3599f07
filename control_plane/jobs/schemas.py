"""HTTP shapes of /admin/v1/jobs and /internal/v1/jobs."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from control_plane.jobs.job import ERROR_MAX_CHARS, KEY_MAX_CHARS, MESSAGE_MAX_CHARS, JobState

Word = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^\x00]*$")]
DEPTH_MAX = 32


def _storable(found: dict[str, Any] | None) -> dict[str, Any] | None:
    """What every database takes and every answer can hold. Raises ValueError."""
    level: list[Any] = [found]
    for _ in range(DEPTH_MAX):
        if not (level := [inner for each in level for inner in _inner(each)]):
            return found
    raise ValueError(f"nested deeper than {DEPTH_MAX} levels")


def _inner(each: Any) -> list[Any]:
    if isinstance(each, dict):
        return [*each, *each.values()]
    if isinstance(each, float) and not math.isfinite(each):
        raise ValueError("a number is not finite")
    if isinstance(each, str) and ("\0" in each or any("\ud800" <= one <= "\udfff" for one in each)):
        raise ValueError("a text holds U+0000 or half a character")
    return each if isinstance(each, list) else []


JsonObject = Annotated[dict[str, Any], AfterValidator(_storable)]


class JobView(BaseModel):
    """A job. `progress` is 0..1; `error` says why the last attempt, or the job, failed."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    kind: str
    queue: str
    key: str
    payload: dict[str, Any]
    state: JobState
    attempt: int
    max_attempts: int
    epoch: int
    holder: str
    lease_until: datetime | None
    run_after: datetime
    progress: float
    progress_message: str
    result: dict[str, Any] | None
    error: str | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


class JobPage(BaseModel):
    """Jobs, newest first."""

    items: list[JobView]
    next: str | None


class RunJob(BaseModel):
    """A job to run now. While one of this kind and key is live, that one is the answer; without a key it is alone."""

    model_config = ConfigDict(extra="forbid")

    kind: Word
    payload: JsonObject = {}
    key: Annotated[str, Field(min_length=1, max_length=KEY_MAX_CHARS, pattern=r"^[^\x00]*$")] | None = None


class ClaimJob(BaseModel):
    """Kinds that this node can do, the name under which it holds a lease, and the capabilities that it offers."""

    model_config = ConfigDict(extra="forbid")

    kinds: Annotated[list[Word], Field(min_length=1, max_length=32)]
    holder: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^\x00]*$")]
    offers: Annotated[list[Word], Field(max_length=16)] = []


class ClaimView(BaseModel):
    """The right to work on a job until `lease_until`; send a heartbeat every `lease_s / 3` seconds."""

    id: str
    kind: str
    payload: dict[str, Any]
    epoch: int
    attempt: int
    max_attempts: int
    lease_until: datetime
    lease_s: float
    time_limit_s: float


Epoch = Annotated[int, Field(ge=1, le=2**31 - 1)]


class Heartbeat(BaseModel):
    """Still at work under `epoch`, and how far."""

    model_config = ConfigDict(extra="forbid")

    epoch: Epoch
    progress: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    message: Annotated[str, Field(max_length=MESSAGE_MAX_CHARS, pattern=r"^[^\x00]*$")] = ""


class LeaseView(BaseModel):
    """When the lease ends now."""

    lease_until: datetime


class Completion(BaseModel):
    """The job is done."""

    model_config = ConfigDict(extra="forbid")

    epoch: Epoch
    result: JsonObject | None = None


class GiveBack(BaseModel):
    """The holder stops without having failed."""

    model_config = ConfigDict(extra="forbid")

    epoch: Epoch


class Failure(BaseModel):
    """This attempt failed; `retry` says whether another may succeed."""

    model_config = ConfigDict(extra="forbid")

    epoch: Epoch
    error: Annotated[str, Field(min_length=1, max_length=ERROR_MAX_CHARS, pattern=r"^[^\x00]*$")]
    retry: bool = True


class StateView(BaseModel):
    """What became of the job."""

    state: JobState

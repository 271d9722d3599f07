"""Reading a job's payload into a typed struct."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from control_plane.jobs.errors import JobGivenUpError
from control_plane.jobs.worker import RunningJob

T = TypeVar("T")


def payload_of(job: RunningJob, shape: type[T]) -> T:
    """The payload as a `shape`. Raises JobGivenUpError: a payload that does not fit never will."""
    try:
        return msgspec.convert(dict(job.payload), shape)
    except msgspec.ValidationError as error:
        raise JobGivenUpError(
            f"The payload does not fit: {error}", where=f"job {job.id}", remedy="add the job again with another payload"
        ) from error

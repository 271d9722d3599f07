"""Why a job was not added, not found, or not let go on (172x)."""

from __future__ import annotations

from edgewise.wire.errors import BadRequestError, ConflictError, EdgewiseError, ForbiddenError, NotFoundError


class JobNotFoundError(NotFoundError):
    """There is no such job."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"There is no job {job_id}", remedy="list the jobs at /admin/v1/jobs")


class JobFencedError(EdgewiseError):
    """The lease of this claim is gone: somebody else may be at work, so nothing of it may be written any more."""

    number, code, http_status = 1740, "job_fenced", 409

    def __init__(self, job_id: str, epoch: int) -> None:
        super().__init__(
            f"Epoch {epoch} of job {job_id} is over",
            expected="the epoch of the present claim of a running job",
            remedy="stop working on it, and claim the next job",
        )


class JobKindUnknownError(BadRequestError):
    """No job of this kind can be added or claimed here."""

    number, code = 1741, "job_kind_unknown"

    def __init__(self, kind: str, known: tuple[str, ...]) -> None:
        super().__init__(
            f"There is no job kind {kind!r} here",
            expected=f"one of: {', '.join(known) or 'none'}",
            remedy="correct the kind, or name its module in EDGEWISE_JOB_MODULES",
        )


class JobCapabilityError(ForbiddenError):
    """Jobs of this kind are for processes that offer what it needs."""

    number, code = 1743, "job_capability_missing"

    def __init__(self, kind: str, needs: str) -> None:
        super().__init__(
            f"Jobs of kind {kind} need the capability {needs!r}",
            where="offers",
            expected=f"a process that offers {needs!r}",
            remedy="leave the kind out, or start a process that can do it",
        )


class JobStateError(ConflictError):
    """The job is not in a state in which this can be done."""


class JobGivenUpError(EdgewiseError):
    """Raised by a body: trying again cannot help, so the job fails at once. Its words are kept with the job."""

    number, code = 1742, "job_given_up"

"""/admin/v1/jobs for operators, and /internal/v1/jobs for nodes that work on jobs without SQL."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from control_plane.accounts.keyring import KeyRing, Principal
from control_plane.admin_api import (
    UNAUDITED,
    AdminRoute,
    IdCursor,
    Limit,
    admin_router,
    audited,
    errors,
    id_cursor,
    next_cursor,
    operator_only,
)
from control_plane.jobs.job import ONCE_MAX_CHARS, JobState
from control_plane.jobs.nodes import NodeJobs
from control_plane.jobs.repository import JobFilter
from control_plane.jobs.schemas import (
    ClaimJob,
    ClaimView,
    Completion,
    Failure,
    GiveBack,
    Heartbeat,
    JobPage,
    JobView,
    LeaseView,
    RunJob,
    StateView,
)
from control_plane.jobs.service import Jobs
from edgewise.wire.errors import BadRequestError

_bearer = HTTPBearer(auto_error=False, description="An API key: `Authorization: Bearer ek_…`")
IdempotencyKey = Annotated[
    str | None, Header(min_length=1, max_length=ONCE_MAX_CHARS, pattern=r"^[!-~]+$", description="Such as a UUID")
]
Word = Annotated[str | None, Query(max_length=64, pattern=r"^[^\x00]*$")]


def router(jobs: Jobs, keyring: KeyRing) -> APIRouter:
    """Routes for operators."""
    operator = operator_only(keyring)
    routes = admin_router("jobs")

    @routes.get("", responses=errors())
    async def list_jobs(
        kind: Word = None,
        state: JobState | None = None,
        queue: Word = None,
        after: IdCursor = None,
        limit: Limit = 50,
        by: Principal = Depends(operator),
    ) -> JobPage:
        """Jobs, newest first."""
        rows = await jobs.page(JobFilter(kind, state, queue), before_id=id_cursor(after), limit=limit)
        items = [JobView.model_validate(row) for row in rows]
        return JobPage(items=items, next=next_cursor(rows, limit, lambda row: row.id))

    @routes.post("", status_code=201, responses=errors(), openapi_extra=audited("job.run"))
    async def run_job(
        wanted: RunJob, idempotency_key: IdempotencyKey = None, by: Principal = Depends(operator)
    ) -> JobView:
        """Run a job now. A repeat under the same Idempotency-Key gets the first one's job, ended or not."""
        if idempotency_key is not None:
            _check_alone(wanted)
            return JobView.model_validate(await jobs.run_once(wanted.kind, wanted.payload, idempotency_key, by))
        return JobView.model_validate(await jobs.run(wanted.kind, wanted.payload, wanted.key, by))

    @routes.get("/{job_id}", responses=errors(404))
    async def get_job(job_id: str, by: Principal = Depends(operator)) -> JobView:
        """One job, with its progress."""
        return JobView.model_validate(await jobs.get(job_id))

    @routes.post("/{job_id}/cancel", responses=errors(404, 409), openapi_extra=audited("job.cancel"))
    async def cancel_job(job_id: str, by: Principal = Depends(operator)) -> JobView:
        """End a queued or running job."""
        return JobView.model_validate(await jobs.cancel(job_id, by))

    @routes.post("/{job_id}/retry", responses=errors(404, 409), openapi_extra=audited("job.retry"))
    async def retry_job(job_id: str, by: Principal = Depends(operator)) -> JobView:
        """Queue a failed or dead job again, with all its attempts."""
        return JobView.model_validate(await jobs.retry(job_id, by))

    return routes


def _check_alone(wanted: RunJob) -> None:
    """Raises BadRequestError for a job with a key of its own."""
    if wanted.key is not None:
        raise BadRequestError(
            "A job cannot have a key and come with an idempotency key",
            where="key and header Idempotency-Key",
            expected="one of the two",
            remedy="leave `key` out: the header names the job",
        )


def node_only(keyring: KeyRing) -> Callable[..., Awaitable[Principal]]:
    """A dependency that lets only nodes through. It raises UnauthenticatedError or ForbiddenError."""

    async def principal(credentials: HTTPAuthorizationCredentials | None = Depends(_bearer)) -> Principal:
        found = keyring.authenticate(credentials.credentials if credentials else None)
        found.require("node")
        return found

    return principal


def internal_router(jobs: NodeJobs, keyring: KeyRing) -> APIRouter:
    """Routes for nodes; every one needs the role node, and all but the claim the claim's epoch."""
    node = node_only(keyring)
    routes = APIRouter(prefix="/internal/v1/jobs", tags=["internal"], route_class=AdminRoute)

    @routes.post(
        "/claim",
        response_model=ClaimView,
        responses={**errors(), 204: {"description": "No job waits"}},
        openapi_extra=UNAUDITED,
    )
    async def claim(wanted: ClaimJob, by: Principal = Depends(node)) -> ClaimView | Response:
        """The job of these kinds that waits longest."""
        found = await jobs.claim(wanted.kinds, wanted.holder, by, wanted.offers)
        return Response(status_code=204) if found is None else ClaimView.model_validate(found, from_attributes=True)

    @routes.post("/{job_id}/heartbeat", responses=errors(404, 409), openapi_extra=UNAUDITED)
    async def heartbeat(job_id: str, beat: Heartbeat, by: Principal = Depends(node)) -> LeaseView:
        """Keep the lease, and tell the progress."""
        return LeaseView(lease_until=await jobs.heartbeat(job_id, beat.epoch, beat.progress, beat.message, by))

    @routes.post("/{job_id}/complete", responses=errors(404, 409), openapi_extra=UNAUDITED)
    async def complete(job_id: str, done: Completion, by: Principal = Depends(node)) -> StateView:
        """The job is done."""
        return StateView(state=await jobs.complete(job_id, done.epoch, done.result, by))

    @routes.post("/{job_id}/fail", responses=errors(404, 409), openapi_extra=UNAUDITED)
    async def fail(job_id: str, failure: Failure, by: Principal = Depends(node)) -> StateView:
        """This attempt failed; it is tried again later, unless that cannot help or was done often enough."""
        return StateView(state=await jobs.fail(job_id, failure.epoch, failure.error, failure.retry, by))

    @routes.post("/{job_id}/give-back", responses=errors(404, 409), openapi_extra=UNAUDITED)
    async def give_back(job_id: str, given: GiveBack, by: Principal = Depends(node)) -> StateView:
        """Whoever holds the job has to stop: another may take it at once, and the attempt does not count."""
        return StateView(state=await jobs.give_back(job_id, given.epoch, by))

    return routes

"""The job `warm_caches`: live gateways prefill their most used system prompts on nodes that are idle."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from control_plane.jobs.worker import Body, Result, RunningJob


class Gateways(Protocol):
    """Reaches live gateways (control_plane.gateways.directory)."""

    async def ask_to_warm(self) -> int:
        """How many prompts were warmed."""
        ...


def warm_caches(connect: Callable[[], AbstractAsyncContextManager[Gateways]]) -> Body:
    """Asks every live gateway once."""

    async def body(job: RunningJob) -> Result:
        async with connect() as gateways:
            return {"warmed": await gateways.ask_to_warm()}

    return body

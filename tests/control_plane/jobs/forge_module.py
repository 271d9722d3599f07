"""Kinds of forge jobs for tests, as the control plane knows them; the bodies are in tests/cloud_worker/forge/jobs."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any

import msgspec

from control_plane.jobs.job import JobKind


class StagedPayload(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where to wait for ever at the first try."""

    hold: str = ""


KINDS = tuple(
    JobKind(name=name, queue="forge", lease_s=2.0, for_nodes=True, needs="forge", payload=StagedPayload)
    for name in ("test.staged", "test.broken")
)


async def open_bodies(resources: object, stack: AsyncExitStack) -> Mapping[str, Any]:
    """None: nodes work on them."""
    return {}

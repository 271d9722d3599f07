"""Recorded decisions as columns: the facts they were made of, and what came of them. Not where they are kept."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from control_plane.policy_admin.replay import Recorded
from control_plane.policy_replay.columns import Table
from control_plane.policy_replay.decide import facts_table
from control_plane.policy_replay.names import Names


@dataclass(frozen=True, slots=True)
class Recording:
    """Decisions as they were made; all columns have `facts.rows` rows.

    cost: what each answer cost, in the unit of the record; NaN where it is not known; None: nowhere known.
    ids: of the streams, for examples; may be empty.
    terms: what each asked beside its mode, in JSON, empty where that was not recorded; None: nowhere recorded.
    """

    facts: Table
    mode: Names
    rule: Names
    digest: Names
    cost: NDArray[np.float64] | None = None
    ids: Sequence[str] = ()
    terms: Names | None = None

    @classmethod
    def of(cls, rows: Sequence[Recorded], costs: Sequence[float | None] | None = None) -> Recording:
        """The columns of recorded decisions. Raises msgspec.DecodeError where facts are no JSON object."""
        decode = msgspec.json.Decoder(dict[str, Any]).decode
        return cls(
            facts_table([decode(row.facts) for row in rows]),
            Names.of([row.mode for row in rows]),
            Names.of([row.rule for row in rows]),
            Names.of([row.policy_digest for row in rows]),
            None if costs is None else np.array([np.nan if cost is None else cost for cost in costs], np.float64),
            [row.stream_id for row in rows],
            Names.of([row.terms or "" for row in rows]),
        )


async def gather(pages: AsyncIterator[Sequence[Recorded]]) -> Recording:
    """All pages as one recording. Holds every decision's facts at once: some hundred bytes each."""
    return Recording.of([row async for page in pages for row in page])

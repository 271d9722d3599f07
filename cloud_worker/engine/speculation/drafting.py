"""The drafters of one engine by name, in the order in which they are asked; and drafts of many answers at a time.

One that looks its drafts up costs next to nothing and is asked in every step; one that runs a model is asked for as
much as pays. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from edgewise.speculation import Drafter


@dataclass(frozen=True, slots=True)
class Wanted:
    """At most `most` ids that may follow `ids` of `request`."""

    request: str
    ids: Sequence[int]
    most: int


@runtime_checkable
class BatchDrafter(Drafter, Protocol):
    """A drafter whose work is better done for many answers together: one call of its model for each place."""

    def draft_all(self, wanted: Sequence[Wanted]) -> list[tuple[int, ...]]:
        """A draft for each of `wanted`, in that order; their requests differ."""
        ...


@dataclass(frozen=True, slots=True)
class Source:
    """A drafter under the name by which its acceptance is counted; `priced` when its drafts take a model's calls."""

    name: str
    drafter: Drafter
    priced: bool = False

    def draft_all(self, wanted: Sequence[Wanted]) -> list[tuple[int, ...]]:
        """As BatchDrafter, with any drafter."""
        if isinstance(self.drafter, BatchDrafter):
            return self.drafter.draft_all(wanted)
        return [self.drafter.draft(each.request, each.ids, each.most) for each in wanted]

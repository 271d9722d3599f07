"""ActiveModels: which version of a model is wanted on a tier. Kept in SQL, read from memory by routing.

An activation is a wish: tiers with the wanted version come first; with `required`, others are not used at all. What a
node has loaded is its own business: it is told what is wanted, and loads it when it is given that version.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol, TypeVar

from sqlalchemy.ext.asyncio import AsyncSession

from control_plane.audit.service import AuditTrail, utc_now
from control_plane.database import Database
from control_plane.model_versions.errors import NothingActiveError, VersionUnknownError
from control_plane.model_versions.repository import ActivationRepository, ModelVersionRepository
from control_plane.model_versions.tables import ModelActivationRow
from edgewise.routing.tier import Tier

TierKind = Literal["edge", "cloud"]
T = TypeVar("T", bound=Tier)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a version is wanted: a public model name on a tier, of one tenant or (empty) of all."""

    name: str
    tier: TierKind
    tenant: str = ""

    def __str__(self) -> str:
        return f"model/{self.name}/{self.tier}" + (f"/{self.tenant}" if self.tenant else "")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is wanted in a place."""

    version_id: str
    required: bool


class Offered(Protocol):
    """A model that a node has loaded."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...


class ActiveModels:
    """Activations in SQL, the present ones in memory."""

    def __init__(
        self,
        database: Database,
        audit: AuditTrail,
        *,
        now: Callable[[], datetime] = utc_now,
        tell: Callable[[], None] = lambda: None,
    ) -> None:
        """`tell` is called after each change made here, so that other gateways `load` it."""
        self._tell_others = tell
        self._database = database
        self._audit = audit
        self._now = now
        self._present: dict[Place, ModelActivationRow] = {}
        self._changing = asyncio.Lock()

    async def load(self) -> None:
        """Take the present activations from SQL; again later, what another process changed. A change that is made here
        meanwhile waits, so that it is not undone."""
        async with self._changing:
            async with self._database.reading() as session:
                rows = await ActivationRepository(session).all_present()
            self._present = {_place(row): row for row in rows}

    def present(self) -> Sequence[ModelActivationRow]:
        """What is wanted now, in the order in which it was asked for."""
        return sorted((row for row in self._present.values() if row.version_id), key=lambda row: row.id)

    # For routing and the session ----------------------------------------------------------------------------------

    def wanted(self, name: str, tier: str, tenant: str) -> Wanted | None:
        """The version wanted for this tenant; its own activation counts before that for all."""
        for place in (Place(name, _kind(tier), tenant), Place(name, _kind(tier))):
            row = self._present.get(place)
            if row is not None and row.version_id is not None:
                return Wanted(row.version_id, row.required)
        return None

    def others_wanted(self, offers: Iterable[Offered], tier: str, tenant: str) -> dict[str, str]:
        """Of what a node has loaded: name → the version that is wanted instead."""
        found = {offer.name: (offer.version, self.wanted(offer.name, tier, tenant)) for offer in offers}
        return {name: wish.version_id for name, (has, wish) in found.items() if wish and wish.version_id != has}

    def prefer(self, tiers: Sequence[T], tenant: str) -> Sequence[T]:
        """Tiers with the wanted version first, in their order; those with another are left out where it is required."""
        if not self._present:
            return tiers
        ranked = [(self._rank(tier, tenant), tier) for tier in tiers]
        return [tier for wanted in (0, 1) for rank, tier in ranked if rank == wanted]

    def _rank(self, tier: Tier, tenant: str) -> int:
        """0: as wanted, or nothing is wanted. 1: another version. 2: another version where one is required."""
        names, version = tier.capabilities.models, tier.capabilities.model_version
        wish = self.wanted(names[0], tier.kind, tenant) if names else None
        if wish is None or wish.version_id == version:
            return 0
        return 2 if wish.required else 1

    # Changing -----------------------------------------------------------------------------------------------------

    async def activate(self, place: Place, version_id: str, *, required: bool, actor: str) -> ModelActivationRow:
        """Want this version. Raises VersionUnknownError for one that is not registered under that name."""
        async with self._changing, self._database.session(lock="edgewise.models") as session:
            if await ModelVersionRepository(session).get(place.name, version_id) is None:
                raise VersionUnknownError(place.name, version_id)
            row = await self._add(session, place, "activate", version_id, required, actor)
        return self._changed(row)

    async def deactivate(self, place: Place, *, actor: str) -> ModelActivationRow:
        """Want nothing in particular any more. Raises NothingActiveError."""
        async with self._changing, self._database.session(lock="edgewise.models") as session:
            if (present := await _at(session, place)) is None or present.version_id is None:
                raise NothingActiveError(str(place), "nothing is active there")
            row = await self._add(session, place, "deactivate", None, False, actor)
        return self._changed(row)

    async def roll_back(self, place: Place, *, actor: str) -> ModelActivationRow:
        """Want what was wanted before. Raises NothingActiveError when that is nothing."""
        async with self._changing, self._database.session(lock="edgewise.models") as session:
            activations = ActivationRepository(session)
            present = await _at(session, place)
            earlier = await activations.get(present.below_id) if present and present.below_id else None
            if present is None or earlier is None:
                raise NothingActiveError(str(place), "nothing was active before")
            version_id, required = earlier.version_id, earlier.required
            row = await self._add(session, place, "rollback", version_id, required, actor, below_id=earlier.below_id)
        return self._changed(row)

    async def _add(
        self,
        session: AsyncSession,
        place: Place,
        action: str,
        version_id: str | None,
        required: bool,
        actor: str,
        *,
        below_id: int | None = None,
    ) -> ModelActivationRow:
        """The activation and its audit entry, in the caller's transaction."""
        present = await _at(session, place)
        row = ModelActivationRow(
            name=place.name,
            tier=place.tier,
            tenant=place.tenant,
            version_id=version_id,
            required=required,
            below_id=below_id if action == "rollback" else present and present.id,
            action=action,
            actor=actor,
            at=self._now(),
        )
        await ActivationRepository(session).add(row)
        before = present.version_id if present else None
        self._audit.record(
            session, actor=actor, action=f"model.{action}", target=str(place), before=before, after=version_id
        )
        return row

    def _changed(self, row: ModelActivationRow) -> ModelActivationRow:
        self._present[_place(row)] = row
        self._tell_others()
        return row


async def _at(session: AsyncSession, place: Place) -> ModelActivationRow | None:
    return await ActivationRepository(session).present(place.name, place.tier, place.tenant)


def _place(row: ModelActivationRow) -> Place:
    return Place(row.name, _kind(row.tier), row.tenant)


def _kind(tier: str) -> TierKind:
    return "edge" if tier == "edge" else "cloud"

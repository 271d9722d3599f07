"""Queries of model versions and their activations."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from control_plane.model_versions.tables import ModelActivationRow, ModelVersionRow


class ModelVersionRepository:
    """Reads and adds inside the caller's transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    def add(self, row: ModelVersionRow) -> None:
        """Part of the caller's transaction."""
        self._session.add(row)

    async def get(self, name: str, version_id: str) -> ModelVersionRow | None:
        """One version by its public name and id."""
        return await self._session.get(ModelVersionRow, (name, version_id))

    async def count(self) -> int:
        """Versions ever registered; none is ever removed."""
        return (await self._session.scalar(select(func.count()).select_from(ModelVersionRow))) or 0

    async def all(self) -> Sequence[ModelVersionRow]:
        """Every version, in the order in which they were registered."""
        query = select(ModelVersionRow).order_by(ModelVersionRow.registered_at, ModelVersionRow.id)
        return (await self._session.scalars(query)).all()


class ActivationRepository:
    """The history of what is wanted on each tier, inside the caller's transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, row: ModelActivationRow) -> None:
        """Add a row and learn its number."""
        self._session.add(row)
        await self._session.flush()

    async def get(self, activation_id: int) -> ModelActivationRow | None:
        """One activation."""
        return await self._session.get(ModelActivationRow, activation_id)

    async def present(self, name: str, tier: str, tenant: str) -> ModelActivationRow | None:
        """The newest activation of this place."""
        query = select(ModelActivationRow).where(
            ModelActivationRow.name == name, ModelActivationRow.tier == tier, ModelActivationRow.tenant == tenant
        )
        return await self._session.scalar(query.order_by(ModelActivationRow.id.desc()).limit(1))

    async def all_present(self) -> Sequence[ModelActivationRow]:
        """The newest activation of every place."""
        newest = select(func.max(ModelActivationRow.id)).group_by(
            ModelActivationRow.name, ModelActivationRow.tier, ModelActivationRow.tenant
        )
        query = select(ModelActivationRow).where(ModelActivationRow.id.in_(newest)).order_by(ModelActivationRow.id)
        return (await self._session.scalars(query)).all()

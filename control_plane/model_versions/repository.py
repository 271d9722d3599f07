"""Queries of model versions."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from control_plane.model_versions.tables import ModelVersionRow


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

    async def all(self) -> Sequence[ModelVersionRow]:
        """Every version, in the order in which they were registered."""
        query = select(ModelVersionRow).order_by(ModelVersionRow.registered_at, ModelVersionRow.id)
        return (await self._session.scalars(query)).all()

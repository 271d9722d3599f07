"""Queries of wishes for nodes."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from control_plane.nodes.tables import NodeWishRow


class NodeWishRepository:
    """Reads and changes inside the caller's transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def all(self) -> Sequence[NodeWishRow]:
        """Every wish, by node id."""
        return (await self._session.scalars(select(NodeWishRow).order_by(NodeWishRow.node_id))).all()

    async def get(self, node_id: str) -> NodeWishRow | None:
        """One wish, as another gateway may have changed it."""
        return await self._session.get(NodeWishRow, node_id)

    async def put(self, row: NodeWishRow) -> None:
        """A new wish, or one in the place of the node's older one."""
        await self._session.merge(row)

    async def remove(self, node_id: str) -> None:
        """Wish nothing of this node any more."""
        await self._session.execute(delete(NodeWishRow).where(NodeWishRow.node_id == node_id))

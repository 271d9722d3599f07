"""NodeWishes: what operators wish of nodes (drained, labels), whether they are connected or not. SQL and memory.

Reading is from memory alone; what a wish means for a connected node is the registry's business.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import msgspec

from control_plane.audit.service import AuditTrail, utc_now
from control_plane.database import Database
from control_plane.nodes.repository import NodeWishRepository
from control_plane.nodes.tables import NodeWishRow


@dataclass(frozen=True, slots=True)
class NodeWish:
    """What holds for one node. `labels` override those that the node says of itself."""

    drained: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    changed_at: datetime | None = None
    changed_by: str = ""

    @property
    def empty(self) -> bool:
        """Whether nothing is wished."""
        return not self.drained and not self.labels


NO_WISH = NodeWish()
WishListener = Callable[[str, NodeWish], None]


class NodeWishes:
    """Wishes by node id; listeners hear of each one that changed."""

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
        self._known: dict[str, NodeWish] = {}
        self._listeners: list[WishListener] = []
        self._changing = asyncio.Lock()

    def of(self, node_id: str) -> NodeWish:
        """What is wished of a node."""
        return self._known.get(node_id, NO_WISH)

    def all(self) -> Sequence[tuple[str, NodeWish]]:
        """Every node of which something is wished, by id."""
        return sorted(self._known.items())

    def on_changed(self, listener: WishListener) -> Callable[[], None]:
        """Call `listener(node_id, wish)` after each change; returns a function that stops that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    async def load(self) -> None:
        """Take the wishes from SQL; again later, what another process changed. A change that is made here meanwhile
        waits, so that it is not undone."""
        async with self._changing:
            async with self._database.reading() as session:
                rows = await NodeWishRepository(session).all()
            fresh = {row.node_id: _wish(row) for row in rows}
            for node_id in {*fresh, *self._known}:
                self._learn(node_id, fresh.get(node_id, NO_WISH))

    async def drain(self, node_id: str, drained: bool, *, actor: str) -> NodeWish:
        """Keep new work away from a node, or let it have some again."""
        action = "node.drain" if drained else "node.undrain"
        return await self._change(node_id, lambda wish: replace(wish, drained=drained), action, actor)

    async def label(self, node_id: str, labels: Mapping[str, str], *, actor: str) -> NodeWish:
        """Put these labels in the place of all that operators had set before."""
        return await self._change(node_id, lambda wish: replace(wish, labels=dict(labels)), "node.labels", actor)

    async def forget(self, node_id: str, *, actor: str, after: str) -> None:
        """Wish nothing of a node any more; the audit entry says what else was forgotten."""
        async with self._changing:
            async with self._database.session() as session:
                await NodeWishRepository(session).remove(node_id)
                before = _shown(self.of(node_id))
                self._audit.record(
                    session, actor=actor, action="node.forget", target=_target(node_id), before=before, after=after
                )
            self._learn(node_id, NO_WISH)
        self._tell_others()

    async def _change(self, node_id: str, change: Callable[[NodeWish], NodeWish], action: str, actor: str) -> NodeWish:
        async with self._changing:
            async with self._database.session(lock="edgewise.nodes") as session:
                present = await NodeWishRepository(session).get(node_id)
                before = _wish(present) if present else NO_WISH
                wish = replace(change(before), changed_at=self._now(), changed_by=actor)
                await NodeWishRepository(session).put(_row(node_id, wish))
                self._audit.record(
                    session,
                    actor=actor,
                    action=action,
                    target=_target(node_id),
                    before=_shown(before),
                    after=_shown(wish),
                )
            self._learn(node_id, wish)
        self._tell_others()
        return wish

    def _learn(self, node_id: str, wish: NodeWish) -> None:
        if wish == self.of(node_id):
            return
        if wish.empty:
            self._known.pop(node_id, None)
        else:
            self._known[node_id] = wish
        for listener in tuple(self._listeners):
            listener(node_id, wish)


def effective_labels(own: Mapping[str, str], wish: NodeWish) -> dict[str, str]:
    """The labels in force; an operator's empty value takes one of the node's own away."""
    return {name: value for name, value in {**own, **wish.labels}.items() if value or name not in wish.labels}


def _wish(row: NodeWishRow) -> NodeWish:
    return NodeWish(row.drained, row.labels, row.changed_at, row.changed_by)


def _row(node_id: str, wish: NodeWish) -> NodeWishRow:
    return NodeWishRow(
        node_id=node_id,
        drained=wish.drained,
        labels=dict(wish.labels),
        changed_at=wish.changed_at,
        changed_by=wish.changed_by,
    )


def _shown(wish: NodeWish) -> str:
    labels = msgspec.json.encode(wish.labels).decode()
    return f"{'drained' if wish.drained else 'in use'}, labels {labels}"


def _target(node_id: str) -> str:
    return f"node/{node_id}"

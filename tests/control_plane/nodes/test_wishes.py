"""Wishes of two gateways on one database: each change is made to what is stored, not to what a gateway remembers."""

from __future__ import annotations

from control_plane.audit.service import AuditTrail
from control_plane.database import Database
from control_plane.nodes.wishes import NodeWishes


async def test_a_label_set_at_one_gateway_does_not_undrain_what_another_drained(database: Database) -> None:
    one, two = (NodeWishes(database, AuditTrail(database)) for _ in range(2))
    await one.drain("phone", True, actor="k")
    labelled = await two.label("phone", {"room": "a"}, actor="k")
    assert (labelled.drained, dict(labelled.labels)) == (True, {"room": "a"})
    await one.drain("phone", False, actor="k")
    await two.load()
    assert (two.of("phone").drained, dict(two.of("phone").labels)) == (False, {"room": "a"})
    entries = await AuditTrail(database).page(action="node")
    assert entries[1].before == "drained, labels {}"

"""Reading budgets back from the ledger when something in it fails."""

from __future__ import annotations

import pytest

from control_plane.usage.counters import Scope, shard_of
from control_plane.usage.ledger import Ledger
from control_plane.usage.limits import Limits
from control_plane.usage.rebuild import Rebuild
from tests.control_plane.usage.worlds import World


class StumblingLedger(Ledger):
    """Fails once, in a way that nobody foresaw."""

    stumbled = False

    async def flush(self) -> None:
        if not self.stumbled:
            self.stumbled = True
            raise RuntimeError("unforeseen")
        await super().flush()


async def test_a_load_that_fails_in_any_way_is_tried_again(world: World, caplog: pytest.LogCaptureFixture) -> None:
    gateway = await world.gateway()
    ledger = StumblingLedger(world.database, world.directory / "stumbling.spill", on_written=gateway.meter.written)
    rebuild = Rebuild(world.counters, world.database, ledger, now=world.clock.moment, sleep=world.nap)
    rebuild.soon(shard_of("acme"), Scope("tenant:acme", Limits(tokens_total=100), 10**6))
    assert not await rebuild.catch_up() and "it is tried again" in caplog.text
    assert await rebuild.catch_up()
    assert (await gateway.tokens("tenant", "acme", "acme")) == (0, 0)

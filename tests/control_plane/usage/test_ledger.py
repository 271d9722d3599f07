"""The ledger's writer: each answer once, whatever fails, and nothing forgotten."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from sqlalchemy import text

from control_plane.database import Database
from control_plane.usage.charges import Charge, date_of
from control_plane.usage.ledger import Ledger
from control_plane.usage.repository import LedgerRepository, UsageFilter
from edgewise.ids import new_id
from edgewise.wire.errors import EdgewiseError


def charge(sid: str = "", tokens: int = 3) -> Charge:
    return Charge(sid=sid or new_id(), key_id="k", tenant="t", day=20_000, tier_kind="edge", completion_tokens=tokens)


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def ledger(database: Database, tmp_path: Path, told: list[str]) -> Ledger:
    return make(database, tmp_path, told)


def make(database: Database, folder: Path, told: list[str]) -> Ledger:
    async def on_written(charges: object) -> None:
        told.extend(each.sid for each in charges)  # type: ignore[attr-defined]

    return Ledger(database, folder / "usage.spill", on_written=on_written)


async def total(database: Database) -> tuple[int, int]:
    async with database.reading() as session:
        return await LedgerRepository(session).total(UsageFilter())


async def test_an_answer_counts_once_however_often_it_is_told(
    database: Database, ledger: Ledger, told: list[str]
) -> None:
    one, other = charge(), charge(tokens=4)
    for batch in ([one, one, other], [one], [other, charge(one.sid, tokens=99)]):
        for each in batch:
            ledger.add(each)
        await ledger.flush()
    assert await total(database) == (7, 0)
    assert set(told) == {one.sid, other.sid}, "told after every write, so that a lost message is made good"


async def test_a_database_that_is_away_is_waited_for(database: Database, ledger: Ledger, told: list[str]) -> None:
    async with database.session() as session:
        await session.execute(text("ALTER TABLE usage_charges RENAME TO hidden"))
    ledger.add(charge())
    ledger.refused("k", "t", 20_000)
    with pytest.raises(Exception, match=r"usage_charges|table is missing"):
        await ledger.flush()
    assert told == []
    async with database.session() as session:
        await session.execute(text("ALTER TABLE hidden RENAME TO usage_charges"))
    await ledger.flush()
    assert await total(database) == (3, 0)
    async with database.reading() as session:
        rows = await LedgerRepository(session).page(UsageFilter(), after=None, limit=10)
    assert sorted((row.requests, row.refused) for row in rows) == [(0, 1), (1, 0)]


async def test_what_could_not_be_written_at_the_end_is_written_by_the_next_start(
    database: Database, tmp_path: Path, ledger: Ledger, told: list[str]
) -> None:
    ledger.add(charge(tokens=5))
    ledger._write = _away  # type: ignore[assignment]
    await ledger.stop()
    assert await total(database) == (0, 0)
    again = make(database, tmp_path, told)
    await again.start()
    await again.stop()
    assert await total(database) == (5, 0)
    assert not (tmp_path / "usage.spill").exists()


async def _away(*_: object) -> None:
    raise EdgewiseError("The database is away")


async def test_a_charge_that_is_told_again_and_again_waits_once(ledger: Ledger, tmp_path: Path) -> None:
    """The sweep tells of what is not written every ten seconds, for as long as SQL is away."""
    one = charge()
    ledger._write = _away  # type: ignore[assignment]
    for _ in range(3):
        ledger.add(one)
        ledger.add(charge(one.sid))
        with pytest.raises(EdgewiseError):
            await ledger.flush()
    await ledger.stop()
    assert len((tmp_path / "usage.spill").read_bytes().splitlines()) == 1


async def test_a_spill_that_a_crash_cut_short_stops_no_start(
    database: Database, tmp_path: Path, ledger: Ledger, told: list[str]
) -> None:
    whole = msgspec.json.encode(charge(tokens=4))
    (tmp_path / "usage.spill").write_bytes(whole + b"\n" + whole[:20])
    await ledger.start()
    await ledger.stop()
    assert await total(database) == (4, 0)


async def test_charges_may_be_pruned_and_the_sums_stay(database: Database, ledger: Ledger) -> None:
    ledger.add(charge())
    await ledger.flush()
    async with database.session() as session:
        assert await LedgerRepository(session).prune(date_of(20_000), 10) == 0
        assert await LedgerRepository(session).prune(date_of(20_001), 10) == 1
    assert await total(database) == (3, 0)
    async with database.session() as session:
        assert (await session.execute(text("SELECT count(*) FROM usage_charges"))).scalar() == 0

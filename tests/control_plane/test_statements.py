"""INSERT … ON CONFLICT means the same on both databases."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select

from control_plane.database import Database, insert_ignore, upsert
from control_plane.decisions.tables import SealedStreamRow
from control_plane.telemetry.tables import TelemetryRow

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


def sample(seq: int, **changes: Any) -> dict[str, Any]:
    values = {"node_id": "n", "stream": "s", "seq": seq, "at": NOON, "kind": "k", "values": {"你": 1.5}}
    return values | changes


async def rows(database: Database) -> list[tuple[int, str]]:
    async with database.reading() as session:
        found = await session.scalars(select(TelemetryRow).order_by(TelemetryRow.seq))
        return [(row.seq, row.kind) for row in found]


async def test_what_is_there_is_left_and_what_is_new_is_counted(database: Database) -> None:
    async with database.session() as session:
        assert await insert_ignore(session, TelemetryRow, [sample(1), sample(2)]) == 2
        assert await insert_ignore(session, TelemetryRow, [sample(2, kind="other"), sample(3)]) == 1
        assert await insert_ignore(session, TelemetryRow, []) == 0
    assert await rows(database) == [(1, "k"), (2, "k"), (3, "k")]


async def test_more_rows_than_one_statement_takes(database: Database) -> None:
    async with database.session() as session:
        assert await insert_ignore(session, TelemetryRow.__table__, [sample(seq) for seq in range(6000)]) == 6000
    assert len(await rows(database)) == 6000


async def test_what_is_there_is_changed(database: Database) -> None:
    key = ("node_id", "stream", "seq")
    async with database.session() as session:
        await upsert(session, TelemetryRow, [sample(1), sample(2)], key=key)
        await upsert(session, TelemetryRow, [sample(2, kind="other"), sample(3)], key=key)
    assert await rows(database) == [(1, "k"), (2, "other"), (3, "k")]


async def test_a_row_that_is_nothing_but_its_key(database: Database) -> None:
    only_key = {column.name: _some(column.name) for column in SealedStreamRow.__table__.columns}
    async with database.session() as session:
        for _ in range(2):
            await upsert(session, SealedStreamRow, [only_key], key=["stream_id"])
    async with database.reading() as session:
        assert len((await session.scalars(select(SealedStreamRow))).all()) == 1


def _some(name: str) -> Any:
    if name == "sealed_at":
        return NOON
    if name in ("request", "records"):
        return b"\0"
    return 1 if name.endswith("_tokens") else "x"

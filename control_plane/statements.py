"""INSERT … ON CONFLICT for SQLite and PostgreSQL alike: the only place that knows their dialects' statements.

Both databases have the clause and SQLAlchemy spells it per dialect; repositories call these functions instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from sqlalchemy import CursorResult, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

Row = Mapping[str, Any]
Insert = postgresql.Insert | sqlite.Insert
_PARAMETERS_MAX = 30_000
"""Both databases take a little more than that in one statement (32,766 and 32,767)."""


async def insert_ignore(session: AsyncSession, table: Any, rows: Sequence[Row]) -> int:
    """Insert the rows whose unique values are not there yet; the number of those that were new.

    `table` is a mapped class or its Table; every row has the same columns, and a column's Python-side default counts.
    """
    inserted = 0
    for some in _portions(rows):
        statement = conflict_insert(session, table).values([dict(row) for row in some]).on_conflict_do_nothing()
        inserted += cast(CursorResult[Any], await session.execute(statement)).rowcount
    return inserted


async def upsert(session: AsyncSession, table: Any, rows: Sequence[Row], *, key: Sequence[str]) -> None:
    """Insert each row, or change the one that has the same `key` (the columns of a unique constraint) to it.

    Columns that a row does not name keep their values. One call may name each key once.
    """
    for some in _portions(rows):
        statement = conflict_insert(session, table).values([dict(row) for row in some])
        changed = {name: statement.excluded[name] for name in some[0] if name not in key}
        if changed:
            await session.execute(statement.on_conflict_do_update(index_elements=list(key), set_=changed))
        else:
            await session.execute(statement.on_conflict_do_nothing(index_elements=list(key)))


def conflict_insert(session: AsyncSession, table: Any) -> Insert:
    """The session's database's INSERT, for what the two above cannot say; `on_conflict_…` is the same on both."""
    return insert_for(session.get_bind().dialect.name, table)


def insert_for(dialect: str, table: Any) -> Insert:
    """The same by the dialect's name, for a statement that is made once."""
    target: Table = table if isinstance(table, Table) else table.__table__
    return postgresql.insert(target) if dialect == "postgresql" else sqlite.insert(target)


def _portions(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    if not rows:
        return
    size = max(1, _PARAMETERS_MAX // max(1, len(rows[0])))
    for start in range(0, len(rows), size):
        yield rows[start : start + size]

"""Rows for every table that there is, made from the columns alone, so that tables to come are filled too."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import Column, Table, insert, select

from control_plane.backup.rows import kind_of
from control_plane.database import Database
from control_plane.tables import METADATA

Rows = dict[str, list[tuple[Any, ...]]]


async def fill(database: Database, rows: int = 3) -> None:
    """Put that many rows into every table; a reference names the row of the same number."""
    async with database.session() as session:
        for table in METADATA.sorted_tables:
            for number in range(1, rows + 1):
                values = {each.name: _value(table, each, number) for each in table.columns}
                await session.execute(insert(table).values(values))


async def content(database: Database) -> Rows:
    """Every row of every table, in the order of its key."""
    async with database.reading() as session:
        return {
            table.name: [
                tuple(row) for row in await session.execute(select(table).order_by(*table.primary_key.columns))
            ]
            for table in METADATA.sorted_tables
        }


def _value(table: Table, column: Column[Any], number: int) -> Any:
    for key in column.foreign_keys:
        return _value(key.column.table, key.column, number)
    if column.nullable and number == 3:
        return None
    match kind_of(column.type):
        case "text":
            length = getattr(column.type, "length", None) or 40
            return f"{number}{table.name[0]}你好'\"\\{column.name}"[:length]
        case "int":
            return number
        case "float":
            return number / 3
        case "bool":
            return bool(number % 2)
        case "time":
            return datetime(2026, 1, number, 23, 59, 59, 999_999 - number, tzinfo=UTC)
        case "date":
            return date(2026, 1, number)
        case "json":
            return {"b": [number, 1e-7, None, "小猫"], "a": {"": True}}
        case "bytes":
            return bytes(range(256)) * number

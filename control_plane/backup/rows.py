"""A table's row as a line of JSON, the same from every database: bytes as base64, times in UTC, odd floats as words."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Date,
    DateTime,
    Double,
    Float,
    Integer,
    LargeBinary,
    String,
    Table,
    column,
    table,
)
from sqlalchemy import TableClause as LightTable
from sqlalchemy.types import TypeDecorator, TypeEngine

from control_plane.backup.manifest import Column, Kind, TableContent
from control_plane.database import UtcDateTime

_KINDS: tuple[tuple[type[TypeEngine[Any]], Kind], ...] = (
    (Boolean, "bool"),
    (LargeBinary, "bytes"),
    (DateTime, "time"),
    (Date, "date"),
    (JSON, "json"),
    (Integer, "int"),
    (Float, "float"),
    (String, "text"),
)
_TYPES: Mapping[Kind, TypeEngine[Any]] = {
    "bool": Boolean(),
    "bytes": LargeBinary(),
    "time": UtcDateTime(),
    "date": Date(),
    "json": JSON(none_as_null=True),
    "int": BigInteger(),
    "float": Double(),
    "text": String(),
}


def content_of(found: Table, rows: int) -> TableContent:
    """How a table is written. Raises TypeError for a column whose type has no written form yet."""
    columns = tuple(Column(str(each.name), kind_of(each.type)) for each in found.columns)
    serial = found.autoincrement_column
    counted = serial is not None and isinstance(serial.type, Integer) and serial.default is None
    return TableContent(str(found.name), rows, columns, str(serial.name) if counted and serial is not None else "")


def kind_of(kind: TypeEngine[Any]) -> Kind:
    """The written form of a column type. Raises TypeError."""
    plain = kind.impl_instance if isinstance(kind, TypeDecorator) else kind
    for known, name in _KINDS:
        if isinstance(plain, known):
            return name
    raise TypeError(f"No written form for a column of type {kind!r}; add one to control_plane/backup/rows.py")


def light_table(content: TableContent) -> LightTable:
    """The table as far as inserting needs it, from the manifest alone: it may be older than this release's."""
    return table(content.name, *(column(each.name, _TYPES[each.kind]) for each in content.columns))


def encode_row(content: TableContent, row: Sequence[Any]) -> bytes:
    """One line, with its end."""
    written = [_ENCODERS[each.kind](value) for each, value in zip(content.columns, row, strict=True)]
    return json.dumps(written, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def decode_row(content: TableContent, line: bytes) -> dict[str, Any]:
    """Inverse of `encode_row`, by column name. Raises ValueError for any other bytes."""
    try:
        found = json.loads(line)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(found, list) or len(found) != len(content.columns):
        raise ValueError("another number of columns")
    pairs = zip(content.columns, found, strict=True)
    return {each.name: None if value is None else _DECODERS[each.kind](value) for each, value in pairs}


def _written_float(value: float | None) -> float | str | None:
    return value if value is None or math.isfinite(value) else str(value)


def _written_time(value: datetime | None) -> str | None:
    return None if value is None else value.astimezone(UTC).isoformat()


def _written_date(value: date | None) -> str | None:
    return None if value is None else value.isoformat()


def _written_bytes(value: bytes | None) -> str | None:
    return None if value is None else base64.b64encode(value).decode()


def _same(value: Any) -> Any:
    return value


def _exactly(kind: type) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if type(value) is not kind:
            raise ValueError(f"not a value of type {kind.__name__}")
        return value

    return check


def _read_text(value: Any) -> str:
    text: str = _exactly(str)(value)
    text.encode()  # JSON can spell half a character, no database can keep it
    return text


def _read_float(value: Any) -> float:
    if type(value) is str and value in ("nan", "inf", "-inf"):
        return float(value)
    if type(value) not in (int, float):
        raise ValueError("not a number")
    return float(value)


def _read_int(value: Any) -> int:
    if type(value) is not int or not -(2**63) <= value < 2**63:
        raise ValueError("not a whole number of 64 bits")
    return value


def _read_time(value: Any) -> datetime:
    moment = datetime.fromisoformat(_exactly(str)(value))
    if moment.tzinfo is None:
        raise ValueError("a time without a zone")
    return moment.astimezone(UTC)


def _read_date(value: Any) -> date:
    return date.fromisoformat(_exactly(str)(value))


def _read_bytes(value: Any) -> bytes:
    return base64.b64decode(_exactly(str)(value), validate=True)


_ENCODERS: Mapping[Kind, Callable[[Any], Any]] = {
    "bool": _same,
    "bytes": _written_bytes,
    "time": _written_time,
    "json": _same,
    "int": _same,
    "date": _written_date,
    "float": _written_float,
    "text": _same,
}
_DECODERS: Mapping[Kind, Callable[[Any], Any]] = {
    "bool": _exactly(bool),
    "bytes": _read_bytes,
    "date": _read_date,
    "time": _read_time,
    "json": _same,
    "int": _read_int,
    "float": _read_float,
    "text": _read_text,
}

"""What an archive says of itself: format, schema, tables with their columns, and the digest of every member."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Literal

import msgspec

FORMAT = 1
MANIFEST = "manifest.json"
MANIFEST_DIGEST = "manifest.sha256"
KEYS = "keys.json"
SIGNING_KEY = "policy-signing.key"
STREAMS = "streams.jsonl"
MANIFEST_MAX_BYTES = 16 * 1024 * 1024
_MEMBER = re.compile(
    r"(manifest\.json|manifest\.sha256|keys\.json|policy-signing\.key|streams\.jsonl|tables/[a-z][a-z0-9_]{0,62}\.jsonl)\Z"
)
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}\Z")

Kind = Literal["text", "int", "float", "bool", "time", "date", "json", "bytes"]


class Column(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A column and how its values are written."""

    name: str
    kind: Kind


class TableContent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One table: its member has `rows` lines, each a JSON array in the order of `columns`."""

    name: str
    rows: int
    columns: tuple[Column, ...]
    serial: str = ""
    """The column that the database counts up by itself."""

    @property
    def member(self) -> str:
        return f"tables/{self.name}.jsonl"


class Member(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file inside the archive: its exact size in bytes and its digest."""

    name: str
    size: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The archive's first member. `schema` is the Alembic revision of the tables; tables stand parents first."""

    format: int
    edgewise: str
    created_at: datetime
    source: str
    schema: str
    tables: tuple[TableContent, ...]
    streams: int
    members: tuple[Member, ...]

    @property
    def rows(self) -> int:
        """Rows of all tables."""
        return sum(table.rows for table in self.tables)


class _Format(msgspec.Struct):
    """All that is read of a manifest whose format may be another."""

    format: int


def is_member_name(name: str) -> bool:
    """Whether an archive may hold a member of that name: a closed list of forms, so that no path leads anywhere."""
    return bool(_MEMBER.match(name))


def decode_manifest(raw: bytes) -> Manifest:
    """The manifest, sound in itself. Raises ValueError in words; LookupError with a format that is newer than ours."""
    try:
        found = msgspec.json.decode(raw, type=_Format).format
        if found > FORMAT:
            raise LookupError(found)
        manifest = msgspec.json.decode(raw, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"its manifest does not decode ({error})") from error
    names = [member.name for member in manifest.members]
    wanted = {table.member for table in manifest.tables} | {STREAMS}
    tables = {table.name for table in manifest.tables}
    if (
        len(tables) != len(manifest.tables)
        or len(set(names)) != len(names)
        or set(names) - {KEYS, SIGNING_KEY} != wanted
        or not all(map(is_member_name, names))
    ):
        raise ValueError("its manifest does not name its members")
    if not all(_is_sound(table) for table in manifest.tables):
        raise ValueError("its manifest describes tables that cannot be")
    if manifest.streams < 0 or any(member.size < 0 for member in manifest.members):
        raise ValueError("its manifest counts below zero")
    return manifest


def _is_sound(table: TableContent) -> bool:
    names = [column.name for column in table.columns]
    sound = bool(names) and len(set(names)) == len(names) and table.serial in ("", *names)
    return sound and table.rows >= 0 and all(_NAME.match(name) for name in (table.name, *names))

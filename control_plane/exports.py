"""Exports of many rows: JSON lines or CSV, streamed a page at a time, gzip where the client accepts it."""

from __future__ import annotations

import asyncio
import csv
import io
import zlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
from fastapi import Query, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

ExportFormat = Annotated[Literal["jsonl", "csv"], Query(description="JSON lines, or CSV with a header line")]
_MEDIA = {"jsonl": "application/x-ndjson", "csv": "text/csv; charset=utf-8"}
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_GZIP_WBITS = 31

RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The rows, newest first",
        "content": {media.partition(";")[0]: {"schema": {"type": "string"}} for media in _MEDIA.values()},
    }
}


async def export_response(
    request: Request, form: str, shape: type[BaseModel], pages: AsyncIterator[Sequence[Any]], name: str
) -> StreamingResponse:
    """Stream `pages` of rows in the columns of `shape`. The first page is read before the answer begins, so that a
    database that is away is an error and not a cut-off file."""
    encode = _CsvLines(tuple(shape.model_fields)) if form == "csv" else _json_lines
    parts = _parts(shape, pages, encode)
    first = encode([]) + await anext(parts, b"")
    headers = {"content-disposition": f'attachment; filename="{name}.{form}"', "vary": "accept-encoding"}
    body = _chain(first, parts)
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["content-encoding"] = "gzip"
        body = _gzipped(body)
    return StreamingResponse(body, media_type=_MEDIA[form], headers=headers)


async def _parts(shape: type[BaseModel], pages: AsyncIterator[Sequence[Any]], encode: Any) -> AsyncIterator[bytes]:
    async for rows in pages:
        yield await asyncio.to_thread(_encoded, shape, rows, encode)


def _encoded(shape: type[BaseModel], rows: Sequence[Any], encode: Any) -> bytes:
    found: bytes = encode([shape.model_validate(row).model_dump(mode="json") for row in rows])
    return found


async def _chain(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for part in rest:
        yield part


async def _gzipped(parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    packer = zlib.compressobj(level=3, wbits=_GZIP_WBITS)
    async for part in parts:
        yield await asyncio.to_thread(packer.compress, part)
    yield packer.flush()


def _json_lines(items: Sequence[Mapping[str, Any]]) -> bytes:
    return b"".join(msgspec.json.encode(item) + b"\n" for item in items)


class _CsvLines:
    """CSV of one shape; the header comes with the first call. Maps and lists are JSON in their cell."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = columns
        self._begun = False

    def __call__(self, items: Sequence[Mapping[str, Any]]) -> bytes:
        out = io.StringIO()
        writer = csv.writer(out)
        if not self._begun:
            writer.writerow(self._columns)
            self._begun = True
        writer.writerows([_cell(item[column]) for column in self._columns] for item in items)
        return out.getvalue().encode()


def _cell(value: Any) -> str:
    """One cell. What a spreadsheet would take for a formula is quoted with an apostrophe."""
    if value is None:
        return ""
    if isinstance(value, dict | list):
        return msgspec.json.encode(value).decode()
    text = str(value)
    return f"'{text}" if isinstance(value, str) and text.startswith(_FORMULA) else text

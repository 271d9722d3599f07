"""What the token log itself says of a stream: the judge of every chaos test."""

from __future__ import annotations

import asyncio
from itertools import pairwise

from benchmarks.stack import Stack
from control_plane.streams.valkey_log import ValkeyStreamLog, connect
from edgewise.local.embedded_server import read_address
from edgewise.local.valkey import TOKEN_LOG
from edgewise.streams.entries import EndEntry, TokensEntry, decode_entry, is_terminal
from edgewise.streams.log import Record
from tests.system.reading import Reading


def records_of(stack: Stack, sid: str) -> list[Record]:
    """Every record of a stream, straight from the log server."""

    async def read() -> list[Record]:
        log = ValkeyStreamLog(connect(read_address(stack.data_dir, TOKEN_LOG)))
        try:
            return await log.read(sid, after=-1)
        finally:
            await log.aclose()

    return asyncio.run(read())


def judge(stack: Stack, reading: Reading) -> None:
    """No hole, no writer of an older epoch after a newer one, exactly one end, and the text that the client has."""
    records = records_of(stack, reading.sid)
    entries = [decode_entry(record.payload) for record in records]
    assert [record.seq for record in records] == list(range(len(records)))
    assert all(before.epoch <= after.epoch for before, after in pairwise(records)), "a zombie wrote"
    assert [is_terminal(entry) for entry in entries] == [False] * (len(entries) - 1) + [True]
    said = [entry for entry in entries if isinstance(entry, TokensEntry)]
    assert [n0 for entry in said for n0 in range(entry.n0, entry.n0 + len(entry.ids))] == list(
        range(sum(len(entry.ids) for entry in said))
    ), "a token is missing or there twice"
    tail = "".join(entry.text for entry in entries if isinstance(entry, EndEntry))
    assert reading.text == "".join(entry.text for entry in said) + tail
    ending = (reading.errors, reading.finishes, reading.done)
    assert ending == ([], ["length"], 1), ending

"""A log server or a writer is killed: nothing that was acknowledged is lost, and writers go on."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from edgewise.streams.sqlite_log import SqliteStreamLog
from edgewise.wire.errors import FencedError
from tests.contract.test_stream_log import EXPIRED_S, opened, valkey_log
from tests.factories.valkey import MortalValkey


async def test_killing_valkey_loses_nothing_acknowledged_and_writers_go_on(mortal_valkey: MortalValkey) -> None:
    log = valkey_log(mortal_valkey.url)
    streams = [await opened(log, EXPIRED_S) for _ in range(8)]
    acknowledged = dict.fromkeys((sid for sid, _ in streams), -1)
    going_on = asyncio.Event()

    async def write(sid: str, epoch: int) -> None:
        for seq in range(10_000):
            await log.append(sid, epoch=epoch, seq=seq, payloads=[b"%d" % seq])
            acknowledged[sid] = seq
            if going_on.is_set() and seq >= stop_at[sid]:
                return

    stop_at: dict[str, int] = {}
    writers = asyncio.gather(*(write(sid, claim.epoch) for sid, claim in streams))
    for _ in range(3):
        progress = min(acknowledged.values()) + 50
        while min(acknowledged.values()) < progress:
            await asyncio.sleep(0.001)
        await asyncio.to_thread(mortal_valkey.kill)
        before = dict(acknowledged)
        await asyncio.to_thread(mortal_valkey.start)
        for sid, seq in before.items():
            stored = await log.read(sid, after=-1, limit=20_000)
            assert [record.payload for record in stored[: seq + 1]] == [b"%d" % n for n in range(seq + 1)]
    stop_at.update({sid: seq + 5 for sid, seq in acknowledged.items()})
    going_on.set()
    await writers
    for sid, seq in acknowledged.items():
        stored = await log.read(sid, after=-1, limit=20_000)
        assert [record.seq for record in stored] == list(range(seq + 1))
    await log.aclose()


_SQLITE_WRITER = """
import asyncio, sys
from pathlib import Path
from edgewise.streams.sqlite_log import SqliteStreamLog
async def main():
    log = SqliteStreamLog(Path(sys.argv[1]))
    await log.create("s", owner="key-1", request=b"r")
    claim = await log.claim("s", holder="a", lease_s=60, seen_epoch=0)
    for seq in range(1_000_000):
        await log.append("s", epoch=claim.epoch, seq=seq, payloads=[b"%d" % seq])
        print(seq, flush=True)
asyncio.run(main())
"""


async def test_killing_a_sqlite_writer_loses_nothing_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    writer = subprocess.Popen([sys.executable, "-c", _SQLITE_WRITER, str(path)], stdout=subprocess.PIPE)
    assert writer.stdout is not None
    acknowledged = [int(writer.stdout.readline()) for _ in range(200)]
    os.kill(writer.pid, signal.SIGKILL)
    acknowledged += [int(line) for line in writer.stdout.read().splitlines() if line.isdigit()]
    writer.wait()
    log = SqliteStreamLog(path)
    stored = await log.read("s", after=-1, limit=1_000_000)
    assert [record.payload for record in stored[: acknowledged[-1] + 1]] == [b"%d" % seq for seq in acknowledged]
    assert all(before.seq + 1 == after.seq for before, after in pairwise(stored))
    with pytest.raises(FencedError):
        await log.claim("s", holder="b", lease_s=60, seen_epoch=1)
    assert (await log.claim("s", holder="a", lease_s=60, seen_epoch=1)).next_seq == len(stored)
    await log.aclose()

"""Orphaned streams: an agent that died in mid-answer comes back, and the text goes on as if nothing had been."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from edge_agent.host import Link
from edgewise.api.intake import Snapshot
from edgewise.api.takeover import Takeover
from edgewise.dialects.render import AnswerHeader
from edgewise.streams.entries import EndEntry, TierEntry, TokensEntry, decode_entry, encode_entry
from edgewise.streams.sqlite_log import SqliteStreamLog
from tests.edge_agent.device import Device, running_device

SID = "0" * 26


@pytest.fixture
async def device(tiny_dir: Path, tmp_path: Path) -> AsyncIterator[Device]:
    async with running_device(tiny_dir, tmp_path / "data") as running:
        running.link = Link()
        yield running


async def said(log: SqliteStreamLog, sid: str) -> tuple[tuple[int, ...], str]:
    """All ids and all text of a stream; checks that it ended once and that no id is missing or doubled."""
    entries = [decode_entry(record.payload) for record in await log.read(sid, after=-1)]
    assert [isinstance(entry, EndEntry) for entry in entries].count(True) == 1 and isinstance(entries[-1], EndEntry)
    tokens = [entry for entry in entries if isinstance(entry, TokensEntry)]
    ids: tuple[int, ...] = ()
    for entry in tokens:
        assert entry.n0 == len(ids)
        ids += entry.ids
    return ids, "".join(entry.text for entry in tokens)


async def orphan(device: Device, cut: int) -> tuple[tuple[int, ...], str]:
    """An undisturbed answer, and a second stream of the same request that broke off after `cut` ids."""
    sid = (await device.ask("hello 北京", max_tokens=24)).json()["edgewise"]["stream"]
    ids, text = await said(device.log, sid)
    snapshot = msgspec.msgpack.decode(await device.log.request(sid), type=Snapshot)
    header: AnswerHeader = msgspec.structs.replace(snapshot.header, sid=SID)
    request = msgspec.msgpack.encode(msgspec.structs.replace(snapshot, header=header))
    await device.log.create(SID, owner="local", request=request)
    claim = await device.log.claim(SID, holder="agent:test", lease_s=0.0, seen_epoch=0)
    entries = [encode_entry(TierEntry("edge:phone-1", "edge", "tiny-edge", "", "chosen"))]
    if cut:
        whole = device.tokenizer_text(ids[:cut])
        entries.append(encode_entry(TokensEntry(0, ids[:cut], whole)))
    for seq, payload in enumerate(entries):
        await device.log.append(SID, epoch=claim.epoch, seq=seq, payloads=[payload])
    return ids, text


@pytest.mark.parametrize("cut", [0, 1, 9, 23])
async def test_an_orphaned_answer_goes_on_as_the_undisturbed_one(device: Device, cut: int) -> None:
    undisturbed = await orphan(device, cut)
    assert await Takeover(device.service).sweep() == [SID]
    await device.runner.drain(5.0)
    assert await said(device.log, SID) == undisturbed


async def test_a_stream_that_is_being_made_here_is_left_alone(device: Device) -> None:
    await orphan(device, 3)
    takeover = Takeover(device.service)
    assert await takeover.sweep() == [SID]
    assert await device.service.resume(SID) is False
    await device.runner.drain(5.0)


async def test_a_stream_that_cannot_be_read_ends_and_does_not_stop_the_others(device: Device) -> None:
    await orphan(device, 2)
    broken = "0" * 25 + "1"
    await device.log.create(broken, owner="local", request=b"not a snapshot")
    await device.log.claim(broken, holder="agent:test", lease_s=0.0, seen_epoch=0)
    assert sorted(await Takeover(device.service).sweep()) == [SID, broken]
    assert (await device.log.head(broken)).status == "done"
    await device.runner.drain(5.0)

"""A backup of one database comes back in another, whole or not at all, whichever of the two kinds each is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import text

from control_plane.accounts.first_keys import KEYS_FILE, new_first_keys, write_first_keys
from control_plane.audit.service import AuditTrail
from control_plane.audit.tables import AuditRow
from control_plane.backup.archive import Archive, Draft
from control_plane.backup.dump import LogContent
from control_plane.backup.errors import BackupFileError, BackupInvalidError, BackupTooNewError, TargetNotEmptyError
from control_plane.backup.keys import put_keys, put_signer, read_keys, read_signer
from control_plane.backup.manifest import KEYS, SIGNING_KEY, STREAMS, Manifest
from control_plane.backup.restore import restore_tables
from control_plane.backup.rows import decode_row, encode_row
from control_plane.database import Database, head_revision
from control_plane.decisions.sealed import SealedStreams
from control_plane.policy_bundles.signing_key import write_signing_key
from control_plane.tables import METADATA
from edgewise.signing import Ed25519Signer
from edgewise.streams.entries import EndEntry, TokensEntry, encode_entry
from edgewise.streams.memory import MemoryStreamLog
from tests.control_plane.backup.conftest import archived
from tests.control_plane.backup.filling import content, fill


async def test_everything_comes_back_in_either_database(database: Database, target: Database, tmp_path: Path) -> None:
    await fill(database)
    archive = await archived(database, tmp_path)
    assert {table.name: table.rows for table in archive.manifest.tables} == dict.fromkeys(METADATA.tables, 3)
    restored = await restore_tables(target, archive)
    assert restored.rows == 3 * len(METADATA.tables)
    assert await content(target) == await content(database)


async def test_numbers_go_on_where_they_were(source: Database, target: Database, tmp_path: Path) -> None:
    await fill(source)
    await restore_tables(target, await archived(source, tmp_path))
    async with target.session() as session:
        AuditTrail(target).record(session, actor="a", action="b", target="c")
    async with target.reading() as session:
        assert await session.get(AuditRow, 4) is not None


async def test_an_empty_database_makes_a_backup_too(source: Database, target: Database, tmp_path: Path) -> None:
    assert (await restore_tables(target, await archived(source, tmp_path))).rows == 0
    assert await content(target) == await content(source)


async def test_what_is_there_is_not_lost_without_a_word(source: Database, target: Database, tmp_path: Path) -> None:
    await fill(source)
    archive = await archived(source, tmp_path)
    await target.migrate()
    await restore_tables(target, archive)
    async with target.session() as session:
        await session.execute(text("DELETE FROM decisions"))
    before = await content(target)
    with pytest.raises(TargetNotEmptyError, match="audit_entries"):
        await restore_tables(target, archive)
    assert await content(target) == before
    await restore_tables(target, archive, force=True)
    assert await content(target) == await content(source)


def rewritten(archive: Archive, folder: Path, member: str, change: Any, **manifest: Any) -> Archive:
    """The archive with one member changed, and digests that say so."""
    folder.mkdir()
    draft = Draft(folder)
    for each in archive.manifest.members:
        raw = archive.read(each.name)
        with draft.member(each.name) as file:
            file.write(change(raw) if each.name == member else raw)
    made: Manifest = msgspec.structs.replace(archive.manifest, members=draft.members, **manifest)
    draft.write(folder / "b.tar", made)
    return Archive.open(folder / "b.tar")


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: raw + raw.splitlines(keepends=True)[0],
        lambda raw: b"".join(raw.splitlines(keepends=True)[:-1]),
        lambda raw: raw.replace(b"[", b"{", 1),
        lambda raw: b"".join(raw.splitlines(keepends=True)[:1] * 3),
    ],
    ids=["a row more", "a row less", "no row", "the same row"],
)
async def test_a_row_that_does_not_fit_leaves_the_database_as_it_was(
    source: Database, target: Database, tmp_path: Path, change: Any
) -> None:
    await fill(source)
    archive = await archived(source, tmp_path)
    await restore_tables(target, archive)
    before = await content(target)
    bad = rewritten(archive, tmp_path / "bad", "tables/telemetry.jsonl", change)
    with pytest.raises(BackupInvalidError):
        await restore_tables(target, bad, force=True)
    assert await content(target) == before


async def test_an_older_schema_is_brought_up_to_date(source: Database, target: Database, tmp_path: Path) -> None:
    """One table as revision 0001 had it; what later revisions add to it gets its default."""
    await fill(source)
    archive = await archived(source, tmp_path)
    (now,) = [table for table in archive.manifest.tables if table.name == "audit_entries"]
    old = ("id", "at", "actor", "action", "target", "before", "after")
    then = msgspec.structs.replace(now, columns=tuple(each for each in now.columns if each.name in old))
    rows = [decode_row(now, line) for line in archive.lines(now.member)]
    lines = b"".join(encode_row(then, [row[each.name] for each in then.columns]) for row in rows)
    draft = Draft(tmp_path)
    for name, raw in ((then.member, lines), (STREAMS, b"")):
        with draft.member(name) as file:
            file.write(raw)
    manifest = msgspec.structs.replace(archive.manifest, schema="0001", tables=(then,), members=draft.members)
    draft.write(tmp_path / "old.tar", manifest)
    await restore_tables(target, Archive.open(tmp_path / "old.tar"))
    found = await content(target)
    assert [row[:4] for row in found["audit_entries"]] == [tuple(row.values())[:4] for row in rows]
    async with target.reading() as session:
        assert await session.scalar(text("SELECT version_num FROM alembic_version")) == head_revision()


async def test_a_newer_schema_is_refused(source: Database, target: Database, tmp_path: Path) -> None:
    archive = await archived(source, tmp_path)
    newer = rewritten(archive, tmp_path / "newer", "", bytes, schema="9999", edgewise="7.0")
    with pytest.raises(BackupTooNewError, match="9999") as caught:
        await restore_tables(target, newer)
    assert "7.0" in caught.value.remedy


async def test_a_database_of_another_release_makes_no_backup(database: Database, tmp_path: Path) -> None:
    async with database.session() as session:
        await session.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    with pytest.raises(BackupFileError, match="0001"):
        await archived(database, tmp_path)
    assert not (tmp_path / "backup.tar").exists()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_a_database_that_a_gateway_uses_is_not_restored_over(database: Database, tmp_path: Path) -> None:
    archive = await archived(database, tmp_path)
    other = Database(database.url.render_as_string(hide_password=False))
    async with other.reading():
        with pytest.raises(TargetNotEmptyError, match="at work"):
            await restore_tables(Database(other.url.render_as_string(hide_password=False)), archive, force=True)
    await other.close()


# The token log and the keys ---------------------------------------------------------------------------------------

SIDS = [f"{number:026d}" for number in range(1, 4)]


async def stream(log: MemoryStreamLog, sid: str, *, end: bool) -> None:
    await log.create(sid, owner="key-1", request="请".encode())
    claim = await log.claim(sid, holder="a", lease_s=0.0, seen_epoch=0)
    await log.append(sid, epoch=claim.epoch, seq=0, payloads=[encode_entry(TokensEntry(0, (1,), "你好"))])
    if end:
        await log.append(sid, epoch=claim.epoch, seq=1, payloads=[encode_entry(EndEntry("stop", 1, 1))], end=True)


async def test_streams_of_the_log_come_too(source: Database, target: Database, tmp_path: Path) -> None:
    log = MemoryStreamLog()
    await stream(log, SIDS[0], end=True)
    await stream(log, SIDS[1], end=False)
    await stream(log, SIDS[2], end=True)
    await log.trim(SIDS[2])

    async def sids() -> AsyncIterator[str]:
        for sid in [*SIDS, "0" * 26]:
            yield sid

    archive = await archived(source, tmp_path, LogContent(log, sids()))
    assert archive.manifest.streams == 2
    restored = await restore_tables(target, archive)
    assert restored.sealed == 1
    assert (await SealedStreams(target).get(SIDS[0])).text == "你好"
    assert [each.sid for each in restored.open_streams] == [SIDS[1]]
    again = await restore_tables(target, archive, force=True)
    assert again == restored


async def test_the_signing_key_comes_back_private_and_is_not_replaced_unasked(
    database: Database, tmp_path: Path
) -> None:
    signer, path = Ed25519Signer.new(), tmp_path / "target" / "named.key"
    write_signing_key(tmp_path / SIGNING_KEY, signer)
    archive = await archived(database, tmp_path)
    put_signer(read_signer(archive, path), path)
    assert (path.read_text(), path.stat().st_mode & 0o777) == (signer.private_text() + "\n", 0o600)
    put_signer(read_signer(archive, path), path)
    path.write_text(Ed25519Signer.new().private_text())
    with pytest.raises(TargetNotEmptyError):
        read_signer(archive, path)
    put_signer(read_signer(archive, path, force=True), path)
    assert path.read_text() == signer.private_text() + "\n"
    broken = rewritten(archive, tmp_path / "broken", SIGNING_KEY, lambda raw: raw[:-9])
    with pytest.raises(BackupInvalidError, match=SIGNING_KEY):
        read_signer(broken, tmp_path / "nowhere")


async def test_keys_come_back_private_and_are_not_replaced_unasked(database: Database, tmp_path: Path) -> None:
    keys = new_first_keys("http://here")
    write_first_keys(tmp_path, keys)
    archive = await archived(database, tmp_path)
    target = tmp_path / "target"
    put_keys(read_keys(archive, target), target)
    assert (target / KEYS_FILE).read_bytes() == (tmp_path / KEYS_FILE).read_bytes()
    assert (target / KEYS_FILE).stat().st_mode & 0o777 == 0o600
    assert read_keys(archive, target) == keys
    write_first_keys(target, new_first_keys("http://there"))
    with pytest.raises(TargetNotEmptyError):
        read_keys(archive, target)
    assert read_keys(archive, target, force=True) == keys
    broken = rewritten(archive, tmp_path / "broken", KEYS, lambda raw: b"[]")
    with pytest.raises(BackupInvalidError, match=KEYS):
        read_keys(broken, tmp_path / "nowhere")

"""The archive as a file: written once, private, whole; and read as bytes that anybody may have made."""

from __future__ import annotations

import io
import tarfile
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from control_plane.backup.archive import Archive, Draft
from control_plane.backup.errors import BackupFileError, BackupInvalidError, BackupTooNewError
from control_plane.backup.manifest import (
    FORMAT,
    MANIFEST,
    MANIFEST_DIGEST,
    STREAMS,
    Column,
    Manifest,
    TableContent,
    decode_manifest,
)
from edgewise.wire.errors import EdgewiseError

TABLE = TableContent("things", 2, (Column("id", "int"),), "id")
LINES = b"[1]\n[2]\n"


def manifest_of(draft: Draft, **changes: object) -> Manifest:
    made = Manifest(
        format=FORMAT,
        edgewise="0",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        source="sqlite",
        schema="0001",
        tables=(TABLE,),
        streams=0,
        members=draft.members,
    )
    return msgspec.structs.replace(made, **changes)


def draft_in(folder: Path) -> Draft:
    folder.mkdir(exist_ok=True)
    draft = Draft(folder)
    for name, content in ((STREAMS, b""), (TABLE.member, LINES)):
        with draft.member(name) as file:
            file.write(content)
    return draft


@pytest.fixture
def out(tmp_path: Path) -> Path:
    draft = draft_in(tmp_path / "draft")
    draft.write(tmp_path / "b.tar", manifest_of(draft))
    return tmp_path / "b.tar"


def packed(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return file.getvalue()


def info(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.size, made.type, made.linkname = size, kind, link
    return made


def test_an_archive_is_private_whole_and_readable_by_tar(out: Path) -> None:
    assert out.stat().st_mode & 0o777 == 0o600
    archive = Archive.open(out)
    assert list(archive.lines(TABLE.member)) == [b"[1]\n", b"[2]\n"]
    assert archive.read(STREAMS) == b""
    assert not archive.holds("keys.json")
    with tarfile.open(out) as tar:
        assert tar.getnames() == [MANIFEST, MANIFEST_DIGEST, STREAMS, TABLE.member]


def test_a_file_is_never_overwritten_and_nothing_else_is_left(out: Path, tmp_path: Path) -> None:
    before = out.read_bytes()
    draft = draft_in(tmp_path / "other")
    with pytest.raises(BackupFileError, match="already"):
        draft.write(out, manifest_of(draft))
    assert out.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.tar", "draft", "other"]


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    draft = draft_in(tmp_path / "draft")
    with pytest.raises(BackupFileError):
        draft.write(tmp_path / "no" / "b.tar", manifest_of(draft))
    with pytest.raises(BackupFileError):
        Archive.open(tmp_path / "no" / "b.tar")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_change_anywhere_is_seen(out: Path, tmp_path: Path, data: st.DataObject) -> None:
    """Only what tar itself leaves open may differ: owner, times and what stands behind a file's end."""
    raw = bytearray(out.read_bytes())
    whole = Archive.open(out)
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] ^= data.draw(st.integers(1, 255))
    changed = tmp_path / "changed.tar"
    changed.write_bytes(raw)
    try:
        archive = Archive.open(changed)
    except EdgewiseError:
        return
    assert archive.manifest == whole.manifest
    assert list(archive.lines(TABLE.member)) == list(whole.lines(TABLE.member))


def test_a_changed_row_is_seen(out: Path) -> None:
    raw = out.read_bytes()
    assert raw.count(LINES) == 1
    out.write_bytes(raw.replace(LINES, LINES.replace(b"2", b"3")))
    with pytest.raises(BackupInvalidError, match=TABLE.member):
        Archive.open(out)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(length=st.integers(0, 4096))
def test_an_archive_that_was_cut_is_refused(out: Path, tmp_path: Path, length: int) -> None:
    raw = out.read_bytes()
    needed = len(raw.rstrip(b"\0"))
    cut = tmp_path / "cut.tar"
    cut.write_bytes(raw[: min(length, needed - 1)])
    with pytest.raises(BackupInvalidError):
        Archive.open(cut)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(raw=st.binary(max_size=2048))
def test_bytes_of_any_kind_are_no_archive(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "any.tar"
    path.write_bytes(raw)
    with pytest.raises(BackupInvalidError):
        Archive.open(path)


@settings(max_examples=150, deadline=None)
@given(raw=st.binary(max_size=300) | st.text().map(str.encode))
def test_bytes_of_any_kind_are_no_manifest(raw: bytes) -> None:
    with pytest.raises((ValueError, LookupError)):
        decode_manifest(raw)


@pytest.mark.parametrize(
    "bad",
    [
        info("../../etc/passwd"),
        info("/etc/passwd"),
        info("tables/../keys.json"),
        info("tables/x.jsonl\0/../y"),
        info(MANIFEST, kind=tarfile.SYMTYPE, link="/etc/passwd"),
        info(STREAMS, kind=tarfile.LNKTYPE, link="/etc/passwd"),
        info("tables", kind=tarfile.DIRTYPE),
        info(STREAMS, kind=tarfile.GNUTYPE_SPARSE),
        info(STREAMS, kind=tarfile.FIFOTYPE),
    ],
)
def test_what_is_no_plain_file_of_a_known_name_is_refused(tmp_path: Path, bad: tarfile.TarInfo) -> None:
    path = tmp_path / "bad.tar"
    path.write_bytes(packed((bad, b"")))
    with pytest.raises(BackupInvalidError, match="something else"):
        Archive.open(path)


@pytest.mark.parametrize(
    "size", [b"77777777777\0", b"\x80" + b"\x00" * 3 + b"\x7f" + b"\xff" * 7, b"\xff" * 12, b"-1         \0"]
)
def test_a_size_beyond_the_file_is_refused_without_being_read(tmp_path: Path, size: bytes) -> None:
    raw = bytearray(packed((info(MANIFEST, 2), b"{}")))
    raw[124:136] = size
    path = tmp_path / "huge.tar"
    path.write_bytes(raw)
    with pytest.raises(BackupInvalidError):
        Archive.open(path)


def test_a_member_that_is_missing_or_there_twice_is_refused(out: Path, tmp_path: Path) -> None:
    with tarfile.open(out) as tar:
        members = [(each, (tar.extractfile(each) or io.BytesIO()).read()) for each in tar.getmembers()]
    for chosen in (members[:-1], [*members, members[-1]], members[1:], members[::-1]):
        path = tmp_path / "odd.tar"
        path.write_bytes(packed(*chosen))
        with pytest.raises(BackupInvalidError):
            Archive.open(path)


def test_a_later_format_names_itself(tmp_path: Path) -> None:
    draft = draft_in(tmp_path / "draft")
    draft.write(tmp_path / "new.tar", manifest_of(draft, format=FORMAT + 1))
    with pytest.raises(BackupTooNewError, match=f"format {FORMAT + 1}"):
        Archive.open(tmp_path / "new.tar")


@pytest.mark.parametrize(
    "changes",
    [
        {"tables": ()},
        {"tables": (TABLE, TABLE)},
        {"tables": (msgspec.structs.replace(TABLE, name="things; DROP TABLE x"),)},
        {"tables": (msgspec.structs.replace(TABLE, columns=()),)},
        {"tables": (msgspec.structs.replace(TABLE, columns=(Column('"', "int"),)),)},
        {"tables": (msgspec.structs.replace(TABLE, serial="other"),)},
        {"tables": (msgspec.structs.replace(TABLE, rows=-1),)},
        {"streams": -1},
    ],
)
def test_a_manifest_that_cannot_be_is_refused(tmp_path: Path, changes: dict[str, object]) -> None:
    draft = draft_in(tmp_path / "draft")
    draft.write(tmp_path / "odd.tar", manifest_of(draft, **changes))
    with pytest.raises(BackupInvalidError):
        Archive.open(tmp_path / "odd.tar")


def test_a_line_without_end_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "draft"
    folder.mkdir()
    draft = Draft(folder)
    for name, content in ((STREAMS, b""), (TABLE.member, b"[1]\n[2]")):
        with draft.member(name) as file:
            file.write(content)
    draft.write(tmp_path / "b.tar", manifest_of(draft))
    with pytest.raises(BackupInvalidError, match="no end"):
        list(Archive.open(tmp_path / "b.tar").lines(TABLE.member))

"""The tar file: written whole or not at all, and read as what it is, bytes of unknown origin.

Only plain files with known names are read, each is hashed before anything is used, and nothing is ever extracted. The
reader is our own: the standard library's follows links, sparse files and extension headers that no backup has.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, NamedTuple

import msgspec

from control_plane.backup.errors import BackupFileError, BackupTooNewError, invalid
from control_plane.backup.manifest import (
    FORMAT,
    MANIFEST,
    MANIFEST_DIGEST,
    MANIFEST_MAX_BYTES,
    Manifest,
    Member,
    decode_manifest,
    is_member_name,
)

LINE_MAX_BYTES = 256 * 1024 * 1024
_BLOCK = 512
_CHUNK = 1024 * 1024
_MEMBERS_MAX = 1000
_SHA256_CHARS = 64

Progress = Callable[[str, int, int], None]
"""Told what is at work, how far it is, and how far it goes."""


def no_progress(_what: str, _done: int, _total: int) -> None:
    """Tells nobody."""


# Writing ------------------------------------------------------------------------------------------------------------


class Draft:
    """Members on their way into an archive, as files in a folder that nobody else can read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._members: list[Member] = []

    @property
    def members(self) -> tuple[Member, ...]:
        return tuple(self._members)

    @contextmanager
    def member(self, name: str) -> Iterator[IO[bytes]]:
        """Write one member; it counts when the block ends well."""
        path = self._path(name)
        with path.open("wb") as file:
            yield file
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        self._members.append(Member(name, path.stat().st_size, digest))

    def write(self, out: Path, manifest: Manifest) -> None:
        """The archive at `out`, mode 0600, on the disk before it has its name. Raises BackupFileError, also when there
        is such a file already."""
        temporary: Path | None = None
        try:
            handle, name = tempfile.mkstemp(dir=out.parent, prefix=".edgewise-backup-")
            temporary = Path(name)
            with os.fdopen(handle, "wb") as file:
                with tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as tar:
                    _add_manifest(tar, msgspec.json.encode(manifest))
                    for member in self._members:
                        with self._path(member.name).open("rb") as content:
                            _add(tar, member.name, content, member.size)
                file.flush()
                os.fsync(file.fileno())
            os.link(temporary, out)
        except OSError as error:
            raise unwritable(out, error) from error
        finally:
            with suppress(OSError):
                if temporary:
                    temporary.unlink()

    def _path(self, name: str) -> Path:
        return self._folder / name.replace("/", "-")


def _add_manifest(tar: tarfile.TarFile, raw: bytes) -> None:
    digest = hashlib.sha256(raw).hexdigest().encode()
    for name, content in ((MANIFEST, raw), (MANIFEST_DIGEST, digest)):
        _add(tar, name, io.BytesIO(content), len(content))


def _add(tar: tarfile.TarFile, name: str, content: IO[bytes], size: int) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o600
    tar.addfile(info, content)


def unwritable(out: Path, error: OSError) -> BackupFileError:
    """The archive cannot be put at `out`."""
    exists = isinstance(error, FileExistsError)
    return BackupFileError(
        "There is a file already" if exists else f"The backup cannot be written: {error.strerror or error}",
        where=str(out),
        expected="a new name in a folder that this user may write, with free space",
        remedy="choose another name; a backup is never overwritten" if exists else "choose another place",
    )


# Reading ------------------------------------------------------------------------------------------------------------


class _Place(NamedTuple):
    offset: int
    size: int


class Archive:
    """An archive whose every byte was checked against its manifest."""

    def __init__(self, path: Path, manifest: Manifest, places: dict[str, _Place]) -> None:
        self.path = path
        self.manifest = manifest
        self._places = places

    @staticmethod
    def open(path: Path, on_progress: Progress = no_progress) -> Archive:
        """Read and check everything. Raises BackupFileError, BackupInvalidError, BackupTooNewError."""
        try:
            with path.open("rb") as file:
                places = dict(_places(file, path))
                manifest = _manifest(file, path, places)
                _check(file, path, manifest, places, on_progress)
        except OSError as error:
            raise BackupFileError(
                f"The backup cannot be read: {error.strerror or error}", where=str(path), remedy="check its name"
            ) from error
        return Archive(path, manifest, places)

    def holds(self, name: str) -> bool:
        """Whether there is such a member."""
        return name in self._places

    def read(self, name: str) -> bytes:
        """A whole member; for the small ones."""
        with self.path.open("rb") as file:
            return _bytes_of(file, self._places[name])

    def lines(self, name: str) -> Iterator[bytes]:
        """A member line by line. Raises BackupInvalidError for a line that is too long."""
        offset, left = self._places[name]
        with self.path.open("rb") as file:
            file.seek(offset)
            while left > 0:
                line = file.readline(min(left, LINE_MAX_BYTES))
                if not line.endswith(b"\n"):
                    raise invalid(self.path, f"a line of {name} has no end")
                left -= len(line)
                yield line


def _places(file: IO[bytes], path: Path) -> Iterator[tuple[str, _Place]]:
    """Where each member lies. Raises BackupInvalidError for anything that is no plain file with a known name."""
    end = os.fstat(file.fileno()).st_size
    seen: set[str] = set()
    offset = 0
    while True:
        file.seek(offset)
        header = file.read(_BLOCK)
        if len(header) < _BLOCK:
            raise invalid(path, "it is cut short")
        if header == bytes(_BLOCK):
            return
        name, size = _parse_header(header, path)
        place = _Place(offset + _BLOCK, size)
        if place.offset + size > end:
            raise invalid(path, f"{name} is cut short")
        if name in seen or len(seen) >= _MEMBERS_MAX:
            raise invalid(path, f"{name} is there twice")
        seen.add(name)
        yield name, place
        offset = place.offset + -(-size // _BLOCK) * _BLOCK


def _parse_header(header: bytes, path: Path) -> tuple[str, int]:
    """Name and size of a plain file (POSIX.1-1988 ustar; sizes above 8 GiB in GNU's base 256)."""
    name = header[:100].rstrip(b"\0").decode("ascii", "replace")
    plain = header[156:157] == b"0" and header[257:262] == b"ustar" and not header[345:500].strip(b"\0")
    if not plain or not is_member_name(name):
        raise invalid(path, "it holds something else than the files of a backup")
    field = header[124:136]
    if field[0] == 0x80:
        return name, int.from_bytes(field[1:], "big")
    digits = field.rstrip(b"\0 ")
    if not digits or digits.strip(b"01234567"):
        raise invalid(path, f"the size of {name} is no number")
    return name, int(digits, 8)


def _manifest(file: IO[bytes], path: Path, places: dict[str, _Place]) -> Manifest:
    place, told = places.get(MANIFEST), places.get(MANIFEST_DIGEST)
    if list(places)[:2] != [MANIFEST, MANIFEST_DIGEST] or not place or not told or place.size > MANIFEST_MAX_BYTES:
        raise invalid(path, "it does not begin with a manifest and its digest")
    if told.size != _SHA256_CHARS or _digest(file, place).encode() != _bytes_of(file, told):
        raise invalid(path, "its manifest was changed")
    try:
        return decode_manifest(_bytes_of(file, place))
    except LookupError as error:
        raise BackupTooNewError(
            f"The backup has format {error}, which this release does not know",
            where=str(path),
            expected=f"format {FORMAT} or older",
            remedy="restore it with the release that made it, or a later one",
        ) from error
    except ValueError as error:
        raise invalid(path, str(error)) from error


def _check(file: IO[bytes], path: Path, manifest: Manifest, places: dict[str, _Place], on_progress: Progress) -> None:
    if set(places) - {MANIFEST, MANIFEST_DIGEST} != {member.name for member in manifest.members}:
        raise invalid(path, "its files are not those of its manifest")
    total, done = sum(member.size for member in manifest.members), 0
    for member in manifest.members:
        place = places[member.name]
        if place.size != member.size or _digest(file, place) != member.sha256:
            raise invalid(path, f"{member.name} is not what the manifest says")
        done += member.size
        on_progress("checking", done, total)


def _digest(file: IO[bytes], place: _Place) -> str:
    file.seek(place.offset)
    digest, left = hashlib.sha256(), place.size
    while left > 0 and (chunk := file.read(min(left, _CHUNK))):
        digest.update(chunk)
        left -= len(chunk)
    return digest.hexdigest()


def _bytes_of(file: IO[bytes], place: _Place) -> bytes:
    file.seek(place.offset)
    return file.read(place.size)

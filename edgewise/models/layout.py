"""Where things are in the store's folder, and how they are read. Nothing is changed here.

objects/<sha256>, versions/<id>/   each content once; a version: manifest.json, and links to contents by their names
current, uses.json                 a symbolic link to the version in use; which versions were in use before
staging/, lock                     what is being made, or was when a process died; held while the store is changed
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Final

from edgewise.wire.errors import ManifestError
from edgewise.wire.manifest import MANIFEST_FILE, Manifest, parse_manifest

OBJECTS: Final = "objects"
VERSIONS: Final = "versions"
CURRENT: Final = "current"
USES: Final = "uses.json"
STAGING: Final = "staging"
LOCK: Final = "lock"
BLOCK_BYTES: Final = 1 << 20
MANIFEST_MAX_BYTES: Final = 64 << 20
SHA256: Final = re.compile(r"[0-9a-f]{64}")

Reading = Callable[[int], None]
"""Is told of bytes that were read, as they are."""
Progress = Callable[[str, int, int], None]
"""Is told which file is read, how many bytes are done, and how many there are."""


def quiet(name: str, done: int, total: int) -> None:
    """Tells nobody."""


@dataclass(frozen=True)
class Layout:
    """The paths of a store."""

    folder: Path

    @property
    def objects(self) -> Path:
        return self.folder / OBJECTS

    @property
    def versions(self) -> Path:
        return self.folder / VERSIONS

    @property
    def staging(self) -> Path:
        return self.folder / STAGING

    @property
    def current(self) -> Path:
        return self.folder / CURRENT

    @property
    def uses(self) -> Path:
        return self.folder / USES

    def content(self, sha256: str) -> Path:
        """The one file with this content."""
        return self.objects / sha256

    def version(self, version: str) -> Path:
        """A version's own folder."""
        return self.versions / version

    def installed(self) -> list[str]:
        """The ids of all versions that have a folder."""
        if not self.versions.is_dir():
            return []
        return sorted(path.name for path in self.versions.iterdir() if SHA256.fullmatch(path.name))

    def manifest(self, version: str) -> Manifest:
        """The manifest of an installed version. Raises ManifestError where it is missing, damaged or another's."""
        path = self.version(version) / MANIFEST_FILE
        manifest = read_manifest(path)
        if manifest.id != version:
            raise ManifestError(f"The manifest is that of version {manifest.id[:12]}", where=str(path))
        return manifest


def read_manifest(path: Path) -> Manifest:
    """A manifest in a file. Raises ManifestError."""
    try:
        with opened(path) as file:
            # A reader reserves what it is asked for: no more than there is, and a byte to see that it grew.
            raw = file.read(min(os.fstat(file.fileno()).st_size, MANIFEST_MAX_BYTES) + 1)
    except OSError as error:
        raise ManifestError(f"The manifest cannot be read: {error.strerror}", where=str(path)) from error
    if len(raw) > MANIFEST_MAX_BYTES:
        raise ManifestError("The manifest is too large", where=str(path), expected=f"{MANIFEST_MAX_BYTES:,} bytes")
    return parse_manifest(raw, str(path))


def opened(path: Path) -> FileIO:
    """A plain file to read. Raises OSError, for a link and a pipe too."""
    file = FileIO(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC))
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return file
    file.close()
    raise OSError(errno.EINVAL, "it is no plain file", str(path))


def has_content(path: Path, sha256: str, size: int, read: Reading = lambda count: None) -> bool:
    """Whether a file is there and has this content; what cannot be read has not."""
    digest = hashlib.sha256()
    try:
        with opened(path) as file:
            if os.fstat(file.fileno()).st_size != size:
                return False
            while block := file.read(BLOCK_BYTES):
                digest.update(block)
                read(len(block))
    except OSError:
        return False
    return digest.hexdigest() == sha256


def same_file(one: Path, other: Path) -> bool:
    """Whether two names lead to one file, without following links. False where either is missing."""
    try:
        first, second = one.lstat(), other.lstat()
    except OSError:
        return False
    return (first.st_dev, first.st_ino) == (second.st_dev, second.st_ino)

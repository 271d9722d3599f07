"""What the store holds: versions and their sizes, faults found by reading. Changes nothing, so it needs no lock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec

from edgewise.models.layout import Layout, Progress, has_content
from edgewise.models.pointer import Pointer
from edgewise.wire.errors import ManifestError
from edgewise.wire.manifest import MANIFEST_FILE, Manifest


class StoredVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A version in the store. `own_bytes`: what removing it would free."""

    version: str
    name: str
    files: int
    total_bytes: int
    own_bytes: int
    current: bool
    previous: bool
    damaged: bool = False
    """Its manifest cannot be read: what it holds and needs is not known."""


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a version, or the whole version, that is missing or changed."""

    version: str
    file: str
    what: str


class Inventory:
    """Reads one store."""

    def __init__(self, layout: Layout, pointer: Pointer) -> None:
        self._layout = layout
        self._pointer = pointer

    def manifests(self) -> Iterator[tuple[str, Manifest]]:
        """Versions by id, where their manifests can be read."""
        for version in self._layout.installed():
            try:
                yield version, self._layout.manifest(version)
            except ManifestError:
                continue

    def unreadable(self) -> list[str]:
        """Versions whose manifests cannot be read: what they need is not known."""
        read = {version for version, _ in self.manifests()}
        return [version for version in self._layout.installed() if version not in read]

    def versions(self) -> list[StoredVersion]:
        """All that are installed."""
        stack, manifests = self._pointer.stack(), dict(self.manifests())
        users = Counter(sha256 for manifest in manifests.values() for sha256 in contents(manifest))
        return [
            StoredVersion(
                version=version,
                name=manifest.name,
                files=len(manifest.files),
                total_bytes=sum(contents(manifest).values()),
                own_bytes=sum(size for sha256, size in contents(manifest).items() if users[sha256] == 1),
                current=stack[:1] == [version],
                previous=stack[1:2] == [version],
            )
            for version, manifest in manifests.items()
        ] + [self._damaged(version, stack) for version in self._layout.installed() if version not in manifests]

    def _damaged(self, version: str, stack: list[str]) -> StoredVersion:
        current, previous = stack[:1] == [version], stack[1:2] == [version]
        return StoredVersion(
            version=version,
            name="",
            files=0,
            total_bytes=0,
            own_bytes=0,
            current=current,
            previous=previous,
            damaged=True,
        )

    def faults(self, progress: Progress) -> list[Fault]:
        """Read every file of every version, shared ones once. Versions that are removed meanwhile have none."""
        manifests, current = dict(self.manifests()), self._pointer.current
        wrong = self.unreadable()
        found = [Fault(version=version, file=MANIFEST_FILE, what="missing or changed") for version in wrong]
        if current and current not in {*manifests, *wrong}:
            found.append(Fault(version=current, file="", what="missing, and in use"))
        right: dict[tuple[int, int, str], bool] = {}
        done = 0
        total = sum({digest: size for each in manifests.values() for digest, size in contents(each).items()}.values())
        for version, manifest in manifests.items():
            for name, entry in sorted(manifest.files.items()):
                path = self._layout.version(version) / name
                key = (*_identity(path), entry.sha256)
                if key not in right:
                    right[key] = has_content(path, entry.sha256, entry.bytes)
                    done += entry.bytes
                    progress(name, min(done, total), total)
                if not right[key]:
                    found.append(Fault(version=version, file=name, what="changed" if path.exists() else "missing"))
        left = {*self._layout.installed(), self._pointer.current}
        return [fault for fault in found if fault.version in left]

    def missing(self, version: str) -> list[str]:
        """Files of a version that are not there or have another size: cheap, digests are read by whoever loads it."""
        try:
            files = self._layout.manifest(version).files
        except ManifestError:
            return [MANIFEST_FILE]
        folder = self._layout.version(version)
        return [name for name, entry in sorted(files.items()) if _size(folder / name) != entry.bytes]


def contents(manifest: Manifest) -> dict[str, int]:
    """Bytes by digest: twice the same content counts once."""
    return {entry.sha256: entry.bytes for entry in manifest.files.values()}


def _size(path: Path) -> int:
    """-1 for what is no file."""
    return path.lstat().st_size if path.is_file() else -1


def _identity(path: Path) -> tuple[int, int]:
    """Device and inode; two zeros for what is not there."""
    try:
        found = path.lstat()
    except OSError:
        return (0, 0)
    return (found.st_dev, found.st_ino)

"""Contents into the store: copied from a model directory while they are hashed, and given to versions by links.

A content is whole from the moment it has its name. One that rotted is replaced, in every version that has it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container
from io import FileIO
from pathlib import Path

from edgewise.models.disk import Disk
from edgewise.models.layout import BLOCK_BYTES, Layout, Progress, Reading, has_content, opened, same_file
from edgewise.wire.errors import ManifestError, ModelDigestError, ModelMissingError
from edgewise.wire.manifest import FileEntry, Manifest


class Filling:
    """The contents of one manifest on their way into the store. The caller holds the store's lock."""

    def __init__(self, layout: Layout, disk: Disk, manifest: Manifest, progress: Progress) -> None:
        self._layout = layout
        self._disk = disk
        self._files = manifest.files
        self._progress = progress
        self._contents = {entry.sha256: name for name, entry in sorted(manifest.files.items())}
        self._done = self.written_bytes = self.written_files = 0
        self.total_bytes = sum(self._files[name].bytes for name in self._contents.values())

    def missing_bytes(self) -> int:
        """Bytes that are not in the store yet, judged by sizes."""
        entries = (self._files[name] for name in self._contents.values())
        return sum(entry.bytes for entry in entries if not self._seems_there(entry))

    def take_from(self, directory: Path) -> None:
        """Copy what is missing or rotten. Raises ModelMissingError, ModelDigestError, OSError (of the store's disk)."""
        for sha256, name in self._contents.items():
            entry, before = self._files[name], self._done
            if not has_content(self._layout.content(sha256), sha256, entry.bytes, self._reading(name)):
                self._done = before
                self._copy(directory / name, name, entry)
            self._done = before + entry.bytes
        self._disk.flush_folder(self._layout.objects)

    def give_to(self, folder: Path) -> None:
        """Put every file of the manifest into a version's folder; those that are right stay. Raises OSError."""
        places = {(folder / name).parent for name in self._files} | {folder}
        for place in sorted(places):
            self._disk.make_folder(place)
        for name, entry in sorted(self._files.items()):
            content, place = self._layout.content(entry.sha256), folder / name
            if not same_file(content, place) and not has_content(place, entry.sha256, entry.bytes):
                self._put(content, place)
        for place in sorted(places):
            self._disk.flush_folder(place)

    def mend_copies(self) -> None:
        """Look at what other versions have of these contents where that is no link. Raises OSError."""
        for version in self._layout.installed():
            for place, entry in self._places(version, self._contents):
                content = self._layout.content(entry.sha256)
                if not same_file(content, place) and not has_content(place, entry.sha256, entry.bytes):
                    self._put(content, place)
                    self._disk.flush_folder(place.parent)

    def _places(self, version: str, contents: Container[str]) -> list[tuple[Path, FileEntry]]:
        """Where a version has some contents; nowhere if its manifest cannot be read."""
        try:
            files = self._layout.manifest(version).files
        except ManifestError:
            return []
        return [(self._layout.version(version) / name, each) for name, each in files.items() if each.sha256 in contents]

    def _seems_there(self, entry: FileEntry) -> bool:
        content = self._layout.content(entry.sha256)
        return content.is_file() and content.stat().st_size == entry.bytes

    def _reading(self, name: str) -> Reading:
        def read(count: int) -> None:
            self._done += count
            self._progress(name, self._done, self.total_bytes)

        return read

    def _copy(self, source: Path, name: str, entry: FileEntry) -> None:
        made, read = self._layout.staging / entry.sha256, self._reading(name)
        digest, size = hashlib.sha256(), 0
        with _open_source(source) as file, self._disk.create(made) as copy:
            while size <= entry.bytes and (block := _block(file, source)):
                self._disk.write(copy, block)
                digest.update(block)
                size += len(block)
                read(len(block))
            if (size, digest.hexdigest()) != (entry.bytes, entry.sha256):
                raise _changed(source, entry)
            self._disk.flush(copy)
        self._mend(made, entry.sha256)
        self._disk.rename(made, self._layout.content(entry.sha256))
        self.written_bytes += size
        self.written_files += 1

    def _mend(self, made: Path, sha256: str) -> None:
        """Where this content was here and rotted: versions get the new file first, and only then it takes the name."""
        if not self._layout.content(sha256).exists():
            return
        for version in self._layout.installed():
            for place, _ in self._places(version, {sha256}):
                self._put(made, place)
                self._disk.flush_folder(place.parent)

    def _put(self, content: Path, place: Path) -> None:
        """One more name for a content, or a copy where there are no links; in one step, over what is there."""
        beside = self._layout.staging / "link"
        if not self._disk.link(content, beside):
            with opened(content) as source, self._disk.create(beside) as copy:
                self._disk.fill(source, copy)
                self._disk.flush(copy)
        self._disk.rename(beside, place)


def _open_source(path: Path) -> FileIO:
    try:
        return opened(path)
    except OSError as error:
        raise _unreadable(path, error.strerror) from error


def _block(file: FileIO, path: Path) -> bytes:
    try:
        return file.read(BLOCK_BYTES)
    except OSError as error:
        raise _unreadable(path, error.strerror) from error


def _unreadable(path: Path, why: str | None) -> ModelMissingError:
    return ModelMissingError(
        f"The model file {path.name} cannot be read: {why}",
        where=str(path),
        expected="a plain file that the manifest names",
        remedy="copy the model directory again",
    )


def _changed(path: Path, entry: FileEntry) -> ModelDigestError:
    return ModelDigestError(
        f"The model file {path.name} is not the one that its manifest describes",
        where=str(path),
        expected=f"sha256 {entry.sha256[:12]}…, {entry.bytes:,} bytes",
        remedy="copy the model directory again, or export it again",
    )

"""ModelStore: install, use, go back, remove, verify. One process changes it at a time.

A version's folder takes its name when it is whole and on the disk, and loses it before anything in it goes.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

import msgspec

from edgewise.models.changing import changing, remove_tree
from edgewise.models.disk import Disk
from edgewise.models.errors import (
    NoSuchVersionError,
    NotForDevicesError,
    StoreDamagedError,
    StoreFullError,
    VersionInUseError,
)
from edgewise.models.filling import Filling
from edgewise.models.inventory import Fault, Inventory, StoredVersion, contents
from edgewise.models.layout import SHA256, Layout, Progress, quiet, read_manifest
from edgewise.models.pointer import Pointer
from edgewise.wire.errors import ManifestError, ModelMissingError
from edgewise.wire.manifest import MANIFEST_FILE, Manifest

FORMAT: Final = "onnx"
ROOM_BYTES: Final = 32 << 20
"""Left free on the disk by an install, for everything else that the device writes."""
_LIST: Final = "see `edgewise agent models list`"


class Installed(msgspec.Struct, frozen=True, kw_only=True):
    """A version that is there now: all its bytes, and what was written of them. `new`: it was not there before."""

    version: str
    name: str
    new: bool
    total_bytes: int
    written_bytes: int
    written_files: int


def free_bytes(folder: Path) -> int:
    """What the disk has left for this user."""
    return shutil.disk_usage(folder).free


class ModelStore:
    """The store in `folder`, which is made by the first change."""

    def __init__(self, folder: Path, disk: Disk | None = None, free: Callable[[Path], int] = free_bytes) -> None:
        self._layout = Layout(folder)
        self._disk = disk or Disk()
        self._free = free
        self._pointer = Pointer(self._layout, self._disk)
        self._inventory = Inventory(self._layout, self._pointer)

    @property
    def path(self) -> Path:
        """What an agent is given as its model directory: it leads to the version in use."""
        return self._layout.current

    @property
    def current(self) -> str | None:
        """The version in use."""
        return self._pointer.current

    @property
    def previous(self) -> str | None:
        """The version that `go_back` would put into use."""
        return next(iter(self._pointer.stack()[1:]), None)

    def versions(self) -> list[StoredVersion]:
        """All versions, those that are damaged, too."""
        return self._inventory.versions()

    def verify(self, progress: Progress = quiet) -> list[Fault]:
        """Read everything; what is missing or changed."""
        return self._inventory.faults(progress)

    def install(self, directory: Path, progress: Progress = quiet) -> Installed:
        """Take a model directory in; the version in use stays the same. What is there is looked at, not written again.

        Raises ModelMissingError, ManifestError, ModelDigestError, NotForDevicesError, and what `changing` raises.
        """
        manifest = _checked(directory)
        with self._changing():
            new = manifest.id not in self._layout.installed()
            filling = Filling(self._layout, self._disk, manifest, progress)
            self._collect(manifest)  # what a killed install left, unless it is wanted now
            self._require_room(filling.missing_bytes())
            try:
                filling.take_from(directory)
                self._place(manifest, filling, new)
                filling.mend_copies()
            finally:
                self._collect()  # where it failed, what it brought: the disk may be full
        return Installed(
            version=manifest.id,
            name=manifest.name,
            new=new,
            total_bytes=filling.total_bytes,
            written_bytes=filling.written_bytes,
            written_files=filling.written_files,
        )

    def use(self, version: str) -> str:
        """Put a version, by its id or an unambiguous beginning, into use; returns the id.

        Raises NoSuchVersionError, StoreDamagedError, and what `changing` raises.
        """
        with self._changing():
            found = self.find(version)
            self._require_whole(found)
            self._pointer.use(found)
        return found

    def go_back(self) -> str:
        """Put the version before into use; returns its id. Raises as `use` does."""
        with self._changing():
            previous = self.previous
            if previous is None:
                raise NoSuchVersionError(
                    "There is no version to go back to",
                    where=str(self._layout.folder),
                    expected="a version that was in use before this one and is still installed",
                    remedy=_LIST,
                )
            self._require_whole(previous)
            self._pointer.go_back()
        return previous

    def remove(self, version: str) -> int:
        """Remove a version; how many bytes were freed. Raises as `use` does, and VersionInUseError."""
        with self._changing():
            found = self.find(version)
            if found == self.current:
                raise VersionInUseError(
                    f"Version {found[:12]} is in use",
                    where=str(self._layout.version(found)),
                    expected="a version that is not in use",
                    remedy="use another one first: edgewise agent models use ID",
                )
            self._disk.rename(self._layout.version(found), self._layout.staging / found)
            self._disk.flush_folder(self._layout.versions)
            remove_tree(self._layout.staging / found, self._disk)
            return self._collect()

    def find(self, version: str) -> str:
        """The id of an installed version that begins so. Raises NoSuchVersionError."""
        found = [each for each in self._layout.installed() if version and each.startswith(version)]
        if len(found) == 1:
            return found[0]
        raise NoSuchVersionError(
            f"{len(found) or 'No'} installed versions begin with {version[:64]!r}",
            where=str(self._layout.versions),
            expected="the beginning of one id",
            remedy=_LIST,
        )

    def _changing(self) -> AbstractContextManager[None]:
        return changing(self._layout, self._disk)

    def _place(self, manifest: Manifest, filling: Filling, new: bool) -> None:
        """The version's folder: made beside and renamed, or mended where it is."""
        folder = self._layout.staging / manifest.id if new else self._layout.version(manifest.id)
        filling.give_to(folder)
        written = self._layout.staging / MANIFEST_FILE
        with self._disk.create(written) as file:
            self._disk.write(file, msgspec.json.format(manifest.canonical(), indent=2) + b"\n")
            self._disk.flush(file)
        self._disk.rename(written, folder / MANIFEST_FILE)
        self._disk.flush_folder(folder)
        if new:
            self._disk.rename(folder, self._layout.version(manifest.id))
            self._disk.flush_folder(self._layout.versions)

    def _collect(self, *wanted: Manifest) -> int:
        """Remove contents that no version has, nor a manifest that is wanted; how many bytes. Nothing while a version's
        manifest cannot be read."""
        if self._inventory.unreadable():
            return 0
        manifests = (*wanted, *(manifest for _, manifest in self._inventory.manifests()))
        kept = {sha256 for manifest in manifests for sha256 in contents(manifest)}
        freed = 0
        for path in sorted(self._layout.objects.iterdir()):
            if path.name not in kept:
                freed += path.lstat().st_size
                remove_tree(path, self._disk)
        return freed

    def _require_whole(self, version: str) -> None:
        if wrong := self._inventory.missing(version):
            raise StoreDamagedError(
                f"Version {version[:12]} is damaged: {', '.join(wrong[:3])}",
                where=str(self._layout.version(version)),
                expected="the files that its manifest describes",
                remedy="install it again: edgewise agent models install DIR",
            )

    def _require_room(self, needed: int) -> None:
        free = self._free(self._layout.folder)
        if needed and free < needed + ROOM_BYTES:
            raise StoreFullError(
                f"{needed / 1e6:.0f} MB are to be written, and {free / 1e6:.0f} MB are free",
                where=str(self._layout.folder),
                expected=f"{(needed + ROOM_BYTES) / 1e6:.0f} MB of room",
                remedy="remove a version (edgewise agent models remove ID), or make room on the disk",
            )


def _checked(directory: Path) -> Manifest:
    """The manifest of a model directory for devices, fit to name files by. Raises as `ModelStore.install` says."""
    path = directory / MANIFEST_FILE
    if not path.is_file():
        raise ModelMissingError(
            f"There is no model in {directory}",
            where=str(path),
            expected="a model directory with manifest.json, such as `edgewise model export` makes",
            remedy="give such a directory",
        )
    manifest = read_manifest(path)
    if manifest.format != FORMAT:
        raise NotForDevicesError(
            f"The model {manifest.name[:64]!r} is of the format {manifest.format[:64]!r}",
            where=str(path),
            expected=FORMAT,
            remedy="export it first: edgewise model export DIR --out FOLDER",
        )
    sizes = contents(manifest)
    for name, entry in manifest.files.items():
        if not SHA256.fullmatch(entry.sha256) or not 0 <= entry.bytes == sizes[entry.sha256]:
            raise ManifestError(f"The manifest's digest or size of {name[:300]!r} cannot be right", where=str(path))
    return manifest

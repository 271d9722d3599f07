"""Places: what a payload may name. A model version's id or a path, and nothing outside the configured roots."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from edgewise.wire.errors import BadRequestError, ManifestError
from edgewise.wire.manifest import MANIFEST_FILE, parse_manifest

_VERSION = re.compile(r"[0-9a-f]{64}\Z")
_DEPTH = 4


class PlaceRefusedError(BadRequestError):
    """A payload names something that is not there, or lies outside the roots."""

    number, code = 1753, "forge_place_refused"


class Places:
    """Directories below which models and files are found, in this order; links are followed before it is decided."""

    def __init__(self, roots: Sequence[Path]) -> None:
        self._roots = [root.resolve() for root in roots]

    def model(self, named: str) -> Path:
        """The directory of a model version's id, or of a path. Raises PlaceRefusedError."""
        if _VERSION.match(named):
            return self._version(named)
        found = self._below(named)
        if not found.is_dir():
            raise self._refused(named, "there is no such directory")
        return found

    def file(self, named: str) -> Path:
        """A file. Raises PlaceRefusedError."""
        found = self._below(named)
        if not found.is_file():
            raise self._refused(named, "there is no such file")
        return found

    def _below(self, named: str) -> Path:
        """An absolute path below a root, or a relative one from the first root that has it."""
        if "\0" in named or ".." in Path(named).parts:
            raise self._refused(named, "it leads out of the roots")
        try:
            found = [path.resolve() for root in self._roots if (path := root / named).exists()]
        except OSError as error:  # a name that is too long, a folder that may not be read
            raise self._refused(named, str(error.strerror)) from error
        for path in found:
            if any(path.is_relative_to(root) for root in self._roots):
                return path
        raise self._refused(named, "it leads out of the roots" if found else "it is not below any root")

    def _version(self, version: str) -> Path:
        for file in self._manifests():
            if _id_of(file) == version:
                return file.parent
        raise self._refused(version, "no model directory below the roots has this version")

    def _manifests(self) -> Iterator[Path]:
        for root in self._roots:
            for depth in range(_DEPTH):
                yield from sorted(root.glob("/".join(["*"] * depth + [MANIFEST_FILE])))

    def _refused(self, named: str, why: str) -> PlaceRefusedError:
        return PlaceRefusedError(
            f"{named[:120]!r} cannot be used: {why}",
            where="the job's payload",
            expected="a model version's id, or a path below the forge's model roots",
            remedy="correct the payload, or add a root to EDGEWISE_FORGE_ROOTS",
        )


def _id_of(file: Path) -> str:
    """A manifest's id; empty for one that is damaged or may not be read, which no version is found by."""
    try:
        return parse_manifest(file.read_bytes(), str(file)).id
    except (ManifestError, OSError):
        return ""

"""Which version is in use, and which were before: a stack, whose top the link `current` shows. Both survive any crash.

The stack is written first, as it was and as it will be; the link then moves in one step and says which of them holds.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from edgewise.models.disk import Disk
from edgewise.models.layout import SHA256, VERSIONS, Layout, opened

DEEP: Final = 8
"""Versions remembered."""
_USES_MAX_BYTES: Final = 1 << 16


class _Uses(msgspec.Struct, frozen=True):
    """Version ids, newest first: once the link has moved, and before."""

    now: tuple[str, ...] = ()
    before: tuple[str, ...] = ()


class Pointer:
    """The stack of uses of one store. Callers hold the store's lock while they move it."""

    def __init__(self, layout: Layout, disk: Disk) -> None:
        self._layout = layout
        self._disk = disk

    @property
    def current(self) -> str | None:
        """The version in use, None where there is none."""
        try:
            folder, _, version = str(self._layout.current.readlink()).rpartition("/")
        except OSError:
            return None
        return version if folder == VERSIONS and SHA256.fullmatch(version) else None

    def stack(self) -> list[str]:
        """The version in use and those before it, newest first; what was removed since is left out."""
        current, uses = self.current, self._read()
        if current is None:
            return []
        known = next((stack for stack in (uses.now, uses.before) if stack[:1] == (current,)), (current,))
        installed = set(self._layout.installed())
        found = [current]
        for version in known[1:]:
            if version in installed and version != found[-1]:
                found.append(version)
        return found

    def use(self, version: str) -> None:
        """Put a version on top. Raises OSError."""
        stack = self.stack()
        if stack[:1] != [version]:
            self._move(tuple([version, *stack][:DEEP]), tuple(stack))

    def go_back(self) -> str | None:
        """Take the top away; the version that is in use then, or None, and nothing done, where there is none."""
        stack = self.stack()
        if len(stack) < 2:
            return None
        self._move(tuple(stack[1:]), tuple(stack))
        return stack[1]

    def _move(self, now: tuple[str, ...], before: tuple[str, ...]) -> None:
        written, link = self._layout.staging / "uses", self._layout.staging / "link"
        with self._disk.create(written) as file:
            self._disk.write(file, msgspec.json.encode(_Uses(now, before)))
            self._disk.flush(file)
        self._disk.rename(written, self._layout.uses)
        self._disk.flush_folder(self._layout.folder)  # the stack, before the link can say that it holds
        self._disk.point(link, f"{VERSIONS}/{now[0]}")
        self._disk.rename(link, self._layout.current)
        self._disk.flush_folder(self._layout.folder)

    def _read(self) -> _Uses:
        """The stack's file; an empty one where it is missing or damaged: then nothing is known of before."""
        try:
            return msgspec.json.decode(_bounded(self._layout.uses), type=_Uses)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
            return _Uses()


def _bounded(path: Path) -> bytes:
    with opened(path) as file:
        return file.read(_USES_MAX_BYTES)

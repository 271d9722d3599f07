"""Every way in which the store changes a disk, one method each: tests end a process, or fill a disk, before any.

What a method leaves behind is durable only after the flush of the file, and of the folder that names it.
"""

from __future__ import annotations

import errno
import os
from io import FileIO
from pathlib import Path
from typing import Final

READ_ONLY: Final = 0o444
_BLOCK_BYTES: Final = 1 << 20
_NO_LINKS: Final = frozenset({errno.EPERM, errno.EACCES, errno.EMLINK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})


class Disk:
    """The real one. All methods raise OSError."""

    def make_folder(self, path: Path) -> None:
        """A new folder; one that is there stays as it is."""
        path.mkdir(exist_ok=True)

    def create(self, path: Path) -> FileIO:
        """A new file; one of that name must not be there."""
        return FileIO(path, "xb")

    def write(self, file: FileIO, block: bytes) -> None:
        """Append all of `block`."""
        left = memoryview(block)
        while left:
            left = left[file.write(left) :]

    def flush(self, file: FileIO) -> None:
        """Make a file's content durable, and the file one that is only read from now on."""
        os.fchmod(file.fileno(), READ_ONLY)
        os.fsync(file.fileno())

    def link(self, source: Path, target: Path) -> bool:
        """A second name for a file; False where the file system has none to give."""
        try:
            target.hardlink_to(source)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            return False
        return True

    def fill(self, source: FileIO, file: FileIO) -> None:
        """Append the whole of an open file; file systems that can share its blocks do."""
        size = left = os.fstat(source.fileno()).st_size
        try:
            while left and (done := os.copy_file_range(source.fileno(), file.fileno(), left)):
                left -= done
        except OSError as error:
            if error.errno not in {*_NO_LINKS, errno.EXDEV, errno.EINVAL}:
                raise
        while block := source.read(_BLOCK_BYTES):  # what is left of it: most often nothing
            self.write(file, block)
        if os.fstat(file.fileno()).st_size != size:
            raise OSError(errno.EIO, "a copy has another size", file.name)

    def rename(self, source: Path, target: Path) -> None:
        """In one step, over what is there."""
        source.rename(target)

    def point(self, path: Path, to: str) -> None:
        """A symbolic link at `path` with the text `to`."""
        path.symlink_to(to)

    def unlink(self, path: Path) -> None:
        path.unlink()

    def remove_folder(self, path: Path) -> None:
        """An empty folder."""
        path.rmdir()

    def flush_folder(self, path: Path) -> None:
        """Make the names in a folder durable."""
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

"""The folder in which a process keeps what it compiled: its own, gone with it, and swept when it was killed."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from functools import cache
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Final, TextIO

PREFIX: Final = "edgewise-compiled-"
LOCK: Final = "lock"


@cache
def own_folder() -> TextIO:
    """Have this process compile in a folder of its own, removed at its end: a shared one holds half-made files.

    Returns the file whose lock says that the folder is in use; folders of killed processes are removed on the way.
    """
    parent = Path(tempfile.gettempdir())
    for left in abandoned(parent):
        shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    held = _locked(folder)
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder)
    Finalize(None, shutil.rmtree, (folder, True), exitpriority=0)
    return held


def _locked(folder: Path) -> TextIO:
    """A locked file, which gets its name only when it is locked: no sweeper ever finds it free."""
    unnamed = folder / f"{LOCK}.part"
    held = unnamed.open("w", encoding="utf-8")
    fcntl.flock(held, fcntl.LOCK_EX)
    unnamed.replace(folder / LOCK)
    return held


def abandoned(parent: Path) -> Iterator[Path]:
    """Folders whose process is gone: their lock is free. A folder without a lock file is left alone."""
    for lock in sorted(parent.glob(f"{PREFIX}*/{LOCK}")):
        try:
            with lock.open(encoding="utf-8") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # in use, another user's, or just gone
            continue
        yield lock.parent

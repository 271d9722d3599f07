"""`python -m tests.edgewise.models.small_disk SOURCES DISK`: an update too large for DISK, then one that fits."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from edgewise.models import ModelStore
from edgewise.wire.errors import EdgewiseError
from tests.edgewise.models.directories import faults_of, write_directory


def main(sources: Path, disk: Path) -> dict[str, object]:
    old = write_directory(sources / "old", (b"o" * 60_000,))
    large = write_directory(sources / "large", tuple(bytes([each]) * 60_000 for each in range(5)))
    new = write_directory(sources / "new", (b"n" * 60_000,))
    named = {old.id: "old", large.id: "large", new.id: "new"}
    store = ModelStore(disk / "models", free=lambda folder: 1 << 40)  # nobody looks before; the disk itself refuses
    store.use(store.install(sources / "old").version)
    told = ""
    try:
        store.install(sources / "large")
    except EdgewiseError as error:
        told = type(error).__name__
    found = {"told": told, "faults": faults_of(disk / "models", settled=False), "current": named[store.current or ""]}
    return {**found, "then": named[store.use(store.install(sources / "new").version)]}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), Path(sys.argv[2]))))

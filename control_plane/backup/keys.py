"""keys.json on its way back: looked at before anything is restored, written when everything else is there."""

from __future__ import annotations

from pathlib import Path

import msgspec

from control_plane.accounts.first_keys import KEYS_FILE, FirstKeys, write_first_keys
from control_plane.backup.archive import Archive
from control_plane.backup.errors import TargetNotEmptyError, invalid
from control_plane.backup.manifest import KEYS


def read_keys(archive: Archive, data_dir: Path, *, force: bool = False) -> FirstKeys | None:
    """The archive's first keys, None when it has none. Raises BackupInvalidError; TargetNotEmptyError when other keys
    are in the data directory, unless `force`."""
    if not archive.holds(KEYS):
        return None
    path = data_dir / KEYS_FILE
    raw = archive.read(KEYS)
    if path.exists() and not force and path.read_bytes() != raw:
        raise TargetNotEmptyError(
            "There are other keys already",
            where=str(path),
            expected="a data directory without keys.json",
            remedy="restore into a fresh --data-dir, or say --force: these keys are lost then",
        )
    try:
        return msgspec.json.decode(raw, type=FirstKeys)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise invalid(archive.path, f"{KEYS} does not decode") from error


def put_keys(keys: FirstKeys | None, data_dir: Path) -> None:
    """Write keys.json (mode 0600) where there are keys. Raises DataDirError."""
    if keys is not None:
        write_first_keys(data_dir, keys)

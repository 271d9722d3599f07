"""The first start: one operator, one app and one node key in `<data_dir>/keys.json`, readable by its owner only.

The file is written before SQL knows the keys, so that a crash between the two loses nothing: the next start reads it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
from pathlib import Path
from typing import get_args

import msgspec

from control_plane.accounts.keys import Role, is_key, new_key
from control_plane.accounts.service import Accounts, KeyRequest
from edgewise.wire.errors import DataDirError

log = logging.getLogger(__name__)

KEYS_FILE = "keys.json"
ROTATE = "python -m control_plane.accounts.rotate --data-dir <data dir>"


class FirstKeys(msgspec.Struct, frozen=True):
    """The content of keys.json."""

    operator: str
    app: str
    node: str
    base_url: str = ""

    def __repr__(self) -> str:
        return f"FirstKeys(base_url={self.base_url!r})"


def new_first_keys(base_url: str) -> FirstKeys:
    """Three fresh keys."""
    return FirstKeys(new_key(), new_key(), new_key(), base_url)


def read_first_keys(data_dir: Path) -> FirstKeys | None:
    """The file's keys, or None when there is no file. Raises DataDirError when it cannot be used."""
    path = data_dir / KEYS_FILE
    try:
        keys = msgspec.json.decode(path.read_bytes(), type=FirstKeys)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _unusable(path, type(error).__name__) from error
    if not all(is_key(getattr(keys, role)) for role in get_args(Role)):
        raise _unusable(path, "it does not hold three keys")
    return keys


def write_first_keys(data_dir: Path, keys: FirstKeys) -> Path:
    """Write the file atomically with mode 0600 and sync it; returns its path. Raises DataDirError."""
    path = data_dir / KEYS_FILE
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=data_dir, prefix=".keys-")  # mkstemp creates with mode 0600
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.format(msgspec.json.encode(keys), indent=2) + b"\n")
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
            raise
    except OSError as error:
        raise DataDirError(
            f"The keys' file cannot be written: {error.strerror}",
            where=str(path),
            expected="a writable directory with free space",
            remedy="choose another --data-dir, or correct its owner and mode",
        ) from error
    return path


async def ensure_first_keys(
    accounts: Accounts, data_dir: Path, base_url: str, *, keeps_address: bool = True
) -> Path | None:
    """Make the first keys when there are none yet, and keep the file's address current (`keeps_address`: among several
    gateways in one directory, one does). Hold `seat.first_start` meanwhile.

    Returns the file's path; None when there is none although keys exist: another gateway has it in its own directory,
    or it was lost (then `rotate` makes new ones).
    """
    keys = read_first_keys(data_dir)
    empty = await accounts.count() == 0
    if keys is None and not empty:
        log.warning("%s is not here although keys exist; if no gateway has it, `%s`", data_dir / KEYS_FILE, ROTATE)
        return None
    if keys is None or (keys.base_url != base_url and keeps_address):
        keys = msgspec.structs.replace(keys, base_url=base_url) if keys else new_first_keys(base_url)
        write_first_keys(data_dir, keys)
    if empty and not await accounts.register_first(_requests(keys)):
        log.warning("another gateway made the first keys at this moment; they are in its data directory")
        (data_dir / KEYS_FILE).unlink()
        await accounts.load()
        return None
    return data_dir / KEYS_FILE


async def rotate_first_keys(accounts: Accounts, data_dir: Path, base_url: str) -> Path:
    """Revoke the first keys and write new ones, for a file that was lost or seen by others."""
    keys = new_first_keys(base_url)
    path = write_first_keys(data_dir, keys)
    await accounts.revoke_first_keys()
    await accounts.register(_requests(keys))
    return path


def _requests(keys: FirstKeys) -> list[tuple[KeyRequest, str]]:
    return [(KeyRequest(name=f"first {role} key", roles=(role,)), getattr(keys, role)) for role in get_args(Role)]


def _unusable(path: Path, why: str) -> DataDirError:
    return DataDirError(
        f"The keys' file cannot be read ({why})",
        where=str(path),
        expected="the file as the first start wrote it, readable by this user",
        remedy=f"restore it, or delete it and run `{ROTATE}`",
    )

"""keys.json and the signing key on their way back: looked at before anything is restored, written when all is there."""

from __future__ import annotations

from pathlib import Path

import msgspec

from control_plane.accounts.first_keys import KEYS_FILE, FirstKeys, write_first_keys
from control_plane.backup.archive import Archive
from control_plane.backup.errors import TargetNotEmptyError, invalid
from control_plane.backup.manifest import KEYS, SIGNING_KEY
from control_plane.policy_bundles.signing_key import write_signing_key
from edgewise.signing import Ed25519Signer


def read_keys(archive: Archive, data_dir: Path, *, force: bool = False) -> FirstKeys | None:
    """The archive's first keys, None when it has none. Raises BackupInvalidError; TargetNotEmptyError when other keys
    are in the data directory, unless `force`."""
    if not archive.holds(KEYS):
        return None
    raw = archive.read(KEYS)
    _require_room(data_dir / KEYS_FILE, raw, force=force)
    try:
        return msgspec.json.decode(raw, type=FirstKeys)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise invalid(archive.path, f"{KEYS} does not decode") from error


def put_keys(keys: FirstKeys | None, data_dir: Path) -> None:
    """Write keys.json (mode 0600) where there are keys. Raises DataDirError."""
    if keys is not None:
        write_first_keys(data_dir, keys)


def read_signer(archive: Archive, path: Path, *, force: bool = False) -> Ed25519Signer | None:
    """The archive's signing key of policy bundles, None when it has none. Raises as `read_keys` does, for `path`."""
    if not archive.holds(SIGNING_KEY):
        return None
    raw = archive.read(SIGNING_KEY)
    _require_room(path, raw, force=force)
    try:
        return Ed25519Signer.read(raw.decode())
    except ValueError as error:
        raise invalid(archive.path, f"{SIGNING_KEY} does not decode") from error


def put_signer(signer: Ed25519Signer | None, path: Path) -> None:
    """Write the signing key (mode 0600) where there is one. Raises SigningKeyError."""
    if signer is not None:
        path.unlink(missing_ok=True)
        write_signing_key(path, signer)


def _require_room(path: Path, raw: bytes, *, force: bool) -> None:
    if path.exists() and not force and path.read_bytes() != raw:
        raise TargetNotEmptyError(
            "There are other keys already",
            where=str(path),
            expected=f"a data directory without {path.name}",
            remedy="restore into a fresh --data-dir, or say --force: these keys are lost then",
        )

"""The private key that signs bundles: a file of the operator's, made on the first start, and its public half in SQL.

All gateways of a fleet sign with one key. A gateway whose file holds another one would issue what devices refuse, so it
does not start.
"""

from __future__ import annotations

import asyncio
import logging
import os
import stat
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from control_plane.audit.service import SYSTEM, AuditTrail, utc_now
from control_plane.database import Database
from control_plane.policy_admin.service import POLICIES
from control_plane.policy_bundles.errors import SigningKeyError
from control_plane.policy_bundles.repository import BundleRepository
from control_plane.policy_bundles.tables import PolicyKeyRow
from edgewise.signing import Ed25519Signer

log = logging.getLogger(__name__)

SETTING: Final = "EDGEWISE_POLICY_SIGNING_KEY"
REPLACE: Final = "python -m control_plane.policy_bundles.replace_key"


async def open_signing_key(
    path: Path, database: Database, audit: AuditTrail, *, now: Callable[[], datetime] = utc_now
) -> Ed25519Signer:
    """The signer of this fleet. On the first start the file is made, unless it is there, and its key registered.

    Hold `seat.first_start` meanwhile. Raises SigningKeyError.
    """
    signer = read_signing_key(path)
    async with database.reading() as session:
        registered = await BundleRepository(session).key()
    if registered is not None:
        return _registered(signer, registered, path)
    made = signer is None
    signer = signer or _new_key(path)
    async with database.session(lock=POLICIES) as session:
        registered = await BundleRepository(session).key()
        if registered is None:
            await register(session, audit, signer, actor=SYSTEM, at=now())
            return signer
    if made and signer.key_id != registered.key_id:  # another gateway was first, and ours has signed nothing
        await asyncio.to_thread(path.unlink)
        signer = None
    return _registered(signer, registered, path)


async def register(
    session: AsyncSession, audit: AuditTrail, signer: Ed25519Signer, *, actor: str, at: datetime
) -> None:
    """From now on this key signs, in the caller's transaction, which holds the lock POLICIES."""
    before = await BundleRepository(session).key()
    row = PolicyKeyRow(key_id=signer.key_id, public_key=signer.public.text, actor=actor, at=at)
    await BundleRepository(session).add(row)
    audit.record(
        session,
        actor=actor,
        action="policy.key",
        target="policy-key",
        before=before.public_key if before else None,
        after=row.public_key,
    )


def require_registered(signer: Ed25519Signer, registered: PolicyKeyRow | None) -> None:
    """Raises SigningKeyError when the fleet signs with another key by now."""
    if registered is None or registered.key_id != signer.key_id:
        theirs = registered.key_id if registered else "none"
        raise SigningKeyError(
            f"This gateway signs with {signer.key_id}, and the fleet with {theirs}",
            where="the signing key of policy bundles",
            expected="one key for all gateways",
            remedy="give this gateway the present key file, and start it again",
        )


def read_signing_key(path: Path) -> Ed25519Signer | None:
    """The key in a file; None when there is no file. Raises SigningKeyError, which shows nothing of what is in it."""
    try:
        text = path.read_text(encoding="ascii")
        signer = Ed25519Signer.read(text)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it does not hold a key"
        raise SigningKeyError(
            f"The signing key of policy bundles cannot be read: {why}",
            where=str(path),
            expected="one line, ed25519-private: and base64, readable by this user",
            remedy=f"restore the file, or make a new key with `{REPLACE}`",
        ) from None
    if path.stat().st_mode & stat.S_IRWXO:
        log.warning("every user of this machine may read the signing key of policy bundles: chmod 600 %s", path)
    return signer


def write_signing_key(path: Path, signer: Ed25519Signer) -> None:
    """Write the key to a new file, mode 0600. Raises FileExistsError when there is one by now, and SigningKeyError."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(signer.private_text() + "\n")
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        raise
    except OSError as error:
        raise SigningKeyError(
            f"The signing key of policy bundles cannot be written: {error.strerror}",
            where=str(path),
            expected="a writable directory with free space",
            remedy=f"name another file with {SETTING}, or correct the directory's owner and mode",
        ) from error


def _new_key(path: Path) -> Ed25519Signer:
    """A fresh key in its file, or the one that another gateway has written there at this moment."""
    signer = Ed25519Signer.new()
    try:
        write_signing_key(path, signer)
    except FileExistsError:
        return read_signing_key(path) or signer
    return signer


def _registered(signer: Ed25519Signer | None, registered: PolicyKeyRow, path: Path) -> Ed25519Signer:
    """The signer, which holds the fleet's key."""
    if signer is not None and signer.key_id == registered.key_id:
        return signer
    raise SigningKeyError(
        "There is no signing key of policy bundles here"
        if signer is None
        else f"The signing key of policy bundles is {signer.key_id}, which is not the fleet's",
        where=str(path),
        expected=f"the key {registered.key_id}, which devices trust",
        remedy=f"copy the file from a gateway that has it, or name it with {SETTING}; if it is lost, "
        f"make a new key with `{REPLACE}` and tell the devices",
    )

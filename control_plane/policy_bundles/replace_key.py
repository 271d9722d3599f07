"""`python -m control_plane.policy_bundles.replace_key --data-dir DIR [--prepare]`: another key signs policy bundles.

With --prepare the next key is only made, so that devices can be told before it signs. Without, it takes its place: stop
all gateways first, since one that runs goes on offering what it has and issues nothing more. Old files are kept. What
fails half-way is taken up by a second run.
"""

from __future__ import annotations

import argparse
import asyncio
from itertools import count
from pathlib import Path

from control_plane.audit.service import SYSTEM, AuditTrail, utc_now
from control_plane.config import ControlConfig
from control_plane.database import Database
from control_plane.policy_admin.service import POLICIES
from control_plane.policy_bundles.errors import SigningKeyError
from control_plane.policy_bundles.repository import BundleRepository
from control_plane.policy_bundles.signing_key import read_signing_key, register, write_signing_key
from control_plane.seat import first_start, is_taken
from edgewise.signing import Ed25519Signer, PublicKey
from edgewise.wire.errors import ConflictError, EdgewiseError


def prepare_key(path: Path) -> PublicKey:
    """Make the next key beside the present file, unless there is one; returns its public half.

    Raises SigningKeyError.
    """
    following = _next(path)
    signer = read_signing_key(following)
    if signer is None:
        signer = Ed25519Signer.new()
        write_signing_key(following, signer)
    return signer.public


async def replace_key(config: ControlConfig) -> PublicKey:
    """Put the prepared key, or a fresh one, in the place of the present one and register it; returns its public half.

    Raises ConflictError while a gateway runs in the data directory, and SigningKeyError.
    """
    if is_taken(config.data_dir):
        raise ConflictError(
            "A gateway runs in this data directory, and signs with the key of its start",
            where=str(config.data_dir),
            expected="stopped gateways",
            remedy="stop all gateways, and run this again",
        )
    database = Database(config.sql_url)
    try:
        await database.migrate()
        async with first_start(config.data_dir), database.session(lock=POLICIES) as session:
            present = await BundleRepository(session).key()
            signer = await asyncio.to_thread(_swap, config.policy_key_file, present.key_id if present else "")
            await register(session, AuditTrail(database), signer, actor=SYSTEM, at=utc_now())
    finally:
        await database.close()
    return signer.public


def _swap(path: Path, present: str) -> Ed25519Signer:
    """The new key's file stands at `path`, the old one at `….old`. `present` is the id of the registered key: where an
    earlier run has put that aside and did not come to registering the next, there is nothing left to swap."""
    olds = sorted(path.parent.glob(f"{path.name}.old*"))
    if not (path.exists() and _key_id(path) not in ("", present) and present in map(_key_id, olds)):
        prepare_key(path)
        if path.exists():
            path.rename(_free(path))
        _next(path).rename(path)
    signer = read_signing_key(path)
    assert signer is not None
    return signer


def _key_id(path: Path) -> str:
    """Of the key in a file; empty where it holds none that can be read."""
    try:
        signer = read_signing_key(path)
    except SigningKeyError:
        return ""
    return signer.key_id if signer else ""


def _free(path: Path) -> Path:
    """`….old`, or `….old2` and so on where there are older ones: no private key is ever written over."""
    names = (path.with_name(f"{path.name}.old{'' if at == 1 else at}") for at in count(1))
    return next(name for name in names if not name.exists())


def _next(path: Path) -> Path:
    return path.with_name(path.name + ".next")


def main() -> None:
    """The command line. It prints the public key, never the private one."""
    parser = argparse.ArgumentParser(description="Replace the key that signs policy bundles.")
    parser.add_argument("--data-dir", type=Path, default=None, help="the control plane's data directory")
    parser.add_argument("--prepare", action="store_true", help="make the next key, and change nothing else")
    arguments = parser.parse_args()
    try:
        config = ControlConfig.load(data_dir=arguments.data_dir)
        path = config.policy_key_file
        public = prepare_key(path) if arguments.prepare else asyncio.run(replace_key(config))
    except EdgewiseError as error:
        parser.exit(1, f"{error}\n")
    prepared = "Give it to the devices beside the present one, stop the gateways, and run this without --prepare."
    replaced = f"The private key is in {path}: copy it to every gateway, and start them."
    print(f"{public.text}\n{prepared if arguments.prepare else replaced}")


if __name__ == "__main__":
    main()

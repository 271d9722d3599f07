"""`python -m control_plane.accounts.rotate --data-dir DIR`: new first keys, for a keys.json that was lost or seen.

It ends the old keys at once, so it refuses to while the control plane runs: its nodes would be locked out.
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

import httpx

from control_plane.accounts.first_keys import read_first_keys, rotate_first_keys
from control_plane.accounts.keyring import KeyRing
from control_plane.accounts.service import Accounts
from control_plane.audit.service import AuditTrail
from control_plane.config import ControlConfig
from control_plane.database import Database
from edgewise.wire.errors import ConflictError, EdgewiseError

PROBE_S = 2.0


class StillRunningError(ConflictError):
    """The first keys cannot be rotated under a running control plane."""


async def refuse_while_running(base_url: str) -> None:
    """Raises StillRunningError when a control plane answers at this address."""
    try:
        async with httpx.AsyncClient(timeout=PROBE_S, trust_env=False) as http:
            await http.get(f"{base_url}/healthz")
    except (httpx.HTTPError, httpx.InvalidURL):
        return
    raise StillRunningError(
        "A control plane is running with these keys: its worker and agent would be locked out",
        where=base_url,
        expected="a stopped control plane",
        remedy="stop it first; or rotate one key at a time with `edgewise keys rotate ID`, where old and new overlap",
    )


async def rotate(config: ControlConfig) -> Path:
    """Revoke the first keys and write new ones; returns the file's path."""
    old = read_first_keys(config.data_dir)
    await refuse_while_running(old.base_url if old else config.base_url)
    database = Database(config.sql_url)
    try:
        await database.migrate()
        accounts = Accounts(database, KeyRing(), AuditTrail(database))
        return await rotate_first_keys(accounts, config.data_dir, old.base_url if old else config.base_url)
    finally:
        await database.close()


def main() -> None:
    """The command line. It prints where the keys are, never the keys."""
    parser = argparse.ArgumentParser(description="Revoke the first keys and write new ones to keys.json.")
    parser.add_argument("--data-dir", type=Path, default=None, help="the control plane's data directory")
    arguments = parser.parse_args()
    try:
        path = asyncio.run(rotate(ControlConfig.load(data_dir=arguments.data_dir)))
    except EdgewiseError as error:
        parser.exit(1, f"{error}\n")
    print(f"New keys are in {path}; start the control plane again.")


if __name__ == "__main__":
    main()

"""An embedded server as a child of its own: launches Valkey, watches it, stops it when asked or left alone."""

from __future__ import annotations

import asyncio
from pathlib import Path

from edgewise.local.valkey import ServerKind, launch
from edgewise.signals import stop_signals, until_stopped
from edgewise.wire.errors import LogUnavailableError


async def run_embedded_server(data_dir: Path, kind: ServerKind) -> None:
    """Serve until SIGINT or SIGTERM; its address file in `data_dir` holds the address while it runs.

    Raises ConfigError (no server on this machine), DataDirError, LogUnavailableError (it died, or never answered).
    """
    server = launch(data_dir, kind)
    address = data_dir / kind.address_file
    try:
        with stop_signals() as stop:
            await asyncio.to_thread(server.wait_ready)
            address.write_text(server.url, encoding="utf-8")
            gone = asyncio.create_task(asyncio.to_thread(server.process.wait))
            await until_stopped(stop, gone)
        if not stop.is_set():
            raise LogUnavailableError(
                f"The {kind.name} server ended by itself (status {server.process.returncode})",
                where=str(server.folder / "valkey.log"),
                remedy="read its log; a full disk is the usual reason",
            )
    finally:
        address.unlink(missing_ok=True)
        await asyncio.to_thread(server.stop)


def read_address(data_dir: Path, kind: ServerKind) -> str:
    """The address of the running server; empty while there is none."""
    try:
        return (data_dir / kind.address_file).read_text(encoding="utf-8")
    except OSError:
        return ""

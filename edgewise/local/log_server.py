"""The embedded token log as a child of its own: launches Valkey, watches it, stops it when asked or left alone."""

from __future__ import annotations

import asyncio
from pathlib import Path

from edgewise.local.valkey import launch
from edgewise.signals import stop_signals, until_stopped
from edgewise.wire.errors import LogUnavailableError

ADDRESS_FILE = "log.url"


async def run_log_server(data_dir: Path) -> None:
    """Serve until SIGINT or SIGTERM; `<data_dir>/log.url` holds the address while it runs.

    Raises ConfigError (no server on this machine), DataDirError, LogUnavailableError (it died, or never answered).
    """
    server = launch(data_dir)
    address = data_dir / ADDRESS_FILE
    try:
        with stop_signals() as stop:
            await asyncio.to_thread(server.wait_ready)
            address.write_text(server.url, encoding="utf-8")
            gone = asyncio.create_task(asyncio.to_thread(server.process.wait))
            await until_stopped(stop, gone)
        if not stop.is_set():
            raise LogUnavailableError(
                f"The token log server ended by itself (status {server.process.returncode})",
                where=str(server.folder / "valkey.log"),
                remedy="read its log; a full disk is the usual reason",
            )
    finally:
        address.unlink(missing_ok=True)
        await asyncio.to_thread(server.stop)


def read_address(data_dir: Path) -> str:
    """The address of the running server; empty while there is none."""
    try:
        return (data_dir / ADDRESS_FILE).read_text(encoding="utf-8")
    except OSError:
        return ""

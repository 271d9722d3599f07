"""The pipe to the log server: what it cannot take fails, and a message that nobody waits for fails in silence."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from control_plane.gateways.pipe import CommandPipe
from control_plane.streams.connection import dedicated_connection
from control_plane.streams.valkey_log import connect
from edgewise.wire.errors import LogUnavailableError


async def test_a_message_that_finds_no_room_is_lost_without_a_word() -> None:
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: complaints.append(context))
    pipe = CommandPipe(dedicated_connection(connect("unix:///nowhere")), where="nowhere", waiting_max_bytes=1)
    pipe.ask("PUBLISH", "channel", b"too much")
    gc.collect()
    await asyncio.sleep(0)
    assert complaints == []
    with pytest.raises(LogUnavailableError):
        await pipe.run("PUBLISH", "channel", b"too much")

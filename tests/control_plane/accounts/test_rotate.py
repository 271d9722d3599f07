"""Rotating the first keys: never under a running control plane."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from control_plane.accounts.first_keys import read_first_keys
from control_plane.accounts.rotate import StillRunningError, rotate
from control_plane.config import ControlConfig


async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}")
    await writer.drain()
    writer.close()


async def test_the_first_keys_are_rotated_only_while_the_control_plane_is_stopped(tmp_path: Path) -> None:
    server = await asyncio.start_server(answers, "127.0.0.1", 0)
    config = ControlConfig(data_dir=tmp_path, port=server.sockets[0].getsockname()[1])
    async with server:
        with pytest.raises(StillRunningError) as caught:
            await rotate(config)
        assert "edgewise keys rotate" in caught.value.remedy
        assert read_first_keys(tmp_path) is None
    await rotate(config)
    first = read_first_keys(tmp_path)
    await rotate(config)
    second = read_first_keys(tmp_path)
    assert first is not None and second is not None
    assert not {first.operator, first.app, first.node} & {second.operator, second.app, second.node}

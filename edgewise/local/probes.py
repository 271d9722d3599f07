"""Is a child ready? One question to a server on this machine per call; the answer is yes or no, never an exception."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import unquote, urlsplit

_TIMEOUT_S = 2.0


async def http_ok(base_url: str, path: str, key: str = "") -> bool:
    """Whether GET answers 200."""
    address = urlsplit(base_url)
    request = f"GET {path} HTTP/1.1\r\nHost: {address.netloc}\r\nConnection: close\r\n"
    request += f"Authorization: Bearer {key}\r\n\r\n" if key else "\r\n"
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(address.hostname, address.port)
            return b" 200 " in await _first_line(reader, writer, request.encode())
    except (OSError, TimeoutError, ValueError):
        return False


async def valkey_answers(socket_path: Path) -> bool:
    """Whether the server on this Unix socket has loaded its data and answers."""
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            reader, writer = await asyncio.open_unix_connection(str(socket_path))
            return (await _first_line(reader, writer, b"PING\r\n")).startswith(b"+PONG")
    except (OSError, TimeoutError, ValueError):
        return False


async def _first_line(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> bytes:
    try:
        writer.write(request)
        await writer.drain()
        return await reader.readline()
    finally:
        writer.close()


def socket_of(url: str) -> Path:
    """The path in a `unix://…` address."""
    return Path(unquote(urlsplit(url).path))

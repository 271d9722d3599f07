"""The hot paths: exact ones go to their endpoint, everything else to the rest, and a fault of ours has a shape."""

from __future__ import annotations

import json
from typing import Any

import pytest

from edgewise.api.asgi import Receive, Scope, Send, send_body
from edgewise.api.dispatch import HotPaths


class Named:
    """An app that says its name, or breaks before or in the middle of its response."""

    def __init__(self, name: str, breaks: str = "") -> None:
        self.name, self.breaks = name, breaks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.breaks == "before":
            raise ZeroDivisionError("my secret prompt")
        await send_body(send, 200, self.name.encode())
        if self.breaks == "amid":
            raise ZeroDivisionError


async def ask(app: HotPaths, **scope: str) -> list[Any]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("nobody reads here")

    await app({"type": "http", "method": "POST", "path": "/hot", "headers": [], **scope}, receive, send)
    return sent


@pytest.mark.parametrize(
    ("scope", "name"),
    [
        ({}, b"hot"),
        ({"method": "GET"}, b"rest"),
        ({"path": "/hot/"}, b"rest"),
        ({"type": "websocket"}, b"rest"),
        ({"method": "GET", "path": "/v1/streams/01ab"}, b"stream"),
        ({"method": "DELETE", "path": "/v1/streams/01ab"}, b"rest"),
        ({"method": "GET", "path": "/v1/streams/"}, b"rest"),
        ({"method": "GET", "path": "/v1/streams/a/b"}, b"rest"),
        ({"type": "websocket", "path": "/v1/streams/01ab"}, b"rest"),
    ],
)
async def test_only_these_methods_and_paths_are_hot(scope: dict[str, str], name: bytes) -> None:
    app = HotPaths({("POST", "/hot"): Named("hot")}, {"GET": Named("stream")}, Named("rest"))
    assert (await ask(app, **scope))[-1]["body"] == name


async def test_a_fault_before_the_response_is_an_error_without_its_words() -> None:
    start, body = await ask(HotPaths({("POST", "/hot"): Named("hot", "before")}, {}, Named("rest")))
    assert start["status"] == 500
    assert "internal error" in json.loads(body["body"])["error"]["message"] and b"secret" not in body["body"]


async def test_a_fault_amid_the_response_is_left_to_the_server() -> None:
    with pytest.raises(ZeroDivisionError):
        await ask(HotPaths({("POST", "/hot"): Named("hot", "amid")}, {}, Named("rest")))

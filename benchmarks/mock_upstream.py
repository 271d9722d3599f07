"""An OpenAI-compatible upstream that answers at once, so that what a gateway adds is all that is measured.

Plain ASGI, run by uvicorn in a process of its own: `uvicorn benchmarks.mock_upstream:app`.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

MODEL = "mock"
WORD = "hello "
STREAM_TOKENS = int(os.environ.get("MOCK_STREAM_TOKENS", "64"))
PACE_S = float(os.environ.get("MOCK_PACE_S", "0"))
WHOLE_TOKENS = 16
PROMPT_TOKENS = 8

_JSON = [(b"content-type", b"application/json")]
_EVENTS = [(b"content-type", b"text/event-stream")]


def _object(kind: str, **fields: Any) -> dict[str, Any]:
    return {"id": "chatcmpl-1", "object": kind, "created": 1, "model": MODEL, **fields}


def _chunk(delta: dict[str, str], finish: str | None = None) -> bytes:
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
    return b"data: " + json.dumps(_object("chat.completion.chunk", choices=choices)).encode() + b"\n\n"


_FIRST, _TOKEN, _LAST = _chunk({"role": "assistant", "content": ""}), _chunk({"content": WORD}), _chunk({}, "stop")
_DONE = b"data: [DONE]\n\n"
_WHOLE = json.dumps(
    _object(
        "chat.completion",
        choices=[
            {
                "index": 0,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": WORD * WHOLE_TOKENS},
            }
        ],
        usage={
            "prompt_tokens": PROMPT_TOKENS,
            "completion_tokens": WHOLE_TOKENS,
            "total_tokens": PROMPT_TOKENS + WHOLE_TOKENS,
        },
    )
).encode()
_MODELS = json.dumps({"object": "list", "data": [{"id": MODEL, "object": "model", "created": 1}]}).encode()


async def app(scope: Message, receive: Receive, send: Send) -> None:
    """POST anywhere is a chat completion; GET anywhere is the list of models."""
    if scope["type"] == "lifespan":
        await _live(receive, send)
        return
    body = await _read(receive)
    if scope["method"] == "GET":
        await _send(send, _MODELS)
    elif b'"stream":true' in body or b'"stream": true' in body:
        await _stream(send)
    else:
        await _send(send, _WHOLE)


async def _live(receive: Receive, send: Send) -> None:
    kind = ""
    while kind != "lifespan.shutdown":
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})


async def _read(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def _send(send: Send, body: bytes) -> None:
    headers = [*_JSON, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _stream(send: Send) -> None:
    """One write per token, as a real engine does, PACE_S apart; the first PACE_S after the headers."""
    await send({"type": "http.response.start", "status": 200, "headers": _EVENTS})
    for block in (_FIRST, *[_TOKEN] * STREAM_TOKENS, _LAST):
        if PACE_S:
            await asyncio.sleep(PACE_S)
        await send({"type": "http.response.body", "body": block, "more_body": True})
    await send({"type": "http.response.body", "body": _DONE, "more_body": False})

"""A small HTTP server in this process that answers as it was told to, and remembers what it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SID = "01m7z1mar423sbez6v7vr1xa9q"


@dataclass
class Reply:
    """One answer; `broken` cuts the connection where a chunk should follow."""

    body: bytes = b""
    status: int = 200
    kind: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    broken: bool = False


@dataclass
class Asked:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class FakeApi:
    """`reply(method, path, …)` queues answers; the last one of a path is given again and again."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.url = ""
        self._replies: dict[tuple[str, str], list[Reply]] = {}

    def reply(self, method: str, path: str, *replies: Reply) -> None:
        self._replies.setdefault((method, path), []).extend(replies)

    def json(self, method: str, path: str, found: Any, status: int = 200) -> None:
        self.reply(method, path, Reply(json.dumps(found).encode(), status))

    def take(self, asked: Asked) -> Reply:
        self.asked.append(asked)
        waiting = self._replies.get((asked.method, asked.path.partition("?")[0]))
        if not waiting:
            return Reply(b"no such path", 404, "text/plain")
        return waiting.pop(0) if len(waiting) > 1 else waiting[0]


def _handler(api: FakeApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            reply = api.take(Asked(self.command, self.path, headers, body))
            self.send_response(reply.status)
            for name, value in ({"Content-Type": reply.kind} | reply.headers).items():
                self.send_header(name, value)
            if reply.broken:
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                self.wfile.write(f"{len(reply.body):x}\r\n".encode() + reply.body + b"\r\n")
                self.close_connection = True
            else:
                self.send_header("Content-Length", str(len(reply.body)))
                self.end_headers()
                self.wfile.write(reply.body)

        do_GET = do_POST = do_PUT = do_DELETE = answer

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler


@contextmanager
def serving() -> Iterator[FakeApi]:
    """A running fake."""
    api = FakeApi()
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(api)) as server:
        api.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield api
        finally:
            server.shutdown()
            thread.join()


def sse(*frames: tuple[int | None, Any]) -> bytes:
    """SSE bytes of (sequence number, data) pairs."""
    out = b""
    for seq, data in frames:
        text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
        out += (b"" if seq is None else f"id: {SID}/{seq}\n".encode()) + f"data: {text}\n\n".encode()
    return out


def text_chunk(text: str) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}


def tier_chunk(tier: str) -> dict[str, Any]:
    about = {"stream": SID, "tier": tier, "mode": "race", "rule": "default", "reason": "r", "policy": "seed"}
    return {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}], "edgewise": about}


def end_chunk(tier: str, tokens: int = 11) -> dict[str, Any]:
    times = {"first_token_ms": 50.0, "total_ms": 250.0, "tokens": tokens, "waste_tokens": 0}
    chunk = tier_chunk(tier)
    return {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "edgewise": chunk["edgewise"] | times}


def stream(*frames: tuple[int | None, Any], broken: bool = False) -> Reply:
    """An answer that streams these frames."""
    return Reply(sse(*frames), kind="text/event-stream", headers={"X-Edgewise-Stream-Id": SID}, broken=broken)

"""The messages of the stream socket (docs/protocol.md, "Client WebSocket"): JSON objects, told apart by `type`."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from edgewise.api.errors import SocketMessageError
from edgewise.streams.log import StreamStatus

VERSION = 1
SUBPROTOCOL = "edgewise.v1"
BEARER = "bearer."
"""A browser cannot set headers, so its key comes as a second subprotocol, `bearer.ek_…`."""
CREDIT_MAX = 1024
LABEL_MAX_CHARS = 64

Label = Annotated[str, msgspec.Meta(max_length=LABEL_MAX_CHARS)]
Credit = Annotated[int, msgspec.Meta(ge=1, le=CREDIT_MAX)]
After = Annotated[int, msgspec.Meta(ge=-1)] | Annotated[str, msgspec.Meta(max_length=2 * LABEL_MAX_CHARS)]


# From the client ------------------------------------------------------------------------------------------------------


class Subscribe(msgspec.Struct, tag="subscribe", tag_field="type"):
    """Read a stream from beyond `after`, a sequence number or a cursor; `credit` frames may be sent before more."""

    id: Label
    after: After = -1
    credit: Credit = 1


class Grant(msgspec.Struct, tag="credit", tag_field="type"):
    """Let `n` more frames of a stream come."""

    id: Label
    n: Credit


class Unsubscribe(msgspec.Struct, tag="unsubscribe", tag_field="type"):
    """Send no more of a stream; the answer itself goes on."""

    id: Label


class Cancel(msgspec.Struct, tag="cancel", tag_field="type"):
    """Stop an answer."""

    id: Label


class Ask(msgspec.Struct, tag="ask", tag_field="type"):
    """Open an answer and subscribe to it; `request` is a chat completion request, `ref` the client's name for this."""

    ref: Label
    request: msgspec.Raw
    credit: Credit = 1
    idempotency_key: str = ""


class Ping(msgspec.Struct, tag="ping", tag_field="type"):
    """Answered by a pong with the same nonce."""

    nonce: Label = ""


FromClient = Subscribe | Grant | Unsubscribe | Cancel | Ask | Ping
_decoder: msgspec.json.Decoder[FromClient] = msgspec.json.Decoder(FromClient)


def decode_message(text: str) -> FromClient:
    """One message of a client. Raises SocketMessageError."""
    try:
        return _decoder.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise SocketMessageError(
            f"The message cannot be read: {error}",
            where="WebSocket message",
            expected="a JSON object of a type that docs/protocol.md lists",
        ) from error


# From the server ------------------------------------------------------------------------------------------------------


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one socket may have: streams at a time, outstanding credit of each, bytes of a message, faulty messages."""

    streams: int = 64
    credit: int = CREDIT_MAX
    message_bytes: int = 2 * 1024 * 1024
    faults: int = 16


class Hello(msgspec.Struct, tag="hello", tag_field="type"):
    """The first message of every socket."""

    limits: Limits
    version: int = VERSION


class Frame(msgspec.Struct, tag="frame", tag_field="type"):
    """One chunk of a stream, the same JSON as in its SSE. `seq` stands on the last frame of a record only, so that a
    cursor never splits one."""

    id: str
    data: msgspec.Raw
    seq: int | msgspec.UnsetType = msgspec.UNSET


class End(msgspec.Struct, tag="end", tag_field="type"):
    """All of a stream was sent."""

    id: str


class Asked(msgspec.Struct, tag="asked", tag_field="type"):
    """The answer to `ref` is stream `id`, subscribed to; `replayed` when its key was known."""

    ref: str
    id: str
    replayed: bool = False


class Unsubscribed(msgspec.Struct, tag="unsubscribed", tag_field="type"):
    """Nothing more of this stream comes."""

    id: str


class Cancelled(msgspec.Struct, tag="cancelled", tag_field="type"):
    """Nothing follows `last_seq`; `status` is `done` when the answer had ended before."""

    id: str
    status: StreamStatus
    last_seq: int


class Error(msgspec.Struct, tag="error", tag_field="type", omit_defaults=True):
    """What went wrong, as OpenAI's error object. With an `id`, nothing more comes of that stream on this socket; with a
    `ref`, nothing comes of that question. With neither, a message was refused and nothing else changed."""

    error: dict[str, Any]
    id: str = ""
    ref: str = ""


class Pong(msgspec.Struct, tag="pong", tag_field="type"):
    """The answer to a ping."""

    nonce: str


class Goodbye(msgspec.Struct, tag="goodbye", tag_field="type"):
    """The last message of a socket that the server closes in order; every subscription can be resumed elsewhere."""

    reconnect_after_ms: int


FromServer = Hello | Frame | End | Asked | Unsubscribed | Cancelled | Error | Pong | Goodbye


def encode_message(message: FromServer) -> str:
    """The JSON text of a message."""
    return msgspec.json.encode(message).decode()

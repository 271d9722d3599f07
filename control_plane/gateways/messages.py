"""Every message between gateways, its codec and its limits. docs/protocol.md is the reader's copy.

Whatever arrives on a channel is untrusted: it decodes within its limits or raises GatewayMessageError.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from control_plane.gateways.errors import GatewayMessageError
from edgewise.routing.tier import Finish, Usage
from edgewise.wire.errors import ErrorInfo
from edgewise.wire.frames import (
    AttemptTimings,
    Count,
    Heartbeat,
    Hello,
    Label,
    Name,
    NodeId,
    PolicyStatus,
    Seconds,
    TokenIds,
)
from edgewise.wire.limits import FRAME_MAX_BYTES

VERSION: Final = 1
MESSAGE_MAX_BYTES: Final = FRAME_MAX_BYTES
NODES_MAX: Final = 256
"""Nodes in one `beat`; more of them go into the next."""
ATTEMPTS_MAX: Final = 65_536

GatewayId = Annotated[str, Meta(min_length=1, max_length=64)]
Resumed = Literal["claimed", "made", "ended", "refused"]


class GatewayPresence(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A gateway that is alive. `started_at_s` is Unix time; `running` counts the answers that it makes now."""

    gateway_id: GatewayId
    name: Label = ""
    version: Label = ""
    started_at_s: float = 0.0
    running: Count = 0
    nodes: Count = 0
    draining: bool = False


class NodePresence(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A node and the gateway that it is connected to. `hello` never holds a key. Ages in seconds, as of sending."""

    gateway_id: GatewayId
    connection_epoch: Count
    hello: Hello
    key_id: Label = ""
    tenant: Label = ""
    connected_s: float = 0.0
    heartbeat: Heartbeat | None = None
    heartbeat_age_s: float = 0.0
    open_attempts: Count = 0
    policy: PolicyStatus | None = None


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="t"):
    """Base of all messages; `sender` is the gateway (or the asking process) that it comes from."""

    sender: GatewayId


# To everybody -----------------------------------------------------------------------------------------------------


class Beat(Message, frozen=True, kw_only=True, tag="beat"):
    """A sign of life. `seq` counts this sender's beats, so that a lost one is noticed; `nodes` are those that changed,
    `gone` those that left."""

    seq: Count
    gateway: GatewayPresence
    nodes: Annotated[tuple[NodePresence, ...], Meta(max_length=NODES_MAX)] = ()
    gone: Annotated[tuple[NodeId, ...], Meta(max_length=NODES_MAX)] = ()


class Left(Message, frozen=True, kw_only=True, tag="left"):
    """The sender stops."""


class Changed(Message, frozen=True, kw_only=True, tag="changed"):
    """Something that every gateway keeps in memory was changed in SQL; `version` counts the changes of the topic."""

    topic: Name
    version: Count


# Relay of an attempt ----------------------------------------------------------------------------------------------


class RelayAsk(Message, frozen=True, kw_only=True, tag="relay_ask"):
    """Run an attempt on your node, under the traceparent `trace`. `state` is a GenerationState as a map."""

    attempt: Name
    node_id: NodeId
    connection_epoch: Count
    state: msgspec.Raw
    trace: Label = ""


class RelayChunk(Message, frozen=True, kw_only=True, tag="relay_chunk"):
    """Message `seq` (0, 1, 2, …) of an attempt: some more of the answer; the one with `finish` is the last."""

    attempt: Name
    seq: Count
    n0: Count
    ids: TokenIds = ()
    text: str = ""
    finish: Finish | None = None
    usage: Usage | None = None
    timings: AttemptTimings | None = None


class RelayEnded(Message, frozen=True, kw_only=True, tag="relay_ended"):
    """The attempt ended badly, or nothing is known of it (then `seq` counts for nothing: `unknown`)."""

    attempt: Name
    error: ErrorInfo
    seq: Count = 0
    unknown: bool = False


class RelayCancel(Message, frozen=True, kw_only=True, tag="relay_cancel"):
    """Stop the attempt; nothing more is expected of it."""

    attempt: Name


class RelayBeat(Message, frozen=True, kw_only=True, tag="relay_beat"):
    """While attempts are open between two gateways: what the sender still waits for, and how many messages it has sent
    of each attempt that it serves."""

    asked: Annotated[tuple[Name, ...], Meta(max_length=ATTEMPTS_MAX)] = ()
    served: Annotated[dict[Name, Count], Meta(max_length=ATTEMPTS_MAX)] = {}


# Questions --------------------------------------------------------------------------------------------------------


class Order(Message, frozen=True, kw_only=True, tag="order"):
    """Do `verb` to a node of yours; the answer comes within `deadline_s`."""

    id: Name
    node_id: NodeId
    verb: Name
    body: dict[str, Any] = {}
    deadline_s: Seconds = 30.0


class ResumeAsk(Message, frozen=True, kw_only=True, tag="resume_ask"):
    """Claim this stream and go on with it."""

    id: Name
    sid: Label


class WarmAsk(Message, frozen=True, kw_only=True, tag="warm_ask"):
    """Warm the caches of your idle nodes."""

    id: Name


class Answer(Message, frozen=True, kw_only=True, tag="answer"):
    """What came of a question."""

    id: Name
    detail: dict[str, Any] = {}
    error: ErrorInfo | None = None


AnyMessage = (
    Beat
    | Left
    | Changed
    | RelayAsk
    | RelayChunk
    | RelayEnded
    | RelayCancel
    | RelayBeat
    | Order
    | ResumeAsk
    | WarmAsk
    | Answer
)

_MARKER: Final = bytes((VERSION,))
_encoder = msgspec.msgpack.Encoder()
_decoder: Final[msgspec.msgpack.Decoder[AnyMessage]] = msgspec.msgpack.Decoder(AnyMessage)
_node_decoder: Final = msgspec.msgpack.Decoder(NodePresence)
_gateway_decoder: Final = msgspec.msgpack.Decoder(GatewayPresence)
_FAULTS = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def encode_message(message: Message) -> bytes:
    """One message → bytes for a channel. Raises GatewayMessageError when it is too large."""
    data = _MARKER + _encoder.encode(message)
    _require_size(data)
    return data


def decode_message(data: bytes) -> AnyMessage:
    """Bytes from a channel → one message. Raises GatewayMessageError and nothing else."""
    message: AnyMessage = _decoded(_decoder, data)
    return message


def encode_presence(presence: GatewayPresence | NodePresence) -> bytes:
    """A presence as it is stored beside the token log."""
    return _MARKER + _encoder.encode(presence)


def decode_node(data: bytes) -> NodePresence:
    """A stored node. Raises GatewayMessageError."""
    node: NodePresence = _decoded(_node_decoder, data)
    return node


def decode_gateway(data: bytes) -> GatewayPresence:
    """A stored gateway. Raises GatewayMessageError."""
    gateway: GatewayPresence = _decoded(_gateway_decoder, data)
    return gateway


def _decoded(decoder: msgspec.msgpack.Decoder[Any], data: bytes) -> Any:
    _require_size(data)
    if data[:1] != _MARKER:
        raise GatewayMessageError(
            f"The message begins with {data[:1]!r}",
            expected=f"version {VERSION}",
            remedy="run the same release on all gateways of one token log",
        )
    try:
        return decoder.decode(memoryview(data)[1:])
    except _FAULTS as error:
        raise GatewayMessageError(f"The message does not decode: {error}", expected="docs/protocol.md") from error


def _require_size(data: bytes) -> None:
    if len(data) > MESSAGE_MAX_BYTES:
        raise GatewayMessageError(
            f"The message has {len(data)} bytes", expected=f"at most {MESSAGE_MAX_BYTES} bytes", remedy="send less"
        )

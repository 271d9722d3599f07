"""Frames to bytes and back. Bytes from a peer are hostile: every limit holds before memory is spent.

One marker byte, then the body: 0x00 plain MessagePack, 0x01 the same behind raw deflate (RFC 1951), 0x02 reserved for
zstd with a shared dictionary. WebSocket per-message deflate stays off: it costs 50 KiB for every idle socket.
"""

from __future__ import annotations

import zlib
from typing import Final

import msgspec

from edgewise.wire.errors import FrameMalformedError, FrameTooLargeError
from edgewise.wire.frames import Frame, GatewayFrame, NodeFrame
from edgewise.wire.limits import FRAME_MAX_BYTES, INFLATE_MAX_RATIO, INFLATED_MAX_BYTES

PLAIN: Final = 0x00
DEFLATED: Final = 0x01
COMPRESS_FROM_BYTES: Final = 16 * 1024
_RAW_DEFLATE: Final = -15
_BLOCK_BYTES: Final = 256 * 1024

_encoder = msgspec.msgpack.Encoder()
_node_decoder: Final[msgspec.msgpack.Decoder[NodeFrame]] = msgspec.msgpack.Decoder(NodeFrame)
_gateway_decoder: Final[msgspec.msgpack.Decoder[GatewayFrame]] = msgspec.msgpack.Decoder(GatewayFrame)


def decode_node_frame(data: bytes | str) -> NodeFrame:
    """One message from a node → one frame. Raises FrameTooLargeError, FrameMalformedError and nothing else."""
    body = _body(data)
    try:
        return _node_decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _malformed(f"The frame does not decode: {error}") from error


def decode_gateway_frame(data: bytes | str) -> GatewayFrame:
    """One message from a gateway → one frame. Raises like `decode_node_frame`."""
    body = _body(data)
    try:
        return _gateway_decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _malformed(f"The frame does not decode: {error}") from error


def encode_frame(frame: Frame) -> bytes:
    """One frame → one binary WebSocket message. Raises FrameTooLargeError when it would break the peer's limits."""
    plain = _encoder.encode(frame)
    if len(plain) < COMPRESS_FROM_BYTES:
        return bytes((PLAIN,)) + plain
    data = _deflated(plain) or bytes((PLAIN,)) + plain
    if len(data) > FRAME_MAX_BYTES:
        raise _too_large(f"The {type(frame).__name__} frame has {len(data)} bytes", f"at most {FRAME_MAX_BYTES} bytes")
    return data


def _deflated(plain: bytes) -> bytes | None:
    """The compressed message, or None where it gains nothing or the receiver would take it for a bomb."""
    packer = zlib.compressobj(level=1, wbits=_RAW_DEFLATE)
    data = bytes((DEFLATED,)) + packer.compress(plain) + packer.flush()
    bomb = len(plain) > INFLATED_MAX_BYTES or len(plain) > INFLATE_MAX_RATIO * (len(data) - 1)
    return None if bomb or len(data) >= len(plain) else data


def _body(data: bytes | str) -> bytes | memoryview:
    """What is behind the marker byte, inflated, within all limits."""
    if isinstance(data, str):
        raise _malformed("The message is text", expected="a binary message")
    if len(data) > FRAME_MAX_BYTES:
        raise _too_large(f"The frame has {len(data)} bytes", f"at most {FRAME_MAX_BYTES} bytes")
    marker, body = data[:1], memoryview(data)[1:]
    if marker == bytes((PLAIN,)):
        return body
    if marker == bytes((DEFLATED,)):
        return _inflated(bytes(body))
    raise _malformed(f"The frame begins with {marker!r}", expected="the byte 0x00 (plain) or 0x01 (deflate)")


def _inflated(data: bytes) -> bytes:
    """Inflate in blocks, so that a bomb dies after one block too many and not after gigabytes."""
    limit = min(INFLATED_MAX_BYTES, INFLATE_MAX_RATIO * len(data))
    unpacker = zlib.decompressobj(wbits=_RAW_DEFLATE)
    blocks: list[bytes] = []
    total = 0
    try:
        while not unpacker.eof:
            block = unpacker.decompress(data, min(_BLOCK_BYTES, limit - total + 1))
            data = unpacker.unconsumed_tail
            if not block and not data:
                break
            total += len(block)
            if total > limit:
                raise _too_large("The frame inflates too far", f"at most {limit} bytes from this frame")
            blocks.append(block)
    except zlib.error as error:
        raise _malformed(f"The frame does not inflate: {error}", expected="raw deflate") from error
    if not unpacker.eof or unpacker.unused_data:
        raise _malformed("The frame and its deflate stream do not end together", expected="one whole deflate stream")
    return b"".join(blocks)


def _malformed(message: str, expected: str = "a frame of docs/protocol.md") -> FrameMalformedError:
    return FrameMalformedError(message, expected=expected, remedy="the sender is faulty or speaks something else")


def _too_large(message: str, expected: str) -> FrameTooLargeError:
    return FrameTooLargeError(message, expected=expected, remedy="send less at once")

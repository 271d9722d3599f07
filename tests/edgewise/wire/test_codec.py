"""Bytes from a peer are hostile: nothing but the two numbered errors comes out, and no bomb goes off."""

from __future__ import annotations

import os
import struct
import zlib
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise.wire import frames
from edgewise.wire.codec import (
    COMPRESS_FROM_BYTES,
    DEFLATED,
    PLAIN,
    decode_gateway_frame,
    decode_node_frame,
    encode_frame,
)
from edgewise.wire.errors import ErrorInfo, FrameMalformedError, FrameTooLargeError
from edgewise.wire.limits import FRAME_MAX_BYTES, INFLATE_MAX_RATIO, INFLATED_MAX_BYTES

DECODERS = [decode_node_frame, decode_gateway_frame]
ERRORS = (FrameMalformedError, FrameTooLargeError)

names = st.text(min_size=1, max_size=20)
labels = st.text(max_size=40)
counts = st.integers(0, 2**53)
ids = st.lists(st.integers(0, 2**32 - 1), max_size=20).map(tuple)
floats = st.floats(allow_nan=False)
scalars = st.booleans() | st.integers(-(2**63), 2**64 - 1) | floats | labels
facts = st.dictionaries(names, scalars, max_size=5)
errors = st.builds(ErrorInfo, number=counts, code=names, message=labels, remedy=labels, retryable=st.booleans())
models = st.builds(frames.ModelOffer, name=names, version=labels, weights_digest=labels, context_tokens=counts)
records = st.builds(frames.TelemetryRecord, at_s=floats, kind=names, values=facts)
bodies = st.dictionaries(
    labels,
    st.recursive(scalars | st.none(), lambda inner: st.lists(inner) | st.dictionaries(labels, inner)),
    max_size=4,
)

node_frames = st.one_of(
    st.builds(
        frames.Hello,
        protocol_min=counts,
        protocol_max=counts,
        node_id=st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,20}\Z"),
        key=labels,
        kind=st.sampled_from(["edge", "cloud"]),
        models=st.lists(models, max_size=3).map(tuple),
        labels=st.dictionaries(names, labels, max_size=3),
        capabilities=st.lists(names, max_size=3).map(tuple),
        last_connection_epoch=counts,
    ),
    st.builds(frames.Heartbeat, seq=counts, sent_at=floats, device=facts, rtt_ms=st.none() | floats),
    st.builds(
        frames.Telemetry,
        stream=labels,
        first_seq=st.integers(1, 2**53),
        records=st.lists(records, min_size=1, max_size=5).map(tuple),
        dropped=counts,
    ),
    st.builds(frames.Tokens, attempt=names, n0=counts, ids=ids, text=st.text()),
    st.builds(frames.Finished, attempt=names, finish=st.sampled_from(["stop", "length"]), text=st.text()),
    st.builds(frames.Failed, attempt=names, error=errors),
    st.builds(frames.CommandAck, id=names, stage=st.sampled_from(["received", "done"]), detail=bodies),
    st.builds(
        frames.PolicyStatus,
        digest=labels,
        applied=st.booleans(),
        version=counts,
        policy_version=counts,
        refusal=labels,
        error=st.none() | errors,
    ),
    st.builds(
        frames.Goodbye, reason=names, reconnect_after_s=st.none() | st.floats(0, 86_400), error=st.none() | errors
    ),
)
gateway_frames = st.one_of(
    st.builds(
        frames.Welcome,
        protocol=counts,
        connection_epoch=counts,
        heartbeat_s=st.floats(0.1, 3600),
        lost_after_s=st.floats(0.1, 3600),
    ),
    st.builds(frames.Reject, error=errors),
    st.builds(frames.HeartbeatAck, seq=counts, echo=floats),
    st.builds(frames.TelemetryAck, stream=labels, seq=counts),
    st.builds(frames.Cancel, attempt=names),
    st.builds(frames.Command, id=names, idempotency_key=names, name=names, body=bodies),
    st.builds(frames.PolicyOffer, digest=labels, version=counts, bundle=st.binary(), policy_version=counts),
)


@given(node_frames)
def test_what_a_node_says_arrives_as_it_was(frame: frames.NodeFrame) -> None:
    assert decode_node_frame(encode_frame(frame)) == frame


@given(gateway_frames)
def test_what_a_gateway_says_arrives_as_it_was(frame: frames.GatewayFrame) -> None:
    assert decode_gateway_frame(encode_frame(frame)) == frame


@given(st.binary(max_size=300), st.sampled_from([b"", b"\x00", b"\x01"]))
def test_arbitrary_bytes_raise_the_two_errors_only(data: bytes, marker: bytes) -> None:
    for decode in DECODERS:
        with suppress(*ERRORS):
            decode(marker + data)


@given(node_frames, st.data())
def test_damaged_frames_raise_the_two_errors_only(frame: frames.NodeFrame, data: st.DataObject) -> None:
    good = bytearray(encode_frame(frame))
    at = data.draw(st.integers(0, len(good) - 1))
    good[at] = data.draw(st.integers(0, 255))
    with suppress(*ERRORS):
        decode_node_frame(bytes(good[: data.draw(st.integers(0, len(good)))]))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x81\xa1t\xa5nobody",
        b"\x80",
        b"\x82\xa1t\xa6tokens\xa3new" + b"\x91" * 100_000,
        b"\x83\xa1t\xa6tokens\xa7attempt\xa1a\xa3ids\xdd\xff\xff\xff\xff",
        b"\x82\xa1t\xa6tokens\xa7attempt\xa2\xff\xff",
        msgspec.msgpack.encode({"t": "heartbeat", "seq": -1, "sent_at": 0.0}),
        msgspec.msgpack.encode({"t": "cancel", "attempt": "x" * 65}),
        msgspec.msgpack.encode({"t": "tokens", "attempt": "a", "n0": 0, "ids": [2**32]}),
    ],
    ids=["empty", "unknown-kind", "no-kind", "deep", "huge-array", "utf8", "negative", "long-id", "big-token"],
)
def test_bad_bodies_are_malformed(body: bytes) -> None:
    for decode in DECODERS:
        with pytest.raises(FrameMalformedError):
            decode(bytes([PLAIN]) + body)


def test_text_and_foreign_markers_are_malformed() -> None:
    for message in ("hello", b"", b"\x02abc", b"\x80"):
        with pytest.raises(FrameMalformedError):
            decode_node_frame(message)


def test_a_frame_of_the_other_direction_is_malformed() -> None:
    with pytest.raises(FrameMalformedError):
        decode_node_frame(encode_frame(frames.Cancel(attempt="a")))


def test_fields_of_a_newer_peer_are_skipped() -> None:
    told = {"t": "cancel", "attempt": "a", "why": {"deep": [1, 2]}, "since": 7}
    assert decode_gateway_frame(b"\x00" + msgspec.msgpack.encode(told)) == frames.Cancel(attempt="a")


def offer(bundle: bytes) -> frames.PolicyOffer:
    return frames.PolicyOffer(digest="d", version=1, bundle=bundle)


def test_frames_over_the_limit_are_refused_unread_and_unsent() -> None:
    with pytest.raises(FrameTooLargeError):
        decode_node_frame(b"\x00" * (FRAME_MAX_BYTES + 1))
    with pytest.raises(FrameTooLargeError):
        encode_frame(offer(os.urandom(FRAME_MAX_BYTES)))


def test_large_frames_travel_deflated() -> None:
    words = " ".join(str(n) for n in range(20_000)).encode()
    frame = offer(words)
    data = encode_frame(frame)
    assert data[0] == DEFLATED and len(data) < len(words) / 2
    assert decode_gateway_frame(data) == frame


def test_what_would_look_like_a_bomb_travels_plain() -> None:
    frame = offer(b"a" * 1_000_000)
    data = encode_frame(frame)
    assert data[0] == PLAIN
    assert decode_gateway_frame(data) == frame


def test_small_frames_travel_plain() -> None:
    assert encode_frame(offer(b"a" * (COMPRESS_FROM_BYTES // 2)))[0] == PLAIN


@pytest.mark.parametrize("size", [2_000_000, 200_000_000])
def test_bombs_die_early(size: int) -> None:
    packer = zlib.compressobj(9, wbits=-15)
    block = bytes(1_000_000)
    data = b"".join(packer.compress(block) for _ in range(size // len(block))) + packer.flush()
    assert len(data) < FRAME_MAX_BYTES
    with pytest.raises(FrameTooLargeError):
        decode_node_frame(bytes([DEFLATED]) + data)


def _deflated(body: bytes) -> bytes:
    packer = zlib.compressobj(9, wbits=-15)
    return packer.compress(body) + packer.flush()


def test_a_slow_bomb_stays_under_the_ratio_but_not_under_the_size() -> None:
    body = b"".join(os.urandom(1024) + bytes(8 * 1024) for _ in range(INFLATED_MAX_BYTES // (9 * 1024) + 2))
    data = _deflated(body)
    assert len(data) <= FRAME_MAX_BYTES and len(body) < INFLATE_MAX_RATIO * len(data)
    with pytest.raises(FrameTooLargeError):
        decode_node_frame(bytes([DEFLATED]) + data)


@pytest.mark.parametrize("damage", ["cut", "tail", "noise"])
def test_damaged_deflate_is_malformed(damage: str) -> None:
    good = _deflated(msgspec.msgpack.encode({"t": "cancel", "attempt": "a"}))
    data: dict[str, Any] = {"cut": good[:-2], "tail": good + b"more", "noise": struct.pack("<Q", 2**63) * 4}
    with pytest.raises(FrameMalformedError):
        decode_gateway_frame(bytes([DEFLATED]) + data[damage])
    assert decode_gateway_frame(bytes([DEFLATED]) + good) == frames.Cancel(attempt="a")

"""Bytes on a gateway's channel: whatever they are, a message or the one typed error."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.gateways import messages as m
from control_plane.gateways.errors import GatewayMessageError
from edgewise.wire.errors import ErrorInfo
from edgewise.wire.frames import Heartbeat, Hello, LoadReport

names = st.text(min_size=1, max_size=20)
node_ids = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,20}\Z")
counts = st.integers(0, 2**53)
floats = st.floats(allow_nan=False, allow_infinity=False)
hellos = st.builds(
    Hello, protocol_min=counts, protocol_max=counts, node_id=node_ids, key=st.just(""), kind=st.sampled_from(["edge"])
)
beats = st.builds(Heartbeat, seq=counts, sent_at=floats, load=st.builds(LoadReport, running=counts))
gateways = st.builds(m.GatewayPresence, gateway_id=names, name=names, running=counts, draining=st.booleans())
nodes = st.builds(m.NodePresence, gateway_id=names, connection_epoch=counts, hello=hellos, heartbeat=st.none() | beats)
errors = st.builds(ErrorInfo, number=counts, code=names, message=names)
MESSAGES: dict[str, st.SearchStrategy[Any]] = {
    "beat": st.builds(
        m.Beat, sender=names, seq=counts, gateway=gateways, nodes=st.lists(nodes, max_size=3).map(tuple),
        gone=st.lists(node_ids, max_size=3).map(tuple),
    ),
    "left": st.builds(m.Left, sender=names),
    "changed": st.builds(m.Changed, sender=names, topic=names, version=counts),
    "relay_chunk": st.builds(
        m.RelayChunk, sender=names, attempt=names, seq=counts, n0=counts, text=st.text(max_size=50),
        ids=st.lists(st.integers(0, 2**32 - 1), max_size=9).map(tuple),
    ),
    "relay_ended": st.builds(m.RelayEnded, sender=names, attempt=names, error=errors, seq=counts),
    "relay_cancel": st.builds(m.RelayCancel, sender=names, attempt=names),
    "relay_beat": st.builds(m.RelayBeat, sender=names, served=st.dictionaries(names, counts, max_size=4)),
    "order": st.builds(m.Order, sender=names, id=names, node_id=node_ids, verb=names),
    "resume_ask": st.builds(m.ResumeAsk, sender=names, id=names, sid=names),
    "warm_ask": st.builds(m.WarmAsk, sender=names, id=names),
    "answer": st.builds(m.Answer, sender=names, id=names, error=st.none() | errors),
}  # fmt: skip
any_message = st.one_of(*MESSAGES.values())
json_like = st.recursive(st.none() | st.booleans() | counts | st.text(), lambda inner: st.dictionaries(names, inner))


@given(any_message)
def test_every_message_survives_the_channel(message: m.AnyMessage) -> None:
    assert m.decode_message(m.encode_message(message)) == message


@given(st.binary())
def test_no_bytes_do_more_than_the_typed_error(data: bytes) -> None:
    for decode in (m.decode_message, m.decode_node, m.decode_gateway):
        for candidate in (data, b"\x01" + data):
            try:
                decode(candidate)
            except GatewayMessageError:
                continue


@given(any_message, st.data())
def test_no_damage_does_more_than_the_typed_error(message: m.AnyMessage, data: st.DataObject) -> None:
    damaged = bytearray(m.encode_message(message))
    place = data.draw(st.integers(0, len(damaged) - 1))
    damaged[place] = data.draw(st.integers(0, 255))
    with suppress(GatewayMessageError):
        m.decode_message(bytes(damaged[: data.draw(st.integers(place, len(damaged)))]))


@given(st.sampled_from(sorted(MESSAGES)), st.dictionaries(names, json_like, max_size=5))
def test_no_map_of_a_known_kind_does_more(kind: str, fields: dict[str, Any]) -> None:
    with suppress(GatewayMessageError):
        m.decode_message(b"\x01" + msgspec.msgpack.encode({"t": kind, "sender": "a"} | fields))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "begins with"),
        (b"\x02\x80", "begins with"),
        (b"\x01\xc1", "does not decode"),
        (b"\x01" + b"\x91" * 100_000, "does not decode"),
        (b"\x01" + b"x" * m.MESSAGE_MAX_BYTES, "bytes"),
    ],
)
def test_what_is_wrong_is_said(data: bytes, reason: str) -> None:
    with pytest.raises(GatewayMessageError, match=reason):
        m.decode_message(data)


def test_the_protocol_page_names_every_kind() -> None:
    page = (Path(__file__).parents[3] / "docs" / "protocol.md").read_text(encoding="utf-8")
    section = page.partition("## Messages between gateways")[2]
    kinds = {kind.__struct_config__.tag for kind in get_args(m.AnyMessage)}
    assert {f"`{kind}`" for kind in kinds if f"`{kind}`" not in section} == set()
    assert kinds - {"relay_ask"} == set(MESSAGES)


def test_limits_hold_before_memory_is_spent() -> None:
    beat = {"t": "relay_beat", "sender": "a", "asked": ["a"] * (m.ATTEMPTS_MAX + 1)}
    with pytest.raises(GatewayMessageError):
        m.decode_message(b"\x01" + msgspec.msgpack.encode(beat))

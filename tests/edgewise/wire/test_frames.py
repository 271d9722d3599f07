"""The vocabulary itself: no key in any repr, stable kinds, and docs/protocol.md that names every frame and field."""

from __future__ import annotations

import typing
from pathlib import Path

import msgspec
import pytest

from edgewise.wire import frames
from edgewise.wire.frames import GatewayFrame, Hello, NodeFrame

PROTOCOL = Path(__file__).parents[3] / "docs" / "protocol.md"
ALL = sorted({*typing.get_args(NodeFrame), *typing.get_args(GatewayFrame)}, key=lambda kind: kind.__name__)
NESTED = [frames.ModelOffer, frames.LoadReport, frames.TelemetryRecord, frames.UsageReport]
HELLO = Hello(protocol_min=1, protocol_max=1, node_id="phone", key="ek_secret", kind="edge")


def test_the_key_is_in_no_representation() -> None:
    assert "ek_secret" not in f"{HELLO!r} {HELLO} {list(HELLO.__rich_repr__())} {(HELLO,)}"


def test_kinds_are_literal_words_and_all_different() -> None:
    tags = [kind.__struct_config__.tag for kind in ALL]
    assert len(set(tags)) == len(tags)
    assert tags == [msgspec.inspect.type_info(kind).tag for kind in ALL]  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_the_protocol_page_names_every_frame_and_field(kind: type[msgspec.Struct]) -> None:
    text = PROTOCOL.read_text("utf-8")
    section = text.split(f"#### `{kind.__struct_config__.tag}`", 1)
    assert len(section) == 2, f"docs/protocol.md has no section for {kind.__struct_config__.tag}"
    body = section[1].split("####", 1)[0]
    for field in kind.__struct_fields__:
        assert f"`{field}`" in body, f"docs/protocol.md does not name {kind.__name__}.{field}"


@pytest.mark.parametrize("part", NESTED, ids=lambda part: part.__name__)
def test_the_protocol_page_names_every_part(part: type[msgspec.Struct]) -> None:
    text = PROTOCOL.read_text("utf-8")
    assert f"**{part.__name__}**" in text
    for field in part.__struct_fields__:
        assert f"`{field}`" in text.split(f"**{part.__name__}**", 1)[1].split("**", 1)[0]


@pytest.mark.parametrize("node_id", ["", "../etc", "a b", "a\n", "x" * 65, "-lead", "手机"])
def test_node_ids_are_plain_words(node_id: str) -> None:
    told = msgspec.structs.asdict(HELLO) | {"node_id": node_id}
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(told | {"t": "hello"}, Hello)

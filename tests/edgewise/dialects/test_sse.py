"""SSE framing and parsing agree, whatever the network cuts."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise.dialects.sse import DONE, EVENT_MAX_BYTES, PING, Event, SseParser, frame
from edgewise.wire.errors import FrameTooLargeError

LINES = st.text(st.characters(blacklist_characters="\r\n", blacklist_categories=["Cs"]), min_size=1)


@given(st.lists(LINES), st.lists(st.integers(0, 200)))
def test_what_we_frame_is_parsed_back_whatever_the_cuts(lines: list[str], cuts: list[int]) -> None:
    stream = b"".join(frame(line.encode(), f"s/{index}") for index, line in enumerate(lines))
    parser = SseParser()
    edges = sorted({0, len(stream), *(min(cut, len(stream)) for cut in cuts)})
    events = [event for a, b in pairwise(edges) for event in parser.feed(stream[a:b])]
    assert events == [Event(line, f"s/{index}") for index, line in enumerate(lines)]


def test_a_ping_is_no_event_and_no_blank_line() -> None:
    assert b"\n\n" not in PING
    assert list(SseParser().feed(PING + DONE)) == [Event("[DONE]")]


def test_an_event_cut_off_is_not_dispatched() -> None:
    assert list(SseParser().feed(b'data: {"half": 1}\n')) == []


@given(st.binary())
def test_no_bytes_break_the_parser(block: bytes) -> None:
    for event in SseParser().feed(block):
        assert isinstance(event.data, str)


@given(st.binary() | st.text("data: id\r\n你x").map(str.encode), st.lists(st.integers(0, 200)))
def test_a_block_at_once_is_read_as_byte_by_byte(stream: bytes, cuts: list[int]) -> None:
    one_by_one = SseParser()
    expected = [event for byte in stream for event in one_by_one.feed(bytes([byte]))]
    assert SseParser().feed(stream) == expected
    parser = SseParser()
    edges = sorted({0, len(stream), *(min(cut, len(stream)) for cut in cuts)})
    data = [data for a, b in pairwise(edges) for data in parser.feed_data(stream[a:b])]
    assert [each.decode(errors="replace") for each in data] == [event.data for event in expected]


@pytest.mark.parametrize("piece", [b"x" * 4096, b"data: " + b"x" * 4090 + b"\n", b": x" + b"x" * 9000])
def test_an_event_without_an_end_is_not_kept_for_ever(piece: bytes) -> None:
    parser, fed = SseParser(), 0
    with pytest.raises(FrameTooLargeError):
        for _ in range(2 * EVENT_MAX_BYTES):
            parser.feed_data(piece)
            fed += len(piece)
    assert EVENT_MAX_BYTES - len(piece) <= fed <= 8 * EVENT_MAX_BYTES


def test_large_events_and_long_streams_are_read() -> None:
    parser, word = SseParser(), b"x" * (EVENT_MAX_BYTES - 16)
    for _ in range(3):
        stream = frame(word)
        events = [event for at in range(0, len(stream), 65_536) for event in parser.feed_data(stream[at : at + 65_536])]
        assert events == [word]
    assert len(parser.feed_data(frame(b"x" * 64) * (EVENT_MAX_BYTES // 32))) == EVENT_MAX_BYTES // 32

"""gzip that nobody asked for, decoded in bounded blocks, whatever the cuts."""

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.upstreams.errors import HttpCutError, HttpResponseError
from control_plane.upstreams.http_response import INFLATED_BLOCK_BYTES, Gunzip


def inflate(encoded: bytes, step: int) -> list[bytes]:
    """All blocks, after `finish`."""
    gunzip, blocks = Gunzip(), []
    for start in range(0, len(encoded), step):
        gunzip.feed(encoded[start : start + step])
        while block := gunzip.next():
            blocks.append(block)
    gunzip.finish()
    return blocks


@given(st.lists(st.binary(max_size=300), max_size=3), st.integers(1, 50))
def test_whatever_the_cuts_all_members_are_decoded(members: list[bytes], step: int) -> None:
    encoded = b"".join(gzip.compress(member, mtime=0) for member in members)
    assert b"".join(inflate(encoded, step)) == b"".join(members)


@given(st.binary(min_size=1, max_size=300), st.integers(1, 50), st.data())
def test_a_member_cut_short_is_an_error(body: bytes, step: int, data: st.DataObject) -> None:
    encoded = gzip.compress(body, mtime=0)
    kept = data.draw(st.integers(1, len(encoded) - 1))
    with pytest.raises(HttpCutError):
        inflate(encoded[:kept], step)


@given(st.binary(min_size=1, max_size=100), st.integers(1, 50))
def test_any_bytes_are_decoded_or_refused(junk: bytes, step: int) -> None:
    try:
        inflate(junk, step)
    except (HttpCutError, HttpResponseError):
        return
    assert zlib.decompressobj(31).decompress(junk) is not None


@pytest.mark.parametrize("size", [10_000_000, INFLATED_BLOCK_BYTES, INFLATED_BLOCK_BYTES + 1, 0])
@pytest.mark.parametrize("step", [1 << 20, 100])
def test_a_bomb_goes_off_in_small_blocks(size: int, step: int) -> None:
    blocks = inflate(gzip.compress(bytes(size)), step)
    assert sum(map(len, blocks)) == size
    assert max(map(len, blocks), default=0) <= INFLATED_BLOCK_BYTES

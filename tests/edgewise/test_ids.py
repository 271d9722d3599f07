"""Ids: their form, their order by time, and that cheap ones stay apart."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgewise.ids import id_time_s, is_id, new_id, numbered_ids

MS_MAX = 2**48 - 1


@given(st.integers(0, MS_MAX), st.binary(min_size=10, max_size=10))
def test_an_id_tells_when_it_was_made(ms: int, drawn: bytes) -> None:
    made = new_id(now=lambda: ms / 1000, random_bytes=lambda count: drawn)
    assert is_id(made)
    assert abs(id_time_s(made) * 1000 - int(ms / 1000 * 1000)) < 1


def test_the_layout_is_that_of_a_ulid() -> None:
    assert new_id(now=lambda: 0.0, random_bytes=lambda count: bytes(10)) == "0" * 26
    assert new_id(now=lambda: 0.001, random_bytes=lambda count: b"\xff" * 10) == "0" * 9 + "1" + "z" * 16
    assert new_id(now=lambda: 0.0, random_bytes=lambda count: bytes(9) + b"\x21") == "0" * 24 + "11"


@given(st.integers(0, MS_MAX - 1), st.binary(min_size=10, max_size=10), st.binary(min_size=10, max_size=10))
def test_later_ids_sort_after_earlier_ones(ms: int, first: bytes, second: bytes) -> None:
    earlier = new_id(now=lambda: ms / 1000, random_bytes=lambda count: first)
    later = new_id(now=lambda: (ms + 1.5) / 1000, random_bytes=lambda count: second)
    assert earlier < later


def test_numbered_ids_never_come_twice() -> None:
    make, other = numbered_ids("a"), numbered_ids("b")
    made = [make() for _ in range(100)] + [other() for _ in range(100)]
    assert len(set(made)) == 200

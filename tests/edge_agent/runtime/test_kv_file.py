"""The bytes of a saved context: back to the bit, or to half a step of int8; and every other bytes are refused whole."""

from __future__ import annotations

import io
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.runtime.kv_file import (
    HEADER_MAX_BYTES,
    MAGIC,
    BlockWriter,
    Header,
    KvFileError,
    Origin,
    read_header,
    read_rows,
    sealed,
)
from edge_agent.runtime.prefixes import Chain
from edgewise.generation.kv_memory import KV_ELEMENTS, kv_bytes
from edgewise.graphs import KvRows

ORIGIN = Origin(
    graph="g" * 64, numerics="n", planes=4, kv_heads=2, head_dim=8, dtype=np.dtype(np.float32).str, element="exact"
)
ROUNDED = msgspec.structs.replace(ORIGIN, element="int8")


def header_of(blocks: int, origin: Origin = ORIGIN, **fields: Any) -> Header:
    header = Header.of(origin, Chain.of(tuple(range(32 * blocks + 5)), b"salt"), 1000.0)
    return msgspec.structs.replace(header, **fields)


def rows_of(blocks: int, origin: Origin = ORIGIN, seed: int = 3) -> KvRows:
    shape = (origin.planes, origin.kv_heads, 32 * blocks, origin.head_dim)
    return np.random.default_rng(seed).normal(0, 9, shape).astype(origin.dtype)


def written(header: Header, rows: KvRows) -> bytes:
    return header.encoded() + BlockWriter(header).encoded(rows)


def read(content: bytes, origin: Origin = ORIGIN) -> tuple[Header, KvRows]:
    file = io.BytesIO(content)
    header = read_header(file, len(content), origin)
    return header, np.concatenate(list(read_rows(file, header, 32 * header.blocks)), axis=2)


GOOD = written(header_of(3), rows_of(3))


@pytest.mark.parametrize("dtype", ["<f4", "|i1"])
def test_exact_rows_come_back_to_the_bit(dtype: str) -> None:
    origin = msgspec.structs.replace(ORIGIN, dtype=dtype)
    rows = rows_of(3, origin)
    header, back = read(written(header_of(3, origin), rows), origin)
    assert back.tobytes() == rows.tobytes() and back.dtype == rows.dtype
    assert header.chain == Chain(Chain.of(tuple(range(96)), b"salt").names)


def test_pieces_make_the_file_that_one_call_makes() -> None:
    header, rows = header_of(3), rows_of(3)
    writer = BlockWriter(header)
    pieces = [writer.encoded(rows[:, :, :32]), writer.encoded(rows[:, :, 32:])]
    assert header.encoded() + b"".join(pieces) == GOOD
    assert len(GOOD) == header.file_bytes


@given(tokens=st.integers(1, 96))
def test_no_more_is_read_than_is_wanted(tokens: int) -> None:
    file = io.BytesIO(GOOD)
    header = read_header(file, len(GOOD), ORIGIN)
    before = file.tell()
    rows = np.concatenate(list(read_rows(file, header, tokens)), axis=2)
    np.testing.assert_array_equal(rows, rows_of(3)[:, :, :tokens])
    assert file.tell() - before == -(-tokens // 32) * (ORIGIN.block_bytes + 16)


@given(scale=st.sampled_from([0.0, 1e-9, 1e-6, 1e-3, 1.0, 300.0, 8e6]), seed=st.integers(0, 99))
def test_int8_rows_come_back_to_half_a_step(scale: float, seed: int) -> None:
    rows = rows_of(1, seed=seed) / 50 * np.float32(scale)
    _, back = read(written(header_of(1, ROUNDED), rows), ROUNDED)
    step = np.abs(rows).max(axis=3, keepdims=True) / 127
    # Half a step, what the float16 scale cut off the largest values, and where that has no finer step left.
    assert (np.abs(back - rows) <= 0.5 * step + 127 * step * 2.0**-11 + 127 * 2.0**-25).all()
    assert back.dtype == np.float32


def test_int8_takes_the_memory_that_the_formula_says() -> None:
    size = kv_bytes(layers=2, kv_heads=2, tokens=32, head_dim=8, element=KV_ELEMENTS["int8"])
    assert ROUNDED.block_bytes == size
    assert ORIGIN.block_bytes == kv_bytes(layers=2, kv_heads=2, tokens=32, head_dim=8, element=KV_ELEMENTS["float32"])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1e9])
def test_rows_that_int8_cannot_hold_are_not_written(bad: float) -> None:
    rows = rows_of(1)
    rows[1, 0, 3, 4] = bad
    with pytest.raises(KvFileError, match="int8"):
        BlockWriter(header_of(1, ROUNDED)).encoded(rows)
    header = header_of(1)
    np.testing.assert_array_equal(read(written(header, rows))[1], rows)


@given(place=st.integers(0, len(GOOD) - 1), flip=st.integers(1, 255))
def test_a_change_of_any_byte_is_found(place: int, flip: int) -> None:
    damaged = bytearray(GOOD)
    damaged[place] ^= flip
    with pytest.raises(KvFileError):
        read(bytes(damaged))


@given(length=st.integers(0, len(GOOD) - 1))
def test_a_file_that_ends_early_is_refused_before_its_rows_are_read(length: int) -> None:
    with pytest.raises(KvFileError):
        read_header(io.BytesIO(GOOD[:length]), length, ORIGIN)


@given(content=st.binary(max_size=300))
def test_arbitrary_bytes_are_refused(content: bytes) -> None:
    for hostile in (content, MAGIC + content, GOOD + content[:1] + b"x"):
        with pytest.raises(KvFileError):
            read(hostile)


leaves = st.none() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.binary(max_size=70) | st.text(max_size=9)
keys = st.sampled_from(["origin", "names", "saved_at", "graph", "planes"])
values = st.recursive(leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner), max_leaves=9)


@given(value=values)
def test_a_well_sealed_header_of_another_meaning_is_refused(value: object) -> None:
    for meant in (value, {**msgspec.to_builtins(header_of(3)), "origin": value}):
        with pytest.raises(KvFileError, match="another version"):
            read(sealed(msgspec.msgpack.encode(meant)) + GOOD[-3 * (ORIGIN.block_bytes + 16) :])


@pytest.mark.parametrize(
    "other",
    [{"graph": "h" * 64}, {"numerics": "m"}, {"planes": 2}, {"kv_heads": 1}, {"head_dim": 4}, {"element": "int8"}],
    ids=lambda change: next(iter(change)),
)
def test_rows_of_another_origin_are_refused(other: dict[str, Any]) -> None:
    origin = msgspec.structs.replace(ORIGIN, **other)
    with pytest.raises(KvFileError, match="another model"):
        read(written(header_of(3, origin), rows_of(3, origin)))


def test_blocks_in_another_order_or_of_another_file_are_refused() -> None:
    size = ORIGIN.block_bytes + 16
    start = len(header_of(3).encoded())
    blocks = [GOOD[start + size * number : start + size * (number + 1)] for number in range(3)]
    other = written(header_of(3, saved_at=1001.0), rows_of(3))[-3 * size :]
    for mixed in (b"".join(blocks[::-1]), other):
        with pytest.raises(KvFileError, match="block 0 is damaged"):
            read(GOOD[:start] + mixed)


@pytest.mark.parametrize("names", [b"", b"x" * 31, b"x" * 33])
def test_a_header_without_whole_names_is_refused(names: bytes) -> None:
    header = header_of(1, names=names)
    with pytest.raises(KvFileError, match="no whole blocks"):
        read(written(header, rows_of(1)))


def test_a_header_of_megabytes_is_not_read() -> None:
    content = sealed(bytes(HEADER_MAX_BYTES + 1))
    with pytest.raises(KvFileError, match="does not begin"):
        read(content)


def test_a_header_that_claims_more_than_there_is_costs_no_memory() -> None:
    header = header_of(1, names=b"x" * 32 * 30_000)
    with pytest.raises(KvFileError, match="longer or shorter"):
        read(written(header, rows_of(1)))

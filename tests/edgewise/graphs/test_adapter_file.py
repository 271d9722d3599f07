"""Adapter files: what is written is read back, and nothing else is ever believed."""

from __future__ import annotations

import hashlib
import os
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise.graphs.adapter_file import (
    CHECK_BYTES,
    MAGIC,
    AdapterFileError,
    parse_adapter,
    read_adapter,
    write_adapter,
)

MATRICES = {
    "0.q_proj.a": np.arange(12, dtype=np.float32).reshape(6, 2),
    "0.q_proj.b": np.arange(8, dtype=np.float32).reshape(2, 4) - 3,
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("adapter") / "one.adapter"
    write_adapter(path, base="b" * 64, base_name="tiny", matrices=MATRICES)
    return path.read_bytes()


def sealed(body: bytes) -> bytes:
    """With the checksum that belongs to it, as an attacker would write it."""
    return body + hashlib.sha256(body).digest()


def headed(header: bytes, data: bytes = b"") -> bytes:
    return sealed(MAGIC + len(header).to_bytes(4, "little") + header + data)


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "one.adapter"
    digest = write_adapter(path, base="b" * 64, base_name="tiny", matrices=MATRICES)
    found = read_adapter(path)
    assert (found.header.base, found.header.base_name, found.digest) == ("b" * 64, "tiny", digest)
    assert found.matrices.keys() == MATRICES.keys()
    assert all(np.array_equal(found.matrices[name], MATRICES[name]) for name in MATRICES)
    assert [each.name for each in path.parent.iterdir()] == ["one.adapter"]


def test_equal_matrices_make_equal_files_whatever_their_order(tmp_path: Path) -> None:
    one = write_adapter(tmp_path / "one", base="b", base_name="tiny", matrices=MATRICES)
    turned = dict(reversed(MATRICES.items()))
    assert write_adapter(tmp_path / "two", base="b", base_name="tiny", matrices=turned) == one
    assert write_adapter(tmp_path / "three", base="c", base_name="tiny", matrices=MATRICES) != one


def test_a_value_that_is_no_number_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not finite"):
        write_adapter(tmp_path / "x", base="b", base_name="t", matrices={"0.q_proj.a": np.full((2, 2), np.nan, "f4")})
    assert list(tmp_path.iterdir()) == []


@given(st.data())
def test_one_wrong_bit_is_seen(whole: bytes, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, 8 * len(whole) - 1))
    damaged = bytearray(whole)
    damaged[place // 8] ^= 1 << place % 8
    with pytest.raises(AdapterFileError):
        parse_adapter(bytes(damaged), "x")


@given(st.data())
def test_a_cut_or_longer_file_is_seen(whole: bytes, data: st.DataObject) -> None:
    length = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(AdapterFileError):
        parse_adapter(whole[:length], "x")
    with pytest.raises(AdapterFileError):
        parse_adapter(whole + data.draw(st.binary(min_size=1, max_size=40)), "x")


@given(st.binary(max_size=200))
def test_no_bytes_crash_it(raw: bytes) -> None:
    for hostile in (raw, sealed(raw), sealed(MAGIC + raw), headed(raw)):
        with pytest.raises(AdapterFileError):
            parse_adapter(hostile, "x")


@pytest.mark.parametrize(
    ("header", "data"),
    [
        (b'{"base":"b","base_name":"t","matrices":[{"name":"a","shape":[1,2]}]}', b""),
        (b'{"base":"b","base_name":"t","matrices":[{"name":"a","shape":[0,2]}]}', b""),
        (b'{"base":"b","base_name":"t","matrices":[{"name":"a","shape":[-1,-2]}]}', b"12345678"),
        (b'{"base":"b","base_name":"t","matrices":[{"name":"a","shape":[16777216,16777216]}]}', b""),
        (b'{"base":"b","base_name":"t","matrices":[{"name":"a","shape":[1]}]}', b"1234"),
        (b'{"base":"b","base_name":"t","matrices":[' + b'{"name":"a","shape":[1,1]},' * 2 + b"]}", b"12345678"),
        (b'{"base":"b","base_name":"t","matrices":[{"name":"a","shape":[1,1]}]}', b"12345678"),
        (b'{"base":"","base_name":"t","matrices":[]}', b""),
        (b'{"base":"b","base_name":"t","matrices":[],"more":1}', b""),
        (b'{"base":"b","base_name":"t","matrices":[{"name":"a","shape":[1,1]}]}', b"\x00\x00\xc0\x7f"),
        (b"[" * 100_000, b""),
    ],
    ids=["short", "zero", "negative", "huge", "flat", "twice", "long", "no-base", "more", "nan", "deep"],
)
def test_headers_that_lie_are_refused(header: bytes, data: bytes) -> None:
    with pytest.raises(AdapterFileError) as refused:
        parse_adapter(headed(header, data), "x.adapter")
    assert refused.value.remedy


def test_a_header_length_beyond_the_file_is_refused() -> None:
    with pytest.raises(AdapterFileError, match="longer than it may be"):
        parse_adapter(sealed(MAGIC + (0xFFFFFFFF).to_bytes(4, "little")), "x")
    assert hashlib.sha256().digest_size == CHECK_BYTES


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, tmp_path / "none", Path("/dev/zero")):
        with pytest.raises(AdapterFileError, match="cannot be"):
            read_adapter(path)


@pytest.mark.parametrize(
    "more",
    [{"base_name": "n" * 129}, {"base_name": ""},
     {"matrices": {f"{n}.{'m' * 100}": np.ones((1, 1)) for n in range(9999)}},
     {"matrices": {"a": np.broadcast_to(np.float32(1), (1 << 14, 1 << 14))}}],
    ids=["long-name", "no-name", "long-header", "long-file"],
)  # fmt: skip
def test_what_no_device_would_read_is_not_written(tmp_path: Path, more: dict[str, Any]) -> None:
    with pytest.raises(AdapterFileError, match="is not written"):
        write_adapter(tmp_path / "x", **{"base": "b", "base_name": "t", "matrices": MATRICES, **more})
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_as_readable_as_any_other_and_who_may_not_is_told(tmp_path: Path) -> None:
    path, plain = tmp_path / "one", tmp_path / "plain"
    plain.touch()
    write_adapter(path, base="b", base_name="tiny", matrices=MATRICES)
    assert path.stat().st_mode == plain.stat().st_mode
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("root reads everything")
    with pytest.raises(AdapterFileError, match="may not read") as refused:
        read_adapter(path)
    assert "chmod" in refused.value.remedy


def test_reading_takes_the_memory_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "one.adapter"
    write_adapter(path, base="b" * 64, base_name="tiny", matrices=MATRICES)
    tracemalloc.start()
    try:
        read_adapter(path)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()

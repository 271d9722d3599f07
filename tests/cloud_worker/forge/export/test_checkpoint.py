"""Safetensors files: what is read, what is refused, and that no bytes raise anything but the typed error."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from cloud_worker.architectures import model_sizes
from cloud_worker.forge.export.checkpoint import check_tensors, read_checkpoint, read_header
from cloud_worker.forge.export.errors import CheckpointFileError
from tests.factories.hub import random_tensors, write_hub_model


def raw_file(path: Path, header: Any, data: bytes = b"") -> Path:
    """A safetensors file with any header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


def test_tensors_are_read_with_type_shape_and_digest(tmp_path: Path) -> None:
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    save_file({"a": array, "b": np.zeros(2, np.float16)}, tmp_path / "x.safetensors")
    found = read_header(tmp_path / "x.safetensors")
    entry = found["a"].entry()
    assert (entry.dtype, entry.shape, entry.sha256) == ("float32", (3, 4), hashlib.sha256(array.tobytes()).hexdigest())
    assert found["b"].entry().dtype == "float16"


def test_a_whole_directory_is_consistent(tmp_path: Path) -> None:
    directory = write_hub_model(tmp_path / "model", "qwen3")
    check_tensors(read_checkpoint(directory), model_sizes(directory), directory)


@pytest.mark.parametrize(
    ("header", "data", "said"),
    [
        ({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, b"", "has"),
        ({"a": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}}, b"x" * 12, "begins at"),
        ({"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}}, b"x" * 8, "bytes for"),
        ({"a": {"dtype": "X9", "shape": [2], "data_offsets": [0, 8]}}, b"x" * 8, "bytes for"),
        ({"a": {"dtype": "F32", "shape": [-1, -2], "data_offsets": [0, 8]}}, b"x" * 8, "bytes for"),
        ({"a": 3}, b"", "described wrongly"),
        ([], b"", "no JSON object"),
        (b"{" * 100_000, b"", "header cannot be read"),
    ],
    ids=["cut", "gap", "size", "type", "negative", "description", "list", "nested"],
)
def test_a_damaged_file_is_named_with_its_fault(tmp_path: Path, header: Any, data: bytes, said: str) -> None:
    with pytest.raises(CheckpointFileError, match=said) as caught:
        read_header(raw_file(tmp_path / "bad.safetensors", header, data))
    assert "bad.safetensors" in str(caught.value)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(
    data=st.binary(max_size=200),
    header=st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda s: st.lists(s, max_size=3) | st.dictionaries(st.text(max_size=5), s, max_size=3),
    ),
    framed=st.booleans(),
)
def test_any_bytes_give_tensors_or_the_typed_error(tmp_path: Path, data: bytes, header: Any, framed: bool) -> None:
    path = tmp_path / "any.safetensors"
    if framed:
        raw_file(path, header, data)
    else:
        path.write_bytes(data)
    try:
        read_header(path)
    except CheckpointFileError as error:
        assert error.remedy


def test_a_cut_off_download_is_refused(tmp_path: Path) -> None:
    directory = write_hub_model(tmp_path / "model")
    weights = directory / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(CheckpointFileError, match="cut off"):
        read_checkpoint(directory)


@pytest.mark.parametrize("fault", ["missing", "shape", "foreign", "quantized"])
def test_tensors_of_another_model_are_refused(tmp_path: Path, fault: str) -> None:
    directory = write_hub_model(tmp_path / "model")
    sizes = model_sizes(directory)
    tensors: dict[str, Any] = dict(random_tensors(sizes))
    name = "model.layers.1.mlp.up_proj.weight"
    if fault == "missing":
        del tensors[name]
    elif fault == "shape":
        tensors[name] = tensors[name].T.copy()
    elif fault == "foreign":
        tensors["model.layers.0.mlp.experts.0.weight"] = np.zeros(2, np.float32)
    else:
        tensors[name] = tensors[name].astype(np.int8)
    save_file(tensors, directory / "model.safetensors")
    with pytest.raises(CheckpointFileError, match="experts" if fault == "foreign" else "up_proj"):
        check_tensors(read_checkpoint(directory), sizes, directory)


def test_shards_are_read_by_their_index(tmp_path: Path) -> None:
    for number, name in enumerate("ab"):
        save_file({name: np.zeros(3, np.float32)}, tmp_path / f"{number}.safetensors")
    index = {"weight_map": {"a": "0.safetensors", "b": "1.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert set(read_checkpoint(tmp_path)) == {"a", "b"}


@pytest.mark.parametrize("shard", ["../outside.safetensors", "sub/x.safetensors", 3])
def test_an_index_cannot_lead_outside(tmp_path: Path, shard: object) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": shard}}))
    with pytest.raises(CheckpointFileError, match="outside"):
        read_checkpoint(tmp_path)

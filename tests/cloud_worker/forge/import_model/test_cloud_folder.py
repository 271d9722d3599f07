"""Shards become one file that the library reads, tensor by tensor the same bytes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from cloud_worker.forge.export.checkpoint import Stored, read_header
from cloud_worker.forge.import_model.cloud_folder import write_safetensors

DTYPES = (torch.float32, torch.float16, torch.bfloat16)


@given(sizes=st.lists(st.tuples(st.integers(0, 5), st.integers(1, 7)), min_size=2, max_size=4))
def test_tensors_of_several_files_become_one(
    sizes: list[tuple[int, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    home, given_tensors = tmp_path_factory.getbasetemp(), {}
    stored: dict[str, Stored] = {}
    for place, shape in enumerate(sizes):
        tensor = torch.randn(shape).to(DTYPES[place % 3])
        path = home / f"shard-{place}.safetensors"
        save_file({f"层.{place}": tensor}, path)
        given_tensors[f"层.{place}"] = tensor
        stored |= read_header(path)
    told: list[int] = []
    write_safetensors(stored, home / "whole.safetensors", told.append)
    found = load_file(home / "whole.safetensors")
    assert {name: (value.dtype, value.tolist()) for name, value in found.items()} == {
        name: (value.dtype, value.tolist()) for name, value in given_tensors.items()
    }
    assert sum(told) == sum(value.nbytes for value in given_tensors.values())
    assert read_header(home / "whole.safetensors").keys() == stored.keys()


def test_a_file_that_shrinks_meanwhile_is_no_silent_zero(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"a": torch.ones(64)}, path)
    stored = read_header(path)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(OSError, match="8 bytes of a tensor are gone"):
        write_safetensors(stored, tmp_path / "whole.safetensors", lambda _: None)

"""Checkpoints: what was written comes back; damage and strangers are refused by name, with the remedy."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cloud_worker.forge.training import checkpoint
from cloud_worker.forge.training.checkpoint import CheckpointError, DamagedCheckpointError, ForeignCheckpointError

IDENTITY = {"seed": 7, "recipe": {"tier": "edge"}}


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "edge.checkpoint.pt"
    checkpoint.write(path, IDENTITY, {"step": 3, "weights": torch.arange(50.0)})
    return path


def test_the_state_comes_back_and_no_part_is_left(written: Path) -> None:
    state = checkpoint.read(written, IDENTITY)
    assert state["step"] == 3 and torch.equal(state["weights"], torch.arange(50.0))
    assert [path.name for path in written.parent.iterdir()] == [written.name]


def test_another_run_is_named(written: Path) -> None:
    with pytest.raises(ForeignCheckpointError, match=r"other seed.*delete it"):
        checkpoint.read(written, IDENTITY | {"seed": 8})
    with pytest.raises(ForeignCheckpointError, match=r"3 steps.*4.*delete it"):
        checkpoint.same_length(written, 3, 4)


@given(data=st.data())
def test_any_changed_or_missing_byte_is_noticed(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.mktemp("damaged") / "edge.checkpoint.pt"
    checkpoint.write(path, IDENTITY, {"step": 3})
    raw = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(raw) - 1))
    cut = data.draw(st.booleans())
    path.write_bytes(raw[:at] if cut else raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :])
    with pytest.raises(DamagedCheckpointError, match="delete it"):
        checkpoint.read(path, IDENTITY)


@given(content=st.binary(max_size=200))
def test_bytes_from_anywhere_are_no_checkpoint(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("bytes") / "x.pt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError):
        checkpoint.read(path, IDENTITY)


def test_code_in_a_file_with_a_good_digest_does_not_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (tmp_path / "sprung",)

    import hashlib

    body = pickle.dumps(Trap())
    path = tmp_path / "x.pt"
    path.write_bytes(checkpoint.MAGIC + hashlib.sha256(body).digest() + body)
    with pytest.raises(DamagedCheckpointError):
        checkpoint.read(path, IDENTITY)
    assert not (tmp_path / "sprung").exists()

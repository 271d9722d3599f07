"""Checkpoints on disk: written whole or not at all, with a digest; read back without running what they hold."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path
from typing import Any, Final

import torch

MAGIC: Final = b"edgewise-checkpoint-1\n"
_DIGEST_BYTES: Final = 32


class CheckpointError(Exception):
    """A checkpoint that cannot be used; says which file, why, and what to do."""


class DamagedCheckpointError(CheckpointError):
    """The file is cut short, changed, or no checkpoint at all."""


class ForeignCheckpointError(CheckpointError):
    """The file belongs to another run."""


def write(path: Path, identity: dict[str, Any], state: dict[str, Any]) -> None:
    """Replace `path` by a checkpoint of `state`; a crash at any moment leaves the old file or the new one."""
    buffer = io.BytesIO()
    torch.save({"identity": identity, "state": state}, buffer)
    body = buffer.getbuffer()
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        file.write(MAGIC + hashlib.sha256(body).digest())
        file.write(body)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def read(path: Path, identity: dict[str, Any], device: str = "cpu") -> dict[str, Any]:
    """The state that `write` stored. Raises DamagedCheckpointError, ForeignCheckpointError."""
    raw = path.read_bytes()
    head = len(MAGIC) + _DIGEST_BYTES
    digest, body = raw[len(MAGIC) : head], raw[head:]
    if not raw.startswith(MAGIC) or hashlib.sha256(body).digest() != digest:
        found = f"found {len(raw)} bytes that do not match it"
        raise DamagedCheckpointError(
            f"{path}: expected a checkpoint with its digest, {found}; delete it to start afresh"
        )
    try:
        stored = torch.load(io.BytesIO(body), map_location=device, weights_only=True)
        theirs, state = stored["identity"], stored["state"]
    except Exception as error:
        raise DamagedCheckpointError(f"{path}: expected tensors and numbers ({error}); delete it") from error
    if theirs != identity:
        differing = sorted(key for key in {*theirs, *identity} if theirs.get(key) != identity.get(key))
        said = f"it belongs to another run (other {', '.join(differing)}); delete it to start afresh"
        raise ForeignCheckpointError(f"{path}: {said}")
    found_state: dict[str, Any] = state
    return found_state


def same_length(path: Path, theirs: int, ours: int) -> None:
    """Raises ForeignCheckpointError when the checkpoint belongs to a run of another number of steps."""
    if theirs != ours:
        said = f"it belongs to a run of {theirs} steps, and this one has {ours}; delete it to start afresh"
        raise ForeignCheckpointError(f"{path}: {said}")

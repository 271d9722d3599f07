"""Where a model's tensors come from: safetensors files, one or sharded, or a generator for tests of speed.

Files are untrusted: names, shapes and values are checked, and no name leads out of the directory. Shapes that the model
needs are cloud_worker.architectures'; what is made of the tensors is weights.py's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from edgewise.wire.errors import ManifestError

SINGLE_FILE: Final = "model.safetensors"
INDEX_FILE: Final = "model.safetensors.index.json"
FLOATS: Final = (torch.float32, torch.bfloat16, torch.float16)
LARGEST_INDEX_BYTES: Final = 2**26
_NEEDLESS: Final = ("rotary_emb.inv_freq", "lm_head.weight")
"""Ends of names that may stand beside what the model needs: in old checkpoints the first, in tied ones the second."""
_MOST_NAMED: Final = 4


class TensorSource(Protocol):
    """Gives each tensor once, when it is asked for, so that no second copy of all weights is in memory."""

    def take(self, name: str) -> Tensor:
        """The tensor of a name, finite, in the type that the source has. Raises ManifestError."""
        ...


class SafetensorFiles:
    """The tensors of a model directory, mapped from its files."""

    def __init__(self, directory: Path, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Open the files and check that they hold exactly the tensors of `shapes`. Raises ManifestError."""
        self._directory, self._shapes = directory, dict(shapes)
        self._homes: dict[str, Any] = {}
        for file in _files(directory):
            opened = _opened(directory / file)
            self._homes |= dict.fromkeys(opened.keys(), opened)
        self._check_names()
        for name, shape in self._shapes.items():
            self._check_shape(name, shape)

    def take(self, name: str) -> Tensor:
        """See TensorSource."""
        try:
            tensor: Tensor = self._homes[name].get_tensor(name)
        except (SafetensorError, OSError, RuntimeError) as error:
            raise self._wrong(f"The tensor {name} cannot be read: {error}", "readable weights") from error
        if tensor.dtype not in FLOATS:
            raise self._wrong(f"The tensor {name} is of type {tensor.dtype}", "float32, bfloat16 or float16")
        if not all(map(torch.isfinite, torch.aminmax(tensor))):
            raise self._wrong(f"The tensor {name} holds NaN or infinite values", "finite weights")
        return tensor

    def _check_names(self) -> None:
        missing = [name for name in self._shapes if name not in self._homes]
        if missing:
            raise self._wrong(f"The weights lack {_some(missing)}", "the tensors that config.json describes")
        extra = [name for name in self._homes if name not in self._shapes and not name.endswith(_NEEDLESS)]
        if extra:
            raise self._wrong(f"The weights hold {_some(extra)} beside the model", "only what config.json describes")

    def _check_shape(self, name: str, shape: tuple[int, ...]) -> None:
        found = tuple(self._homes[name].get_slice(name).get_shape())
        if found != shape:
            raise self._wrong(f"The tensor {name} has shape {list(found)}", f"{list(shape)}, as config.json describes")

    def _wrong(self, message: str, expected: str) -> ManifestError:
        return _wrong(message, self._directory, expected)


class RandomTensors:
    """Weights of the right shapes that mean nothing: matrices from N(0, 0.02), norms 1, biases 0."""

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], dtype: torch.dtype, seed: int = 0) -> None:
        self._shapes, self._dtype = dict(shapes), dtype
        self._generator = torch.Generator().manual_seed(seed)

    def take(self, name: str) -> Tensor:
        """See TensorSource; the values depend on the seed and on the order of the calls."""
        shape = self._shapes[name]
        if name.endswith("norm.weight"):
            return torch.ones(shape, dtype=self._dtype)
        if name.endswith(".bias"):
            return torch.zeros(shape, dtype=self._dtype)
        return torch.empty(shape, dtype=self._dtype).normal_(0, 0.02, generator=self._generator)


def _files(directory: Path) -> list[str]:
    """Names of the weight files: those of the index where there is one."""
    index = directory / INDEX_FILE
    if not index.exists():
        return [SINGLE_FILE]
    try:
        if index.stat().st_size > LARGEST_INDEX_BYTES:
            raise ValueError(f"it is larger than {LARGEST_INDEX_BYTES} bytes")
        raw = json.loads(index.read_text(encoding="utf-8"))
        shards = raw["weight_map"].values()
        names = sorted({_plain_name(shard) for shard in shards})
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise _wrong(f"{INDEX_FILE} cannot be used: {error}", index, "a map of tensors to files beside it") from error
    if not names:
        raise _wrong(f"{INDEX_FILE} names no file", index, "a map of tensors to files beside it")
    return names


def _plain_name(name: object) -> str:
    """A shard's name as it stands; ValueError for anything but a file beside the index."""
    plain = isinstance(name, str) and name.endswith(".safetensors") and name.isprintable()
    if not isinstance(name, str) or not plain or any(c in name for c in '/\\:"') or name.startswith("."):
        raise ValueError(f"{str(name)[:80]!r} is no name of a file beside it")
    return name


def _opened(path: Path) -> Any:
    try:
        return safe_open(path, framework="pt")
    except (OSError, SafetensorError, RuntimeError, ValueError) as error:
        raise _wrong(f"{path.name} cannot be read: {error}", path, "a whole safetensors file") from error


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(name[:80] for name in names[:_MOST_NAMED]) + more


def _wrong(message: str, where: Path, expected: str) -> ManifestError:
    return ManifestError(message, where=str(where), expected=expected, remedy="install the model version again")

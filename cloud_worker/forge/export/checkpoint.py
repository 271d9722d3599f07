"""Safetensors files looked at without torch: names, types, shapes, digests, and whether config.json asks for the same.

Format: 8 bytes little-endian length, that many bytes of JSON, then the tensors' bytes (the safetensors README).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Final

import msgspec

from cloud_worker.architectures import ModelSizes
from cloud_worker.forge.export.errors import CheckpointFileError
from edgewise.wire.manifest import TensorEntry

WEIGHTS_FILE: Final = "model.safetensors"
INDEX_FILE: Final = "model.safetensors.index.json"
HEADER_BYTES_MAX: Final = 100_000_000
DTYPES: Final = {"F64": ("float64", 8), "F32": ("float32", 4), "F16": ("float16", 2), "BF16": ("bfloat16", 2)}
_OTHER_DTYPES: Final = {"I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1, "F8_E4M3": 1, "F8_E5M2": 1}


@dataclass(frozen=True, slots=True)
class Stored:
    """One tensor of a file: type as safetensors names it, shape, and where its bytes are, from the file's start."""

    file: Path
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int

    def entry(self) -> TensorEntry:
        """The manifest's entry: sha256 of the little-endian bytes, read in 1 MiB blocks."""
        digest = hashlib.sha256()
        with self.file.open("rb") as opened:
            opened.seek(self.begin)
            left = self.end - self.begin
            while left and (block := opened.read(min(left, 1 << 20))):
                digest.update(block)
                left -= len(block)
        named = DTYPES[self.dtype][0] if self.dtype in DTYPES else self.dtype.lower()
        return TensorEntry(digest.hexdigest(), named, self.shape)


class _Tensor(msgspec.Struct):
    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]


def weight_files(directory: Path) -> list[Path]:
    """The safetensors files of a model directory: one, or an index's shards. Raises CheckpointFileError."""
    index = directory / INDEX_FILE
    if not index.is_file():
        return [directory / WEIGHTS_FILE]
    try:
        if index.stat().st_size > HEADER_BYTES_MAX:
            raise ValueError(f"it is larger than {HEADER_BYTES_MAX} bytes")
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        inside = all(isinstance(name, str) and Path(name).name == name != ".." for name in names)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise _broken(index, f"it cannot be read ({error})") from error
    if not names or not inside:
        raise _broken(index, "it names no shards, or files outside its directory")
    return [directory / name for name in names]


def read_header(path: Path) -> dict[str, Stored]:
    """Tensors of one file, each checked to lie inside it and to fill it without gaps. Raises CheckpointFileError."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or not 2 <= length <= min(HEADER_BYTES_MAX, size - 8):
                raise _broken(path, "it is cut off, or not a safetensors file")
            raw = json.loads(file.read(length))
    except (OSError, ValueError, RecursionError) as error:
        raise _broken(path, f"its header cannot be read ({error})") from error
    if not isinstance(raw, dict):
        raise _broken(path, "its header is no JSON object")
    raw.pop("__metadata__", None)
    if odd := [name for name in raw if not name.isprintable()]:
        raise _broken(path, f"a tensor has the name {odd[0][:80]!r}")
    found = {name: _stored(path, name, described, 8 + length) for name, described in raw.items()}
    _check_filled(path, found, 8 + length, size)
    return found


def _stored(path: Path, name: str, described: Any, start: int) -> Stored:
    try:
        tensor = msgspec.convert(described, _Tensor)
    except msgspec.ValidationError as error:
        raise _broken(path, f"tensor {name[:80]!r} is described wrongly ({error})") from error
    width = DTYPES[tensor.dtype][1] if tensor.dtype in DTYPES else _OTHER_DTYPES.get(tensor.dtype, 0)
    begin, end = tensor.data_offsets
    if not width or min(tensor.shape, default=1) < 0 or end - begin != width * prod(tensor.shape) or begin < 0:
        raise _broken(path, f"tensor {name[:80]!r} has {end - begin} bytes for {tensor.dtype[:12]} {tensor.shape}")
    return Stored(path, tensor.dtype, tensor.shape, start + begin, start + end)


def _check_filled(path: Path, found: Mapping[str, Stored], start: int, size: int) -> None:
    place = start
    for name, tensor in sorted(found.items(), key=lambda item: (item[1].begin, item[1].end)):
        if tensor.begin != place:
            raise _broken(path, f"tensor {name[:80]!r} begins at byte {tensor.begin}, expected {place}")
        place = tensor.end
    if place != size:
        raise _broken(path, f"it has {size} bytes, its header describes {place}: it is cut off or was changed")


def read_checkpoint(directory: Path) -> dict[str, Stored]:
    """Every tensor of a model directory. Raises CheckpointFileError."""
    found: dict[str, Stored] = {}
    for path in weight_files(directory):
        for name, tensor in read_header(path).items():
            if name in found:
                raise _broken(path, f"tensor {name[:80]!r} is in another shard too")
            found[name] = tensor
    return found


def check_finite(found: Mapping[str, Stored]) -> None:
    """Look through all float values, in 1 MiB blocks. Raises CheckpointFileError for one that is infinite or no
    number: such a model says the same nonsense before and after quantization, and every comparison would hold."""
    for name, tensor in found.items():
        if tensor.dtype in _EXPONENTS and not _is_finite(tensor):
            raise _broken(tensor.file, f"tensor {name[:80]!r} holds a value that is not finite")


_EXPONENTS: Final = {
    "F64": ("<u8", 0x7FF0 << 48), "F32": ("<u4", 0x7F80 << 16), "F16": ("<u2", 0x7C00), "BF16": ("<u2", 0x7F80),
}  # fmt: skip
"""Bits of the exponent (IEEE 754): where all are set, the value is infinite or no number."""


def _is_finite(tensor: Stored) -> bool:
    import numpy as np

    kind, exponent = _EXPONENTS[tensor.dtype]
    with tensor.file.open("rb") as opened:
        opened.seek(tensor.begin)
        left = tensor.end - tensor.begin
        while left and (block := opened.read(min(left, 1 << 20))):
            left -= len(block)
            bits = np.frombuffer(block, kind)
            if ((bits & bits.dtype.type(exponent)) == exponent).any():
                return False
    return True


def check_tensors(found: Mapping[str, Stored], sizes: ModelSizes, where: Path) -> None:
    """Compare names, shapes and types with what config.json asks for. Raises CheckpointFileError naming the first."""
    for fault in _faults(found, sizes):
        raise CheckpointFileError(
            f"The weights are not those that config.json describes: {fault}",
            where=str(where),
            expected=f"the tensors of a {sizes.model_type} model in float32, float16 or bfloat16",
            remedy="fetch config.json and the weights again from the same place",
        )


def _faults(found: Mapping[str, Stored], sizes: ModelSizes) -> Iterator[str]:
    wanted = sizes.tensors()
    for name, shape in wanted.items():
        if name not in found:
            yield f"{name} is missing"
        elif found[name].shape != shape:
            yield f"{name} is {found[name].shape}, expected {shape}"
        elif found[name].dtype not in DTYPES:
            yield f"{name} is stored as {found[name].dtype}, which is quantized already"
    ignored = {"lm_head.weight"} if sizes.tie_word_embeddings else set()
    for name in sorted(set(found) - set(wanted) - ignored):
        if not name.endswith("rotary_emb.inv_freq"):
            yield f"{name[:80]!r} is not part of such a model"


def _broken(path: Path, why: str) -> CheckpointFileError:
    return CheckpointFileError(
        f"The weight file {path.name} cannot be used: {why}",
        where=str(path),
        expected="a whole safetensors file",
        remedy="fetch the file again and compare its digest",
    )

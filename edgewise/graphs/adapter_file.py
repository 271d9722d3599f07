"""The file of a low-rank adapter as devices keep it: which model it is for, its matrices, and one checksum over all.

    magic · length · header · float32 matrices, one after the other · sha256 of everything before

Nothing in it is believed before the checksum and every size fit. What a graph makes of it is adapter.py's.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgewise.wire.errors import ConfigError

MAGIC: Final = b"edgelra1"
CHECK_BYTES: Final = 32
HEADER_MAX_BYTES: Final = 1 << 20
FILE_MAX_BYTES: Final = 1 << 30
_LENGTH_BYTES: Final = 4
_ITEM_BYTES: Final = 4

Matrices = Mapping[str, NDArray[np.float32]]
"""`L.MODULE.a` [inputs, rank] and `L.MODULE.b` [rank, outputs] of every layer and module that is adapted; b is scaled:
what is added to a module's output is (x a) b."""

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
Size = Annotated[int, msgspec.Meta(ge=1, le=1 << 24)]


class AdapterFileError(ConfigError):
    """A file that is no adapter, or a damaged one."""

    number, code = 1604, "adapter_damaged"


class AdapterBaseError(ConfigError):
    """An adapter that was made for another model version."""

    number, code = 1605, "adapter_of_another_base"


class AdapterUnfitError(ConfigError):
    """An adapter whose modules, rank or shapes the graph has no inputs for."""

    number, code = 1606, "adapter_unfit"


class _Place(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: Text
    shape: tuple[Size, Size]


class AdapterHeader(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`base` is the model version (manifest id) that it was made for, `base_name` that model's name for people."""

    base: Text
    base_name: Text
    matrices: tuple[_Place, ...]


class AdapterFile(msgspec.Struct, frozen=True):
    """What was read: `digest` (lower-case hex) names header and matrices to the last bit."""

    header: AdapterHeader
    matrices: Matrices
    digest: str


def write_adapter(path: Path, *, base: str, base_name: str, matrices: Matrices) -> str:
    """Write a whole file or none, flushed, as readable as any new file of this user; the digest.

    Raises OSError, AdapterFileError for what no device would read, ValueError for a value that is not finite.
    """
    named = sorted(matrices)
    places = tuple(_Place(name, (matrices[name].shape[0], matrices[name].shape[1])) for name in named)
    header = msgspec.json.encode(AdapterHeader(base, base_name, places))
    _check_writable(path, header, sum(values.size for values in matrices.values()) * _ITEM_BYTES)
    if bad := [name for name, values in matrices.items() if not np.isfinite(values).all()]:
        raise ValueError(f"{bad[0]} holds a value that is not finite")
    pieces = [MAGIC, len(header).to_bytes(_LENGTH_BYTES, "little"), header]
    pieces += [np.ascontiguousarray(matrices[name], "<f4").tobytes() for name in named]
    check = hashlib.sha256()
    for piece in pieces:
        check.update(piece)
    path.parent.mkdir(parents=True, exist_ok=True)
    made = path.with_name(f".{path.name[:200]}.{secrets.token_hex(4)}")
    try:
        with made.open("xb") as file:
            for piece in (*pieces, check.digest()):
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        made.replace(path)
    except BaseException:
        made.unlink(missing_ok=True)
        raise
    _flush_folder(path.parent)
    return check.hexdigest()


def _check_writable(path: Path, header: bytes, data_bytes: int) -> None:
    """Refuse what `parse_adapter` would."""
    try:
        msgspec.json.decode(header, type=AdapterHeader)
    except msgspec.MsgspecError as error:
        raise _unwritable(path, f"a device would not read its header ({error})") from error
    whole = len(MAGIC) + _LENGTH_BYTES + len(header) + data_bytes + CHECK_BYTES
    for what, size, most in (("header", len(header), HEADER_MAX_BYTES), ("file", whole, FILE_MAX_BYTES)):
        if size > most:
            raise _unwritable(path, f"its {what} would have {size:,} bytes, and {most:,} is the most")


def _flush_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_adapter(path: Path) -> AdapterFile:
    """Read and check a file from anywhere. Raises AdapterFileError, whatever its bytes are."""
    return parse_adapter(_bytes_of(path), str(path))


def parse_adapter(raw: bytes, where: str) -> AdapterFile:
    """The same of its bytes; the matrices are views of them. Raises AdapterFileError."""
    body = memoryview(raw)[: max(len(raw) - CHECK_BYTES, 0)]
    start = len(MAGIC) + _LENGTH_BYTES
    if len(body) < start or not raw.startswith(MAGIC):
        raise _broken(where, "it is cut off, or no adapter")
    digest = hashlib.sha256(body)
    if digest.digest() != raw[-CHECK_BYTES:]:
        raise _broken(where, "its checksum is wrong")
    length = int.from_bytes(body[len(MAGIC) : start], "little")
    if length > min(HEADER_MAX_BYTES, len(body) - start):
        raise _broken(where, "its header is longer than it may be")
    try:
        header = msgspec.json.decode(body[start : start + length], type=AdapterHeader)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _broken(where, f"its header cannot be read ({error})") from error
    return AdapterFile(header, _matrices(header, body[start + length :], where), digest.hexdigest())


def _matrices(header: AdapterHeader, data: memoryview, where: str) -> Matrices:
    if sum(_ITEM_BYTES * prod(place.shape) for place in header.matrices) != len(data):
        raise _broken(where, "its matrices have other sizes than its header says")
    found: dict[str, NDArray[np.float32]] = {}
    begin = 0
    for place in header.matrices:
        end = begin + _ITEM_BYTES * prod(place.shape)
        values = np.frombuffer(data[begin:end], "<f4").reshape(place.shape)
        if place.name in found or not np.isfinite(values).all():
            raise _broken(where, f"{place.name[:80]!r} is there twice, or holds a value that is not finite")
        found[place.name], begin = values, end
    return found


def _bytes_of(path: Path) -> bytes:
    """A regular file of bounded size, as it is at one moment: what was checked is what is used."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe must not keep us waiting
        with os.fdopen(handle, "rb") as file:
            told = os.fstat(file.fileno())
            if not stat.S_ISREG(told.st_mode) or told.st_size > FILE_MAX_BYTES:
                raise _broken(str(path), f"it is no file, or larger than {FILE_MAX_BYTES:,} bytes")
            return file.read(told.st_size + 1)  # a reader reserves what it is asked for
    except PermissionError as error:
        raise AdapterFileError(
            f"The adapter {path.name} cannot be used: this user may not read it",
            where=str(path),
            expected="a file that the agent's user may read, in folders that it may enter",
            remedy=f"chmod a+r {path}, or put it where the agent's user may read",
        ) from error
    except OSError as error:
        raise _broken(str(path), f"it cannot be read ({error.strerror})") from error


def _unwritable(path: Path, why: str) -> AdapterFileError:
    return AdapterFileError(
        f"The adapter {path.name} is not written: {why}",
        where=str(path),
        expected="a name of 1 to 128 characters, and sizes that devices read",
        remedy="give the model a shorter name, or train fewer modules or a smaller rank",
    )


def _broken(where: str, why: str) -> AdapterFileError:
    return AdapterFileError(
        f"The adapter {Path(where).name} cannot be used: {why}",
        where=where,
        expected="a whole file of `edgewise model adapter`",
        remedy="copy it again, or make it again: edgewise model adapter DIR --base MODEL --out FILE",
    )


def unfit(why: str, where: str, expected: Any) -> AdapterUnfitError:
    """An adapter that the graph has no place for."""
    return AdapterUnfitError(
        f"The adapter does not fit the graph: {why}",
        where=where,
        expected=str(expected),
        remedy="export the model with more: edgewise model export --adapter-rank R --adapter-modules NAMES",
    )

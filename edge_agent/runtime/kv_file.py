"""The bytes of one saved context: a header, then its cache rows in blocks of 32 tokens, each with a checksum.

    magic · length · header · checksum · { rows of a block · checksum } · …      no byte more, none less

No ids are in it, only the names of their chain. What differs in one bit is refused whole. Folders are kv_disk.py's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import BinaryIO, Final, Literal

import msgspec
import numpy as np

from edge_agent.runtime.prefixes import BLOCK_TOKENS, Chain
from edgewise.graphs import GraphShape, KvRows

Element = Literal["exact", "int8"]
"""How rows are written: bit for bit, or (float32 rows only) as int8 with a float16 scale for each head's row."""

MAGIC: Final = b"edgekv1\n"
HEADER_MAX_BYTES: Final = 1 << 20
CHECK_BYTES: Final = 16
NAME_BYTES: Final = 32
_LENGTH_BYTES: Final = 4
_INT8_MAX: Final = 127


class KvFileError(ValueError):
    """These bytes are no saved context, or not one that can be used here; the text says why."""


class Origin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What rows must have in common to stand in for each other. `graph` is the digest of the graph and its weights."""

    graph: str
    numerics: str
    planes: int
    kv_heads: int
    head_dim: int
    dtype: str
    element: Element

    @classmethod
    def of(cls, shape: GraphShape, *, graph: str, numerics: str, exact: bool) -> Origin:
        """Of rows of a graph with this digest and numerics id; where they need not be `exact`, float32 is rounded."""
        dtype = np.dtype(shape.kv_dtype)
        element: Element = "exact" if exact or dtype != np.float32 else "int8"
        return cls(graph, numerics, 2 * shape.layers, shape.kv_heads, shape.head_dim, dtype.str, element)

    @property
    def block_bytes(self) -> int:
        """Bytes of a block's rows, without the checksum."""
        heads = self.planes * self.kv_heads * BLOCK_TOKENS
        if self.element == "exact":
            return heads * self.head_dim * np.dtype(self.dtype).itemsize
        return heads * (self.head_dim + np.dtype(np.float16).itemsize)


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose rows these are. `names` are those of the chain, one after the other; `saved_at` is Unix time."""

    origin: Origin
    names: bytes
    saved_at: float

    @classmethod
    def of(cls, origin: Origin, chain: Chain, saved_at: float) -> Header:
        """The header of a chain's whole blocks: the tail is not saved, and neither is the salt."""
        return cls(origin, b"".join(chain.names), saved_at)

    @property
    def chain(self) -> Chain:
        cuts = range(0, len(self.names), NAME_BYTES)
        return Chain(tuple(self.names[cut : cut + NAME_BYTES] for cut in cuts))

    @property
    def blocks(self) -> int:
        return len(self.names) // NAME_BYTES

    @property
    def file_bytes(self) -> int:
        """Bytes of the whole file."""
        return len(self.encoded()) + self.blocks * (self.origin.block_bytes + CHECK_BYTES)

    def encoded(self) -> bytes:
        """Everything in front of the first block."""
        return sealed(msgspec.msgpack.encode(self))


def sealed(content: bytes) -> bytes:
    """The opening of a file with this header."""
    opening = MAGIC + len(content).to_bytes(_LENGTH_BYTES, "little") + content
    return opening + _check(opening, b"", 0)


def read_header(file: BinaryIO, size_bytes: int, origin: Origin) -> Header:
    """Read a header and leave `file` at the first block; `size_bytes` is that of the whole file.

    Raises KvFileError for anything but a whole header of `origin` in a file of the size that it says.
    """
    opening = _exactly(file, len(MAGIC) + _LENGTH_BYTES)
    length = int.from_bytes(opening[len(MAGIC) :], "little")
    if not opening.startswith(MAGIC) or length > HEADER_MAX_BYTES:
        raise KvFileError("it does not begin as a saved context does")
    opening += _exactly(file, length)
    if _exactly(file, CHECK_BYTES) != _check(opening, b"", 0):
        raise KvFileError("its header is damaged")
    try:
        header = msgspec.msgpack.decode(opening[len(MAGIC) + _LENGTH_BYTES :], type=Header)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise KvFileError("its header is of another version") from error
    if header.origin != origin:
        raise KvFileError("it was saved by another model or another way of computing")
    if not header.names or len(header.names) % NAME_BYTES:
        raise KvFileError("its header names no whole blocks")
    if size_bytes != header.file_bytes:
        raise KvFileError("it is longer or shorter than its header says")
    return header


def read_rows(file: BinaryIO, header: Header, tokens: int) -> Iterator[KvRows]:
    """The rows of the first `tokens` behind a header that was just read, a block at a time: no more is in memory.

    Raises KvFileError for a damaged block, after those before it.
    """
    key = _key(header)
    for number, start in enumerate(range(0, min(tokens, header.blocks * BLOCK_TOKENS), BLOCK_TOKENS)):
        content = _exactly(file, header.origin.block_bytes)
        if _exactly(file, CHECK_BYTES) != _check(content, key, number):
            raise KvFileError(f"its block {number} is damaged")
        yield _decoded(content, header.origin)[:, :, : tokens - start]


class BlockWriter:
    """Makes the bytes of blocks, in order, for the file of one header."""

    def __init__(self, header: Header) -> None:
        self._origin = header.origin
        self._key = _key(header)
        self._number = 0

    def encoded(self, rows: KvRows) -> bytes:
        """The bytes of the next blocks, whose rows are given. Raises KvFileError for rows that int8 cannot hold."""
        return b"".join(self._block(rows[:, :, start : start + BLOCK_TOKENS]) for start in _starts(rows))

    def _block(self, rows: KvRows) -> bytes:
        content = _encoded(rows, self._origin)
        number, self._number = self._number, self._number + 1
        return content + _check(content, self._key, number)


def _starts(rows: KvRows) -> Iterator[int]:
    return iter(range(0, rows.shape[2], BLOCK_TOKENS))


def _encoded(rows: KvRows, origin: Origin) -> bytes:
    if origin.element == "exact":
        return bytes(rows.tobytes())
    with np.errstate(over="ignore"):
        scales = (np.abs(rows).max(axis=3) / _INT8_MAX).astype(np.float16)
    if not np.isfinite(scales).all():
        raise KvFileError("its rows are too large for int8")
    wide = np.maximum(scales.astype(np.float32), np.float32(np.finfo(np.float16).smallest_subnormal))[..., None]
    steps = np.clip(np.rint(rows / wide), -_INT8_MAX, _INT8_MAX)
    return bytes(scales.tobytes() + steps.astype(np.int8).tobytes())


def _decoded(content: bytes, origin: Origin) -> KvRows:
    shape = (origin.planes, origin.kv_heads, BLOCK_TOKENS, origin.head_dim)
    if origin.element == "exact":
        return np.frombuffer(content, np.dtype(origin.dtype)).reshape(shape)
    count = shape[0] * shape[1] * shape[2]
    scales = np.frombuffer(content, np.float16, count).reshape((*shape[:3], 1))
    steps = np.frombuffer(content, np.int8, offset=scales.nbytes).reshape(shape)
    return steps * scales.astype(np.float32)


def _key(header: Header) -> bytes:
    """What ties a block to its file: blocks of other files, and those of another place, have other checksums."""
    return hashlib.blake2b(header.encoded(), digest_size=CHECK_BYTES).digest()


def _check(content: bytes, key: bytes, number: int) -> bytes:
    salt = number.to_bytes(8, "little")
    return hashlib.blake2b(content, digest_size=CHECK_BYTES, key=key, salt=salt).digest()


def _exactly(file: BinaryIO, count: int) -> bytes:
    content = file.read(count)
    if len(content) != count:
        raise KvFileError("it ends too early")
    return content

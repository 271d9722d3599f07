"""Whether this machine keeps what exactness rests on, tried with the loaded graph itself, and remembered.

1  rows of calls with two or more tokens have the same bits, however the tokens are split into calls
2  calls of one token have the same bits every time
3  neither the size of the buffers nor what a rewind left in them changes a bit
4  whole chunks leave the same cache rows as the same tokens in other calls
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from edgewise.graphs import Adapter, CacheRow, DecoderGraph

FORMAT: Final = 2
"""Of the check: another one has to be run again."""
BEFORE, AFTER = 16, 6
"""Tokens read before, and tokens whose logits are compared."""
SPLITS: Final = ((1, 1, 1, 1, 1, 1), (2, 2, 2), (3, 3), (4, 2))
"""A call of one token stands for one that is padded to two."""
SINGLES: Final = 3
CHUNK: Final = 64
CHUNK_SPLITS: Final = ((CHUNK - 1, 1), (31, 33), (2,) * (CHUNK // 2))
"""Against one call of a chunk: next to a whole tile, across one, and as many small calls."""
logger = logging.getLogger(__name__)


def holds(graph: DecoderGraph, context_tokens: int) -> bool:
    """Run some 450 rows, and again with an adapter where the graph takes one: its kernels are others. False where bits
    differ; whoever asks then promises nothing."""
    shape = graph.shape
    if not _holds(graph, graph.bare, context_tokens):
        return False
    return shape.adapter is None or _holds(graph, Adapter.sample(shape.adapter, shape.layers), context_tokens)


def _holds(graph: DecoderGraph, adapter: Adapter, context_tokens: int) -> bool:
    def new_row(capacity: int) -> CacheRow:
        row = graph.new_row(capacity)
        row.use(adapter)
        return row

    ids = [(17 + 7919 * place) % graph.shape.vocab for place in range(BEFORE + AFTER)]
    narrow, wide = new_row(BEFORE + AFTER), new_row(3 * (BEFORE + AFTER))
    expected = _read(narrow, ids, (BEFORE, AFTER))
    splits = [(BEFORE, *split) for split in SPLITS]
    if not all(_read(narrow, ids, split) == expected for split in splits):
        return False
    if _read(wide, ids, (5, BEFORE - 5, AFTER)) != expected:
        return False
    return len({*_singles(narrow, ids), *_singles(wide, ids)}) == 1 and (
        context_tokens < 2 * CHUNK or _chunks_hold(graph, new_row(2 * CHUNK))
    )


def _chunks_hold(graph: DecoderGraph, row: CacheRow) -> bool:
    """The second of two chunks, so that there is a past."""
    ids = [(5 + 7919 * place) % graph.shape.vocab for place in range(2 * CHUNK)]
    row.forward(ids[:CHUNK], many=True)

    def left(split: Sequence[int]) -> bytes:
        row.rewind(CHUNK)
        for length in split:
            row.forward(ids[row.length : row.length + length], many=True)
        return row.read(CHUNK, 2 * CHUNK).tobytes()

    expected = left((CHUNK,))
    return all(left(split) == expected for split in CHUNK_SPLITS)


def remembered(graph: DecoderGraph, kernels: str, graph_digest: str, folder: Path | None, context_tokens: int) -> bool:
    """What `holds` says of this graph with these kernels, from a note in `folder` where there is one already."""
    key = hashlib.sha256(f"{FORMAT} {kernels} {graph.settings.threads} {graph_digest}".encode()).hexdigest()
    note = folder / f"exact-{key[:32]}.json" if folder else None
    found = _noted(note, key) if note else None
    if found is None:
        found = holds(graph, context_tokens)
        _write(note, _Note(key, found))
    return found


class _Note(msgspec.Struct, frozen=True):
    key: str
    holds: bool


def _read(row: CacheRow, ids: Sequence[int], split: Sequence[int]) -> bytes:
    """The bits of the logits of the last AFTER tokens, read from the start in calls of these lengths."""
    row.rewind(0)
    seen = []
    for length in split:
        start = row.length
        call = ids[start : start + length]
        wanted = length if start >= BEFORE else 1
        logits = row.forward(call, rows=wanted, many=True)
        seen += [logits.tobytes()] if start >= BEFORE else []
    return b"".join(seen)


def _singles(row: CacheRow, ids: Sequence[int]) -> list[bytes]:
    """The bits of the logits of calls of one token, twice: the second time after a rewind."""
    runs = []
    for _ in range(2):
        row.rewind(BEFORE)
        runs.append(b"".join(row.forward((token,)).tobytes() for token in ids[BEFORE : BEFORE + SINGLES]))
    return runs


def _noted(note: Path, key: str) -> bool | None:
    """What a note says; None where there is none, or a damaged or another one."""
    try:
        found = msgspec.json.decode(note.read_bytes(), type=_Note)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return found.holds if found.key == key else None


def _write(note: Path | None, content: _Note) -> None:
    """A note that cannot be written costs a check at the next start, and nothing else."""
    if note is None:
        return
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        partial = note.with_suffix(".part")
        partial.write_bytes(msgspec.json.encode(content))
        partial.rename(note)
    except OSError as error:
        logger.warning("the result of the self-check is not kept: %s", error)

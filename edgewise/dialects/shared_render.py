"""Rendering for many readers of one stream: each record is rendered once, the first time that any of them meets it.

Renderers remember what came before, so each kept block has the state after it beside it: a reader that falls behind the
kept blocks goes on rendering for itself from there, and comes back to them when it has caught up.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable
from typing import NamedTuple, Protocol
from weakref import WeakValueDictionary

from edgewise.streams.log import Record

KEPT_BLOCKS = 512


class Renderer(Protocol):
    """Feeds on a stream's records from sequence 0 on, in order. Its shallow copy must be independent of it."""

    def render(self, record: Record) -> bytes: ...


class _Kept(NamedTuple):
    block: bytes
    after: Renderer


class SharedRenderers:
    """The streams that are being read in this process; one is forgotten when its last reader is gone."""

    def __init__(self, kept_blocks: int = KEPT_BLOCKS) -> None:
        self._kept_blocks = kept_blocks
        self._streams: WeakValueDictionary[str, _SharedBlocks] = WeakValueDictionary()

    def reader(self, sid: str, make: Callable[[], Renderer]) -> SharedRenderer:
        """A renderer of its own for one more reader of the stream `sid`; `make` makes one that has seen nothing."""
        shared = self._streams.get(sid)
        if shared is None:
            shared = self._streams[sid] = _SharedBlocks(make(), self._kept_blocks)
        return SharedRenderer(shared, make)


class _SharedBlocks:
    """The newest rendered blocks of one stream, up to sequence number `next_seq` - 1."""

    def __init__(self, renderer: Renderer, kept_blocks: int) -> None:
        self._renderer = renderer
        self._kept: deque[_Kept] = deque(maxlen=kept_blocks)
        self._next_seq = 0

    def get(self, record: Record) -> _Kept | None:
        """The block of a record that is kept or is the next one; None for an older one."""
        back = self._next_seq - record.seq
        if back == 0:
            block = self._renderer.render(record)
            self._kept.append(_Kept(block, copy.copy(self._renderer)))
            self._next_seq += 1
            return self._kept[-1]
        return self._kept[-back] if 0 < back <= len(self._kept) else None


class SharedRenderer:
    """A Renderer for one reader, which meets every record from sequence 0 on, in order."""

    def __init__(self, shared: _SharedBlocks, make: Callable[[], Renderer]) -> None:
        self._shared = shared
        self._last = make()

    def render(self, record: Record) -> bytes:
        kept = self._shared.get(record)
        if kept is None:
            self._last = copy.copy(self._last)  # it may be the state that others go on from
            return self._last.render(record)
        self._last = kept.after
        return kept.block

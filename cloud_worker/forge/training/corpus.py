"""Training rows: conversations encoded and packed into rows of a few widths, on shelves. Nothing here learns.

In the narrow rows every conversation is a document of its own, which sees nothing of its neighbours. The widest rows
are one document each: there a model learns to find its way in a long chat and at late positions.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from cloud_worker.forge import tokenizer as text
from cloud_worker.forge.curriculum import EVEN, Emphasis, Role, Turn, conversation
from cloud_worker.forge.workers import worker_pool

WIDTHS: Final = (128, 256, 1024)
WIDEST_SHARE: Final = 0.03
SHARD_TOKENS: Final = 400_000
OPEN_ROWS: Final = 12

Cells = NDArray[np.uint16]


class CorpusFileError(Exception):
    """A file of rows that cannot be read; says which, and that it is made again when it is deleted."""


@dataclass(frozen=True)
class Rows:
    """Rows of one width: token ids, 1 where a token belongs to an answer, document numbers; each [n, width].

    Padding is id 0 and document 0; documents of a row count from 1.
    """

    ids: Cells
    answer: Cells
    document: Cells

    def __getitem__(self, chosen: slice) -> Rows:
        return Rows(self.ids[chosen], self.answer[chosen], self.document[chosen])

    @property
    def width(self) -> int:
        """Tokens of one row."""
        return int(self.ids.shape[1])


@dataclass(frozen=True)
class Corpus:
    """One shelf of rows for each of WIDTHS."""

    shelves: tuple[Rows, ...]

    @property
    def tokens(self) -> int:
        """Tokens that are not padding."""
        return sum(int((rows.ids != text.PAD).sum()) for rows in self.shelves)

    def save(self, path: Path) -> None:
        """Write one uncompressed .npz file, whole or not at all."""
        parts = {f"{name}_{rows.width}": value for rows in self.shelves for name, value in vars(rows).items()}
        unfinished = path.with_suffix(".part.npz")
        np.savez(unfinished, **parts)
        unfinished.replace(path)

    @classmethod
    def load(cls, path: Path) -> Corpus:
        """Read what `save` wrote. Raises CorpusFileError."""
        try:
            with np.load(path, allow_pickle=False) as stored:
                names = ("ids", "answer", "document")
                return cls(tuple(Rows(*(stored[f"{name}_{width}"] for name in names)) for width in WIDTHS))
        except Exception as error:
            raise CorpusFileError(f"{path}: expected packed rows ({error}); delete it and start again") from error


class _Packer:
    """First-fit packing: a conversation joins the oldest of the last OPEN_ROWS rows that has room, else a new row."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.rows: list[list[int]] = []
        self.answers: list[list[int]] = []
        self.documents: list[list[int]] = []

    def room(self, size: int) -> int | None:
        """The open row that has room for `size` tokens, or none."""
        first = max(0, len(self.rows) - OPEN_ROWS)
        fits = (index for index in range(first, len(self.rows)) if len(self.rows[index]) + size <= self.width)
        return next(fits, None)

    def add(self, ids: list[int], answer: list[int]) -> None:
        found = self.room(len(ids))
        index = len(self.rows) if found is None else found
        if found is None:
            for shelf in (self.rows, self.answers, self.documents):
                shelf.append([])
        own = self.documents[index][-1] + 1 if self.rows[index] and self.width < WIDTHS[-1] else 1
        self.rows[index] += ids
        self.answers[index] += answer
        self.documents[index] += [own] * len(ids)

    def packed(self) -> Rows:
        return Rows(*(_padded(shelf, self.width) for shelf in (self.rows, self.answers, self.documents)))


def _padded(rows: list[list[int]], width: int) -> Cells:
    out = np.zeros((len(rows), width), dtype=np.uint16)
    for index, row in enumerate(rows):
        out[index, : len(row)] = row
    return out


def _shelf(packers: Sequence[_Packer], size: int) -> _Packer:
    """The narrowest that fits; but a hole that a longer one left in a wider row (not the widest) comes first."""
    fitting = [packer for packer in packers if size <= packer.width]
    holes = (packer for packer in fitting[1:] if packer.width < WIDTHS[-1] and packer.room(size) is not None)
    return next(holes, fitting[0])


def pack(encoded: Sequence[tuple[list[int], list[int]]]) -> Corpus:
    """Rows of conversations given as ids and answer flags, each on the narrowest shelf that it fits."""
    packers = [_Packer(width) for width in WIDTHS]
    for ids, answer in encoded:
        _shelf(packers, len(ids)).add(ids, answer)
    return Corpus(tuple(packer.packed() for packer in packers))


def encode(tokenizer: Tokenizer, turns: tuple[Turn, ...]) -> tuple[list[int], list[int]]:
    """Ids of a conversation and, for each, whether the assistant wrote it (its end token included)."""
    ids: list[int] = []
    answer: list[int] = []
    for turn in turns:
        part = text.encode_chat(tokenizer, (turn,))
        ids += part
        answer += [0] + [int(turn.role is Role.ASSISTANT)] * (len(part) - 1)
    return ids, answer


def pack_shard(tokenizer_file: Path, seed: int, shard: int, tokens: int, emphasis: Emphasis = EVEN) -> Corpus:
    """One shard of about `tokens` tokens; the same arguments give the same rows."""
    tokenizer = text.load(tokenizer_file)
    rng = random.Random(f"corpus {seed} {shard}")
    packers = [_Packer(width) for width in WIDTHS]
    made = 0
    while made < tokens:
        ids, answer = encode(tokenizer, conversation(rng, emphasis))
        if len(ids) > WIDTHS[-1]:
            continue
        (packers[-1] if rng.random() < WIDEST_SHARE else _shelf(packers, len(ids))).add(ids, answer)
        made += len(ids)
    return Corpus(tuple(packer.packed() for packer in packers))


def build(
    tokenizer_file: Path,
    seed: int,
    tokens: int,
    processes: int,
    done: Callable[[int, int], None] = lambda n, of: None,
    emphasis: Emphasis = EVEN,
) -> Corpus:
    """About `tokens` tokens in shards, made by `processes` processes; the number of processes changes nothing.

    `done(n, of)` is called after each shard.
    """
    shards = max(1, round(tokens / SHARD_TOKENS))
    one = partial(pack_shard, tokenizer_file, seed, tokens=-(-tokens // shards), emphasis=emphasis)
    parts: list[Corpus] = []
    with _mapper(processes if shards > 1 else 1) as mapped:
        for part in mapped(one, range(shards)):
            parts.append(part)
            done(len(parts), shards)
    return joined(parts)


def joined(parts: Sequence[Corpus]) -> Corpus:
    """The rows of several corpora, one after the other."""

    def shelf(index: int) -> Rows:
        rows = [part.shelves[index] for part in parts]
        return Rows(*(np.concatenate([getattr(part, name) for part in rows]) for name in ("ids", "answer", "document")))

    return Corpus(tuple(shelf(index) for index in range(len(WIDTHS))))


Mapper = Callable[[Callable[[int], Corpus], range], Iterator[Corpus]]


@contextmanager
def _mapper(processes: int) -> Iterator[Mapper]:
    if processes == 1:
        yield map
        return
    with worker_pool(processes) as pool:
        yield pool.map


@dataclass(frozen=True)
class Deal:
    """Which rows each optimizer step sees: `order[step]` is (shelf, first row); every row once, wide rows spread."""

    order: tuple[tuple[int, int], ...]
    rows: tuple[int, ...]


def deal(corpus: Corpus, step_tokens: int) -> Deal:
    """Cut the corpus into steps of `step_tokens` positions; rows that fill no whole step are left out."""
    counts = tuple(max(1, step_tokens // rows.width) for rows in corpus.shelves)
    steps: list[tuple[float, int, int]] = []
    for shelf, (rows, count) in enumerate(zip(corpus.shelves, counts, strict=True)):
        whole = len(rows.ids) // count
        steps += [(index / whole, shelf, index * count) for index in range(whole)]
    return Deal(tuple((shelf, first) for _, shelf, first in sorted(steps)), counts)

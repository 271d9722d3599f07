"""Training rows: conversations encoded, packed into short and long rows, and dealt to steps. Nothing here learns."""

from __future__ import annotations

import random
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from cloud_worker.forge import tokenizer as text
from cloud_worker.forge.curriculum import Role, Turn, conversation

SHORT_TOKENS: Final = 192
LONG_TOKENS: Final = 1024
LONG_SHARE: Final = 0.1
SHARD_TOKENS: Final = 400_000
OPEN_ROWS: Final = 12

Rows = NDArray[np.uint16]


@dataclass(frozen=True)
class Corpus:
    """Rows of token ids [n, T] and, shaped alike, 1 where a token belongs to an answer; padding is id 0."""

    short: Rows
    short_answer: Rows
    long: Rows
    long_answer: Rows

    @property
    def tokens(self) -> int:
        """Tokens that are not padding."""
        return int((self.short != text.PAD).sum() + (self.long != text.PAD).sum())

    def save(self, path: Path) -> None:
        """Write one uncompressed .npz file."""
        np.savez(path, short=self.short, short_answer=self.short_answer, long=self.long, long_answer=self.long_answer)

    @classmethod
    def load(cls, path: Path) -> Corpus:
        """Read what `save` wrote."""
        with np.load(path) as stored:
            return cls(stored["short"], stored["short_answer"], stored["long"], stored["long_answer"])


class _Packer:
    """First-fit packing: a conversation joins the oldest of the last OPEN_ROWS rows that has room, else a new row."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.rows: list[list[int]] = []
        self.answers: list[list[int]] = []

    def add(self, ids: list[int], answer: list[int]) -> None:
        first = max(0, len(self.rows) - OPEN_ROWS)
        fits = (index for index in range(first, len(self.rows)) if len(self.rows[index]) + len(ids) <= self.width)
        index = next(fits, len(self.rows))
        if index == len(self.rows):
            self.rows.append([])
            self.answers.append([])
        self.rows[index] += ids
        self.answers[index] += answer

    def arrays(self) -> tuple[Rows, Rows]:
        return _padded(self.rows, self.width), _padded(self.answers, self.width)


def _padded(rows: list[list[int]], width: int) -> Rows:
    out = np.zeros((len(rows), width), dtype=np.uint16)
    for index, row in enumerate(rows):
        out[index, : len(row)] = row
    return out


def encode(tokenizer: Tokenizer, turns: tuple[Turn, ...]) -> tuple[list[int], list[int]]:
    """Ids of a conversation and, for each, whether the assistant wrote it (its end token included)."""
    ids: list[int] = []
    answer: list[int] = []
    for turn in turns:
        part = text.encode_chat(tokenizer, (turn,))
        ids += part
        answer += [0] + [int(turn.role is Role.ASSISTANT)] * (len(part) - 1)
    return ids, answer


def pack_shard(tokenizer_file: Path, seed: int, shard: int, tokens: int) -> Corpus:
    """One shard of about `tokens` tokens; the same arguments give the same rows."""
    tokenizer = text.load(tokenizer_file)
    rng = random.Random(f"corpus {seed} {shard}")
    short, long = _Packer(SHORT_TOKENS), _Packer(LONG_TOKENS)
    made = 0
    while made < tokens:
        ids, answer = encode(tokenizer, conversation(rng))
        if len(ids) > LONG_TOKENS:
            continue
        (long if len(ids) > SHORT_TOKENS or rng.random() < LONG_SHARE else short).add(ids, answer)
        made += len(ids)
    return Corpus(*short.arrays(), *long.arrays())


def build(tokenizer_file: Path, seed: int, tokens: int, processes: int) -> Corpus:
    """About `tokens` tokens in shards, made by `processes` processes; the number of processes changes nothing."""
    shards = max(1, round(tokens / SHARD_TOKENS))
    size = -(-tokens // shards)
    one = partial(pack_shard, tokenizer_file, seed, tokens=size)
    if processes == 1:
        parts = [one(shard) for shard in range(shards)]
    else:
        with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
            parts = list(pool.map(one, range(shards)))
    names = ("short", "short_answer", "long", "long_answer")
    return Corpus(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


@dataclass(frozen=True)
class Deal:
    """Which rows each optimizer step sees: `order[step]` is (is_long, first row), every row once, long steps spread."""

    order: tuple[tuple[bool, int], ...]
    short_rows: int
    long_rows: int


def deal(corpus: Corpus, step_tokens: int) -> Deal:
    """Cut the corpus into steps of `step_tokens` positions; rows that fill no whole step are left out."""
    short_rows, long_rows = max(1, step_tokens // SHORT_TOKENS), max(1, step_tokens // LONG_TOKENS)
    kinds = (
        (False, short_rows, len(corpus.short) // short_rows),
        (True, long_rows, len(corpus.long) // long_rows),
    )
    steps = [(i / n, kind, i * rows) for kind, rows, n in kinds for i in range(n)]
    return Deal(tuple((kind, first) for _, kind, first in sorted(steps)), short_rows, long_rows)

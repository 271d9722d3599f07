"""The teacher's labels, made once and kept in a file: its likeliest ids and log-probabilities at answer positions.

A teacher beside every step would halve the throughput; read from a file, its knowledge costs a gather.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from cloud_worker.forge.qwen2 import Qwen2
from cloud_worker.forge.training.corpus import Corpus, CorpusFileError, Rows
from cloud_worker.forge.training.lesson import LayerPass, batch_of, logits_at
from cloud_worker.forge.training.trunk import lean_pass

TOP: Final = 16
BYTES_EACH: Final = 4 * TOP
TOKENS_AT_ONCE: Final = 4096
MARKER: Final = "rows.npz"


@dataclass(frozen=True)
class Shelf:
    """Labels of one width: ids [n, TOP] uint16, log-probabilities [n, TOP] float16, and where each row's begin.

    n counts the answer positions of all rows in order; row r owns first[r]:first[r + 1].
    """

    ids: NDArray[np.uint16]
    log_probs: NDArray[np.float16]
    first: NDArray[np.int64]

    def rows(self, chosen: slice) -> tuple[NDArray[np.uint16], NDArray[np.float16]]:
        """Labels of the chosen rows, in the order of their answer positions."""
        picked = range(*chosen.indices(len(self.first) - 1))
        places = np.concatenate([np.arange(self.first[row], self.first[row + 1]) for row in picked])
        return self.ids[places], self.log_probs[places]


def label(
    teacher: Qwen2,
    corpus: Corpus,
    device: str = "cpu",
    one: LayerPass = lean_pass,
    progress: Callable[[int], None] = lambda tokens: None,
) -> tuple[Shelf, ...]:
    """The labels of every row; `progress(tokens)` is called as rows are done."""
    return tuple(_label_shelf(teacher, rows, device, one, progress) for rows in corpus.shelves)


def _label_shelf(teacher: Qwen2, rows: Rows, device: str, one: LayerPass, progress: Callable[[int], None]) -> Shelf:
    count = max(1, TOKENS_AT_ONCE // rows.width)
    parts = []
    for first in range(0, len(rows.ids), count):
        some = rows[first : first + count]
        whole = len(some.ids) == count
        parts.append(_label_rows(teacher, some, device, one if whole else lean_pass))
        progress(some.ids.size)
    ids = np.concatenate([part[0] for part in parts]) if parts else np.zeros((0, TOP), np.uint16)
    log_probs = np.concatenate([part[1] for part in parts]) if parts else np.zeros((0, TOP), np.float16)
    counts = np.concatenate([part[2] for part in parts]) if parts else np.zeros(0, np.int64)
    return Shelf(ids, log_probs, np.concatenate([np.zeros(1, np.int64), counts.cumsum()]))


@torch.no_grad()
def _label_rows(
    teacher: Qwen2, rows: Rows, device: str, one: LayerPass
) -> tuple[NDArray[np.uint16], NDArray[np.float16], NDArray[np.int64]]:
    batch = batch_of(rows, None, device)
    with torch.autocast(torch.device(device).type, torch.bfloat16):
        logits = logits_at(teacher, batch, batch.answer, one)
    best = logits.log_softmax(-1).topk(TOP)
    ids = best.indices.cpu().numpy().astype(np.uint16)
    return ids, best.values.cpu().numpy().astype(np.float16), batch.answer.sum(1).cpu().numpy().astype(np.int64)


def save(path: Path, corpus: Corpus, shelves: tuple[Shelf, ...]) -> None:
    """Write rows and labels into the folder `path`: one .npy file per array, and last the rows: MARKER."""
    path.mkdir(parents=True, exist_ok=True)
    for index, shelf in enumerate(shelves):
        for name, value in vars(shelf).items():
            np.save(path / f"{name}_{index}.npy", value)
    corpus.save(path / MARKER)


def load(path: Path) -> tuple[Corpus, tuple[Shelf, ...]]:
    """Read what `save` wrote; labels stay on disk and are read as they are used. Raises CorpusFileError."""
    corpus = Corpus.load(path / MARKER)
    try:
        names = ("ids", "log_probs", "first")
        shelves = tuple(
            Shelf(*(np.load(path / f"{name}_{index}.npy", mmap_mode="r", allow_pickle=False) for name in names))
            for index in range(len(corpus.shelves))
        )
    except (OSError, ValueError) as error:
        raise CorpusFileError(f"{path}: expected a teacher's labels ({error}); delete the folder") from error
    for rows, shelf in zip(corpus.shelves, shelves, strict=True):
        if len(shelf.first) != len(rows.ids) + 1 or len(shelf.ids) != shelf.first[-1]:
            raise CorpusFileError(f"{path}: labels and rows do not fit each other; delete the folder")
    return corpus, shelves

"""The cheap examination while training: is every token of an answer the most likely one, given those before it?

For greedy decoding that is the same as giving the reference answer word for word. Its exercises come from a seed of
their own; neither training nor the cards ever see it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from cloud_worker.forge import tokenizer as text
from cloud_worker.forge.curriculum import examination
from cloud_worker.forge.qwen2 import Qwen2
from cloud_worker.forge.training.corpus import WIDTHS, Corpus, encode, pack
from cloud_worker.forge.training.lesson import batch_of, logits_at

SEED: Final = 550_003
GRADES: Final = (1, 2, 3, 4)
ROWS_AT_ONCE: Final = 32


@dataclass(frozen=True)
class Paper:
    """The development examination: for each grade, its exercises in rows, one question and answer a document."""

    grades: tuple[Corpus, ...]


def paper(tokenizer_file: Path, per_cell: int) -> Paper:
    """`per_cell` exercises of each family, grade and language."""
    tokenizer = text.load(tokenizer_file)
    drawn: dict[int, list[tuple[list[int], list[int]]]] = {grade: [] for grade in GRADES}
    for exercise in examination(SEED, per_cell, held_out=False):
        before, _ = encode(tokenizer, exercise.turns()[:-1])
        ids, _ = encode(tokenizer, exercise.turns())
        if len(ids) <= WIDTHS[-2]:
            drawn[exercise.grade].append((ids, [0] * (len(before) + 1) + [1] * (len(ids) - len(before) - 1)))
    return Paper(tuple(pack(drawn[grade]) for grade in GRADES))


def examine(model: Qwen2, given: Paper, rank: int = 0, ranks: int = 1) -> Tensor:
    """Right answers and all answers for each grade, [4, 2], over this rank's share of the rows."""
    return torch.stack([sum_of(_marks(model, corpus, rank, ranks)) for corpus in given.grades])


def sum_of(pairs: Sequence[Tensor]) -> Tensor:
    """The sum of [right, all] pairs."""
    return torch.stack([torch.zeros(2), *pairs]).sum(0)


def _marks(model: Qwen2, corpus: Corpus, rank: int, ranks: int) -> list[Tensor]:
    device = str(next(model.parameters()).device)
    found = []
    for rows in corpus.shelves:
        for first in range(rank, len(rows.ids), ROWS_AT_ONCE * ranks):
            found.append(_right(model, rows[first : first + ROWS_AT_ONCE * ranks : ranks], device))
    return found


@torch.no_grad()
def _right(model: Qwen2, rows: object, device: str) -> Tensor:
    batch = batch_of(rows, None, device)  # type: ignore[arg-type]
    kept = batch.answer
    with torch.autocast(torch.device(device).type, torch.bfloat16):
        hit = logits_at(model, batch, kept).argmax(-1) == batch.targets[kept]
    row = torch.nonzero(kept)[:, 0]
    place = row * (int(batch.documents.max()) + 1) + batch.documents[kept]
    wrong = torch.zeros(int(place.max()) + 1, device=device).index_add_(0, place, (~hit).float())
    asked = torch.zeros_like(wrong).index_fill_(0, place, 1.0)
    return torch.stack([((wrong == 0) & (asked > 0)).sum(), asked.sum()]).float().cpu()

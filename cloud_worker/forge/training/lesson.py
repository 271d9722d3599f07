"""One step's material: rows as tensors, what each position should say, how much it weighs; and the plain loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from cloud_worker.forge.qwen2 import Qwen2
from cloud_worker.forge.training.corpus import WIDTHS, Corpus, Rows, deal
from cloud_worker.forge.training.trunk import lean_pass, trunk

PROMPT_WEIGHT: Final = 0.1
PROMPT_SHARE: Final = 0.15

LayerPass = Callable[..., Tensor]


@dataclass(frozen=True)
class Batch:
    """Rows of one step, each tensor [B, T]: ids, documents, the id that follows, and the weight of saying it.

    `answer` marks the positions whose next token belongs to an answer. The last position says nothing.
    """

    ids: Tensor
    documents: Tensor
    targets: Tensor
    weights: Tensor
    answer: Tensor


def batch_of(rows: Rows, chosen: NDArray[np.bool_] | None, device: str = "cpu") -> Batch:
    """A batch: answer tokens weigh 1; the prompt tokens in `chosen` [B, T] PROMPT_WEIGHT / PROMPT_SHARE, others 0."""
    ids, answer, document = (torch.from_numpy(part.astype(np.int64)).to(device) for part in vars(rows).values())
    targets = functional.pad(ids[:, 1:], (0, 1))
    follows = functional.pad((document[:, 1:] == document[:, :-1]) & (document[:, 1:] > 0), (0, 1))
    said = functional.pad(answer[:, 1:] > 0, (0, 1)) & follows
    weights = said.float()
    if chosen is not None:
        prompt = torch.from_numpy(chosen).to(device) & follows & ~said
        weights += prompt * (PROMPT_WEIGHT / PROMPT_SHARE)
    return Batch(ids, document, targets, weights, said)


def logits_at(model: Qwen2, batch: Batch, kept: Tensor, one: LayerPass = lean_pass) -> Tensor:
    """Logits [n, vocabulary] at the n positions in `kept` [B, T]: the head is not computed anywhere else.

    Rows of the greatest width are one document each (corpus.py).
    """
    whole = batch.ids.shape[1] == WIDTHS[-1]
    hidden = trunk(model, batch.ids, None if whole else batch.documents, one)[kept]
    return model.head(hidden).float()


def hard_loss(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Weighted cross-entropy of logits [n, vocabulary] against targets [n]."""
    each = functional.cross_entropy(logits, targets, reduction="none")
    return (each * weights).sum() / weights.sum()


def plain_loss(model: Qwen2, batch: Batch, one: LayerPass = lean_pass) -> Tensor:
    """The loss of training without a teacher."""
    kept = batch.weights > 0
    return hard_loss(logits_at(model, batch, kept, one), batch.targets[kept], batch.weights[kept])


class Part(Protocol):
    """Some steps of one kind, in a row: how many there are, their tokens, and the loss of each."""

    name: str
    steps: int
    tokens: int

    def loss(self, index: int) -> Tensor:
        """The loss of step `index` of this part, for this rank's share of its rows."""
        ...


class Hand:
    """Deals a corpus to one rank: the rows of each step, and which prompt tokens count."""

    def __init__(self, corpus: Corpus, step_tokens: int, seed: int, rank: int, ranks: int, device: str) -> None:
        self.corpus, self.seed, self.rank, self.ranks, self.device = corpus, seed, rank, ranks, device
        self.step_tokens = step_tokens
        self.deal = deal(corpus, step_tokens)

    @property
    def steps(self) -> int:
        """Steps that the corpus fills."""
        return len(self.deal.order)

    def tokens(self, steps: int) -> int:
        """About how many tokens `steps` steps hold, padding not counted."""
        return round(self.corpus.tokens * steps / self.steps) if self.steps else 0

    def wanted(self, tokens: int) -> int:
        """Steps for `tokens` tokens, as far as the corpus goes."""
        share = tokens / max(1, self.corpus.tokens)
        return min(self.steps, round(self.steps * share))

    def places(self, index: int) -> tuple[int, slice]:
        """Shelf and rows of step `index`."""
        shelf, first = self.deal.order[index]
        return shelf, slice(first + self.rank, first + self.deal.rows[shelf], self.ranks)

    def batch(self, index: int) -> Batch:
        """The batch of step `index`."""
        shelf, mine = self.places(index)
        rows = self.corpus.shelves[shelf][mine]
        chosen = np.random.default_rng((self.seed, index, self.rank)).random(rows.ids.shape) < PROMPT_SHARE
        return batch_of(rows, chosen, self.device)


class Plain:
    """Steps without a teacher: `steps` of them, from step `first` of the deal on."""

    name = "plain"

    def __init__(self, model: Qwen2, hand: Hand, first: int, steps: int, one: LayerPass = lean_pass) -> None:
        self.model, self.hand, self.one, self.first = model, hand, one, first
        self.steps = max(0, min(steps, hand.steps - first))
        self.tokens = hand.tokens(self.steps)

    def loss(self, index: int) -> Tensor:
        """See Part."""
        return plain_loss(self.model, self.hand.batch(self.first + index), self.one)

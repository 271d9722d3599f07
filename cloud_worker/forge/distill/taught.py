"""Steps on labelled rows: the reference answer and the teacher's distribution, blended."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from cloud_worker.forge.distill.labels import Shelf
from cloud_worker.forge.distill.terms import blended, soft_top
from cloud_worker.forge.qwen2 import Qwen2
from cloud_worker.forge.recipes import Lessons
from cloud_worker.forge.training.lesson import Hand, LayerPass, batch_of, hard_loss, logits_at


class Taught:
    """L = α · hard + (1 − α) · T² · soft on answer positions, from labels in a file."""

    name = "taught"

    def __init__(self, model: Qwen2, hand: Hand, labels: tuple[Shelf, ...], lessons: Lessons, one: LayerPass) -> None:
        self.model, self.hand, self.labels, self.lessons, self.one = model, hand, labels, lessons, one
        self.steps = hand.wanted(lessons.taught_tokens)
        self.tokens = hand.tokens(self.steps)

    def loss(self, index: int) -> Tensor:
        """See Part."""
        shelf, mine = self.hand.places(index)
        batch = batch_of(self.hand.corpus.shelves[shelf][mine], None, self.hand.device)
        ids, log_probs = self.labels[shelf].rows(mine)
        logits = logits_at(self.model, batch, batch.answer, self.one)
        hard = hard_loss(logits, batch.targets[batch.answer], batch.weights[batch.answer])
        theirs = torch.from_numpy(ids.astype(np.int64)).to(logits.device)
        sure = torch.from_numpy(log_probs.astype(np.float32)).to(logits.device)
        return blended(hard, soft_top(logits, theirs, sure, self.lessons.temperature), self.lessons.alpha)

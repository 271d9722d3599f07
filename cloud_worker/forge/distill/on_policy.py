"""The last steps of a student: it answers by itself, and its teacher says how likely those words were."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import torch
from torch import Tensor

from cloud_worker.forge.distill.sampling import sample
from cloud_worker.forge.distill.terms import blended, reverse_kl
from cloud_worker.forge.qwen2 import Qwen2
from cloud_worker.forge.recipes import Lessons
from cloud_worker.forge.training.corpus import WIDTHS, Rows
from cloud_worker.forge.training.lesson import Hand, LayerPass, plain_loss
from cloud_worker.forge.training.trunk import lean_pass, trunk

ANSWER_TOKENS: Final = 48


class OnPolicy:
    """α · hard loss on the step's rows + (1 − α) · KL(student || teacher) on its answers to their questions."""

    name = "on_policy"

    def __init__(self, model: Qwen2, teacher: Qwen2, hand: Hand, steps: int, lessons: Lessons, one: LayerPass) -> None:
        self.model, self.teacher, self.hand, self.lessons, self.one = model, teacher, hand, lessons, one
        self.chosen = [index for index, (shelf, _) in enumerate(hand.deal.order) if shelf < len(WIDTHS) - 1]
        self.steps = min(steps, len(self.chosen))
        self.tokens = hand.tokens(self.steps)

    def loss(self, index: int) -> Tensor:
        """See Part."""
        at = self.chosen[index]
        hard = plain_loss(self.model, self.hand.batch(at), self.one)
        shelf, mine = self.hand.places(at)
        prompts = list(questions(self.hand.corpus.shelves[shelf][mine]))
        seed = np.random.default_rng((self.hand.seed, at, self.hand.rank)).integers(2**62)
        generator = torch.Generator().manual_seed(int(seed))
        spoken = sample(self.model, prompts, ANSWER_TOKENS, generator)
        return blended(hard, self._judged(spoken.ids, spoken.written), self.lessons.alpha)

    def _judged(self, ids: Tensor, written: Tensor) -> Tensor:
        documents = torch.ones_like(ids)
        kept = torch.nn.functional.pad(written[:, 1:], (0, 1))
        ours = self.model.head(trunk(self.model, ids, documents, lean_pass)[kept]).float()
        with torch.no_grad():
            theirs = self.teacher.head(trunk(self.teacher, ids, documents, lean_pass)[kept]).float()
        return reverse_kl(ours, theirs)


def questions(rows: Rows) -> Iterator[list[int]]:
    """The first document of each row up to where its first answer begins."""
    for ids, answer in zip(rows.ids, rows.answer, strict=True):
        starts = answer.argmax()
        if starts:
            yield [int(token) for token in ids[:starts]]

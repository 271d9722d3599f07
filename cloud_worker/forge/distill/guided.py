"""Steps with the teacher beside the student: its states and attention maps at the layers that correspond."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from cloud_worker.forge.distill.terms import attention_match, hidden_match, layer_map
from cloud_worker.forge.qwen2 import Qwen2
from cloud_worker.forge.qwen2_config import Qwen2Config
from cloud_worker.forge.recipes import Lessons
from cloud_worker.forge.training.lesson import Batch, Hand, hard_loss
from cloud_worker.forge.training.trunk import Seen, observed

if TYPE_CHECKING:
    from cloud_worker.forge.training.train import Job, Pupil


def bridge_for(job: Job) -> nn.ModuleList:
    """Projections from the student's width to its teacher's, one a layer; none where nothing guides or widths agree."""
    lessons = job.recipe.lessons
    if lessons is None or job.teacher is None or not (lessons.guided_tokens and lessons.hidden):
        return nn.ModuleList()
    theirs, ours = Qwen2Config.from_file(job.teacher), job.recipe.config
    if theirs.hidden_size == ours.hidden_size:
        return nn.ModuleList()
    torch.manual_seed(job.seed)
    layers = range(ours.num_hidden_layers)
    return nn.ModuleList(nn.Linear(ours.hidden_size, theirs.hidden_size, bias=False) for _ in layers)


def guidance(pupil: Pupil, ours: Seen, theirs: Seen, batch: Batch, lessons: Lessons) -> Tensor:
    """The mean over mapped layers of both guided terms: states at answer positions, attention of every token."""
    said, tokens = batch.answer, batch.documents > 0
    pairs = list(enumerate(layer_map(len(ours.states), len(theirs.states))))
    total = torch.zeros((), device=said.device)
    for layer, at in pairs:
        if lessons.hidden:
            state = ours.states[layer][said]
            state = pupil.bridge[layer](state) if len(pupil.bridge) else state
            total = total + lessons.hidden * hidden_match(state, theirs.states[at][said])
        if lessons.attention:
            total = total + lessons.attention * attention_match(ours.maps[layer], theirs.maps[at], tokens)
    return total / len(pairs)


class Guided:
    """The first steps of a student: the hard loss and the guidance of its teacher."""

    name = "guided"

    def __init__(self, pupil: Pupil, teacher: Qwen2, hand: Hand, steps: int, lessons: Lessons) -> None:
        self.pupil, self.teacher, self.hand, self.lessons = pupil, teacher, hand, lessons
        self.steps = min(steps, hand.steps)
        self.tokens = hand.tokens(self.steps)

    def loss(self, index: int) -> Tensor:
        """See Part."""
        batch = self.hand.batch(index)
        ours = observed(self.pupil.model, batch.ids, batch.documents)
        with torch.no_grad():
            theirs = observed(self.teacher, batch.ids, batch.documents)
        return self._hard(batch, ours) + guidance(self.pupil, ours, theirs, batch, self.lessons)

    def _hard(self, batch: Batch, ours: Seen) -> Tensor:
        kept = batch.weights > 0
        logits = self.pupil.model.head(ours.hidden[kept]).float()
        return hard_loss(logits, batch.targets[kept], batch.weights[kept])

"""Which parts of a student's training come before and after the plain one, as its recipe says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloud_worker.forge.distill import labels
from cloud_worker.forge.distill.guided import Guided
from cloud_worker.forge.distill.on_policy import OnPolicy
from cloud_worker.forge.distill.taught import Taught
from cloud_worker.forge.qwen2 import Qwen2
from cloud_worker.forge.training.lesson import Hand, LayerPass, Part

if TYPE_CHECKING:
    from cloud_worker.forge.training.train import Job, Pupil


def before_plain(job: Job, pupil: Pupil, hand: Hand) -> list[Part]:
    """The guided steps, on the first rows of the plain corpus."""
    lessons = job.recipe.lessons
    if lessons is None or job.teacher is None or not lessons.guided_tokens:
        return []
    teacher = Qwen2.load(job.teacher, device=job.device)
    return [Guided(pupil, teacher, hand, hand.wanted(lessons.guided_tokens), lessons)]


def after_plain(job: Job, pupil: Pupil, rank: int, one: LayerPass) -> list[Part]:
    """The taught steps, then the on-policy steps on the questions of the same rows."""
    lessons, recipe = job.recipe.lessons, job.recipe
    if lessons is None or job.labelled is None:
        return []
    corpus, shelves = labels.load(job.labelled)
    hand = Hand(corpus, recipe.step_tokens, job.seed, rank, job.ranks, job.device)
    parts: list[Part] = []
    if lessons.taught_tokens:
        parts.append(Taught(pupil.model, hand, shelves, lessons, one))
    if lessons.on_policy_tokens and job.teacher is not None:
        teacher = Qwen2.load(job.teacher, device=job.device)
        parts.append(OnPolicy(pupil.model, teacher, hand, hand.wanted(lessons.on_policy_tokens), lessons, one))
    return parts

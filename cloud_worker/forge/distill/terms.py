"""The terms of distillation, each a pure function of tensors, and their registry. No model, no file, no step.

Positions are counted by n: logits are [n, vocabulary]. Every term is a mean over positions in nats (or a mean square).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional


def soft(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """T² · KL(teacher || student) of distributions tempered by T (Hinton et al., 2015); both are logits [n, V].

    T² keeps the gradient's size; for T → ∞ the term tends to half the mean square of the centred logits' difference.
    """
    return temperature**2 * _kl((teacher / temperature).log_softmax(-1), (student / temperature).log_softmax(-1))


def soft_top(student: Tensor, ids: Tensor, log_probs: Tensor, temperature: float) -> Tensor:
    """`soft` with only the teacher's k likeliest ids [n, k] and their log-probabilities [n, k].

    The teacher's distribution is tempered and normalised over those k; the student's is over the whole vocabulary. With
    k = V it is `soft`.
    """
    theirs = (log_probs / temperature).log_softmax(-1)
    ours = (student / temperature).log_softmax(-1).gather(-1, ids)
    return temperature**2 * _kl(theirs, ours)


def blended(hard: Tensor, soft_term: Tensor, alpha: float) -> Tensor:
    """L = α · hard + (1 − α) · soft, where the soft term brings its T²."""
    return alpha * hard + (1 - alpha) * soft_term


def hidden_match(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean square difference of states [n, width], each scaled to unit root mean square: sizes do not count."""
    return (_unit(student) - _unit(teacher)).square().mean()


def attention_match(student: Tensor, teacher: Tensor, counted: Tensor) -> Tensor:
    """KL(teacher || student) of attention rows averaged over heads; maps are [B, heads, T, T], heads may differ.

    The rows of the positions in `counted` [B, T] count: padding attends to padding and teaches nothing.
    """
    theirs, ours = (maps.float().mean(1)[counted].clamp_min(1e-9).log() for maps in (teacher, student))
    return _kl(theirs, ours)


def reverse_kl(student: Tensor, teacher: Tensor) -> Tensor:
    """KL(student || teacher) at positions that the student wrote (Gu et al., 2023; Agarwal et al., 2023); logits."""
    return _kl(student.log_softmax(-1), teacher.log_softmax(-1))


def layer_map(student_layers: int, teacher_layers: int) -> tuple[int, ...]:
    """For each layer of the student the teacher's layer at the same relative depth; the last maps to the last."""
    return tuple(-(-(layer + 1) * teacher_layers // student_layers) - 1 for layer in range(student_layers))


def _kl(left: Tensor, right: Tensor) -> Tensor:
    """Mean over positions of KL(left || right), both log-probabilities."""
    return functional.kl_div(right, left, reduction="none", log_target=True).sum(-1).mean()


def _unit(states: Tensor) -> Tensor:
    wide = states.float()
    return wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + 1e-6)


@dataclass(frozen=True, slots=True)
class Term:
    """One row of the registry: what the term is for, and which part of the training uses it."""

    part: str
    purpose: str


TERMS: Final[Mapping[str, Term]] = {
    "hard": Term("plain", "cross-entropy with the reference answer"),
    "soft": Term("taught", "the teacher's tempered distribution, from its cached labels"),
    "hidden": Term("guided", "the teacher's states at mapped layers, through a learned projection"),
    "attention": Term("guided", "the teacher's attention maps at mapped layers"),
    "on_policy": Term("on_policy", "reverse KL on what the student itself says"),
    "progressive": Term("taught", "a teacher of the next larger size instead of the largest"),
}

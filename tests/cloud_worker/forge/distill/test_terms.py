"""The terms of distillation: limits, gradients and the cases that can be worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from cloud_worker.forge.distill import terms

torch.manual_seed(0)
STUDENT, TEACHER = torch.randn(6, 9, dtype=torch.float64), torch.randn(6, 9, dtype=torch.float64)


def gradient(term: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
    return torch.autograd.grad(term, at)[0]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_no_term_asks_for_anything_of_a_student_that_equals_its_teacher(temperature: float) -> None:
    student = TEACHER.clone().requires_grad_()
    for term in (terms.soft(student, TEACHER, temperature), terms.reverse_kl(student, TEACHER)):
        assert abs(float(term)) < 1e-12
        assert gradient(term, student).abs().max() < 1e-12


def test_soft_at_one_is_cross_entropy_less_entropy() -> None:
    theirs = TEACHER.softmax(-1)
    cross = -(theirs * STUDENT.log_softmax(-1)).sum(-1).mean()
    entropy = -(theirs * TEACHER.log_softmax(-1)).sum(-1).mean()
    assert torch.isclose(terms.soft(STUDENT, TEACHER, 1.0), cross - entropy)


def test_soft_tends_to_the_square_of_centred_logits() -> None:
    gap = (STUDENT - STUDENT.mean(-1, keepdim=True)) - (TEACHER - TEACHER.mean(-1, keepdim=True))
    assert torch.isclose(terms.soft(STUDENT, TEACHER, 1e4), gap.square().mean() / 2, rtol=1e-3)


def test_the_square_of_the_temperature_keeps_the_gradient_s_size() -> None:
    student = (TEACHER + 0.01 * STUDENT).requires_grad_()
    sizes = [float(gradient(terms.soft(student, TEACHER, hot), student).norm()) for hot in (10.0, 100.0)]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.1)


def test_the_gradient_of_soft_is_the_difference_of_distributions() -> None:
    student, hot = STUDENT.clone().requires_grad_(), 2.0
    expected = hot * ((STUDENT / hot).softmax(-1) - (TEACHER / hot).softmax(-1)) / len(STUDENT)
    assert torch.allclose(gradient(terms.soft(student, TEACHER, hot), student), expected)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_all_of_the_vocabulary_makes_the_cached_term_the_exact_one(temperature: float) -> None:
    best = TEACHER.log_softmax(-1).topk(9)
    found = terms.soft_top(STUDENT, best.indices, best.values, temperature)
    assert torch.isclose(found, terms.soft(STUDENT, TEACHER, temperature))


def test_a_few_likely_ids_come_close_when_they_hold_the_mass() -> None:
    sure = torch.tensor([[9.0, 4.0, -9.0, -9.0]])
    best = sure.log_softmax(-1).topk(2)
    student = torch.tensor([[1.0, 0.5, 0.2, 0.1]])
    found = terms.soft_top(student, best.indices, best.values, 1.0)
    assert torch.isclose(found, terms.soft(student, sure, 1.0), atol=1e-3)


def test_alpha_one_is_plain_and_alpha_zero_is_soft() -> None:
    hard, soft = torch.tensor(3.0), torch.tensor(5.0)
    assert [float(terms.blended(hard, soft, alpha)) for alpha in (1.0, 0.0, 0.25)] == [3.0, 5.0, 4.5]


def test_hidden_match_counts_directions_and_not_sizes() -> None:
    states = torch.randn(5, 8)
    assert float(terms.hidden_match(states * 3, states)) == pytest.approx(0, abs=1e-6)
    assert float(terms.hidden_match(-states, states)) == pytest.approx(4, abs=1e-3)


def test_attention_match_averages_heads_first() -> None:
    even, first = torch.tensor([[0.5, 0.5]]), torch.tensor([[1.0, 0.0]])
    teacher = torch.stack([first, 1 - first])[None]
    every = torch.ones(1, 1, dtype=torch.bool)
    assert float(terms.attention_match(even[None, None], teacher, every)) == pytest.approx(0, abs=1e-6)
    one = terms.attention_match(even[None, None], first[None, None], every)
    assert float(one) == pytest.approx(math.log(2), abs=1e-5)


def test_attention_of_padding_does_not_count() -> None:
    even, first = torch.tensor([0.5, 0.5]), torch.tensor([1.0, 0.0])
    ours, theirs = torch.stack([even, even])[None, None], torch.stack([first, even])[None, None]
    found = terms.attention_match(ours, theirs, torch.tensor([[True, False]]))
    assert float(found) == pytest.approx(math.log(2), abs=1e-5)


def test_reverse_kl_forgives_what_the_student_does_not_say() -> None:
    teacher = torch.tensor([[0.0, 0.0, -50.0]])
    narrow, broad = torch.tensor([[9.0, -9.0, -50.0]]), torch.tensor([[0.0, 0.0, 0.0]])
    assert terms.reverse_kl(narrow, teacher) < 1 < terms.reverse_kl(broad, teacher)


@pytest.mark.parametrize(
    ("student", "teacher", "expected"),
    [(4, 8, (1, 3, 5, 7)), (2, 4, (1, 3)), (3, 8, (2, 5, 7)), (8, 8, tuple(range(8))), (4, 2, (0, 0, 1, 1))],
)
def test_layers_map_to_the_same_depth(student: int, teacher: int, expected: tuple[int, ...]) -> None:
    assert terms.layer_map(student, teacher) == expected


def test_the_registry_names_every_term_once_with_a_part() -> None:
    assert set(terms.TERMS) == {"hard", "soft", "hidden", "attention", "on_policy", "progressive"}
    assert {term.part for term in terms.TERMS.values()} == {"plain", "taught", "guided", "on_policy"}

"""Formulas, their contraries and their clauses against all values of their variables."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import cast

from hypothesis import given, settings
from hypothesis import strategies as st

from policies.analysis.formulas import FALSE, TRUE, Formulas
from policies.analysis.solver import Budget, Core, Model, solve

_FULL = (0b11, 0b111, 0b111)
_WORLDS = list(product((1, 2), (1, 2, 4), (1, 2, 4)))

Build = tuple[str, object]
_literals = st.tuples(st.just("is"), st.tuples(st.integers(0, 2), st.integers(0, 7)))
_builds = st.recursive(
    _literals,
    lambda inner: st.tuples(st.sampled_from(["all", "any", "not"]), st.lists(inner, min_size=1, max_size=3)),
    max_leaves=10,
)


def _formula(formulas: Formulas, build: Build) -> int:
    kind, content = build
    if kind == "is":
        return formulas.is_one_of(*content)  # type: ignore[misc]
    parts = [_formula(formulas, part) for part in content]  # type: ignore[attr-defined]
    if kind == "not":
        return formulas.negated(parts[0])
    return formulas.every(parts) if kind == "all" else formulas.some(parts)


def _truth(build: Build) -> Callable[[tuple[int, ...]], bool]:
    kind, content = build
    if kind == "is":
        variable, values = cast("tuple[int, int]", content)
        return lambda world: bool(world[variable] & values)
    parts = [_truth(part) for part in content]  # type: ignore[attr-defined]
    if kind == "not":
        return lambda world: not parts[0](world)
    settle = all if kind == "all" else any
    return lambda world: settle(part(world) for part in parts)


@settings(max_examples=60, deadline=None)
@given(st.lists(_builds, min_size=1, max_size=4))
def test_the_search_agrees_with_all_worlds(builds: list[Build]) -> None:
    formulas = Formulas(_FULL)
    groups = [formulas.clauses(_formula(formulas, build)) for build in builds]
    answer = solve(formulas.full, groups, (0, 0, 0), Budget())
    truths = [_truth(build) for build in builds]
    good = [world for world in _WORLDS if all(truth(world) for truth in truths)]
    if isinstance(answer, Model):
        within = [world for world in _WORLDS if all(v & m for v, m in zip(world, answer.values, strict=False))]
        assert within
        assert set(within) <= set(good)
    else:
        assert isinstance(answer, Core)
        assert not any(all(truths[at](world) for at in answer.groups) for world in _WORLDS)


@settings(max_examples=60, deadline=None)
@given(_builds)
def test_a_formula_and_its_contrary_exclude_each_other(build: Build) -> None:
    formulas = Formulas(_FULL)
    formula = _formula(formulas, build)
    contrary = formulas.negated(formula)
    assert formulas.negated(contrary) == formula
    assert formulas.every([formula, contrary]) == FALSE
    assert formulas.some([contrary, formula]) == TRUE


def test_equal_formulas_are_one() -> None:
    formulas = Formulas(_FULL)
    one, other = formulas.is_one_of(1, 0b001), formulas.is_one_of(2, 0b110)
    assert formulas.some([one, other]) == formulas.some([other, one, other])
    assert formulas.every([formulas.is_one_of(1, 0b011), formulas.is_one_of(1, 0b101)]) == one


def test_a_spent_budget_is_no_answer() -> None:
    """Six pigeons in five holes: no two in one hole cannot be, and every single ban is needed for that."""
    pigeons = range(6)
    formulas = Formulas([0b11111] * len(pigeons))
    apart = [
        formulas.some(
            [formulas.negated(formulas.is_one_of(a, 1 << hole)), formulas.negated(formulas.is_one_of(b, 1 << hole))]
        )
        for a in pigeons
        for b in range(a)
        for hole in range(5)
    ]
    groups = [formulas.clauses(each) for each in apart]
    assert solve(formulas.full, groups, [0] * len(pigeons), Budget(3)) is None
    assert solve(formulas.full, groups, [0] * len(pigeons), Budget()) == Core(tuple(range(len(groups))))

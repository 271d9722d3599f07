"""The mixed-precision planner: the rule of thirds, the exact choice against brute force, bad input."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_worker.architectures import model_sizes
from cloud_worker.forge.plan.inputs import PlanInputError
from cloud_worker.forge.plan.mixed import CHOICES, Damage, by_sensitivity, by_thirds, read_damage
from cloud_worker.forge.plan.weights import PRECISIONS, Part, even_parts, parts_of, weight_bytes

ROOT = Path(__file__).parents[4]
NINE = even_parts(1_100_000, 9, embedding=100_000, head=100_000)
DAMAGES = st.fixed_dictionaries({name: st.floats(0, 100) for name in CHOICES})


def sized(part: Part, precision: str) -> int:
    return weight_bytes(part.parameters, PRECISIONS[precision])


def test_the_rule_of_thirds() -> None:
    plan = by_thirds(NINE, 10**9)
    assert [choice.precision for choice in plan.choices] == [
        "float16", *["int8"] * 3, *["int4"] * 3, *["int8"] * 3, "float16"
    ]  # fmt: skip
    assert plan.fits and plan.damage is None
    assert plan.bytes == sum(choice.bytes for choice in plan.choices)


@pytest.mark.parametrize(("layers", "middle"), [(1, 1), (2, 0), (3, 1), (4, 2), (28, 10), (32, 10)])
def test_thirds_of_any_number_of_layers(layers: int, middle: int) -> None:
    precisions = [choice.precision for choice in by_thirds(even_parts(1000, layers), 10**6).choices]
    assert precisions.count("int4") == middle
    assert precisions[0] == precisions[-1]


def test_the_rule_says_when_it_does_not_fit() -> None:
    plan = by_thirds(NINE, 1000)
    assert not plan.fits and plan.smallest_bytes == sum(sized(part, "int4") for part in NINE)


@given(st.data())
def test_the_choice_is_as_good_as_trying_all(data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.integers(1, 500), min_size=1, max_size=5))
    parts = [Part(f"layer.{index}", size) for index, size in enumerate(sizes)]
    damage: Damage = {part.name: data.draw(DAMAGES) for part in parts}
    budget = data.draw(st.integers(1, sum(sized(part, "float16") for part in parts) + 10))
    found = by_sensitivity(parts, budget, damage)
    every = itertools.product(CHOICES, repeat=len(parts))
    fitting = [
        (sum(damage[part.name][name] for part, name in zip(parts, chosen, strict=True)), size)
        for chosen in every
        if (size := sum(map(sized, parts, chosen))) <= budget
    ]
    assert found.fits == bool(fitting)
    if fitting:
        assert (found.damage, found.bytes) == min(fitting)


def test_bits_go_where_they_help() -> None:
    damage = read_damage({part.name: 1.0 + 9 * (part.name == "layer.4") for part in NINE}, NINE)
    tight = by_sensitivity(NINE, sum(sized(part, "int4") for part in NINE) + 60_000, damage)
    assert [choice.part for choice in tight.choices if choice.precision != "int4"] == ["layer.4"]


def test_eighty_layers_alike_are_chosen_at_once() -> None:
    parts = even_parts(80_000_000, 80)
    ranking = [part.name for part in parts]
    plan = by_sensitivity(parts, 60_000_000, read_damage(ranking, parts))
    assert plan.fits and plan.choices[0].precision == "int8" and plan.choices[-1].precision == "int4"


def test_too_many_different_sizes_are_refused_and_not_tried() -> None:
    parts = [Part(f"layer.{index}", 3**index * 64) for index in range(4)]
    with pytest.raises(PlanInputError, match="too many parts"):
        by_sensitivity(parts, 10**9, read_damage([part.name for part in parts], parts), front_most=4)


def test_the_parts_of_a_model_are_all_of_it() -> None:
    sizes = model_sizes(ROOT / "reference_models" / "cloud")
    assert sum(part.parameters for part in parts_of(sizes)) == sizes.parameters


def test_measured_damage_is_taken_as_it_is() -> None:
    raw = {"layer.0": {"int4": 3.0, "int8": 2.0, "float16": 1.0}}
    assert read_damage(raw, even_parts(10, 1)) == raw


@pytest.mark.parametrize(
    "raw",
    [None, 3, {"layer.9": 1}, {"layer.0": "x"}, {"layer.0": -1}, {"layer.0": float("nan")}, {"layer.0": 10**400}, [[]],
     {"layer.0": {"int4": True}}],
)  # fmt: skip
def test_bad_sensitivity(raw: Any) -> None:
    with pytest.raises(PlanInputError):
        read_damage(raw, even_parts(10, 2))


def test_a_sensitivity_must_name_every_part() -> None:
    parts = even_parts(10, 2)
    with pytest.raises(PlanInputError, match=r"layer\.1 at int4 is missing"):
        by_sensitivity(parts, 100, read_damage({"layer.0": 1}, parts))


@pytest.mark.parametrize(
    ("parameters", "layers", "embedding"), [(0, 1, 0), (5, 0, 0), (5, 9, 0), (5, 1, 5), (5, 1, -1)]
)
def test_bad_sizes(parameters: int, layers: int, embedding: int) -> None:
    with pytest.raises(PlanInputError):
        even_parts(parameters, layers, embedding)

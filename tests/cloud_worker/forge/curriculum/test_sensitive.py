"""Sensitive twins: the same task beside personal data that the request facts find, and that nobody was ever given."""

from __future__ import annotations

import random
import re
from itertools import islice

import pytest

from cloud_worker.forge.curriculum import FAMILIES, Family, Language, examination, twin, twins
from cloud_worker.forge.curriculum.sensitive import (
    TEST_CARDS,
    american_phone,
    chinese_mobile,
    resident_id,
    social_security_number,
)
from edgewise.facts.formats import luhn_is_valid, resident_id_is_valid
from edgewise.facts.sensitivity import sensitivity_of

CELLS = [pytest.param(family, language, id=f"{family.name}-{language}") for family in FAMILIES for language in Language]


@pytest.mark.parametrize(("family", "language"), CELLS)
def test_the_facts_call_the_twin_sensitive_and_its_original_public(family: Family, language: Language) -> None:
    rng = random.Random(f"{family.name} {language}")
    for _ in range(30):
        plain = family.exercise(rng, language, rng.choice(family.grades), held_out=rng.random() < 0.5)
        private = twin(plain, rng)
        assert sensitivity_of([turn.content for turn in plain.turns()[:-1]]).level == "public", plain
        assert sensitivity_of([private.question]).level in ("personal", "secret"), private


def test_a_twin_keeps_task_answer_and_check() -> None:
    for plain, private in islice(twins(examination(1, 1, held_out=False), seed=3), 100):
        assert plain.question in private.question
        assert (private.answer, private.check, private.earlier) == (plain.answer, plain.check, plain.earlier)
        assert (private.task, private.kind, private.sensitive, plain.sensitive) == (plain.task, plain.kind, True, False)


def test_the_seed_decides_the_data() -> None:
    def some(seed: int) -> list[str]:
        return [private.question for _, private in islice(twins(examination(1, 1, held_out=False), seed), 20)]

    assert some(1) == some(1)
    assert some(1) != some(2)


def test_every_kind_of_data_is_from_a_range_never_issued() -> None:
    rng = random.Random(0)
    for _ in range(200):
        number = resident_id(rng)
        assert number.startswith("999999")
        assert resident_id_is_valid(number)
        assert re.fullmatch(r"1540000\d{4}", chinese_mobile(rng))
        assert re.fullmatch(r"\d{3}-555-01\d\d", american_phone(rng))
        assert re.fullmatch(r"9\d\d-(?!00)\d\d-(?!0000)\d{4}", social_security_number(rng))
    assert all(luhn_is_valid(card) for card in TEST_CARDS)

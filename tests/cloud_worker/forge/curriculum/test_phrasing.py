"""Held-out phrasings stay out of training's; typing noise keeps what a question is about."""

from __future__ import annotations

import random
from collections.abc import Iterator
from types import ModuleType

import pytest

from cloud_worker.forge.curriculum import (
    Language,
    chat,
    code,
    dialogue,
    edge_cases,
    facts,
    greetings,
    home,
    identity,
    introductions,
    json_objects,
    listing,
    lists,
    long_answers,
    lookup,
    material,
    phrases,
    records,
    relation,
    sensitive,
    sums,
    transform,
)
from cloud_worker.forge.curriculum.phrasing import Form, typed

WORDS = (code, dialogue, edge_cases, home, introductions, json_objects, listing, lookup, material)
MORE_WORDS = (phrases, records, relation, sensitive, transform)
TABLES = (chat, facts, greetings, identity, lists, long_answers, sums, *WORDS, *MORE_WORDS)


def forms_in(value: object) -> Iterator[Form]:
    """Every Form in nested dictionaries and tuples."""
    if isinstance(value, Form):
        yield value
    elif isinstance(value, dict | tuple):
        for part in value.values() if isinstance(value, dict) else value:
            yield from forms_in(part)


@pytest.mark.parametrize("module", TABLES, ids=lambda module: module.__name__.rsplit(".", 1)[1])
def test_no_phrasing_is_both_known_and_held_out(module: ModuleType) -> None:
    forms = [form for value in vars(module).values() for form in forms_in(value)]
    assert forms
    for form in forms:
        assert not set(form.known) & set(form.held_out)
        assert form.held_out


@pytest.mark.parametrize("module", (*WORDS, *MORE_WORDS), ids=lambda module: module.__name__.rsplit(".", 1)[1])
def test_a_form_has_fifteen_phrasings_and_holds_some_out(module: ModuleType) -> None:
    for form in (form for value in vars(module).values() for form in forms_in(value)):
        assert len(set(form.known)) >= 15
        assert len(set(form.held_out)) >= 3


def test_a_form_chooses_among_the_asked_kind() -> None:
    form = Form(("a",), ("b",))
    assert form.choose(random.Random(0), held_out=False) == "a"
    assert form.choose(random.Random(0), held_out=True) == "b"


@pytest.mark.parametrize(("language", "kept"), [(Language.ENGLISH, "17 + 26"), (Language.CHINESE, "法国的首都")])
def test_typing_noise_keeps_the_matter(language: Language, kept: str) -> None:
    rng = random.Random(1)
    shown = {typed(f"{kept}?", language, rng) for _ in range(200)}
    assert len(shown) > 10
    assert all(kept in text for text in shown)

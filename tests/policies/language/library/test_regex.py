"""`matches` as the language has it."""

from __future__ import annotations

import pytest

from policies.language.functions import Registry, dispatch
from policies.language.library.regex import OVERLOADS, compiled
from policies.language.values import EvaluationError

REGISTRY = Registry(OVERLOADS)


@pytest.mark.parametrize(
    ("text", "pattern", "found"),
    [("cows", "", True), ("", "", True), ("abcd", "bc", True), ("abcd", "^bc", False), ("mañana", "a+ñ+a+", True)],
)
def test_both_forms(text: str, pattern: str, found: bool) -> None:
    forms = REGISTRY.by_name["matches"]
    assert [(form.id, form.method) for form in forms] == [("matches", False), ("matches_method", True)]
    assert [dispatch("matches", [form], [text, pattern]) for form in forms] == [found, found]


def test_a_bad_pattern_is_an_error_of_the_evaluation() -> None:
    with pytest.raises(EvaluationError, match=r"at character 4: .*backreference"):
        REGISTRY.by_id["matches"].run("a", r"(a)\1")


def test_patterns_are_kept_and_not_without_end() -> None:
    assert compiled("kept once") is compiled("kept once")
    for number in range(300):
        compiled(f"a{number}")
    assert compiled.cache_info().currsize <= 128


def test_work_grows_with_text_and_pattern() -> None:
    for form in OVERLOADS:
        assert form.fallible
        assert form.constant == (1,)
        assert form.work([0, 0]) == 1
        assert form.work([4096, 20]) == 65 * 21
        assert form.size([4096, 20]) == 1

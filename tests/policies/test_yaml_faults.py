"""Texts that are no YAML: the place that is told is where the author mistyped, not where the parser noticed."""

from __future__ import annotations

import pytest

from tests.policies.documents import HEAD, TAIL, problems

RULES = "  rules:\n    - id: a\n      when: request.turns > 1\n      decide: {mode: edge}\n"


@pytest.mark.parametrize(
    ("right", "wrong", "place", "message", "remedy"),
    [
        ("decide: {mode: edge}", "decide: {mode: edge", (8, 15), "'{' is not closed", "add }"),
        ("{mode: race}", "{mode: [race}", (9, 24), "expected ',' or ']', but got '}'", ""),
        ("when: request", "when: 'request", (7, 13), "this quote is not closed", "add '"),
        ("when: request", 'when: "request', (7, 13), "this quote is not closed", 'add "'),
        ("when: request.turns", "when request.turns", (7, 7), "no ': ' behind a key", ""),
        ("when: request.turns", "when:request.turns", (7, 7), "no ': ' behind a key", ""),
        ("id: a", "id a", (6, 7), "no ': ' behind a key", ""),
        ("- id", "-id", (6, 5), "one dash and a space", "write - "),
        ("- id", "-- id", (6, 5), "one dash and a space", "write - "),
        ("      decide:", "       decide:", (8, 8), "indented further", "indent it as its like"),
        ("decide: {", "decide:{", (8, 7), "means nothing here", "write decide: with"),
        ("decide: {mode: edge}", "decide:{mode: edge, fallback: []}", (8, 7), "a colon and a space", "write decide: "),
        ("decide: {mode: edge}", "decide {mode: edge, fallback: []}", (8, 7), "a colon and a space", "write decide: "),
        ("decide: {", "decide: ", (8, 15), "holds a ':' and is not in quotes", "in quotes"),
        ("when: request.turns > 1", "when: !request.needs_fresh || true", (7, 13), "the tag", "in quotes"),
        ("when: request.turns > 1", "when: !request.needs_fresh", (7, 13), "the tag", "in quotes"),
        ("  rules:", "\trules:", (5, 1), "cannot start any token", "indent with spaces"),
    ],
)
def test_the_place_of_what_was_mistyped(
    right: str, wrong: str, place: tuple[int, int], message: str, remedy: str
) -> None:
    found = problems(HEAD + RULES.replace(right, wrong, 1) + TAIL.replace(right, wrong, 1))[0]
    assert (found.line, found.column) == place
    assert message in found.message and remedy in found.suggestion


def test_a_bracket_that_is_open_over_lines_is_not_blamed_for_what_is_in_it() -> None:
    text = HEAD + RULES.replace("{mode: edge}", "{\n        mode: edge,\n        reason: a: b }") + TAIL
    assert (problems(text)[0].line, problems(text)[0].column) == (10, 18)


def test_lines_that_end_as_windows_ends_them() -> None:
    text = (HEAD + RULES.replace("edge}", "edge") + TAIL).replace("\n", "\r\n")
    assert (problems(text)[0].line, problems(text)[0].column) == (8, 15)

"""Any text as a policy or an expression: PolicyError or a policy, never anything else, and in bounded time."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from policies import FACTS, Policy, PolicyError
from policies.language.parser import parse
from policies.library import seed_text
from tests.policies.documents import with_rules

_WORDS = [
    *FACTS,
    "has",
    "in",
    "true",
    "&&",
    "||",
    "!",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ".",
    ",",
    "?",
    ":",
    "==",
    "<",
    "-",
]
_WORDS += ["'a'", '"', "'", "\\", "1", "2.5", "9" * 30, "all", "x", "orValue", "\n", "//", "and", "你", "\ud800"]
soup = st.lists(st.sampled_from(_WORDS), max_size=40).map(" ".join) | st.text(max_size=80)


def load(text: str) -> Policy | None:
    """The policy, or None when it was refused with problems that lie in the text."""
    try:
        return Policy.load(text)
    except PolicyError as error:
        assert error.problems and str(error)
        assert all(problem.line >= 1 and problem.column >= 1 for problem in error.problems)
        return None


@settings(max_examples=200, deadline=None)
@given(soup)
def test_any_expression(text: str) -> None:
    node, faults = parse(text)
    assert node is not None
    assert all(0 <= fault.span.start <= fault.span.end <= len(text) for fault in faults)
    load(with_rules([(text, "edge")]))


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda raw: raw.decode("latin-1")))
def test_any_text(text: str) -> None:
    assert load(text) is None


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_damage_to_a_policy(data: st.DataObject) -> None:
    text = seed_text()[:6000]
    at = data.draw(st.integers(0, len(text)))
    length = data.draw(st.integers(0, 12))
    load(text[:at] + data.draw(soup) + text[at + length :])


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.from_regex(r"[a-z]{1,8}", fullmatch=True), st.text(max_size=30) | st.integers() | st.floats(), max_size=4
    )
)
def test_the_canonical_form_is_stable(params: dict[str, str | int | float]) -> None:
    policy = load(with_rules([("true", "edge")], params=params))
    if policy is not None:
        again = Policy.load(policy.canonical_json)
        assert (again.digest, again.canonical_json) == (policy.digest, policy.canonical_json)


def test_huge_texts_end() -> None:
    for text in (
        "[" * 100_000,
        "a:\n" * 80_000,
        "- " * 100_000,
        "'" * 200_000,
        "{a: " * 50_000,
        "? " * 50_000,
        "&a " * 50_000,
    ):
        assert load(text) is None
    for expression in (
        "(" * 4000,
        "!" * 4000,
        "a." * 2000,
        "1+" * 2000,
        "a[" * 2000,
        "x?x:" * 1000,
        "{" * 4000,
        "'\\" * 2000,
    ):
        assert load(with_rules([(expression, "edge")])) is None

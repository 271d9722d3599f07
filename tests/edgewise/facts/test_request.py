"""All facts of a request: which messages they look at, how they add up, how sensitivity is declared."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise.facts import RequestFacts, UnknownSensitivityError, declare, estimate
from edgewise.facts.request import estimated_tokens
from edgewise.facts.sensitivity import SENSITIVITIES, rank
from edgewise.facts.task import task_of


def of(text: str, *, tools: bool = False) -> RequestFacts:
    """Facts of a single user message."""
    return estimate([("user", text)], tools=tools, max_tokens=None)


def test_style_is_of_the_last_user_message_and_sensitivity_of_all() -> None:
    facts = estimate(
        [
            ("system", "Reach me at someone@example.com"),
            ("user", "Write a Python function."),
            ("assistant", "def f(): ..."),
            ("user", "谢谢！"),
        ],
        tools=False,
        max_tokens=64,
    )
    assert (facts.task, facts.language, facts.sensitivity, facts.turns) == ("greeting", "zh", "personal", 2)
    assert facts.findings == ("email",) and facts.max_tokens == 64
    assert facts.prompt_tokens == 3 < facts.context_tokens


def test_nothing_asked() -> None:
    facts = estimate([], tools=False, max_tokens=None)
    assert (facts.sensitivity, facts.prompt_tokens, facts.turns) == ("public", 0, 0)


def test_as_facts_leaves_out_what_is_not_known() -> None:
    assert "request.max_tokens" not in of("hi").as_facts()
    assert estimate([], tools=False, max_tokens=9).as_facts()["request.max_tokens"] == 9


@pytest.mark.parametrize("found", SENSITIVITIES)
@pytest.mark.parametrize("declared", SENSITIVITIES)
def test_a_caller_may_raise_and_never_lower(found: str, declared: str) -> None:
    texts = {"public": "x", "internal": "confidential", "personal": "a@example.com", "secret": "password: abcd1234"}
    facts = declare(of(texts[found]), declared)
    assert rank(facts.sensitivity) == max(rank(found), rank(declared))


def test_an_unknown_declaration_is_refused() -> None:
    with pytest.raises(UnknownSensitivityError, match="expected one of public, internal, personal, secret"):
        declare(of("x"), "top")


@pytest.mark.parametrize(("text", "tokens"), [("", 0), ("abcd", 1), ("abcde", 2), ("你好", 2), ("abcd你好", 3)])
def test_estimated_tokens(text: str, tokens: int) -> None:
    assert estimated_tokens(text) == tokens


@pytest.mark.parametrize("place", [0, 60_000, 119_000])
def test_sensitive_text_is_found_anywhere_in_a_long_one(place: int) -> None:
    text = "word " * 24_000
    assert of(text).sensitivity == "public"
    assert of(f"{text[:place]} my password is hunter22 {text[place:]}").sensitivity == "secret"


def test_what_is_too_long_to_scan_is_not_public() -> None:
    facts = of("x " * 500_001)
    assert (facts.sensitivity, facts.findings) == ("personal", ("not_scanned",))


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["system", "user", "tool"]), st.text(max_size=200)), max_size=4), st.booleans()
)
def test_any_text_gives_facts_in_range(messages: list[tuple[str, str]], tools: bool) -> None:
    facts = estimate(messages, tools=tools, max_tokens=None)
    assert 0.0 <= facts.complexity <= 1.0
    assert facts.task in ("greeting", "factual", "creative", "code", "tool", "other")
    assert facts.language in ("en", "zh", "mixed", "other")
    assert 0 <= facts.prompt_tokens <= facts.context_tokens


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=100), st.text(max_size=100))
def test_more_text_is_never_less_sensitive(before: str, after: str) -> None:
    secret = "\nmy password is hunter22\n"
    assert of(before + secret + after).sensitivity == "secret"


@pytest.mark.parametrize(
    "pattern", ["1", "1 ", "a@", "市1", "eyJ", "1-", "password", "你", "京a1", "(202) ", "x.", "passport "]
)
def test_adversarial_repeats_stay_linear(pattern: str) -> None:
    """A scan that is quadratic in the text would not come to an end here."""
    assert of(pattern * (200_000 // len(pattern))).complexity <= 1.0


def test_tools_matter_only_where_nothing_else_is_said() -> None:
    assert task_of("hmm", tools=True) == "tool" and task_of("hmm", tools=False) == "other"
    assert task_of("hello", tools=True) == "greeting"

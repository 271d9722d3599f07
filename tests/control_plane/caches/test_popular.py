"""What is asked with most often is known, within a bounded table, and never shown."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from control_plane.caches.popular import PROMPT_MIN_CHARS, PopularPrompts
from edgewise.dialects.chat import ChatMessage


def text(name: str) -> str:
    return name * PROMPT_MIN_CHARS


def ask(popular: PopularPrompts, name: str, *, tenant: str = "t", times: int = 1, salt: bytes = b"") -> None:
    for _ in range(times):
        popular.note(tenant, "edgewise", [ChatMessage("system", text(name)), ChatMessage("user", "hi")], salt=salt)


def test_the_most_used_come_first_and_those_seen_once_not_at_all() -> None:
    popular = PopularPrompts()
    ask(popular, "a", times=2)
    ask(popular, "乙", times=5)
    ask(popular, "c")
    assert [prompt.text[0] for prompt in popular.top(5)] == ["乙", "a"]
    assert [prompt.text[0] for prompt in popular.top(1)] == ["乙"]


def test_a_tenant_sees_its_own() -> None:
    popular = PopularPrompts()
    ask(popular, "a", tenant="one", times=2)
    ask(popular, "b", tenant="two", times=3)
    assert [prompt.text[0] for prompt in popular.top(5, tenant="one")] == ["a"]


def test_owners_are_counted_apart_also_within_a_tenant() -> None:
    popular = PopularPrompts()
    for salt, times in ((b"one", 1), (b"two", 2)):
        ask(popular, "a", salt=salt, times=times)
    assert [prompt.salt for prompt in popular.top(5)] == [b"two"]


def test_requests_without_a_long_system_prompt_are_not_counted() -> None:
    popular = PopularPrompts()
    for _ in range(3):
        popular.note("t", "m", [])
        popular.note("t", "m", [ChatMessage("user", text("a"))])
        popular.note("t", "m", [ChatMessage("system", "short")])
    assert popular.top(5) == []


def test_no_text_is_in_a_repr() -> None:
    popular = PopularPrompts()
    ask(popular, "s", times=2)
    assert text("s") not in repr(popular.top(1))


@given(st.lists(st.sampled_from("abcdefgh"), max_size=200), st.integers(1, 6))
def test_what_is_asked_often_enough_is_in_the_table(asked: list[str], table_max: int) -> None:
    """Space-Saving's promise: whatever makes more than 1/table_max of all requests is there."""
    popular = PopularPrompts(table_max)
    for name in asked:
        ask(popular, name)
    frequent = {name for name, uses in Counter(asked).items() if uses > len(asked) / table_max and uses > 1}
    known = [prompt.text[0] for prompt in popular.top(table_max)]
    assert frequent <= set(known)
    assert len(known) <= table_max

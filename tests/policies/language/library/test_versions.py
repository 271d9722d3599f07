"""Semantic versions: their texts, their order, their ranges."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.language.library.versions import judge_range, read_version
from tests.policies.language.library.calling import error, method, run

ORDERED = [
    "0.9.10",
    "1.0.0-0",
    "1.0.0-2",
    "1.0.0-10",
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-alpha.beta",
    "1.0.0-beta",
    "1.0.0-beta.2",
    "1.0.0-beta.11",
    "1.0.0-rc.1",
    "1.0.0",
    "1.0.1",
    "1.2.0",
    "1.10.0",
    "2.0.0",
]


@pytest.mark.parametrize(("less", "greater"), list(pairwise(ORDERED)))
def test_order(less: str, greater: str) -> None:
    assert run("_<_", read_version(less), read_version(greater))
    assert not run("_>=_", read_version(less), read_version(greater))


def test_build_metadata_has_no_say() -> None:
    left, right = run("version", "1.0.0-rc.1+a.1"), run("version", "1.0.0-rc.1+b")
    assert run("_==_", left, right) and run("_<=_", left, right) and run("_>=_", left, right)
    assert run("string", left) == "1.0.0-rc.1"


@pytest.mark.parametrize("text", ["1.0.0", "1.0.0-x-y.0", "1.0.0--", "0.0.0+01.-", "999999999999999999.0.0"])
def test_versions(text: str) -> None:
    assert run("isVersion", text) is True
    assert str(run("version", text)) == text.partition("+")[0]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "1.0",
        "v1.0.0",
        "01.0.0",
        "1.0.0-",
        "1.0.0-01",
        "1.0.0-a..b",
        "1.0.0+",
        "1.0.0 ",
        "-1.0.0",
        "1.0.0-é",
        "1.0.٠",
        f"{10**18}.0.0",
        f"1.0.0-{10**300}",
    ],
)
def test_no_versions(text: str) -> None:
    assert run("isVersion", text) is False
    assert "no semantic version" in error("version", text)


def test_numbers() -> None:
    version = run("version", "1.22.333-rc.1")
    assert [method(name, version) for name in ("major", "minor", "patch")] == [1, 22, 333]


@pytest.mark.parametrize(
    ("text", "within", "without"),
    [
        (">=2.1 <3", "2.1.0 2.1.1-rc.1 2.9.9", "2.0.9 2.1.0-rc.1 3.0.0 3.0.0-rc.1"),
        ("<=2.1", "2.1.0 2.1.9 1.0.0", "2.2.0 2.2.0-rc.1"),
        (">2.1", "2.2.0 3.0.0", "2.1.9 2.1.0"),
        ("2.1", "2.1.0 2.1.9", "2.1.0-rc.1 2.2.0"),
        ("=2", "2.0.0 2.9.0", "3.0.0"),
        ("1.2.3", "1.2.3", "1.2.4 1.2.3-rc.1"),
        (">1.0.0-rc.1 <1.0.1", "1.0.0-rc.2 1.0.0 1.0.1-rc.1", "1.0.0-rc.1 1.0.1"),
    ],
)
def test_ranges(text: str, within: str, without: str) -> None:
    assert all(run("satisfies", read_version(each), text) for each in within.split())
    assert not any(run("satisfies", read_version(each), text) for each in without.split())


@pytest.mark.parametrize("text", ["", " ", ">=", "> 2", "~2", ">=2.x", "2.1.0.0", "a", ">=1 " * 100])
def test_no_ranges(text: str) -> None:
    message = error("satisfies", read_version("1.0.0"), text)
    assert "no range of versions" in message and message == judge_range(text)
    assert judge_range(">=2.1 <3") == ""


@given(st.text(alphabet="01a.-+<>= ", max_size=14))
def test_texts_are_versions_or_not(text: str) -> None:
    assert bool(error("version", text)) is not run("isVersion", text)
    error("satisfies", read_version("1.0.0"), text)

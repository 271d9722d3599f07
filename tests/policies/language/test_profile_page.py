"""The page of the language names every function and macro there is, and every case that does not pass."""

from __future__ import annotations

import re
from pathlib import Path

from policies.language.library import STANDARD
from policies.language.macros import NAMES
from tests.policies.language.test_cel_spec import OUTSIDE

PAGE = (Path(__file__).parents[3] / "docs" / "cel-profile.md").read_text(encoding="utf-8")


def test_every_function_is_on_the_page() -> None:
    named = set(re.findall(r"`([A-Za-z_.]+)(?:\([^`]*\))?`", PAGE))
    written = {name for name in STANDARD.by_name if not name.startswith(("_", "-"))}
    assert written - named == set()
    assert set(NAMES) - named == set()


def test_every_case_that_does_not_pass_is_on_the_page() -> None:
    told = re.findall(r"^\| `([a-z_0-9]+/[a-z_0-9/]+)` \|", PAGE, re.MULTILINE)
    assert len(told) == len(OUTSIDE)
    assert all(case.startswith(told_case) for case, told_case in zip(sorted(OUTSIDE), sorted(told), strict=True))

"""What a check lets pass: case, width and spaces; and what it does not."""

from __future__ import annotations

import pytest

from cloud_worker.forge.curriculum import Exact, FinalNumber


@pytest.mark.parametrize("reply", ["你好！", "你好!", " 你好！ "])
def test_exact_forgives_width_and_spaces(reply: str) -> None:
    assert Exact("你好！").accepts(reply)


@pytest.mark.parametrize(
    ("reply", "right"),
    [
        ("12", True),
        ("9+3=12。", True),
        ("2+1=3, 1+0=1. The answer is 12.", True),
        ("１２", True),
        ("112", False),
        ("-12", False),
        ("12 and 3", False),
        ("twelve", False),
        ("", False),
    ],
)
def test_final_number_reads_the_last_number(reply: str, right: bool) -> None:
    assert FinalNumber(12).accepts(reply) is right

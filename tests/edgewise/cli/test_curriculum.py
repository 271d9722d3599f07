"""`edgewise model curriculum`: the families, samples of them, JSON for programs, and sentences for bad input."""

from __future__ import annotations

import json

import pytest

from cloud_worker.forge.curriculum import FAMILIES
from edgewise.cli.main import run


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run(["model", "curriculum", *arguments]) == 0
    return capsys.readouterr().out


def test_every_family_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    listed = json.loads(shown(capsys, "--json"))["items"]
    assert [item["family"] for item in listed] == [family.name for family in FAMILIES]
    assert {item["kind"] for item in listed} == {"single", "multi", "task", "edge_case"}
    table = shown(capsys)
    assert all(family.name in table for family in FAMILIES)


def test_samples_are_chosen_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--show", "--family", "json", "--family", "home", "--grade", "2", "--language", "zh", "--count", "3")
    items = json.loads(shown(capsys, *options, "--json"))["items"]
    assert [(item["family"], item["grade"], item["language"]) for item in items] == [
        *[("json", 2, "zh")] * 3,
        *[("home", 2, "zh")] * 3,
    ]
    table = shown(capsys, *options)
    assert all(item["messages"][-1]["content"] in table for item in items)


def test_earlier_turns_stand_before_the_question(capsys: pytest.CaptureFixture[str]) -> None:
    found = shown(capsys, "--show", "--family", "name", "--grade", "1", "--language", "en")
    assert "(Nice to meet you," in found
    assert "Your name is" in found


def test_held_out_and_sensitive_samples(capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--show", "--family", "colour", "--held-out", "--sensitive", "--json")
    items = json.loads(shown(capsys, *options))["items"]
    assert all(item["held_out"] and item["sensitive"] for item in items)


def test_another_seed_gives_other_samples(capsys: pytest.CaptureFixture[str]) -> None:
    one, same, other = (shown(capsys, "--show", "--family", "sum", "--seed", seed) for seed in ("1", "1", "2"))
    assert one == same
    assert one != other


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--family", "cooking"), "There is no family 'cooking'"),
        (("--show", "--language", "fr"), "The language 'fr' is not taught"),
    ],
)
def test_bad_input_is_said(arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["model", "curriculum", *arguments]) == 1
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [("--grade", "5"), ("--count", "0")])
def test_numbers_out_of_range_are_wrong_usage(arguments: tuple[str, ...]) -> None:
    assert run(["model", "curriculum", "--show", *arguments]) == 2

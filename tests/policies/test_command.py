"""`python -m policies`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from policies.__main__ import main
from policies.library import seed_text


def test_check_the_seed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "seed"]) == 0
    assert "tests passed" in capsys.readouterr().out
    assert main(["check", "seed", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ok"] is True


def test_check_a_faulty_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(seed_text().replace("request.needs_fresh\n", "request.needs_frsh\n"), encoding="utf-8")
    assert main(["check", str(file)]) == 1
    assert "did you mean request.needs_fresh?" in capsys.readouterr().out
    assert main(["check", str(file), "--json"]) == 1
    (problem,) = json.loads(capsys.readouterr().out)["problems"]
    assert problem["code"] == "unknown-name" and problem["rule_id"] == "needs-fresh"


def test_explain(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "seed", "--facts", '{"device.battery_pct": 5}']) == 0
    out = capsys.readouterr().out
    assert out.startswith("prefer-cloud, then edge: the battery is low (low-battery)\n")
    assert "device.battery_pct 5.0 → 20.0 would give race (default)" in out
    assert main(["explain", "seed", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["decision"]["mode"] == "race"


@pytest.mark.parametrize(
    "arguments", [["check", "/no/such/file"], ["explain", "seed", "--facts", "[]"], ["explain", "seed", "--facts", "{"]]
)
def test_what_cannot_be_read(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert "cannot read" in capsys.readouterr().err

"""The health check of containers: what it calls well, and what it says when it is not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgewise.local.probe import main, names_a_live_process


@pytest.mark.parametrize("text", ["", "not a number", "-1.5", "-1", "0", "9" * 30, "99999999"])
def test_a_file_that_names_no_live_process_is_not_well(text: str, tmp_path: Path) -> None:
    file = tmp_path / "ready"
    file.write_text(text)
    assert not names_a_live_process(file)


def test_a_file_that_names_this_process_is_well(tmp_path: Path) -> None:
    (tmp_path / "ready").write_text(str(os.getpid()))
    assert main([str(tmp_path / "ready")]) == 0


def test_what_is_not_well_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "ready")]) == 1
    assert "not well" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["a", "b"]])
def test_wrong_usage_is_told(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert "usage" in capsys.readouterr().err

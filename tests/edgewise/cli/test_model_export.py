"""`edgewise model export`: what it prints, and that bad input is said in a sentence before the work."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from edgewise.cli.main import run
from tests.factories.hub import write_hub_model


@pytest.mark.soak
def test_an_export_says_how_near_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = write_hub_model(tmp_path / "hub")
    command = ["model", "export", str(directory), "--out", str(tmp_path / "out"), "--precision", "fp32", "--json"]
    assert run(command) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["method"], printed["against_torch"]["agreement"]) == ("fp32", 1.0)
    assert (printed["graph"]["form"], printed["graph"]["cache"], printed["warnings"]) == ("1", "float32", [])
    assert (tmp_path / "out" / "manifest.json").is_file()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--precision int3", "no quantization method"),
        ("--precision int4-block128", "do not divide"),
        ("--precision fp32 --block 64", "no block to choose"),
        ("--kv int4", "no cache of 'int4'"),
    ],
)
def test_what_cannot_be_is_a_sentence(
    tmp_path: Path, options: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = write_hub_model(tmp_path / "hub")
    assert run(["model", "export", str(directory), "--out", str(tmp_path / "out"), *options.split()]) == 1
    shown = capsys.readouterr().err
    assert said in shown
    assert "To do:" in shown
    assert "Traceback" not in shown


def test_a_missing_package_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cloud_worker.forge.export.model_directory", None)
    assert run(["model", "export", str(tmp_path), "--out", str(tmp_path / "out")]) == 1
    assert "pip install 'edgewise[forge]'" in capsys.readouterr().err

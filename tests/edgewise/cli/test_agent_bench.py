"""`edgewise agent bench` on the tiny model: its table, its JSON, and that it is no role."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgewise.cli.main import run
from edgewise.cli.roles import is_role
from tests.edge_agent.tiny_model import write_tiny_model


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("tiny")
    write_tiny_model(directory)
    return directory


def test_the_table_ends_with_the_setting_to_take(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["agent", "bench", "--model", str(tiny), "--data-dir", str(tmp_path), "--seconds", "1"]) == 0
    said = capsys.readouterr().out
    assert "tiny-edge on this device" in said and "1 thread" in said and "decode tok/s" in said
    assert "Each token of context takes 0.5 KiB of cache" in said and "Energy: " in said
    assert "Best here: --threads " in said and "EDGEWISE_AGENT_THREADS=" in said


def test_json_is_for_programs(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["agent", "bench", "--model", str(tiny), "--data-dir", str(tmp_path), "--seconds", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["model"] == "tiny-edge" and found["rows"][0]["threads"] == 1 and found["best_threads"] >= 1


def test_it_is_no_role_and_takes_no_options_of_the_agent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert not is_role(["agent", "bench", "--model", "x"]) and not is_role(["--debug", "agent", "bench"])
    assert is_role(["agent", "--name", "bench"]) and is_role(["agent"])
    assert run(["agent", "--threads", "2", "bench"]) == 2
    assert "do not go before bench" in capsys.readouterr().err
    assert run(["agent", "bench", "--model", str(tmp_path), "--data-dir", str(tmp_path / "data")]) == 1
    assert "There is no model in" in capsys.readouterr().err

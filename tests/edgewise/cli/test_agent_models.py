"""`edgewise agent models`: what each command prints and refuses, and that an agent that runs goes over and back."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from edgewise.cli.main import run
from edgewise.cli.roles import is_role
from tests.edge_agent.test_main import address, start
from tests.edge_agent.tiny_model import write_tiny_model
from tests.edgewise.models.directories import write_directory

Out = pytest.CaptureFixture[str]


def models(place: Path, *words: str | Path) -> list[str]:
    command, *rest = map(str, words)
    return ["agent", "models", command, *rest, "--data-dir", str(place / "data")]


@pytest.fixture
def two(tmp_path: Path, capsys: Out) -> tuple[str, str]:
    """Two versions, both installed through the command; the second is in use."""
    first = write_directory(tmp_path / "v1", (b"1" * 5000, b"both" * 2000)).id
    second = write_directory(tmp_path / "v2", (b"2" * 5000, b"both" * 2000), model=b"other").id
    for name in ("v1", "v2"):
        assert run(models(tmp_path, "install", tmp_path / name)) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"small {first[:12]}: 0.0 MB of 0.0 MB written (5 files), in use"
    assert said[2] == f"small {second[:12]}: 0.0 MB of 0.0 MB written (2 files), in use"
    assert said[3] == f"No agent runs here. Start one with: edgewise agent --model {tmp_path}/data/models/current"
    return first, second


def test_the_list_says_which_is_in_use(two: tuple[str, str], tmp_path: Path, capsys: Out) -> None:
    assert run(models(tmp_path, "list")) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if "small" in line]
    assert [(line[0], line[-1]) for line in lines] == [(two[1][:12], "use"), (two[0][:12], "before")]
    assert run(models(tmp_path, "list", "--json")) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["path"] == str(tmp_path / "data" / "models" / "current")
    assert {each["version"]: each["current"] for each in told["versions"]} == {two[0]: False, two[1]: True}


def test_back_and_forth_and_away(two: tuple[str, str], tmp_path: Path, capsys: Out) -> None:
    nobody = {"pid": None, "told": False}
    assert run(models(tmp_path, "rollback", "--json")) == 0
    assert json.loads(capsys.readouterr().out) == {"current": two[0], "previous": None, "agent": nobody}
    assert run(models(tmp_path, "use", two[1][:8])) == 0
    assert capsys.readouterr().out.startswith(f"{two[1][:12]} is in use\n")
    assert run(models(tmp_path, "remove", two[1])) == 1
    assert "is in use" in capsys.readouterr().err
    assert run(models(tmp_path, "remove", two[0][:8], "--json")) == 0
    assert json.loads(capsys.readouterr().out) == {"version": two[0], "freed_bytes": 5000 + len(b"graph")}
    assert run(models(tmp_path, "rollback")) == 1
    assert "no version to go back to" in capsys.readouterr().err


def test_what_is_kept_is_not_put_into_use(two: tuple[str, str], tmp_path: Path, capsys: Out) -> None:
    write_directory(tmp_path / "v3", model=b"third")
    assert run(models(tmp_path, "install", tmp_path / "v3", "--keep", "--json")) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["current"], told["agent"], told["written_files"]) == (two[1], None, 1)


def test_verify_ends_with_1_where_something_is_wrong(two: tuple[str, str], tmp_path: Path, capsys: Out) -> None:
    assert run(models(tmp_path, "verify")) == 0
    assert "2 versions, every file is right" in capsys.readouterr().out
    (tmp_path / "data" / "models" / "current" / "model.onnx").unlink()
    assert run(models(tmp_path, "verify")) == 1
    assert f"{two[1][:12]}  model.onnx  missing" in capsys.readouterr().out.replace("   ", "  ")
    assert run(models(tmp_path, "verify", "--json")) == 1
    told = json.loads(capsys.readouterr().out)
    assert told == {"versions": 2, "faults": [{"version": two[1], "file": "model.onnx", "what": "missing"}]}


def test_damaged_versions_are_listed_and_said_to_hold_things_up(
    two: tuple[str, str], tmp_path: Path, capsys: Out
) -> None:
    write_directory(tmp_path / "v3", model=b"third")
    assert run(models(tmp_path, "install", tmp_path / "v3", "--keep")) == 0
    third = next(path for path in (tmp_path / "data/models/versions").iterdir() if path.name not in two)
    (third / "manifest.json").unlink()
    capsys.readouterr()
    assert run(models(tmp_path, "list")) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if third.name[:12] in line]
    assert line.split()[-1] == "damaged"
    assert run(models(tmp_path, "remove", two[0])) == 0
    assert f"while version {third.name[:12]} is damaged" in capsys.readouterr().out
    assert run(models(tmp_path, "remove", third.name)) == 0
    assert "0.0 MB freed" in capsys.readouterr().out and len(list((tmp_path / "data/models/objects").iterdir())) == 5


def test_bad_directories_are_sentences(tmp_path: Path, capsys: Out) -> None:
    assert run(models(tmp_path, "install", tmp_path / "nothing")) == 1
    assert "There is no model in" in capsys.readouterr().err
    assert run(models(tmp_path, "use", "abc")) == 1
    assert "No installed versions begin with 'abc'" in capsys.readouterr().err
    assert not is_role(["agent", "models", "list"]) and is_role(["agent", "--name", "models"])


def test_an_agent_that_runs_goes_over_and_back(tmp_path: Path, capsys: Out) -> None:
    """Real processes: it answers with the new version after an install, with the old one after a roll back."""
    for seed in (1, 2):
        write_tiny_model(tmp_path / f"v{seed}", seed=seed)
    assert run(models(tmp_path, "install", tmp_path / "v1")) == 0
    current = tmp_path / "data" / "models" / "current"
    agent = start("--model", str(current), "--data-dir", str(tmp_path / "data"), "--local-port", "0")
    watchdog = threading.Timer(60.0, agent.kill)
    watchdog.start()
    try:
        url = address(agent.stderr)
        texts = [answer(url)]
        for words in (("install", tmp_path / "v2"), ("rollback",)):
            capsys.readouterr()
            assert run(models(tmp_path, *words, "--json")) == 0
            assert json.loads(capsys.readouterr().out)["agent"] == {"pid": agent.pid, "told": True}
            assert agent.stderr is not None
            said = next((line for line in agent.stderr if "opened in" in line or "WARNING" in line), "killed")
            assert "opened in" in said
            texts.append(answer(url))
    finally:
        watchdog.cancel()
        agent.kill()
        agent.communicate()
    assert texts[0] == texts[2] != texts[1]


def answer(url: str) -> str:
    body = {"model": "edgewise", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 8, "seed": 3}
    found: dict[str, Any] = httpx.post(f"{url}/v1/chat/completions", json=body, trust_env=False, timeout=30).json()
    return str(found["choices"][0]["message"]["content"])

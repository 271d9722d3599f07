"""The role commands: flags and settings are the same, the page names all, and what no restart mends ends with 78."""

from __future__ import annotations

import logging
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import typer.main

import cloud_worker.config
import cloud_worker.forge.jobs.config
import control_plane.config
import control_plane.jobs.config
import edge_agent.config
from edgewise.cli.main import app, run
from edgewise.cli.roles import is_role
from edgewise.local.supervisor import CONFIG_EXIT_CODE
from edgewise.settings import SettingsTable
from tests.factories.models import write_tiny_model

PAGE = Path(__file__).parents[3] / "docs" / "settings.md"
TABLES = {
    "control": control_plane.config.SETTINGS,
    "jobs": control_plane.jobs.config.SETTINGS,
    "worker": cloud_worker.config.SETTINGS,
    "forge": cloud_worker.forge.jobs.config.SETTINGS,
    "agent": edge_agent.config.SETTINGS,
}
CONFIGS: dict[str, Any] = {
    "control": control_plane.config.ControlConfig,
    "jobs": control_plane.jobs.config.JobsConfig,
    "worker": cloud_worker.config.WorkerConfig,
    "forge": cloud_worker.forge.jobs.config.ForgeConfig,
    "agent": edge_agent.config.AgentConfig,
}
BOTH = pytest.mark.parametrize(("role", "table"), TABLES.items())


def options(role: str) -> dict[str, str]:
    """Flag → parameter of a role's command."""
    command = typer.main.get_command(app).commands[role]  # type: ignore[attr-defined]
    return {flag: each.name for each in command.params for flag in each.opts if flag.startswith("--")}


@BOTH
def test_every_setting_has_an_entry(role: str, table: SettingsTable) -> None:
    assert list(table.settings) == [field.name for field in fields(CONFIGS[role])]


@BOTH
def test_flags_are_those_that_the_settings_name(role: str, table: SettingsTable) -> None:
    named = {setting.flag: name for name, setting in table.settings.items() if setting.flag}
    assert {flag: name for flag, name in options(role).items() if flag != "--help"} == named


@BOTH
def test_the_page_has_a_row_for_every_setting(role: str, table: SettingsTable) -> None:
    page = PAGE.read_text(encoding="utf-8")
    for name, setting in table.settings.items():
        flag = f"`{setting.flag}` " if setting.flag else ""
        assert f"| `{table.variable(name)}` | {flag}|" in page


def test_keys_have_no_flags() -> None:
    flags = {flag for role in TABLES for flag in options(role)}
    assert {flag for flag in flags if "key" in flag} == {"--key-file", "--app-key-file"}


@pytest.mark.parametrize(
    ("line", "expected"),
    [("worker --url x", True), ("--debug agent", True), ("log-server", True), ("ask worker", False), ("", False)],
)
def test_a_role_is_known_by_its_command(line: str, expected: bool) -> None:
    assert is_role(line.split()) is expected


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("worker --url http://127.0.0.1:1", "The setting model_dir is missing"),
        ("worker --url http://127.0.0.1:1 --model {tmp}/none --key-file {tmp}/key", "There is no model in"),
        ("worker --url http://127.0.0.1:1 --model {tmp}/none --key-file {tmp}/none", "The key file cannot be used"),
        ("worker --url http://127.0.0.1:1 --model {tmp}/none", "There is no node key"),
        ("worker --url http://127.0.0.1:1 --model {tmp}/changed --key-file {tmp}/key", "is not the one that"),
        ("worker --url http://127.0.0.1:1 --model {tmp}/broken --key-file {tmp}/key", "The manifest does not parse"),
        ("worker --url http://127.0.0.1:1 --model m --data-dir {tmp}/key/below", "The data directory cannot be made"),
        ("worker --url http://127.0.0.1:1 --model m --device tpu", "device cannot be 'tpu'"),
        ("forge --url http://127.0.0.1:1", "There is no node key"),
        ("forge --url http://127.0.0.1:1 --kinds forge.cook --key-file {tmp}/key", "There is no job kind 'forge.cook'"),
        ("agent", "make reference-models"),
        ("agent --model m --label novalue", "labels cannot be 'novalue'"),
        ("agent --model {tmp}/none --local-port 0", "There is no model in"),
        ("agent --model m --local-port 70000", "--local-port or EDGEWISE_AGENT_LOCAL_PORT"),
        ("control --port 70000", "--port or EDGEWISE_PORT"),
        ("control --port 0", "No token log is configured"),
    ],
)
def test_what_no_restart_mends_has_its_own_exit_status(
    line: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "key").write_text("ek_test")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "manifest.json").write_text("{")
    (tmp_path / "changed").mkdir()
    write_tiny_model(tmp_path / "changed")
    with (tmp_path / "changed" / "model.safetensors").open("ab") as weights:
        weights.write(b"\0")
    assert run(line.format(tmp=tmp_path).split()) == CONFIG_EXIT_CODE
    assert told in capsys.readouterr().err


def test_the_web_server_tells_no_more_than_warnings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run(["control", "--port", "0"])
    assert not logging.getLogger("uvicorn.error").isEnabledFor(logging.INFO)

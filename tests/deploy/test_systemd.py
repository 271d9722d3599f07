"""Units: systemd's own checks where it is at hand, and always ours."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import pytest

from tests.deploy.reading import (
    DEPLOY,
    ROOT,
    env_file,
    faulty_settings,
    parse_command,
    run,
    seconds,
    tool,
    unit_settings,
)

FOLDER = DEPLOY / "systemd"
BINARY = "/usr/lib/edgewise/bin/edgewise"
UNITS = {
    "control": "edgewise-control.service",
    "jobs": "edgewise-jobs.service",
    "worker": "edgewise-worker@.service",
    "agent": "edgewise-agent.service",
}
DRAINS_S = {"control": 20.0, "jobs": 5.0, "worker": 5.0, "agent": 5.0}
EACH = pytest.mark.parametrize("role", UNITS)


@pytest.fixture(scope="module")
def unit_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The units as they would be installed, with the command of this environment."""
    folder = tmp_path_factory.mktemp("units")
    for path in (*FOLDER.glob("*.service"), *FOLDER.glob("*.target")):
        name = path.name.replace("@.", "@worker-0.")
        text = path.read_text(encoding="utf-8")
        (folder / name).write_text(text.replace(BINARY, str(Path(sys.executable).with_name("edgewise"))))
    return folder


def installed(role: str) -> str:
    return UNITS[role].replace("@.", "@worker-0.")


@EACH
def test_systemd_takes_the_unit(role: str, unit_path: Path) -> None:
    words = (tool("systemd-analyze"), "verify", "--man=no", "--recursive-errors=one")
    done = run(*words, unit_path / installed(role), environ={"SYSTEMD_UNIT_PATH": f"{unit_path}:"})
    assert (done.returncode, done.stderr) == (0, "")


@EACH
def test_systemd_calls_it_well_confined(role: str, unit_path: Path) -> None:
    command = [tool("systemd-analyze"), "security", "--offline=yes", "--threshold=20", "--no-pager"]
    done = run(*command, unit_path / installed(role))
    assert done.returncode == 0, done.stdout[-300:] + done.stderr


@EACH
def test_it_starts_a_command_that_exists(role: str) -> None:
    (line,) = unit_settings(FOLDER / UNITS[role])["Service"]["ExecStart"]
    binary, *words = line.replace("%i", "worker-0").replace("%d", "/run/credentials/x").split()
    assert binary == BINARY
    assert parse_command(words) == role


@EACH
def test_it_is_hardened_restarted_and_given_time(role: str) -> None:
    service = {key: values[-1] for key, values in unit_settings(FOLDER / UNITS[role])["Service"].items()}
    wanted = {"NoNewPrivileges": "yes", "ProtectSystem": "strict", "Restart": "on-failure", "KillSignal": "SIGTERM"}
    assert wanted.items() <= service.items()
    assert service["RestartPreventExitStatus"] == "78"
    assert "DynamicUser" in service or service["User"] == "edgewise"
    assert seconds(service["TimeoutStopSec"]) >= DRAINS_S[role] + 15
    assert int(service["LimitNOFILE"]) >= 16384
    assert unit_settings(FOLDER / UNITS[role])["Install"]["WantedBy"] == ["edgewise.target"]


@EACH
def test_its_data_directory_is_the_one_that_systemd_makes(role: str) -> None:
    service = unit_settings(FOLDER / UNITS[role])["Service"]
    words = service["ExecStart"][0].split()
    assert words[words.index("--data-dir") + 1] == f"/var/lib/{service['StateDirectory'][0]}"


@EACH
def test_its_environment_files_hold_settings_of_its_role(role: str) -> None:
    service = unit_settings(FOLDER / UNITS[role])["Service"]
    names = [Path(value.lstrip("-")).name for value in service["EnvironmentFile"]]
    given = {name: value for file in names for name, value in env_file(FOLDER / "env" / file).items()}
    given |= dict(pair.partition("=")[::2] for pair in service["Environment"])
    shared_with_control = {
        "EDGEWISE_HOST",
        "EDGEWISE_PORT",
        "EDGEWISE_PUBLIC_BASE_URL",
        "EDGEWISE_MODELS",
        "EDGEWISE_DRAIN_S",
    }
    left = [name for name in faulty_settings(role, given) if not (role == "jobs" and name in shared_with_control)]
    assert left == []


def test_the_agent_is_a_guest_on_the_machine() -> None:
    service = {key: values[-1] for key, values in unit_settings(FOLDER / UNITS["agent"])["Service"].items()}
    high, most = (int(service[name].removesuffix("%")) for name in ("MemoryHigh", "MemoryMax"))
    assert 0 < high < most < 100, "slowed before it ends, and others keep a part"
    assert int(service["CPUWeight"]) < 100 and int(service["IOWeight"]) < 100, "100 is what everybody has"
    assert int(service["Nice"]) > 0 and service["StateDirectoryMode"] == "0700"
    assert service["ExecReload"].split()[-2:] == ["-HUP", "$MAINPID"]


def test_the_agents_install_is_tried_with_its_very_packages() -> None:
    """The command in the guide names what the edge install needs, no more and no less."""
    guide = (ROOT / "docs/howto/run-an-agent.md").read_text(encoding="utf-8")
    (command,) = [block for block in guide.split("```") if "--dry-run" in block]
    named = command.split("manylinux2014_aarch64")[1].replace("\\", " ").split()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert sorted(named) == sorted(project["dependencies"] + project["optional-dependencies"]["edge"])


def test_every_environment_file_is_used() -> None:
    used = {
        Path(each.lstrip("-")).name
        for unit in UNITS.values()
        for each in unit_settings(FOLDER / unit)["Service"]["EnvironmentFile"]
    }
    assert used == {path.name for path in (FOLDER / "env").iterdir()}


def test_the_main_process_of_jobs_stops_its_children_itself() -> None:
    assert unit_settings(FOLDER / UNITS["jobs"])["Service"]["KillMode"] == ["mixed"]


def test_sysusers_and_tmpfiles_are_understood(tmp_path: Path) -> None:
    sysusers, tmpfiles = tool("systemd-sysusers"), tool("systemd-tmpfiles")
    for program, flag, file in (
        (sysusers, "--dry-run", "edgewise.sysusers.conf"),
        (tmpfiles, "--create", "edgewise.tmpfiles.conf"),
    ):
        done = run(program, flag, f"--root={tmp_path}", FOLDER / file)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "etc/edgewise/keys").is_dir()

"""compose.yaml: its schema, the secrets that it needs, and that every command and setting in it is one of ours."""

from __future__ import annotations

import os
import re
import shutil
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from control_plane.config import ControlConfig
from tests.deploy.reading import (
    DEPLOY,
    IMAGES,
    env_file,
    environment,
    faulty_settings,
    instructions,
    load_yaml,
    parse_command,
    run,
    seconds,
    tool,
    walk,
)

FOLDER = DEPLOY / "compose"
COMPOSE: dict[str, Any] = load_yaml(FOLDER / "compose.yaml")
SERVICES: dict[str, Any] = COMPOSE["services"]
PINNED = re.compile(r"[a-z0-9./-]+:v?\d+\.\d+(\.\d+)?[a-z0-9.-]*\Z")
VARIABLE = re.compile(r"\$\{\w+:-([^}]*)\}")


def filled(text: object) -> str:
    """Text with the defaults of its variables."""
    return VARIABLE.sub(r"\1", str(text))


def role_of(service: str) -> str:
    name = re.search(r"-(\w+):", VARIABLE.sub("x", SERVICES[service]["image"]))
    return IMAGES[name.group(1)] if name else ""


OURS = [name for name, service in SERVICES.items() if "build" in service]


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What make-secrets.sh makes."""
    folder = tmp_path_factory.mktemp("compose")
    shutil.copy(FOLDER / "make-secrets.sh", folder)
    done = run("sh", folder / "make-secrets.sh")
    assert done.returncode == 0, done.stderr
    return folder


def test_it_fits_the_compose_specification() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    files = sorted(FOLDER.glob("compose*.yaml"))
    done = run(*command, *files)
    assert done.returncode == 0, done.stdout


def test_every_image_is_pinned() -> None:
    images = {name: filled(service["image"]) for name, service in SERVICES.items()}
    assert {name: image for name, image in images.items() if not PINNED.match(image)} == {}


@pytest.mark.parametrize("service", OURS)
def test_our_services_start_what_there_is(service: str) -> None:
    role = role_of(service)
    assert parse_command(SERVICES[service].get("command") or [role]) == role
    settings = SERVICES[service]["environment"]
    assert faulty_settings(role, {name: filled(value) for name, value in settings.items()}) == []
    assert (FOLDER / SERVICES[service]["build"]["context"] / SERVICES[service]["build"]["dockerfile"]).is_file()


@pytest.mark.parametrize("service", [*OURS, "enroll"])
def test_our_services_may_do_little(service: str) -> None:
    settings = SERVICES[service]
    assert settings["read_only"] is True
    assert settings["cap_drop"] == ["ALL"]
    assert settings["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize(("service", "drain"), [("control", "EDGEWISE_DRAIN_S"), ("jobs", "EDGEWISE_JOBS_DRAIN_S")])
def test_there_is_time_to_drain(service: str, drain: str) -> None:
    settings = SERVICES[service]
    assert seconds(settings["stop_grace_period"]) >= float(settings["environment"][drain]) + 15


def test_the_token_log_loses_nothing_and_the_broker_is_another_server() -> None:
    words = [filled(word) for word in SERVICES["token-log"]["command"]]
    given = dict(zip(words[2::2], words[3::2], strict=True))
    assert given["--appendonly"] == "yes"
    assert given["--appendfsync"] == "always"
    assert given["--maxmemory-policy"] == "noeviction"
    assert "everysec" in SERVICES["broker"]["command"]


def test_only_this_machine_reaches_what_is_published() -> None:
    ports = [filled(port) for port in walk(SERVICES, "ports") for port in port]
    assert len(ports) == 2
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_servers_are_reached_over_closed_networks_alone() -> None:
    closed = {name for name, network in COMPOSE["networks"].items() if network.get("internal")}
    for service in ("postgres", "token-log", "broker", "control", "jobs", "collector", "prometheus"):
        assert set(SERVICES[service]["networks"]) <= closed


def test_every_name_in_it_is_declared() -> None:
    for kind in ("networks", "secrets"):
        used = {name for service in SERVICES.values() for name in service.get(kind, [])}
        assert used == set(COMPOSE[kind])
    sources = [volume.partition(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])]
    assert {source for source in sources if "/" not in source} == set(COMPOSE["volumes"])
    assert [source for source in sources if "/" in source and not (FOLDER / source).exists()] == []
    assert {name for needs in walk(SERVICES, "depends_on") for name in needs} <= set(SERVICES)


def test_who_waits_for_health_waits_for_a_service_that_tells_it() -> None:
    for needs in walk(SERVICES, "depends_on"):
        for name, wanted in needs.items():
            if wanted["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[name] or role_of(name) in {"control", "jobs"}


def test_the_script_makes_every_secret_and_nobody_else_enters(secrets: Path) -> None:
    needed = {secret["file"] for secret in COMPOSE["secrets"].values()}
    needed |= {file for files in walk(SERVICES, "env_file") for file in files}
    made = {f"secrets/{path.name}" for path in (secrets / "secrets").iterdir()}
    assert made == needed
    assert stat.S_IMODE((secrets / "secrets").stat().st_mode) == 0o700


def test_the_urls_that_it_makes_are_settings_and_name_the_services(secrets: Path) -> None:
    made = env_file(secrets / "secrets" / "control.env")
    for role in ("control", "jobs"):
        mine = {name: value for name, value in made.items() if role == "control" or not name.endswith("_METRICS_TOKEN")}
        assert faulty_settings(role, mine) == []
    config = ControlConfig.load(made)
    password = (secrets / "secrets" / "postgres-password").read_text()
    assert config.sql_url == f"postgresql://edgewise:{password}@postgres:5432/edgewise"
    assert re.fullmatch(r"redis://:[0-9a-f]{48}@token-log:6379/0", config.log_url)
    assert (secrets / "secrets" / "token-log.conf").read_text() == f"requirepass {config.log_url[9:57]}\n"


def test_it_never_makes_secrets_twice(secrets: Path) -> None:
    before = (secrets / "secrets" / "control.env").read_bytes()
    done = run("sh", secrets / "make-secrets.sh")
    assert done.returncode == 1
    assert (secrets / "secrets" / "control.env").read_bytes() == before


def test_keys_are_made_for_the_nodes_that_read_them() -> None:
    made = {f"/run/keys/{word.replace(':', '.')}" for word in SERVICES["enroll"]["command"]}
    read = {word for name in ("worker", "edge") for word in SERVICES[name]["command"] if word.startswith("/run/keys/")}
    assert made == read
    for name in ("worker", "edge"):
        words = SERVICES[name]["command"]
        assert f"{words[words.index('--name') + 1]}:node" in SERVICES["enroll"]["command"]


def test_the_volume_of_keys_belongs_to_the_user_of_the_image() -> None:
    (target,) = [volume for volume in SERVICES["enroll"]["volumes"] if volume.startswith("keys:")]
    runs = " ".join(rest for word, rest in instructions(DEPLOY / "docker" / "control.Dockerfile") if word == "RUN")
    assert f"-o edgewise -g edgewise {environment(CONTROL)['EDGEWISE_DATA_DIR']} {target.partition(':')[2]}" in runs


CONTROL = instructions(DEPLOY / "docker" / "control.Dockerfile")


def test_haproxy_takes_its_configuration(tmp_path: Path) -> None:
    haproxy = tool("haproxy")
    done = run(haproxy, "-c", "-f", FOLDER / "haproxy.cfg")
    assert done.returncode == 0, done.stderr + done.stdout


def test_the_proxy_buffers_nothing_and_keeps_long_answers() -> None:
    text = (FOLDER / "haproxy.cfg").read_text(encoding="utf-8")
    for line in ("timeout tunnel 1h", "timeout server 1h", "option http-no-delay", "option forwardfor"):
        assert line in text
    assert "deny status 404 if { path /metrics }" in text
    assert "http-buffer-request" not in text
    assert "/readyz?answers=1" in text
    assert "ssl-min-ver TLSv1.2" in (FOLDER / "haproxy.tls.cfg").read_text(encoding="utf-8")


@pytest.mark.parametrize("script", ["make-secrets.sh", "enroll.sh"])
def test_scripts_are_plain_sh(script: str) -> None:
    assert os.access(FOLDER / script, os.X_OK)
    assert run("sh", "-n", FOLDER / script).returncode == 0

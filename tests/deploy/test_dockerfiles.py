"""Dockerfiles: hadolint's rules and ours, and every name in them exists."""

from __future__ import annotations

import json
import re
import sys
import tomllib
from pathlib import Path

import pytest

from tests.deploy.reading import (
    DEPLOY,
    IMAGES,
    ROOT,
    arguments,
    environment,
    faulty_settings,
    final_stage,
    instructions,
    parse_command,
    run,
    tool,
)

FILES = {image: DEPLOY / "docker" / f"{image}.Dockerfile" for image in IMAGES}
EACH = pytest.mark.parametrize("image", IMAGES)
PINNED = re.compile(r"[a-z0-9./-]+:\d+\.\d+\.\d+[a-z0-9.-]*\Z")


def test_there_is_one_for_each_role() -> None:
    assert sorted(path.name for path in (DEPLOY / "docker").iterdir()) == sorted(path.name for path in FILES.values())


@EACH
def test_hadolint_finds_nothing(image: str) -> None:
    beside = Path(sys.executable).with_name("hadolint")
    hadolint = str(beside) if beside.exists() else tool("hadolint")
    done = run(hadolint, FILES[image])
    assert (done.returncode, done.stdout) == (0, "")


@EACH
def test_the_base_is_one_pinned_image(image: str) -> None:
    found = instructions(FILES[image])
    base = dict(rest.partition("=")[::2] for rest in arguments(found, "ARG"))["PYTHON_IMAGE"]
    assert PINNED.match(base)
    assert [rest.split()[0] for rest in arguments(found, "FROM")] == ["${PYTHON_IMAGE}"] * 2
    assert f'image.base.name="{base}"' in arguments(found, "LABEL")[0]


@EACH
def test_it_runs_as_nobody_special_and_hears_its_signals(image: str) -> None:
    final = final_stage(instructions(FILES[image]))
    assert arguments(final, "USER") == ["10001:10001"]
    assert [word for word, _ in final].index("USER") > [word for word, _ in final].index("COPY")
    assert json.loads(arguments(final, "ENTRYPOINT")[0]) == ["edgewise"]
    assert parse_command(json.loads(arguments(final, "CMD")[0])) == IMAGES[image]
    assert arguments(final, "STOPSIGNAL") == ["SIGTERM"]
    assert json.loads(arguments(final, "VOLUME")[0]) == ["/var/lib/edgewise"]


@EACH
def test_its_settings_are_those_of_its_role(image: str) -> None:
    assert faulty_settings(IMAGES[image], environment(final_stage(instructions(FILES[image])))) == []


@EACH
def test_it_installs_extras_that_exist_and_no_torch_where_none_belongs(image: str) -> None:
    extras = dict(rest.partition("=")[::2] for rest in arguments(instructions(FILES[image]), "ARG"))["EXTRAS"].split(
        ","
    )
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(extras) <= set(known)
    assert any("torch" in line for extra in extras for line in known[extra]) == (image == "worker")


@EACH
def test_what_it_copies_is_there_and_in_the_context(image: str) -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copies = [rest for rest in arguments(instructions(FILES[image]), "COPY") if not rest.startswith("--from")]
    sources = {source for rest in copies for source in rest.split()[:-1]}
    assert [source for source in sources if not (ROOT / source).exists()] == []
    assert {source.partition("/")[0] for source in sources} <= allowed


@EACH
def test_every_package_of_the_project_is_copied(image: str) -> None:
    include = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]["include"]
    copied = " ".join(arguments(instructions(FILES[image]), "COPY")).split()
    assert {name.rstrip("*") for name in include} <= set(copied)


@EACH
def test_its_health_check_asks_what_the_process_offers(image: str) -> None:
    (check,) = arguments(instructions(FILES[image]), "HEALTHCHECK")
    if image == "worker":
        assert check == "NONE"
        return
    command = json.loads(check[check.index("CMD") + 4 :])
    assert command[:3] == ["python", "-m", "edgewise.local.probe"]
    offered = environment(instructions(FILES[image])).get("EDGEWISE_JOBS_READY_FILE")
    assert command[3] in {offered, "http://127.0.0.1:8080/healthz", "http://127.0.0.1:8090/healthz"}

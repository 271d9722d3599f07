"""Settings of `edgewise jobs`, and the modules with more kinds."""

from __future__ import annotations

from pathlib import Path

import pytest

from control_plane.jobs.config import JobsConfig
from control_plane.jobs.errors import JobKindUnknownError
from control_plane.jobs.registry import KINDS, load_registry
from control_plane.jobs.schedules import SCHEDULES
from edgewise.wire.errors import ConfigError


def test_defaults_and_variables() -> None:
    config = JobsConfig.load({})
    assert (config.jobs_concurrency, config.sealed_retention_days, config.jobs_ready_file) == (2, 30, None)
    environ = {
        "EDGEWISE_JOBS_QUEUES": "resume, seal",
        "EDGEWISE_JOB_MODULES": "a.b,c",
        "EDGEWISE_SEALED_RETENTION_DAYS": "0",
        "EDGEWISE_JOBS_READY_FILE": "/run/ready",
        "EDGEWISE_BROKER_URL": "amqp://user:secret@host",
    }
    config = JobsConfig.load(environ, jobs_concurrency=4)
    assert (config.jobs_queues, config.job_modules, config.jobs_concurrency) == (("resume", "seal"), ("a.b", "c"), 4)
    assert (config.sealed_retention_days, config.jobs_ready_file) == (0, Path("/run/ready"))
    assert "secret" not in repr(config)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("JOBS_QUEUES", "resume,everything"),
        ("JOBS_CONCURRENCY", "0"),
        ("BROKER_URL", "kafka://host"),
        ("SEALED_RETENTION_DAYS", "-1"),
    ],
)
def test_what_does_not_fit_is_named(name: str, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        JobsConfig.load({f"EDGEWISE_{name}": text})
    assert f"EDGEWISE_{name}" in caught.value.where


def test_both_servers_are_needed() -> None:
    JobsConfig(broker_url="redis://b", log_url="redis://l").require_urls()
    for config in (JobsConfig(log_url="redis://l"), JobsConfig(broker_url="redis://b")):
        with pytest.raises(ConfigError):
            config.require_urls()


def test_a_module_adds_its_kinds_and_one_that_cannot_be_used_is_named() -> None:
    registry = load_registry(["tests.control_plane.jobs.job_module"])
    assert registry.get("test.mark").queue == "seal"
    assert registry.names(for_nodes=True)[-1] == "test.node"
    with pytest.raises(JobKindUnknownError):
        load_registry().get("test.mark")
    for name in ("no.such.module", "json"):
        with pytest.raises(ConfigError, match=name):
            load_registry([name])


def test_every_schedule_names_a_kind_of_ours() -> None:
    assert {schedule.kind for schedule in SCHEDULES} <= {kind.name for kind in KINDS}

"""JobsConfig: every setting of `edgewise jobs`, from explicit arguments first, then EDGEWISE_* variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from control_plane.config import BROKER_URL, DATABASE_FILE, JOB_MODULES, is_log_url, parse_names
from control_plane.database import sqlite_url
from control_plane.jobs.job import QUEUES, QueueName
from edgewise import settings
from edgewise.settings import Setting, SettingsTable
from edgewise.wire.errors import ConfigError

SETTINGS = SettingsTable(
    "EDGEWISE_",
    {
        "data_dir": settings.directory("--data-dir"),
        "database_url": Setting("a database URL", flag="--database-url", shown=False),
        "log_url": Setting(
            "redis://host:port, rediss://… or unix:///path", fits=is_log_url, flag="--log-url", shown=False
        ),
        "broker_url": BROKER_URL,
        "jobs_concurrency": settings.count("--concurrency"),
        "jobs_queues": Setting(
            f"some of {', '.join(QUEUES)}, separated by commas",
            lambda text: cast("tuple[QueueName, ...]", parse_names(text)),
            lambda names: bool(names) and set(names) <= set(QUEUES),
            flag="--queues",
        ),
        "job_modules": JOB_MODULES,
        "jobs_drain_s": settings.seconds(),
        "jobs_ready_file": settings.file(expected="a file to make"),
        "sealed_retention_days": Setting("days, or 0 for ever", int, lambda days: days >= 0),
        "stream_ttl_s": settings.seconds(),
    },
)


@dataclass(frozen=True, kw_only=True)
class JobsConfig:
    """Settings of one jobs process. Its URLs may hold passwords, so they are in no repr.

    jobs_concurrency: child processes. jobs_queues: the queues that they serve.
    jobs_drain_s: what a running body gets at SIGTERM. jobs_ready_file: is there while the process serves.
    """

    data_dir: Path = Path(".edgewise")
    database_url: str = field(default="", repr=False)
    log_url: str = field(default="", repr=False)
    broker_url: str = field(default="", repr=False)
    jobs_concurrency: int = 2
    jobs_queues: tuple[QueueName, ...] = QUEUES
    job_modules: tuple[str, ...] = ()
    jobs_drain_s: float = 5.0
    jobs_ready_file: Path | None = None
    sealed_retention_days: int = 30
    stream_ttl_s: float = 3600.0

    def __post_init__(self) -> None:
        SETTINGS.check(self)

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None, **explicit: Any) -> JobsConfig:
        """Settings from arguments that are not None, then from the variables. Raises ConfigError."""
        return SETTINGS.load(cls, environ, explicit)

    def require_urls(self) -> None:
        """Raises ConfigError when the broker or the token log is not configured."""
        for url, name in ((self.broker_url, "broker_url"), (self.log_url, "log_url")):
            if not url:
                raise ConfigError(
                    f"The setting {name} is missing",
                    where=SETTINGS.ways(name),
                    expected=SETTINGS.settings[name].expected,
                    remedy="use `edgewise up`, which starts both servers, or give the URLs of yours",
                )

    @property
    def sql_url(self) -> str:
        """The configured database, or the SQLite file in the data dir."""
        return self.database_url or sqlite_url(self.data_dir / DATABASE_FILE)

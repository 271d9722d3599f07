"""URLs as people write them, and what of an engine can be seen without a server."""

from __future__ import annotations

import pytest

from control_plane.engines import async_url, open_engine
from edgewise.wire.errors import ConfigError


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("postgresql://u:p@h:5433/n", "postgresql+asyncpg://u:p@h:5433/n"),
        ("postgres://u@h/n", "postgresql+asyncpg://u@h/n"),
        ("postgresql://u@h/n?sslmode=verify-full", "postgresql+asyncpg://u@h/n?ssl=verify-full"),
        ("postgresql+asyncpg://u@/n?host=/run", "postgresql+asyncpg://u@/n?host=%2Frun"),
        ("sqlite:///x.db", "sqlite+aiosqlite:///x.db"),
    ],
)
def test_a_url_gets_our_driver_and_its_names(given: str, found: str) -> None:
    assert async_url(given).render_as_string(hide_password=False) == found


def test_an_option_that_nobody_knows_is_named() -> None:
    with pytest.raises(ConfigError, match="sslrootcert") as caught:
        async_url("postgresql://u:hidden-word@h/n?sslrootcert=x")
    assert "hidden-word" not in str(caught.value)


def test_several_hosts_are_all_the_drivers() -> None:
    url = async_url("postgresql://u@/n?host=a:5432&host=b:5433&target_session_attrs=read-write")
    _, options = open_engine(url, busy_timeout_ms=1, pool_size=1).dialect.create_connect_args(url)
    assert (options["host"], options["port"]) == (["a", "b"], [5432, 5433])
    with pytest.raises(ConfigError, match="ports"):
        open_engine(async_url("postgresql://u@/n?host=a:1,b"), busy_timeout_ms=1, pool_size=1)


def test_the_pool_is_as_large_as_it_is_set() -> None:
    engine = open_engine(async_url("postgresql://u@h/n"), busy_timeout_ms=1, pool_size=3)
    assert engine.pool.size() == 3  # type: ignore[attr-defined]

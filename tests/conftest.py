"""Fixtures that every test may use; they live in tests/factories. And how parametrized tests are named."""

import logging
from collections.abc import Iterator

import pytest

from tests.factories.postgres import postgres_server
from tests.factories.valkey import log_server, mortal_valkey, redis_server, valkey_server

__all__ = ["log_server", "mortal_valkey", "postgres_server", "redis_server", "valkey_server"]

ID_MAX_CHARS = 24


@pytest.fixture(autouse=True)
def _logs_are_as_before() -> Iterator[None]:
    """What a test leaves switched off in the log would fail tests of other files, depending on their order."""
    before = logging.root.manager.disable
    yield
    after = logging.root.manager.disable
    logging.disable(before)
    assert after == before, "this test leaves logging switched off"


@pytest.hookimpl
def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Long text (keys, stream ids) is named by its argument: random text would differ between xdist's workers."""
    return argname if isinstance(val, str) and len(val) > ID_MAX_CHARS else None

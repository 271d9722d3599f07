"""Fixtures that every test may use; they live in tests/factories. How parametrized tests are named, and dealt out."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from tests.factories.postgres import postgres_server
from tests.factories.valkey import log_server, mortal_valkey, redis_server, valkey_server

if TYPE_CHECKING:
    from tests.dealing import Dealer

__all__ = ["log_server", "mortal_valkey", "postgres_server", "redis_server", "valkey_server"]

ID_MAX_CHARS = 24

os.environ.setdefault("TRITON_INTERPRET", "1")  # read as Triton is imported, which transformers does in other tests

# How long an example takes says how busy the machine is, and nothing about what is tested.
settings.register_profile("any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any-machine")


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


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Dealer | None:
    """Our own way of `--dist loadfile`."""
    if config.getvalue("dist") != "loadfile":
        return None
    from tests.dealing import Dealer  # only here is xdist needed

    return Dealer(config, log)

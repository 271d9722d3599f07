"""The whole stack as real processes: embedded Valkey, control plane, worker, agent, started by `edgewise up`."""

from collections.abc import Iterator

import pytest

from benchmarks.stack import Stack, running_stack


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """One stack per test module, at full speed."""
    with running_stack() as running:
        yield running


@pytest.fixture
def slow_stack() -> Iterator[Stack]:
    """A stack of its own, for tests that kill parts of it; its tiers are throttled so that there is a mid-answer."""
    with running_stack("--throttle-edge", "40", "--throttle-cloud", "40") as running:
        yield running

"""PolicyStore on a real database: one policy in force, swapped whole or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import text

from control_plane.audit.service import AuditTrail
from control_plane.database import Database
from control_plane.errors import DatabaseUnavailableError
from control_plane.policy_admin.errors import (
    NothingToRollBackError,
    PolicyChangedError,
    PolicyNotFoundError,
    PolicyRejectedError,
)
from control_plane.policy_admin.service import ActivePolicy, PolicyStore
from edgewise.wire.errors import ConfigError
from policies.library import seed_text

SMALL = """
apiVersion: edgewise/v1
kind: RoutingPolicy
metadata: {name: NAME}
spec:
  rules:
    - id: only
      when: request.complexity < 0.5
      decide: {mode: edge, reason: short}
  default: {mode: cloud, reason: long}
  onError: {mode: edge, reason: safe}
"""

WRONG_TEST = """
  tests:
    - name: wrong
      given: {request.complexity: 0.1}
      expect: {mode: cloud}
"""


def small(name: str) -> str:
    return SMALL.replace("NAME", name)


@pytest.fixture
async def store(database: Database) -> PolicyStore:
    opened = PolicyStore(database, AuditTrail(database))
    await opened.load()
    return opened


class CountingThreads(ThreadPoolExecutor):
    """The event loop's own threads, and how often they were asked."""

    asked = 0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.asked += 1
        return super().submit(fn, *args, **kwargs)


@pytest.fixture
async def threads() -> CountingThreads:
    found = CountingThreads(1)
    asyncio.get_running_loop().set_default_executor(found)
    return found


async def test_compiling_and_testing_leave_the_event_loop_free(database: Database, threads: CountingThreads) -> None:
    store = PolicyStore(database, AuditTrail(database))
    asked: list[int] = []
    for step in (
        store.load(),
        store.compile(small("one")),
        store.create(small("two"), actor="me"),
        store.activate(2, actor="me"),
        store.create_and_activate(small("three"), actor="me"),
        store.roll_back(actor="me"),
    ):
        before = threads.asked
        await step
        asked.append(threads.asked - before)
    assert asked == [3, 1, 1, 2, 2, 2]  # each activation compiles once more, for the bundle


async def test_a_first_start_is_decided_by_the_seed_policy(store: PolicyStore) -> None:
    assert store.current.version == 1
    assert store.current.text == seed_text()
    assert store.active.digest == store.current.digest
    (row,) = await store.page()
    assert row.author == "system"


async def test_a_second_start_finds_the_same_policy(database: Database, store: PolicyStore) -> None:
    await store.activate((await store.create(small("two"), actor="k")).version, actor="k")
    again = PolicyStore(database, AuditTrail(database))
    await again.load()
    assert again.current.version == 2
    assert len(await again.page()) == 2


def test_before_load_there_is_no_policy(database: Database) -> None:
    with pytest.raises(ConfigError):
        _ = PolicyStore(database, AuditTrail(database)).active


async def test_activation_swaps_tells_and_is_audited(database: Database, store: PolicyStore) -> None:
    told: list[ActivePolicy] = []
    stop = store.on_activated(told.append)
    before = store.current.digest
    row = await store.create(small("two"), note="first try", actor="key-1")
    assert store.current.version == 1
    await store.activate(row.version, actor="key-1")
    assert (store.current.version, store.active.name) == (2, "two")
    assert [active.version for active in told] == [2]
    stop()
    await store.roll_back(actor="key-1")
    assert len(told) == 1
    entries = await AuditTrail(database).page(action="policy.activate")
    assert (entries[0].actor, entries[0].before, entries[0].after) == ("key-1", before, row.digest)


async def test_rolling_back_twice_goes_back_two_steps(store: PolicyStore) -> None:
    for name in ("two", "three"):
        await store.activate((await store.create(small(name), actor="k")).version, actor="k")
    assert (await store.roll_back(actor="k")).version == 2
    assert (await store.roll_back(actor="k")).version == 1
    with pytest.raises(NothingToRollBackError):
        await store.roll_back(actor="k")
    await store.activate(3, actor="k")
    assert (await store.roll_back(actor="k")).version == 1


async def test_another_process_follows_on_load(database: Database, store: PolicyStore) -> None:
    other, told = PolicyStore(database, AuditTrail(database)), list[int]()
    await other.load()
    other.on_activated(lambda active: told.append(active.version))
    await store.activate((await store.create(small("two"), actor="k")).version, actor="k")
    await other.load()
    await other.load()
    assert told == [2]


async def test_an_invalid_text_is_refused_whole_with_every_problem(database: Database, store: PolicyStore) -> None:
    bad = small("bad").replace("request.complexity", "request.complexiti").replace("mode: cloud", "mode: clowd")
    with pytest.raises(PolicyRejectedError) as caught:
        await store.create(bad, actor="k")
    assert len(caught.value.problems) == 2
    assert all(problem.line > 1 and problem.column >= 1 for problem in caught.value.problems)
    assert "request.complexity" in str(caught.value.problems)
    assert len(await store.page()) == 1
    assert store.current.version == 1
    assert [entry.action for entry in await AuditTrail(database).page()] == ["policy.activate"]


async def test_a_policy_whose_own_tests_fail_may_be_kept_but_not_activated(store: PolicyStore) -> None:
    failing = (
        small("bad")
        + "  tests:\n    - name: wrong\n      given: {request.complexity: 0.1}\n      expect: {mode: cloud}\n"
    )
    row = await store.create(failing, actor="k")
    with pytest.raises(PolicyRejectedError, match="wrong"):
        await store.activate(row.version, actor="k")
    assert store.current.version == 1
    with pytest.raises(PolicyRejectedError):
        await store.create_and_activate(failing, actor="k")
    assert len(await store.page()) == 2


async def test_somebody_elses_change_is_not_overwritten(store: PolicyStore) -> None:
    seed = store.current.digest
    row = await store.create(small("two"), actor="k")
    await store.activate(row.version, actor="k", expected_digest=seed)
    with pytest.raises(PolicyChangedError):
        await store.activate(1, actor="k", expected_digest=seed)
    with pytest.raises(PolicyChangedError):
        await store.roll_back(actor="k", expected_digest=seed)
    assert store.current.version == 2
    assert (await store.roll_back(actor="k", expected_digest=row.digest)).version == 1


async def test_a_failing_database_changes_nothing_in_memory(database: Database, store: PolicyStore) -> None:
    row = await store.create(small("two"), actor="k")
    async with database.session() as session:
        await session.execute(text("ALTER TABLE audit_entries RENAME TO hidden"))
    with pytest.raises(DatabaseUnavailableError):
        await store.activate(row.version, actor="k")
    assert store.current.version == 1
    again = PolicyStore(database, AuditTrail(database))
    await again.load()
    assert again.current.version == 1


async def test_the_diff_shows_what_changed(store: PolicyStore) -> None:
    await store.create(small("two"), actor="k")
    await store.create(small("three"), actor="k")
    diff = await store.diff(2, 3)
    assert "-metadata: {name: two}" in diff
    assert "+metadata: {name: three}" in diff
    assert await store.diff(2, 2) == ""
    with pytest.raises(PolicyNotFoundError):
        await store.diff(2, 9)

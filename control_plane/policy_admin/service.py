"""PolicyStore: saves versions, swaps the active compiled policy, and tells those who must know.

The evaluator itself is `policies`; offering policies to nodes is the business of a listener.
"""

from __future__ import annotations

import asyncio
import difflib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from sqlalchemy.ext.asyncio import AsyncSession

from control_plane.audit.service import SYSTEM, AuditTrail, utc_now
from control_plane.database import Database
from control_plane.policy_admin.errors import (
    NothingToRollBackError,
    PolicyChangedError,
    PolicyNotFoundError,
    PolicyRejectedError,
)
from control_plane.policy_admin.repository import PolicyRepository
from control_plane.policy_admin.tables import PolicyActivationRow, PolicyVersionRow
from edgewise.wire.errors import ConfigError
from policies import SUPPORTED_MODES, Explanation, FactValue, Policy, PolicyError
from policies.library import seed_text

NAME_CHARS = 200
FIRST_START = "edgewise.first-start"
POLICIES = "edgewise.policies"
"""The lock under which the policy in force changes, and rollouts do."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ActivePolicy:
    """The policy in force: compiled, its text, its version number and its digest."""

    version: int
    digest: str
    text: str
    policy: Policy


PolicyListener = Callable[[ActivePolicy], None]
MayChange = Callable[[AsyncSession], Awaitable[None]]
"""Raises, inside of the transaction, where an operator may not change the policy in force now."""


Issue = Callable[[AsyncSession, int, Policy], Awaitable[None]]
"""Makes a policy version, now in force, ready for devices; raises, inside of the transaction, where that cannot be."""


async def _always(session: AsyncSession) -> None:
    """Nothing speaks against a change."""


async def for_gateways_only(session: AsyncSession, version: int, policy: Policy) -> None:
    """There are no devices to issue anything to."""


class PolicyStore:
    """Versions in SQL, the active one in memory. Reading `active` costs nothing; a swap is one assignment."""

    def __init__(
        self,
        database: Database,
        audit: AuditTrail,
        *,
        now: Callable[[], datetime] = utc_now,
        tell: Callable[[], None] = lambda: None,
        may_change: MayChange = _always,
        issue: Issue = for_gateways_only,
    ) -> None:
        """`tell` is called after each activation made here, so that other gateways `load` it."""
        self._may_change = may_change
        self._issue = issue
        self._tell_others = tell
        self._database = database
        self._audit = audit
        self._now = now
        self._current: ActivePolicy | None = None
        self._listeners: list[PolicyListener] = []
        self._changing = asyncio.Lock()

    @property
    def current(self) -> ActivePolicy:
        """The policy in force. Raises ConfigError before `load`."""
        if self._current is None:
            raise ConfigError("No policy is loaded yet", expected="`await store.load()` at start")
        return self._current

    @property
    def active(self) -> Policy:
        """The compiled policy in force: what `decide` is called on."""
        return self.current.policy

    def on_activated(self, listener: PolicyListener) -> Callable[[], None]:
        """Call `listener(active)` after each change of the policy in force; returns a function that stops that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    async def load(self) -> ActivePolicy:
        """Take the active policy from SQL; on a first start, the seed policy becomes version 1 and active.

        Again later, it takes in what another process activated.
        """
        async with self._changing:
            activation = await self._activation()
            row = activation.policy if activation else await self._seeded()
            if self._current is None or self._current.version != row.version:
                self._swap(row, await self.compile(row.text))
        return self.current

    async def reload(self) -> None:
        """Take in what another process activated; when nothing was, this costs one small query."""
        await self.load()

    async def compile(self, text: str) -> Policy:
        """Parse and check, changing nothing. Raises PolicyRejectedError with every problem.

        In a thread, since a long document takes half a second and answers stream on this event loop.
        """
        try:
            return await asyncio.to_thread(_load, text)
        except PolicyError as error:
            raise PolicyRejectedError(error) from error

    async def tested(self, text: str) -> Policy:
        """Parse, check and run the document's own tests. Raises PolicyRejectedError; a failing test is a problem."""
        try:
            return await asyncio.to_thread(Policy.load_for_activation, text, supported_modes=SUPPORTED_MODES)
        except PolicyError as error:
            raise PolicyRejectedError(error) from error

    async def create(self, text: str, *, note: str = "", actor: str) -> PolicyVersionRow:
        """Keep a valid text as the next version, not active yet. Raises PolicyRejectedError."""
        row = self._row(await self.compile(text), text, note, actor)
        async with self._database.session() as session:
            await self._add_version(session, row)
        return row

    async def create_and_activate(
        self, text: str, *, note: str = "", actor: str, expected_digest: str | None = None
    ) -> PolicyVersionRow:
        """Save and put in force, in one transaction. Nothing is saved when the text has errors, when its own tests
        fail (PolicyRejectedError), or when another policy than `expected_digest` is in force (PolicyChangedError)."""
        policy = await self.tested(text)
        row = self._row(policy, text, note, actor)
        async with self._changing:
            async with self._database.session(lock=POLICIES) as session:
                await self._may_change(session)
                present = await PolicyRepository(session).activation()
                _require_digest(present, expected_digest)
                await self._add_version(session, row)
                below_id = present.id if present else None
                await self._record(session, "activate", row, below_id=below_id, was=present, actor=actor)
            self._swap(row, policy)
        self._tell_others()
        return row

    async def activate(self, version: int, *, actor: str, expected_digest: str | None = None) -> ActivePolicy:
        """Put a version in force, once its own tests pass.

        Raises PolicyNotFoundError, PolicyRejectedError (a failing test is a problem too), and PolicyChangedError when
        `expected_digest` is given and another policy is active by now.
        """
        async with self._changing:
            row = await self.get(version)
            policy = await self.tested(row.text)
            async with self._database.session(lock=POLICIES) as session:
                await self._may_change(session)
                present = await PolicyRepository(session).activation()
                _require_digest(present, expected_digest)
                below_id = present.id if present else None
                await self._record(session, "activate", row, below_id=below_id, was=present, actor=actor)
            self._swap(row, policy)
        self._tell_others()
        return self.current

    async def roll_back(self, *, actor: str, expected_digest: str | None = None) -> ActivePolicy:
        """Return to the policy that was in force before this one. Raises NothingToRollBackError, PolicyChangedError."""
        async with self._changing:
            seen, earlier = await self._earlier(expected_digest)
            row = earlier.policy
            policy = await self.compile(row.text)
            async with self._database.session(lock=POLICIES) as session:
                await self._may_change(session)
                present = await PolicyRepository(session).activation()
                if present is None or present.id != seen.id:
                    raise _changed(present, seen.policy.digest)
                await self._record(session, "rollback", row, below_id=earlier.below_id, was=present, actor=actor)
            self._swap(row, policy)
        self._tell_others()
        return self.current

    async def activate_within(self, session: AsyncSession, row: PolicyVersionRow, *, action: str, actor: str) -> None:
        """Put a tested version in force as part of the caller's transaction, which holds the lock POLICIES; `load`
        takes it in after the commit."""
        present = await PolicyRepository(session).activation()
        await self._record(session, action, row, below_id=present.id if present else None, was=present, actor=actor)

    async def _earlier(self, expected_digest: str | None) -> tuple[PolicyActivationRow, PolicyActivationRow]:
        """The present activation, and the one that a roll back leads to."""
        async with self._database.reading() as session:
            policies = PolicyRepository(session)
            present = await policies.activation()
            _require_digest(present, expected_digest)
            earlier = await policies.activation(present.below_id) if present and present.below_id else None
        if present is None or earlier is None:
            raise NothingToRollBackError(
                "No policy was active before this one", remedy="activate a version by its number instead"
            )
        return present, earlier

    async def get(self, version: int) -> PolicyVersionRow:
        """One version. Raises PolicyNotFoundError."""
        async with self._database.reading() as session:
            row = await PolicyRepository(session).get(version)
        if row is None:
            raise PolicyNotFoundError(version)
        return row

    async def page(self, *, below: int | None = None, limit: int = 50) -> Sequence[PolicyVersionRow]:
        """Versions, newest first."""
        async with self._database.reading() as session:
            return await PolicyRepository(session).page(below=below, limit=limit)

    async def diff(self, old: int, new: int) -> str:
        """What changed from version `old` to `new`: a unified diff, empty when the texts are equal."""
        before, after = await self.get(old), await self.get(new)
        lines = difflib.unified_diff(
            before.text.splitlines(), after.text.splitlines(), f"version {old}", f"version {new}", lineterm=""
        )
        return "\n".join(lines)

    async def explain(self, policy: Policy, facts: Mapping[str, FactValue]) -> Explanation:
        """What became of every rule, and what would have flipped the decision; in a thread, as it takes a while."""
        return await asyncio.to_thread(policy.explain, facts)

    async def _add_version(self, session: AsyncSession, row: PolicyVersionRow) -> None:
        """A new version and its audit entry, in the caller's transaction."""
        await PolicyRepository(session).add(row)
        self._audit.record(
            session, actor=row.author, action="policy.create", target=_target(row.version), after=row.digest
        )

    async def _activation(self) -> PolicyActivationRow | None:
        async with self._database.reading() as session:
            return await PolicyRepository(session).activation()

    async def _seeded(self) -> PolicyVersionRow:
        """The seed policy, saved and active, unless another gateway has just done that."""
        text = seed_text()
        row = self._row(await self.compile(text), text, "the seed policy", SYSTEM)
        async with self._database.session(lock=FIRST_START) as session:
            policies = PolicyRepository(session)
            if (present := await policies.activation()) is not None:
                return present.policy
            await policies.add(row)
            await self._record(session, "activate", row, below_id=None, was=None, actor=SYSTEM)
        return row

    async def _record(
        self,
        session: AsyncSession,
        action: str,
        row: PolicyVersionRow,
        *,
        below_id: int | None,
        was: PolicyActivationRow | None,
        actor: str,
    ) -> None:
        """The activation and its audit entry, in the caller's transaction."""
        activation = PolicyActivationRow(
            version=row.version, below_id=below_id, action=action, actor=actor, at=self._now()
        )
        await PolicyRepository(session).add(activation)
        await self._issue(session, row.version, await self.compile(row.text))
        self._audit.record(
            session,
            actor=actor,
            action=f"policy.{action}",
            target=_target(row.version),
            before=was.policy.digest if was else None,
            after=row.digest,
        )

    def _row(self, policy: Policy, text: str, note: str, actor: str) -> PolicyVersionRow:
        return PolicyVersionRow(
            name=policy.name[:NAME_CHARS],
            digest=policy.digest,
            text=text,
            note=note,
            author=actor,
            created_at=self._now(),
        )

    def _swap(self, row: PolicyVersionRow, policy: Policy) -> None:
        self._current = ActivePolicy(row.version, row.digest, row.text, policy)
        log.info("Policy version %d is in force (%s)", row.version, row.digest)
        for listener in tuple(self._listeners):
            listener(self._current)


@lru_cache(maxsize=4)
def _load(text: str) -> Policy:
    """A compiled policy is immutable, and saving, testing and activating one text ask for it in turn."""
    return Policy.load(text, supported_modes=SUPPORTED_MODES)


def _target(version: int) -> str:
    return f"policy/{version}"


def _require_digest(present: PolicyActivationRow | None, expected: str | None) -> None:
    found = present.policy.digest if present else "none"
    if expected is not None and expected != found:
        raise _changed(present, expected)


def _changed(present: PolicyActivationRow | None, expected: str) -> PolicyChangedError:
    return PolicyChangedError(
        f"The active policy is {present.policy.digest if present else 'none'}, not the one you expected",
        where=f"version {present.version}" if present else "",
        expected=expected,
        remedy="compare with `edgewise policy show` or /admin/v1/policies/active, and send your change again",
    )

"""PolicyRollouts: rollouts moved by operators, by measures and by time, and the open one in this gateway's memory.

Every change is one transaction under the lock of the policy in force. Who decides for whom is the director's business.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from control_plane.audit.service import SYSTEM, AuditTrail, utc_now
from control_plane.database import Database
from control_plane.policy_admin.errors import PolicyNotFoundError, PolicyRejectedError
from control_plane.policy_admin.service import POLICIES, Issue, PolicyStore, for_gateways_only
from control_plane.policy_admin.tables import PolicyVersionRow
from control_plane.policy_rollouts.book import ACTIONS, Act, RolloutBook, Wish
from control_plane.policy_rollouts.director import Director, Staged, Version
from control_plane.policy_rollouts.errors import (
    CandidateError,
    RolloutDamagedError,
    RolloutNotFoundError,
    RolloutOpenError,
    RolloutRejectedError,
    refused,
)
from control_plane.policy_rollouts.report import Report, report
from control_plane.policy_rollouts.repository import PolicyRolloutRepository
from control_plane.policy_rollouts.stored import Stored, read_plan, read_state, read_totals
from control_plane.policy_rollouts.tables import PolicyRolloutRow
from control_plane.policy_rollouts.totals import RunMeter
from edgewise.ending import end
from edgewise.wire.errors import EdgewiseError
from policies import PolicyError
from policies.rollout import Measured, RolloutPlan, RolloutState, Step, Ticked, advance, load_rollout

EVERY_S: Final = 1.0
"""How often an open rollout is looked at: a gateway that dies has measured for nothing for no longer than that."""

log = logging.getLogger(__name__)


async def refuse_while_open(session: AsyncSession) -> None:
    """For PolicyStore: raises RolloutOpenError while a rollout alone changes the policy in force."""
    row = await PolicyRolloutRepository(session).open()
    if row is not None:
        raise RolloutOpenError(row.id, row.name)


async def _nothing() -> None:
    """There are no bundles."""


class PolicyRollouts:
    """All rollouts; one is open at a time.

    damage: why the open one cannot be used; the old policy decides then.
    """

    def __init__(
        self,
        database: Database,
        audit: AuditTrail,
        policies: PolicyStore,
        *,
        gateway: str,
        director: Director | None = None,
        now: Callable[[], datetime] = utc_now,
        tell: Callable[[], None] = lambda: None,
        issue: Issue = for_gateways_only,
        refresh: Callable[[], Awaitable[None]] = _nothing,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """gateway: names what is counted here. `tell` is called after each change, so that other gateways `reload`;
        `issue`, in its transaction, makes a version ready for devices; `refresh` learns what another gateway issued."""
        self.director = director or Director()
        self.damage: RolloutDamagedError | None = None
        self.now = now
        self._database = database
        self._audit = audit
        self._policies = policies
        self._book = RolloutBook(audit, policies, issue, now)
        self._gateway = gateway
        self._tell_others = tell
        self._refresh = refresh
        self._sleep = sleep
        self._changing = asyncio.Lock()
        self._meter: tuple[tuple[int, int], RunMeter] = (0, 0), RunMeter()
        self._stored: tuple[RunMeter | None, int] = None, 0
        self._listeners: list[Callable[[], None]] = []

    def on_moved(self, listener: Callable[[], None]) -> None:
        """Call `listener()` whenever a device may have got another policy."""
        self._listeners.append(listener)

    def version_for(self, node_id: str) -> int:
        """The policy version by which a device decides for its own apps."""
        staged = self.director.staged
        return self._policies.current.version if staged is None else staged.version_for(node_id)

    async def load(self) -> None:
        """Take in the open rollout from SQL; when nothing changed, this costs one small query."""
        async with self._changing:
            await self._take_in()

    async def reload(self) -> None:
        """Take in what another gateway changed."""
        await self.load()

    async def page(self, *, below: int | None = None, limit: int = 50) -> Sequence[PolicyRolloutRow]:
        """Rollouts, newest first."""
        async with self._database.reading() as session:
            return await PolicyRolloutRepository(session).page(below=below, limit=limit)

    async def report(self, rollout_id: int) -> Report:
        """How one stands. Raises RolloutNotFoundError."""
        return await report(self._database, self._audit, rollout_id, self.now())

    def now_s(self) -> float:
        """Now, in seconds since 1970."""
        return self.now().timestamp()

    # ── people ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def create(self, text: str, *, actor: str) -> PolicyRolloutRow:
        """Ask for a rollout. Raises RolloutRejectedError, PolicyNotFoundError, CandidateError, RolloutOpenError, and
        PolicyRejectedError for a candidate that does not pass its own tests."""
        try:
            plan = await asyncio.to_thread(load_rollout, text)
        except PolicyError as error:
            raise RolloutRejectedError(error) from error
        candidate = await self._candidate(plan)
        async with self._changing:
            async with self._database.session(lock=POLICIES) as session:
                await refuse_while_open(session)
                row = await self._book.add(session, plan, text, candidate, actor)
            await self._take_in()
        self._tell_others()
        return row

    async def _candidate(self, plan: RolloutPlan) -> PolicyVersionRow:
        """The version that a plan names, once its tests pass."""
        row = await self._policies.get(plan.version)
        if row.name != plan.policy:
            raise CandidateError(
                f"Version {plan.version} is a policy named {row.name}",
                where="spec.policy",
                expected=f"{row.name}@{row.version}",
                remedy="list the versions: `edgewise policy list`",
            )
        await self._policies.tested(row.text)
        return row

    async def act(self, rollout_id: int, wish: Wish) -> None:
        """Have an operator's wish happen. Raises RolloutNotFoundError, RolloutRefusedError, OwnApprovalError, and
        RolloutDamagedError, unless it is rolled back: that always works."""
        async with self._changing:
            async with self._database.session(lock=POLICIES) as session:
                row = await _row(session, rollout_id)
                try:
                    stored = read_state(row, await asyncio.to_thread(read_plan, row))
                except RolloutDamagedError as error:
                    await self._book.give_up(session, row, wish, error)
                else:
                    step = advance(stored.plan, stored.state, wish)
                    if step.refused is not None:
                        raise refused(rollout_id, step)
                    await self._book.save(session, stored, [Act(step, ACTIONS[type(wish)], wish.by)])
            await self._take_in()
        self._tell_others()

    # ── measures and time ───────────────────────────────────────────────────────────────────────────────────────

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Look after the open rollout; at the end, what was counted here is stored."""
        task = asyncio.create_task(self._run(), name="policy-rollouts")
        try:
            yield
        finally:
            await end(task)
            await self._try_tick()

    async def _run(self) -> None:
        while True:
            await self._sleep(EVERY_S)
            await self._try_tick()

    async def _try_tick(self) -> None:
        """A database that is away, and whatever else, is waited for."""
        try:
            await self.tick()
        except EdgewiseError as error:
            log.warning("the policy rollout stands still: %s", error)
        except Exception:
            log.exception("the policy rollout stands still")

    async def tick(self) -> None:
        """Store what was counted here; then let what all gateways counted, and the time, do their work."""
        async with self._changing:
            staged = self.director.staged
            if staged is None:
                return
            counted = staged.meter, staged.meter.revision
            try:
                async with self._database.session(lock=POLICIES) as session:
                    moved = await self._tick(session, staged, is_news=counted != self._stored)
            except RolloutDamagedError as error:
                self._set_aside(error)
                return
            self._stored = counted
            if moved:
                await self._policies.load()  # first: until the rollout is taken in, its own two policies decide
                await self._try_refresh()  # then: listeners offer devices what is known here
                await self._take_in()
        if moved:
            self._tell_others()

    async def _try_refresh(self) -> None:
        """Devices may wait for a bundle; the move may not."""
        try:
            await self._refresh()
        except EdgewiseError as error:
            log.warning("the bundles of policies are not known: %s", error)

    async def _tick(self, session: AsyncSession, staged: Staged, *, is_news: bool) -> bool:
        """Whether it stands elsewhere by now than this gateway knows."""
        rollouts = PolicyRolloutRepository(session)
        if staged.run and is_news:
            totals = staged.meter.totals().to_dict()
            await rollouts.put_totals(staged.id, staged.run, self._gateway, totals, self.now())
        row = await _row(session, staged.id)
        if row.revision != staged.revision:
            return True
        stored = read_state(row, staged.plan)
        steps = await self._steps(rollouts, stored)
        acts = [Act(step, "move", SYSTEM) for step in steps if step.moved]
        if acts:
            await self._book.save(session, stored, acts)
        return bool(acts)

    async def _steps(self, rollouts: PolicyRolloutRepository, stored: Stored) -> list[Step]:
        """What the measures do, and then the time."""
        state, at_s, steps = stored.state, self.now_s(), []
        if run := _run_of(state):
            totals = read_totals(stored.row.id, await rollouts.totals(stored.row.id, run))
            steps.append(advance(stored.plan, state, Measured(run, totals.measures, at_s)))
            state = steps[-1].state
        return [*steps, advance(stored.plan, state, Ticked(at_s))]

    # ── memory ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def _take_in(self) -> None:
        """Have the director know the open rollout as SQL has it."""
        async with self._database.reading() as session:
            row = await PolicyRolloutRepository(session).open()
        staged = self.director.staged
        if row is None:
            self.damage = None
        if (row and (row.id, row.revision)) == (staged and (staged.id, staged.revision)):
            return
        if row is None:
            self.director.stage(None)
        else:
            await self._stage(row, staged)
        for listener in self._listeners:
            listener()

    async def _stage(self, row: PolicyRolloutRow, staged: Staged | None) -> None:
        try:
            self.director.stage(await self._staged(row, staged))
        except RolloutDamagedError as error:
            self._set_aside(error)
        except (PolicyNotFoundError, PolicyRejectedError) as error:
            self._set_aside(RolloutDamagedError(row.id, error.message))
        else:
            self.damage = None

    async def _staged(self, row: PolicyRolloutRow, staged: Staged | None) -> Staged:
        same = staged is not None and staged.id == row.id
        plan = staged.plan if staged and same else await asyncio.to_thread(read_plan, row)
        state = read_state(row, plan).state
        async with self._database.reading() as session:  # damaged counts hold it, too, at every `load`
            read_totals(row.id, await PolicyRolloutRepository(session).totals(row.id, _run_of(state)))
        base, candidate = [await self._version(number) for number in (row.base_version, row.candidate_version)]
        meter = self._meter_of(row.id, _run_of(state))
        return Staged(row.id, row.revision, plan, state, base, candidate, meter)

    async def _version(self, number: int) -> Version:
        return Version(number, await self._policies.compile((await self._policies.get(number)).text))

    def _meter_of(self, rollout_id: int, run: int) -> RunMeter:
        """The meter of this run. It is kept while the state cannot be read: totals never shrink."""
        if self._meter[0] != (rollout_id, run):
            self._meter = (rollout_id, run), RunMeter()
        return self._meter[1]

    def _set_aside(self, error: RolloutDamagedError) -> None:
        """The policy in force, which is the old one, decides for everybody."""
        log.error("%s", error)
        self.damage = error
        self.director.stage(None)


def _run_of(state: RolloutState) -> int:
    """The run in which it measures; 0, of which nobody counts anything, where it does not."""
    run: int = getattr(state.position, "run", 0)
    return run


async def _row(session: AsyncSession, rollout_id: int) -> PolicyRolloutRow:
    row = await PolicyRolloutRepository(session).get(rollout_id)
    if row is None:
        raise RolloutNotFoundError(rollout_id)
    return row

"""Machine: what the forge process does next, without sockets, processes or clocks.

The shell asks `next(now)`, does that one thing, and tells how it went. Everything that is sent to the control plane
carries the claim in hand; a claim that was refused once (fenced) is never used again.
"""

# Ask -> claimed -> Start -> Beat, Beat, ... -> ended -> Report -> accepted -> Ask
#                     |         `-> fenced -> Stop -> stopped -----------------^
#                     `-> drain -> Stop -> stopped -> GiveBack -> accepted -> Leave

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from cloud_worker.forge.jobs.claim import Claim, Outcome, Told, failed

NEWS_S = 1.0
RETRY_S = 0.5
RETRY_MAX_S = 30.0


@dataclass(frozen=True)
class Ask:
    """Ask for a job."""


@dataclass(frozen=True)
class Start:
    """Run the claim's body."""

    claim: Claim


@dataclass(frozen=True)
class Beat:
    """Renew the lease, and tell the progress."""

    claim: Claim
    told: Told


@dataclass(frozen=True)
class Stop:
    """End the body, and see that it has ended."""

    claim: Claim


@dataclass(frozen=True)
class Report:
    """Say how the body ended."""

    claim: Claim
    outcome: Outcome


@dataclass(frozen=True)
class GiveBack:
    """Let another process have the job."""

    claim: Claim


@dataclass(frozen=True)
class Wait:
    """Nothing to do until this moment, or until something happens."""

    until: float


@dataclass(frozen=True)
class Leave:
    """The process may end."""


Action = Ask | Start | Beat | Stop | Report | GiveBack | Wait | Leave


class Machine:
    """One job at a time. `unreported` are claims of an earlier process, each with how it ended. Times are seconds of
    one monotonic clock; `dice` spreads what several processes do."""

    def __init__(
        self,
        *,
        dice: random.Random,
        poll_s: float,
        drain_s: float,
        unreported: Sequence[tuple[Claim, Outcome]] = (),
    ) -> None:
        self._dice = dice
        self._poll_s = poll_s
        self._drain_s = drain_s
        self._unreported = deque(unreported)
        self._claim: Claim | None = None
        self._outcome: Outcome | None = None
        self._is_running = False
        self._is_lost = False
        self._told = Told()
        self._has_news = False
        self._beat_at = self._news_at = self._ends_at = 0.0
        self._not_before = 0.0
        self._failures = 0
        self._leave_at: float | None = None

    @property
    def claim(self) -> Claim | None:
        """The claim in hand."""
        return self._claim

    def next(self, now: float) -> Action:
        """The one thing to do now."""
        if self._claim is None and self._unreported:
            self._claim, self._outcome = self._unreported.popleft()
        if self._claim is None:
            return self._idle(now)
        if self._is_lost or self._outcome is not None or self._leave_at is not None or now >= self._ends_at:
            return self._end(self._claim, now)
        if not self._is_running:
            return Start(self._claim)
        return self._keep(self._claim, now)

    def _idle(self, now: float) -> Action:
        if self._leave_at is not None:
            return Leave()
        return Wait(self._not_before) if now < self._not_before else Ask()

    def _keep(self, claim: Claim, now: float) -> Action:
        """The body runs: keep the lease, and tell what is new, at most once a second."""
        due = min(self._beat_at, self._news_at) if self._has_news else self._beat_at
        due = max(due, self._not_before)
        return Beat(claim, self._told) if now >= due else Wait(min(due, self._ends_at))

    def _end(self, claim: Claim, now: float) -> Action:
        if self._is_running:
            return Stop(claim)
        if now < self._not_before:
            return Wait(self._not_before) if self._leave_at is None else self._last_wait(self._leave_at, now)
        return GiveBack(claim) if self._outcome is None else Report(claim, self._outcome)

    def _last_wait(self, leave_at: float, now: float) -> Action:
        """Told to stop while the control plane is away: what is not said by `leave_at` is on disk."""
        return Leave() if now >= leave_at else Wait(min(self._not_before, leave_at))

    # What became of a call to the control plane -----------------------------------------------------------------------

    def claimed(self, claim: Claim, found: Outcome | None, now: float) -> None:
        """Ask brought a job; `found` is the result that an earlier attempt left on disk."""
        self._answered()
        self._claim = claim
        self._outcome = found if found is not None and found.is_done else None
        self._told, self._has_news = Told(), False
        self._renew(claim, now)
        self._ends_at = now + claim.time_limit_s

    def nothing(self, now: float) -> None:
        """Ask brought nothing."""
        self._answered()
        self._not_before = now + self._poll_s * self._dice.uniform(0.5, 1.0)

    def renewed(self, now: float) -> None:
        """The lease holds."""
        self._answered()
        if self._claim is not None:
            self._renew(self._claim, now)

    def accepted(self) -> None:
        """Report or GiveBack was taken: the claim is over."""
        self._answered()
        self._drop()

    def fenced(self) -> None:
        """The claim is over without us: cancelled, or somebody else's."""
        self._answered()
        self._is_lost = True
        if not self._is_running:
            self._drop()

    def refused(self, why: str) -> None:
        """The control plane will never take this report: the job fails with its reason, or the claim is dropped."""
        self._answered()
        if self._outcome is not None and self._outcome.is_done:
            self._outcome = failed(f"the control plane did not take the result: {why}", retry=False)
        else:
            self.fenced()

    def away(self, now: float) -> None:
        """The control plane did not answer, or cannot now: try later, and later still (full jitter above a half)."""
        pause_s = min(RETRY_S * 2.0 ** min(self._failures, 16), RETRY_MAX_S)
        self._failures += 1
        self._not_before = now + pause_s * self._dice.uniform(0.5, 1.0)

    # What the body does -----------------------------------------------------------------------------------------------

    def started(self) -> None:
        """Start is done."""
        self._is_running = True

    def told(self, told: Told) -> None:
        """The body says how far it is."""
        self._told, self._has_news = told, True

    def ended(self, outcome: Outcome) -> None:
        """The body ended by itself, or could not be started."""
        self._is_running = False
        self._outcome = outcome
        if self._is_lost:
            self._drop()

    def stopped(self, outcome: Outcome | None, now: float) -> None:
        """Stop is done; `outcome` is there if the body ended just before, or said that it was stopped: that is no
        failure."""
        self._is_running = False
        self._outcome = outcome if outcome is not None and outcome.is_done else None
        if self._is_lost:
            self._drop()
        elif self._outcome is None and self._claim is not None and now >= self._ends_at:
            self._outcome = failed(f"it took longer than {self._claim.time_limit_s:g} s", retry=True)

    def drain(self, now: float) -> None:
        """The process was told to stop."""
        if self._leave_at is None:
            self._leave_at = now + self._drain_s

    # ------------------------------------------------------------------------------------------------------------------

    def _answered(self) -> None:
        self._failures, self._not_before = 0, 0.0

    def _renew(self, claim: Claim, now: float) -> None:
        self._beat_at, self._news_at = now + claim.lease_s / 3, now + NEWS_S
        self._has_news = False

    def _drop(self) -> None:
        self._claim, self._outcome, self._is_lost = None, None, False

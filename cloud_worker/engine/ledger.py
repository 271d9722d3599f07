"""Ledger: what every tenant was given, and how long its answers are. Virtual token counters (VTC, Sheng et al., 2023,
arXiv 2401.00588): who was served least comes first, and who was away does not come back with all of that to catch up.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from cloud_worker.engine.requests import Account, Request

FIRST_GUESS_TOKENS: Final = 128.0
"""Length of an answer before any was seen."""
LENGTH_MEMORY: Final = 0.9
"""Weight of the past in the moving average of lengths."""
KEPT_ACCOUNTS: Final = 4096
"""Tenants without requests that are remembered."""


class Ledger:
    """Accounts of the tenants that have requests, and of the latest of the others.

    A tenant whose first request comes, or comes again, stands at most `credit` weighted tokens below the one that was
    served least of those at work.
    """

    def __init__(self, credit: float) -> None:
        self._credit = credit
        self._floor = 0.0
        self._mean_output = FIRST_GUESS_TOKENS
        self._away: OrderedDict[bytes, Account] = OrderedDict()
        self.active: dict[bytes, Account] = {}

    def open(self, request: Request) -> None:
        """Give a new request the account of its tenant, which is active from now on."""
        account = self.active.get(request.tenant)
        if account is None:
            lowest = self._least() - self._credit
            account = self._away.pop(request.tenant, None) or Account(request.tenant, lowest, self._mean_output)
            account.served = max(account.served, lowest)
            self.active[request.tenant] = account
        account.requests += 1
        request.account = account

    def close(self, request: Request) -> None:
        """A request is over; with its last one a tenant is away."""
        account = request.account
        account.requests -= 1
        if account.requests:
            return
        self._least()
        del self.active[account.tenant]
        self._away[account.tenant] = account
        if len(self._away) > KEPT_ACCOUNTS:
            self._away.popitem(last=False)

    def most_served(self) -> float:
        """By the active tenant that was served most."""
        return max((account.served for account in self.active.values()), default=0.0)

    def learn(self, request: Request) -> None:
        """An answer came to its own end: so long are they."""
        said = len(request.output_ids)
        account = request.account
        account.mean_output += (1 - LENGTH_MEMORY) * (said - account.mean_output)
        self._mean_output += (1 - LENGTH_MEMORY) * (said - self._mean_output)

    def _least(self) -> float:
        """The least that an active tenant was served. Never falls: those who come must not undercut each other."""
        if self.active:
            self._floor = max(self._floor, min(account.served for account in self.active.values()))
        return self._floor

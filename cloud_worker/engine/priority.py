"""Who comes first: pure functions of a request, its tenant's account and the token clock, all of them in tokens.

    score = wait · waited - service · remaining + tier · user tier - debt · served by its tenant (fair-share debt)

The clock counts tokens that were read or said for the first time, so load does not change what waiting is worth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cloud_worker.engine.requests import Request
from edgewise.wire.errors import BadRequestError

TAIL_TOKENS: Final = 32
"""An answer that is longer than was thought is thought to have so many tokens left."""


@dataclass(frozen=True, slots=True)
class Weights:
    """What a token of each counts; the sizes are in tokens too.

    A request of a tier one higher stands as one that waited `tier` tokens longer. Costs are those of the VTC paper: a
    token said is worth two that were read. `overdue` is when age alone counts: waiting.py tells what that promises.
    """

    wait: float = 1.0
    service: float = 0.25
    tier: float = 8192.0
    debt: float = 1.0
    most_service: int = 16384
    """Remaining work above this counts no more: long requests are not put off for ever."""
    credit: float = 8192.0
    """How far a tenant that comes back may be behind the others."""
    hysteresis: float = 4096.0
    """How much better a waiting request's tenant and tier must stand than a running one's to take its place."""
    most_preemptions: int = 2
    """How often a request may lose its place to a better one (for want of blocks it may, as often as it must)."""
    overdue: int = 1 << 19
    prompt_cost: float = 1.0
    output_cost: float = 2.0

    def __post_init__(self) -> None:
        if min(self.wait, self.overdue) <= 0 or min(self.service, self.tier, self.debt, self.credit) < 0:
            raise BadRequestError(
                f"Impossible weights {self}", where="scheduler", expected="wait and overdue above 0, no other below 0"
            )


def left(request: Request) -> int:
    """How many more tokens its answer is thought to have, at least one: the tenant's mean, within max_tokens."""
    said = len(request.output_ids)
    guess = max(int(request.account.mean_output) - said, TAIL_TOKENS)
    return max(1, min(guess, request.max_tokens - said))


def remaining(request: Request, weights: Weights) -> int:
    """Tokens of work that it is thought to need still: what is not read, and what is not said."""
    return min(request.total - request.read + left(request), weights.most_service)


def standing(request: Request, weights: Weights) -> float:
    """What tenant and tier are worth; only differences mean anything."""
    return weights.tier * request.tier - weights.debt * request.account.served


def score(request: Request, since: int, clock: int, weights: Weights) -> float:
    """The whole of it, for one that has waited since `since` on the token clock."""
    waited = clock - since
    return weights.wait * waited - weights.service * remaining(request, weights) + standing(request, weights)


def line_key(request: Request, weights: Weights) -> float:
    """Order among a tenant's own that wait, the smallest first: their scores differ by this, whatever the clock."""
    work = weights.service * remaining(request, weights)
    return weights.wait * request.arrived + work - weights.tier * request.tier


def score_in_line(key: float, request: Request, clock: int, weights: Weights) -> float:
    """The score of a tenant's first in line, of its `line_key`, beside those of other tenants.

    It has waited since it came, or since its tenant was last given room, whichever is later: otherwise a tenant that
    floods would outrank all others by the age of its own backlog.
    """
    account = request.account
    later = max(account.admitted - request.arrived, 0)
    return weights.wait * (clock - later) - key - weights.debt * account.served

"""A simulated engine for the speculation tests: drafts that hold by chance, and a machine with a curve.

A step's tokens are counted as expected ones, given what was drafted, so that luck decides little; what the Speculator
sees is what happened.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from cloud_worker.engine.speculation.drafting import Source, Wanted
from cloud_worker.engine.speculation.scenes import MOST_DRAFTS, UNKNOWN, Scene
from cloud_worker.engine.speculation.speculator import Speculator
from cloud_worker.engine.speculation.step_costs import CPU_SEED, GPU_SEED, StepCosts
from edgewise.generation.state import GenerationState

Curve = Callable[[int], float]
STATE = GenerationState(prompt_ids=(1,), messages=(), model="simulated", max_tokens=1000, seed=1)


def padded(rows: int, grid: int = 8) -> int:
    return -(-rows // grid) * grid


def memory_bound(rows: int) -> float:
    """A large GPU: up to 256 rows cost what one costs."""
    return 0.010 * max(1.0, rows / 256) + 0.000_005 * rows


def compute_bound(rows: int) -> float:
    """Every row costs nearly its full price."""
    return 0.002 + 0.010 * (rows if rows <= 8 else padded(rows))


def two_cores(rows: int) -> float:
    """Four rows cost what one costs, about linear above 16; attention costs each row a little."""
    level = 0.030 if rows <= 8 else 0.030 + (padded(rows) - 8) * (0.0015 if rows <= 16 else 0.0022)
    return level + 0.000_6 * rows


def tiled(rows: int) -> float:
    """A GPU whose products come in tiles of 64 rows."""
    return 0.008 + 0.004 * (padded(rows, 64) // 64) + 0.000_02 * rows


CURVES: dict[str, Curve] = {
    "memory": memory_bound, "compute": compute_bound, "two-cores": two_cores, "tiled": tiled,
}  # fmt: skip
SEEDS: dict[Curve, Mapping[int, float]] = {memory_bound: GPU_SEED, tiled: GPU_SEED}
"""What is known of a machine beforehand; of the others, CPU_SEED."""


def expected(acceptance: float, drafts: int) -> float:
    """Tokens of a row with `drafts` drafts, each of which holds with chance `acceptance` if those before it did."""
    return 1.0 + sum(acceptance**place for place in range(1, drafts + 1))


@dataclass
class Guesser:
    """A drafter of one simulated engine: right with the acceptance that its engine says, at each place."""

    engine: Simulated
    calls: list[int] = field(default_factory=list)

    def begin(self, request: str, state: GenerationState) -> None:
        pass

    def draft(self, request: str, ids: Sequence[int], most: int) -> tuple[int, ...]:
        return self.engine.guess(request, most)

    def draft_all(self, wanted: Sequence[Wanted]) -> list[tuple[int, ...]]:
        for place in range(max(each.most for each in wanted)):
            self.calls.append(rows := sum(each.most > place for each in wanted))
            if self.engine.drafting_costs is not None:
                self.engine.drafting_costs.observe(rows, self.engine.noisy(self.engine.draft_curve(rows)))
        return [self.draft(each.request, each.ids, each.most) for each in wanted]

    def accepted(self, request: str, drafted: int, held: int) -> None:
        pass

    def forget(self, request: str) -> None:
        pass


class Simulated:
    """`acceptance` and `curve` may be changed between runs. `draft_share` prices the drafter: a call of it costs this
    share of the machine's step; 0 is a drafter that looks up."""

    def __init__(
        self,
        curve: Curve,
        acceptance: Callable[[int], float],
        answers: int,
        *,
        draft_share: float = 0.0,
        seed: int = 1,
        scene: Scene = UNKNOWN,
    ) -> None:
        self.curve, self.acceptance, self.answers, self.draft_share = curve, acceptance, answers, draft_share
        self.random = random.Random(seed)
        seed_costs = SEEDS.get(curve, CPU_SEED)
        costs = StepCosts(seed_costs)
        self.drafting_costs = StepCosts(seed_costs, beside=costs) if draft_share else None
        self.guesser = Guesser(self)
        source = Source("guesser", self.guesser, priced=bool(draft_share))
        self.speculator = Speculator([source], costs, self.drafting_costs)
        self.names = [f"answer-{number}" for number in range(answers)]
        for name in self.names:
            self.speculator.begin(name, STATE, scene)
        self.tokens = self.seconds = 0.0
        self.drafts: list[int] = []

    def draft_curve(self, rows: int) -> float:
        return self.draft_share * self.curve(rows)

    def noisy(self, seconds: float) -> float:
        """With 4 % of noise, and now and then an interruption."""
        return seconds * math.exp(self.random.gauss(0, 0.04)) * (3.0 if self.random.random() < 0.01 else 1.0)

    def guess(self, request: str, most: int) -> tuple[int, ...]:
        """1 is right, 0 is wrong."""
        chance = self.acceptance(self.names.index(request) if self.answers < 3 else int(request[7:]))
        return tuple(int(self.random.random() < chance) for _ in range(most))

    def run(self, steps: int) -> float:
        """Step; tokens per second of these steps."""
        before = self.tokens, self.seconds
        for _ in range(steps):
            self.step()
        return (self.tokens - before[0]) / (self.seconds - before[1])

    def step(self) -> None:
        self.guesser.calls.clear()
        drafts = self.speculator.propose([Wanted(name, (1,), MOST_DRAFTS) for name in self.names])
        rows = self.answers + sum(map(len, drafts.values()))
        for number, name in enumerate(self.names):
            ids = drafts.get(name, ())
            held = (*ids, 0).index(0)
            self.speculator.verified(name, len(ids), self._said(name, ids, held))
            self.tokens += expected(self.acceptance(number), len(ids))
        self.speculator.stepped(rows, self.noisy(self.curve(rows)))
        self.seconds += self.curve(rows) + sum(map(self.draft_curve, self.guesser.calls))
        self.drafts.append(rows - self.answers)

    def _said(self, name: str, ids: tuple[int, ...], held: int) -> tuple[int, ...]:
        """The held drafts, and the token behind them: another 1, right where the offer goes on rightly."""
        return (1,) * (held + 1)


def fixed_rate(curve: Curve, acceptance: Sequence[float], drafts: int, draft_share: float = 0.0) -> float:
    """Tokens per second with the same number of drafts for each answer in every step."""
    answers = len(acceptance)
    tokens = sum(expected(each, drafts) for each in acceptance)
    return tokens / (curve(answers * (1 + drafts)) + drafts * draft_share * curve(answers))


def best_fixed_rate(curve: Curve, acceptance: Sequence[float], draft_share: float = 0.0) -> float:
    """Of no drafts and every number of them."""
    return max(fixed_rate(curve, acceptance, drafts, draft_share) for drafts in range(MOST_DRAFTS + 1))

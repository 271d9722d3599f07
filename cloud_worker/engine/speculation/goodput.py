"""How many of a step's rows are spent on drafts: as many as give the most tokens per second (docs/adr/0040). Pure.

tokens of a step      B + sum over drafted tokens of the chance that it and all before it in its draft hold
seconds of a step     step(rows + drafts) + what making the drafts takes
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, NamedTuple, Protocol

from cloud_worker.engine.speculation.step_costs import FEWEST_SAMPLES, StepCosts, size_of

EXPLORATION: Final = 0.01
"""Share of the time that may go, by what is known, into trying what does not look best."""
EARLY: Final = 1.0
"""How many steps more a new engine may lose by trying, each time that those it has run become three times as many."""
EARLY_STEPS: Final = 30
"""From here on."""
MOST_CREDIT: Final = 1.0
"""What exploration may save up, in steps without drafts."""
LEAST_LOSS: Final = 0.05
KNOWN_DOUBT: Final = 0.04
UNSEEN_DOUBT: Final = 0.5
AGE_OF_DOUBT: Final = 2000
"""Steps after which a size that was not run is doubted once more by all of its time."""
BEYOND_WINDOW: Final = 0.9
"""What a drafted token behind its answer's window counts of its chance: it must pay clearly."""
FEWEST_STEPS: Final = 16
"""Steps that must have been timed before drafts may go beyond windows."""
DRAFT_STEP_SHARE: Final = 0.25
"""What a call of a draft model is taken to cost of the engine's step, until one was timed."""
FORGOTTEN_AFTER: Final = 12
"""Steps after which an answer whose drafts cost something to make, and were not worth it, is tried again."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What could be drafted for one answer: the chance of each token if those before it held, and its window.

    `priced`: making the drafts takes calls of a draft model, one for each place of the longest. `unseen`: steps since
    a draft of it was judged.
    """

    chances: tuple[float, ...] = ()
    window: int = 0
    priced: bool = False
    unseen: int = 0


class Choice(NamedTuple):
    """For each ask how many drafts to verify; and by the index of an ask how many to make and not to verify, because
    what is said will tell whether they would have held."""

    verify: list[int]
    only_make: dict[int, int]


class Chooser(Protocol):
    """Whoever says how many drafts of a step are verified; see `Goodput.choose`."""

    def choose(self, asks: Sequence[Ask], other_rows: int = 0, prompt_rows: int = 0) -> Choice: ...


class _Slot(NamedTuple):
    """One drafted token in the line, which sorts likeliest first."""

    worth: float
    """What it adds to the tokens of the step, negative."""
    place: int
    ask: int


class _Priced(NamedTuple):
    """The step with the first `drafts` of the line: what it is expected to say and to take.

    Of answers whose drafts are priced only the first `depth` places count; each is a call of the draft model.
    """

    drafts: int
    depth: int
    tokens: float
    seconds: float

    @property
    def rate(self) -> float:
        return self.tokens / self.seconds


class Goodput:
    """Chooses for whole steps. `steps` are the engine's times, `drafting` those of the draft model's calls, if any.

    Drafted tokens of all answers are lined up, likeliest first; every beginning of that line that fills a size of step
    is priced, and the best is taken: none, or the window of every answer, or more. What does not look best is run again
    when the time that it may lose has been saved up, a share of all steps, so that a choice can change.
    """

    def __init__(self, steps: StepCosts, drafting: StepCosts | None = None) -> None:
        self._steps = steps
        self._drafting = drafting
        self._credit = MOST_CREDIT
        self._count = 0
        self._last_run: dict[int, int] = {}

    def choose(self, asks: Sequence[Ask], other_rows: int = 0, prompt_rows: int = 0) -> Choice:
        """How many tokens to draft and verify for each ask.

        Each ask has one row without drafts; `other_rows` are output rows that ask nothing (replay), `prompt_rows` those
        of prompts, whose time is not held against the drafts.
        """
        self._count += 1
        counts = [0] * len(asks)
        rows = len(asks) + other_rows
        if not asks or not self._steps.knows_down_to(rows + prompt_rows):
            return Choice(counts, {})  # what drafts must beat is measured first
        line = self._line(asks)
        priced = self._price(asks, line, rows, prompt_rows)
        best = max(priced, key=lambda each: (each.rate, -each.drafts))
        chosen = self._tried(priced, best, rows + prompt_rows)
        self._last_run[size_of(rows + prompt_rows + chosen.drafts)] = self._count
        for slot in _within(line, asks, chosen.depth)[: chosen.drafts]:
            counts[slot.ask] = slot.place + 1
        return Choice(counts, self._tried_draft(asks, counts, rows))

    def _line(self, asks: Sequence[Ask]) -> list[_Slot]:
        """All tokens that could be drafted, the likeliest first; those of one answer stay in order."""
        line = list[_Slot]()
        bound = self._steps.steps < FEWEST_STEPS
        for index, ask in enumerate(asks):
            chance = 1.0
            for place, holds in enumerate(ask.chances[: ask.window] if bound else ask.chances):
                chance *= holds
                line.append(_Slot(-chance * (BEYOND_WINDOW if place >= ask.window else 1.0), place, index))
        line.sort()
        return line

    def _price(self, asks: Sequence[Ask], line: Sequence[_Slot], rows: int, prompt_rows: int) -> list[_Priced]:
        """Nothing, and with every number of draft model calls the beginnings that fill a size of step."""
        seconds = self._steps.seconds
        prompts_s = seconds(rows + prompt_rows) - seconds(rows)
        call_s = self._call_s(sum(ask.priced for ask in asks))
        deepest = max((len(ask.chances) for ask in asks if ask.priced), default=0)
        priced = [_Priced(0, 0, float(rows), seconds(rows))]
        for depth in range(deepest + 1):
            tokens = list(accumulate((-slot.worth for slot in _within(line, asks, depth)), initial=float(rows)))
            priced += [
                _Priced(
                    drafts, depth, tokens[drafts], seconds(rows + prompt_rows + drafts) - prompts_s + depth * call_s
                )
                for drafts in _full(rows + prompt_rows, len(tokens) - 1)
            ]
        return priced

    def _call_s(self, rows: int) -> float:
        """A call of the draft model with `rows` rows."""
        if self._drafting is not None and self._drafting.knows_down_to(rows):
            return self._drafting.seconds(rows)
        return DRAFT_STEP_SHARE * self._steps.seconds(rows)

    def _tried(self, priced: Sequence[_Priced], best: _Priced, rows: int) -> _Priced:
        """The best; or a size of step that might be better, once what it may lose (in plain steps) is saved up."""
        step_s = priced[0].seconds
        share = EXPLORATION + EARLY / (EARLY_STEPS + self._count)
        self._credit = min(self._credit + share * best.seconds / step_s, MOST_CREDIT)
        tries = dict[int, tuple[float, float, _Priced]]()
        for each in priced:
            size = size_of(rows + each.drafts)
            loss = max((each.seconds - each.tokens / best.rate) / step_s, 0.0)
            gain = each.rate / best.rate * self._doubt(size) - 1
            if gain > 0 and loss <= min(MOST_CREDIT, tries.get(size, (MOST_CREDIT,))[0]):
                tries[size] = loss, gain, each
        tries.pop(size_of(rows + best.drafts), None)
        if not tries:
            return best
        size = max(tries, key=lambda each: self._age(each) * tries[each][1] / (tries[each][0] + LEAST_LOSS))
        loss, _, chosen = tries[size]
        if loss > self._credit:
            return best
        self._credit -= loss
        return chosen

    def _doubt(self, size: int) -> float:
        """By what factor steps of `size` may be cheaper than thought: seen seldom, or not for long."""
        samples = self._steps.samples(size)
        seldom = UNSEEN_DOUBT if samples < FEWEST_SAMPLES else UNSEEN_DOUBT / samples
        return 1 + KNOWN_DOUBT + seldom + min(self._age(size) / AGE_OF_DOUBT, UNSEEN_DOUBT)

    def _age(self, size: int) -> int:
        return self._count - self._last_run.get(size, 0)

    def _tried_draft(self, asks: Sequence[Ask], verify: Sequence[int], rows: int) -> dict[int, int]:
        """Where making drafts has a price and seemed not worth it: now and then, for the answer longest unseen."""
        waiting = [
            index
            for index, ask in enumerate(asks)
            if ask.priced and ask.chances and not verify[index] and ask.unseen >= FORGOTTEN_AFTER
        ]
        if not waiting:
            return {}
        loss = self._call_s(1) / self._steps.seconds(rows)
        if loss > self._credit:
            return {}
        self._credit -= loss
        return {max(waiting, key=lambda index: asks[index].unseen): 1}


def _within(line: Sequence[_Slot], asks: Sequence[Ask], depth: int) -> list[_Slot]:
    """The line without the places of priced drafts from `depth` on."""
    return [slot for slot in line if slot.place < depth or not asks[slot.ask].priced]


def _full(rows: int, most: int) -> list[int]:
    """Of 1 to `most` drafts beside `rows` rows, the most for each size of step."""
    ends = list[int]()
    drafts = 1
    while drafts <= most:
        drafts = min(size_of(rows + drafts) - rows, most)
        ends.append(drafts)
        drafts += 1
    return ends


def speed_up(alpha: float, drafts: int, beta: float) -> float:
    """(1 + αk) / (1 + k/β): the speed-up of k `drafts` at a time, of which the share `alpha` holds.

    `beta` is how many calls of the draft model the engine's step is worth. It takes verification as free, that is
    step(1 + k) = step(1); `Goodput` uses the times as measured, and is the same where they are so.
    """
    return (1 + alpha * drafts) / (1 + drafts / beta)

"""Speculation of one engine: who drafts, how much, and what came of it. The engine's core asks it twice a step.

    propose(...)   before the step: the ids to verify for each running answer
    verified(...)  after it, for each answer that said something; stepped(...) once, with the step's time

Called from the engine's thread alone; pure but for its drafters. Which ids are said is none of its business: a draft is
accepted while it equals what is drawn (docs/adr/0040).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from traceback import extract_tb

from cloud_worker.engine.speculation.acceptance import Acceptance
from cloud_worker.engine.speculation.drafting import Source, Wanted
from cloud_worker.engine.speculation.goodput import Ask, Chooser, Goodput
from cloud_worker.engine.speculation.scenes import MOST_DRAFTS, UNKNOWN, Scene
from cloud_worker.engine.speculation.step_costs import StepCosts
from cloud_worker.engine.speculation.window import Window
from edgewise.generation.state import GenerationState

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Answer:
    """What is known of one running answer; `offered` by `source` is what it was last offered."""

    window: Window
    acceptance: dict[str, Acceptance]
    unseen: dict[str, int]
    source: str = ""
    offered: tuple[int, ...] = ()


@dataclass(slots=True)
class SpeculationCounts:
    """Since the start: tokens verified and accepted by source, and steps by how many drafts they had."""

    drafted: dict[str, int] = field(default_factory=dict)
    accepted: dict[str, int] = field(default_factory=dict)
    steps_with_drafts: int = 0
    steps: int = 0


class Speculator:
    """Drafts for all answers of one engine. `sources` in order: of two that cost nothing, the first with a draft.

    `costs` are the engine's step times, `drafting_costs` those of its draft model's calls, which that model notes
    itself. Goodput chooses how many are verified, unless `chooser` does.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        costs: StepCosts | None = None,
        drafting_costs: StepCosts | None = None,
        chooser: Chooser | None = None,
    ) -> None:
        self._sources = {source.name: source for source in sources}
        self._free = [source for source in sources if not source.priced]
        self._priced = next((source for source in sources if source.priced), None)
        self.costs, self.drafting_costs = costs or StepCosts(), drafting_costs
        self._chooser = chooser or Goodput(self.costs, drafting_costs)
        self._pools = {source.name: Acceptance() for source in sources}
        self._answers: dict[str, _Answer] = {}
        self.counts = SpeculationCounts()

    def begin(self, request: str, state: GenerationState, scene: Scene = UNKNOWN) -> None:
        """An answer is admitted, or again after it was preempted."""
        if request not in self._answers:
            chances = {name: Acceptance(pool) for name, pool in self._pools.items()}
            self._answers[request] = _Answer(Window(scene), chances, dict.fromkeys(self._sources, 0))
        for source in self._sources.values():
            source.drafter.begin(request, state)

    def forget(self, request: str) -> None:
        """The answer ended, or left; unknown ones are ignored."""
        if self._answers.pop(request, None) is not None:
            for source in self._sources.values():
                source.drafter.forget(request)

    def propose(
        self, running: Sequence[Wanted], other_rows: int = 0, prompt_rows: int = 0
    ) -> dict[str, tuple[int, ...]]:
        """The ids to verify in the next step, for each that has any.

        `running` are the answers with one row in the step, their ids so far, and how many drafts there is room for
        (budget, context, rows). `other_rows` and `prompt_rows` as for `Goodput.choose`.
        """
        known = [each for each in running if each.request in self._answers]
        asks = [self._ask(each) for each in known]
        verify, only_make = self._chooser.choose(asks, other_rows + len(running) - len(known), prompt_rows)
        self._make(
            [
                Wanted(each.request, each.ids, most)
                for index, each in enumerate(known)
                if asks[index].priced and (most := verify[index] or only_make.get(index, 0))
            ]
        )
        drafts = dict[str, tuple[int, ...]]()
        for each, count in zip(known, verify, strict=True):
            if ids := self._answers[each.request].offered[:count]:
                drafts[each.request] = ids
        self.counts.steps += 1
        self.counts.steps_with_drafts += bool(drafts)
        return drafts

    def verified(self, request: str, drafted: int, said: Sequence[int]) -> None:
        """The step verified the first `drafted` ids of the last proposal, and `said` came of it."""
        answer = self._answers.get(request)
        if answer is None or not answer.offered:
            return
        offered, answer.offered = answer.offered, ()
        held = _held(offered[:drafted], said)
        answer.acceptance[answer.source].observe(offered, said)
        answer.unseen[answer.source] = 0
        answer.window.observe(drafted, held, len(said))
        if drafted:
            self._sources[answer.source].drafter.accepted(request, drafted, held)
            self._count(answer.source, drafted, held)

    def stepped(self, rows: int, seconds: float) -> None:
        """A step of `rows` rows, prompts and drafts among them, took `seconds` without the making of drafts."""
        self.costs.observe(rows, seconds)

    def _ask(self, wanted: Wanted) -> Ask:
        """Look up what costs nothing; otherwise what the draft model would be asked for."""
        answer = self._answers[wanted.request]
        most = min(wanted.most, MOST_DRAFTS)
        for name in self._sources:
            answer.unseen[name] += 1
        source, answer.offered = self._looked_up(wanted, most)
        chances = answer.acceptance[source.name].chances(len(answer.offered)) if source else ()
        answer.source = source.name if source else ""
        model = self._priced
        if model is None or most < 1:
            return Ask(chances, answer.window.size)
        expected = answer.acceptance[model.name].hoped(most)
        if chances and chances[0] >= expected[0]:
            return Ask(chances, answer.window.size)
        answer.source, answer.offered = model.name, ()
        return Ask(expected, answer.window.size, priced=True, unseen=answer.unseen[model.name])

    def _looked_up(self, wanted: Wanted, most: int) -> tuple[Source | None, tuple[int, ...]]:
        for source in self._free:
            if ids := source.drafter.draft(wanted.request, wanted.ids, most):
                return source, ids[:most]
        return None, ()

    def _make(self, wanted: Sequence[Wanted]) -> None:
        """Have the draft model draft. It is given up when it fails: no answer needs it."""
        if self._priced is None or not wanted:
            return
        try:
            drafts = self._priced.draft_all(wanted)
        except Exception as error:  # noqa: BLE001 (whatever a model's code raises must not end the engine)
            at = extract_tb(error.__traceback__)[-1]  # no message: it may quote the text
            logger.error(
                "%s at %s:%s: the draft model is not asked again", type(error).__name__, at.filename, at.lineno
            )
            self._priced = None
            return
        for each, ids in zip(wanted, drafts, strict=True):
            self._answers[each.request].offered = ids[: each.most]

    def _count(self, source: str, drafted: int, held: int) -> None:
        self.counts.drafted[source] = self.counts.drafted.get(source, 0) + drafted
        self.counts.accepted[source] = self.counts.accepted.get(source, 0) + held


def _held(drafted: Sequence[int], said: Sequence[int]) -> int:
    """How many of `drafted` came, from the first on."""
    for place, token in enumerate(drafted):
        if place >= len(said) or said[place] != token:
            return place
    return len(drafted)

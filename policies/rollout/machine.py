"""The state machine of a rollout: a plan, a state and an event in, the next state and its reason out.

It reads no clock, keeps nothing and sends nothing; an event moves it by one position at most.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from policies.language.library.arithmetic import NANOSECONDS
from policies.language.library.notation import timestamp_text
from policies.language.values import Timestamp
from policies.rollout.counts import NOTHING_MEASURED
from policies.rollout.errors import Refusal, RolloutError
from policies.rollout.gates import Standing, standings
from policies.rollout.plan import OnBreach, RolloutPlan
from policies.rollout.states import (
    Approved,
    Done,
    Event,
    HoldAsked,
    Measured,
    OnHold,
    Position,
    Resumed,
    RollBackAsked,
    RolledBack,
    RolloutState,
    Running,
    Scheduled,
    Step,
    Ticked,
    Waiting,
)
from policies.rollout.windows import is_open

MAX_NAME_CHARS: Final = 200
MAX_REASON_CHARS: Final = 1000
MAX_TIME_S: Final = 253_402_300_799.0
"""The end of the year 9999."""


def begin(plan: RolloutPlan, author: str, at_s: float) -> RolloutState:
    """The state of a rollout that `author` asks for. Raises RolloutError for no name and no time."""
    fault = _fault_of(author, at_s)
    if fault is not None:
        raise RolloutError(*fault)
    if plan.approvals.count == 0:
        return RolloutState(plan.digest, author, Scheduled(), at_s, "nobody has to approve it")
    return RolloutState(plan.digest, author, Waiting(), at_s, f"waits for {plan.approvals.count} approvals")


def advance(plan: RolloutPlan, state: RolloutState, event: Event) -> Step:
    """What an event leads to. Never raises: an event that makes no sense is refused by a code and changes nothing."""
    fault = _fault_of(getattr(event, "by", "nobody"), event.at_s)
    if state.plan_digest != plan.digest:
        fault = Refusal.OTHER_PLAN, "this state belongs to another plan"
    if fault is not None:
        return Step(state, state, fault[1], fault[0])
    match event:
        case Ticked():
            return _tick(plan, state, event)
        case Measured():
            return _measure(plan, state, event)
        case Approved():
            return _approve(plan, state, event)
        case RollBackAsked():
            return _roll_back(state, event)
        case HoldAsked():
            return _hold(state, event)
        case Resumed():
            return _resume(state, event)


def _fault_of(name: str, at_s: float) -> tuple[Refusal, str] | None:
    if not (name.strip() and len(name) <= MAX_NAME_CHARS):
        return Refusal.NO_NAME, f"a name has 1 to {MAX_NAME_CHARS} characters"
    if not 0.0 <= at_s <= MAX_TIME_S:  # NaN is no time either
        return Refusal.NO_TIME, f"{at_s} is no time in seconds since 1970"
    return None


# ── steps ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _moved(state: RolloutState, position: Position, at_s: float, reason: str) -> Step:
    """A step elsewhere. A clock that was set back does not put it before the step before."""
    told = reason[:MAX_REASON_CHARS]
    after = replace(state, position=position, since_s=max(at_s, state.since_s), reason=told)
    return Step(state, after, told)


def _refused(state: RolloutState, code: Refusal, reason: str) -> Step:
    return Step(state, state, reason, code)


def _not_now(state: RolloutState, wanted: str) -> Step:
    return _refused(state, Refusal.NOT_NOW, f"{wanted}, and this one is {state.position.word}")


def _elapsed_s(state: RolloutState, at_s: float) -> float:
    """How long the stage has lasted, without the time on hold."""
    match state.position:
        case Running(elapsed_s=before):
            return before + max(0.0, at_s - state.since_s)
        case OnHold(elapsed_s=before):
            return before
        case _:
            return 0.0


# ── people ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _approve(plan: RolloutPlan, state: RolloutState, event: Approved) -> Step:
    if not isinstance(state.position, Waiting):
        return _not_now(state, "a rollout is approved while it waits")
    if event.by == state.author and not plan.approvals.self_approve:
        return _refused(state, Refusal.OWN_APPROVAL, f"{event.by} asked for it and cannot approve it")
    if event.by in state.approvals:
        return _refused(state, Refusal.SECOND_APPROVAL, f"{event.by} has approved it already")
    approvals = (*state.approvals, event.by)
    agreed = replace(state, approvals=approvals)
    if len(approvals) < plan.approvals.count:
        return Step(state, agreed, f"{event.by} approved it: {len(approvals)} of {plan.approvals.count}")
    step = _moved(agreed, Scheduled(), event.at_s, f"approved by {', '.join(approvals)}")
    return replace(step, before=state)


def _roll_back(state: RolloutState, event: RollBackAsked) -> Step:
    if isinstance(state.position, RolledBack | Done):
        return _not_now(state, "a rollout is rolled back before its end")
    return _moved(state, RolledBack(), event.at_s, _told("rolled back", event))


def _hold(state: RolloutState, event: HoldAsked) -> Step:
    match state.position:
        case Running(stage, run):
            position = OnHold(stage, run, _elapsed_s(state, event.at_s))
            return _moved(state, position, event.at_s, _told("held", event))
        case _:
            return _not_now(state, "a rollout is held while it runs")


def _resume(state: RolloutState, event: Resumed) -> Step:
    """Go on. After a breach the stage begins anew, and so does its measuring: a person has taken the old one back."""
    match state.position:
        case OnHold(stage, run, elapsed_s, breached=""):
            return _moved(state, Running(stage, run, elapsed_s), event.at_s, f"resumed by {event.by}")
        case OnHold(stage, run, breached=gate):
            fresh = replace(state, measures=NOTHING_MEASURED)
            reason = f"resumed by {event.by} after the breach of {gate}"
            return replace(_moved(fresh, Running(stage, run + 1), event.at_s, reason), before=state)
        case _:
            return _not_now(state, "a rollout is resumed while it is held")


def _told(what: str, event: RollBackAsked | HoldAsked) -> str:
    return f"{what} by {event.by}{': ' if event.why else ''}{event.why}"


# ── time ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _tick(plan: RolloutPlan, state: RolloutState, event: Ticked) -> Step:
    match state.position:
        case Scheduled():
            waits = next(_before_start(plan, event.at_s), "")
            return Step(state, state, waits) if waits else _enter(plan, state, 0, 1, event.at_s)
        case Running(stage, run):
            waits = next(_before_end(plan, state, stage, event.at_s), "")
            return Step(state, state, waits) if waits else _enter(plan, state, stage + 1, run + 1, event.at_s)
        case _:
            return Step(state, state, state.reason)


def _enter(plan: RolloutPlan, state: RolloutState, stage: int, run: int, at_s: float) -> Step:
    """Into a stage, or past the last one. Measures begin anew: the old ones are of other shares and other hours."""
    fresh = replace(state, measures=NOTHING_MEASURED)
    if stage == len(plan.stages):
        return replace(_moved(fresh, Done(), at_s, "all stages are over"), before=state)
    reason = f"stage {stage + 1} of {len(plan.stages)}: {plan.stages[stage]}"
    return replace(_moved(fresh, Running(stage, run), at_s, reason), before=state)


def _before_start(plan: RolloutPlan, at_s: float) -> Iterator[str]:
    """What the beginning still waits for."""
    if plan.start_at_s is not None and at_s < plan.start_at_s:
        yield f"begins at {timestamp_text(Timestamp(plan.start_at_s * NANOSECONDS))}"
    if not is_open(plan.windows, at_s):
        yield "waits for its window"


def _before_end(plan: RolloutPlan, state: RolloutState, at: int, at_s: float) -> Iterator[str]:
    """What the end of a stage still waits for."""
    stage, who = plan.stages[at], f"stage {at + 1} of {len(plan.stages)}"
    if stage.for_s is None:
        return
    left_s = stage.for_s - _elapsed_s(state, at_s)
    if left_s > 0.0:
        yield f"{who} lasts another {math.ceil(left_s)} s"
    for gate in plan.due(stage):
        seen = gate.seen(state.measures)
        if seen < plan.at_least:
            yield f"{who} waits for measures: {gate.name} has {seen} of {plan.at_least}"
    if at + 1 < len(plan.stages) and not is_open(plan.windows, at_s):
        yield f"{who} is over, and the next one waits for its window"


# ── measures ────────────────────────────────────────────────────────────────────────────────────────────────────


def stands(plan: RolloutPlan, state: RolloutState) -> tuple[Standing, ...]:
    """How each gate stands now; empty outside of a stage."""
    match state.position:
        case Running(run=run) | OnHold(run=run):
            return standings(plan.gates, state.measures, plan.alpha, run)
        case _:
            return ()


def _measure(plan: RolloutPlan, state: RolloutState, event: Measured) -> Step:
    match state.position:
        case Running(stage, run) | OnHold(stage, run, breached=""):
            pass
        case _:
            return _not_now(state, "measures are for a stage that no gate has stopped")
    if event.run != run:
        return _refused(state, Refusal.OTHER_RUN, f"these are measures of run {event.run}, and this is run {run}")
    if not event.measures.holds(state.measures):
        return _refused(state, Refusal.SHRUNK, "these totals are smaller than those before")
    measured = replace(state, measures=event.measures)
    breach = next((standing for standing in stands(plan, measured) if standing.breached), None)
    if breach is None:
        return Step(state, measured, "no gate is breached")
    held = OnHold(stage, run, _elapsed_s(state, event.at_s), breach.gate.name)
    position = held if plan.on_breach is OnBreach.HOLD else RolledBack(breach.gate.name)
    return replace(_moved(measured, position, event.at_s, str(breach)), before=state)

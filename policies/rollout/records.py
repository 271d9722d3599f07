"""A rollout's state as plain data and back. What comes back is checked against the plan: no damaged record runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any, Final

from policies.rollout.counts import (
    LAST_BIN,
    MAX_COUNT,
    NOTHING_MEASURED,
    SHARES,
    SPREADS,
    Counts,
    Measures,
    Share,
    Spread,
)
from policies.rollout.errors import Refusal, RolloutError
from policies.rollout.limits import GATES
from policies.rollout.machine import MAX_NAME_CHARS, MAX_REASON_CHARS, MAX_TIME_S
from policies.rollout.plan import RolloutPlan
from policies.rollout.states import Done, OnHold, Position, RolledBack, RolloutState, Running, Scheduled, Waiting

_MAX_RUNS: Final = 1_000_000


def state_to_dict(state: RolloutState) -> dict[str, Any]:
    """JSON-ready; `restored` reads it back."""
    position = state.position
    fields = {name: getattr(position, name) for name in type(position).__match_args__}
    return {
        "plan": state.plan_digest,
        "author": state.author,
        "approvals": list(state.approvals),
        "position": {"word": position.word, **fields},
        "since_s": state.since_s,
        "reason": state.reason,
        "measures": {"old": state.measures.old.to_dict(), "candidate": state.measures.candidate.to_dict()},
    }


def restored(plan: RolloutPlan, data: Any) -> RolloutState:
    """The state that `state_to_dict` wrote of a rollout of this plan. Raises RolloutError, and nothing else."""
    record = _Record(data, "state", ("plan", "author", "approvals", "position", "since_s", "reason", "measures"))
    if record.text("plan", 64) != plan.digest:
        raise RolloutError(Refusal.OTHER_PLAN, "this state belongs to another plan")
    names = record.items("approvals", plan.approvals.count)
    approvals = tuple(_name(name, f"state.approvals[{at}]") for at, name in enumerate(names))
    state = RolloutState(
        plan.digest,
        _name(record.value("author"), "state.author"),
        _position(record.value("position"), len(plan.stages)),
        record.seconds("since_s"),
        record.text("reason", MAX_REASON_CHARS),
        approvals,
        _measures(record.value("measures")),
    )
    _judge_approvals(plan, state)
    if not isinstance(state.position, Running | OnHold | RolledBack) and state.measures != NOTHING_MEASURED:
        raise _bad("state.measures", f"none while {state.position.word}")
    return state


def _judge_approvals(plan: RolloutPlan, state: RolloutState) -> None:
    """A record cannot have what `advance` would have refused."""
    names = state.approvals
    if len(set(names)) < len(names) or (state.author in names and not plan.approvals.self_approve):
        raise _bad("state.approvals", "different people, and the author only where the plan lets them")
    complete, waits = len(names) == plan.approvals.count, isinstance(state.position, Waiting)
    if complete == waits and not isinstance(state.position, RolledBack):
        raise _bad("state.approvals", f"as many as a rollout has that is {state.position.word}")


def read_counts(data: Any, where: str = "counts") -> Counts:
    """The counts that `Counts.to_dict` wrote. Raises RolloutError."""
    record = _Record(data, where, ("shares", "spreads"))
    shares = _Record(record.value("shares"), f"{where}.shares", SHARES, partial=True)
    spreads = _Record(record.value("spreads"), f"{where}.spreads", SPREADS, partial=True)
    return Counts(
        {name: Share(*shares.pair(name, (MAX_COUNT, MAX_COUNT))) for name in shares.data},
        {name: Spread(dict(spreads.pairs(name))) for name in spreads.data},
    )


def _measures(data: Any) -> Measures:
    record = _Record(data, "state.measures", ("old", "candidate"))
    old, candidate = record.value("old"), record.value("candidate")
    return Measures(read_counts(old, "state.measures.old"), read_counts(candidate, "state.measures.candidate"))


# ── positions ───────────────────────────────────────────────────────────────────────────────────────────────────


def _position(data: Any, stages: int) -> Position:
    word = data.get("word") if isinstance(data, Mapping) else None
    if not isinstance(word, str) or word not in _POSITIONS:
        raise _bad("state.position.word", f"one of {', '.join(_POSITIONS)}")
    keys, read = _POSITIONS[word]
    return read(_Record(data, "state.position", ("word", *keys)), stages)


def _running(record: _Record, stages: int) -> Position:
    stage, run = record.whole("stage", 0, stages - 1), record.whole("run", 1, _MAX_RUNS)
    return Running(stage, run, record.seconds("elapsed_s"))


def _on_hold(record: _Record, stages: int) -> Position:
    stage, run = record.whole("stage", 0, stages - 1), record.whole("run", 1, _MAX_RUNS)
    return OnHold(stage, run, record.seconds("elapsed_s"), record.word("breached", ("", *GATES)))


_POSITIONS: Final[Mapping[str, tuple[tuple[str, ...], Callable[[_Record, int], Position]]]] = {
    Waiting.word: ((), lambda _record, _stages: Waiting()),
    Scheduled.word: ((), lambda _record, _stages: Scheduled()),
    Running.word: (("stage", "run", "elapsed_s"), _running),
    OnHold.word: (("stage", "run", "elapsed_s", "breached"), _on_hold),
    RolledBack.word: (("breached",), lambda record, _stages: RolledBack(record.word("breached", ("", *GATES)))),
    Done.word: ((), lambda _record, _stages: Done()),
}


# ── plain data ──────────────────────────────────────────────────────────────────────────────────────────────────


class _Record:
    """A map whose keys are known and whose values are taken out as what they must be."""

    def __init__(self, data: Any, where: str, keys: tuple[str, ...], *, partial: bool = False) -> None:
        known = isinstance(data, Mapping) and all(key in keys for key in data)
        if not known or (len(data) < len(keys) and not partial):
            raise _bad(where, f"a map with {', '.join(keys)}")
        self.data: Mapping[str, Any] = data
        self._where = where

    def value(self, key: str) -> Any:
        return self.data[key]

    def text(self, key: str, at_most: int) -> str:
        return _text(self.data[key], f"{self._where}.{key}", at_most)

    def word(self, key: str, known: tuple[str, ...]) -> str:
        text = self.text(key, MAX_NAME_CHARS)
        if text not in known:
            raise _bad(f"{self._where}.{key}", f"one of {', '.join(known)}")
        return text

    def whole(self, key: str, least: int, most: int) -> int:
        return _whole(self.data[key], f"{self._where}.{key}", least, most)

    def seconds(self, key: str) -> float:
        value = self.data[key]
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0.0 <= value <= MAX_TIME_S:
            raise _bad(f"{self._where}.{key}", "seconds")
        return float(value)

    def items(self, key: str, at_most: int) -> list[Any]:
        return _items(self.data[key], f"{self._where}.{key}", at_most)

    def pair(self, key: str, most: tuple[int, int]) -> tuple[int, int]:
        return _pair(self.data[key], f"{self._where}.{key}", most)

    def pairs(self, key: str) -> list[tuple[int, int]]:
        where = f"{self._where}.{key}"
        pairs = [_pair(item, where, (LAST_BIN, MAX_COUNT)) for item in self.items(key, LAST_BIN + 1)]
        if any(before[0] >= after[0] for before, after in pairwise(pairs)):
            raise _bad(where, "bins in their order, each once")
        return pairs


def _bad(where: str, expected: str) -> RolloutError:
    return RolloutError(Refusal.RECORD, f"{where}: expected {expected}")


def _text(value: Any, where: str, at_most: int) -> str:
    if not isinstance(value, str) or len(value) > at_most:
        raise _bad(where, f"text of at most {at_most} characters")
    return value


def _name(value: Any, where: str) -> str:
    name = _text(value, where, MAX_NAME_CHARS)
    if not name.strip():
        raise _bad(where, "a name")
    return name


def _whole(value: Any, where: str, least: int, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise _bad(where, f"a whole number from {least} to {most}")
    return value


def _items(value: Any, where: str, at_most: int) -> list[Any]:
    if not isinstance(value, list) or len(value) > at_most:
        raise _bad(where, f"a list of at most {at_most}")
    return value


def _pair(value: Any, where: str, most: tuple[int, int]) -> tuple[int, int]:
    pair = _items(value, where, 2)
    if len(pair) != 2:
        raise _bad(where, "two whole numbers")
    return _whole(pair[0], where, 0, most[0]), _whole(pair[1], where, 0, most[1])

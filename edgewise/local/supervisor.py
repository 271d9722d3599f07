"""The supervisor's pure core: what happened goes in (spawned, ready, exited, ticks), what to do comes out as actions.

No process, clock or file is known here; edgewise/local/shell.py is the thin shell around it. Times are seconds of one
monotonic clock. Children start when all that they need is ready, and stop when all that need them are gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

CONFIG_EXIT_CODE = 78
"""EX_CONFIG of sysexits.h: the child says that starting it again cannot help."""


class ChildState(StrEnum):
    """Where one child stands."""

    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    BACKOFF = "backoff"
    FAILED = "failed"
    STOPPING = "stopping"
    STOPPED = "stopped"


@dataclass(frozen=True, kw_only=True)
class ChildRules:
    """One child: what must be ready before it, and how long it may take to get ready and to stop."""

    name: str
    needs: tuple[str, ...] = ()
    ready_within_s: float = 60.0
    stop_within_s: float = 15.0


@dataclass(frozen=True, kw_only=True)
class RestartRules:
    """`crashes_max` crashes in a row are forgiven; a child that stayed ready for `stable_s` starts counting anew.

    The n-th restart in a row waits `backoff_s` · 2ⁿ⁻¹, at most `backoff_max_s`.
    """

    crashes_max: int = 4
    backoff_s: float = 0.5
    backoff_max_s: float = 8.0
    stable_s: float = 30.0

    def delay_s(self, crashes: int) -> float:
        """How long to wait after the crash of this number, counted from 1."""
        return float(min(self.backoff_s * 2 ** (crashes - 1), self.backoff_max_s))


@dataclass(frozen=True)
class Spawn:
    """Start this child; `run` tells its runs apart."""

    name: str
    run: int


@dataclass(frozen=True)
class Terminate:
    """Ask this child to stop."""

    name: str


@dataclass(frozen=True)
class Kill:
    """Stop this child at once."""

    name: str


@dataclass(frozen=True)
class ChildReady:
    """This child answers now."""

    name: str


@dataclass(frozen=True)
class ChildCrashed:
    """This child ended unasked, or never got ready; it starts again after `restart_in_s`."""

    name: str
    why: str
    restart_in_s: float


@dataclass(frozen=True)
class ChildFailed:
    """This child will not be started again, and the whole stack stops because of it."""

    name: str
    why: str


@dataclass(frozen=True)
class AllReady:
    """Every child is ready, for the first time."""


@dataclass(frozen=True)
class Finished:
    """Nothing runs any more; `failed` names the child that ended it all, if one did."""

    failed: str = ""


Action = Spawn | Terminate | Kill | ChildReady | ChildCrashed | ChildFailed | AllReady | Finished

_RUNNING = {ChildState.STARTING, ChildState.READY, ChildState.STOPPING}
_OVER = {ChildState.FAILED, ChildState.STOPPED}


@dataclass
class _Child:
    rules: ChildRules
    state: ChildState = ChildState.WAITING
    run: int = 0
    crashes: int = 0
    deadline: float | None = None
    ready_at: float = 0.0
    overdue: str = ""


@dataclass
class Supervisor:
    """Children in start order. Every method returns the actions to carry out, in order; late news is ignored."""

    rules: Sequence[ChildRules]
    restart: RestartRules = field(default_factory=RestartRules)

    def __post_init__(self) -> None:
        self._children = {rules.name: _Child(rules) for rules in self.rules}
        self._stopping = False
        self._failed = ""
        self._announced = False
        self._finished = False
        _check_order(self.rules)

    def state(self, name: str) -> ChildState:
        """Where this child stands."""
        return self._children[name].state

    @property
    def finished(self) -> bool:
        """Whether everything is over."""
        return self._finished

    def next_deadline(self) -> float | None:
        """When `tick` is due next; None: only news can change anything."""
        return min((child.deadline for child in self._children.values() if child.deadline is not None), default=None)

    # What happened ------------------------------------------------------------------------------------------------

    def start(self, now: float) -> list[Action]:
        """Begin: spawn whatever needs nothing."""
        return self._spawn_due(now)

    def ready(self, name: str, run: int, now: float) -> list[Action]:
        """The probe of this run answered."""
        child = self._children[name]
        if child.run != run or child.state is not ChildState.STARTING or child.overdue:
            return []
        child.state, child.ready_at, child.deadline = ChildState.READY, now, None
        actions: list[Action] = [ChildReady(name), *self._spawn_due(now)]
        if not self._announced and all(other.state is ChildState.READY for other in self._children.values()):
            self._announced = True
            actions.append(AllReady())
        return actions

    def exited(self, name: str, run: int, code: int, now: float) -> list[Action]:
        """The process of this run ended; negative codes are signals."""
        child = self._children[name]
        if child.run != run or child.state not in _RUNNING:
            return []
        if self._stopping:
            self._rest(child, ChildState.STOPPED)
            return self._stop_due(now)
        return self._crashed(child, code, now)

    def tick(self, now: float) -> list[Action]:
        """Time passed: deadlines and back-offs."""
        actions: list[Action] = []
        for child in self._children.values():
            if child.deadline is not None and now >= child.deadline:
                actions += self._due(child)
        return actions + (self._stop_due(now) if self._stopping else self._spawn_due(now))

    def stop(self, now: float) -> list[Action]:
        """Stop everything in reverse order; asked again, at once."""
        if self._stopping:
            return [Kill(child.rules.name) for child in self._children.values() if child.state in _RUNNING]
        return self._begin_stop(now)

    # What follows -------------------------------------------------------------------------------------------------

    def _due(self, child: _Child) -> list[Action]:
        child.deadline = None
        if child.state is ChildState.BACKOFF:
            child.state = ChildState.WAITING
            return []
        child.overdue = f"was not ready within {child.rules.ready_within_s:g} s"
        return [Kill(child.rules.name)]

    def _spawn_due(self, now: float) -> list[Action]:
        due = [child for child in self._children.values() if child.state is ChildState.WAITING and self._may_run(child)]
        for child in due:
            child.state, child.run, child.overdue = ChildState.STARTING, child.run + 1, ""
            child.deadline = now + child.rules.ready_within_s
        return [Spawn(child.rules.name, child.run) for child in due]

    def _may_run(self, child: _Child) -> bool:
        return all(self._children[name].state is ChildState.READY for name in child.rules.needs)

    def _crashed(self, child: _Child, code: int, now: float) -> list[Action]:
        stable = child.state is ChildState.READY and now - child.ready_at >= self.restart.stable_s
        child.crashes = 1 if stable else child.crashes + 1
        why = child.overdue or _exit_text(code)
        if code == CONFIG_EXIT_CODE and not child.overdue:
            return self._give_up(child, why, now)
        if child.crashes > self.restart.crashes_max:
            return self._give_up(child, f"{why}, {child.crashes} times in a row", now)
        delay_s = self.restart.delay_s(child.crashes)
        child.state, child.deadline = ChildState.BACKOFF, now + delay_s
        return [ChildCrashed(child.rules.name, why, delay_s)]

    def _give_up(self, child: _Child, why: str, now: float) -> list[Action]:
        self._failed = child.rules.name
        self._rest(child, ChildState.FAILED)
        return [ChildFailed(child.rules.name, why), *self._begin_stop(now)]

    def _begin_stop(self, now: float) -> list[Action]:
        self._stopping = True
        for child in self._children.values():
            if child.state in {ChildState.WAITING, ChildState.BACKOFF}:
                self._rest(child, ChildState.STOPPED)
        return self._stop_due(now)

    def _stop_due(self, now: float) -> list[Action]:
        actions: list[Action] = []
        for child in reversed(self._children.values()):
            running = child.state in {ChildState.STARTING, ChildState.READY}
            if running and not self._is_needed(child.rules.name):
                child.state, child.deadline = ChildState.STOPPING, now + child.rules.stop_within_s
                actions.append(Terminate(child.rules.name))
        if not self._finished and all(child.state in _OVER for child in self._children.values()):
            self._finished = True
            actions.append(Finished(self._failed))
        return actions

    def _is_needed(self, name: str) -> bool:
        return any(name in child.rules.needs and child.state in _RUNNING for child in self._children.values())

    def _rest(self, child: _Child, state: ChildState) -> None:
        child.state, child.deadline = state, None


def _exit_text(code: int) -> str:
    return f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"


def _check_order(rules: Sequence[ChildRules]) -> None:
    seen: set[str] = set()
    for child in rules:
        missing = set(child.needs) - seen
        if missing:
            raise ValueError(f"{child.name} needs {', '.join(sorted(missing))}, which must be listed before it")
        seen.add(child.name)

"""The supervisor's core: order, restarts, giving up and stopping, by tables and by random histories."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise.local.supervisor import (
    CONFIG_EXIT_CODE,
    Action,
    AllReady,
    ChildCrashed,
    ChildFailed,
    ChildReady,
    ChildRules,
    ChildState,
    Finished,
    Kill,
    RestartRules,
    Spawn,
    Supervisor,
    Terminate,
)

RULES = (
    ChildRules(name="log", ready_within_s=10, stop_within_s=5),
    ChildRules(name="control", needs=("log",), ready_within_s=10, stop_within_s=5),
    ChildRules(name="worker", needs=("control",), ready_within_s=10, stop_within_s=5),
    ChildRules(name="edge", needs=("control",), ready_within_s=10, stop_within_s=5),
)
RESTART = RestartRules(crashes_max=2, backoff_s=1, backoff_max_s=8, stable_s=30)


def all_ready() -> Supervisor:
    supervisor = Supervisor(RULES, RESTART)
    supervisor.start(0)
    for name in ("log", "control", "worker", "edge"):
        supervisor.ready(name, 1, 1)
    return supervisor


def test_children_start_when_what_they_need_is_ready() -> None:
    supervisor = Supervisor(RULES, RESTART)
    assert supervisor.start(0) == [Spawn("log", 1)]
    assert supervisor.ready("log", 1, 1) == [ChildReady("log"), Spawn("control", 1)]
    assert supervisor.ready("control", 1, 2) == [ChildReady("control"), Spawn("worker", 1), Spawn("edge", 1)]
    assert supervisor.ready("edge", 1, 3) == [ChildReady("edge")]
    assert supervisor.ready("worker", 1, 4) == [ChildReady("worker"), AllReady()]


def test_a_crashed_child_starts_again_after_its_back_off_and_ready_is_not_announced_twice() -> None:
    supervisor = all_ready()
    assert supervisor.exited("worker", 1, -9, 5) == [ChildCrashed("worker", "was ended by signal 9", 1.0)]
    assert supervisor.next_deadline() == 6
    assert supervisor.tick(5.9) == []
    assert supervisor.tick(6) == [Spawn("worker", 2)]
    assert supervisor.ready("worker", 2, 7) == [ChildReady("worker")]


def test_a_crashed_child_waits_for_what_it_needs() -> None:
    supervisor = all_ready()
    supervisor.exited("log", 1, 1, 5)
    supervisor.exited("control", 1, 1, 5.5)
    assert supervisor.tick(6.5) == [Spawn("log", 2)]
    assert supervisor.ready("log", 2, 7) == [ChildReady("log"), Spawn("control", 2)]


def test_back_off_doubles_up_to_its_limit() -> None:
    assert [RESTART.delay_s(crashes) for crashes in range(1, 7)] == [1, 2, 4, 8, 8, 8]


def test_too_many_crashes_in_a_row_end_everything() -> None:
    supervisor = all_ready()
    supervisor.exited("edge", 1, 1, 2)
    supervisor.tick(3)
    supervisor.exited("edge", 2, 1, 4)
    supervisor.tick(6)
    actions = supervisor.exited("edge", 3, 1, 7)
    assert actions == [ChildFailed("edge", "ended with exit code 1, 3 times in a row"), Terminate("worker")]
    assert supervisor.exited("worker", 1, 0, 8) == [Terminate("control")]
    assert supervisor.exited("control", 1, 0, 8) == [Terminate("log")]
    assert supervisor.exited("log", 1, 0, 8) == [Finished("edge")]
    assert supervisor.state("edge") is ChildState.FAILED


def test_a_stable_child_is_forgiven_its_past() -> None:
    supervisor = all_ready()
    for run in range(1, 10):
        now = run * 100.0
        assert supervisor.exited("edge", run, 1, now) == [ChildCrashed("edge", "ended with exit code 1", 1.0)]
        supervisor.tick(now + 1)
        supervisor.ready("edge", run + 1, now + 2)


def test_a_child_that_cannot_start_as_configured_is_not_tried_again() -> None:
    supervisor = Supervisor(RULES[:1], RESTART)
    supervisor.start(0)
    why = f"ended with exit code {CONFIG_EXIT_CODE}"
    assert supervisor.exited("log", 1, CONFIG_EXIT_CODE, 1) == [ChildFailed("log", why), Finished("log")]


def test_a_child_that_never_gets_ready_is_killed_and_counts_as_crashed() -> None:
    supervisor = Supervisor(RULES[:1], RESTART)
    supervisor.start(0)
    assert supervisor.tick(10) == [Kill("log")]
    assert supervisor.ready("log", 1, 10.1) == []
    assert supervisor.exited("log", 1, -9, 10.2) == [ChildCrashed("log", "was not ready within 10 s", 1.0)]


def test_stopping_goes_in_reverse_order() -> None:
    supervisor = all_ready()
    assert supervisor.stop(5) == [Terminate("edge"), Terminate("worker")]
    assert supervisor.exited("edge", 1, 0, 6) == []
    assert supervisor.exited("worker", 1, 0, 6) == [Terminate("control")]
    assert supervisor.exited("control", 1, 0, 7) == [Terminate("log")]
    assert supervisor.exited("log", 1, 0, 7) == [Finished()]
    assert supervisor.finished


def test_a_child_that_does_not_stop_in_time_is_killed() -> None:
    supervisor = all_ready()
    supervisor.stop(5)
    assert supervisor.next_deadline() == 10
    assert supervisor.tick(10) == [Kill("worker"), Kill("edge")]


def test_asked_twice_it_stops_at_once() -> None:
    supervisor = all_ready()
    supervisor.stop(5)
    assert supervisor.stop(5.1) == [Kill("log"), Kill("control"), Kill("worker"), Kill("edge")]


def test_stop_ends_a_back_off() -> None:
    supervisor = all_ready()
    supervisor.exited("worker", 1, 1, 5)
    assert supervisor.stop(5) == [Terminate("edge")]
    assert supervisor.state("worker") is ChildState.STOPPED
    assert not any(isinstance(action, Spawn) for action in supervisor.tick(100))


def test_stop_before_anything_started_is_finished_at_once() -> None:
    assert Supervisor(RULES, RESTART).stop(0) == [Finished()]


@pytest.mark.parametrize("run", [0, 2])
def test_news_of_another_run_is_ignored(run: int) -> None:
    supervisor = all_ready()
    assert supervisor.exited("edge", run, 1, 5) == []
    assert supervisor.state("edge") is ChildState.READY


def test_a_child_must_be_listed_after_what_it_needs() -> None:
    with pytest.raises(ValueError, match="log, which must be listed before"):
        Supervisor((RULES[1], RULES[0]), RESTART)


# Random histories against a model of the processes that live ----------------------------------------------------------


@dataclass
class World:
    """The processes that live, and the rules that must hold whenever the supervisor acts on them."""

    supervisor: Supervisor = field(default_factory=lambda: Supervisor(RULES, RESTART))
    live: dict[str, int] = field(default_factory=dict)
    ready: set[str] = field(default_factory=set)
    stopping: bool = False
    finished: int = 0
    now: float = 0.0

    def apply(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Spawn(name, run):
                    assert name not in self.live, "two runs of one child"
                    assert set(needs(name)) <= self.ready
                    assert not self.stopping
                    self.live[name] = run
                case Terminate(name):
                    assert name in self.live
                    assert not [other for other in self.live if name in needs(other)], "still needed"
                case Kill(name):
                    assert name in self.live
                case ChildFailed():
                    self.stopping = True
                case Finished():
                    self.finished += 1
                    assert not self.live
                case _:
                    pass

    def get_ready(self, name: str) -> None:
        if name in self.live:
            self.ready.add(name)
            self.apply(self.supervisor.ready(name, self.live[name], self.now))

    def end(self, name: str, code: int) -> None:
        if name in self.live:
            run = self.live.pop(name)
            self.ready.discard(name)
            self.apply(self.supervisor.exited(name, run, code, self.now))

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.apply(self.supervisor.tick(self.now))

    def stop(self) -> None:
        self.stopping = True
        self.apply(self.supervisor.stop(self.now))


def needs(name: str) -> tuple[str, ...]:
    return next(rules.needs for rules in RULES if rules.name == name)


NAMES = st.sampled_from([rules.name for rules in RULES])
STEPS = st.one_of(
    st.tuples(st.just("ready"), NAMES),
    st.tuples(st.just("end"), NAMES, st.sampled_from([0, 1, -9, CONFIG_EXIT_CODE])),
    st.tuples(st.just("time"), st.sampled_from([0.5, 3.0, 11.0, 40.0])),
    st.tuples(st.just("stop")),
)


@given(st.lists(STEPS, max_size=60))
def test_whatever_happens_no_child_runs_twice_or_is_left_behind(steps: list[tuple[str, ...]]) -> None:
    world = World()
    world.apply(world.supervisor.start(0))
    for step in steps:
        match step:
            case ("ready", name):
                world.get_ready(name)
            case ("end", name, code):
                world.end(name, int(code))
            case ("time", seconds):
                world.pass_time(float(seconds))
            case _:
                world.stop()
    if not world.finished:
        world.stop()
    while world.live:
        world.end(next(iter(world.live)), 0)
    assert world.finished == 1
    assert world.supervisor.next_deadline() is None

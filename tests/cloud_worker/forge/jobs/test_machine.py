"""The machine against a model of the control plane, with lost questions, lost answers, rivals, cancels and deaths."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from cloud_worker.forge.jobs.claim import GONE, Claim, Outcome, Told, failed
from cloud_worker.forge.jobs.machine import (
    RETRY_MAX_S,
    Action,
    Ask,
    Beat,
    GiveBack,
    Leave,
    Machine,
    Report,
    Start,
    Stop,
    Wait,
)

LEASE_S = 15.0
LIMIT_S = 1000.0
DONE = Outcome(result={"n": 1})


def make(**given: object) -> Machine:
    wanted: dict[str, object] = {"dice": random.Random(1), "poll_s": 2.0, "drain_s": 5.0} | given
    return Machine(**wanted)  # type: ignore[arg-type]


def claim(epoch: int = 1) -> Claim:
    return Claim(
        id="j", kind="k", payload={}, epoch=epoch, attempt=1, max_attempts=5, lease_s=LEASE_S, time_limit_s=LIMIT_S
    )


def working(now: float = 0.0) -> Machine:
    machine = make()
    machine.claimed(claim(), None, now)
    assert machine.next(now) == Start(claim())
    machine.started()
    return machine


def test_a_job_from_the_claim_to_the_next_question() -> None:
    machine = working()
    assert machine.next(0) == Wait(LEASE_S / 3)
    machine.told(Told(0.5, "half"))
    assert machine.next(0.5) == Wait(1.0)
    assert machine.next(1.0) == Beat(claim(), Told(0.5, "half"))
    machine.renewed(1.0)
    assert machine.next(1.0) == Wait(1.0 + LEASE_S / 3)
    machine.ended(DONE)
    assert machine.next(2.0) == Report(claim(), DONE)
    machine.accepted()
    assert machine.next(2.0) == Ask()


def test_an_empty_queue_is_asked_again_after_a_pause() -> None:
    machine = make()
    machine.nothing(10.0)
    waited = machine.next(10.0)
    assert isinstance(waited, Wait)
    assert 11.0 <= waited.until <= 12.0
    assert machine.next(12.0) == Ask()


def test_a_control_plane_that_is_away_is_asked_ever_more_rarely_while_the_body_goes_on() -> None:
    machine = working()
    now, pauses = LEASE_S, []
    for _ in range(12):
        assert isinstance(machine.next(now), Beat)
        machine.away(now)
        waited = machine.next(now)
        assert isinstance(waited, Wait)
        pauses.append(waited.until - now)
        now = waited.until
    assert pauses[0] <= 0.5 <= pauses[-1] <= RETRY_MAX_S
    assert pauses[-1] >= RETRY_MAX_S / 2


def test_a_result_is_kept_and_reported_when_the_control_plane_is_back() -> None:
    machine = working()
    machine.ended(DONE)
    for now in (10.0, 100.0, 1000.0):
        assert machine.next(now) == Report(claim(), DONE)
        machine.away(now)
    assert machine.next(2000.0) == Report(claim(), DONE)


def test_a_cancelled_job_is_stopped_and_never_spoken_of_again() -> None:
    machine = working()
    machine.fenced()
    assert machine.next(1.0) == Stop(claim())
    machine.stopped(DONE, 1.0)
    assert machine.next(1.0) == Ask()


def test_the_result_of_an_earlier_attempt_is_reported_under_the_new_epoch_without_working() -> None:
    machine = make()
    machine.claimed(claim(2), DONE, 0.0)
    assert machine.next(0.0) == Report(claim(2), DONE)


def test_a_failure_of_an_earlier_attempt_is_tried_again() -> None:
    machine = make()
    machine.claimed(claim(2), failed("no", retry=True), 0.0)
    assert machine.next(0.0) == Start(claim(2))


def test_claims_of_an_earlier_process_are_settled_before_anything_is_asked() -> None:
    machine = make(unreported=[(claim(3), GONE)])
    assert machine.next(0.0) == Report(claim(3), GONE)
    machine.fenced()
    assert machine.next(0.0) == Ask()


def test_told_to_stop_it_gives_the_job_back_and_leaves() -> None:
    machine = working()
    machine.drain(1.0)
    assert machine.next(1.0) == Stop(claim())
    machine.stopped(None, 1.0)
    assert machine.next(1.0) == GiveBack(claim())
    machine.accepted()
    assert machine.next(1.0) == Leave()


def test_a_body_that_says_that_it_was_stopped_has_not_failed() -> None:
    machine = working()
    machine.drain(1.0)
    machine.stopped(failed("stopped as asked", retry=True), 1.0)
    assert machine.next(1.0) == GiveBack(claim())


def test_told_to_stop_while_the_control_plane_is_away_it_leaves_in_time() -> None:
    machine = working()
    machine.drain(1.0)
    machine.stopped(DONE, 1.0)
    now = 1.0
    while not isinstance(action := machine.next(now), Leave):
        if isinstance(action, Wait):
            now = action.until
        else:
            assert action == Report(claim(), DONE)
            machine.away(now)
    assert now <= 6.0


def test_a_body_that_takes_too_long_is_stopped_and_fails() -> None:
    machine = working()
    assert machine.next(LIMIT_S) == Stop(claim())
    machine.stopped(None, LIMIT_S)
    assert machine.next(LIMIT_S) == Report(claim(), failed("it took longer than 1000 s", retry=True))


def test_a_result_that_is_refused_becomes_a_failure_and_then_nothing() -> None:
    machine = working()
    machine.ended(DONE)
    machine.refused("too large")
    told = machine.next(0.0)
    assert told == Report(claim(), failed("the control plane did not take the result: too large", retry=False))
    machine.refused("no")
    assert machine.next(0.0) == Ask()


@pytest.mark.parametrize("event", ["ended", "stopped"])
def test_what_a_fenced_body_still_made_is_not_reported(event: str) -> None:
    machine = working()
    machine.fenced()
    machine.ended(DONE) if event == "ended" else machine.stopped(DONE, 0.0)
    assert machine.next(0.0) == Ask()


@dataclass
class Row:
    """One job as the control plane keeps it."""

    state: str = "queued"
    epoch: int = 0
    holder: str = ""
    commits: list[str] = field(default_factory=list)

    def claim(self, holder: str) -> int | None:
        if self.state != "queued":
            return None
        self.state, self.epoch, self.holder = "running", self.epoch + 1, holder
        return self.epoch

    def holds(self, epoch: int) -> bool:
        return self.state == "running" and self.epoch == epoch


class ForgeMachine(RuleBasedStateMachine):
    """One job, one forge process with its disk, and everything that can go wrong around them."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.row = Row()
        self.machine = make()
        self.claim_on_disk: Claim | None = None
        self.outcome_on_disk: Outcome | None = None
        self.is_running = False
        self.runs_after_result = 0
        self.seen_epoch = 0
        self.refused_epoch = 0

    # The world --------------------------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.3, 2.0, LEASE_S]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def the_lease_lapses(self) -> None:
        if self.row.state == "running":
            self.row.state = "queued"

    @rule()
    def a_rival_claims(self) -> None:
        self.row.claim("rival")

    @precondition(lambda self: self.row.holder == "rival")
    @rule()
    def the_rival_gives_up(self) -> None:
        if self.row.state == "running" and self.row.holder == "rival":
            self.row.state = "queued"

    @rule()
    def an_operator_cancels_and_later_retries(self) -> None:
        self.row.state = "failed" if self.row.state in ("queued", "running") else self.row.state
        self.now += 1.0

    @precondition(lambda self: self.row.state == "failed")
    @rule()
    def an_operator_retries(self) -> None:
        self.row.state = "queued"

    # The forge --------------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.is_running)
    @rule(works=st.booleans())
    def the_body_ends(self, works: bool) -> None:
        self.is_running = False
        self.outcome_on_disk = DONE if works else failed("no", retry=True)
        self.machine.ended(self.outcome_on_disk)
        self._tidy()

    @precondition(lambda self: self.is_running)
    @rule()
    def the_body_tells(self) -> None:
        self.machine.told(Told(0.5, "half"))

    @rule()
    def the_process_dies_and_starts_again(self) -> None:
        self.is_running = False
        self.refused_epoch = 0
        left = [] if self.claim_on_disk is None else [(self.claim_on_disk, self.outcome_on_disk or GONE)]
        self.machine = make(unreported=left)

    @rule()
    def the_process_is_told_to_stop_and_starts_again(self) -> None:
        self.machine.drain(self.now)
        for _ in range(20):
            if isinstance(self._act("arrives"), Leave):
                break
        self.the_process_dies_and_starts_again()

    @rule(networks=st.lists(st.sampled_from(["arrives", "is lost", "its answer is lost"]), min_size=1, max_size=8))
    def it_acts(self, networks: list[str]) -> None:
        for network in networks:
            self._act(network)

    def _act(self, network: str) -> Action:
        action = self.machine.next(self.now)
        match action:
            case Start():
                self.runs_after_result += self.outcome_on_disk == DONE
                self.is_running = True
                self.machine.started()
            case Stop():
                self.is_running = False
                self.machine.stopped(self.outcome_on_disk, self.now)
            case Wait(until):
                self.now = max(self.now, until)
            case Ask():
                self._ask(network)
            case Beat(held) | Report(held) | GiveBack(held):
                self._say(action, held, network)
            case Leave():
                pass
        self._tidy()
        return action

    def _ask(self, network: str) -> None:
        epoch = self.row.claim("us") if network != "is lost" else None
        if network != "arrives":
            self.machine.away(self.now)
        elif epoch is None:
            self.machine.nothing(self.now)
        else:
            assert not self.is_running
            self.claim_on_disk = claim(epoch)
            self.seen_epoch = epoch
            if self.outcome_on_disk is not None and not self.outcome_on_disk.is_done:
                self.outcome_on_disk = None
            self.machine.claimed(self.claim_on_disk, self.outcome_on_disk, self.now)

    def _say(self, action: Beat | Report | GiveBack, held: Claim, network: str) -> None:
        assert held.epoch == self.seen_epoch  # never under an epoch older than one that it knows
        assert held.epoch != self.refused_epoch  # nor ever again under one that was refused
        takes = network != "is lost" and self.row.holds(held.epoch)
        if takes and isinstance(action, Report):
            self.row.state = "done" if action.outcome.is_done else "queued"
            self.row.commits += ["done"] if action.outcome.is_done else []
        elif takes and isinstance(action, GiveBack):
            self.row.state = "queued"
        if network != "arrives":
            self.machine.away(self.now)
        elif not takes:
            self.refused_epoch = held.epoch
            self.machine.fenced()
        elif isinstance(action, Beat):
            self.machine.renewed(self.now)
        else:
            self.machine.accepted()

    def _tidy(self) -> None:
        """What the shell does when the claim in hand is over."""
        if self.machine.claim is None and self.claim_on_disk is not None:
            self.claim_on_disk = None

    @invariant()
    def a_result_is_committed_once_and_never_worked_for_again(self) -> None:
        assert len(self.row.commits) <= 1
        assert self.runs_after_result == 0

    def teardown(self) -> None:
        """Left alone, the job is done; a result that was there is the one that is reported."""
        for _ in range(200):
            if self.row.state == "done":
                break
            if self.row.holder == "rival" or self.row.state == "failed":
                self.row.state, self.row.holder = "queued", ""
            if self.is_running:
                self.the_body_ends(works=True)
            self._act("arrives")
            self._lapse_if_nobody_knows_of_it()
        assert self.row.commits == ["done"]
        assert self.runs_after_result == 0

    def _lapse_if_nobody_knows_of_it(self) -> None:
        held = self.machine.claim
        if self.row.state == "running" and (held is None or held.epoch != self.row.epoch):
            self.row.state = "queued"


ForgeMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestForge = ForgeMachine.TestCase

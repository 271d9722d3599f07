"""The scheduler: plans that a model could follow, under any mixture of work; no token, block or request is lost."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud_worker.engine.blocks import BlockPool
from cloud_worker.engine.priority import Weights
from cloud_worker.engine.requests import Request
from cloud_worker.engine.scheduler import Limits, Scheduler
from cloud_worker.engine.work import BLOCK_TOKENS, StepPlan
from edgewise.wire.errors import BadRequestError, ConflictError, TierRefusedError
from tests.simulators.token_engine import TokenEngine, guesses, token

LIMITS = Limits(slots=4, step_tokens=96, queue_tokens=20_000, reserve_tokens=32)


def request(name: str, prompt: int = 40, most: int = 8, tier: int = 0) -> Request:
    """With a prompt of its own."""
    rng = random.Random(name)
    return Request(name, tuple(rng.randrange(10_000) for _ in range(prompt)), most, tier=tier)


def engine(blocks: int = 64, limits: Limits = LIMITS, weights: Weights | None = None) -> TokenEngine:
    return TokenEngine(Scheduler(BlockPool(blocks), limits, weights))


class Trace:
    """A small world at random: prompts with common beginnings, several answers to one prompt, resumes, cancels."""

    def __init__(self, seed: int, *, check: bool = True) -> None:
        self.rng = rng = random.Random(seed)
        slots = rng.randint(1, 8)
        limits = Limits(
            slots=slots,
            step_tokens=slots + BLOCK_TOKENS + rng.randrange(150),
            queue_tokens=rng.choice([400, 1500, 6000]),
            reserve_tokens=rng.choice([1, 16, 64]),
        )
        self.weights = Weights(
            overdue=rng.choice([1, 300, 3000]),
            hysteresis=rng.choice([0, 500]),
            tier=rng.choice([0, 200, 5000]),
            credit=rng.choice([0, 1000]),
            most_preemptions=rng.choice([0, 2]),
        )
        self.engine = TokenEngine(Scheduler(BlockPool(rng.randint(12, 60)), limits, self.weights), check=check)
        self.prefixes = [tuple(rng.randrange(99) for _ in range(rng.choice([32, 64, 70]))) for _ in range(3)]
        self.refused = 0
        self.largest = 0

    def live(self, ticks: int = 60) -> Iterator[StepPlan]:
        """Step after step, to the end of all work."""
        for tick in range(ticks):
            if self.rng.random() < 0.4:
                self._arrive(tick)
            if self.rng.random() < 0.05 and self.engine.requests:
                self.engine.cancel(self.rng.choice(sorted(self.engine.requests)))
            drafter = guesses(self.engine, 4, 0.7, self.rng) if self.rng.random() < 0.5 else None
            yield self.engine.step(drafter)
        while self.engine.requests:
            plan = self.engine.step()
            assert plan.segments, "requests are there, and nothing is planned"
            yield plan

    def _arrive(self, tick: int) -> None:
        rng, tenant, salt, tier = self.rng, self.rng.randrange(4), self.rng.randrange(2), self.rng.randrange(-1, 2)
        prompt = rng.choice(self.prefixes) + tuple(rng.randrange(9) for _ in range(rng.choice([0, 1, 26, 40, 200])))
        for choice in range(rng.choice([1, 1, 1, 3])):
            made = Request(
                f"{tick}.{choice}", prompt, rng.randint(1, 120), tenant=bytes([tenant]), tier=tier, salt=bytes([salt])
            )
            if rng.random() < 0.2:
                said = min(rng.randrange(40), made.max_tokens - 1)
                made.output_ids = [token(made, index) for index in range(said)]
            self.engine.lengths[made.id] = len(made.output_ids) + rng.randint(0, 120)
            try:
                self.engine.submit(made)
            except TierRefusedError:
                self.refused += 1
            else:
                self.largest = max(self.largest, made.most)


LOST_AND_FOUND = 78687
"""A trace in which one that is put back could come in again in the same step."""


@pytest.mark.parametrize("seed", [*range(40), LOST_AND_FOUND])
def test_any_mixture_of_work_ends_with_every_token_said_once(seed: int) -> None:
    trace = Trace(seed)
    scheduler, limits = trace.engine.scheduler, trace.engine.scheduler.limits
    for plan in trace.live():
        assert sum(len(segment.ids) for segment in plan.segments) <= limits.step_tokens
        scheduler.check_integrity()
    assert scheduler.pool.used == 0 and scheduler.running == scheduler.waiting == 0
    for name in trace.engine.finished:
        said = trace.engine.said[name]
        made = Request(name, (0,), 1)
        assert said == [token(made, index) for index in range(len(said))], name


def bound(trace: Trace) -> int:
    """As derived in waiting.py."""
    limits = trace.engine.scheduler.limits
    return trace.weights.overdue + limits.step_tokens + limits.queue_tokens + limits.slots * trace.largest


def longest_wait(trace: Trace) -> float:
    """As a share of what is promised; only first places count."""
    arrived: dict[str, int] = {}
    for _ in trace.live(ticks=40):
        arrived |= {name: each.arrived for name, each in trace.engine.requests.items()}
    waits = [at - arrived[name] for name, at in trace.engine.admitted_at.items() if name in arrived]
    return max(waits, default=0) / bound(trace)


def test_nobody_waits_longer_than_is_promised() -> None:
    shares = [longest_wait(Trace(seed, check=False)) for seed in range(300)]
    assert max(shares) <= 1.0
    assert max(shares) > 0.2, "a promise that nothing comes near says little"


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_nobody_waits_longer_than_is_promised_in_100_000_traces() -> None:
    assert max(longest_wait(Trace(seed, check=False)) for seed in range(100_000)) <= 1.0


@settings(max_examples=10)
@given(st.integers(0, 2**32))
def test_the_same_calls_give_the_same_plans(seed: int) -> None:
    def plans() -> list[str]:
        return [str(plan) for plan in Trace(seed, check=False).live(ticks=20)]

    assert plans() == plans()


def test_a_prompt_is_read_in_tiles_beside_answers() -> None:
    run = engine()
    run.submit(request("a", 40, 20))
    run.step()
    run.submit(request("b", 200, 4))
    shapes = []
    for _ in range(4):
        plan = run.step()
        shapes.append([(each.request, each.prompt, each.start, len(each.ids), each.wanted) for each in plan.segments])
    row = [("a", False, 40 + step, 1, 1) for step in range(4)]
    assert shapes[0] == [row[0], ("b", True, 0, 64, 0)]
    assert shapes[1] == [row[1], ("b", True, 64, 64, 0)]
    assert shapes[2] == [row[2], ("b", True, 128, 72, 1)]
    assert shapes[3] == [row[3], ("b", False, 200, 1, 1)]


def test_a_resumed_answer_is_replayed_and_goes_on() -> None:
    run = engine()
    made = request("a", 40, 120)
    made.output_ids = [token(made, index) for index in range(100)]
    run.submit(made)
    plans = [run.step() for _ in range(4)]
    shapes = [[(each.prompt, each.start, len(each.ids), each.wanted) for each in plan.segments] for plan in plans]
    assert shapes == [[(True, 0, 40, 0)], [(False, 40, 96, 0)], [(False, 136, 4, 1)], [(False, 140, 1, 1)]]
    run.run()
    assert run.said["a"] == [token(made, index) for index in range(120)]


def test_a_known_prompt_is_read_but_for_its_end() -> None:
    run = engine()
    for name, most in (("a", 3), ("b", 3)):
        run.submit(Request(name, tuple(range(64)), most))
        run.run()
    assert run.scheduler.reused_tokens == 32, "the logits behind the last token are wanted"
    resumed = Request("c", tuple(range(64)), 6, output_ids=[1, 2, 3])
    run.submit(resumed)
    assert [(each.prompt, each.start) for each in run.step().segments] == [(False, 64)]
    foreign = Request("d", tuple(range(64)), 2, salt=b"another")
    run.submit(foreign)
    run.run()
    assert run.scheduler.reused_tokens == 32 + 64


def test_who_shares_a_beginning_waits_until_it_has_been_read() -> None:
    run = engine()
    prefix = tuple(range(160))
    run.submit(Request("a", (*prefix, 1), 30))
    run.submit(Request("b", (*prefix, 2), 30))
    while "b" not in run.first_token_at:
        run.step()
    assert run.scheduler.reused_tokens == 160
    assert run.work_tokens < 161 + BLOCK_TOKENS + 10


@pytest.mark.parametrize("prompt", [64, 70], ids=str)
def test_answers_to_one_prompt_share_its_rows_and_copy_the_block_they_write_into(prompt: int) -> None:
    run = engine()
    for choice in range(3):
        run.submit(Request(f"c{choice}", tuple(range(prompt)), 40))
    plan = run.step()
    assert [(each.request, each.also) for each in plan.segments] == [("c0", ("c1", "c2"))]
    assert run.scheduler.reused_tokens == 2 * prompt
    plan = run.step()
    assert len(plan.segments) == 3
    assert len(plan.copies) == (2 if prompt % BLOCK_TOKENS else 0), "the last one needs no copy"
    assert all(copy.tokens == prompt % BLOCK_TOKENS for copy in plan.copies)
    run.run()
    assert {name: len(said) for name, said in run.said.items()} == {"c0": 40, "c1": 40, "c2": 40}


def test_answers_of_which_nothing_was_told_are_planned_again() -> None:
    run = engine()
    scheduler = run.scheduler
    for choice in range(2):
        run.submit(Request(f"c{choice}", tuple(range(40)), 4))
    for starts in ([0], [40, 40]):
        run.read(scheduler.plan())
        scheduler.advance({})
        scheduler.check_integrity()
        assert [each.start for each in run.step().segments] == starts
    run.run()
    assert [len(said) for said in run.said.values()] == [4, 4]


def test_a_plan_that_was_never_run_leaves_nothing_behind() -> None:
    run = engine()
    for choice in range(2):
        run.submit(Request(f"c{choice}", tuple(range(64)), 4))
    assert run.scheduler.plan().segments[0].also == ("c1",)
    assert run.scheduler.plan().preempted == ("c1",)
    run.scheduler.check_integrity()
    run.run()
    assert [len(said) for said in run.said.values()] == [4, 4]


@pytest.mark.parametrize("overdue", [1, 1 << 20], ids=str)
def test_nobody_joins_a_reading_past_one_that_is_overdue(overdue: int) -> None:
    run = engine(blocks=12, limits=Limits(slots=4, step_tokens=40, reserve_tokens=1), weights=Weights(overdue=overdue))
    prompt = tuple(range(200))
    run.submit(Request("reader", prompt, 20))
    run.step()
    run.submit(request("large", 300, 20))
    run.step()
    run.submit(Request("alike", prompt, 20))
    while "reader" not in run.first_token_at:
        run.step()
    assert ("alike" in run.first_token_at) == (overdue > 1)
    assert "large" not in run.admitted_at
    run.run()


def test_cancel_frees_the_blocks_at_once_also_between_plan_and_advance() -> None:
    run = engine()
    run.submit(request("a", 100, 50))
    run.submit(request("b", 100, 50))
    run.step()
    assert run.scheduler.pool.used
    run.cancel("a")
    run.cancel("b")
    run.cancel("never")
    assert run.scheduler.pool.used == run.scheduler.running == run.scheduler.waiting == 0
    run.submit(request("c", 40, 5))
    plan = run.scheduler.plan()
    run.cancel("c")
    run.scheduler.advance({each.request: [1] for each in plan.segments})
    run.scheduler.check_integrity()
    assert run.scheduler.pool.used == 0


def test_for_want_of_blocks_the_last_in_rank_waits_and_goes_on_where_it_was() -> None:
    run = engine(blocks=8, limits=Limits(slots=4, step_tokens=96, reserve_tokens=1))
    for name in ("a", "b"):
        run.submit(request(name, 64, 128))
    preempted: list[str] = []
    while run.requests:
        preempted += run.step().preempted
    assert preempted and set(preempted) == {"b"}, "the one that came last"
    assert run.scheduler.preemptions == len(preempted)
    assert {name: len(said) for name, said in run.said.items()} == {"a": 128, "b": 128}
    assert run.scheduler.clock == 2 * (64 + 128), "what is read again is no progress"


@pytest.mark.parametrize("low", [0, -1, -11])
def test_a_better_tier_takes_the_place_of_a_worse_one_just_once(low: int) -> None:
    run = engine(limits=Limits(slots=1, step_tokens=96))
    run.submit(request("low", 40, 400, tier=low))
    for _ in range(3):
        run.step()
    run.submit(request("high", 40, 20, tier=low + 1))
    first = run.step()
    assert (first.preempted, first.admitted) == (("low",), ("high",))
    run.submit(request("same", 40, 20, tier=low + 1))
    while "high" in run.requests:
        assert not run.step().preempted, "of one's own tier nobody is put back"
    run.run()
    assert len(run.said["low"]) == 400


def test_what_one_had_read_itself_before_it_was_put_back_is_not_reused() -> None:
    run = engine(limits=Limits(slots=1, step_tokens=96))
    run.submit(request("low", 80, 400))
    for _ in range(3):
        run.step()
    run.submit(request("high", 40, 2, tier=1))
    assert run.step().preempted == ("low",)
    run.run()
    assert run.scheduler.reused_tokens == 0
    run.submit(request("low", 80, 4))
    run.run()
    assert run.scheduler.reused_tokens == 64


def test_drafts_take_what_rows_and_prompts_leave() -> None:
    run = engine(limits=Limits(slots=4, step_tokens=40))
    run.submit(request("a", 32, 40))
    run.step()
    wish = lambda made: [token(made, len(made.output_ids) + index) for index in range(50)]  # noqa: E731
    plan = run.step(wish)
    (row,) = plan.segments
    assert (len(row.ids), row.wanted) == (39, 39), "never more than may still be said"
    assert len(run.said["a"]) == 40 and "a" in run.finished
    run.submit(request("b", 32, 100))
    run.step()
    run.submit(request("c", 64, 5))
    assert [len(each.ids) for each in run.step(wish).segments] == [1 + 7, 32]


def test_there_is_always_room_for_a_tile_beside_the_rows() -> None:
    run = engine(limits=Limits(slots=4, step_tokens=4 + BLOCK_TOKENS))
    for name in "abc":
        run.submit(request(name, 32, 60))
        run.step()
    run.submit(request("d", 100, 5))
    for _ in range(4):
        plan = run.step()
        assert sum(not each.prompt for each in plan.segments) == 3 and plan.segments[-1].prompt
    assert "d" in run.first_token_at


BAD = {
    "empty prompt": (Request("x", (), 5), BadRequestError),
    "nothing to say": (Request("x", (1,), 2, output_ids=[1, 2]), BadRequestError),
    "too large": (Request("x", (1,) * 2000, 100), TierRefusedError),
}


@pytest.mark.parametrize("name", BAD)
def test_what_can_never_run_is_refused_and_nothing_is_left_of_it(name: str) -> None:
    run = engine()
    made, error = BAD[name]
    with pytest.raises(error):
        run.scheduler.submit(made)
    run.scheduler.check_integrity()
    assert run.scheduler.waiting == 0


def test_a_name_is_used_once() -> None:
    run = engine()
    run.submit(request("a"))
    with pytest.raises(ConflictError):
        run.scheduler.submit(request("a"))


def test_too_much_work_is_refused_with_the_time_after_which_there_is_room() -> None:
    run = engine(blocks=200, limits=Limits(slots=1, step_tokens=96, queue_tokens=1000))
    run.submit(request("a", 40, 100))
    plan = run.scheduler.plan()
    run.scheduler.advance({plan.segments[0].request: [1]}, seconds=0.5)
    assert run.scheduler.tokens_per_s == pytest.approx(82.0)
    run.submit(request("b", 100, 300))
    with pytest.raises(TierRefusedError) as caught:
        run.submit(request("c", 100, 300))
    assert caught.value.retry_after_s == pytest.approx((400 + 400 + 400 - 1000) / 82.0)


def test_whoever_finds_a_free_slot_waits_behind_nothing() -> None:
    run = engine(blocks=200, limits=Limits(slots=4, step_tokens=96, queue_tokens=500))
    for name in "abcd":
        run.submit(request(name, 100, 1000))
    with pytest.raises(TierRefusedError):
        run.submit(request("e", 100, 1000))


@pytest.mark.parametrize(
    "wrong", [{"slots": 0}, {"step_tokens": 50}, {"queue_tokens": 0}, {"reserve_tokens": 0}], ids=str
)
def test_impossible_limits_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(BadRequestError, match="Impossible limits"):
        Limits(**wrong)

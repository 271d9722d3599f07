"""Who comes first: the score, the waiting line with its limit, and what tenants are remembered to have been given."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_worker.engine.ledger import KEPT_ACCOUNTS, Ledger
from cloud_worker.engine.priority import TAIL_TOKENS, Weights, left, line_key, score, score_in_line, standing
from cloud_worker.engine.requests import Request
from cloud_worker.engine.waiting import OVERDUE, SLACK, WaitingLine
from edgewise.wire.errors import BadRequestError, TierRefusedError

WEIGHTS = Weights()


def request(
    name: str, *, prompt: int = 10, most: int = 100, tenant: bytes = b"", tier: int = 0, arrived: int = 0
) -> Request:
    made = Request(name, tuple(range(prompt)), most, tenant=tenant, tier=tier)
    made.arrived = arrived
    return made


class Hall:
    """A waiting line with its ledger."""

    def __init__(self, weights: Weights = WEIGHTS, most_tokens: int = 100_000) -> None:
        self.ledger = Ledger(weights.credit)
        self.line = WaitingLine(self.ledger, weights, most_tokens)

    def come(self, made: Request) -> Request:
        self.ledger.open(made)
        self.line.push(made)
        self.line.check_integrity()
        return made

    def order(self, clock: int) -> list[str]:
        names = []
        while first := self.line.first(clock):
            self.line.remove(first[0])
            self.line.check_integrity()
            names.append(first[0].id)
        return names


REQUESTS = st.builds(
    request,
    st.just("x"),
    prompt=st.integers(1, 400),
    most=st.integers(1, 400),
    tier=st.integers(0, 3),
    arrived=st.integers(0, 5000),
)


@given(REQUESTS, REQUESTS, st.integers(5000, 100_000))
def test_among_a_tenants_own_the_line_has_the_order_of_the_score(one: Request, other: Request, clock: int) -> None:
    ledger = Ledger(0)
    ledger.open(one)
    ledger.open(other)
    scores = [score(each, each.arrived, clock, WEIGHTS) for each in (one, other)]
    keys = [line_key(each, WEIGHTS) for each in (one, other)]
    assert scores[0] - scores[1] == pytest.approx(keys[1] - keys[0])
    assert score_in_line(keys[0], one, clock, WEIGHTS) == pytest.approx(scores[0])
    one.account.admitted = clock - 7
    assert score_in_line(keys[0], one, clock, WEIGHTS) == pytest.approx(
        score(one, max(one.arrived, clock - 7), clock, WEIGHTS)
    )


def test_each_term_moves_the_score_its_way() -> None:
    ledger = Ledger(0)
    plain, long, high = request("a"), request("b", prompt=300), request("c", tier=1)
    owing = request("d", tenant=b"other")
    for each in (plain, long, high, owing):
        ledger.open(each)
    owing.account.served += 5
    at = [score(each, 0, 1000, WEIGHTS) for each in (plain, long, high, owing)]
    assert at[1] < at[0] < at[2] and at[3] < at[0]
    assert score(plain, 0, 1001, WEIGHTS) == at[0] + WEIGHTS.wait
    assert standing(high, WEIGHTS) - standing(plain, WEIGHTS) == WEIGHTS.tier


def test_a_long_request_counts_no_more_than_the_cap() -> None:
    ledger = Ledger(0)
    long, longer = request("a", prompt=WEIGHTS.most_service), request("b", prompt=4 * WEIGHTS.most_service)
    for each in (long, longer):
        ledger.open(each)
    assert score(long, 0, 0, WEIGHTS) == score(longer, 0, 0, WEIGHTS)


def test_what_is_left_is_guessed_from_the_tenants_answers() -> None:
    ledger = Ledger(0)
    for index in range(60):
        short = request(f"s{index}", tenant=b"short")
        ledger.open(short)
        short.output_ids += [1] * 10
        ledger.learn(short)
        ledger.close(short)
    short, other = request("a", tenant=b"short"), request("b", tenant=b"new", most=20)
    for each in (short, other):
        ledger.open(each)
    assert left(short) == TAIL_TOKENS
    assert left(other) == 20, "never more than may come"
    short.output_ids += [1] * 99
    assert left(short) == 1


@pytest.mark.parametrize("wrong", [{"wait": 0}, {"overdue": 0}, {"debt": -1}, {"credit": -1}], ids=str)
def test_impossible_weights_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(BadRequestError, match="Impossible weights"):
        Weights(**wrong)


def test_who_comes_back_has_no_more_than_the_credit_to_catch_up() -> None:
    ledger = Ledger(credit=100)
    worker, late = request("a", tenant=b"worker"), request("b", tenant=b"late")
    ledger.open(late)
    ledger.close(late)
    ledger.open(worker)
    worker.account.served += 5000
    before = worker.account.served
    ledger.open(late)
    assert late.account.served == before - 100
    fresh = request("c", tenant=b"fresh")
    ledger.open(fresh)
    assert fresh.account.served >= late.account.served - 100
    ledger.close(late)
    late.account.served += 70
    ledger.open(late)
    assert late.account.served == before - 30, "what it has within the credit is kept"


def test_only_so_many_tenants_are_remembered() -> None:
    ledger = Ledger(0)
    for index in range(KEPT_ACCOUNTS + 10):
        gone = request("x", tenant=index.to_bytes(4, "little"))
        ledger.open(gone)
        ledger.close(gone)
    assert not ledger.active and len(ledger._away) == KEPT_ACCOUNTS


def test_a_tenants_backlog_does_not_outrank_a_newcomer() -> None:
    hall = Hall()
    for index in range(5):
        hall.come(request(f"old{index}", tenant=b"flood", arrived=index))
    clock = 100_000
    hall.ledger.active[b"flood"].admitted = clock
    hall.ledger.active[b"flood"].served += 10
    hall.come(request("new", tenant=b"new", arrived=clock))
    assert hall.order(clock)[0] == "new"


def test_age_alone_counts_when_somebody_is_overdue() -> None:
    hall = Hall(Weights(overdue=1000))
    hall.come(request("poor", tenant=b"poor", prompt=5000, arrived=0))
    hall.ledger.active[b"poor"].served += 1e9
    hall.come(request("rich", tier=3, tenant=b"rich", arrived=900))
    assert hall.order(999) == ["rich", "poor"]
    hall.come(request("poor", tenant=b"poor", prompt=5000, arrived=0))
    hall.come(request("rich", tier=3, tenant=b"rich", arrived=900))
    assert hall.line.anyone_overdue(1000) and not hall.line.anyone_overdue(999)
    first = hall.line.first(1000)
    assert first is not None and (first[0].id, first[1]) == ("poor", OVERDUE)


def test_one_tenant_leaves_room_in_the_line_for_the_next() -> None:
    hall = Hall(most_tokens=1000)
    taken = 0
    with pytest.raises(TierRefusedError) as caught:
        while True:
            more = request(f"r{taken}", tenant=b"flood", prompt=50, most=50)
            hall.line.check_room(more, tokens_per_s=10.0)
            hall.come(more)
            taken += 1
    assert taken == 5, "half of the line"
    assert caught.value.retry_after_s == pytest.approx(10.0), "100 tokens too many at 10 tokens/s"
    hall.line.check_room(request("other", tenant=b"other", prompt=50, most=450), tokens_per_s=10.0)
    with pytest.raises(TierRefusedError):
        hall.line.check_room(request("other", tenant=b"other", prompt=51, most=450), tokens_per_s=0.0)


def test_the_line_forgets_those_that_left() -> None:
    hall = Hall(most_tokens=10**9)
    hall.come(request("first"))
    for index in range(500):
        hall.line.remove(hall.come(request(f"r{index}", arrived=1 + index)))
    assert len(hall.line) == 1
    assert len(hall.line._by_age) <= 2 + SLACK + 1
    assert len(hall.ledger.active[b""].line) <= 2 + SLACK + 1

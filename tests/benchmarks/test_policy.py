"""The policy benchmark's own rules: the workload is what it says, peers that fail say why, rows compare like things."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import pytest

from benchmarks import policy_peers
from benchmarks.policy import BARE, GUARDED, Seen, compile_rows, decision_rows, expected, peers, ways
from benchmarks.policy_bulk import replay_rows
from benchmarks.policy_engines import fused
from benchmarks.policy_peers import Batch, Peer, PeerError, peer
from benchmarks.policy_workload import CEDAR_RULES, FACTS, RULES, WORST, contexts, document, nested, rules
from policies import Policy

TEN = Policy.load(document(rules(10)))


def test_ten_rules_over_seventeen_fields_all_of_them_met() -> None:
    drawn = contexts(500)
    assert len(RULES) == len(CEDAR_RULES) == 10
    assert all(len(context) == 17 for context in [*drawn, WORST])
    assert set(expected(TEN, drawn)) == set(range(11))
    assert contexts(5) == contexts(5)


def test_contexts_are_nested_for_the_peers() -> None:
    assert nested({"a.b": 1, "a.c": 2, "d.e": 3}) == {"a": {"b": 1, "c": 2}, "d": {"e": 3}}


@pytest.mark.parametrize("count", [10, 100, 200])
def test_more_rules_are_different_and_the_worst_context_meets_none(count: int) -> None:
    assert len(set(rules(count))) == count
    assert Policy.load(document(rules(count))).decide({**FACTS, **WORST}).rule_id == "default"


def test_our_ways_agree() -> None:
    drawn = contexts(100)
    bare, guarded, *_ = ways(TEN, drawn)
    assert [bare.decide(context) for context in bare.contexts] == expected(TEN, drawn)
    assert [guarded.decide(context).mode for context in guarded.contexts]


def test_rules_are_fused_in_their_order() -> None:
    assert fused(["a", "b"]) == "(a) ? 0 : ((b) ? 1 : 2)"


FAKE = """
import json, sys
sys.stdin.readline()
print(json.dumps({"positions": [0, 1], "compile_s": 0.5}), flush=True)
for line in sys.stdin:
    print(json.dumps({"mean_ns": 7.0, "each_ns": [6, 8]}), flush=True)
"""


@pytest.fixture
def engines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a script stands in for all engines."""
    script = tmp_path / "engine.py"
    script.write_text(FAKE)
    monkeypatch.setattr(policy_peers, "ENGINES", script)
    monkeypatch.setattr(policy_peers, "install", lambda _name: Path(sys.executable))
    return script


def test_a_peer_answers_batches(engines: Path) -> None:
    with peer("cedarpy", [], [{}, {}], [0, 1]) as ready:
        assert ready.compile_s == 0.5
        assert ready.batch(1) == Batch(7.0, [6, 8])


def test_a_peer_that_decides_otherwise_is_refused(engines: Path) -> None:
    with pytest.raises(PeerError, match="1 of 2 contexts otherwise"), peer("cedarpy", [], [{}, {}], [0, 0]):
        pass


def test_a_peer_that_fails_says_why(engines: Path) -> None:
    engines.write_text("raise SystemExit('no such engine')")
    with contextlib.ExitStack() as stack:
        found = peers(stack, [], [])
    assert all(isinstance(each, str) and "no such engine" in each for each in found.values())
    assert len(found) == len(policy_peers.VERSIONS)


def seen(*means: float) -> Seen:
    """Batches of these means."""
    made = Seen()
    for mean in means:
        made.add(Batch(mean, [int(mean)]))
    return made


def test_rows_hold_ours_beside_each_peer() -> None:
    others: dict[str, Peer | str] = {"cedarpy": "cannot be installed", "cel-expr-python": "stands for a peer"}
    found = decision_rows({BARE: seen(500.0, 900.0, 700.0), GUARDED: seen(1400.0)}, others)
    medians = [each for each in found if each.metric == "decision, median"]
    assert [each.ours for each in medians] == [0.7, 0.7, 1.4, 1.4, 1.4]
    assert [each.holds for each in medians] == [False, False, False, False, True]
    assert medians[0].reason == "cannot be installed" and medians[0].peer_value is None


def test_a_peer_that_ran_gives_its_figures(engines: Path) -> None:
    with peer("cedarpy", [], [{}, {}], [0, 1]) as ready:
        found = decision_rows({BARE: seen(500.0), GUARDED: seen(1500.0), "cedarpy": seen(10_000.0)}, {"cedarpy": ready})
        compiled = compile_rows({"cedarpy": ready})
    assert [(each.ratio, each.holds) for each in found[::2]] == [(0.05, True), (0.15, True), (None, True)]
    assert compiled[0].peer_value == 500.0


def test_the_replay_rows_say_what_was_measured() -> None:
    replayed, rate, encoding = replay_rows(count=2_000, times=1)
    assert replayed.ours > 0 and rate.ours > 0 and encoding.ours > 0
    assert "2,000 decisions" in replayed.condition

"""The parts of the policy benchmark without peers: many rules, a million decisions replayed, policies compared."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Sequence
from functools import partial
from statistics import median
from typing import Any, Final

import numpy as np

from benchmarks.policy_engines import per_decision_ns
from benchmarks.policy_workload import FACTS, RULES, WORST, contexts, document, rules
from benchmarks.report import Floor, Row, row
from control_plane.policy_replay.columns import Table, column_of
from control_plane.policy_replay.decide import decide
from control_plane.policy_replay.names import Names
from control_plane.policy_replay.recording import Recording
from control_plane.policy_replay.replay import replay_columns
from policies import MODES, Policy
from policies.facts import INPUTS

RULE_COUNTS: Final = (10, 100, 1000)
DRAWN: Final = 20_000
"""Different contexts of a recording, which are shuffled together fact by fact."""


def scale_rows(*, quick: bool) -> list[Row]:
    """A whole decision, and loading, with more and more rules, none of which the context meets."""
    made, worst = [], {**FACTS, **WORST}
    for count in RULE_COUNTS:
        text = document(rules(count))
        policy, load_s = _timed(partial(Policy.load, text))
        assert policy.decide(worst).rule_id == "default"
        batches = [per_decision_ns(policy.decide, [worst] * 100, 3) / 1000 for _ in range(3 if quick else 15)]
        floor = Floor("ours", "<=", 10.0) if count == 100 else None
        condition = f"{count} rules, all evaluated, input guard"
        made.append(
            row("decision, median", condition, "µs", "lower", median(batches), samples=len(batches), floor=floor)
        )
        made.append(row("load", f"{count} rules, from YAML to code", "ms", "lower", load_s * 1000, samples=1))
    return made


def replay_rows(*, count: int, times: int) -> list[Row]:
    """Replaying recorded decisions against a candidate that has one threshold moved; encoding told apart."""
    old = Policy.load(document(rules(len(RULES))))
    new = Policy.load(document([rule.replace("< 20.0", "< 30.0") for rule in rules(len(RULES))]))
    lists = _lists(count)
    facts, encode_s = _timed(lambda: _table(lists, count))
    recording = _recording(old, facts)
    found, _ = _timed(lambda: replay_columns(new, recording))
    assert found.changes, "the candidate changes something"
    spent = [_timed(lambda: replay_columns(new, recording))[1] for _ in range(times)]
    per_million, condition = 1_000_000 / count, f"{count:,} decisions, ten rules, encoded columns, to the whole report"
    floor = Floor("ours", "<=", 0.25)
    replayed = median(spent) * per_million
    return [
        row("replay of a million", condition, "s", "lower", replayed, samples=times, floor=floor),
        row("replay rate", condition, "decisions/s", "higher", 1_000_000 / replayed, samples=times),
        row(
            "encoding of a million", f"{len(lists)} facts, from lists", "s", "lower", encode_s * per_million, samples=1
        ),
    ]


def _lists(count: int) -> dict[str, list[Any]]:
    """The facts of random decisions, fact by fact."""
    drawn = contexts(min(count, DRAWN), seed=6)
    choose = np.random.default_rng(6)
    lists = {name: [context[name] for context in drawn] for name in drawn[0]}
    shuffled = {name: [values[at] for at in choose.integers(0, len(values), count)] for name, values in lists.items()}
    return {**shuffled, **{name: [value] * count for name, value in FACTS.items()}}


def _table(lists: dict[str, list[Any]], count: int) -> Table:
    absent = {name: [INPUTS[name].example] * count for name in INPUTS if name not in lists}
    return Table(count, {name: column_of(INPUTS[name], values) for name, values in {**absent, **lists}.items()})


def _recording(policy: Policy, facts: Table) -> Recording:
    """What a policy decides, as if it had been recorded."""
    found = decide(policy, facts)
    words = tuple(map(str, MODES))
    digest = Names((policy.digest,), np.zeros(facts.rows, np.int32))
    return Recording(facts, Names(words, found.mode.astype(np.int32)), Names(found.rules, found.rule), digest)


def analysis_rows() -> list[Row]:
    """Analysing a policy of 100 rules, and comparing it with one that has a threshold moved, where that is there."""
    if importlib.util.find_spec("policies.analysis") is None:
        return []
    analysis = importlib.import_module("policies.analysis")
    listed = rules(100)
    old = Policy.load(document(listed))
    new = Policy.load(document([rule.replace("< 19.95 ", "< 18.5 ") for rule in listed]))
    assert new.digest != old.digest
    tasks: Sequence[tuple[str, str, Callable[[], Any]]] = (
        ("analyse", "whole report", lambda: analysis.analyse(old)),
        ("difference", "two policies, one rule changed", lambda: analysis.difference(old, new)),
    )
    floor = Floor("ours", "<=", 1.0)
    return [
        row(name, f"100 rules, {what}", "s", "lower", _timed(task)[1], samples=1, floor=floor)
        for name, what, task in tasks
        if hasattr(analysis, name)
    ]


def _timed(task: Callable[[], Any]) -> tuple[Any, float]:
    """What a task gives, and its seconds of processor time."""
    start = time.thread_time()
    found = task()
    return found, time.thread_time() - start

"""Our policy engine beside the CEL and Cedar engines that Python has: decisions, compiling, replaying, proving.

    python -m benchmarks.policy [--json] [--quick]

Ten ordered rules over 17 typed fields, the same 500 random contexts for all, answers compared before anything is timed.
Batches take turns in one run. They count processor time, single decisions (p99) the wall clock. The peers' times
include turning a dict into their input, as ours do judging it.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Final

from benchmarks.policy_bulk import analysis_rows, replay_rows, scale_rows
from benchmarks.policy_engines import compile_s, each_ns, per_decision_ns
from benchmarks.policy_peers import NATIVE, VERSIONS, Batch, Peer, PeerError, peer
from benchmarks.policy_workload import CEDAR_RULES, FACTS, RULES, Context, contexts, document, nested, rules
from benchmarks.report import Floor, Report, Row, machine, percentile, row, show
from policies import Policy
from policies.build import build_trees
from policies.decision import DEFAULT_RULE_ID
from policies.language.compile import compile_choice, inputs_of
from policies.language.declarations import judge

CONTEXTS: Final = 500
BATCH_ROUNDS: Final[Mapping[str, int]] = {"cel-expr-python": 4, "common-expression-language": 2}
"""Rounds over all contexts in one batch; 1 for the slower engines."""
OWN_ROUNDS: Final = 20
MIX: Final = f"ten rules, {CONTEXTS} random contexts"


@dataclass
class Seen:
    """What the batches of one way of deciding took, in nanoseconds for a decision."""

    means: list[float] = field(default_factory=list)
    each: list[int] = field(default_factory=list)

    def add(self, batch: Batch) -> None:
        """Note one batch."""
        self.means.append(batch.mean_ns)
        self.each += batch.each_ns

    @property
    def median_us(self) -> float:
        """The median over batches of a batch's mean."""
        return median(self.means) / 1000

    @property
    def p99_us(self) -> float:
        """Of single decisions, the clock's own time included."""
        return percentile(self.each, 99) / 1000


@dataclass(frozen=True)
class Way:
    """One of our ways to decide, with the contexts in the form that it takes."""

    name: str
    decide: Callable[[Any], Any]
    contexts: Sequence[Context]

    def batch(self) -> Batch:
        """As a peer's batch."""
        mean_ns = per_decision_ns(self.decide, self.contexts, OWN_ROUNDS)
        return Batch(mean_ns, each_ns(self.decide, self.contexts))


BARE, GUARDED, EXPLAINED = "rules, facts judged before", "whole decision, input guard", "whole decision, traced"


def ways(policy: Policy, drawn: Sequence[Context]) -> list[Way]:
    """Our ways: the rules alone over judged facts, the whole decision, and the traced one where there is one."""
    facts = [{**FACTS, **context} for context in drawn]
    trees, _ = build_trees(policy.document, policy.source)
    needed = inputs_of(trees.rules, trees.variables)
    bare = compile_choice(trees.rules, trees.variables, judged=True)
    found = [
        Way(BARE, bare, [judge(context, needed) for context in facts]),
        Way(GUARDED, policy.decide, facts),
    ]
    traced = getattr(policy, "decide_traced", None)
    return [*found, Way(EXPLAINED, traced, facts)] if traced else found


def expected(policy: Policy, drawn: Sequence[Context]) -> list[int]:
    """The rule that each context meets."""
    places = {rule.id: place for place, rule in enumerate(policy.document.rules)}
    places[DEFAULT_RULE_ID] = len(places)
    return [places[policy.decide({**FACTS, **context}).rule_id] for context in drawn]


def peers(stack: contextlib.ExitStack, drawn: Sequence[Context], answers: Sequence[int]) -> dict[str, Peer | str]:
    """Every engine, ready, or why it is not."""
    out: dict[str, Peer | str] = {}
    for name in VERSIONS:
        cedar = name == "cedarpy"
        inputs = [nested(_thousandths(context) if cedar else context) for context in drawn]
        say(f"installing {name} {VERSIONS[name]} if it is not there yet, and starting it …")
        try:
            out[name] = stack.enter_context(peer(name, CEDAR_RULES if cedar else RULES, inputs, answers))
        except (PeerError, OSError) as error:
            out[name] = str(error)
            say(str(error))
    return out


def _thousandths(context: Context) -> Context:
    """Doubles as whole numbers, for Cedar."""
    return {name: round(value * 1000) if isinstance(value, float) else value for name, value in context.items()}


def measure(own: Sequence[Way], others: Mapping[str, Peer | str], batches: int) -> dict[str, Seen]:
    """All in turn, so many times; a first turn warms up and does not count."""
    seen: dict[str, Seen] = {}
    for number in range(batches + 1):
        for way in own:
            _note(seen, way.name, way.batch(), number)
        for name, other in others.items():
            if isinstance(other, Peer):
                _note(seen, name, other.batch(BATCH_ROUNDS.get(name, 1)), number)
        say(
            f"turn {number} of {batches}: "
            + ", ".join(f"{name} {each.median_us:.2f} µs" for name, each in seen.items())
        )
    return seen


def _note(seen: dict[str, Seen], name: str, batch: Batch, number: int) -> None:
    if number:
        seen.setdefault(name, Seen()).add(batch)


def decision_rows(seen: Mapping[str, Seen], others: Mapping[str, Peer | str]) -> list[Row]:
    """Ours beside each peer, without and with the input guard, and what tracing costs."""
    made = []
    for way, floor in ((BARE, 0.1), (GUARDED, 0.25)):
        for name, other in others.items():
            floors = Floor("ratio", "<=", floor) if name in NATIVE else None
            made += _beside(seen[way], way, name, seen.get(name), other, floors)
    bound = Floor("ours", "<=", 1.5)
    guarded = seen[GUARDED]
    made.append(
        row(
            "decision, median",
            f"{GUARDED}, {MIX}",
            "µs",
            "lower",
            guarded.median_us,
            samples=len(guarded.means),
            floor=bound,
        )
    )
    if EXPLAINED in seen:
        condition = f"{EXPLAINED} beside the same untraced, {MIX}"
        floors = Floor("ratio", "<=", 3.0)
        made += _pair(seen[EXPLAINED], condition, "Policy.decide", guarded, floors, "")
    return made


def _beside(ours: Seen, way: str, name: str, theirs: Seen | None, other: Peer | str, floor: Floor | None) -> list[Row]:
    reason = other if isinstance(other, str) else ""
    return _pair(ours, f"{way}, {MIX}", f"{name} {VERSIONS[name]}", theirs, floor, reason)


def _pair(ours: Seen, condition: str, name: str, theirs: Seen | None, floor: Floor | None, reason: str) -> list[Row]:
    middle = row(
        "decision, median",
        condition,
        "µs",
        "lower",
        ours.median_us,
        peer=name,
        peer_value=theirs.median_us if theirs else None,
        samples=len(ours.means),
        floor=floor,
        reason=reason,
    )
    tail = row(
        "decision, p99",
        condition,
        "µs",
        "lower",
        ours.p99_us,
        peer=name,
        peer_value=theirs.p99_us if theirs else None,
        samples=len(ours.each),
        reason=reason,
    )
    return [middle, tail]


def compile_rows(others: Mapping[str, Peer | str]) -> list[Row]:
    """Loading a whole policy, from its text to its first decision, beside compiling ten expressions."""
    ours = compile_s(lambda listed: Policy.load(document(listed)).decide, rules(len(RULES))) * 1000
    return [
        row(
            "compile",
            "ten rules; ours a whole document: read, checked, priced, compiled",
            "ms",
            "lower",
            ours,
            peer=f"{name} {VERSIONS[name]}",
            peer_value=None if isinstance(other, str) else other.compile_s * 1000,
            samples=3,
            reason=other if isinstance(other, str) else "",
        )
        for name, other in others.items()
    ]


def run(*, quick: bool) -> list[Row]:
    """Everything, one after the other."""
    drawn = contexts(CONTEXTS)
    policy = Policy.load(document(rules(len(RULES))))
    with contextlib.ExitStack() as stack:
        others = peers(stack, drawn, expected(policy, drawn))
        seen = measure(ways(policy, drawn), others, 3 if quick else 15)
        made = [*decision_rows(seen, others), *compile_rows(others)]
    say("more rules, replaying, proving …")
    return [
        *made,
        *scale_rows(quick=quick),
        *replay_rows(count=100_000 if quick else 1_000_000, times=5),
        *analysis_rows(),
    ]


def say(text: str) -> None:
    """Progress, where it does not disturb the report."""
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Our policy engine beside other CEL and Cedar engines.")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--quick", action="store_true", help="few batches, and 100,000 decisions replayed")
    options = parser.parse_args()
    show(Report("policy", machine(), run(quick=options.quick)), as_json=options.json)


if __name__ == "__main__":
    main()

"""How many of 1,000 seeded typos in policies are told at save, at the right line and column.

    python -m benchmarks.policy_typos [--json] [--misses]

The policies are those of policies/library and the ten-rule policy of the policy benchmark. A caret is right on what was
mistyped, on the token before or behind it, or on the bracket or quote that lost its other half.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import yaml

from benchmarks.policy_typo_workload import Typo, places, typos
from benchmarks.policy_workload import RULES, document, rules
from benchmarks.report import Floor, Report, machine, row, show
from policies import Policy, PolicyError, Problem
from policies.library import seed_text

COUNTS: Final[Mapping[str, int]] = {"seed": 600, "ten-rules": 400}
SEED: Final = 5


@dataclass(frozen=True, slots=True)
class Told:
    """What the engine says of a typo: the first of its problems; None where it takes the text."""

    policy: str
    typo: Typo
    problem: Problem | None

    @property
    def offset(self) -> int:
        """Where the caret stands in the text; -1 where there is none."""
        if self.problem is None:
            return -1
        lines = self.typo.text.splitlines(keepends=True)
        return sum(map(len, lines[: self.problem.line - 1])) + self.problem.column - 1

    @property
    def right(self) -> bool:
        """Whether the caret is where the typo is."""
        return any(start <= self.offset < end for start, end in places(self.typo))

    def __str__(self) -> str:
        """The line, the change, and what was said."""
        line = self.typo.text.count("\n", 0, self.typo.start) + 1
        column = self.typo.start - self.typo.text.rfind("\n", 0, self.typo.start)
        said = "taken" if self.problem is None else f"{self.problem.line}:{self.problem.column} {self.problem.code}"
        text = self.typo.text.splitlines()[line - 1].strip()
        told = "" if self.problem is None else f": {self.problem.message}"
        return f"{self.policy}:{line}:{column}: {self.typo.kind} ({self.typo.was!r}): {said}{told}\n    {text}"


def policies() -> dict[str, str]:
    """The documents, sound, by name."""
    ten = yaml.safe_dump(json.loads(document(rules(len(RULES)))), sort_keys=False, width=1000)
    return {"seed": seed_text(), "ten-rules": ten}


def judged(counts: Mapping[str, int] = COUNTS, seed: int = SEED) -> list[Told]:
    """What is said of so many typos of each policy."""
    return [
        Told(name, typo, _first_problem(typo.text))
        for name, text in policies().items()
        for typo in typos(text, counts[name], seed)
    ]


def _first_problem(text: str) -> Problem | None:
    try:
        Policy.load(text)
    except PolicyError as error:
        return error.problems[0]
    return None


def report(found: Sequence[Told]) -> Report:
    """Shares of all typos, in percent."""
    whole = len(found)
    caught, right = sum(each.problem is not None for each in found), sum(each.right for each in found)
    condition = f"{whole} typos in {', '.join(policies())}"
    made = [
        row("typos refused at save", condition, "%", "higher", 100 * caught / whole, samples=whole),
        row(
            "typos told at the right line and column",
            condition,
            "%",
            "higher",
            100 * right / whole,
            samples=whole,
            floor=Floor("ours", ">=", 99.0),
        ),
    ]
    return Report("policy_typos", machine(), made)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Typos in policies, and whether they are told at the right place.")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument(
        "--misses", action="store_true", help="also list the typos that are told elsewhere or not at all"
    )
    options = parser.parse_args()
    found = judged()
    missed = [each for each in found if not each.right]
    if options.misses:
        for each in missed:
            print(each, file=sys.stderr)
        for kind, count in Counter(each.typo.kind for each in missed).most_common():
            print(f"{count:4} of {sum(each.typo.kind == kind for each in found):4}: {kind}", file=sys.stderr)
    show(report(found), as_json=options.json)


if __name__ == "__main__":
    main()

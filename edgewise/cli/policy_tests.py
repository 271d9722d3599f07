"""`edgewise policy test`: a document's own tests, how much of it they show, and which changes they would not notice."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgewise.cli.connection import AsJson
from edgewise.cli.jobs import progress_bar
from edgewise.cli.policy_files import PolicyFile, load_policy, read_policy
from edgewise.cli.tables import print_json, print_table

if TYPE_CHECKING:
    from policies import Policy, TestOutcome
    from policies.coverage import Coverage, RuleCoverage
    from policies.mutate import MutationReport

_MAX_CHANGES = 10_000


def run_tests(
    file: PolicyFile,
    mutate: Annotated[
        bool, typer.Option("--mutate", help="Change the policy in small ways: do the tests notice?")
    ] = False,
    min_coverage: Annotated[
        float, typer.Option(min=0, max=100, metavar="PCT", help="End with 1 where the tests show less.")
    ] = 0.0,
    changes: Annotated[int, typer.Option(min=1, max=_MAX_CHANGES, help="With --mutate: try so many at most.")] = 300,
    seed: Annotated[int, typer.Option(help="With --mutate: which ones are tried where there are more.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Run a document's own tests, and tell what they leave in the dark."""
    from policies.coverage import measure

    policy = load_policy(read_policy(file), str(file))
    outcomes, coverage = policy.run_tests(), measure(policy)
    score = _mutate(policy, changes, seed) if mutate else None
    if as_json:
        print_json(_as_json(outcomes, coverage, score))
    else:
        _print_outcomes(file, outcomes)
        _print_coverage(file, coverage)
        if score:
            _print_score(file, score)
    if not all(outcome.passed for outcome in outcomes):
        raise typer.Exit(1)
    if coverage.percent < min_coverage:
        typer.echo(f"{file}: the tests show {coverage.percent:.1f} %, and should show {min_coverage:g} %", err=True)
        raise typer.Exit(1)


def _mutate(policy: Policy, changes: int, seed: int) -> MutationReport:
    from policies.mutate import mutate

    with progress_bar(sys.stderr) as bar:
        return mutate(
            policy, limit=changes, seed=seed, watch=lambda tried: bar.track(tried, description="changes tried")
        )


def _as_json(outcomes: list[TestOutcome], coverage: Coverage, score: MutationReport | None) -> dict[str, Any]:
    tests = [{"name": each.name, "passed": each.passed, "detail": each.detail, "line": each.line} for each in outcomes]
    mutation = score.to_dict() if score else None
    return {"tests": tests, "coverage": coverage.to_dict(), "mutation": mutation}


def _print_outcomes(file: Path, outcomes: list[TestOutcome]) -> None:
    failed = [outcome for outcome in outcomes if not outcome.passed]
    for outcome in failed:
        typer.echo(f"{file}:{outcome.line}: test failed: {outcome.name}: {outcome.detail}", err=True)
    typer.echo(f"{len(outcomes) - len(failed)} of {len(outcomes)} tests pass")


def _print_coverage(file: Path, coverage: Coverage) -> None:
    print_table(("rule", "matched", "passed over", "clauses"), map(_row, coverage.rules))
    for each in coverage.uncovered:
        typer.echo(f"{file}:{each}")
    typer.echo(f"coverage {coverage.percent:.1f} %: {coverage.reached} of {coverage.goals}")


def _row(rule: RuleCoverage) -> tuple[str, ...]:
    """Clauses that were seen both true and false, of those that can be."""
    clauses = [clause for clause in rule.clauses if not clause.constant]
    both = sum(clause.seen_true > 0 and clause.seen_false > 0 for clause in clauses)
    return rule.rule_id, str(rule.matched), str(rule.not_matched), f"{both} of {len(clauses)}"


def _print_score(file: Path, score: MutationReport) -> None:
    for mutant in score.survivors:
        typer.echo(f"{file}:{mutant.line}:{mutant.column}: not noticed: {mutant.change} ({mutant.owner})")
    told = f"mutation score {score.percent:.1f} %: {score.killed} of {score.tried} changes noticed"
    typer.echo(told if score.tried == score.possible else f"{told}, of {score.possible} that there are")

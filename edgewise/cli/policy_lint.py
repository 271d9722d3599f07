"""`edgewise policy check | lint`: what is wrong with documents, and what is odd about them; no server is asked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgewise.cli.connection import AsJson
from edgewise.cli.policy_facts import facts_read, tell_unusual
from edgewise.cli.policy_files import PolicyFile, read_policy, show
from edgewise.cli.tables import print_json

if TYPE_CHECKING:
    from policies import Policy, Problem
    from policies.analysis import Finding, Report

_NO_FAULT = "not-known"
"""Findings of this code tell where analysis ends; no author can mend them."""


def check_policy(file: PolicyFile, as_json: AsJson = False) -> None:
    """Check a document and run its own tests, here; nothing is sent."""
    from policies.cases import case_problems

    linted = _lint(file, analysed=False)
    policy = linted.policy
    outcomes = policy.run_tests() if policy else []
    linted = replace(linted, problems=(*linted.problems, *case_problems(outcomes)))
    if as_json:
        print_json(linted.to_dict() | {"tests": len(outcomes)})
    elif linted.problems:
        show(linted.text(file.name), err=True)
    if linted.errors or policy is None:
        raise typer.Exit(1)
    if not as_json:
        typer.echo(f"{policy.name}: no faults, {len(outcomes)} tests passed, digest {policy.digest[:12]}")


def lint(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Policy documents, YAML or JSON.")],
    strict: Annotated[bool, typer.Option("--strict", help="End with 1 on warnings, too.")] = False,
    analysis: Annotated[
        bool, typer.Option("--analysis/--no-analysis", help="Look for rules that never decide, and prove invariants.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Everything that is wrong with documents, or odd: faults, rules that never decide, invariants that may break."""
    found = [_lint(file, analysed=analysis) for file in files]
    if as_json:
        print_json({"ok": not any(each.fails(strict) for each in found), "files": [each.to_dict() for each in found]})
    else:
        for each in found:
            _print(each)
    if any(each.fails(strict) for each in found):
        raise typer.Exit(1)


@dataclass(frozen=True)
class Linted:
    """One document. problems: errors, else warnings. policy: None where there are errors; report: None unless asked."""

    file: Path
    source: str
    problems: tuple[Problem, ...]
    policy: Policy | None = None
    report: Report | None = None

    @property
    def errors(self) -> int:
        """Problems that refuse the document."""
        return sum(problem.severity == "error" for problem in self.problems)

    @property
    def told(self) -> tuple[Problem, ...]:
        """All problems, and the findings of analysis as warnings, in the order of the text."""
        if self.policy is None or self.report is None:
            return self.problems
        read = facts_read(self.policy)
        found = [_as_problem(finding, read) for finding in self.report.findings]
        return tuple(sorted((*self.problems, *found), key=lambda each: (each.line, each.column)))

    def fails(self, strict: bool) -> bool:
        """Whether the command should end with 1."""
        return any(each.severity == "error" or (strict and each.code != _NO_FAULT) for each in self.told)

    def text(self, name: str) -> str:
        """All problems with their places."""
        from policies.problems import render

        return render(self.told, source=self.source, name=name)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "file": str(self.file),
            "ok": not self.errors,
            "name": self.policy.name if self.policy else "",
            "digest": self.policy.digest if self.policy else "",
            "problems": [problem.to_dict() for problem in self.problems],
            "analysis": self.report.to_dict() if self.report else None,
        }


def _lint(file: Path, *, analysed: bool) -> Linted:
    from policies import Policy, PolicyError

    source = read_policy(file)
    try:
        policy = Policy.load(source)
    except PolicyError as error:
        return Linted(file, source, error.problems)
    return Linted(file, source, policy.warnings, policy, _analysed(policy) if analysed else None)


def _analysed(policy: Policy) -> Report:
    from policies.analysis import analyse

    return analyse(policy)


def _as_problem(finding: Finding, read: tuple[str, ...]) -> Problem:
    from policies import Problem

    example = "" if finding.facts is None else f"; for example with {tell_unusual(finding.facts, read)}"
    message = f"{finding.message}{example}"
    return Problem(finding.code, message, finding.line, finding.column, finding.rule_id, severity="warning")


def _print(linted: Linted) -> None:
    told = linted.told
    if told:
        show(linted.text(str(linted.file)))
    counted = f"{linted.errors} errors, {len(told) - linted.errors} warnings"
    proofs = linted.report.proofs if linted.report else ()
    proved = sum(proof.to_dict()["result"] == "proved" for proof in proofs)
    typer.echo(f"{linted.file}: {counted}" + (f", {proved} of {len(proofs)} invariants proved" if proofs else ""))

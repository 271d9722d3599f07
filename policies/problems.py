"""What is wrong with a policy document, told so that its author can fix it: place, fault, expectation, remedy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

Severity = Literal["error", "warning"]

_WIDEST_LINE = 160


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault. `line` and `column` count from 1 in the document; `column` counts characters.

    code: a literal word in kebab-case that programs may match on.
    rule_id: the rule that holds the fault; empty elsewhere.
    expected, suggestion: what would have been right, and what to write instead; empty when not known.
    severity: an "error" refuses the document, a "warning" never does.
    """

    code: str
    message: str
    line: int
    column: int
    rule_id: str = ""
    expected: str = ""
    suggestion: str = ""
    severity: Severity = "error"

    def to_dict(self) -> dict[str, str | int]:
        """All fields under their own names, for JSON."""
        return asdict(self)


class PolicyError(ValueError):
    """A document was refused. `problems` is never empty; str() is what a terminal shows."""

    def __init__(self, problems: Sequence[Problem], *, source: str = "", name: str = "policy") -> None:
        self.problems: tuple[Problem, ...] = tuple(sorted(problems, key=lambda p: (p.line, p.column)))
        self.source = source
        self.name = name
        super().__init__(render(self.problems, source=source, name=name))


def render(problems: Iterable[Problem], *, source: str, name: str) -> str:
    """The problems as text, each with `name:line:column`, the source line and a caret."""
    lines = source.splitlines()
    return "\n".join(_render_one(problem, lines, name) for problem in problems)


def _render_one(problem: Problem, lines: Sequence[str], name: str) -> str:
    where = f" (rule {problem.rule_id})" if problem.rule_id else ""
    code = problem.code if problem.severity == "error" else f"{problem.severity}: {problem.code}"
    out = [f"{name}:{problem.line}:{problem.column}: {code}: {problem.message}{where}"]
    if 1 <= problem.line <= len(lines) and len(lines[problem.line - 1]) <= _WIDEST_LINE:
        out += [f"    {lines[problem.line - 1]}", f"    {' ' * (problem.column - 1)}^"]
    if problem.expected:
        out.append(f"    expected: {problem.expected}")
    if problem.suggestion:
        out.append(f"    try: {problem.suggestion}")
    return "\n".join(out)

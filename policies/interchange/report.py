"""What an import or an export gives: the text, what has no counterpart on the other side, and what was wrong."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from policies.problems import Problem


@dataclass(frozen=True, slots=True)
class Unmapped:
    """One thing of the source that the result does not say, or says in another way.

    path: where it is, such as `rule.match[2].output`. value: as written, short; what may be secret is not shown.
    line, column: of the source, from 1.
    """

    path: str
    value: str
    reason: str
    line: int = 1
    column: int = 1

    def to_dict(self) -> dict[str, str | int]:
        """All fields under their own names, for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Imported:
    """A foreign document as a RoutingPolicy.

    yaml_text: `Policy.load` takes it. unmapped: in the order of the foreign text.
    problems: faults of the foreign document, at its places; what they touch was left out.
    """

    yaml_text: str
    unmapped: tuple[Unmapped, ...]
    problems: tuple[Problem, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        unmapped = [each.to_dict() for each in self.unmapped]
        problems = [problem.to_dict() for problem in self.problems]
        return {"yaml_text": self.yaml_text, "unmapped": unmapped, "problems": problems}


@dataclass(frozen=True, slots=True)
class Exported:
    """A RoutingPolicy in another format. unmapped: what other engines do not do with it."""

    yaml_text: str
    unmapped: tuple[Unmapped, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"yaml_text": self.yaml_text, "unmapped": [each.to_dict() for each in self.unmapped]}

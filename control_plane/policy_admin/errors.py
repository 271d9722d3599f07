"""Why a policy was not taken."""

from __future__ import annotations

from edgewise.wire.errors import ConflictError, NotFoundError, PolicyInvalidError
from policies import PolicyError, Problem

_SHOWN_PROBLEMS = 3


class PolicyRejectedError(PolicyInvalidError):
    """The document has errors; `problems` lists every one with line and column, the message the first few."""

    what = "policy"

    def __init__(self, error: PolicyError) -> None:
        self.problems: tuple[Problem, ...] = error.problems
        first = error.problems[0]
        super().__init__(
            f"The {self.what} has {len(error.problems)} error(s): {_sentences(error.problems)}",
            where=f"line {first.line}, column {first.column}",
            expected=first.expected,
            remedy=first.suggestion or "correct the lines named and send it again; nothing was changed",
        )


class PolicyNotFoundError(NotFoundError):
    """There is no such version."""

    def __init__(self, version: int) -> None:
        super().__init__(
            f"There is no policy version {version}",
            remedy="list the versions: `edgewise policy list` or /admin/v1/policies",
        )


class PolicyChangedError(ConflictError):
    """Somebody else activated another policy in the meantime."""


class NothingToRollBackError(ConflictError):
    """No policy was active before this one."""


def _sentences(problems: tuple[Problem, ...]) -> str:
    shown = "; ".join(f"{p.line}:{p.column} {p.message}" for p in problems[:_SHOWN_PROBLEMS])
    return shown if len(problems) <= _SHOWN_PROBLEMS else f"{shown}; and {len(problems) - _SHOWN_PROBLEMS} more"

"""HTTP shapes of /admin/v1/policies."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from control_plane.admin_api import ErrorView
from control_plane.policy_admin.service import ActivePolicy
from policies import FactValue, Policy, Problem

POLICY_MAX_BYTES = 256 * 1024

Note = Annotated[str, Field(max_length=500, pattern=r"^[^\x00]*$")]
FiniteFact = bool | int | Annotated[float, Field(allow_inf_nan=False)] | Annotated[str, Field(max_length=500)]


class NewPolicy(BaseModel):
    """A policy to be saved; `activate` puts it in force in the same call, once its own tests pass."""

    model_config = ConfigDict(extra="forbid")

    text: Annotated[str, Field(min_length=1, description="The YAML document")]
    note: Note = ""
    activate: bool = False


class Change(BaseModel):
    """A change of the policy in force; with `expected_digest` it happens only while that policy is active."""

    model_config = ConfigDict(extra="forbid")

    expected_digest: Annotated[str, Field(max_length=80)] | None = None


class Facts(BaseModel):
    """Facts to decide by, by their names in the policy language; what is left out is absent."""

    model_config = ConfigDict(extra="forbid")

    facts: Annotated[dict[str, FiniteFact], Field(max_length=200)]


class PolicySummary(BaseModel):
    """A version without its text."""

    model_config = ConfigDict(from_attributes=True)

    version: int
    name: str
    digest: str
    note: str
    author: str
    created_at: datetime
    active: bool = False


class PolicyView(PolicySummary):
    """A version with its text."""

    text: str


class PolicyPage(BaseModel):
    """Versions, newest first."""

    items: list[PolicySummary]
    next: int | None


class InForce(BaseModel):
    """Which policy decides now."""

    version: int
    digest: str

    @classmethod
    def of(cls, active: ActivePolicy) -> InForce:
        """The shape of the policy in force."""
        return cls(version=active.version, digest=active.digest)


class TestView(BaseModel):
    """How one test of the document went."""

    model_config = ConfigDict(from_attributes=True)
    __test__ = False

    name: str
    passed: bool
    detail: str
    line: int


class Validated(BaseModel):
    """A document without errors, and its own tests."""

    name: str
    digest: str
    tests: list[TestView]

    @classmethod
    def of(cls, policy: Policy) -> Validated:
        """Runs the document's tests."""
        tests = [TestView.model_validate(outcome) for outcome in policy.run_tests()]
        return cls(name=policy.name, digest=policy.digest, tests=tests)


class ProblemView(BaseModel):
    """One fault of a document; lines and columns count from 1."""

    model_config = ConfigDict(from_attributes=True)

    code: str
    message: str
    line: int
    column: int
    rule_id: str
    expected: str
    suggestion: str


class Rejected(BaseModel):
    """The error body of a refused document: the usual error, and every problem."""

    error: ErrorView
    problems: list[ProblemView]

    @classmethod
    def body(cls, error: dict[str, Any], problems: tuple[Problem, ...]) -> dict[str, Any]:
        """The JSON of a refusal; `error` is the usual error body."""
        return {**error, "problems": [ProblemView.model_validate(problem).model_dump() for problem in problems]}


class Explained(BaseModel):
    """What the policy would decide, rule by rule, and which single change would lead elsewhere."""

    decision: dict[str, Any]
    rules: list[dict[str, FactValue | dict[str, FactValue | None]]]
    flips: list[str]

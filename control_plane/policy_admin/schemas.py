"""HTTP shapes of /admin/v1/policies: versions, problems, findings, explanations. Drafts: see draft_schemas."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from control_plane.admin_api import ErrorView
from control_plane.policy_admin.analysis import TOO_LARGE
from control_plane.policy_admin.service import ActivePolicy
from policies import Policy, Problem
from policies.analysis import Report

POLICY_MAX_BYTES = 256 * 1024

Note = Annotated[str, Field(max_length=500, pattern=r"^[^\x00]*$")]
ExpectedDigest = Annotated[str, Field(max_length=80)] | None
FiniteFact = bool | int | Annotated[float, Field(allow_inf_nan=False)] | Annotated[str, Field(max_length=500)]


class NewPolicy(BaseModel):
    """A policy to be saved; `activate` puts it in force in the same call, once its own tests pass, and with
    `expected_digest` only while that policy is the one in force."""

    model_config = ConfigDict(extra="forbid")

    text: Annotated[str, Field(min_length=1, description="The YAML document")]
    note: Note = ""
    activate: bool = False
    expected_digest: ExpectedDigest = None


class Change(BaseModel):
    """A change of the policy in force; with `expected_digest` it happens only while that policy is active."""

    model_config = ConfigDict(extra="forbid")

    expected_digest: ExpectedDigest = None


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


class ProblemView(BaseModel):
    """One fault of a document, or a warning; lines and columns count from 1."""

    model_config = ConfigDict(from_attributes=True)

    code: str
    message: str
    line: int
    column: int
    rule_id: str
    expected: str
    suggestion: str
    severity: Literal["error", "warning"] = "error"


class FindingView(BaseModel):
    """Something odd that analysis found; `facts` show it."""

    model_config = ConfigDict(from_attributes=True)

    code: str
    message: str
    line: int
    column: int
    rule_id: str
    facts: dict[str, Any] | None


class ProofView(BaseModel):
    """Whether rules, default and onError keep an invariant for all facts, before it is held against a decision."""

    model_config = ConfigDict(extra="allow")

    invariant: str
    result: Literal["proved", "refuted", "unknown"]


class Validated(BaseModel):
    """A document without errors, its own tests, and what its author should look at.

    `analysis_skipped` says why there are no findings and proofs; it is empty where they were looked for."""

    name: str
    digest: str
    tests: list[TestView]
    warnings: list[ProblemView] = []
    findings: list[FindingView] = []
    proofs: list[ProofView] = []
    analysis_skipped: str = ""

    @classmethod
    def of(cls, policy: Policy, report: Report | None) -> Validated:
        """Runs the document's tests. report: None where analysis was skipped."""
        return cls(
            name=policy.name,
            digest=policy.digest,
            tests=[TestView.model_validate(outcome) for outcome in policy.run_tests()],
            warnings=[ProblemView.model_validate(warning) for warning in policy.warnings],
            findings=[FindingView.model_validate(finding.to_dict()) for finding in (report.findings if report else ())],
            proofs=[ProofView.model_validate(proof.to_dict()) for proof in (report.proofs if report else ())],
            analysis_skipped="" if report else TOO_LARGE,
        )


class Rejected(BaseModel):
    """The error body of a refused document: the usual error, and every problem. Without problems, the request around
    the document was at fault."""

    error: ErrorView
    problems: list[ProblemView] = []

    @classmethod
    def body(cls, error: dict[str, Any], problems: tuple[Problem, ...]) -> dict[str, Any]:
        """The JSON of a refusal; `error` is the usual error body."""
        return {**error, "problems": [ProblemView.model_validate(problem).model_dump() for problem in problems]}


class Explained(BaseModel):
    """What the policy would decide, rule by rule, and which single change would lead elsewhere."""

    decision: dict[str, Any]
    rules: list[dict[str, Any]]
    flips: list[str]

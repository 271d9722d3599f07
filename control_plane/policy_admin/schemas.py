"""HTTP shapes of /admin/v1/policies."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from control_plane.accounts.keys import UserTier
from control_plane.admin_api import NUMBER_MAX, ErrorView, UtcMoment
from control_plane.policy_admin.replay import Replay
from control_plane.policy_admin.service import ActivePolicy
from control_plane.policy_admin.trying import DryRequest, Trial
from edgewise.wire.limits import MESSAGES_MAX
from policies import FactValue, Policy, Problem

POLICY_MAX_BYTES = 256 * 1024
REPLAY_MAX = 20_000

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


class Validated(BaseModel):
    """A document without errors, its own tests, and what its author should look at."""

    name: str
    digest: str
    tests: list[TestView]
    warnings: list[ProblemView] = []

    @classmethod
    def of(cls, policy: Policy) -> Validated:
        """Runs the document's tests."""
        tests = [TestView.model_validate(outcome) for outcome in policy.run_tests()]
        warnings = [ProblemView.model_validate(warning) for warning in policy.warnings]
        return cls(name=policy.name, digest=policy.digest, tests=tests, warnings=warnings)


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


# Trying -----------------------------------------------------------------------------------------------------------


class Draft(BaseModel):
    """Which policy to try: a version, a text that was never saved, or, with neither, the one in force."""

    model_config = ConfigDict(extra="forbid")

    version: Annotated[int, Field(ge=1, le=NUMBER_MAX)] | None = None
    text: Annotated[str, Field(min_length=1, max_length=POLICY_MAX_BYTES)] | None = Field(None, repr=False)

    @model_validator(mode="after")
    def _one(self) -> Self:
        if self.version is not None and self.text is not None:
            raise ValueError("give a version or a text, not both")
        return self


class DryMessage(BaseModel):
    """One message of a request that is only tried."""

    model_config = ConfigDict(extra="forbid")

    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[str, Field(max_length=1_000_000, repr=False)]


class DryRun(Draft):
    """A request to be decided and forgotten. `facts` override what messages, device and cloud would give; null takes
    a fact away."""

    messages: Annotated[list[DryMessage], Field(max_length=MESSAGES_MAX)] = Field(default_factory=list, repr=False)
    model: Annotated[str, Field(max_length=80)] = "edgewise"
    max_tokens: Annotated[int, Field(ge=1, le=NUMBER_MAX)] | None = None
    sensitivity: Literal["", "public", "internal", "personal", "secret"] = ""
    wants_mode: Annotated[str, Field(max_length=40)] = ""
    device: Annotated[str, Field(max_length=64)] = ""
    tenant: Annotated[str, Field(max_length=64)] = "default"
    user_tier: UserTier = "standard"
    origin: Literal["control_plane", "device"] = "control_plane"
    facts: Annotated[dict[str, FiniteFact | None], Field(max_length=200)] = {}

    def request(self) -> DryRequest:
        """The form in which facts are gathered."""
        fields = self.model_dump(exclude={"version", "text", "messages"})
        return DryRequest(messages=tuple((each.role, each.content) for each in self.messages), **fields)


class Tried(Explained):
    """What the tried policy decides, beside what the policy in force decides for the same facts."""

    facts: dict[str, FactValue]
    active: dict[str, Any]
    differs: list[str] = Field(description="Fields of the decision that differ from the policy in force")

    @classmethod
    def of(cls, trial: Trial) -> Tried:
        """The shape of a trial."""
        mine, active = trial.explanation.to_dict(), trial.active.decision.to_dict()
        return cls(facts=trial.facts, active=active, differs=list(trial.differences), **mine)


class ReplayWanted(Draft):
    """Over which recorded decisions to replay: the newest `last`, of one tenant or all."""

    last: Annotated[int, Field(ge=1, le=REPLAY_MAX)] = 1000
    since: UtcMoment | None = None
    tenant: Annotated[str, Field(max_length=64, pattern=r"^[^\x00]*$")] | None = None


class ModeChange(BaseModel):
    """Decisions that would go from one mode to another; `examples` are stream ids."""

    recorded: str
    replayed: str
    count: int
    examples: list[str]


class Replayed(BaseModel):
    """What the policy would have changed. Where `unfaithful` is not 0, facts that policies read were not recorded
    (clients' words never are), and that many decisions cannot be repeated exactly."""

    digest: str
    decisions: int
    unchanged: int
    other_rule: int
    errors: int
    unfaithful: int
    modes: dict[str, int]
    changes: list[ModeChange]

    @classmethod
    def of(cls, digest: str, found: Replay) -> Replayed:
        """The shape of a replay, the greatest change first."""
        pairs = sorted(found.changes.items(), key=lambda item: -item[1].count)
        changes = [
            ModeChange(recorded=a, replayed=b, count=each.count, examples=each.examples) for (a, b), each in pairs
        ]
        return cls(
            digest=digest,
            decisions=found.decisions,
            unchanged=found.unchanged,
            other_rule=found.other_rule,
            errors=found.errors,
            unfaithful=found.unfaithful,
            modes=dict(found.modes),
            changes=changes,
        )

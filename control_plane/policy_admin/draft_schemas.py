"""HTTP shapes of drafts at /admin/v1/policies: what a policy would decide, would have changed, and differs in."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from control_plane.accounts.keys import UserTier
from control_plane.admin_api import NUMBER_MAX, UtcMoment
from control_plane.policy_admin.analysis import TOO_LARGE
from control_plane.policy_admin.replay import Replay, RuleChange
from control_plane.policy_admin.schemas import POLICY_MAX_BYTES, Explained, FiniteFact
from control_plane.policy_admin.trying import DryRequest, Trial
from edgewise.wire.limits import MESSAGES_MAX
from policies import FactValue
from policies.analysis import Change

REPLAY_MAX = 20_000


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


class RuleOutcome(BaseModel):
    """By which rule, in which mode."""

    rule: str
    mode: str


class RuleChangeView(BaseModel):
    """Decisions that would go from one rule or mode to another. `context` has the fewest facts of the newest one,
    `stream_id`, that bring this about in the usual world (null: absent); null where it was not looked for."""

    recorded: RuleOutcome
    replayed: RuleOutcome
    count: int
    stream_id: str
    context: dict[str, Any] | None


class ModeChange(BaseModel):
    """Decisions that would go from one mode to another; `examples` are stream ids. `cost` is what their answers cost in
    micro-units, `expected_cost` what as many cost on average in the other mode; null where nothing is known of it."""

    recorded: str
    replayed: str
    count: int
    examples: list[str]
    cost: int | None = None
    expected_cost: float | None = None


class Replayed(BaseModel):
    """What the policy would have changed. `other_rule` and `other_terms` count decisions that keep their mode, by
    another rule and with other terms (as far as these were recorded). Where `unfaithful` is not 0, facts that policies
    read were not recorded (clients' words never are), and that many decisions cannot be repeated exactly."""

    digest: str
    decisions: int
    unchanged: int
    other_rule: int
    other_terms: int
    errors: int
    unfaithful: int
    modes: dict[str, int]
    changes: list[ModeChange]
    rule_changes: list[RuleChangeView] = []
    cost: int | None = Field(None, description="What the recorded answers cost, in micro-units; null without prices")
    expected_cost: float | None = Field(
        None, description="What they would cost; null where a mode has no recorded cost"
    )

    @classmethod
    def of(cls, digest: str, found: Replay) -> Replayed:
        """The shape of a replay, the greatest change first."""
        pairs = sorted(found.changes, key=lambda pair: -found.changes[pair].count)
        changes = [_mode_change(found, *pair) for pair in pairs]
        return cls(
            digest=digest,
            decisions=found.decisions,
            unchanged=found.unchanged,
            other_rule=found.other_rule,
            other_terms=found.other_terms,
            errors=found.errors,
            unfaithful=found.unfaithful,
            modes=dict(found.modes),
            changes=changes,
            rule_changes=[_rule_change(each) for each in sorted(found.rules.values(), key=lambda each: -each.count)],
            cost=found.costs.total,
            expected_cost=found.costs.expected,
        )


def _mode_change(found: Replay, before: str, after: str) -> ModeChange:
    change, (cost, expected) = found.changes[before, after], found.costs.of(before, after)
    return ModeChange(
        recorded=before,
        replayed=after,
        count=change.count,
        examples=change.examples,
        cost=cost,
        expected_cost=expected,
    )


def _rule_change(change: RuleChange) -> RuleChangeView:
    kind = change.kind
    return RuleChangeView(
        recorded=RuleOutcome(rule=kind.recorded_rule, mode=kind.recorded_mode),
        replayed=RuleOutcome(rule=kind.rule, mode=kind.mode),
        count=change.count,
        stream_id=change.stream_id,
        context=None if change.context is None else dict(change.context),
    )


class DiffWanted(BaseModel):
    """Which two policies to compare; one that is left out is the policy in force."""

    model_config = ConfigDict(extra="forbid")

    old: Draft = Field(default_factory=lambda: Draft(text=None))
    new: Draft = Field(default_factory=lambda: Draft(text=None))


class DecisionChange(BaseModel):
    """One kind of change: `facts` that lead to it, and what either policy decides for them. Without facts it is not
    known, for the `reason` given, whether the two rules ever decide differently."""

    old_rule: str
    new_rule: str
    facts: dict[str, Any] | None
    old: dict[str, Any] | None
    new: dict[str, Any] | None
    reason: str


class Compared(BaseModel):
    """A unified diff of the texts, and every kind of change in decisions. `same`: no facts lead to another decision;
    null where that is not known. `analysis_skipped` says why decisions were not compared, else it is empty."""

    text: str
    same: bool | None
    changes: list[DecisionChange]
    analysis_skipped: str = ""

    @classmethod
    def of(cls, text: str, changes: tuple[Change, ...] | None) -> Compared:
        """changes: None where decisions were not compared."""
        if changes is None:
            return cls(text=text, same=None, changes=[], analysis_skipped=TOO_LARGE)
        known = not changes or any(change.facts is not None for change in changes)
        views = [DecisionChange.model_validate(change.to_dict()) for change in changes]
        return cls(text=text, same=not changes if known else None, changes=views)

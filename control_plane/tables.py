"""Every table of the control plane, imported together so that `METADATA` is whole; for migrations and their test."""

from __future__ import annotations

from control_plane.accounts.tables import ApiKeyRow
from control_plane.audit.tables import AuditRow
from control_plane.database import Base
from control_plane.decisions.tables import DecisionRow, SealedStreamRow
from control_plane.jobs.tables import JobRow, JobStepRow, TickRow
from control_plane.model_versions.tables import ModelActivationRow, ModelVersionRow
from control_plane.nodes.tables import NodeWishRow
from control_plane.policy_admin.tables import PolicyActivationRow, PolicyVersionRow
from control_plane.policy_bundles.tables import PolicyBundleRow, PolicyKeyRow
from control_plane.policy_rollouts.tables import PolicyRolloutCountsRow, PolicyRolloutRow
from control_plane.telemetry.tables import TelemetryRow
from control_plane.usage.tables import ChargeRow, EpochRow, LimitsRow, UsageRow

METADATA = Base.metadata
TABLES = (
    ApiKeyRow,
    AuditRow,
    ChargeRow,
    DecisionRow,
    EpochRow,
    JobRow,
    JobStepRow,
    LimitsRow,
    ModelActivationRow,
    ModelVersionRow,
    NodeWishRow,
    PolicyActivationRow,
    PolicyBundleRow,
    PolicyKeyRow,
    PolicyRolloutCountsRow,
    PolicyRolloutRow,
    PolicyVersionRow,
    SealedStreamRow,
    TelemetryRow,
    TickRow,
    UsageRow,
)

"""Every table of the control plane, imported together so that `METADATA` is whole; for migrations and their test."""

from __future__ import annotations

from control_plane.accounts.tables import ApiKeyRow
from control_plane.audit.tables import AuditRow
from control_plane.database import Base
from control_plane.decisions.tables import DecisionRow, SealedStreamRow
from control_plane.model_versions.tables import ModelVersionRow
from control_plane.policy_admin.tables import PolicyActivationRow, PolicyVersionRow
from control_plane.telemetry.tables import TelemetryRow

METADATA = Base.metadata
TABLES = (
    ApiKeyRow,
    AuditRow,
    DecisionRow,
    ModelVersionRow,
    PolicyActivationRow,
    PolicyVersionRow,
    SealedStreamRow,
    TelemetryRow,
)

"""Rollouts of policies, and what each gateway has measured of them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from control_plane.database import Base, UtcDateTime


class PolicyRolloutRow(Base):
    """One rollout. `text` is its document, `state` what `policies.rollout.state_to_dict` gives, `position` the word in
    it; `revision` counts the states. `base_version` is the policy that decided before."""

    __tablename__ = "policy_rollouts"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    text: Mapped[str] = mapped_column(Text)
    plan_digest: Mapped[str] = mapped_column(String(64))
    candidate_version: Mapped[int] = mapped_column(ForeignKey("policy_versions.version"))
    base_version: Mapped[int] = mapped_column(ForeignKey("policy_versions.version"))
    state: Mapped[Any] = mapped_column(JSON)
    position: Mapped[str] = mapped_column(String(16), index=True)
    revision: Mapped[int]
    author: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    changed_at: Mapped[datetime] = mapped_column(UtcDateTime)


class PolicyRolloutCountsRow(Base):
    """What one gateway measured in one run of a rollout: totals since the run began there, never increments."""

    __tablename__ = "policy_rollout_counts"

    rollout_id: Mapped[int] = mapped_column(ForeignKey("policy_rollouts.id"), primary_key=True)
    run: Mapped[int] = mapped_column(primary_key=True)
    gateway: Mapped[str] = mapped_column(String(64), primary_key=True)
    totals: Mapped[Any] = mapped_column(JSON)
    counted_at: Mapped[datetime] = mapped_column(UtcDateTime)

"""The world of rollouts, on SQLite and on PostgreSQL."""

from __future__ import annotations

import pytest

from control_plane.audit.service import AuditTrail
from control_plane.database import Database
from tests.control_plane.policy_rollouts.worlds import Clock, World


@pytest.fixture
def world(database: Database) -> World:
    clock = Clock()
    return World(database, AuditTrail(database, now=clock), clock)

"""Fixtures of jobs."""

from __future__ import annotations

import pytest

from control_plane.database import Database
from tests.control_plane.jobs.making import Made, make


@pytest.fixture
def made(database: Database) -> Made:
    """The parts of the job system over a real database."""
    return make(database)

"""When a control plane says that it is ready: for people, and for a load balancer."""

from __future__ import annotations

import pytest

from control_plane.app import is_ready

WELL = {"token_log": "ok", "database": "ok"}


@pytest.mark.parametrize(
    ("parts", "ready", "answers"),
    [
        (WELL, True, True),
        (WELL | {"database": "away"}, False, True),
        (WELL | {"token_log": "away"}, False, False),
        (WELL | {"gateway": "draining"}, False, False),
        (WELL | {"database": "away", "gateway": "draining"}, False, False),
    ],
)
def test_answers_go_on_without_the_database(parts: dict[str, str], ready: bool, answers: bool) -> None:
    assert (is_ready(parts, answers=False), is_ready(parts, answers=True)) == (ready, answers)

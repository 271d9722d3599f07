"""Every test begins outside of any trace: what a plain function enters would stay for the next one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from edgewise.observability import context


@pytest.fixture(autouse=True)
def untraced() -> Iterator[None]:
    token = context._current.set(None)
    yield
    context._current.reset(token)

"""Each extra alone is enough for its process: an import hook refuses every package outside the extra's closure."""

from __future__ import annotations

import pytest
from packaging.requirements import Requirement

from tests.house import closure


@pytest.mark.parametrize("extra", sorted(closure.MAINS))
def test_an_extra_alone_imports_its_main(extra: str) -> None:
    done = closure.import_alone(extra)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize(
    ("extra", "absent"),
    [("edge", "torch"), ("edge", "fastapi"), ("edge", "sqlalchemy"), ("control", "torch"), ("control", "onnxruntime")],
)
def test_an_extra_does_not_bring_what_its_process_must_not_see(extra: str, absent: str) -> None:
    assert absent in closure.refused_modules(extra)


def test_the_hook_refuses_a_package_of_another_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(closure.MAINS, "edge", "torch")
    done = closure.import_alone("edge")
    assert done.returncode != 0
    assert "torch is not in this extra" in done.stderr


def test_a_closure_follows_requirements_and_drops_unasked_extras() -> None:
    found = closure.closure([Requirement("httpx")])
    assert {"httpx", "httpcore", "anyio", "idna"} <= found
    assert "rich" not in found  # httpx needs it for its extra `cli` only

"""The OpenAPI document against a running control plane: generated requests, no 5xx, no answer that breaks the document.

A few examples of each operation every time, many more behind the marker `soak`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.checks import CHECKS

from tests.factories.control import Control, control_in_thread, own_log_server

QUICK, LONG = 2, 100
MODES = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]
_LEFT_OUT = (
    "positive_data_acceptance",  # what fits the document may still be refused for what it says, as a policy is
    "negative_data_rejection",  # query parameters that nobody knows are ignored
    "unsupported_method",  # these three send requests of their own, at many times the price
    "ignored_auth",
    "use_after_free",
)


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Control]:
    with own_log_server() as log_url, control_in_thread(tmp_path_factory.mktemp("control"), log_url) as running:
        yield running


def operations(control: Control) -> Iterator[Any]:
    schema = schemathesis.openapi.from_url(f"{control.url}/openapi.json")
    for found in schema.get_all_operations():
        yield found.ok()  # type: ignore[union-attr]  # an operation that cannot be read fails here


def exercised(control: Control, operation: Any, mode: GenerationMode, max_examples: int) -> int:
    """Send generated requests of one operation and judge the answers; returns how many were sent."""
    left_out: list[Any] = [CHECKS.get_one(name) for name in _LEFT_OUT]
    headers = {"Authorization": f"Bearer {control.keys.operator}"}
    sent = 0

    @hypothesis.settings(
        max_examples=max_examples,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[hypothesis.Phase.generate],
    )
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    def call(case: Case[Any]) -> None:
        nonlocal sent
        sent += 1
        case.call_and_validate(base_url=control.url, headers=headers, timeout=20, excluded_checks=left_out)

    with suppress(Unsatisfiable):  # an operation without parameters cannot be asked wrongly
        call()
    return sent


def judge(control: Control, mode: GenerationMode, max_examples: int, told: Callable[[str, int], None]) -> None:
    """All operations, one after the other; every breach of all of them is reported together."""
    breaches: list[Exception] = []
    for operation in operations(control):
        try:
            told(f"{operation.method.upper()} {operation.path}", exercised(control, operation, mode, max_examples))
        except* (Exception, schemathesis.errors.SchemathesisError) as group:  # noqa: BLE001 - one report for all
            breaches += group.exceptions
    if breaches:
        raise ExceptionGroup(f"{len(breaches)} breaches of the OpenAPI document", breaches)


@pytest.mark.parametrize("mode", MODES)
def test_every_operation_keeps_the_document(control: Control, mode: GenerationMode) -> None:
    called: dict[str, int] = {}
    judge(control, mode, QUICK, called.__setitem__)
    assert {"POST /v1/chat/completions", "GET /v1/models", "POST /admin/v1/policies/dry-run"} <= called.keys()
    assert len(called) > 40


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("mode", MODES)
def test_every_operation_keeps_the_document_for_long(control: Control, mode: GenerationMode) -> None:
    judge(control, mode, LONG, lambda operation, sent: None)

"""Every numbered error has a shape, a status and retry headers that clients understand."""

import pytest

from edgewise.dialects.openai_errors import error_body, error_headers, http_status
from edgewise.wire.errors import EdgewiseError, TierRefusedError, error_table


@pytest.mark.parametrize("kind", error_table().values(), ids=lambda kind: kind.__name__)
def test_every_error_keeps_its_status_over_the_wire(kind: type[EdgewiseError]) -> None:
    error = kind(7) if kind.__name__ == "LogGapError" else kind("went wrong", remedy="do this")  # type: ignore[arg-type]
    body = error_body(error.info())["error"]
    assert http_status(error.info()) == kind.http_status
    assert body["type"] == kind.openai_type
    assert body["code"] == kind.code


def test_numbers_are_unique() -> None:
    def count(kind: type[EdgewiseError]) -> int:
        return 1 + sum(count(child) for child in kind.__subclasses__() if child.__name__ != "RemoteError")

    assert len(error_table()) == count(EdgewiseError)


def test_a_retry_hint_is_given_in_both_units() -> None:
    headers = dict(error_headers(TierRefusedError("full", retry_after_s=1.5).info()))
    assert headers == {b"x-should-retry": b"true", b"retry-after-ms": b"1500", b"retry-after": b"2"}

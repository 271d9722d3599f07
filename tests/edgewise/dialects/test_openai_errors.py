"""Every numbered error has a shape, a status and retry headers that clients understand."""

import pytest

from edgewise.dialects.openai_errors import error_body, error_headers, http_status
from edgewise.wire.errors import EdgewiseError, ErrorInfo, TierRefusedError, error_table


def kinds(root: type[EdgewiseError] = EdgewiseError) -> list[type[EdgewiseError]]:
    """Every class that has a number of its own."""
    own = [root] if "number" in vars(root) else []
    return own + [kind for child in root.__subclasses__() for kind in kinds(child)]


@pytest.mark.parametrize("kind", error_table().values(), ids=lambda kind: kind.__name__)
def test_every_error_keeps_its_status_over_the_wire(kind: type[EdgewiseError]) -> None:
    info = ErrorInfo(number=kind.number, code=kind.code, message="went wrong", remedy="do this")
    body = error_body(info)["error"]
    assert http_status(info) == kind.http_status
    assert body["type"] == kind.openai_type
    assert body["code"] == kind.code


def test_numbers_are_unique() -> None:
    numbers = [kind.number for kind in kinds()]
    assert len(numbers) == len(set(numbers))


def test_a_retry_hint_is_given_in_both_units() -> None:
    headers = dict(error_headers(TierRefusedError("full", retry_after_s=1.5).info()))
    assert headers == {b"x-should-retry": b"true", b"retry-after-ms": b"1500", b"retry-after": b"2"}


def test_in_a_stream_where_no_header_can_follow_the_body_tells_it() -> None:
    bodies = [error_body(TierRefusedError("full", retry_after_s=wait_s).info()) for wait_s in (1.5, None)]
    assert [body["error"]["retry_after_s"] for body in bodies] == [1.5, None]

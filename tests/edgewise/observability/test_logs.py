"""Log lines: their two forms, what is known on them, and what never is."""

from __future__ import annotations

import io
import json
import logging
from typing import Any

import pytest

from edgewise.observability import context as trace
from edgewise.observability.logs import clean, formatter, silenced
from edgewise.wire.errors import TierError

KEY = "ek_abcdefgh12345678_secret-part"
SAID = "what the user said"


def lines(form: Any, *, raises: Exception | None = None, **extra: Any) -> str:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter(form))
    logger = logging.Logger("edgewise.test")
    logger.addHandler(handler)
    try:
        if raises is not None:
            raise raises
        logger.info("hello %s", "世界", extra=extra)
    except Exception:
        logger.exception("it broke", extra=extra)
    return stream.getvalue()


async def test_a_json_line_knows_its_trace_and_stream() -> None:
    trace.enter(trace.TraceContext("a" * 32, "b" * 16))
    line = json.loads(lines("json", stream="s1"))
    assert line["message"] == "hello 世界"
    assert (line["level"], line["logger"]) == ("INFO", "edgewise.test")
    assert (line["stream"], line["trace_id"], line["span_id"]) == ("s1", "a" * 32, "b" * 16)
    assert line["time"].endswith("Z")


async def test_outside_of_a_trace_a_line_names_none() -> None:
    assert "trace_id" not in json.loads(lines("json"))


async def test_a_text_line_is_one_for_people() -> None:
    trace.enter(trace.TraceContext("a" * 32, "b" * 16))
    line = lines("text", stream="s1")
    assert line.endswith(f"INFO edgewise.test hello 世界 stream=s1 trace_id={'a' * 32} span_id={'b' * 16}\n")


@pytest.mark.parametrize("form", ["json", "text"])
def test_the_words_of_foreign_exceptions_are_left_out_and_ours_are_kept(form: str) -> None:
    foreign, ours = lines(form, raises=ValueError(SAID)), lines(form, raises=TierError("The node met an error"))
    assert SAID not in foreign
    assert "ValueError" in foreign
    assert "test_logs.py" in foreign
    assert "TierError: The node met an error" in ours


@pytest.mark.parametrize("form", ["json", "text"])
def test_keys_are_masked_wherever_they_stand(form: str) -> None:
    assert KEY not in lines(form, raises=TierError(f"bad key {KEY}"), stream=KEY)
    assert clean(f"a {KEY} b") == "a ek_… b"
    assert clean("week_day") == "week_day"


def test_a_broken_line_of_a_caller_is_no_json_fault() -> None:
    assert json.loads(lines("json", stream=object()))["stream"].startswith("<object")


def test_silence_ends_with_its_block_whatever_happens_in_it(caplog: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger("edgewise.test")
    with pytest.raises(ValueError, match="away"), silenced(logging.WARNING):
        log.warning("unheard")
        log.error("heard")
        raise ValueError("away")
    log.warning("heard again")
    assert [record.getMessage() for record in caplog.records] == ["heard", "heard again"]

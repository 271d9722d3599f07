"""The batcher over a scripted connection: whatever breaks, every caller hears of it and the next one is served."""

from __future__ import annotations

import pytest

from control_plane.streams.batcher import ScriptBatcher
from control_plane.streams.scripts import Name, Script
from edgewise.wire.errors import LogUnavailableError
from tests.control_plane.streams.connections import ScriptedConnection

SCRIPTS: dict[Name, Script] = {"head": Script(b"return 1", "0" * 40)}


@pytest.mark.timeout(5)
@pytest.mark.parametrize("broken", [ValueError("a prompt"), RuntimeError("reader gone"), KeyError("x")], ids=repr)
async def test_any_failure_reaches_the_caller_and_the_next_call_is_served(
    broken: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    seen, connection = ScriptedConnection.of(b"sha", broken, b"sha", b"fine")
    batcher = ScriptBatcher(connection, SCRIPTS, where="here")
    with pytest.raises(LogUnavailableError, match=type(broken).__name__) as told:
        await batcher.run("head", (), ())
    assert told.value.__cause__ is broken and "a prompt" not in str(told.value) + caplog.text
    assert await batcher.run("head", (), ()) == b"fine"
    assert seen.connections == 2, "what was left unread on the first connection must not answer the next call"
    await batcher.aclose()

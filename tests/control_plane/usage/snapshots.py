"""Snapshots of requests as the log keeps them."""

from __future__ import annotations

import msgspec

from edgewise.api.host import Caller
from edgewise.api.intake import Snapshot
from edgewise.dialects.render import AnswerHeader
from edgewise.generation.state import GenerationState
from edgewise.routing.plan import Limits
from tests.factories.states import make_state


def snapshot(sid: str, caller: Caller, *, prompt: int, most: int) -> bytes:
    """A request of `prompt` ids that may be answered by `most` tokens."""
    state: GenerationState = make_state(prompt_ids=tuple(range(prompt)), max_tokens=most)
    header = AnswerHeader(
        sid=sid, created=0, model="m", include_usage=False, mode="cloud", rule="r", reason="", policy=""
    )
    return msgspec.msgpack.encode(
        Snapshot(header=header, state=state, caller=caller, device="", mode="cloud", kinds=("cloud",), limits=Limits())
    )

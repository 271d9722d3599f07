"""The attempts that a node runs for its gateway: which are open, until when, and the frames that tell of them."""

from __future__ import annotations

import msgspec

from edgewise.generation.state import GenerationState
from edgewise.routing.tier import Chunk, Usage
from edgewise.wire import frames
from edgewise.wire.errors import EdgewiseError, FrameMalformedError

_state_decoder = msgspec.msgpack.Decoder(GenerationState)


def read_state(frame: frames.Generate) -> GenerationState:
    """The generation state inside a Generate frame. Raises FrameMalformedError."""
    try:
        return _state_decoder.decode(frame.state)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise FrameMalformedError(
            f"The generation state does not decode: {error}", where=f"attempt {frame.attempt}"
        ) from error


class OpenAttempts:
    """Open attempts by id. An attempt leaves by one way only, so that exactly one last frame tells of it."""

    def __init__(self) -> None:
        self._deadlines: dict[str, float | None] = {}

    def __len__(self) -> int:
        return len(self._deadlines)

    def __contains__(self, attempt: str) -> bool:
        return attempt in self._deadlines

    def begin(self, frame: frames.Generate, now: float) -> GenerationState:
        """Open the attempt of this frame. Raises FrameMalformedError, and then nothing is open."""
        state = read_state(frame)
        self._deadlines[frame.attempt] = None if frame.deadline_s is None else now + frame.deadline_s
        return state

    def forget(self, attempt: str) -> bool:
        """Close an attempt without a word; whether it was open."""
        known = attempt in self._deadlines
        self._deadlines.pop(attempt, None)
        return known

    def forget_all(self) -> list[str]:
        """Close everything; returns what was open."""
        known = list(self._deadlines)
        self._deadlines.clear()
        return known

    def spoke(self, attempt: str, chunk: Chunk) -> list[frames.Frame]:
        """The frames for a chunk: none for an attempt that is not open (cancelled, lost).

        Text of a last chunk without ids travels in the frame of the end, so that the two arrive together or not at all.
        """
        if attempt not in self._deadlines:
            return []
        told: list[frames.Frame] = []
        if chunk.ids or (chunk.text and not chunk.finish):
            told.append(frames.Tokens(attempt=attempt, n0=chunk.n0, ids=chunk.ids, text=chunk.text))
        if chunk.finish:
            self.forget(attempt)
            rest = "" if chunk.ids else chunk.text
            usage = _usage(chunk.usage)
            told.append(
                frames.Finished(attempt=attempt, finish=chunk.finish, usage=usage, text=rest, timings=chunk.timings)
            )
        return told

    def failed(self, attempt: str, error: EdgewiseError) -> list[frames.Frame]:
        """The frame for an attempt that the tier gave up."""
        return [frames.Failed(attempt=attempt, error=error.info())] if self.forget(attempt) else []

    def next_deadline(self) -> float | None:
        """When the first open attempt runs out of time."""
        return min((limit for limit in self._deadlines.values() if limit is not None), default=None)

    def overdue(self, now: float) -> list[str]:
        """Attempts whose deadline has passed; they stay open until told of."""
        return [attempt for attempt, limit in self._deadlines.items() if limit is not None and now >= limit]


def _usage(usage: Usage | None) -> frames.UsageReport | None:
    if usage is None:
        return None
    return frames.UsageReport(prompt_tokens=usage.prompt_tokens, completion_tokens=usage.completion_tokens)

"""What engines say when they do not answer, in our numbers: too long, too busy, no such model, not our key, broken.

The same sentences come as a response's status and body, or as an event in a stream that began with 200.
"""

from __future__ import annotations

import re
from http import HTTPStatus

from edgewise.routing.foreign import ErrorDetail, error_detail
from edgewise.wire.errors import EdgewiseError, MessageTooLongError, TierRefusedError, UpstreamError

BUSY = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE, 529})
_TOO_LONG = re.compile(
    r"context[_ ]length|context size|exceed_context_size|maximum context|longer than the model"
    r"|max_seq_len|max_num_tokens|max_input_len|`max_new_tokens` must be <=|`inputs` must have less than",
    re.IGNORECASE,
)
_BUSY_WORDS = re.compile(r"overloaded|queue is full|too many requests|rate.?limit|loading model", re.IGNORECASE)
_NO_MODEL = re.compile(r"model.{0,200}(does not exist|not found|unknown)|model_not_found", re.IGNORECASE | re.DOTALL)
_NO_ENTRY = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
_AT_FAULT = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY})


def refusal(name: str, body: bytes, *, status: int = 200, retry_after_s: float | None = None) -> EdgewiseError:
    """The error for a response of this `status`, or (200) for an error that came inside a stream.

    Never a plain EdgewiseError: MessageTooLongError, TierRefusedError, UpstreamError. Whoever asked reads it, so no
    address is in it, and nothing of a body that may quote our key. Words make no engine busy that finds fault with the
    request: they may be the prompt's.
    """
    detail = error_detail(body)
    told = status if status != HTTPStatus.OK else _told_status(detail)
    said = "" if told in _NO_ENTRY else detail.message
    about = f"{detail.message} {detail.type or ''} {detail.code or ''}"
    what = f"answered HTTP {status}" if status != HTTPStatus.OK else "reported an error in its answer"
    sentence = f"{name} {what}: {said}" if said else f"{name} {what}"
    if told in _AT_FAULT | {HTTPStatus.OK} and _TOO_LONG.search(about):
        return MessageTooLongError(
            f"The request is longer than {name} reads: {said}", where=name, remedy="shorten the messages"
        )
    wordy = told == HTTPStatus.OK or told >= HTTPStatus.INTERNAL_SERVER_ERROR
    if told in BUSY or (wordy and _BUSY_WORDS.search(about)):
        return TierRefusedError(sentence, where=name, retry_after_s=retry_after_s)
    return UpstreamError(sentence, where=name, remedy=_remedy(told, about), retry_after_s=retry_after_s)


def _remedy(status: int, about: str) -> str:
    if status in _NO_ENTRY:
        return "check the key in the variable that the upstream's api_key_env names"
    if _NO_MODEL.search(about):
        return "set the upstream's model to a name that its GET /v1/models tells"
    if status == HTTPStatus.NOT_FOUND:
        return "check the upstream's base_url: it ends before /chat/completions, mostly with /v1"
    return ""


def _told_status(detail: ErrorDetail) -> int:
    """The HTTP status that an error inside a stream names, in its code or beside it; 200 where it names none."""
    told = detail.http_status_code or detail.code
    return told if isinstance(told, int) and 400 <= told < 600 else HTTPStatus.OK

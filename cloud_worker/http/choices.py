"""POST /v1/completions, and chats that ask for more than one plain answer: several streams, shown as one response."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any, TypeVar

import msgspec

from cloud_worker.http.prompts import check_ids, encoded
from cloud_worker.http.shown import Dialect, Names, Part, Said
from cloud_worker.http.visits import end_answers
from cloud_worker.http.wishes import Wish
from edgewise.api.asgi import (
    JSON,
    ClientGoneError,
    Headers,
    Receive,
    Scope,
    Send,
    Until,
    disconnected,
    has_hung_up,
    header,
    read_body,
    send_body,
    send_error,
    send_stream,
)
from edgewise.api.chat import answer_headers
from edgewise.api.drain import Drain
from edgewise.api.host import Caller, Family
from edgewise.api.intake import Choice
from edgewise.api.service import AnswerService
from edgewise.api.visits import body_digest
from edgewise.dialects.openai_errors import error_json
from edgewise.dialects.render import AnswerHeader
from edgewise.dialects.sse import DONE, frame
from edgewise.ending import end
from edgewise.streams.log import Record
from edgewise.wire.errors import EdgewiseError, LogUnavailableError, UnsupportedParameterError

T = TypeVar("T")
AHEAD_RECORDS = 64
"""Records of all streams that may wait for a slow reader; the rest waits in the log."""
Parts = AsyncGenerator[tuple[Said, Part, str], None]


class Choices:
    """The endpoint as an ASGI app. `wish` makes a request of a body; `logprobs` says whether the engine can tell;
    `announce` is told with which seed how many answers are about to be asked for."""

    def __init__(
        self,
        service: AnswerService,
        drain: Drain,
        dialect: Dialect,
        wish: Callable[[bytes], Wish],
        *,
        logprobs: bool = False,
        announce: Callable[[int, int], object] = lambda seed, attempts: None,
    ) -> None:
        self._service, self._drain, self._dialect, self._wish = service, drain, dialect, wish
        self._logprobs, self._announce = logprobs, announce

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        observer = self._service.observer
        trail = observer.arrive(header(scope, b"traceparent"))
        try:
            caller = self._service.host.authenticate(header(scope, b"authorization"))
            body = await read_body(receive)
            trail.read()
            wish = self._wish(body)
            opened = await self._opened(caller, wish, body)
        except ClientGoneError:
            return
        except EdgewiseError as error:
            observer.refused(error.info().code)
            await send_error(send, error.info())
            return
        await opened.respond(receive, send)

    async def _opened(self, caller: Caller, wish: Wish, body: bytes) -> _Opened:
        """Begin every answer, or none: those that were begun before one that cannot be are ended."""
        family = self._service.host.family(wish.request.model)
        if wish.logprobs and not self._logprobs:
            raise UnsupportedParameterError(
                "This model's engine tells no log-probabilities",
                where="logprobs",
                remedy="leave logprobs out of the request",
            )
        prompts = [await encoded(family, prompt) for prompt in wish.prompts] or [()]
        check_ids(family, prompts[0], said=wish.output_ids)
        if wish.request.seed is None:
            wish.request.seed = secrets.randbits(63)
        answers: list[AnswerHeader] = []
        if wish.n > 1:
            self._announce(wish.request.seed, wish.n * len(prompts))
        try:
            for ids in prompts:
                for index in range(wish.n):
                    choice = Choice(index, ids, wish.output_ids, probabilities=wish.logprobs)
                    answers.append(
                        await self._service.begin(caller, wish.request, digest=body_digest(body), choice=choice)
                    )
            said = [Said(place, await self._prompt_ids(wish, answer)) for place, answer in enumerate(answers)]
        except BaseException:
            await end_answers(self._service, caller, [answer.sid for answer in answers], self._drain)
            raise
        return _Opened(self._service, self._drain, self._dialect, caller, wish, family, answers, said)

    async def _prompt_ids(self, wish: Wish, answer: AnswerHeader) -> tuple[int, ...]:
        return (await self._service.snapshot(answer.sid)).state.prompt_ids if wish.token_ids else ()


class _Opened:
    """The answers to one request, and what is sent of them."""

    def __init__(
        self,
        service: AnswerService,
        drain: Drain,
        dialect: Dialect,
        caller: Caller,
        wish: Wish,
        family: Family,
        answers: Sequence[AnswerHeader],
        said: Sequence[Said],
    ) -> None:
        self._service, self._drain, self._dialect = service, drain, dialect
        self._caller, self._wish, self._family = caller, wish, family
        self._answers, self._said = answers, said
        self._names = Names(family.tokenizer) if wish.logprobs and family.tokenizer else None
        self._headers: Headers = answer_headers(answers[0])

    async def respond(self, receive: Receive, send: Send) -> None:
        """Send all of it, or an error in its place; a client that hangs up ends the answers."""
        async with aclosing(self._parts()) as parts:
            respond = self._stream if self._wish.request.stream else self._whole
            try:
                complete = await respond(parts, receive, send)
            except EdgewiseError as error:
                await send_error(send, error.info(), self._headers)
                complete = isinstance(error, LogUnavailableError)  # which tells nothing of the answers
        if not complete:
            await self._end()

    async def _whole(self, parts: Parts, receive: Receive, send: Send) -> bool:
        if await self._unless_gone(receive, _drained(parts)) is None:
            return False
        await send_body(send, 200, self._body(), [JSON, *self._headers])
        return True

    async def _stream(self, parts: Parts, receive: Receive, send: Send) -> bool:
        first = await self._unless_gone(receive, anext(parts))
        if first is None:
            return False
        return await send_stream(receive, send, self._frames(parts), self._headers, self._frame(*first))

    async def _frames(self, parts: Parts) -> AsyncGenerator[bytes, None]:
        """SSE blocks; an error in mid-stream ends it in-band."""
        try:
            async for said, part, cursor in parts:
                yield self._frame(said, part, cursor)
        except EdgewiseError as error:
            if not isinstance(error, LogUnavailableError):
                await self._end()
            yield frame(error_json(error.info())) + DONE
            return
        usage = self._chunk([], usage=self._usage()) if self._wish.request.include_usage else b""
        yield (frame(usage) if usage else b"") + DONE

    async def _parts(self) -> Parts:
        """What comes of any of the answers, as it comes, with its cursor where there is one stream only."""
        follows = [self._service.hub.follow(answer.sid, -1) for answer in self._answers]
        async with aclosing(_merged(follows)) as merged:
            async for place, record in merged:
                if (part := self._said[place].read(record)) is not None:
                    cursor = f"{self._answers[0].sid}/{record.seq}" if len(follows) == 1 else ""
                    yield self._said[place], part, cursor

    def _frame(self, said: Said, part: Part, cursor: str) -> bytes:
        begun = said.begun
        choice = self._dialect.added(said, part, self._names)
        if self._wish.token_ids:
            choice |= {"token_ids": part.ids} | ({} if begun else {"prompt_token_ids": said.prompt_ids})
        return frame(self._chunk([choice]), cursor or None)

    def _chunk(self, choices: list[dict[str, Any]], usage: dict[str, int] | None = None) -> bytes:
        body = self._shared(self._dialect.chunk) | {"choices": choices}
        return msgspec.json.encode(body | ({"usage": usage} if self._wish.request.include_usage else {}))

    def _body(self) -> bytes:
        choices = [self._dialect.full(said, self._names) for said in self._said]
        if self._wish.token_ids:
            for choice, said in zip(choices, self._said, strict=True):
                choice |= {"token_ids": said.ids, "prompt_token_ids": said.prompt_ids}
        return msgspec.json.encode(self._shared(self._dialect.whole) | {"choices": choices, "usage": self._usage()})

    def _shared(self, kind: str) -> dict[str, Any]:
        first = self._answers[0]
        return {
            "id": f"{self._dialect.id_prefix}-{first.sid}",
            "object": kind,
            "created": first.created,
            "model": self._family.name,
        }

    def _usage(self) -> dict[str, int]:
        """Each prompt counts once, whatever the number of its answers."""
        ends = [said.end for said in self._said]
        read = sum(each.prompt_tokens for each in ends[:: self._wish.n] if each)
        said = sum(each.completion_tokens for each in ends if each)
        return {"prompt_tokens": read, "completion_tokens": said, "total_tokens": read + said}

    async def _unless_gone(self, receive: Receive, work: Awaitable[T]) -> T | None:
        """The outcome of `work`; None when the client hung up first."""
        result = None
        async with Until(lambda: disconnected(receive)) as until:
            result = await work
        return result if until.ended is None and not has_hung_up(receive) else None

    async def _end(self) -> None:
        await end_answers(self._service, self._caller, [answer.sid for answer in self._answers], self._drain)


async def _drained(parts: Parts) -> bool:
    async for _ in parts:
        pass
    return True


async def _merged(follows: Sequence[AsyncGenerator[Record, None]]) -> AsyncGenerator[tuple[int, Record], None]:
    """The records of all streams with the place of theirs, each stream in order. Raises what the first of them does."""
    queue: asyncio.Queue[tuple[int, Record | EdgewiseError | None]] = asyncio.Queue(AHEAD_RECORDS)

    async def pump(place: int, follow: AsyncGenerator[Record, None]) -> None:
        try:
            async with aclosing(follow):
                async for record in follow:
                    await queue.put((place, record))
            await queue.put((place, None))
        except EdgewiseError as error:
            await queue.put((place, error))

    pumps = [asyncio.create_task(pump(place, follow)) for place, follow in enumerate(follows)]
    try:
        left = len(pumps)
        while left:
            place, record = await queue.get()
            if isinstance(record, EdgewiseError):
                raise record
            if record is None:
                left -= 1
            else:
                yield place, record
    finally:
        await end(*pumps)

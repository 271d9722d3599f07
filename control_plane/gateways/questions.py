"""Questions between gateways: ask one, wait for its answer; on the other side, do what is asked and answer.

The verbs of `order` are what may be done to a node; each has a handler, which runs where the node is connected.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from control_plane.gateways.bus import Bus
from control_plane.gateways.errors import GatewayMessageError, GatewaySilentError
from control_plane.gateways.messages import Answer, Order, ResumeAsk, WarmAsk
from edgewise.ids import new_id
from edgewise.wire.errors import EdgewiseError, LogUnavailableError, RemoteError

log = logging.getLogger(__name__)

Question = Order | ResumeAsk | WarmAsk
Reply = Callable[[Question], Awaitable[dict[str, Any]]]
"""Does what is asked; returns the answer's detail. Raises EdgewiseError, which travels back."""


class Asker:
    """Questions that wait for their answers."""

    def __init__(self, own_id: str, bus: Bus, *, make_id: Callable[[], str] = new_id) -> None:
        self._own_id = own_id
        self._bus = bus
        self._make_id = make_id
        self._waiting: dict[str, tuple[str, asyncio.Future[Answer]]] = {}

    @property
    def waiting(self) -> tuple[str, ...]:
        """Ids of the questions that are not answered yet."""
        return tuple(self._waiting)

    async def order(self, to: str, node_id: str, verb: str, body: dict[str, Any], within_s: float) -> dict[str, Any]:
        """Have another gateway do something to its node. Raises what `ask` raises."""
        return await self._ask(
            to,
            Order(sender=self._own_id, id=self._make_id(), node_id=node_id, verb=verb, body=body, deadline_s=within_s),
            within_s,
        )

    async def resume(self, to: str, sid: str, within_s: float) -> dict[str, Any]:
        """Have a gateway take up a stream."""
        return await self._ask(to, ResumeAsk(sender=self._own_id, id=self._make_id(), sid=sid), within_s)

    async def warm(self, to: str, within_s: float) -> dict[str, Any]:
        """Have a gateway warm its idle nodes."""
        return await self._ask(to, WarmAsk(sender=self._own_id, id=self._make_id()), within_s)

    def on_answer(self, answer: Answer) -> None:
        """An answer came; one that nobody waits for, or from somebody who was not asked, is ignored."""
        to, waiting = self._waiting.get(answer.id, ("", None))
        if waiting is not None and to == answer.sender and not waiting.done():
            waiting.set_result(answer)

    async def _ask(self, to: str, question: Question, within_s: float) -> dict[str, Any]:
        """Raises GatewaySilentError (gone, or no answer in time), LogUnavailableError, RemoteError (it said no)."""
        waiting: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[question.id] = (to, waiting)
        try:
            if not await self._bus.send(to, question):
                raise GatewaySilentError("The gateway is gone", where=f"gateway {to}", remedy="ask again")
            async with asyncio.timeout(within_s):
                answer = await waiting
        except TimeoutError as error:
            raise GatewaySilentError(
                f"The gateway did not answer within {within_s:g} s", where=f"gateway {to}", remedy="ask again"
            ) from error
        finally:
            del self._waiting[question.id]
        if answer.error is not None:
            raise RemoteError(answer.error)
        return answer.detail


class Answerer:
    """Answers the questions of others, each in its own task."""

    def __init__(self, own_id: str, bus: Bus, reply: Reply) -> None:
        self._own_id = own_id
        self._bus = bus
        self._reply = reply
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def on_question(self, question: Question) -> None:
        """Answer it; a question that came twice is answered once."""
        if question.id not in self._tasks:
            task = self._tasks[question.id] = asyncio.create_task(self._answer(question), name=f"answer-{question.id}")
            task.add_done_callback(lambda _: self._tasks.pop(question.id, None))

    async def aclose(self) -> None:
        """Stop answering."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _answer(self, question: Question) -> None:
        answer = await self._made(question)
        try:
            await self._bus.send(question.sender, answer)
        except (LogUnavailableError, GatewayMessageError) as error:
            log.warning("an answer did not reach gateway %s: %s", question.sender, error)

    async def _made(self, question: Question) -> Answer:
        try:
            return Answer(sender=self._own_id, id=question.id, detail=await self._reply(question))
        except EdgewiseError as error:
            return Answer(sender=self._own_id, id=question.id, error=error.info())
        except Exception as error:
            log.exception("a question of gateway %s broke", question.sender)
            broken = EdgewiseError(f"The gateway met an internal error: {type(error).__name__}", remedy="see its log")
            return Answer(sender=self._own_id, id=question.id, error=broken.info())

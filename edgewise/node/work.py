"""What a node does for its gateway, as tasks: attempts of the tier, policies, commands.

No socket here: frames of an attempt leave through `put`, which waits while the link is busy and so slows the tier.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any

from edgewise.generation.state import GenerationState
from edgewise.node.actions import Action, Send
from edgewise.node.commands import CommandResult
from edgewise.node.session import NodeSession
from edgewise.observability.context import TraceContext, enter, new_span_id, new_trace_id, parse_traceparent
from edgewise.observability.observer import Observer
from edgewise.observability.spans import Served
from edgewise.routing.tier import Chunk, Tier
from edgewise.wire.errors import EdgewiseError, SessionError, TierError, UnsupportedParameterError
from edgewise.wire.frames import Command, Frame, PolicyOffer

PolicyHandler = Callable[[PolicyOffer, str], Awaitable[None]]
"""Takes an offered bundle, and the public key that the gateway named; raises PolicyBundleError to refuse it."""
CommandHandler = Callable[[Command], Awaitable[dict[str, Any]]]
"""Runs a command and returns its detail; raises an EdgewiseError when it failed."""

log = logging.getLogger(__name__)
_NOTHING = Chunk(0, (), "")


class NodeWork:
    """Owns the tasks. `perform` does the session's actions at once, `put` sends a bulk frame with backpressure."""

    def __init__(
        self,
        tier: Tier,
        session: NodeSession,
        perform: Callable[[Sequence[Action]], None],
        put: Callable[[Frame], Awaitable[None]],
        on_policy: PolicyHandler | None,
        on_command: CommandHandler | None,
        observer: Observer,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tier = tier
        self._session = session
        self._perform = perform
        self._put = put
        self._on_policy = on_policy
        self._on_command = on_command
        self._observer = observer
        self._clock = clock
        self._attempts: dict[str, asyncio.Task[None]] = {}
        self._others: set[asyncio.Task[None]] = set()

    def start(self, attempt: str, state: GenerationState, trace: str = "") -> None:
        """Serve an attempt until it ends or is cancelled, under the gateway's traceparent."""
        self._attempts[attempt] = asyncio.create_task(self._serve(attempt, state, trace))

    def cancel(self, attempt: str) -> None:
        """Stop an attempt's task and the tier's work on it."""
        task = self._attempts.pop(attempt, None)
        if task is not None:
            task.cancel()
        self._spawn(self._cancel(attempt))

    def apply_policy(self, offer: PolicyOffer, key: str) -> None:
        """Hand a policy bundle to the node and report what became of it."""
        self._spawn(self._apply(offer, key))

    def run_command(self, command: Command) -> None:
        """Run a command within its deadline and report."""
        self._spawn(self._run(command))

    async def drop_all(self) -> None:
        """Cancel everything and wait for it."""
        tasks = [*self._others, *self._attempts.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, attempt: str, state: GenerationState, trace: str) -> None:
        """One attempt; every way out but cancellation tells the gateway the end of it."""
        context = parse_traceparent(trace) or TraceContext(new_trace_id(), new_span_id())
        enter(context)
        began_at, last = self._clock(), _NOTHING
        error: EdgewiseError | None = None
        try:
            last = await self._iterate(attempt, state)
            error = None if last.finish else TierError("The tier stopped without saying why", where=self._tier.name)
        except EdgewiseError as fault:
            error = fault
        except Exception:
            log.exception("attempt %s broke", attempt)
            error = TierError("The node met an internal error", where=self._tier.name, remedy="see the node's log")
        finally:
            if self._attempts.get(attempt) is asyncio.current_task():
                del self._attempts[attempt]
            outcome = last.finish or (error.info().code if error else "cancelled")
            tokens = last.usage.completion_tokens if last.usage else 0
            served = Served(context, attempt, state.model, began_at, self._clock(), outcome, tokens, last.timings)
            self._observer.served(served)
        if error is not None:
            await self._tell(self._session.on_failed(attempt, error))

    async def _iterate(self, attempt: str, state: GenerationState) -> Chunk:
        """Tell every chunk; returns the last one, or nothing's where the tier stopped without one."""
        chunks = self._tier.generate(state, attempt)
        try:
            async for chunk in chunks:
                await self._tell(self._session.on_chunk(attempt, chunk))
                if chunk.finish:
                    return chunk
            return _NOTHING
        finally:
            close = getattr(chunks, "aclose", None)
            if close is not None:
                await close()

    async def _tell(self, actions: Sequence[Action]) -> None:
        for action in actions:
            if isinstance(action, Send):
                await self._put(action.frame)
            else:
                self._perform([action])

    async def _cancel(self, attempt: str) -> None:
        with suppress(EdgewiseError):
            await self._tier.cancel(attempt)

    async def _apply(self, offer: PolicyOffer, key: str) -> None:
        error: EdgewiseError | None = None
        try:
            await self._take_policy(offer, key)
        except EdgewiseError as fault:
            error = fault
        except Exception:
            log.exception("policy bundle %s broke", offer.digest)
            error = EdgewiseError("The node could not take the policy bundle", remedy="see the node's log")
        self._perform(self._session.on_policy_result(offer, error))

    async def _take_policy(self, offer: PolicyOffer, key: str) -> None:
        if self._on_policy is None:
            raise UnsupportedParameterError("This node takes no policies", where=self._tier.name)
        await self._on_policy(offer, key)

    async def _run(self, command: Command) -> None:
        key = command.idempotency_key
        self._perform(self._session.on_command_result(key, CommandResult("started", {})))
        self._perform(self._session.on_command_result(key, await self._outcome(command)))

    async def _outcome(self, command: Command) -> CommandResult:
        error: EdgewiseError
        try:
            async with asyncio.timeout(command.deadline_s):
                return CommandResult("done", await self._obey(command))
        except EdgewiseError as fault:
            error = fault
        except TimeoutError:
            error = SessionError(f"The command {command.name} ran out of time", where=self._tier.name)
        except Exception:
            log.exception("command %s broke", command.name)
            error = EdgewiseError("The node met an internal error", remedy="see the node's log")
        return CommandResult("failed", {}, error.info())

    async def _obey(self, command: Command) -> dict[str, Any]:
        if self._on_command is None:
            raise UnsupportedParameterError(f"This node knows no command {command.name}", where=self._tier.name)
        return await self._on_command(command)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._others.add(task)
        task.add_done_callback(self._others.discard)

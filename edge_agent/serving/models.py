"""Models: which model is in memory, and every change of that while answers run. One change at a time, in a thread.

load      nothing ► opened        fails: tried again, with growing pauses
unload    opened  ► nothing       once no answer uses it
exchange  opened  ► opened        beside the old one, which ends its answers; it goes first where both have no room
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from edge_agent.ladder.limits import Limits
from edge_agent.runtime.admission import available_bytes
from edge_agent.serving.opened import (
    Drive,
    Failed,
    Manner,
    Opened,
    OpenModel,
    Wish,
    fault,
    followed,
    opened,
    read_model,
    weights_bytes,
)
from edge_agent.serving.rest import HOLD_AFTER_S, Rest
from edgewise.ending import end
from edgewise.generation.grammar_masks import is_installed
from edgewise.generation.tokenizer import ChatTokenizer
from edgewise.routing.tier import Capabilities
from edgewise.wire.errors import ConflictError, EdgewiseError
from edgewise.wire.frames import Scalar
from edgewise.wire.manifest import Manifest, load_manifest

RETRY_FIRST_S: Final = 1.0
RETRY_MOST_S: Final = 60.0
SPARE_BYTES: Final = 64 << 20
"""What must be left beside a second model."""
logger = logging.getLogger(__name__)

Told = Callable[[str, dict[str, Scalar]], object]
"""Hears of every change: what happened, and flat values of it."""


class Models:
    """What is loaded, between `start` and `stop`; `run` makes the changes, until cancelled.

    `open_model` is called in a thread, `drive` makes the tier of what it gave. `manner` is how the operator wants it;
    its directory may be a link, which is followed when it is read (`start`, `swap`, `reread`). All methods belong to
    one event loop.
    """

    def __init__(
        self,
        open_model: OpenModel,
        manner: Manner,
        drive: Drive,
        *,
        limits: Limits | None = None,
        throttle_tokens_per_s: float | None = None,
        told: Told = lambda what, values: None,
        clock: Callable[[], float] = time.monotonic,
        available: Callable[[], int] = available_bytes,
        retry_s: float = RETRY_FIRST_S,
        hold_after_s: float = HOLD_AFTER_S,
    ) -> None:
        self._open_model, self._drive, self._told = open_model, drive, told
        self._pointer = manner.directory
        self._manner, self._wish = manner, Wish(manner.directory)
        self._good = self._wish
        self._limits = limits or Limits()
        self._throttle = throttle_tokens_per_s
        self._clock, self._available, self._retry_s, self._hold_after_s = clock, available, retry_s, hold_after_s
        self._alive: list[Opened] = []
        self._retiring: set[asyncio.Task[None]] = set()
        self._asked, self._ready = asyncio.Event(), asyncio.Event()
        self._wishing = asyncio.Lock()
        self._swap: asyncio.Future[Manifest] | None = None
        self._failed: Failed | None = None
        self.rest = Rest(self._asked, self._ready, clock)
        self._watchers: list[Callable[[], object]] = []
        self._version = ("", "")
        self.current: Opened | None = None
        self.trouble: EdgewiseError | None = None
        self.freed_bytes = 0

    # What is there --------------------------------------------------------------------------------------------------

    @property
    def limits(self) -> Limits:
        """What is obeyed now."""
        return self._limits

    @property
    def alive(self) -> tuple[Opened, ...]:
        """Every model that runs answers: the current one, and those that end theirs."""
        return tuple(self._alive)

    def adapters(self) -> dict[str, str] | None:
        """Versions of the current model under its adapters, by their names; None while none is loaded."""
        return None if self.current is None else self.current.engine.adapters.versions

    async def ready(self, *, begun: bool = False) -> Opened:
        """The current model; waits while one is being opened, and an answer that has not `begun` also while one is to
        go. Raises the trouble that keeps it away."""
        while (model := self.current) is None or (self.rest.holds and not begun):
            if model is None and (self.trouble is not None or not self._limits.loaded):
                raise self.trouble or ConflictError("No model is loaded, and none may be now")
            self._ready.clear()
            await self._ready.wait()
        return model

    def watch(self, changed: Callable[[], object]) -> None:
        """Call `changed` whenever another version is served, or the same with other numerics."""
        self._watchers.append(changed)

    # What is asked for ----------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open the first model; where none may be loaded, only look at it. Raises what opening it does."""
        self._wish = Wish(await asyncio.to_thread(followed, self._pointer))
        if self._limits.loaded:
            wanted = self._wanted()
            self._go_over(await self._open(wanted), wanted)
        else:
            found = await asyncio.to_thread(read_model, self._wish.directory, verify=False)
            self._wish = self._good = replace(self._wish, version=found[0].id)
            self._describe(*found)

    async def stop(self) -> None:
        """End every answer with TierLostError."""
        await end(*self._retiring)
        self._settle(ConflictError("The agent is stopping"))
        self.current = None
        for model in self.alive:
            await self._close(model)

    def obey(self, limits: Limits) -> None:
        """Take these limits; quick. What concerns an engine takes effect before its next step."""
        self._limits = limits
        for model in self._alive:
            model.obey(limits, self._throttle)
        self._ask()

    async def reread(self) -> None:
        """Look at the model directory again, and exchange the model where it holds, or points to, another version than
        the one that is wanted."""
        try:
            outcome = await self._want(self._pointer, unless_wanted=True)
            if isinstance(outcome, asyncio.Future):
                await outcome
            elif outcome is None:
                logger.info("the model directory holds version %s still", self._wish.version[:12])
        except EdgewiseError as error:
            logger.warning("the model directory was not taken: %s", error)

    async def swap(self, directory: Path) -> Manifest:
        """Serve the model in `directory` from now on; returns when it does, or, while none may be loaded, when it was
        checked. Raises what that does, and then the old one goes on; ConflictError when another one was asked for."""
        if isinstance(outcome := await self._want(directory), asyncio.Future):
            return await outcome
        assert outcome is not None
        return outcome

    async def _want(
        self, directory: Path, *, unless_wanted: bool = False
    ) -> asyncio.Future[Manifest] | Manifest | None:
        """Wish for what is in `directory` now. One caller at a time, so the one that came last has the last word."""
        async with self._wishing:
            directory = await asyncio.to_thread(followed, directory)
            if unless_wanted:
                found = await asyncio.to_thread(load_manifest, directory, verify=False)
                if found.id == self._wish.version:
                    return None
            manifest, _ = await asyncio.to_thread(read_model, directory, verify=not self._limits.loaded)
            self._settle(ConflictError("Another model was asked for", where=str(directory)))
            self._wish, self._failed = Wish(directory, manifest.id), None
            self._ask()
            if not self._limits.loaded:
                return manifest
            self._swap = asyncio.get_running_loop().create_future()
            return self._swap

    # Changes --------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Bring about what is wanted, again and again. Whatever goes wrong is tried again, with growing pauses."""
        while True:
            self._asked.clear()
            try:
                again_in_s = await self._change()
            except Exception as error:
                logger.exception("a change of the model met a fault of ours; it is tried again")
                again_in_s = self._has_failed(self._wanted(), fault(error))
            await self._news(again_in_s)

    def _wanted(self) -> Manner:
        """How the wanted model is to be open, should one be loaded."""
        wish = self._wish
        return replace(self._manner, directory=wish.directory, version=wish.version).within(self._limits)

    async def _news(self, within_s: float | None) -> None:
        """Wait until something is asked for, or the current engine is given up."""
        waits = [asyncio.create_task(self._asked.wait())]
        if self.current is not None and self.current.driver.healthy:
            waits.append(asyncio.create_task(self.current.driver.given_up.wait()))
        try:
            await asyncio.wait(waits, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await end(*waits)

    async def _change(self) -> float | None:
        """One change; seconds after which to look again, None for not before something is asked for."""
        current, wanted = self.current, self._wanted()
        if current is not None and current.manner.wish == self._wish:
            self._settle(current.manifest)
        if not self._limits.loaded:
            self._failed = self.trouble = None
            return None if current is None else await self._unload(current)
        if self._failed is not None and self._failed.wanted != wanted:
            self._failed = None
        if self._failed is not None and (left_s := self._failed.again_at - self._clock()) > 0:
            return left_s
        if current is None:
            return await self._load(wanted)
        if not current.driver.healthy:
            return await self._reopen(current, wanted)
        return None if current.manner == wanted else await self._exchange(current, wanted)

    async def _load(self, wanted: Manner) -> float | None:
        try:
            if not wanted.directory.is_dir():  # a version that was removed meanwhile
                self._wish = Wish(await asyncio.to_thread(followed, self._pointer))
                wanted = self._wanted()
            self._go_over(await self._open(wanted), wanted)
        except EdgewiseError as error:
            return self._has_failed(wanted, error)
        return 0.0

    async def _unload(self, model: Opened) -> float | None:
        if not await self.rest.reached(model, lambda: not self._limits.loaded):
            return 0.0
        self.current = None
        freed_bytes = weights_bytes(self.manifest) + model.driver.stats.kv_bytes
        if await self._close(model):
            self.freed_bytes = freed_bytes
            logger.info("model %s unloaded: %s", self.manifest.name, self._limits.reason or "it may not be loaded now")
            self._tell("unloaded", {"version": self.manifest.id, "bytes": self.freed_bytes})
        return 0.0

    async def _reopen(self, broken: Opened, wanted: Manner) -> float | None:
        """Its answers have failed already; its contexts are not trusted."""
        logger.error("the engine of model %s was given up; it is opened again", self.manifest.name)
        self._tell("given_up", {"version": self.manifest.id})
        self.current = None
        await self._close(broken)
        return await self._load(wanted)

    async def _exchange(self, old: Opened, wanted: Manner) -> float | None:
        if not await asyncio.to_thread(self._has_room_beside, wanted):
            due = partial(self._wants, wanted)
            if not await self.rest.reached(old, due, hold_after_s=self._hold_after_s):
                return 0.0
            logger.info("there is no memory for two models: the old one is closed before the new one is opened")
            self.current = None
            await self._close(old)
            return await self._load(wanted)
        try:
            new = await self._open(wanted)
        except EdgewiseError as error:
            return self._has_failed(wanted, error)
        self._go_over(new, wanted, old)
        return 0.0

    def _wants(self, manner: Manner) -> bool:
        return self._limits.loaded and self._wanted() == manner

    async def _open(self, manner: Manner) -> Opened:
        """Raises EdgewiseError, whatever went wrong."""
        began_at = self._clock()
        logger.info("opening the model in %s (threads: %d)", manner.directory, manner.threads)
        model = await opened(self._open_model, self._drive, manner)
        model.obey(self._limits, self._throttle)
        self._alive.append(model)
        took_s = round(self._clock() - began_at, 3)
        logger.info("model %s opened in %.1f s", model.manifest.name, took_s)
        if any(self._version):  # the first one is no change
            self._tell("opened", {"version": model.manifest.id, "threads": manner.threads, "seconds": took_s})
        return model

    def _go_over(self, new: Opened, wanted: Manner, old: Opened | None = None) -> None:
        """New answers are made on `new` from here on. What was found in the directory is what is wanted of it, unless
        something else was asked for meanwhile."""
        if self._wish == wanted.wish:
            self._wish = new.manner.wish
        self.current, self._good = new, new.manner.wish
        self.trouble, self._failed, self.freed_bytes = None, None, 0
        if old is not None:
            old.hand_on(new)
            task = asyncio.create_task(self._retire(old), name="old-model")
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)
        self._ready.set()
        self._describe(new.manifest, new.tokenizer, new.driver.capabilities)

    async def _retire(self, old: Opened) -> None:
        """Close it when its answers have ended; the contexts that they leave go to whichever model is current then."""
        await old.at_rest.wait()
        try:
            if self.current is not None:
                old.hand_on(self.current)
        finally:
            await self._close(old)

    async def _close(self, model: Opened) -> bool:
        """Whether its memory is free again."""
        version = model.manifest.id
        self._alive.remove(model)
        try:
            freed = await model.close()
        except Exception:
            logger.exception("a model could not be closed")
            return False
        if not freed:
            logger.error("a model was closed while a step of it hangs: its memory is not free")
            self._tell("stuck", {"version": version})
        return freed

    def _has_room_beside(self, wanted: Manner) -> bool:
        """In a thread."""
        with suppress(EdgewiseError, OSError):
            manifest = load_manifest(wanted.directory, verify=False)
            return self._available() >= weights_bytes(manifest) + SPARE_BYTES
        return True  # opening it says what is wrong with it

    def _has_failed(self, wanted: Manner, error: EdgewiseError) -> float:
        """Go back to the last model that could be opened, where this was another one; else try again later. Seconds
        after which to look again."""
        logger.error("the model in %s is not served: %s", wanted.directory, error)
        self._tell("failed", {"error_code": error.code, "error": error.message[:300]})
        if wanted.wish != self._wish:
            return 0.0  # something else was asked for meanwhile
        self._settle(error)
        if self._wish != self._good and self._good.directory.is_dir():
            self._wish = self._good
            return 0.0
        pauses = 0 if self._failed is None else self._failed.pauses + 1
        pause_s = min(RETRY_MOST_S, self._retry_s * 2.0**pauses)
        self._failed = Failed(wanted, pauses, self._clock() + pause_s)
        if self.current is None:
            self.trouble = error
            self._ready.set()
        return pause_s

    def _tell(self, what: str, values: dict[str, Scalar]) -> None:
        try:
            self._told(what, values)
        except Exception:
            logger.exception("a change of the model was not recorded")

    def _settle(self, outcome: Manifest | EdgewiseError) -> None:
        """Tell whoever waits for a swap."""
        swap, self._swap = self._swap, None
        if swap is None or swap.done():
            return
        if isinstance(outcome, Manifest):
            swap.set_result(outcome)
        else:
            swap.set_exception(outcome)

    def _describe(self, manifest: Manifest, tokenizer: ChatTokenizer, known: Capabilities | None = None) -> None:
        self.manifest, self.tokenizer = manifest, tokenizer
        self.capabilities = known or Capabilities(
            models=(manifest.name,),
            model_version=manifest.id,
            tokenizer_digest=tokenizer.digest,
            template_digest=tokenizer.template_digest,
            context_tokens=manifest.context_tokens,
            grammars=is_installed(),
        )
        before, self._version = self._version, (manifest.id, self.capabilities.numerics_id)
        if before not in (("", ""), self._version):
            for changed in self._watchers:
                try:
                    changed()
                except Exception:
                    logger.exception("somebody could not hear of another version")

    def _ask(self) -> None:
        self._asked.set()
        self._ready.set()

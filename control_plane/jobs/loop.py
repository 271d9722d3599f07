"""DispatchLoop: the dispatcher on a thread beside Celery's main thread, which forks children at any time.

Forking while another thread is inside the database's library could leave a child with a lock that nobody opens again,
so a step and a fork exclude each other.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from queue import Empty, SimpleQueue

from control_plane.jobs.dispatcher import Dispatcher
from control_plane.jobs.leases import JobLeases
from edgewise.wire.errors import EdgewiseError

EVERY_S = 0.25
PAUSE_S = 1.0
STOP_WITHIN_S = 10.0
logger = logging.getLogger(__name__)

Parts = Callable[[], AbstractAsyncContextManager[tuple[Dispatcher, JobLeases]]]


class DispatchLoop:
    """Steps until stopped. `open_parts` is entered on the thread; `holder_prefix` names this process's children."""

    def __init__(self, open_parts: Parts, *, holder_prefix: str, every_s: float = EVERY_S) -> None:
        self._open_parts = open_parts
        self._holder_prefix = holder_prefix
        self._every_s = every_s
        self._lost: SimpleQueue[str] = SimpleQueue()
        self._stopping = threading.Event()
        self._not_forking = threading.Lock()
        self._thread = threading.Thread(target=self._main, name="job-dispatcher", daemon=True)

    def start(self) -> None:
        """Begin."""
        os.register_at_fork(
            before=self._not_forking.acquire,
            after_in_parent=self._not_forking.release,
            after_in_child=self._not_forking.release,
        )
        self._thread.start()

    def lost(self, job_id: str) -> None:
        """A child of this process died with this job: its lease need not be waited for. From any thread."""
        self._lost.put(job_id)

    def stop(self) -> None:
        """End the present step and the thread."""
        self._stopping.set()
        self._thread.join(STOP_WITHIN_S)

    def _main(self) -> None:
        asyncio.run(self._run())

    async def _run(self) -> None:
        async with self._open_parts() as (dispatcher, leases):
            while not self._stopping.is_set():
                with self._not_forking:
                    pause_s = await self._step(dispatcher, leases)
                await asyncio.sleep(pause_s)

    async def _step(self, dispatcher: Dispatcher, leases: JobLeases) -> float:
        try:
            await self._lapse_lost(leases)
            await dispatcher.step()
        except EdgewiseError as error:
            logger.warning("jobs cannot be dispatched: %s", error)
            return PAUSE_S
        except Exception as error:  # noqa: BLE001 (the loop must outlive any one fault; words may hold content)
            logger.error("a step of the job dispatcher broke: %s", type(error).__name__)
            return PAUSE_S
        return self._every_s

    async def _lapse_lost(self, leases: JobLeases) -> None:
        while True:
            try:
                job_id = self._lost.get_nowait()
            except Empty:
                return
            await leases.lapse(job_id, self._holder_prefix)

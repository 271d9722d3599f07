"""Wakers over a broker. In a gateway wake-ups leave by a thread of their own, which alone knows Celery: adding a job
never waits for a broker. The dispatcher, which has nothing else to do, sends them itself."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Protocol

from control_plane.jobs.job import JobKind

QUEUE_MAX = 10_000
QUIET_S = 1.0
logger = logging.getLogger(__name__)


class Sender(Protocol):
    """Sends one message to the broker."""

    def send(self, job_id: str, kind: JobKind) -> None:
        """May block for a second, and raise."""
        ...

    def close(self) -> None:
        """Hang up."""
        ...


class DirectWaker:
    """A Waker that sends at once; after a failure it is quiet for a while, because each try may take a second."""

    def __init__(self, sender: Sender, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._sender = sender
        self._clock = clock
        self._quiet_until = float("-inf")

    def wake(self, job_id: str, kind: JobKind) -> None:
        if self._clock() < self._quiet_until:
            return
        try:
            self._sender.send(job_id, kind)
        except Exception as error:  # noqa: BLE001 (whatever a broker's client raises, the row waits for the next try)
            logger.warning("wake-ups cannot be sent: %s", type(error).__name__)
            self._quiet_until = self._clock() + QUIET_S


class ThreadWaker:
    """A Waker that hands each wake-up to a thread; `make_sender` runs there, at the first wake-up.

    What cannot be sent is dropped: the dispatcher sends it again.
    """

    def __init__(self, make_sender: Callable[[], Sender]) -> None:
        self._make_sender = make_sender
        self._waiting: SimpleQueue[tuple[str, JobKind] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def wake(self, job_id: str, kind: JobKind) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._send_all, name="job-wakeups", daemon=True)
            self._thread.start()
        if self._waiting.qsize() < QUEUE_MAX:
            self._waiting.put((job_id, kind))

    def close(self, timeout_s: float = 2.0) -> None:
        """Send what waits, if that goes quickly, and end the thread."""
        if self._thread is not None:
            self._waiting.put(None)
            self._thread.join(timeout_s)

    def _send_all(self) -> None:
        sender = self._make_sender()
        while (item := self._waiting.get()) is not None:
            try:
                sender.send(*item)
            except Exception as error:  # noqa: BLE001 (whatever a broker's client raises, the next one has its turn)
                logger.warning("wake-ups cannot be sent: %s", type(error).__name__)
                self._drop_waiting()
        sender.close()

    def _drop_waiting(self) -> None:
        """Each try may take a second: what piled up behind a broker that is away is left to the dispatcher."""
        try:
            while (item := self._waiting.get_nowait()) is not None:
                pass
            self._waiting.put(item)
        except Empty:
            return


def celery_waker(broker_url: str) -> ThreadWaker:
    """A Waker over the broker; Celery is imported by its thread, when there is something to send."""

    def make_sender() -> Sender:
        from control_plane.jobs.celery_app import Publisher

        return Publisher(broker_url)

    return ThreadWaker(make_sender)

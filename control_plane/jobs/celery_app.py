"""The only file that imports Celery: an app whose single task is a wake-up, and the worker whose children obey it.

A message is acknowledged when a child takes it, before it does anything: the job's row decides who works, and a
dispatcher repeats what nobody heard. So neither a lost nor a doubled message matters, and there is no result to keep.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import warnings
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from billiard.exceptions import WorkerLostError
from billiard.process import active_children
from celery import Celery, signals
from celery.exceptions import CPendingDeprecationWarning
from kombu.entity import Queue

from control_plane.jobs.job import QUEUES, JobKind, QueueName

TASK = "edgewise.wake"
VISIBILITY_S = 30
LIMIT_GRACE_S = 15
PUBLISH_WITHIN_S = 1.0
DRAIN_SIGNAL = signal.SIGUSR2

logger = logging.getLogger(__name__)


class Child(Protocol):
    """What a child process of the worker does, all on one event loop of its own."""

    async def open(self) -> None:
        """Open this process's own clients."""
        ...

    async def run(self, job_id: str, kind: str) -> None:
        """Answer a wake-up."""
        ...

    def drain(self) -> None:
        """Let go of the present job soon. Called in a signal handler."""
        ...

    async def close(self) -> None:
        """Close what `open` opened."""
        ...


def broker_address(url: str) -> str:
    """The URL as kombu wants it: a Unix socket is spelt redis+socket://."""
    parts = urlsplit(url)
    return f"redis+socket://{unquote(parts.path)}" if parts.scheme == "unix" else url


def make_app(broker_url: str) -> Celery:
    """An app with our settings; nothing is opened."""
    app = Celery("edgewise", broker=broker_address(broker_url), set_as_current=False)
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        task_ignore_result=True,
        task_store_errors_even_if_ignored=False,
        task_acks_late=False,
        task_queues=[Queue(name, routing_key=name) for name in QUEUES],  # type: ignore[no-untyped-call]
        task_default_queue="seal",
        task_create_missing_queues=False,
        task_publish_retry=False,
        worker_prefetch_multiplier=1,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_proc_alive_timeout=60.0,
        worker_soft_shutdown_timeout=10.0,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_connection_timeout=2.0,
        broker_transport_options=_transport_options(broker_url),
    )
    return app


def _transport_options(url: str) -> dict[str, Any]:
    """Redis and Valkey: what a dead worker had reserved comes back within seconds. RabbitMQ: confirmed publishes."""
    if urlsplit(url).scheme.startswith("amqp"):
        return {"confirm_publish": True, "connect_timeout": 2}
    return {
        "visibility_timeout": VISIBILITY_S,
        "unacked_restore_interval": 2,
        "unacked_restore_throttle": 1,
        "socket_connect_timeout": 2.0,
        "global_keyprefix": "edgewise-jobs:",
        "max_retries": 1,
    }


class Publisher:
    """Sends wake-ups, blocking for a second or so at most. For one thread."""

    def __init__(self, broker_url: str) -> None:
        self._app = make_app(broker_url)

    def send(self, job_id: str, kind: JobKind) -> None:
        """Raises kombu's OperationalError, or OSError, when the broker is away."""
        self._app.send_task(
            TASK,
            args=(job_id, kind.name),
            queue=kind.queue,
            soft_time_limit=kind.time_limit_s + LIMIT_GRACE_S,
            time_limit=kind.time_limit_s + 2 * LIMIT_GRACE_S,
            retry=False,
        )

    def close(self) -> None:
        """Hang up."""
        self._app.close()


class Worker:
    """Celery's prefork worker in this process: `run` serves until SIGTERM or SIGINT.

    on_ready() is called in this process once the children wait for work, on_lost(job id) when a child died with a job
    in its hands.
    """

    def __init__(
        self,
        broker_url: str,
        make_child: Callable[[], Child],
        *,
        concurrency: int,
        queues: Sequence[QueueName],
        on_ready: Callable[[], None],
        on_lost: Callable[[str], None],
    ) -> None:
        self._app = make_app(broker_url)
        self._concurrency = concurrency
        self._queues = queues
        self._on_ready = on_ready
        self._on_lost = on_lost
        self._was_ready = False
        self._seat = _ChildSeat(make_child)
        self._app.task(self._seat.wake, name=TASK, bind=False, shared=False)
        self._connected = (
            (signals.setup_logging, _keep_our_logging),
            (signals.worker_process_init, self._seat.sit_down),
            (signals.worker_process_shutdown, self._seat.leave),
            (signals.worker_ready, self._ready),
            (signals.worker_shutting_down, _drain_children),
            (signals.task_failure, self._lost),
        )

    def run(self) -> int:
        """Serve; the exit status."""
        for which, receiver in self._connected:
            which.connect(receiver, weak=False)
        logging.getLogger("celery").setLevel(logging.WARNING)
        logging.getLogger("celery.worker.consumer").setLevel(logging.ERROR)  # a lost broker needs no traceback
        warnings.filterwarnings("ignore", message=".*superuser privileges", append=False)
        warnings.filterwarnings("ignore", category=CPendingDeprecationWarning)
        worker = self._app.Worker(
            pool="prefork",
            concurrency=self._concurrency,
            queues=",".join(self._queues),
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
            quiet=True,
            hostname=f"jobs-{os.getpid()}@{socket.gethostname()}",
        )
        worker.start()
        return int(worker.exitcode or 0)

    def _ready(self, **_rest: Any) -> None:
        """The signal comes again with each new connection to the broker."""
        if not self._was_ready:
            self._was_ready = True
            self._on_ready()

    def _lost(self, exception: BaseException | None = None, args: Sequence[Any] = (), **_rest: Any) -> None:
        if isinstance(exception, WorkerLostError) and args:
            self._on_lost(str(args[0]))


class _ChildSeat:
    """The place of a Child in a child process: its loop, and the signals that reach it. Empty in the main process."""

    def __init__(self, make_child: Callable[[], Child]) -> None:
        self._make_child = make_child
        self._child: Child | None = None
        self._runner: asyncio.Runner | None = None
        self._working = False

    def sit_down(self, **_rest: Any) -> None:
        self._runner = asyncio.Runner()
        self._child = self._make_child()
        self._run(self._child.open())
        signal.signal(DRAIN_SIGNAL, self._drain)
        signal.signal(signal.SIGTERM, self._terminate)

    def wake(self, job_id: str, kind: str) -> None:
        assert self._child is not None
        self._working = True
        try:
            self._run(self._child.run(job_id, kind))
        finally:
            self._working = False

    def leave(self, **_rest: Any) -> None:
        if self._child is not None and self._runner is not None:
            self._run(self._child.close())
            self._runner.close()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        assert self._runner is not None
        self._runner.run(work)

    def _drain(self, *_signal: object) -> None:
        assert self._child is not None and self._runner is not None
        self._runner.get_loop().call_soon_threadsafe(self._child.drain)

    def _terminate(self, *_signal: object) -> None:
        """A service manager signals every process of a group: a child at work drains, an idle one ends."""
        if not self._working:
            raise SystemExit(0)
        self._drain()


def _keep_our_logging(**_rest: Any) -> None:
    """That somebody hears this signal keeps Celery from setting up its own logging."""


def _drain_children(**_rest: Any) -> None:
    for child in active_children():
        with suppress(ProcessLookupError):
            os.kill(child.pid, DRAIN_SIGNAL)

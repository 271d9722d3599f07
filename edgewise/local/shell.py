"""The thin asyncio shell around the supervisor: starts processes, asks probes, carries signals, writes log files.

Every decision is in edgewise/local/supervisor.py; what the children are is in edgewise/local/stack.py.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from edgewise.local import supervisor as do
from edgewise.local.events import EventName, Report, StackEvent
from edgewise.local.leash import Leash
from edgewise.local.supervisor import Action, ChildRules, RestartRules, Supervisor
from edgewise.wire.errors import DataDirError, EdgewiseError

LOG_MAX_BYTES = 16 * 1024 * 1024
LAST_LINES = 8
PROBE_INTERVAL_S = 0.05
_CANNOT_START = 127

News = Callable[[float], list[Action]]


class ChildFailedError(EdgewiseError):
    """A child of the stack was given up."""

    number, code = 1610, "child_failed"


@dataclass(frozen=True, kw_only=True)
class ChildSpec:
    """A child: its rules, its command line (made anew for each start), and how to ask whether it is ready."""

    rules: ChildRules
    command: Callable[[], Sequence[str]]
    probe: Callable[[], Awaitable[bool]]
    environ: Callable[[], Mapping[str, str]] = dict


class Shell:
    """Runs the children until `stop` is called or one of them is given up."""

    def __init__(
        self,
        children: Sequence[ChildSpec],
        *,
        logs: Path,
        report: Report,
        restart: RestartRules | None = None,
        clock: Callable[[], float] = time.monotonic,
        ready_event: Callable[[], StackEvent] = lambda: StackEvent(event="ready"),
        log_max_bytes: int = LOG_MAX_BYTES,
    ) -> None:
        self._specs = {child.rules.name: child for child in children}
        self._supervisor = Supervisor([child.rules for child in children], restart or RestartRules())
        self._logs, self._report, self._clock, self._ready_event = logs, report, clock, ready_event
        self._log_max_bytes = log_max_bytes
        self._inbox: asyncio.Queue[News] = asyncio.Queue()
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._failure = ""
        self._leash = Leash()

    def stop(self) -> None:
        """Begin to stop; called again, stop at once."""
        self._inbox.put_nowait(self._supervisor.stop)

    async def run(self) -> None:
        """Start everything and see it through to the end. Raises ChildFailedError."""
        with self._leash:
            try:
                await self._loop()
            finally:
                await self._leave_nothing()
        self._report(StackEvent(event="stopped"))
        if self._failure:
            raise self._failed_error(self._failure)

    async def _loop(self) -> None:
        actions = self._supervisor.start(self._clock())
        while True:
            for action in actions:
                await self._perform(action)
            if self._supervisor.finished:
                return
            news = await self._next_news()
            actions = news(self._clock())

    async def _next_news(self) -> News:
        deadline = self._supervisor.next_deadline()
        wait_s = None if deadline is None else max(0.0, deadline - self._clock())
        try:
            async with asyncio.timeout(wait_s):
                return await self._inbox.get()
        except TimeoutError:
            return self._supervisor.tick

    async def _leave_nothing(self) -> None:
        """Whatever happened here, no child outlives this method."""
        for process in self._processes.values():
            _signal(process, signal.SIGKILL)
        await asyncio.gather(*(process.wait() for process in self._processes.values()))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # Actions ------------------------------------------------------------------------------------------------------

    async def _perform(self, action: Action) -> None:
        match action:
            case do.Spawn(name, run):
                await self._spawn(name, run)
            case do.Terminate(name):
                self._tell("child_stopping", name)
                _signal(self._processes[name], signal.SIGTERM)
            case do.Kill(name):
                _signal(self._processes[name], signal.SIGKILL)
            case do.ChildReady(name):
                self._tell("child_ready", name)
            case do.ChildCrashed(name, why, restart_in_s):
                self._tell("child_crashed", name, why=why, restart_in_s=restart_in_s)
            case do.ChildFailed(name, why):
                self._failure = why
                self._tell("child_failed", name, why=why)
            case do.AllReady():
                self._report(self._ready_event())
            case do.Finished():
                pass

    def _tell(self, event: EventName, name: str, *, why: str = "", restart_in_s: float | None = None) -> None:
        process = self._processes.get(name)
        self._report(
            StackEvent(
                event=event,
                child=name,
                pid=process.pid if process else 0,
                why=why,
                restart_in_s=restart_in_s,
                log=str(self.log_file(name)),
            )
        )

    async def _spawn(self, name: str, run: int) -> None:
        spec = self._specs[name]
        with _open_log(self.log_file(name), self._log_max_bytes) as log:
            try:
                process = await asyncio.create_subprocess_exec(
                    *spec.command(),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env={**os.environ, **spec.environ(), **self._leash.variables},
                    pass_fds=(self._leash.fd,),
                    start_new_session=True,  # a Ctrl-C in the terminal reaches the stack only, which stops in order
                )
            except OSError as error:
                log.write(f"Cannot start: {error}\n".encode())
                self._inbox.put_nowait(lambda now: self._supervisor.exited(name, run, _CANNOT_START, now))
                return
        self._processes[name] = process
        self._tell("child_starting", name)
        self._keep(self._see_through(name, run, process))

    def _keep(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _see_through(self, name: str, run: int, process: asyncio.subprocess.Process) -> None:
        """From its start to its end: news when it is ready, news when it is gone."""
        probing = asyncio.ensure_future(self._probe(name, run))
        try:
            code = await process.wait()
        finally:
            probing.cancel()
        self._inbox.put_nowait(lambda now: self._supervisor.exited(name, run, code, now))

    async def _probe(self, name: str, run: int) -> None:
        while not await self._specs[name].probe():  # noqa: ASYNC110 (a probe asks another process)
            await asyncio.sleep(PROBE_INTERVAL_S)
        self._inbox.put_nowait(lambda now: self._supervisor.ready(name, run, now))

    # Logs ---------------------------------------------------------------------------------------------------------

    def log_file(self, name: str) -> Path:
        """Where a child's output goes."""
        return self._logs / f"{name}.log"

    def _failed_error(self, why: str) -> ChildFailedError:
        name = next(name for name in self._specs if self._supervisor.state(name) is do.ChildState.FAILED)
        log = self.log_file(name)
        last = "".join(f"\n    {line}" for line in last_lines(log))
        return ChildFailedError(
            f"The {name} {why}, so the stack was stopped." + (f" Its last lines:{last}\n" if last else ""),
            where=str(log),
            remedy="correct what its log says, and start again",
        )


def last_lines(path: Path, count: int = LAST_LINES) -> list[str]:
    """The end of a text file, long lines cut; empty when there is none."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return [line.rstrip()[:400] for line in deque(file, count)]
    except OSError:
        return []


def _open_log(path: Path, max_bytes: int) -> IO[bytes]:
    """Open for appending; a file that grew too long is set aside first. Raises DataDirError."""
    try:
        with suppress(FileNotFoundError):
            if path.stat().st_size > max_bytes:
                path.replace(path.with_suffix(".log.1"))
        return path.open("ab", buffering=0)
    except OSError as error:
        raise DataDirError(
            f"The log file cannot be written: {error.strerror}", where=str(path), remedy="correct its owner, or move it"
        ) from error


def _signal(process: asyncio.subprocess.Process, signum: signal.Signals) -> None:
    """A kill is meant for the child and all that it started; every child leads a process group of its own."""
    with suppress(ProcessLookupError):
        if signum == signal.SIGKILL:
            os.killpg(process.pid, signum)
        else:
            process.send_signal(signum)

"""BodyProcess: a body's child process from the outside. It is started, listened to, and ended with all that it
started."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol

import msgspec

from cloud_worker.forge.jobs.child import Order
from cloud_worker.forge.jobs.claim import Claim, Outcome, Told, failed
from cloud_worker.forge.jobs.config import SETTINGS, ForgeConfig
from cloud_worker.forge.jobs.workspace import LOG_FILE, Workspace

GRACE_S = 8.0
"""A training writes a checkpoint after the step in hand."""
COMMAND = (sys.executable, "-m", "cloud_worker.forge.jobs.child")
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


class RunningBody(Protocol):
    """A body at work."""

    async def wait(self) -> Outcome:
        """How it ended by itself. May be asked again."""
        ...

    async def stop(self) -> Outcome | None:
        """End it; its outcome, if it was quicker."""
        ...


class BodyStarter(Protocol):
    """Starts bodies."""

    async def start(self, claim: Claim, workspace: Workspace, told: Callable[[Told], None]) -> RunningBody:
        """Raises OSError."""
        ...


class BodyProcess:
    """A child process in a process group of its own."""

    def __init__(self, process: asyncio.subprocess.Process, workspace: Workspace, told: Callable[[Told], None]) -> None:
        self._process = process
        self._workspace = workspace
        self._listening = asyncio.create_task(self._listen(told))

    async def _listen(self, told: Callable[[Told], None]) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            with suppress(msgspec.DecodeError):  # the last line of a killed child may be half of one
                told(msgspec.json.decode(line, type=Told))

    async def wait(self) -> Outcome:
        """A child that died without a word failed; what it had started is ended too."""
        status = await self._process.wait()
        self._signal(signal.SIGKILL)
        await self._listening
        return self._workspace.outcome() or failed(f"the body's process ended {_how(status)}", retry=True)

    async def stop(self) -> Outcome | None:
        """SIGTERM to the group, and SIGKILL after GRACE_S, also to what outlived its child."""
        self._signal(signal.SIGTERM)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), GRACE_S)
        self._signal(signal.SIGKILL)
        await self._process.wait()
        await self._listening
        return self._workspace.outcome()

    def _signal(self, signum: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signum)


class ProcessStarter:
    """Starts bodies as `cloud_worker.forge.jobs.child`."""

    def __init__(self, config: ForgeConfig, command: Sequence[str] = COMMAND) -> None:
        self._config = config
        self._command = command

    async def start(self, claim: Claim, workspace: Workspace, told: Callable[[Told], None]) -> BodyProcess:
        """Raises OSError."""
        threads = {name: str(self._config.body_threads) for name in _THREADS}
        with (workspace.folder / LOG_FILE).open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env={**self._environ(), **threads, "TOKENIZERS_PARALLELISM": "false"},
                start_new_session=True,
            )
        assert process.stdin is not None
        process.stdin.write(msgspec.json.encode(self._order(claim, workspace)) + b"\n")
        return BodyProcess(process, workspace, told)

    def _environ(self) -> dict[str, str]:
        """Ours, without the node key: a body needs none."""
        return {name: value for name, value in os.environ.items() if name != SETTINGS.variable("key")}

    def _order(self, claim: Claim, workspace: Workspace) -> Order:
        config = self._config
        roots = (*config.roots, config.data_dir)
        return Order(
            kind=claim.kind,
            payload=claim.payload,
            folder=str(workspace.folder.resolve()),
            roots=tuple(str(root.resolve()) for root in roots),
            modules=config.modules,
            device=config.device,
            threads=config.body_threads,
            nice=config.nice,
        )


def _how(status: int) -> str:
    return f"with status {status}" if status >= 0 else f"by {signal.Signals(-status).name}"

"""Which commands a node is running or has run, so that each runs once per idempotency key however often it arrives."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from edgewise.wire.errors import ErrorInfo
from edgewise.wire.frames import Command, CommandAck, CommandStage


@dataclass(frozen=True, slots=True)
class CommandResult:
    """How far a command is, without the id under which it was last asked for."""

    stage: CommandStage
    detail: dict[str, Any]
    error: ErrorInfo | None = None

    def ack(self, command_id: str) -> CommandAck:
        return CommandAck(id=command_id, stage=self.stage, detail=self.detail, error=self.error)


class CommandLedger:
    """Commands by idempotency key, the newest `max_results` of those that ended."""

    def __init__(self, max_results: int = 256) -> None:
        self._max_results = max_results
        self._running: dict[str, str] = {}
        self._ended: OrderedDict[str, CommandResult] = OrderedDict()

    def begin(self, command: Command) -> CommandAck | None:
        """None when the command is new and must be run; else the answer to its repetition."""
        key = command.idempotency_key
        if result := self._ended.get(key):
            return result.ack(command.id)
        known = key in self._running
        self._running[key] = command.id
        return CommandAck(id=command.id, stage="received") if known else None

    def report(self, key: str, result: CommandResult) -> CommandAck | None:
        """Note a stage; the ack goes to whoever asked last. None for a command that is not running."""
        command_id = self._running.get(key)
        if command_id is None:
            return None
        if result.stage in ("done", "failed"):
            del self._running[key]
            self._ended[key] = result
            while len(self._ended) > self._max_results:
                self._ended.popitem(last=False)
        return result.ack(command_id)

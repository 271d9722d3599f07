"""A connection to a log server that exists in memory only: it answers from a list, and raises what is in it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, cast

from redis.asyncio.connection import AbstractConnection


class ScriptedConnection:
    """`answers` are read in order, exceptions among them are raised; when they are used up, a reader waits."""

    def __init__(self, answers: Iterable[Any]) -> None:
        self.is_connected = False
        self.connections = 0
        self.sent: list[Any] = []
        self.answers = list(answers)

    @classmethod
    def of(cls, *answers: Any) -> tuple[ScriptedConnection, AbstractConnection]:
        """The connection, twice: to look into it, and in the type of its user."""
        made = cls(answers)
        return made, cast(AbstractConnection, made)

    async def connect(self) -> None:
        self.is_connected = True
        self.connections += 1

    async def disconnect(self, nowait: bool = False) -> None:
        self.is_connected = False

    def pack_commands(self, commands: Iterable[Any]) -> list[Any]:
        return list(commands)

    async def send_packed_command(self, command: list[Any], check_health: bool = True) -> None:
        self.sent += command

    async def send_command(self, *command: Any, check_health: bool = True) -> None:
        self.sent.append(command)

    async def read_response(self, timeout: float | None = None) -> Any:
        if not self.answers:
            await asyncio.Event().wait()
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

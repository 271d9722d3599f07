"""Things done to a node wherever it is connected, and what a gateway answers when it is asked for work."""

from __future__ import annotations

from typing import Any

import pytest

from control_plane.gateways.errors import GatewaySilentError
from control_plane.gateways.messages import Answer
from control_plane.gateways.work import Work
from edgewise.wire import frames
from edgewise.wire.errors import (
    EdgewiseError,
    FencedError,
    LogUnavailableError,
    NotFoundError,
    RemoteError,
    ShuttingDownError,
    StreamNotFoundError,
)
from tests.control_plane.gateways.fleet import Fleet, started


@pytest.mark.parametrize("here", [True, False])
async def test_a_command_reaches_the_node_wherever_it_is(here: bool) -> None:
    fleet = Fleet()
    one, two = await fleet.pair()
    node = await one.join()
    await fleet.beats()
    asker = one if here else two
    asking = started(asker.gateways.command("phone", "reload", {"a": 1}, idempotency_key="once"))
    (command,) = await node.of(frames.Command)
    assert (command.name, command.body, command.idempotency_key) == ("reload", {"a": 1}, "once")
    node.say(frames.CommandAck(id=command.id, stage="done", detail={"did": "it"}))
    assert await asking == {"did": "it"}


async def test_a_node_is_sent_away_from_its_gateway() -> None:
    fleet = Fleet()
    one, two = await fleet.pair()
    node = await one.join()
    await fleet.beats()
    assert await two.gateways.order("phone", "disconnect", {"message": "moved"}) == {"disconnected": True}
    (goodbye,) = await node.of(frames.Goodbye)
    assert goodbye.error.message == "moved"


async def test_the_registry_of_any_gateway_sends_a_node_away() -> None:
    fleet = Fleet()
    one, two = await fleet.pair()
    node = await one.join()
    await fleet.beats()
    assert await two.registry.disconnect_anywhere("phone", "forgotten", 60.0)
    (goodbye,) = await node.of(frames.Goodbye)
    assert (goodbye.error.message, goodbye.reconnect_after_s) == ("forgotten", 60.0)
    assert not await two.registry.disconnect_anywhere("nobody", "forgotten", 60.0)


async def test_another_verb_runs_where_the_node_is() -> None:
    fleet = Fleet()
    one, two = await fleet.pair()
    await one.join()
    await fleet.beats()

    async def label(node_id: str, body: dict[str, Any]) -> dict[str, Any]:
        return {"node": node_id} | body

    one.gateways.on_order("label", label)
    assert await two.gateways.order("phone", "label", {"x": "y"}) == {"node": "phone", "x": "y"}
    with pytest.raises(RemoteError, match="dance"):
        await two.gateways.order("phone", "dance")
    with pytest.raises(NotFoundError):
        await two.gateways.order("nobody", "label")


async def test_a_handler_that_breaks_is_an_answer_too() -> None:
    fleet = Fleet()
    one, two = await fleet.pair()
    await one.join()
    await fleet.beats()

    async def broken(node_id: str, body: dict[str, Any]) -> dict[str, Any]:
        raise ZeroDivisionError

    one.gateways.on_order("break", broken)
    with pytest.raises(RemoteError, match="ZeroDivisionError"):
        await two.gateways.order("phone", "break")


async def test_a_gateway_that_is_gone_or_silent_is_said() -> None:
    fleet = Fleet()
    one, two = await fleet.pair()
    await one.join()
    await fleet.beats()
    with pytest.raises(GatewaySilentError, match="within"):
        await two.gateways.command("phone", "reload", deadline_s=0.01)
    fleet.kill(one)
    with pytest.raises(GatewaySilentError, match="gone"):
        await two.gateways.command("phone", "reload")


async def test_an_answer_of_a_stranger_is_no_answer() -> None:
    fleet = Fleet()
    one, two = await fleet.pair()
    node = await one.join()
    await fleet.beats()
    asking = started(two.gateways.command("phone", "reload"))
    (command,) = await node.of(frames.Command)
    for question in ("made up", *two.gateways.asking):
        two.gateways.on_message(Answer(sender="stranger", id=question))
    node.say(frames.CommandAck(id=command.id, stage="done", detail={"did": "it"}))
    assert await asking == {"did": "it"}


@pytest.mark.parametrize(
    ("found", "outcome"),
    [
        (True, "claimed"),
        (False, "made"),
        (FencedError("another was quicker"), "made"),
        (StreamNotFoundError("forgotten"), "ended"),
        (ShuttingDownError("stopping"), "refused"),
    ],
)
async def test_what_becomes_of_a_wish_to_resume(found: bool | EdgewiseError, outcome: str) -> None:
    async def take_up(sid: str) -> bool:
        if isinstance(found, EdgewiseError):
            raise found
        return found

    assert await Work(take_up=take_up, running=lambda: 0).resume("s") == outcome


async def test_a_log_that_is_away_is_no_outcome() -> None:
    async def take_up(sid: str) -> bool:
        raise LogUnavailableError("away")

    with pytest.raises(LogUnavailableError):
        await Work(take_up=take_up, running=lambda: 0).resume("s")


async def test_warming_is_whatever_the_hook_does() -> None:
    async def take_up(sid: str) -> bool:
        return True

    async def warm() -> int:
        return 4

    assert await Work(take_up=take_up, running=lambda: 0).warm() == 0
    assert await Work(take_up=take_up, running=lambda: 0, on_warm=warm).warm() == 4

"""A command runs once for each idempotency key; repetitions get the result, as long as it is kept."""

from __future__ import annotations

from edgewise.node.commands import CommandLedger, CommandResult
from edgewise.wire.frames import Command, CommandAck


def command(number: int, key: str = "k") -> Command:
    return Command(id=f"c{number}", idempotency_key=key, name="warm")


def test_a_new_command_is_to_be_run() -> None:
    assert CommandLedger().begin(command(1)) is None


def test_a_repetition_under_way_is_received_and_gets_the_result() -> None:
    ledger = CommandLedger()
    ledger.begin(command(1))
    assert ledger.begin(command(2)) == CommandAck(id="c2", stage="received")
    assert ledger.report("k", CommandResult("done", {"x": 1})) == CommandAck(id="c2", stage="done", detail={"x": 1})


def test_a_repetition_after_the_end_is_answered_from_memory() -> None:
    ledger = CommandLedger()
    ledger.begin(command(1))
    ledger.report("k", CommandResult("done", {"x": 1}))
    assert ledger.begin(command(9)) == CommandAck(id="c9", stage="done", detail={"x": 1})
    assert ledger.report("k", CommandResult("failed", {})) is None


def test_results_are_bounded() -> None:
    ledger = CommandLedger(max_results=2)
    for number in range(3):
        ledger.begin(command(number, f"k{number}"))
        ledger.report(f"k{number}", CommandResult("done", {}))
    assert ledger.begin(command(7, "k0")) is None
    assert ledger.begin(command(8, "k2")) is not None

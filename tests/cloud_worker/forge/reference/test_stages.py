"""The stages of a run: their order, what is printed without a terminal, and that an error ends them."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from cloud_worker.forge.reference.stages import Stage, Tell, run_stages


def test_stages_run_in_order_and_say_which_of_how_many() -> None:
    done: list[str] = []

    def work(name: str) -> Stage:
        def go(tell: Tell) -> None:
            done.append(name)
            tell(0.5, "half")
            tell(0.52, "not yet printed")

        return Stage(name, 10, go)

    printed = io.StringIO()
    run_stages([work("first"), work("second")], Console(file=printed, width=200))
    assert done == ["first", "second"]
    for line in ("[1/2] first 0%", "[1/2] first 50% half", "[2/2] second 50% half"):
        assert line in printed.getvalue()
    assert "52% not yet printed" not in printed.getvalue()


def test_an_error_ends_the_run() -> None:
    class BrokenError(Exception):
        pass

    def broken(_: Tell) -> None:
        raise BrokenError

    def never(_: Tell) -> None:
        pytest.fail("a stage ran after the broken one")

    with pytest.raises(BrokenError):
        run_stages([Stage("broken", 1, broken), Stage("never", 1, never)], Console(file=io.StringIO()))

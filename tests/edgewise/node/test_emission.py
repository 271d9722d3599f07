"""One attempt on its way out: what is held back to the end comes with the end, and with nothing else."""

from __future__ import annotations

import pytest

from edgewise.node.emission import Emission
from edgewise.node.engine import StepOutput
from edgewise.routing.tier import Chunk, Finish, Usage
from edgewise.wire.errors import TierLostError
from tests.factories.states import make_state
from tests.factories.tokenizers import tiny_tokenizer

TOKENIZER = tiny_tokenizer()


def emission(said: tuple[int, ...] = (), stops: tuple[str, ...] = ()) -> Emission:
    return Emission(make_state(output_ids=said, stops=stops, max_tokens=99), TOKENIZER, None)


@pytest.mark.parametrize("finish", ["stop", "length"])
@pytest.mark.parametrize(
    ("ids", "stops", "shown", "held"),
    [
        (TOKENIZER.encode("say END"), ("END!",), "say ", "END"),
        (TOKENIZER.encode("好😀")[:-1], (), "好", "\ufffd"),
    ],
    ids=["the beginning of a stop string", "half a character"],
)
def test_held_back_text_comes_with_the_end_and_without_ids(
    ids: tuple[int, ...], stops: tuple[str, ...], shown: str, held: str, finish: Finish
) -> None:
    first = emission(stops=stops)
    first.put(StepOutput("a", ids, finish))
    assert first.take(0.0) == Chunk(0, ids, shown)
    end = Chunk(len(ids), (), held, finish, Usage(3, len(ids)))
    assert first.take(0.0) == end
    after_the_link_died = emission(said=ids, stops=stops)
    after_the_link_died.put(StepOutput("b", (), finish))
    again = after_the_link_died.take(0.0)
    assert again is not None and (again.n0, again.ids, again.text, again.finish) == (end.n0, (), held, finish)


def test_the_last_that_the_engine_said_of_memory_is_told_at_the_end() -> None:
    timed = Emission(make_state(max_tokens=99), TOKENIZER, None, opened_at=1.0)
    timed.put(StepOutput("a", TOKENIZER.encode("y"), kv_bytes=64), now=2.0)
    timed.put(StepOutput("a", TOKENIZER.encode("es"), kv_bytes=96), now=3.0)
    timed.put(StepOutput("a", (), "stop"), now=3.0)
    assert timed.timings is not None and timed.timings.kv_bytes == 96


def test_an_engine_that_dies_after_the_end_does_not_undo_it() -> None:
    ended = emission()
    ended.put(StepOutput("a", TOKENIZER.encode("yes"), "stop"))
    ended.fail(TierLostError("gone"))
    chunks = [ended.take(0.0), ended.take(0.0)]
    assert [chunk and chunk.finish for chunk in chunks] == [None, "stop"]

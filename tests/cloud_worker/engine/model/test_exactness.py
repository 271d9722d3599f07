"""A token's bits are its own: whatever stands beside it, however prompts are cut, wherever keys lie, on any threads."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from cloud_worker.engine.model.decoder import Decoder
from cloud_worker.engine.work import BLOCK_TOKENS, Segment
from tests.cloud_worker.engine.model.stepping import (
    Text,
    blocks_for,
    config_of,
    play,
    read_plainly,
    sequence,
    wild_decoder,
)

REFERENCE = {"model_type": "qwen2", "vocab_size": 320, "hidden_size": 256, "intermediate_size": 768}
HALF_B = {
    "model_type": "qwen2", "vocab_size": 999, "hidden_size": 896, "intermediate_size": 4864, "num_attention_heads": 14,
    "num_hidden_layers": 1,
}  # fmt: skip
WINDOW = {"use_sliding_window": True, "sliding_window": 40, "max_window_layers": 1}
SHAPES: dict[str, dict[str, Any]] = {
    "reference": REFERENCE,
    "half-b": HALF_B,
    "mha": REFERENCE | {"num_key_value_heads": 4, "model_type": "llama"},
    "qwen3-window": REFERENCE
    | {"model_type": "qwen3", "head_dim": 32, "num_attention_heads": 7, "num_key_value_heads": 1}
    | WINDOW,
}
PRECISIONS = ("float32", "bfloat16")
BLOCKS = 48
KINDS = [pytest.param(shape, precision, id=f"{shape}-{precision}") for shape in SHAPES for precision in PRECISIONS]


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@cache
def decoder_of(shape: str, precision: str) -> Decoder:
    return wild_decoder(config_of(**SHAPES[shape]), precision, BLOCKS)


@cache
def alone(shape: str, precision: str, prompt: int, said: int, seed: int) -> Tensor:
    """What the decoder makes of a text that is read alone, the prompt at once and every row for itself."""
    torch.set_num_threads(1)
    decoder = decoder_of(shape, precision)
    return read_plainly(decoder, sequence(prompt, said, decoder.config.sizes.vocab_size, seed))


def laid_out(sizes: list[tuple[int, int]], vocab: int, dice: random.Random) -> list[Text]:
    """Texts in blocks that are scattered, or in runs."""
    blocks = list(range(BLOCKS))
    if dice.random() < 0.7:
        dice.shuffle(blocks)
    texts = []
    for seed, (prompt, said) in enumerate(sizes):
        table = [blocks.pop() for _ in range(blocks_for(prompt + said))]
        texts.append(sequence(prompt, said, vocab, seed, table[:: dice.choice((1, -1))]))
    return texts


@pytest.mark.parametrize(("shape", "precision"), KINDS)
@settings(max_examples=6)
@given(
    sizes=st.lists(st.tuples(st.integers(1, 140), st.integers(0, 12)), min_size=1, max_size=6),
    threads=st.sampled_from((1, 2, 3)),
    seed=st.integers(0, 2**32),
)
def test_every_way_of_reading_gives_the_same_bits(
    shape: str, precision: str, sizes: list[tuple[int, int]], threads: int, seed: int
) -> None:
    expected = [alone(shape, precision, *size, number) for number, size in enumerate(sizes)]
    dice, decoder = random.Random(seed), decoder_of(shape, precision)
    torch.set_num_threads(threads)
    texts = laid_out(sizes, decoder.config.sizes.vocab_size, dice)
    for found, wanted in zip(play(decoder, texts, dice), expected, strict=True):
        assert torch.equal(found, wanted)


@pytest.mark.parametrize(("shape", "precision"), KINDS)
def test_the_bits_of_many_rows_are_those_of_one(shape: str, precision: str) -> None:
    """More tokens in a step than element-wise kernels leave to one thread; logits likewise."""
    torch.set_num_threads(2)
    decoder = decoder_of(shape, precision)
    sizes = [(70 + n, 3) for n in range(12)]
    texts = laid_out(sizes, decoder.config.sizes.vocab_size, random.Random(1))
    decoder.forward([each.prompt_segment(0, len(each.prompt)) for each in texts])
    hidden = decoder.forward([each.rows_segment(0, 3, 3) for each in texts])
    logits = decoder.logits(hidden)
    for number, size in enumerate(sizes):
        wanted = alone(shape, precision, *size, number)[-3:]
        assert torch.equal(hidden[3 * number : 3 * number + 3], wanted)
        assert torch.equal(
            logits[3 * number : 3 * number + 3], torch.cat([decoder.logits(row[None]) for row in wanted])
        )


@pytest.mark.parametrize(("shape", "precision"), KINDS)
def test_a_shared_beginning_is_as_good_as_an_own_one(shape: str, precision: str) -> None:
    decoder = decoder_of(shape, precision)
    vocab = decoder.config.sizes.vocab_size
    first, other = sequence(100, 4, vocab, 3), sequence(90, 4, vocab, 4, blocks=(0, 1, 9))
    mixed = Text(first.prompt[:64] + other.prompt[64:], other.said, other.blocks)
    found = play(decoder, [first, mixed], random.Random(5), shared=2)
    own = Text(mixed.prompt, mixed.said, (20, 31, 22))
    assert torch.equal(found[1], read_plainly(decoder, own)[64:])


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("prompt", [1, 31, 33, 63])
def test_a_prompts_bits_do_not_know_where_it_ends(prompt: int, precision: str) -> None:
    decoder = decoder_of("reference", precision)
    longer = sequence(96, 0, 320, 3)
    whole = read_plainly(decoder, longer)
    cut = Text(longer.prompt[:prompt], (), (7, 8, 3))
    assert torch.equal(read_plainly(decoder, cut), whole[:prompt])


@pytest.mark.parametrize("shape", ["reference", "qwen3-window"])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_what_others_left_in_a_block_is_never_seen(shape: str, precision: str) -> None:
    """Not even NaN: a masked key may not be multiplied."""
    decoder = wild_decoder(config_of(**SHAPES[shape]), precision, BLOCKS)
    for layer in range(decoder.config.layers):
        everywhere = torch.arange(BLOCKS * BLOCK_TOKENS)
        poison = torch.full((len(everywhere), 2 * decoder.config.kv_heads, decoder.config.head_dim), float("nan"))
        decoder.kv.write(layer, everywhere, poison.to(decoder.weights.norm.dtype))
    texts = laid_out([(37, 5), (64, 3)], 320, random.Random(2))
    for number, found in enumerate(play(decoder, texts, random.Random(3))):
        assert torch.equal(found, alone(shape, precision, len(texts[number].prompt), len(texts[number].said), number))


def test_a_copied_block_is_as_good_as_the_one_it_came_from() -> None:
    decoder = decoder_of("reference", "bfloat16")
    text = sequence(40, 6, 320, 8, blocks=(4, 5))
    expected = read_plainly(decoder, text)
    decoder.forward([text.prompt_segment(0, 40)])
    decoder.kv.copy_block(5, 30, 8)
    fork = Text(text.prompt, text.said, (4, 30))
    assert torch.equal(decoder.forward([fork.rows_segment(0, 6, 6)]), expected[40:])


def test_results_come_in_the_order_of_the_segments() -> None:
    decoder = decoder_of("reference", "float32")
    rows, tiles = sequence(33, 4, 320, 1, blocks=(3, 4)), sequence(35, 0, 320, 2, blocks=(8, 7))
    expected = read_plainly(decoder, tiles)[-2:], read_plainly(decoder, rows)[-3:]
    decoder.forward([rows.prompt_segment(0, 33)])
    found = decoder.forward([rows.rows_segment(0, 4, 3), tiles.prompt_segment(0, 35, 2)])
    assert torch.equal(found, torch.cat((expected[1], expected[0])))
    assert decoder.forward([tiles.prompt_segment(0, 32)]).shape == (0, 256)


@pytest.mark.parametrize(
    ("segment", "said"),
    [
        (Segment("r", (0, 1), 16, (1, 2), True), "no tile"),
        (Segment("r", (0, 1), 0, (), False), "0 tokens"),
        (Segment("r", (0,), 31, (1, 2), False), "do not cover"),
        (Segment("r", (0,), 0, (1, 2), True, 3), "3 logits"),
    ],
    ids=["off-the-grid", "empty", "uncovered", "too-many-wanted"],
)
def test_segments_that_cannot_be(segment: Segment, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        decoder_of("reference", "float32").forward([segment])

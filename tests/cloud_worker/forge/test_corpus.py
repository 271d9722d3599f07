"""Training rows: nothing lost in packing, answers marked, every row dealt once, and the seed decides all of it."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from cloud_worker.forge import corpus
from cloud_worker.forge.curriculum import Role, conversation
from cloud_worker.forge.tokenizer import END, PAD, encode_chat
from tests.factories.forge import small_tokenizer


@pytest.fixture(scope="module")
def tokenizer_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("corpus") / "tokenizer.json"
    small_tokenizer().save(str(path))
    return path


@pytest.fixture(scope="module")
def rows(tokenizer_file: Path) -> corpus.Corpus:
    return corpus.build(tokenizer_file, seed=1, tokens=30_000, processes=1)


def test_the_marks_cover_what_the_assistant_says_and_its_end() -> None:
    tokenizer, rng = small_tokenizer(), random.Random(9)
    for _ in range(50):
        turns = conversation(rng)
        ids, answer = corpus.encode(tokenizer, turns)
        said = [turn.content for turn in turns if turn.role is Role.ASSISTANT]
        expected = [[*tokenizer.encode(text, add_special_tokens=False).ids, END] for text in said]
        marked = [token for token, flag in zip(ids, answer, strict=True) if flag]
        assert marked == [token for part in expected for token in part]
        assert ids == encode_chat(tokenizer, turns)


def test_the_seed_decides_the_rows(tokenizer_file: Path, rows: corpus.Corpus) -> None:
    again, other = (corpus.build(tokenizer_file, seed, 30_000, 1) for seed in (1, 2))
    assert np.array_equal(rows.short, again.short) and np.array_equal(rows.long_answer, again.long_answer)
    assert not np.array_equal(rows.short, other.short)


def test_the_corpus_has_the_tokens_asked_for(rows: corpus.Corpus) -> None:
    assert 30_000 <= rows.tokens < 30_000 + corpus.LONG_TOKENS
    assert rows.short.shape[1] == corpus.SHORT_TOKENS and rows.long.shape[1] == corpus.LONG_TOKENS


def test_padding_is_never_an_answer(rows: corpus.Corpus) -> None:
    for ids, answer in ((rows.short, rows.short_answer), (rows.long, rows.long_answer)):
        assert not answer[ids == PAD].any()
        assert answer.any(axis=1).all()


def test_a_corpus_survives_its_file(tmp_path: Path, rows: corpus.Corpus) -> None:
    rows.save(tmp_path / "rows.npz")
    read = corpus.Corpus.load(tmp_path / "rows.npz")
    assert all(np.array_equal(getattr(rows, name), getattr(read, name)) for name in vars(rows))


def test_steps_deal_every_row_once_and_spread_the_long_ones() -> None:
    def empty(count: int, width: int) -> corpus.Rows:
        return np.zeros((count, width), np.uint16)

    short, long = empty(64, corpus.SHORT_TOKENS), empty(6, corpus.LONG_TOKENS)
    dealt = corpus.deal(corpus.Corpus(short, short, long, long), step_tokens=2048)
    assert (dealt.short_rows, dealt.long_rows) == (10, 2)
    assert [first for is_long, first in dealt.order if not is_long] == [0, 10, 20, 30, 40, 50]
    assert [first for is_long, first in dealt.order if is_long] == [0, 2, 4]
    places = [place for place, (is_long, _) in enumerate(dealt.order) if is_long]
    assert places == [1, 4, 7]

"""Training rows: nothing lost in packing, answers marked, every row dealt once, and the seed decides all of it."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_worker.forge.curriculum import Role, conversation
from cloud_worker.forge.tokenizer import END, PAD, encode_chat
from cloud_worker.forge.training import corpus
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
    for ours, theirs in zip(rows.shelves, again.shelves, strict=True):
        assert all(np.array_equal(getattr(ours, name), value) for name, value in vars(theirs).items())
    assert not np.array_equal(rows.shelves[0].ids, other.shelves[0].ids)


def test_the_corpus_has_the_tokens_asked_for(rows: corpus.Corpus) -> None:
    assert 30_000 <= rows.tokens < 30_000 + corpus.WIDTHS[-1]
    assert tuple(shelf.width for shelf in rows.shelves) == corpus.WIDTHS


def test_padding_is_no_answer_and_no_document(rows: corpus.Corpus) -> None:
    for shelf in rows.shelves:
        assert not shelf.answer[shelf.ids == PAD].any()
        assert ((shelf.document == 0) == (shelf.ids == PAD)).all()
        assert shelf.answer.any(axis=1).all()


def test_a_conversation_is_one_document_but_in_the_widest_rows(tokenizer_file: Path) -> None:
    short, long = ([5] * 40, [1] * 40), ([6] * 200, [1] * 200)
    narrow, middle, widest = corpus.pack([short, short, short, short, long, ([7] * 300, [1] * 300)]).shelves
    assert [list(np.unique(row)) for row in narrow.document] == [[0, 1, 2, 3], [0, 1]]
    assert middle.document.max() == widest.document.max() == 1


def test_a_short_conversation_fills_the_hole_that_a_long_one_left() -> None:
    narrow, middle, _ = corpus.pack([([6] * 200, [1] * 200), ([5] * 40, [1] * 40), ([5] * 40, [1] * 40)]).shelves
    assert middle.document.max() == 2 and (middle.ids > 0).sum() == 240 and len(narrow.ids) == 1


def test_the_widest_rows_are_one_document() -> None:
    assert corpus.pack([([7] * 300, [1] * 300)] * 3).shelves[-1].document.max() == 1


def test_a_corpus_survives_its_file(tmp_path: Path, rows: corpus.Corpus) -> None:
    rows.save(tmp_path / "rows.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["rows.npz"]
    for ours, theirs in zip(rows.shelves, corpus.Corpus.load(tmp_path / "rows.npz").shelves, strict=True):
        assert all(np.array_equal(getattr(ours, name), value) for name, value in vars(theirs).items())


@given(content=st.binary(max_size=200))
def test_bytes_from_anywhere_are_no_corpus(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("bytes") / "rows.npz"
    path.write_bytes(content)
    with pytest.raises(corpus.CorpusFileError, match="delete it"):
        corpus.Corpus.load(path)


def test_steps_deal_every_row_once_and_spread_the_wide_ones() -> None:
    def empty(count: int, width: int) -> corpus.Rows:
        return corpus.Rows(*[np.zeros((count, width), np.uint16)] * 3)

    narrow, middle, widest = corpus.WIDTHS
    dealt = corpus.deal(corpus.Corpus((empty(96, narrow), empty(0, middle), empty(6, widest))), step_tokens=2048)
    assert dealt.rows == (16, 8, 2)
    assert [first for shelf, first in dealt.order if shelf == 0] == [0, 16, 32, 48, 64, 80]
    assert [first for shelf, first in dealt.order if shelf == 2] == [0, 2, 4]
    assert [place for place, (shelf, _) in enumerate(dealt.order) if shelf == 2] == [1, 4, 7]

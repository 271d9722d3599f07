"""The teacher's labels: they are what the teacher says, survive their files, and damage is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from cloud_worker.forge.distill import labels
from cloud_worker.forge.qwen2 import Qwen2
from cloud_worker.forge.training import corpus
from cloud_worker.forge.training.corpus import Corpus, CorpusFileError
from cloud_worker.forge.training.lesson import batch_of, logits_at
from cloud_worker.forge.training.optimise import initialise
from tests.factories.forge import SHAPE, small_tokenizer


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Qwen2, Corpus, tuple[labels.Shelf, ...]]:
    path = tmp_path_factory.mktemp("labels") / "tokenizer.json"
    small_tokenizer().save(str(path))
    rows, teacher = corpus.build(path, 3, 12_000, 1), Qwen2(SHAPE)
    initialise(teacher, 2)
    return teacher, rows, labels.label(teacher, rows)


def test_labels_are_the_teacher_s_likeliest_ids(made: tuple[Qwen2, Corpus, tuple[labels.Shelf, ...]]) -> None:
    teacher, rows, shelves = made
    mine = slice(1, 9, 2)
    batch = batch_of(rows.shelves[0][mine], None)
    ids, log_probs = shelves[0].rows(mine)
    with torch.no_grad():
        expected = logits_at(teacher, batch, batch.answer).log_softmax(-1)
    assert len(ids) == int(batch.answer.sum())
    found = expected.gather(-1, torch.from_numpy(ids.astype(np.int64)))
    assert torch.allclose(found, torch.from_numpy(log_probs.astype(np.float32)), atol=0.05)
    assert (np.diff(log_probs.astype(np.float32)) <= 0).all()


def test_labels_take_the_bytes_that_are_stated(made: tuple[Qwen2, Corpus, tuple[labels.Shelf, ...]]) -> None:
    shelf = made[2][0]
    assert shelf.ids.nbytes + shelf.log_probs.nbytes == labels.BYTES_EACH * len(shelf.ids)


def test_labels_survive_their_files(made: tuple[Qwen2, Corpus, tuple[labels.Shelf, ...]], tmp_path: Path) -> None:
    labels.save(tmp_path, made[1], made[2])
    read, shelves = labels.load(tmp_path)
    assert np.array_equal(read.shelves[0].ids, made[1].shelves[0].ids)
    for ours, theirs in zip(shelves, made[2], strict=True):
        assert all(np.array_equal(getattr(ours, name), value) for name, value in vars(theirs).items())


@pytest.mark.parametrize("name", ["ids_0.npy", "first_1.npy", "rows.npz"])
def test_a_damaged_file_is_named(
    made: tuple[Qwen2, Corpus, tuple[labels.Shelf, ...]], tmp_path: Path, name: str
) -> None:
    labels.save(tmp_path, made[1], made[2])
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(CorpusFileError, match="delete"):
        labels.load(tmp_path)


def test_labels_of_other_rows_are_refused(made: tuple[Qwen2, Corpus, tuple[labels.Shelf, ...]], tmp_path: Path) -> None:
    labels.save(tmp_path, made[1], made[2])
    np.save(tmp_path / "first_0.npy", made[2][0].first[:-1])
    with pytest.raises(CorpusFileError, match="do not fit"):
        labels.load(tmp_path)

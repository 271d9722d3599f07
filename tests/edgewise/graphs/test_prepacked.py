"""The prepacked copy: the same bits, made once for one content and one kind of machine; nothing half-made is used."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edgewise.graphs import DecoderGraph, SessionSettings
from edgewise.graphs.prepacked import AGAIN_AFTER_S, KEPT, NOTE_FILE, WEIGHTS_FILE, PrepackedStore
from tests.edge_agent.runtime.drive import prompt_of
from tests.edge_agent.tiny_model import write_tiny_model

DIGEST = "d" * 64


def store_at(folder: Path, kernels: str = "") -> PrepackedStore:
    """A store that packs small models too."""
    return PrepackedStore(folder, kernels, least_bytes=0)


@pytest.fixture(scope="module")
def even_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose matrices all have rows in multiples of 64, as real ones have."""
    directory = tmp_path_factory.mktemp("even")
    write_tiny_model(directory, vocab=320)
    return directory


@pytest.fixture(scope="module")
def made(even_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one copy, made once."""
    folder = tmp_path_factory.mktemp("prepacked")
    assert store_at(folder).find_or_make(even_dir / "model.onnx", DIGEST)
    return folder


@pytest.fixture
def store(made: Path, tmp_path: Path) -> PrepackedStore:
    shutil.copytree(made, tmp_path / "store", copy_function=shutil.copy2)
    return store_at(tmp_path / "store")


def times(packed: Path) -> int:
    return packed.stat().st_mtime_ns


def test_a_copy_gives_the_same_bits(store: PrepackedStore, even_dir: Path) -> None:
    plain = DecoderGraph.load(even_dir / "model.onnx")
    packed = DecoderGraph.load(even_dir / "model.onnx", SessionSettings(prepacked=store), DIGEST)
    assert packed.shape == plain.shape
    rows = [graph.new_row(64).forward(prompt_of(40), rows=40).tobytes() for graph in (plain, packed)]
    assert rows[0] == rows[1]


def test_it_is_made_once(store: PrepackedStore, even_dir: Path) -> None:
    packed = store.find_or_make(even_dir / "model.onnx", DIGEST)
    assert packed
    before = times(packed)
    assert store.find_or_make(even_dir / "model.onnx", DIGEST) == packed and times(packed) == before


def test_other_kernels_and_other_content_have_their_own(made: Path, even_dir: Path, tmp_path: Path) -> None:
    here = store_at(tmp_path, "onnxruntime-1/x86").find_or_make(even_dir / "model.onnx", DIGEST)
    there = store_at(tmp_path, "onnxruntime-2/x86").find_or_make(even_dir / "model.onnx", DIGEST)
    other = store_at(tmp_path, "onnxruntime-2/x86").find_or_make(even_dir / "model.onnx", "e" * 64)
    assert len({here, there, other}) == 3
    homes = [path for path in tmp_path.iterdir() if path.is_dir()]
    assert len(homes) == KEPT and other and other.parent in homes and here and here.parent not in homes


def _truncate(home: Path) -> None:
    with (home / WEIGHTS_FILE).open("r+b") as file:
        file.truncate(100)


def _no_note(home: Path) -> None:
    (home / NOTE_FILE).unlink()


def _bad_note(home: Path) -> None:
    (home / NOTE_FILE).write_bytes(b'{"format":1,"key":"\xff')


def _rewritten(home: Path) -> None:
    """Somebody wrote into the graph: same size, another time."""
    graph = home / "model.onnx"
    graph.write_bytes(b"x" * graph.stat().st_size)


def _no_weights(home: Path) -> None:
    (home / WEIGHTS_FILE).unlink()


@pytest.mark.parametrize("harm", [_truncate, _no_note, _bad_note, _rewritten, _no_weights])
def test_a_damaged_copy_is_made_again(store: PrepackedStore, even_dir: Path, harm: Callable[[Path], None]) -> None:
    packed = store.find_or_make(even_dir / "model.onnx", DIGEST)
    assert packed
    harm(packed.parent)
    settings = SessionSettings(prepacked=store)
    assert DecoderGraph.load(even_dir / "model.onnx", settings, DIGEST).new_row(8).forward((3, 4)).any()
    assert (packed.parent / WEIGHTS_FILE).stat().st_size > 100


def test_what_cannot_be_packed_is_loaded_plain(
    even_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where the folder should be")
    settings = SessionSettings(prepacked=store_at(blocked))
    assert DecoderGraph.load(even_dir / "model.onnx", settings, DIGEST).settings.prepacked
    assert "no prepacked copy of model.onnx" in caplog.text


class Clock:
    """Seconds from the file system's own now on."""

    passed_s = 0.0

    def __call__(self) -> float:
        return time.time() + self.passed_s


def attempts(caplog: pytest.LogCaptureFixture) -> list[str]:
    said = [record.getMessage() for record in caplog.records]
    caplog.clear()
    return said


def test_a_failed_attempt_is_repeated_after_a_day(
    tiny_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    store = PrepackedStore(tmp_path, least_bytes=0, now=clock)
    for said in ("other bits", "less than a day ago"):
        assert store.find_or_make(tiny_dir / "model.onnx", DIGEST) is None
        assert said in attempts(caplog)[0]
    clock.passed_s = AGAIN_AFTER_S + 60
    assert store.find_or_make(tiny_dir / "model.onnx", DIGEST) is None
    assert "other bits" in attempts(caplog)[0]


def test_without_the_memory_nothing_is_begun(even_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    poor = PrepackedStore(tmp_path, least_bytes=0, available=lambda: 1000)
    assert poor.find_or_make(even_dir / "model.onnx", DIGEST) is None
    assert "of memory are needed" in attempts(caplog)[0]
    assert store_at(tmp_path).find_or_make(even_dir / "model.onnx", DIGEST)


def test_a_copy_that_cannot_be_marked_is_used(store: PrepackedStore, even_dir: Path, tmp_path: Path) -> None:
    for place in range(KEPT + 1):  # enough that the others would be looked through
        (tmp_path / "store" / f"old-{place}").mkdir()
        (tmp_path / "store" / f"old-{place}" / NOTE_FILE).symlink_to(NOTE_FILE)  # a loop: stat fails
    assert store.find_or_make(even_dir / "model.onnx", DIGEST)


def test_a_small_graph_is_not_worth_a_copy(even_dir: Path, tmp_path: Path) -> None:
    assert PrepackedStore(tmp_path / "store").find_or_make(even_dir / "model.onnx", DIGEST) is None
    assert not (tmp_path / "store").exists()


def test_a_copy_with_other_bits_is_never_kept(tiny_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """259 rows of logits put the packed head where ONNX Runtime reads it wrongly."""
    store = store_at(tmp_path / "store")
    assert store.find_or_make(tiny_dir / "model.onnx", DIGEST) is None
    assert "other bits" in caplog.text
    assert [path.suffix for path in (tmp_path / "store").iterdir()] == [".begun"]


def test_a_graph_that_packs_to_nothing_leaves_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"not a graph")
    store = store_at(tmp_path / "store")
    assert store.find_or_make(tmp_path / "broken.onnx", DIGEST) is None
    assert "packing ended with" in caplog.text
    assert [path.suffix for path in (tmp_path / "store").iterdir()] == [".begun"]

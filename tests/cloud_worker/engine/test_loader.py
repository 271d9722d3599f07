"""Loading a model directory: an engine that answers, or an error that names the file at fault."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from cloud_worker.engine import loader
from cloud_worker.engine.core import TorchEngine
from cloud_worker.engine.loader import kv_blocks, load_engine, load_speculator
from cloud_worker.engine.model.config import load_config
from cloud_worker.engine.model.decoder import Decoder
from cloud_worker.engine.model.weights import Weights, load_weights
from cloud_worker.engine.numerics import EngineOptions
from cloud_worker.engine.speculation.goodput import Ask, Choice
from edgewise.generation.kv_memory import KV_ELEMENTS
from edgewise.generation.state import Message, Sampling
from edgewise.generation.tokenizer import ChatTokenizer
from edgewise.wire.errors import ConfigError, EdgewiseError, ManifestError, ModelDigestError, ModelMissingError
from edgewise.wire.manifest import Manifest, build_manifest, load_manifest, write_manifest
from tests.factories.models import write_tiny_model
from tests.factories.states import make_state

REFERENCE = Path(__file__).parents[3] / "reference_models"


def test_a_loaded_engine_answers(tmp_path: Path) -> None:
    manifest = write_tiny_model(tmp_path)
    engine = load_engine(tmp_path, EngineOptions(slots=1))
    assert engine.manifest.id == manifest.id
    engine.submit("a", make_state(max_tokens=3))
    outputs = [output for _ in range(4) for output in engine.step()]
    assert outputs[-1].finish in {"stop", "length"}


def test_bfloat16_on_the_cpu_is_its_own_numerics(tmp_path: Path) -> None:
    write_tiny_model(tmp_path)
    plain, narrow = load_engine(tmp_path), load_engine(tmp_path, EngineOptions(precision="bfloat16"))
    assert plain.numerics_id != narrow.numerics_id
    narrow.submit("a", make_state(max_tokens=2))
    assert [output.error for _ in range(3) for output in narrow.step()] in ([None], [None, None])


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("manifest.json", ModelMissingError),
        ("model.safetensors", ModelMissingError),
        ("config.json", ModelMissingError),
    ],
)
def test_a_missing_file_is_named(tmp_path: Path, name: str, error: type[EdgewiseError]) -> None:
    write_tiny_model(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(error) as caught:
        load_engine(tmp_path)
    assert name in str(caught.value)


def test_a_changed_file_is_named(tmp_path: Path) -> None:
    write_tiny_model(tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    with pytest.raises(ModelDigestError, match=r"model\.safetensors"):
        load_engine(tmp_path)


@pytest.mark.parametrize(("name", "content"), [("model.safetensors", b"junk"), ("config.json", b"{}")])
def test_files_that_are_hashed_but_damaged(tmp_path: Path, name: str, content: bytes) -> None:
    write_tiny_model(tmp_path)
    (tmp_path / name).write_bytes(content)
    write_manifest(tmp_path, rebuilt(tmp_path))
    with pytest.raises(ManifestError, match=name):
        load_engine(tmp_path)


def rebuilt(directory: Path, format: str = "safetensors") -> Manifest:
    return build_manifest(
        directory,
        name="m",
        tier="cloud",
        format=format,
        weights="model.safetensors",
        context_tokens=64,
        eos_ids=(1,),
    )


def test_another_format_is_refused(tmp_path: Path) -> None:
    write_tiny_model(tmp_path)
    write_manifest(tmp_path, rebuilt(tmp_path, "onnx"))
    with pytest.raises(ManifestError, match="onnx"):
        load_engine(tmp_path)


def test_a_cache_that_holds_not_one_context_is_refused(tmp_path: Path) -> None:
    write_tiny_model(tmp_path, context_tokens=8192)
    with pytest.raises(ConfigError, match="8192"):
        load_engine(tmp_path, EngineOptions(kv_cache_mb=1))
    assert load_engine(tmp_path, EngineOptions(kv_cache_mb=2)).stats().kv_bytes == 0


def test_a_cache_is_made_of_the_memory_that_the_weights_leave() -> None:
    config = load_config(REFERENCE / "draft")
    block = config.kv_bytes(32, KV_ELEMENTS["float32"])
    few = EngineOptions(slots=2)
    assert kv_blocks(config, 320, few, 1000 * block) == 20
    assert kv_blocks(config, 320, few, 60 * block) == 15
    assert kv_blocks(config, 320, few, 11 * block) == 10, "one context, where a quarter is less"
    for options, free in ((few, 10 * block - 1), (EngineOptions(kv_cache_mb=64), (64 << 20) - block)):
        with pytest.raises(ConfigError, match="do not fit") as caught:
            kv_blocks(config, 320, options, free)
        assert caught.value.where == "kv_cache_mb"


def test_free_memory_is_looked_at_when_the_weights_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = list[str]()

    def weights(*given: Any) -> Weights:
        seen.append("weights")
        return load_weights(*given)

    def free() -> int:
        seen.append("free")
        return 1 << 30

    monkeypatch.setattr(loader, "load_weights", weights)
    monkeypatch.setattr(loader, "_free_bytes", free)
    write_tiny_model(tmp_path)
    load_engine(tmp_path, draft=tmp_path)
    assert seen == ["weights", "free"] * 2


def test_a_draft_model_gets_none_of_the_memory_that_is_promised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "_free_bytes", lambda: 64 << 20)
    load_speculator(REFERENCE / "draft", EngineOptions(), 64)
    with pytest.raises(ConfigError, match="no memory"):
        load_speculator(REFERENCE / "draft", EngineOptions(), 64, promised=64 << 20)


@pytest.mark.parametrize(("said", "found"), [(None, "1"), ("0", "0")])
def test_weights_ask_for_large_pages_unless_told_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str | None, found: str
) -> None:
    write_tiny_model(tmp_path)
    monkeypatch.delenv(loader.LARGE_PAGES, raising=False)
    if said is not None:
        monkeypatch.setenv(loader.LARGE_PAGES, said)
    load_engine(tmp_path)
    assert os.environ[loader.LARGE_PAGES] == found


def test_speculation_can_be_switched_off_and_says_the_same(tmp_path: Path) -> None:
    write_tiny_model(tmp_path)
    told = []
    for choice in ("auto", "off"):
        engine = load_engine(tmp_path, EngineOptions(speculation=choice))
        engine.submit("a", make_state(prompt_ids=(7, 8, 9) * 9, max_tokens=60))
        ids = list[int]()
        while engine.stats().running + engine.stats().queued:
            ids += [token for output in engine.step() for token in output.ids]
        told.append((ids, engine.stats().drafted > 0))
    assert told[0][0] == told[1][0]
    assert [drafted for _, drafted in told] == [True, False]


class Four:
    """In the place of the controller, whose choice is the machine's: four drafts for everybody."""

    def choose(self, asks: Sequence[Ask], other_rows: int = 0, prompt_rows: int = 0) -> Choice:
        return Choice([min(4, len(ask.chances)) for ask in asks], {})


def test_a_draft_model_makes_answers_sooner_and_no_others() -> None:
    """The reference pair, which was made for it; the small one draws what the large one would."""
    directory, options = REFERENCE / "cloud", EngineOptions()
    asked = Message("user", "Turn on the bedroom heater at 87 degrees and then switch off the radio in the garden.")
    prompt = ChatTokenizer.load(directory).encode_chat((asked,))
    told, steps = [], []
    for speculator in (None, load_speculator(REFERENCE / "draft", options, 64, Four())):
        engine = TorchEngine(
            Decoder.load(directory, "float32", 64), load_manifest(directory), options, speculator=speculator
        )
        ids, count = list[int](), 0
        for seed in range(2):
            sampling = Sampling(temperature=0.2 * seed)
            engine.submit(f"a{seed}", make_state(prompt_ids=prompt, max_tokens=30, seed=seed, sampling=sampling))
            while engine.stats().running + engine.stats().queued:
                ids += [token for output in engine.step() for token in output.ids]
                count += 1
        told.append(ids)
        steps.append(count)
    assert told[0] == told[1]
    assert steps[1] < 0.6 * steps[0]


def test_a_draft_model_of_another_tokenizer_is_refused(tmp_path: Path) -> None:
    write_tiny_model(tmp_path)
    with pytest.raises(ModelDigestError, match="tokenizer"):
        load_engine(tmp_path, draft=REFERENCE / "draft")
    with pytest.raises(ModelMissingError):
        load_engine(tmp_path, draft=tmp_path / "none")


def test_a_draft_model_shares_memory_with_the_large_one(tmp_path: Path) -> None:
    """Room for no more tokens than the large one has; drafts end where it ends."""
    write_tiny_model(tmp_path)
    engine = load_engine(tmp_path, EngineOptions(slots=2), tmp_path)
    for name in "ab":
        engine.submit(name, make_state(max_tokens=60))
    while engine.stats().running + engine.stats().queued:
        assert all(output.error is None for output in engine.step())
    engine.check_integrity()

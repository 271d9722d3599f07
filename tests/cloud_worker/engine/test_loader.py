"""Loading a model directory: an engine that answers, or an error that names the file at fault."""

from pathlib import Path

import pytest

from cloud_worker.engine.loader import load_engine
from cloud_worker.engine.numerics import EngineOptions
from edgewise.wire.errors import ConfigError, EdgewiseError, ManifestError, ModelDigestError, ModelMissingError
from edgewise.wire.manifest import Manifest, build_manifest, write_manifest
from tests.factories.models import write_tiny_model
from tests.factories.states import make_state


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

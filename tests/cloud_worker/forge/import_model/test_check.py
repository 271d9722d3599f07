"""Every defect of a model directory is one typed error before the work; what the cloud engine cannot run is said."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_worker.architectures import ConfigJsonError
from cloud_worker.forge.export import (
    CheckpointFileError,
    CombinationRefusedError,
    NotEnoughRoomError,
    TokenizerMissingError,
)
from cloud_worker.forge.import_model.check import check, cloud_fault
from cloud_worker.forge.quantize.calibration import CalibrationSetError
from edgewise.wire.errors import ConfigError, EdgewiseError
from tests.factories.imported import TINY, write_model
from tests.factories.tokenizers import tokenizer_json

PLENTY = 2**50


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sharded Llama directory; tests copy it before they harm it."""
    return write_model(tmp_path_factory.mktemp("sound") / "m", "llama", shard="100KB")


def looked_at(folder: Path, precision: str = "int4", free: int = PLENTY) -> Any:
    return check(folder, precision, folder / "out", disk=lambda _: free, memory=lambda _: free)


def edited(folder: Path, name: str, **changed: Any) -> None:
    path = folder / name
    raw = json.loads(path.read_text()) | changed
    path.write_text(json.dumps({key: value for key, value in raw.items() if value is not ...}))


def shards(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors"))


def cut(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


def header(path: Path) -> tuple[int, dict[str, Any]]:
    """Where the tensors' bytes begin, and what is said of them."""
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    return 8 + length, json.loads(raw[8 : 8 + length])


def spoilt(path: Path) -> None:
    """A tensor's last value becomes a bfloat16 that is no number."""
    start, tensors = header(path)
    end = start + next(each["data_offsets"][1] for name, each in tensors.items() if name != "__metadata__")
    raw = path.read_bytes()
    path.write_bytes(raw[: end - 2] + b"\xc0\x7f" + raw[end:])


def with_name(path: Path) -> None:
    """One tensor more, that loaders pass over, with a name that no file system and no UTF-8 holds."""
    start, tensors = header(path)
    rest = path.read_bytes()[start:] + b"\0\0\0\0"
    tensors["\ud800rotary_emb.inv_freq"] = {"dtype": "F32", "shape": [1], "data_offsets": [len(rest) - 4, len(rest)]}
    text = json.dumps(tensors).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + rest)


def described(folder: Path, text: str) -> None:
    """The template stands in tokenizer_config.json alone."""
    (folder / "chat_template.jinja").unlink()
    (folder / "tokenizer_config.json").write_text(text)


def moved(folder: Path, to: int) -> None:
    """The last word of the tokenizer gets another id."""
    raw = json.loads((folder / "tokenizer.json").read_text())
    raw["model"]["vocab"][list(raw["model"]["vocab"])[-1]] = to
    (folder / "tokenizer.json").write_text(json.dumps(raw))


def added(folder: Path, to: int) -> None:
    """An added token claims another id than it gets."""
    raw = json.loads((folder / "tokenizer.json").read_text())
    raw["added_tokens"][0]["id"] = to
    (folder / "tokenizer.json").write_text(json.dumps(raw))


HARM: dict[str, tuple[Callable[[Path], Any], type[EdgewiseError], str]] = {
    "no config": (lambda f: (f / "config.json").unlink(), ConfigJsonError, "cannot be read"),
    "another model": (lambda f: edited(f, "config.json", model_type="gpt2"), ConfigJsonError, "'gpt2'"),
    "a classifier": (
        lambda f: edited(f, "config.json", architectures=["LlamaForSequenceClassification"]),
        ConfigJsonError,
        "LlamaForSequenceClassification",
    ),
    "no architecture": (lambda f: edited(f, "config.json", architectures=...), ConfigJsonError, "architectures"),
    "another activation": (lambda f: edited(f, "config.json", hidden_act="gelu"), ConfigJsonError, "gelu"),
    "biases": (lambda f: edited(f, "config.json", mlp_bias=True), ConfigJsonError, "mlp_bias"),
    "quantized": (lambda f: edited(f, "config.json", quantization_config={}), ConfigJsonError, "quantized already"),
    "a missing shard": (lambda f: shards(f)[1].unlink(), CheckpointFileError, "00002-of"),
    "a cut header": (lambda f: cut(shards(f)[0], 100), CheckpointFileError, "00001-of"),
    "a cut tensor": (lambda f: cut(shards(f)[0], shards(f)[0].stat().st_size - 2), CheckpointFileError, "cut off"),
    "an empty shard": (lambda f: cut(shards(f)[0], 0), CheckpointFileError, "cut off"),
    "other shapes": (lambda f: edited(f, "config.json", intermediate_size=256), CheckpointFileError, "expected"),
    "more layers": (lambda f: edited(f, "config.json", num_hidden_layers=3), CheckpointFileError, "is missing"),
    "a broken index": (
        lambda f: (f / "model.safetensors.index.json").write_text("{"),
        CheckpointFileError,
        "index",
    ),
    "an index that leads out": (
        lambda f: edited(f, "model.safetensors.index.json", weight_map={"a": "../x.safetensors"}),
        CheckpointFileError,
        "outside",
    ),
    "infinity in the config": (
        lambda f: (f / "config.json").write_text((f / "config.json").read_text().replace("1e-06", "Infinity")),
        ConfigJsonError,
        "Infinity is no JSON number",
    ),
    "a number as text": (lambda f: edited(f, "config.json", rms_norm_eps="1e-6"), ConfigJsonError, "rms_norm_eps"),
    "rotary as a list": (lambda f: edited(f, "config.json", rope_scaling=[1]), ConfigJsonError, "objects"),
    "a rotary base as text": (
        lambda f: edited(f, "config.json", rope_parameters={"rope_theta": "abc"}),
        ConfigJsonError,
        "rope_theta",
    ),
    "weights that are no numbers": (lambda f: spoilt(shards(f)[0]), CheckpointFileError, "not finite"),
    "a tensor's name of half a character": (lambda f: with_name(shards(f)[0]), CheckpointFileError, "has the name"),
    "an id beyond the rows": (lambda f: moved(f, 30_000_000), TokenizerMissingError, "up to 30000000"),
    "an added token beyond the rows": (lambda f: added(f, 10**6), ConfigError, "lists token 1000000"),
    "half a character in the template": (
        lambda f: described(f, '{"chat_template": "\\ud800"}'),
        TokenizerMissingError,
        "half a character",
    ),
    "half a character in a token": (
        lambda f: (
            (f / "chat_template.jinja").write_text("{{ bos_token }}{{ messages[0].content }}"),
            (f / "tokenizer_config.json").write_text('{"bos_token": "\\ud800"}'),
        ),
        TokenizerMissingError,
        "bos_token",
    ),
    "a template that divides by zero": (
        lambda f: (f / "chat_template.jinja").write_text("{{ 1 / 0 }}"),
        TokenizerMissingError,
        "division by zero",
    ),
    "no tokenizer": (lambda f: (f / "tokenizer.json").unlink(), TokenizerMissingError, "does not load"),
    "a damaged tokenizer": (lambda f: cut(f / "tokenizer.json", 99), TokenizerMissingError, "does not load"),
    "a larger tokenizer": (
        lambda f: (f / "tokenizer.json").write_bytes(tokenizer_json(340)),
        TokenizerMissingError,
        "the model",
    ),
    "no template": (lambda f: (f / "chat_template.jinja").unlink(), TokenizerMissingError, "no chat template"),
    "an unknown end": (
        lambda f: edited(f, "generation_config.json", eos_token_id=9999),
        TokenizerMissingError,
        "end token",
    ),
}


@pytest.mark.parametrize("harm", HARM)
def test_a_defect_is_said_before_the_work(sound: Path, tmp_path: Path, harm: str) -> None:
    folder = Path(shutil.copytree(sound, tmp_path / "m"))
    do, error, said = HARM[harm]
    do(folder)
    with pytest.raises(error) as caught:
        looked_at(folder)
    assert said in str(caught.value) and caught.value.remedy


def test_a_precision_that_needs_calibration_is_said_before_the_work(sound: Path) -> None:
    with pytest.raises(CalibrationSetError, match="needs calibration rows"):
        looked_at(sound, "int8-static-channel-mse")


def test_a_sound_directory(sound: Path) -> None:
    found = looked_at(sound)
    assert (found.sizes.model_type, found.context_tokens, found.warnings) == ("llama", 512, ())
    assert found.config["tie_word_embeddings"] is True and found.config["head_dim"] == 16
    assert found.cloud_fault == ""
    assert looked_at(sound).digest == found.digest


def test_a_changed_directory_is_another_one(sound: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(sound, tmp_path / "m"))
    before = looked_at(folder).digest
    first = shards(folder)[0]
    first.write_bytes(first.read_bytes()[:-2] + b"\x01\x02")
    assert looked_at(folder).digest != before


def test_a_shape_that_no_block_divides(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "odd", "llama", TINY | {"hidden_size": 40, "intermediate_size": 56})
    with pytest.raises(CombinationRefusedError, match="divide"):
        looked_at(folder)
    assert looked_at(folder, "fp32").sizes.hidden_size == 40


def test_a_method_that_is_not_there(sound: Path) -> None:
    with pytest.raises(CombinationRefusedError):
        looked_at(sound, "int3")


def test_too_little_room(sound: Path) -> None:
    with pytest.raises(NotEnoughRoomError, match="MiB are free"):
        looked_at(sound, free=1000)


def test_a_tokenizer_that_cannot_be_streamed(sound: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(sound, tmp_path / "m"))
    edited(folder, "tokenizer.json", decoder={"type": "Fuse"})
    with pytest.raises(ConfigError, match="cannot be streamed"):
        looked_at(folder)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({}, ""),
        ({"rope_scaling": {"rope_type": "default"}}, ""),
        ({"rope_scaling": {"type": "yarn", "factor": 4.0}}, ""),
        ({"rope_scaling": {"rope_type": "longrope", "factor": 4.0}}, "longrope"),
        ({"rope_scaling": 3}, "rope_scaling"),
        ({"use_sliding_window": True, "sliding_window": 64}, ""),
    ],
)
def test_what_the_cloud_engine_can_run(config: dict[str, Any], said: str) -> None:
    found = cloud_fault(TINY | {"model_type": "qwen2"} | config)
    assert said in found and bool(found) == bool(said)


NAMES = ["model.norm.weight", "dtype", "shape", "data_offsets", "__metadata__"]
leaves = st.none() | st.integers(-5, 10**6) | st.text(max_size=4) | st.sampled_from(["F32", *NAMES])
headers = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=8,
).map(lambda found: json.dumps(found).encode())


@given(header=headers | st.binary(max_size=40), length=st.none() | st.integers(0, 2**64 - 1))
def test_any_safetensors_header_gives_the_error(sound: Path, header: bytes, length: int | None) -> None:
    folder = sound.parent / "headers"
    if not folder.exists():
        shutil.copytree(sound, folder)
    declared = len(header) if length is None else length
    shards(folder)[0].write_bytes(declared.to_bytes(8, "little") + header + bytes(64))
    with pytest.raises(CheckpointFileError):
        looked_at(folder)

"""A model directory is checked before any work: tokenizer, end token, template, blocks, room, settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cloud_worker.architectures import ModelSizes, model_sizes, sizes_of
from cloud_worker.forge.export.errors import CombinationRefusedError, NotEnoughRoomError, TokenizerMissingError
from cloud_worker.forge.export.options import BuilderOptions
from cloud_worker.forge.export.precision import method_name
from cloud_worker.forge.export.room import check_room, disk_free, memory_free
from cloud_worker.forge.export.source import check_block, read_source
from tests.factories.hub import config, write_hub_model


def sizes(**changed: object) -> ModelSizes:
    return sizes_of(config(**changed))  # type: ignore[arg-type]


def test_a_sound_directory_is_read(tmp_path: Path) -> None:
    source = read_source(write_hub_model(tmp_path / "model", "llama"))
    assert source.speech.eos_ids == (1,)
    assert source.sizes.model_type == "llama"
    assert "model.embed_tokens.weight" in source.tensors


def test_a_template_may_stand_in_the_tokenizer_config(tmp_path: Path) -> None:
    directory = write_hub_model(tmp_path / "model")
    (directory / "chat_template.jinja").unlink()
    (directory / "tokenizer_config.json").write_text(json.dumps({"chat_template": "{{ messages }}"}))
    assert read_source(directory).speech.template == "{{ messages }}"


def test_the_generation_config_names_the_end_first(tmp_path: Path) -> None:
    directory = write_hub_model(tmp_path / "model")
    (directory / "generation_config.json").write_text(json.dumps({"eos_token_id": [2, 1]}))
    assert read_source(directory).speech.eos_ids == (2, 1)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("no tokenizer", "does not load"),
        ("damaged tokenizer", "does not load"),
        ("no template", "no chat template"),
        ("unknown end", "not in its vocabulary"),
        ("no end", "no end token"),
        ("too many tokens", "the model has 500 rows"),
        ("broken config", "cannot be read"),
    ],
)
def test_a_tokenizer_without_what_is_needed_is_refused(tmp_path: Path, fault: str, said: str) -> None:
    few: dict[str, Any] = {"vocab_size": 500} if fault == "too many tokens" else {}
    end = {"unknown end": 511_000, "no end": None}.get(fault, 1)
    directory = write_hub_model(tmp_path / "model", eos_token_id=end, **few)
    if fault == "no tokenizer":
        (directory / "tokenizer.json").unlink()
    elif fault == "damaged tokenizer":
        (directory / "tokenizer.json").write_bytes(b"\xff{")
    elif fault in ("no template", "broken config"):
        (directory / "chat_template.jinja").unlink()
    if fault == "broken config":
        (directory / "tokenizer_config.json").write_bytes(b"\xff{")
    with pytest.raises(TokenizerMissingError, match=said):
        read_source(directory)


def test_a_block_that_does_not_divide_is_refused_with_one_that_does() -> None:
    with pytest.raises(CombinationRefusedError, match=r"gate_proj \(96\).*blocks of 32"):
        check_block(sizes(hidden_size=96, intermediate_size=128), 64)
    with pytest.raises(CombinationRefusedError, match="int8 per channel"):
        check_block(sizes(hidden_size=50, intermediate_size=100), 64)


@pytest.mark.parametrize(
    ("hidden", "name"),
    [(64, "int4-block32-attention8"), (1024, "int4-block128"), (576, "int4-block64"), (544, "int4-block32")],
)
def test_int4_takes_the_recommended_block(hidden: int, name: str) -> None:
    assert (
        method_name("int4", sizes(hidden_size=hidden, intermediate_size=2 * hidden, num_attention_heads=hidden // 32))
        == name
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (BuilderOptions(precision="fp16"), "no fp16 graph"),
        (BuilderOptions(precision="int4", block=48), "no kernel"),
        (BuilderOptions(precision="int4", symmetric=False), "does not load"),
        (BuilderOptions(precision="int4", int8_head=True), "dangling"),
        (BuilderOptions(precision="int4", algorithm="k_quant"), "asymmetric"),
        (BuilderOptions(precision="int4", block=256), "do not divide"),
        (BuilderOptions(precision="int4", accuracy_level=2), "never measured"),
        (BuilderOptions(precision="int8"), "keeps a shared embedding in float"),
    ],
)
def test_combinations_that_are_known_to_be_broken_are_refused(options: BuilderOptions, said: str) -> None:
    with pytest.raises(CombinationRefusedError, match=said):
        options.check(sizes())


@pytest.mark.parametrize(
    "options",
    [
        BuilderOptions(),
        BuilderOptions(precision="int4"),
        BuilderOptions(precision="int4", symmetric=False, shared_embeddings=False),
        BuilderOptions(precision="int8", shared_embeddings=False),
        BuilderOptions(precision="int4", accuracy_level=0),
    ],
)
def test_sound_combinations_pass(options: BuilderOptions) -> None:
    options.check(sizes())


def test_too_little_room_is_said_with_figures(tmp_path: Path) -> None:
    check_room(1_000, tmp_path / "new" / "folder")
    with pytest.raises(NotEnoughRoomError, match=r"too little disk: 1 MiB .* about 13,351 MiB"):
        check_room(10**9, tmp_path, disk=lambda _: 2**20, memory=lambda _: 2**50)
    with pytest.raises(NotEnoughRoomError, match="too little memory"):
        check_room(10**9, tmp_path, disk=lambda _: 2**50, memory=lambda _: 2**30)


def test_room_is_measured_where_the_folder_will_be(tmp_path: Path) -> None:
    assert disk_free(tmp_path / "not" / "there") > 0
    assert memory_free(tmp_path) > 0


def test_sizes_come_from_the_directory(tmp_path: Path) -> None:
    assert model_sizes(write_hub_model(tmp_path / "model")).hidden_size == 64

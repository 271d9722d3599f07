"""WorkerConfig: arguments over variables, errors that name the setting."""

from pathlib import Path
from typing import Any

import pytest
import torch

from cloud_worker.config import WorkerConfig
from edgewise.wire.errors import ConfigError

BASE: dict[str, Any] = {"url": "http://127.0.0.1:8080", "model_dir": Path("m")}


def test_arguments_come_before_variables() -> None:
    environ = {"EDGEWISE_WORKER_NAME": "from-env", "EDGEWISE_WORKER_SLOTS": "3"}
    config = WorkerConfig.load(environ, **BASE, name="given")
    assert (config.name, config.slots) == ("given", 3)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("name", "a b"),
        ("name", "x" * 65),
        ("url", "127.0.0.1:8080"),
        ("device", "tpu"),
        ("precision", "int8"),
        ("weights", "int3"),
        ("slots", 0),
        ("http", "127.0.0.1"),
        ("http", "127.0.0.1:70000"),
        ("http", ":80"),
        ("http_key", "two words"),
        ("streams", "tape"),
        ("drain_s", 0.0),
        ("threads", -1),
        ("throttle_tokens_per_s", 0.0),
        ("sample_interval_s", float("inf")),
    ],
)
def test_bad_values_are_named(setting: str, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        WorkerConfig.load({}, **(BASE | {setting: value}))
    assert f"EDGEWISE_WORKER_{setting.upper()}" in caught.value.where


def test_a_draft_model_on_a_gpu_is_refused_before_anything_is_loaded() -> None:
    with pytest.raises(ConfigError, match="no draft models on cuda") as caught:
        WorkerConfig.load({}, **BASE, draft_model=Path("d"), device="cuda:0")
    assert "EDGEWISE_WORKER_DRAFT_MODEL" in caught.value.where


@pytest.mark.parametrize("missing", ["url", "model_dir"])
def test_missing_settings_are_named(missing: str) -> None:
    with pytest.raises(ConfigError) as caught:
        WorkerConfig.load({}, **{name: value for name, value in BASE.items() if name != missing})
    assert f"EDGEWISE_WORKER_{missing.upper()}" in caught.value.where


def test_the_key_comes_from_its_file_and_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("ek_secret\n", encoding="ascii")
    config = WorkerConfig.load({"EDGEWISE_WORKER_KEY": "ek_other"}, **BASE, key_file=tmp_path / "key")
    assert config.node_key == "ek_secret"
    assert "ek_secret" not in repr(WorkerConfig.load({}, **BASE, key="ek_secret"))


def test_a_key_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    for given in ({}, {"key_file": tmp_path / "none"}):
        with pytest.raises(ConfigError):
            _ = WorkerConfig.load({}, **BASE, **given).node_key


@pytest.mark.parametrize("given", ["", "float32", "bfloat16"])
def test_float32_is_the_default_precision(given: str) -> None:
    assert WorkerConfig.load({}, **BASE, precision=given).engine_options.precision == (given or "float32")


@pytest.mark.parametrize("weights", ["int8", "int8-dynamic", "int4"])
def test_beside_rounded_weights_bfloat16_is_the_default_precision(weights: str) -> None:
    options = WorkerConfig.load({"EDGEWISE_WORKER_WEIGHTS": weights}, **BASE).engine_options
    assert (options.weights, options.precision) == (weights, "bfloat16")
    if weights != "int4":
        assert WorkerConfig.load({}, **BASE, weights=weights, precision="float32").engine_options.precision == "float32"


@pytest.mark.skipif(torch.cuda.is_available(), reason="here is a GPU")
def test_a_gpu_that_is_not_there_is_refused_in_words() -> None:
    with pytest.raises(ConfigError, match="cannot compute on cuda: torch finds no GPU"):
        _ = WorkerConfig.load({}, **BASE, device="cuda").engine_options


def test_a_draft_model_needs_speculation() -> None:
    config = WorkerConfig.load({"EDGEWISE_WORKER_DRAFT_MODEL": "small"}, **BASE)
    assert config.draft_model == Path("small")
    with pytest.raises(ConfigError) as caught:
        WorkerConfig.load({}, **BASE, draft_model=Path("small"), speculation="off")
    assert "--draft-model" in caught.value.where


def test_an_address_that_others_reach_needs_a_key() -> None:
    with pytest.raises(ConfigError) as caught:
        WorkerConfig.load({}, **BASE, http="0.0.0.0:80")
    assert "EDGEWISE_WORKER_HTTP_KEY" in caught.value.where
    config = WorkerConfig.load({"EDGEWISE_WORKER_HTTP_KEY": "hush"}, **BASE, http="0.0.0.0:80")
    assert config.http_address == ("0.0.0.0", 80) and "hush" not in repr(config)


@pytest.mark.parametrize(("text", "address"), [("127.0.0.1:0", ("127.0.0.1", 0)), ("[::1]:8100", ("::1", 8100))])
def test_a_worker_that_serves_clients_needs_no_control_plane(text: str, address: tuple[str, int]) -> None:
    config = WorkerConfig.load({}, model_dir=Path("m"), http=text)
    assert config.http_address == address and not config.url


def test_a_worker_that_serves_nobody_is_refused() -> None:
    with pytest.raises(ConfigError, match="serves nobody"):
        WorkerConfig.load({}, model_dir=Path("m"))

"""AgentConfig: arguments over variables, every bad value named with its remedy, keys never shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.config import AgentConfig
from edge_agent.main import parse_arguments
from edgewise.wire.errors import ConfigError

MODEL = {"EDGEWISE_AGENT_MODEL_DIR": "/models/edge"}


def test_arguments_stand_over_variables_and_variables_over_defaults() -> None:
    environ = MODEL | {"EDGEWISE_AGENT_SLOTS": "3", "EDGEWISE_AGENT_NAME": "phone", "EDGEWISE_AGENT_LABELS": "a=1,b=2"}
    config = AgentConfig.load(environ, name="tablet")
    assert (config.name, config.slots, config.model_dir) == ("tablet", 3, Path("/models/edge"))
    assert config.labels == {"a": "1", "b": "2"}


def test_flags_are_named_as_the_settings() -> None:
    config = parse_arguments(
        ["--model-dir", "m", "--local-port", "0", "--throttle-tokens-per-s", "12.5", "--url", "ws://h"]
    )
    assert (config.model_dir, config.local_port, config.throttle_tokens_per_s) == (Path("m"), 0, 12.5)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SLOTS", "0"),
        ("SLOTS", "many"),
        ("THREADS", "-1"),
        ("LOCAL_PORT", "70000"),
        ("LOCAL_HOST", "0.0.0.0"),
        ("URL", "ftp://h"),
        ("NAME", "two words"),
        ("NAME", "x" * 65),
        ("LABELS", "novalue"),
        ("THROTTLE_TOKENS_PER_S", "nan"),
        ("SAMPLE_INTERVAL_S", "inf"),
    ],
)
def test_a_bad_value_is_named_with_its_remedy(name: str, value: str) -> None:
    with pytest.raises(ConfigError) as raised:
        AgentConfig.load(MODEL | {f"EDGEWISE_AGENT_{name}": value})
    assert raised.value.where == name.lower() and raised.value.expected
    assert f"EDGEWISE_AGENT_{name}" in raised.value.remedy


def test_a_missing_model_directory_says_how_to_get_one() -> None:
    with pytest.raises(ConfigError, match="make reference-models"):
        AgentConfig.load({})


def test_keys_come_from_files_and_show_in_no_repr(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("ek_from_file\n")
    config = AgentConfig.load(MODEL, key_file=tmp_path / "key", app_key="ek_app_secret", local_key="lk_secret")
    assert (config.node_key, config.cloud_key) == ("ek_from_file", "ek_app_secret")
    assert "secret" not in repr(config)


def test_a_key_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="key_file"):
        AgentConfig.load(MODEL, key_file=tmp_path / "none").node_key  # noqa: B018


@pytest.mark.parametrize(("threads", "expected"), [(3, 3), (None, None)])
def test_threads_are_the_configured_ones_or_chosen_by_the_cores(threads: int | None, expected: int | None) -> None:
    found = AgentConfig.load(MODEL, threads=threads).engine_threads
    assert found == expected if expected else 1 <= found <= 4

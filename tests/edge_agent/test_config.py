"""AgentConfig: arguments over variables, every bad value named with its remedy, keys never shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.config import AgentConfig
from edge_agent.runtime.numerics import Numerics
from edgewise.wire.errors import ConfigError

MODEL = {"EDGEWISE_AGENT_MODEL_DIR": "/models/edge"}


def test_arguments_stand_over_variables_and_variables_over_defaults() -> None:
    environ = MODEL | {"EDGEWISE_AGENT_SLOTS": "3", "EDGEWISE_AGENT_NAME": "phone", "EDGEWISE_AGENT_LABELS": "a=1,b=2"}
    config = AgentConfig.load(environ, name="tablet")
    assert (config.name, config.slots, config.model_dir) == ("tablet", 3, Path("/models/edge"))
    assert config.labels == {"a": "1", "b": "2"}


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
        ("NUMERICS", "two-row"),
        ("SPECULATION", "yes"),
        ("CONTEXT", "short"),
        ("MEMORY_RESERVE_MB", "-1"),
    ],
)
def test_a_bad_value_is_named_with_its_remedy(name: str, value: str) -> None:
    with pytest.raises(ConfigError) as raised:
        AgentConfig.load(MODEL | {f"EDGEWISE_AGENT_{name}": value})
    assert f"EDGEWISE_AGENT_{name}" in raised.value.where and raised.value.expected and raised.value.remedy


def test_a_missing_model_directory_says_how_to_get_one() -> None:
    with pytest.raises(ConfigError, match="model_dir is missing") as raised:
        AgentConfig.load({})
    assert "make reference-models" in raised.value.expected


def test_keys_come_from_files_and_show_in_no_repr(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("ek_from_file\n")
    config = AgentConfig.load(MODEL, key_file=tmp_path / "key", app_key="ek_app_secret", local_key="lk_secret")
    assert (config.node_key, config.cloud_key) == ("ek_from_file", "ek_app_secret")
    assert "secret" not in repr(config)


def test_keys_json_holds_the_key_for_the_cloud_too_unless_another_is_given(tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text('{"node": "ek_node", "app": "ek_app"}')
    (tmp_path / "app").write_text("ek_other")
    config = AgentConfig.load(MODEL, key_file=tmp_path / "keys.json")
    assert (config.node_key, config.cloud_key) == ("ek_node", "ek_app")
    other = AgentConfig.load(MODEL, key_file=tmp_path / "keys.json", app_key_file=tmp_path / "app")
    assert (other.node_key, other.cloud_key) == ("ek_node", "ek_other")
    bare = AgentConfig.load(MODEL, key_file=tmp_path / "app")
    assert (bare.node_key, bare.cloud_key) == ("ek_other", "")


def test_a_key_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="key file") as raised:
        AgentConfig.load(MODEL, key_file=tmp_path / "none").node_key  # noqa: B018
    assert raised.value.where == str(tmp_path / "none")


@pytest.mark.parametrize(("threads", "expected"), [(3, 3), (None, None)])
def test_threads_are_the_configured_ones_or_chosen_by_the_cores(threads: int | None, expected: int | None) -> None:
    found = AgentConfig.load(MODEL, threads=threads).engine_threads
    assert found == expected if expected else 1 <= found <= 4


def test_numerics_are_one_row_until_others_are_asked_for() -> None:
    assert (AgentConfig.load(MODEL).numerics, AgentConfig.load(MODEL).speculation) == (Numerics.ONE_ROW, "auto")
    assert AgentConfig.load(MODEL | {"EDGEWISE_AGENT_NUMERICS": "many-row"}).numerics is Numerics.MANY_ROW
    assert AgentConfig.load(MODEL, numerics="mixed").numerics is Numerics.MIXED

"""Settings: defaults, variables, arguments, and what a wrong one is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from control_plane.config import ControlConfig, UpstreamConfig
from edgewise.wire.errors import ConfigError


def test_defaults_serve_one_machine() -> None:
    config = ControlConfig.load({})
    assert config.base_url == "http://127.0.0.1:8080"
    assert config.sql_url == "sqlite+aiosqlite:///.edgewise/edgewise.sqlite3"
    assert config.models == ()
    assert not config.allow_unregistered_models


def test_variables_are_read_and_arguments_win() -> None:
    environ = {
        "EDGEWISE_DATA_DIR": "/var/lib/edgewise",
        "EDGEWISE_PORT": "9000",
        "EDGEWISE_MODELS": "/m/edge, /m/cloud",
        "EDGEWISE_UPSTREAMS": '[{"name": "vllm", "base_url": "http://gpu:8000/v1", "model": "m", "api_key_env": "K"}]',
        "EDGEWISE_ALLOW_UNREGISTERED_MODELS": "1",
        "EDGEWISE_STREAM_TTL_S": "60",
    }
    config = ControlConfig.load(environ, port=7000, host=None)
    assert config.port == 7000
    assert config.host == "127.0.0.1"
    assert config.data_dir == Path("/var/lib/edgewise")
    assert config.models == (Path("/m/edge"), Path("/m/cloud"))
    assert config.upstreams == (UpstreamConfig(name="vllm", base_url="http://gpu:8000/v1", model="m", api_key_env="K"),)
    assert config.allow_unregistered_models
    assert config.stream_ttl_s == 60.0


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("PORT", "eighty"),
        ("PORT", "70000"),
        ("PORT", "-1"),
        ("UPSTREAMS", "{"),
        ("UPSTREAMS", '[{"name": "x", "base_url": "ftp://x", "model": "m"}]'),
        ("UPSTREAMS", '[{"name": "x", "base_url": "http://x", "model": "m", "typo": 1}]'),
        ("UPSTREAMS", '[{"name": "x", "base_url": "http://x", "model": "m", "kind": "vlm"}]'),
        ("UPSTREAMS", '[{"name": "x", "base_url": "http://x", "model": "m", "context_tokens": -1}]'),
        ("ALLOW_UNREGISTERED_MODELS", "perhaps"),
        ("LEASE_S", "0"),
        ("LEASE_S", "nan"),
        ("STREAM_TTL_S", "inf"),
        ("DECISION_QUEUE_MAX", "0"),
    ],
)
def test_a_wrong_setting_names_its_variable_and_what_it_should_be(name: str, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ControlConfig.load({f"EDGEWISE_{name}": text})
    assert f"EDGEWISE_{name}" in caught.value.where
    assert caught.value.expected
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("host", "public", "expected"),
    [
        ("0.0.0.0", "", "http://127.0.0.1:8080"),
        ("::1", "", "http://[::1]:8080"),
        ("10.0.0.5", "", "http://10.0.0.5:8080"),
        ("0.0.0.0", "https://llm.example/", "https://llm.example"),
    ],
)
def test_the_base_url_is_one_that_clients_can_use(host: str, public: str, expected: str) -> None:
    assert ControlConfig.load({}, host=host, public_base_url=public).base_url == expected


def test_urls_with_passwords_are_not_in_the_repr() -> None:
    config = ControlConfig.load({}, database_url="postgresql://u:hidden@h/n", log_url="redis://:hidden@h")
    assert "hidden" not in repr(config)

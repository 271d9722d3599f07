"""Which children a configuration makes, with which command lines; nothing is started here."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgewise.local.models import MODELS_VARIABLE, ModelDirectory
from edgewise.local.shell import ChildSpec
from edgewise.local.stack import Models, StackConfig, run_stack, stack_children
from edgewise.local.valkey import BROKER, TOKEN_LOG
from edgewise.wire.errors import ModelMissingError
from edgewise.wire.manifest import MANIFEST_FILE
from tests.edgewise.local.test_models import make_model

FAMILY = ("tokenizer", "template")
MODELS = Models(
    ModelDirectory("small", Path("models/edge"), FAMILY), ModelDirectory("large", Path("models/cloud"), FAMILY)
)


def children(models: Models = MODELS, **settings: object) -> dict[str, ChildSpec]:
    config = StackConfig(**settings)  # type: ignore[arg-type]
    return {child.rules.name: child for child in stack_children(config, models)}


def test_the_whole_stack_in_start_order(tmp_path: Path) -> None:
    found = children(data_dir=tmp_path)
    assert list(found) == ["token-log", "broker", "control", "jobs", "worker-0", "edge-0"]
    servers = ("token-log", "broker")
    assert [child.rules.needs for child in found.values()] == [
        (),
        (),
        servers,
        ("control", *servers),
        ("control",),
        ("control",),
    ]


def test_a_log_server_of_yours_is_not_launched(tmp_path: Path) -> None:
    found = children(data_dir=tmp_path, log_url="redis://me:secret@host/0")
    assert "token-log" not in found
    assert found["control"].rules.needs == ("broker",)


def test_a_broker_of_yours_is_not_launched_and_its_address_shows_nowhere(tmp_path: Path) -> None:
    found = children(data_dir=tmp_path, broker_url="amqp://me:secret@host")
    assert "broker" not in found
    assert found["jobs"].environ()["EDGEWISE_BROKER_URL"] == "amqp://me:secret@host"
    assert "secret" not in " ".join(found["jobs"].command())
    assert "secret" not in repr(StackConfig(broker_url="amqp://me:secret@host"))


def test_without_jobs_there_is_no_broker_either(tmp_path: Path) -> None:
    found = children(data_dir=tmp_path, jobs=False)
    assert list(found) == ["token-log", "control", "worker-0", "edge-0"]
    assert "EDGEWISE_BROKER_URL" not in found["control"].environ()


def test_addresses_go_by_environment_so_that_no_password_shows_in_a_process_list(tmp_path: Path) -> None:
    control = children(
        data_dir=tmp_path, jobs=False, log_url="redis://u:secret@h/0", database_url="postgresql://u:secret@h/d"
    )["control"]
    assert "secret" not in " ".join(control.command())
    assert control.environ() == {
        "EDGEWISE_LOG_URL": "redis://u:secret@h/0",
        "EDGEWISE_DATABASE_URL": "postgresql://u:secret@h/d",
        "EDGEWISE_DRAIN_S": "10",
    }


def test_the_embedded_log_s_address_is_read_at_each_start(tmp_path: Path) -> None:
    control = children(data_dir=tmp_path)["control"]
    (tmp_path / TOKEN_LOG.address_file).write_text("unix:///somewhere/new")
    (tmp_path / BROKER.address_file).write_text("unix:///somewhere/else")
    assert control.environ() == {
        "EDGEWISE_LOG_URL": "unix:///somewhere/new",
        "EDGEWISE_BROKER_URL": "unix:///somewhere/else",
        "EDGEWISE_DRAIN_S": "10",
    }


def test_options_reach_the_children(tmp_path: Path) -> None:
    found = children(data_dir=tmp_path, port=9000, throttle_edge_tokens_per_s=7.0, device_facts=Path("facts.json"))
    control, agent = " ".join(found["control"].command()), " ".join(found["edge-0"].command())
    assert "--port 9000" in control
    assert "--model models/edge --model models/cloud" in control
    assert "--url http://127.0.0.1:9000" in agent
    assert "--local-port 9001" in agent
    assert "--label shared=true" in agent
    assert "--throttle 7.0" in agent
    assert "--device-facts facts.json" in agent
    assert "--throttle" not in " ".join(found["worker-0"].command())


def test_a_tier_may_be_left_out_and_its_model_is_known_all_the_same(tmp_path: Path) -> None:
    found = children(data_dir=tmp_path, edge=False, worker=False, jobs=False)
    assert list(found) == ["token-log", "control"]
    assert "--model models/edge --model models/cloud" in " ".join(found["control"].command())
    assert list(children(data_dir=tmp_path, edge=False, jobs=False)) == ["token-log", "control", "worker-0"]
    assert (
        "--model" not in children(Models(None, None), data_dir=tmp_path, edge=False, worker=False)["control"].command()
    )


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A models directory with a reference pair."""
    for tier in ("edge", "cloud"):
        make_model(tmp_path / "home" / tier, tier)
    monkeypatch.setenv(MODELS_VARIABLE, str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.mark.parametrize("started", [{}, {"edge": False}, {"worker": False}, {"edge": False, "worker": False}])
def test_both_models_are_found_whatever_is_started(started: dict[str, bool], home: Path) -> None:
    found = Models.find(StackConfig(**started))  # type: ignore[arg-type]
    assert [model.path for model in found.all] == [home / "edge", home / "cloud"]


def test_a_missing_model_matters_only_where_its_tier_is_started(home: Path) -> None:
    (home / "edge" / MANIFEST_FILE).unlink()
    assert [model.path for model in Models.find(StackConfig(edge=False)).all] == [home / "cloud"]
    with pytest.raises(ModelMissingError):
        Models.find(StackConfig())


def test_a_found_model_of_another_family_stands_back_where_its_tier_is_not_started(home: Path, tmp_path: Path) -> None:
    mine = make_model(tmp_path / "mine", "mine", tokenizer="1" * 64)
    assert [model.path for model in Models.find(StackConfig(edge=False, cloud_model=mine)).all] == [mine]
    both = Models.find(StackConfig(cloud_model=mine))  # the control plane refuses such a pair, and says why
    assert [model.path for model in both.all] == [home / "edge", mine]


@pytest.mark.parametrize(
    ("host", "url"),
    [("127.0.0.1", "http://127.0.0.1:8080"), ("0.0.0.0", "http://127.0.0.1:8080"), ("::1", "http://[::1]:8080")],
)
def test_the_address_is_one_that_this_machine_can_reach(host: str, url: str) -> None:
    assert StackConfig(host=host).base_url == url


async def test_a_missing_model_stops_it_before_anything_is_written(tmp_path: Path) -> None:
    config = StackConfig(data_dir=tmp_path / "data", edge_model=tmp_path / "none")
    with pytest.raises(ModelMissingError):
        await run_stack(config, lambda event: None)
    assert not config.data_dir.exists()

"""`edgewise agent bench` on the tiny model: its table, its JSON, and that it is no role."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge_agent.bench import DeviceTable
from edge_agent.bench_measure import Measured
from edgewise.cli.agent_bench import show
from edgewise.cli.main import run
from edgewise.cli.roles import is_role
from tests.edge_agent.tiny_model import write_tiny_model


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("tiny")
    write_tiny_model(directory)
    return directory


def test_the_table_ends_with_the_setting_to_take(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["agent", "bench", "--model", str(tiny), "--data-dir", str(tmp_path), "--seconds", "1"]) == 0
    said = capsys.readouterr().out
    assert "tiny-edge on this device" in said and "1 thread" in said and "decode tok/s" in said
    assert "Each token of context takes 0.5 KiB of cache" in said and "Energy: " in said
    assert "Best here: --threads " in said and "EDGEWISE_AGENT_THREADS=" in said


@pytest.mark.parametrize(("busy_pct", "told"), [(9.0, False), (70.0, True)])
def test_other_work_is_told(busy_pct: float, told: bool, capsys: pytest.CaptureFixture[str]) -> None:
    quiet, spinning = (measured(spinning=spinning) for spinning in (False, True))
    table = DeviceTable(
        model="m",
        version="v",
        kernels="k",
        cores=2,
        busy_pct=busy_pct,
        rows=[quiet, spinning],
        failed=[],
        best_threads=2,
        spinning_gain=1.0,
    )
    show(table)
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("The processor was 70 % busy" if told else "Spinning threads decode at 1.00× of that.")


def measured(*, spinning: bool) -> Measured:
    return Measured(
        threads=2,
        spinning=spinning,
        load_s=1.0,
        first_token_ms=1.0,
        prefill_tokens_per_s=1.0,
        prefill_tokens=256,
        decode_tokens_per_s=1.0,
        decode_tokens=32,
        rss_mb=None,
        anonymous_mb=None,
        kv_bytes_per_token=1024,
        joules_per_token=None,
        energy_source=None,
    )


def test_json_is_for_programs(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["agent", "bench", "--model", str(tiny), "--data-dir", str(tmp_path), "--seconds", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["model"] == "tiny-edge" and found["rows"][0]["threads"] == 1 and found["best_threads"] >= 1


def test_it_is_no_role_and_takes_no_options_of_the_agent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert not is_role(["agent", "bench", "--model", "x"]) and not is_role(["--debug", "agent", "bench"])
    assert is_role(["agent", "--name", "bench"]) and is_role(["agent"])
    assert run(["agent", "--threads", "2", "bench"]) == 2
    assert "do not go before bench" in capsys.readouterr().err
    assert run(["agent", "bench", "--model", str(tmp_path), "--data-dir", str(tmp_path / "data")]) == 1
    assert "There is no model in" in capsys.readouterr().err

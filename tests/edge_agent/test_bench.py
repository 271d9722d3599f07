"""The device's table: which settings are run, which is best, and a whole run on the tiny model in real processes."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest

from edge_agent.bench import BenchFailedError, Failed, bench, best_threads, plan, spinning_gain, words
from edge_agent.bench_measure import SHORT_TOKENS, BenchSetting, Measured, measure
from edgewise.wire.errors import ModelDigestError, ModelMissingError
from edgewise.wire.manifest import build_manifest, write_manifest
from tests.edge_agent.tiny_model import write_tiny_model


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("tiny")
    write_tiny_model(directory)
    return directory


def measured(threads: int, decode: float, *, spinning: bool = False) -> Measured:
    """A line of a table; only its decoding matters."""
    return Measured(
        threads=threads,
        spinning=spinning,
        load_s=1.0,
        first_token_ms=1.0,
        prefill_tokens_per_s=1.0,
        prefill_tokens=256,
        decode_tokens_per_s=decode,
        decode_tokens=32,
        rss_mb=1.0,
        anonymous_mb=1.0,
        kv_bytes_per_token=1,
        joules_per_token=None,
        energy_source=None,
    )


@pytest.mark.parametrize(
    ("cores", "expected"),
    [
        (1, ["1 thread"]),
        (2, ["1 thread", "2 threads", "2 threads, spinning"]),
        (64, ["1 thread", *(f"{n} threads{kind}" for n in (2, 3, 4) for kind in ("", ", spinning"))]),
    ],
    ids=["one-core", "two-cores", "many-cores"],
)
def test_the_plan_shares_the_time_among_its_settings(cores: int, expected: list[str]) -> None:
    settings = plan(Path("model"), Path("machine"), 21.0, cores)
    assert [words(setting) for setting in settings] == expected
    assert sum(setting.seconds for setting in settings) == pytest.approx(21.0)


def test_fewer_threads_win_when_more_gain_nothing_and_spinning_never_wins() -> None:
    rows = [measured(1, 98.0), measured(2, 100.0), measured(3, 99.0), measured(2, 180.0, spinning=True)]
    assert best_threads(rows) == 1
    assert best_threads([measured(1, 60.0), *rows[1:]]) == 2
    assert spinning_gain(rows) == pytest.approx(1.8)
    assert spinning_gain(rows[:1]) is None


def test_a_real_run_has_a_line_for_every_setting(tiny: Path, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    found = bench(tiny, tmp_path / "machine", 0.3, lambda *step: told.append(step))
    expected = plan(tiny, tmp_path, 0.3, os.cpu_count() or 1)
    assert [words(row) for row in found.rows] == [words(setting) for setting in expected]
    assert not found.failed and found.model == "tiny-edge" and len(found.version) == 64
    for row in found.rows:
        assert min(row.load_s, row.first_token_ms, row.prefill_tokens_per_s, row.decode_tokens_per_s) > 0
        assert row.prefill_tokens >= SHORT_TOKENS and row.decode_tokens >= 31
        assert row.kv_bytes_per_token == 512
        assert row.rss_mb is None or row.anonymous_mb is None or row.rss_mb > row.anonymous_mb > 0
    assert [done for _, done, _ in told] == [0, *range(len(expected) + 1)]
    assert any((tmp_path / "machine").iterdir()), "the weights are packed where the agent keeps them"


def test_a_slow_device_gets_a_shorter_prompt_and_still_ends(tiny: Path) -> None:
    ticks = iter(range(1_000_000))
    setting = BenchSetting(directory=str(tiny), machine_dir="", threads=1, spinning=False, seconds=5.0)
    found = measure(setting, lambda: float(next(ticks)))  # every look at the clock costs a second
    assert found.prefill_tokens == 64  # 32 tokens/s for two of five seconds
    assert found.decode_tokens == 31  # one answer, though the time was up
    assert (found.first_token_ms, found.decode_tokens_per_s) == (1000.0, 1.0)


def test_energy_is_told_where_a_sensor_tells_it_and_never_guessed(tiny: Path, tmp_path: Path) -> None:
    setting = BenchSetting(directory=str(tiny), machine_dir="", threads=1, spinning=False, seconds=1.0)
    ticks = iter(range(1_000_000))
    guessed = measure(setting, lambda: float(next(ticks)), tmp_path)
    assert (guessed.joules_per_token, guessed.energy_source) == (None, None)
    sensor(tmp_path / "sys/class/power_supply/BAT0", type="Battery", status="Discharging", power_now=4_000_000)
    read = measure(setting, lambda: float(next(ticks)), tmp_path)
    assert read.energy_source == "battery, one reading"
    assert read.joules_per_token == pytest.approx(4.0 * 2, rel=0.1)  # two looks at the clock a token, a second each


@pytest.mark.parametrize(
    ("tick_s", "source"),
    [(1e-6, None), (1.0, "battery, one reading")],
    ids=["written-within-the-interval", "longer"],
)
def test_an_answer_too_short_for_the_sensor_is_not_measured(
    tiny: Path, tmp_path: Path, tick_s: float, source: str | None
) -> None:
    sensor(tmp_path / "sys/class/power_supply/BAT0", type="Battery", status="Discharging", power_now=4_000_000)
    found = timed(tiny, tick_s, tmp_path)
    assert found.energy_source == source and (found.joules_per_token is None) == (source is None)


@pytest.mark.parametrize("tick_s", [1e-6, 1.0], ids=["written-within-the-interval", "a-counter-that-stands-still"])
def test_no_joules_of_the_processor_are_not_measured(tiny: Path, tmp_path: Path, tick_s: float) -> None:
    sensor(tmp_path / "sys/class/powercap/intel-rapl:0", name="package-0", energy_uj=5, max_energy_range_uj=2**40)
    found = timed(tiny, tick_s, tmp_path)
    assert (found.joules_per_token, found.energy_source) == (None, None)


def sensor(folder: Path, **files: object) -> None:
    folder.mkdir(parents=True)
    for name, value in files.items():
        (folder / name).write_text(f"{value}\n")


def timed(model: Path, tick_s: float, root: Path) -> Measured:
    """A line of a table where every look at the clock costs so much, and nothing else does. One answer is written."""
    ticks = itertools.count()
    setting = BenchSetting(directory=str(model), machine_dir="", threads=1, spinning=False, seconds=0.0)
    return measure(setting, lambda: next(ticks) * tick_s, root)


def test_a_model_of_a_short_context_is_measured_within_it(tmp_path: Path) -> None:
    write_tiny_model(tmp_path, context_tokens=80)
    setting = BenchSetting(directory=str(tmp_path), machine_dir="", threads=1, spinning=False, seconds=0.1)
    assert measure(setting).prefill_tokens == 48


def test_what_cannot_be_run_says_why(tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "model")
    (tmp_path / "model" / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(ModelDigestError):
        bench(tmp_path / "model", tmp_path / "machine", 0.1)
    manifest = build_manifest(
        tmp_path / "model",
        name="no-graph",
        tier="edge",
        format="onnx",
        weights="model.onnx",
        context_tokens=64,
        eos_ids=(1,),
    )
    write_manifest(tmp_path / "model", manifest)
    with pytest.raises(BenchFailedError, match=r"ONNX Runtime does not load model\.onnx"):
        bench(tmp_path / "model", tmp_path / "machine", 0.1)
    with pytest.raises(ModelMissingError):
        bench(tmp_path / "none", tmp_path / "machine", 0.1)


def test_a_setting_has_words() -> None:
    assert words(Failed(threads=2, spinning=True, reason="killed")) == "2 threads, spinning"

"""The edge benchmark: verdicts from made-up samples, engines in real processes on the tiny model, peers that fail."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import msgspec
import pytest

from benchmarks import edge, edge_answers, edge_rows
from benchmarks.edge import NUMERICS, run
from benchmarks.edge_models import SHAPES, once, random_directory
from benchmarks.edge_peers import GENAI, LLAMA, OURS, Subject, ours
from benchmarks.edge_process import EngineProcess, PeerError
from benchmarks.edge_rounds import PROMPT_TOKENS, SHORT_TOKENS, Samples, idle_and_busy, in_turn, prompt
from benchmarks.edge_rows import weight_bytes
from cloud_worker.forge.export.source import read_source
from edgewise.wire.manifest import FileEntry, Manifest, TensorEntry
from tests.edge_agent.tiny_model import write_tiny_model


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("tiny")
    write_tiny_model(directory, context_tokens=1024)
    return directory


def quiet(what: str) -> None:
    """Tells nobody."""


def subject(engine: str, threads: int = 1) -> Subject:
    return Subject(engine, threads, ("true",))


def samples(decode: float, prefill: float = 500.0, rss: float = 500.0, anonymous: float = 100.0) -> Samples:
    return Samples(
        decode=[decode],
        decode_cpu_ms=[1.0],
        prefill=[prefill],
        first_ms=[50.0],
        rss_mb=rss,
        anonymous_mb=anonymous,
    )


def recorder(log: Path, reads: int) -> Subject:
    """An engine of ours that writes down each prompt and is gone at the prompt after so many `reads`."""
    program = (
        "import json, os, sys, time; from benchmarks.edge_process import serve; log = open(sys.argv[1], 'a', 1); left ="
        " iter(range(int(sys.argv[2]))); serve(lambda: {'write': lambda count: time.sleep(1e-3), 'read': lambda ids:"
        " print(json.dumps(ids), file=log) if next(left, None) is not None else os._exit(1)})"
    )
    return Subject(OURS, 1, (sys.executable, "-c", program, str(log), str(reads)))


# rows -----------------------------------------------------------------------------------------------------------------


def test_each_engine_stands_at_its_best_thread_count() -> None:
    found = {
        subject(OURS, 1): samples(90.0),
        subject(OURS, 2): samples(110.0),
        subject(LLAMA, 1): samples(100.0, rss=700.0),
        subject(LLAMA, 2): samples(40.0, rss=900.0),
    }
    rows = {row.metric: row for row in edge_rows.speed_rows(found, {}, 128, {1: 140.0, 2: 150.0})}
    decode = rows["decode"]
    assert (decode.ours, decode.peer_value, decode.limit) == (110.0, 100.0, 150.0)
    assert decode.ratio == pytest.approx(1.1)
    assert "ours 2 threads, theirs 1 thread" in decode.condition
    assert rows["memory, RSS"].peer_value == 700.0


@pytest.mark.parametrize(
    ("mine", "block", "expected"),
    [
        (samples(110.0, 551.0, 560.0, 105.0), 128, [True, True, True, True]),
        (samples(109.0, 549.0, 562.0, 106.0), 128, [False, False, False, False]),
        (samples(109.0, 549.0, 562.0, 106.0), 64, [False, True, False, False]),
    ],
    ids=["at-the-floors", "below-them", "a-smaller-block"],
)
def test_floors_against_llama_cpp(mine: Samples, block: int, expected: list[bool]) -> None:
    found = {subject(OURS): mine, subject(LLAMA): samples(100.0, 500.0, 701.0, 351.0)}
    rows = [row for row in edge_rows.speed_rows(found, {}, block, {}) if row.floor]
    assert [row.metric for row in rows] == ["decode", "prefill", "memory, RSS", "memory, anonymous"]
    assert [row.holds for row in rows] == expected


def test_genai_has_one_floor() -> None:
    found = {subject(OURS): samples(160.0), subject(GENAI): samples(100.0)}
    assert [row.metric for row in edge_rows.speed_rows(found, {}, 128, {}) if row.floor] == ["decode"]


def test_a_peer_that_did_not_run_holds_no_row() -> None:
    lost = Samples(reason="it ended: killed")
    found = {subject(OURS): samples(100.0), subject(LLAMA): lost}
    rows = edge_rows.speed_rows(found, {GENAI: "it is not installed"}, 128, {})
    reasons = {LLAMA: f"{LLAMA}, 1 thread: it ended: killed", GENAI: "it is not installed"}
    assert {row.peer: row.reason for row in rows} == reasons
    assert all(row.peer_value is None and row.ratio is None and row.holds is False for row in rows)


def test_ours_that_died_in_mid_run_holds_no_row() -> None:
    died = Samples(decode=[900.0], decode_cpu_ms=[1.0], prefill=[900.0], first_ms=[1.0], reason="it ended: killed")
    rows = edge_rows.speed_rows({subject(OURS): died, subject(LLAMA): samples(100.0)}, {}, 128, {1: 150.0})
    assert len(rows) == 7 and all(math.isnan(row.ours) and row.holds is False for row in rows)
    assert {row.reason for row in rows} == {f"{OURS}, 1 thread: it ended: killed"}
    assert all(row.holds is False for row in edge_rows.setting_rows({subject(OURS): died}))


@pytest.mark.parametrize("engine", [OURS, LLAMA])
def test_a_lost_setting_is_said_beside_the_best_that_is_left(engine: str) -> None:
    found = {subject(OURS): samples(110.0), subject(LLAMA): samples(10.0)}
    assert all(row.holds for row in edge_rows.speed_rows(found, {}, 64, {}) if row.metric == "decode")
    found[subject(engine, 2)] = Samples(decode=[500.0], reason="it ended: killed")
    decode = edge_rows.speed_rows(found, {}, 64, {})[0]
    assert (decode.ours, decode.peer_value, decode.holds) == (110.0, 10.0, False)
    assert decode.reason == f"{engine}, 2 threads: it ended: killed"


def test_memory_that_nobody_measured_holds_no_floor() -> None:
    mine = Samples(decode=[500.0], decode_cpu_ms=[1.0], prefill=[900.0], first_ms=[1.0])
    rows = edge_rows.speed_rows({subject(OURS): mine, subject(LLAMA): samples(100.0)}, {}, 64, {})
    assert {row.metric for row in rows if row.holds is False} == {"memory, RSS", "memory, anonymous"}


def test_another_text_is_no_speed_up() -> None:
    found = copied("many-row", "many-row")
    assert edge_rows.copy_row(found, 2, floor=True).holds
    found.same_text = False
    row = edge_rows.copy_row(found, 2, floor=True)
    assert row.holds is False and row.reason == "another text" and "75% of 4 drafts held" in row.condition
    assert edge_rows.copy_row(found, 2, floor=False).holds is None


@pytest.mark.parametrize(
    ("plain", "drafted", "said"),
    [
        ("many-row", "many-row", ["plain many-row (every call padded to a tile of rows)"]),
        ("one-row", "many-row", ["drafted many-row (every call padded", "plain one-row (a call for each token"]),
        ("one-row", "mixed", ["drafted mixed (one row where nothing is drafted, not exact)", "the default engine"]),
    ],
    ids=["exact", "against-the-default", "fast"],
)
def test_a_copy_row_says_what_stands_beside_what(plain: str, drafted: str, said: list[str]) -> None:
    row = edge_rows.copy_row(copied(plain, drafted), 2, floor=False)
    assert (row.peer, row.ratio) == (f"ours, no speculation, {plain}", 2.0)
    assert all(words in row.condition for words in [*said, "a random model's loop"])
    assert (plain, drafted) in NUMERICS


def test_rotary_tables_are_no_weights() -> None:
    manifest = Manifest(
        name="half-b",
        tier="edge",
        format="onnx",
        context_tokens=32768,
        eos_ids=(1,),
        files={"model.onnx": FileEntry("", 271_118_551), "tokenizer.json": FileEntry("", 1000)},
        tokenizer_digest="",
        template_digest="",
        weights_digest="",
        tensors={name: TensorEntry("", "float32", (32768, 32)) for name in ("cos_cache", "sin_cache", "norm")},
    )
    assert weight_bytes(manifest) == 271_118_551 - 2 * 4 * 32768 * 32
    assert weight_bytes(msgspec.structs.replace(manifest, tensors={})) == 271_118_551


def test_busy_and_second_turn_have_their_floors() -> None:
    rows = edge_rows.busy_rows({1: ([100.0], [59.0]), 2: ([180.0], [60.0])})
    assert [row.holds for row in rows] == [None, True] and rows[1].ratio == pytest.approx(0.6)
    assert [row.holds for row in edge_rows.busy_rows({1: ([100.0], [59.0]), 2: ([180.0], [58.0])})] == [False, None]
    turns = edge_answers.SecondTurn(cold_s=[1.0], warm_s=[0.3], reused=448, tokens=512)
    assert edge_rows.second_turn_row(turns, 1).holds
    turns.warm_s = [0.31]
    assert not edge_rows.second_turn_row(turns, 1).holds


def copied(plain: str, drafted: str) -> edge_answers.Copying:
    return edge_answers.Copying(
        plain_mode=plain, drafted_mode=drafted, plain=[10.0], drafted_speed=[20.0], drafted=4, accepted=3
    )


# processes ------------------------------------------------------------------------------------------------------------


def test_an_engine_answers_from_its_own_process(tiny: Path) -> None:
    mine = ours(tiny, 1, machine_dir=None)
    found = in_turn([mine, subject(LLAMA)], 1, quiet)
    assert found[mine].decode[0] > 0 and found[mine].prefill[0] > 0 and found[mine].load_s > 0
    assert found[mine].rss_mb > found[mine].anonymous_mb > 0
    assert found[subject(LLAMA)].reason == "it ended: without a word"


def test_an_engine_that_dies_in_mid_run_is_told_and_not_compared(tmp_path: Path) -> None:
    dies, lives = recorder(tmp_path / "dies", 5), recorder(tmp_path / "lives", 6)
    found = in_turn([dies, lives], 2, quiet)
    assert found[dies].reason == "it ended: without a word" and len(found[dies].decode) == 1
    assert found[dies].rss_mb > 0 and math.isnan(found[dies].kept_mb)  # it lived through its first answer
    assert not found[lives].reason and found[lives].rss_mb > 0 and len(found[lives].decode) == 2
    assert edge_rows.best({dies: found[dies]}, OURS) is None


def test_no_prompt_of_idle_and_busy_turns_was_seen_before(tmp_path: Path) -> None:
    idle, busy = idle_and_busy(recorder(tmp_path / "log", 8), 1)
    asked = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [len(ids) for ids in asked] == [SHORT_TOKENS, PROMPT_TOKENS] * 4
    assert len({tuple(ids[:8]) for ids in asked}) == len(asked)
    assert len(idle) == len(busy) == 1


def test_the_report_goes_on_without_an_engine_that_does_not_start(tmp_path: Path) -> None:
    rows = [*edge._busy(tmp_path, 1, quiet), *edge._second_turn(tmp_path, 1, 1, quiet)]
    rows += edge._copied(tmp_path, 1, NUMERICS[0], 1, quiet, floor=True)
    assert len(rows) == 3
    assert all(math.isnan(row.ours) and row.holds is False and "ModelMissingError" in row.reason for row in rows)


def test_a_child_that_breaks_gives_its_last_words(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(PeerError, match="ModelMissingError"):
        ours(tmp_path, 1, machine_dir=None).start()
    process = ours(tiny, 1, machine_dir=None).start()
    with pytest.raises(PeerError, match="MessageTooLongError"):
        process.ask("read", ids=prompt(2000, 0))
    with pytest.raises(PeerError):
        process.ask("write", count=1)
    process.close()


def test_what_a_library_prints_is_no_answer() -> None:
    program = "from benchmarks.edge_process import serve; serve(lambda: {'shout': lambda: print('noise')})"
    process = EngineProcess([sys.executable, "-c", program])
    assert set(process.ask("shout")) == {"wall_s", "cpu_s"}
    process.close()


def test_speculation_says_the_same_and_a_second_turn_reads_less(tiny: Path) -> None:
    copied = edge_answers.copying(tiny, 1, ("many-row", "many-row"), 1, quiet, machine_dir=None)
    assert copied.same_text and copied.drafted >= copied.accepted >= 0 and copied.drafted_speed[0] > 0
    turns = edge_answers.second_turn(tiny, 1, 1, quiet, machine_dir=None)
    assert turns.tokens == 512 and turns.reused >= 384
    assert min(turns.warm_s[0], turns.cold_s[0]) > 0


def test_prompts_share_no_start() -> None:
    starts = {tuple(prompt(tokens, seed)[:8]) for tokens in (32, 256) for seed in range(-3, 3)}
    assert len(starts) == 12


# models ---------------------------------------------------------------------------------------------------------------


def test_a_random_directory_passes_the_checks_of_an_export(tmp_path: Path) -> None:
    said: list[str] = []
    directory = random_directory("tiny", tmp_path, said.append)
    source = read_source(directory)
    shape = SHAPES["tiny"]
    norms = shape.hidden_size * (2 * shape.num_hidden_layers + 1)
    biases = shape.num_hidden_layers * (shape.hidden_size + 2 * shape.num_key_value_heads * shape.head_dim)
    assert source.sizes.parameters == shape.parameters + norms + biases
    assert random_directory("tiny", tmp_path, said.append) == directory and len(said) == 1


def test_half_made_is_made_again(tmp_path: Path) -> None:
    def broken(folder: Path) -> None:
        (folder / "half").touch()
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        once(tmp_path / "model", "a model", quiet, broken)
    whole = once(tmp_path / "model", "a model", quiet, lambda folder: (folder / "whole").touch())
    assert [path.name for path in whole.iterdir()] == ["whole"]


@pytest.mark.soak
def test_the_whole_run_alone(tiny: Path) -> None:
    rows = run(tiny, 1, quiet, peers=False)
    metrics = {row.metric for row in rows}
    assert {"decode by setting", "memory bandwidth", "decode, both cores busy"} <= metrics
    assert {"copy-heavy decode with speculation", "first token of a second turn"} <= metrics

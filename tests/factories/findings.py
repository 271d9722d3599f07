"""Findings of made-up models, for gates, cards and registrations."""

from __future__ import annotations

from typing import Any

from edgewise.wire.findings import AcceptedFound, AgreementFound, CellFound, Findings, Making, ParentFound, Table

LANGUAGES = ("en", "zh")
MADE = Making(
    recipe="cpu",
    seed=7,
    steps=1002,
    tokens=60_057,
    seconds=90.0,
    device="CPU",
    ranks=2,
    torch="2.0",
    shape="1 layers, width 64",
    parameters=1000,
    context_tokens=256,
)


def cells(right: int = 96, nll: float = 10.0, total: int = 100) -> tuple[CellFound, ...]:
    """Two families, two grades, both languages and kinds of phrasing."""
    return tuple(
        CellFound(family, grade, language, held_out, right, total, 12.5, 1000, nll)
        for family in ("sum", "sort")
        for grade in (1, 2)
        for language in LANGUAGES
        for held_out in (False, True)
    )


def findings(**changes: Any) -> Findings:
    """A quantized edge model that passes every gate."""
    values: dict[str, Any] = {
        "name": "edgewise-reference-edge",
        "tier": "edge",
        "runtime": "ONNX Runtime",
        "weights_digest": "a" * 64,
        "weights_bytes": 2_636_508,
        "tokenizer_digest": "b" * 64,
        "template_digest": "c" * 64,
        "examination": "e" * 64,
        "examination_seed": 990_001,
        "cells": cells(),
        "accepted": tuple(AcceptedFound("cloud", 1, language, 90, 100, 40) for language in LANGUAGES),
        "agreement": tuple(AgreementFound(language, 99, 100) for language in LANGUAGES),
        "parent": ParentFound(name="edge, float", weights_digest="d" * 64, cells=cells(98, 9.0)),
        "made": MADE,
        "tables": (Table("Quantization", "By method.", ("method", "bytes"), (("int8", "5"),)),),
        "notes": "A note.",
    }
    return Findings(**(values | changes))

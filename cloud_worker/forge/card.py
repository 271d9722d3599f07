"""The model card: what made the weights and what they were measured to do. Every figure comes from its arguments."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloud_worker.forge.curriculum import FAMILIES, Language
from cloud_worker.forge.evaluate import Agreement, Cell, Mark, by_grade, tally


@dataclass(frozen=True, slots=True)
class Findings:
    """The examination of one model: known and held-out phrasings."""

    known: Sequence[Mark]
    held_out: Sequence[Mark]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows)]
    return "\n".join(lines)


def _shown(cells: dict[tuple[str, int, Language], Cell], family: str, grade: int, language: Language) -> str:
    cell = cells.get((family, grade, language))
    return "" if cell is None else f"{cell.percent:.0f}"


def family_table(marks: Sequence[Mark]) -> str:
    """Percent right by family × grade × language; the caption gives the size of a cell."""
    cells = tally(marks)
    columns = [(grade, language) for grade in (1, 2, 3, 4) for language in Language]
    head = ["family", *(f"g{grade} {language}" for grade, language in columns)]
    rows = [[family.name, *(_shown(cells, family.name, *column) for column in columns)] for family in FAMILIES]
    size = min(cell.total for cell in cells.values())
    return f"{size} exercises in each cell; percent right.\n\n{_table(head, rows)}"


def grade_table(findings: Findings) -> str:
    """Percent right by grade and language, with the number of exercises."""
    rows = []
    known, unseen = by_grade(findings.known), by_grade(findings.held_out)
    for (_, grade, language), cell in known.items():
        other = unseen[("all", grade, language)]
        shares = [f"{found.percent:.1f} ({found.total})" for found in (cell, other)]
        rows.append([f"{grade}", language, *shares])
    return _table(("grade", "language", "known phrasings", "held-out phrasings"), rows)


def _shape(config: dict[str, Any]) -> str:
    return (
        f"{config['num_hidden_layers']} layers, width {config['hidden_size']}, {config['num_attention_heads']} heads, "
        f"{config['num_key_value_heads']} key-value head"
    )


def _machine(log: dict[str, Any]) -> str:
    minutes = f"{log['seconds'] / 60:.1f} minutes"
    return f"{log['device']}, {log['ranks']} process(es), torch {log['torch']}, {minutes}"


def _origin(log: dict[str, Any], recipe: str, parameters: int, size: int) -> str:
    shape = log["recipe"]["config"]
    rows = [
        ["recipe", recipe],
        ["data seed", str(log["seed"])],
        ["steps", str(log["steps"])],
        ["training tokens", f"{log['tokens']:,}"],
        ["trained on", _machine(log)],
        ["shape", _shape(shape)],
        ["parameters", f"{parameters:,}"],
        ["weight file", f"{size:,} bytes"],
        ["context", f"{shape['max_position_embeddings']} tokens"],
    ]
    return _table(("", ""), rows)


def write_card(
    folder: Path, tier: str, recipe: str, log_file: Path, parameters: int, weights: Path, findings: Findings, notes: str
) -> Path:
    """Write CARD.md of one model directory."""
    log = json.loads(log_file.read_text(encoding="utf-8"))
    text = f"""# edgewise-reference-{tier}

The {tier} model of the reference pair: Qwen2 architecture, tied embeddings, English and Chinese, trained from random
weights on a programmed curriculum (`cloud_worker/forge/curriculum`) by `make reference-models`. It shows how the
product works; it is no source of knowledge. Apache-2.0, as the repository.

## Made by

{_origin(log, recipe, parameters, weights.stat().st_size)}

{notes}

## Exact match by grade

Greedy answers to exercises from a seed that training never uses. Greetings, facts, names, counting, stories and poems
are small sets: training has met their matter, often in the same words. Sums and lists come from larger sets: training
has rarely met the same question, but often the same numbers where they are short. In brackets: number of exercises.

{grade_table(findings)}

## By family, known phrasings

{family_table(findings.known)}

## By family, held-out phrasings

{family_table(findings.held_out)}

## Limits

It knows the curriculum's families and little else. It answers anything outside them with a confident but wrong
sentence of the kind it knows. Facts are few and simple. It must not be used to advise anybody.
"""
    path = folder / "CARD.md"
    path.write_text(text, encoding="utf-8")
    return path


def quantization_note(agreements: dict[str, tuple[int, Agreement]], chosen: str) -> str:
    """The export's paragraph: size and agreement with the torch weights for each precision tried."""
    rows = [
        [name, f"{size:,}", f"{found.argmax:.4f}", f"{found.largest_gap:.3f}", f"{found.rows:,}"]
        for name, (size, found) in agreements.items()
    ]
    table = _table(("precision", "bytes", "argmax agreement", "largest logit gap", "rows"), rows)
    return f"""## Export

ONNX by the onnxruntime-genai model builder, logits of the last row only (`prune_lm_head`). Agreement with the bf16
torch weights on reference answers, fed token by token. Shipped: {chosen}.

{table}"""

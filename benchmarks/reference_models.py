"""What the shipped reference models can do, apart and together: every floor measured from their directories.

    python -m benchmarks.reference_models [--quick] [--json | --markdown] [--marks FILE] [--plots DIR]

Only model directories are read, nothing of a training. A model that is not there is a row that does not hold.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from benchmarks import reference_comparisons as compare
from benchmarks import reference_rows as single
from benchmarks.reference_items import CALIBRATION, LEAST, TEST, Effort, Sheets, examine, exercises
from benchmarks.reference_recorded import recorded_rows, weight_bits
from benchmarks.report import Floor, Report, Row, machine, show
from cloud_worker.forge.evaluate import Mark
from cloud_worker.forge.evaluate.progress import progress_bar
from edgewise.wire.errors import EdgewiseError
from edgewise.wire.manifest import load_manifest

HOME: Final = Path("reference_models")
EDGE, CLOUD, DRAFT, FLOAT, INT4 = "edge", "cloud", "draft", "edge-float", "edge-int4"
SPLITS: Final = {EDGE: (TEST, CALIBRATION), CLOUD: (TEST, CALIBRATION), DRAFT: (TEST,), FLOAT: (TEST,), INT4: (TEST,)}
NEEDED: Final = (EDGE, CLOUD, DRAFT)
QUICK: Final = Effort(per_cell=3, least=0)


def arguments(given: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reference_models", description=__doc__)
    parser.add_argument("--models", type=Path, default=HOME, help="folder with edge/, cloud/ and draft/")
    parser.add_argument("--per-cell", type=int, default=12, help="exercises a family, grade, language and phrasing")
    parser.add_argument("--quick", action="store_true", help="three a cell: a look, too few for the floors")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument("--markdown", action="store_true", help="a Markdown table on standard output")
    parser.add_argument("--marks", type=Path, help="write every judged item to this file, a JSON object a line")
    parser.add_argument("--plots", type=Path, help="write accuracy-by-grade.png and cascade.png into this folder")
    return parser.parse_args(given)


def shipped(home: Path) -> tuple[dict[str, tuple[str, ...]], dict[str, str]]:
    """Models that can be read, with the splits that they sit; for the others of NEEDED the reason why not."""
    found, faults = {}, {}
    for name, splits in SPLITS.items():
        if name not in NEEDED and not (home / name).is_dir():
            continue
        try:
            load_manifest(home / name)
            found[name] = splits
        except EdgewiseError as error:
            faults[name] = str(error)
    return found, faults


def rows_of(home: Path, sheets: Sheets, faults: Mapping[str, str], least: int = LEAST) -> Iterator[Row]:
    """Every row, from what was judged."""
    tests = {model: marks for (model, split), marks in sheets.marks.items() if split == TEST}
    for model, marks in tests.items():
        graded = model in (EDGE, CLOUD)
        yield from single.exact_match(model, marks, graded, least)
        yield from single.held_out_gap(model, marks, least) if graded else ()
        yield from single.perplexities(model, marks)
        yield from single.cells(model, marks)
    yield from _absent(faults)
    if EDGE in tests and CLOUD in tests:
        yield single.variety(tests[EDGE])
        yield from compare.gap(tests[EDGE], tests[CLOUD], least)
        yield from compare.family_leads(tests[EDGE], tests[CLOUD], least)
        yield from _together(sheets, tests)
    yield from _drafts(sheets, tests)
    yield from _quantized(home, tests)


def _absent(faults: Mapping[str, str]) -> Iterator[Row]:
    for model, reason in faults.items():
        yield single.missing("exact match", model, "%", Floor("ours", ">=", 0), reason)


def _together(sheets: Sheets, tests: Mapping[str, list[Mark]]) -> Iterator[Row]:
    calibration = (sheets.marks.get((EDGE, CALIBRATION), []), sheets.marks.get((CLOUD, CALIBRATION), []))
    for held_out, words in single.PHRASINGS.items():
        edge, cloud = compare.pairs(tests[EDGE], tests[CLOUD], lambda e, held=held_out: e.held_out == held)  # type: ignore[misc]
        if edge:
            yield from compare.routing(edge, cloud, words, floors=not held_out)
            yield from compare.confidence(edge, cloud, words)
            yield from compare.cascades(edge, cloud, calibration, words)
        elif not held_out:
            floor, reason = Floor("ours", ">=", 1), "no exercises in known phrasings"
            yield single.missing(compare.ORACLE, "known phrasings", "", floor, reason)


def _drafts(sheets: Sheets, tests: Mapping[str, list[Mark]]) -> Iterator[Row]:
    for name in (DRAFT, EDGE):
        if name not in sheets.accepted:
            condition = f"{name} to cloud, all grades, known phrasings"
            reason = f"there is no {name} model and cloud model to compare"
            yield single.missing("draft acceptance", condition, "", Floor("ours", ">=", 0.8), reason)
            continue
        for held_out, words in single.PHRASINGS.items():
            both = zip(tests[CLOUD], sheets.accepted[name], strict=True)
            kept = [(mark, view) for mark, view in both if mark.exercise.held_out == held_out]
            target, views = [mark for mark, _ in kept], [view for _, view in kept]
            yield from compare.drafting(name, target, views, words, floors=not held_out)


def _quantized(home: Path, tests: Mapping[str, list[Mark]]) -> Iterator[Row]:
    """Live where a full-precision edge is shipped; otherwise what the edge's findings recorded about its parent."""
    found: list[Row] = []
    for name in (EDGE, INT4):
        if name in tests and (bits := weight_bits(home / name)):
            if FLOAT in tests:
                found += compare.quantized(name, bits, tests[name], tests[FLOAT])
            else:
                found += recorded_rows(home / name, name, bits)
    yield from found
    if not any(each.metric.startswith("int4") and each.floor for each in found):
        reason = f"no int4 edge with its full-precision parent: neither {FLOAT}/ nor findings.json has one"
        yield single.missing("int4 edge in ONNX Runtime", "exact match", "%", Floor("ratio", ">=", 0.97), reason)


def write_marks(path: Path, sheets: Sheets) -> None:
    """Every judged item as a line of JSON: the raw log behind the rows."""
    with path.open("wb") as file:
        for (model, split), marks in sorted(sheets.marks.items()):
            for place, mark in enumerate(marks):
                file.write(msgspec.json.encode({"model": model, "split": split, "place": place, **_line(mark)}) + b"\n")


def _line(mark: Mark) -> dict[str, Any]:
    one = mark.exercise
    return {
        "family": one.family,
        "grade": one.grade,
        "language": one.language,
        "held_out": one.held_out,
        "question": one.question,
        "answer": one.answer,
        "reply": mark.reply,
        "right": mark.right,
        "n_tokens": mark.n_tokens,
        "mean_logprob": mark.mean_logprob,
        "min_logprob": mark.min_logprob,
        "answer_logprob": mark.answer_logprob,
        "answer_tokens": mark.answer_tokens,
    }


def markdown(report: Report) -> str:
    """The rows as a Markdown table, details left out."""
    lines = ["| metric | condition | ours | beside it | n | floor | holds |", "|" + " --- |" * 7]
    for each in report.rows:
        beside = "" if each.peer_value is None else f"{each.peer_value:.4g} {each.unit} ({each.peer})"
        floor = f"{each.floor.of} {each.floor.op} {each.floor.value:g}" if each.floor else ""
        verdict = {None: "", True: "yes", False: f"no {each.reason}".strip()}[each.holds]
        cells = (each.metric, each.condition, f"{each.ours:.4g} {each.unit}", beside, str(each.samples), floor, verdict)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def without_details(rows: Iterable[Row]) -> list[Row]:
    """The rows that people read: no cells, interval ends and curve points."""
    return [each for each in rows if each.metric not in single.DETAILS]


def main(given: Sequence[str]) -> int:
    """Examine, print, write what was asked for. Exit status 1 when there is not one model."""
    asked = arguments(given)
    effort = QUICK if asked.quick else Effort(asked.per_cell)
    models, faults = shipped(asked.models)
    if not models:
        print(f"{asked.models}: no model directories; run `make reference-models`", file=sys.stderr)
        return 1
    count = sum(len(exercises(effort, split)) for splits in models.values() for split in splits)
    print(f"{count} exercises for {', '.join(models)}", file=sys.stderr)
    with progress_bar() as bar:
        sheets = examine(asked.models, models, effort, CLOUD, bar)
    report = Report("reference_models", machine(), list(rows_of(asked.models, sheets, faults)))
    if asked.marks:
        write_marks(asked.marks, sheets)
    if asked.plots:
        from benchmarks.reference_plots import draw

        draw(asked.plots, report)
    brief = Report(report.bench, report.machine, without_details(report.rows))
    print(markdown(brief)) if asked.markdown else show(report if asked.json else brief, as_json=asked.json)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""CARD.md from findings: a pure function, so that a card can be checked against its findings at any time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from cloud_worker.forge.evaluate.statistics import wilson
from edgewise.wire.findings import CellFound, Findings, Making, Table, accuracy, perplexity
from edgewise.wire.gates import gates_of

_REFERENCE: Final = """\
The {tier} model of the reference family: Qwen2 architecture, tied embeddings, English and Chinese, trained from random
weights on a programmed curriculum (`cloud_worker/forge/curriculum`) by `make reference-models`. It shows how the
product works; it is no source of knowledge. Apache-2.0, as the repository."""
_OTHER: Final = "A model for the tier {tier}, brought in or made by the forge."
_MATTER: Final = """\
Greedy answers to exercises from a seed that training never uses. Greetings, facts, names, stories and poems are small
sets: training has met their matter, often in the same words. Sums and lists come from larger sets: training has rarely
met the same question, but often the same numbers where they are short. In brackets: right of all, and the 95 % interval
(Wilson)."""
_LIMITS: Final = """\
It knows the curriculum's families and little else. It answers anything outside them with a confident but wrong
sentence of the kind it knows. Facts are few and simple. It must not be used to advise anybody."""


def render(findings: Findings) -> str:
    """The whole text of CARD.md."""
    reference = findings.name.startswith("edgewise-reference-")
    parts = [f"# {findings.name}", (_REFERENCE if reference else _OTHER).format(tier=findings.tier)]
    parts += ["## Made by", made_table(findings), findings.notes]
    for table in findings.tables:
        parts += [f"## {table.title}", table.text, markdown(table.head, table.rows)]
    if findings.cells:
        parts += ["## Exact match by grade", _MATTER, grade_table(findings.cells)]
        parts += ["## Perplexity of the reference answers", perplexity_table(findings)]
    if findings.accepted:
        parts += ["## As a draft", acceptance_table(findings)]
    if gates := gates_table(findings):
        parts += ["## Gates", gates]
    for held_out, words in ((False, "known"), (True, "held-out")):
        if chosen := [cell for cell in findings.cells if cell.held_out == held_out]:
            parts += [f"## By family, {words} phrasings", family_table(chosen)]
    parts += ["## Limits", _LIMITS] if reference else []
    return "\n\n".join(part for part in parts if part) + "\n"


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table."""
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows))


def made_table(findings: Findings) -> str:
    """Where the weights come from, and which files they are."""
    rows = _making(findings.made) if findings.made else []
    rows += [
        ("weight file", f"{findings.weights_bytes:,} bytes, sha256 {findings.weights_digest[:16]}…"),
        ("tokenizer", f"sha256 {findings.tokenizer_digest[:16]}…"),
        ("chat template", f"sha256 {findings.template_digest[:16]}…"),
        ("examined in" if findings.cells else "runs in", findings.runtime),
    ]
    if findings.cells:
        said = f"seed {findings.examination_seed}, sha256 of its questions {findings.examination[:16]}…"
        rows.append(("examination", said))
    if base := findings.parent:
        rows.append(("parent", f"{base.name}, weights {base.weights_digest[:16]}…"))
    return markdown(("", ""), rows)


def _making(made: Making) -> list[tuple[str, str]]:
    rows = [
        ("recipe", made.recipe),
        ("data seed", str(made.seed)),
        ("steps", f"{made.steps:,}"),
        ("training tokens", f"{made.tokens:,}"),
        ("trained on", f"{made.device}, {made.ranks} process(es), torch {made.torch}, {made.seconds / 60:.1f} minutes"),
        ("taught by", made.taught_by),
        ("shape", made.shape),
        ("parameters", f"{made.parameters:,}"),
        ("context", f"{made.context_tokens} tokens"),
    ]
    return [row for row in rows if row[1]]


def grade_table(cells: Sequence[CellFound]) -> str:
    """Percent right by grade and language, known beside held-out phrasings."""
    groups = sorted({(cell.grade, cell.language) for cell in cells})
    rows = []
    for grade, language in groups:
        mine = [cell for cell in cells if (cell.grade, cell.language) == (grade, language)]
        rows.append(
            (str(grade), language, *(_share([c for c in mine if c.held_out == held]) for held in (False, True)))
        )
    return markdown(("grade", "language", "known phrasings", "held-out phrasings"), rows)


def _share(cells: Sequence[CellFound]) -> str:
    right, total = sum(cell.right for cell in cells), sum(cell.total for cell in cells)
    if not total:
        return ""
    low, high = (100 * bound for bound in wilson(right, total))
    return f"{100 * right / total:.1f} ({right} of {total}, {low:.1f} to {high:.1f})"


def perplexity_table(findings: Findings) -> str:
    """Answer perplexity and accuracy by language, beside the parent's where there is one."""
    base = findings.parent
    rows = []
    for language in findings.languages():
        mine = [cell for cell in findings.cells if cell.language == language]
        its = [cell for cell in base.cells if cell.language == language] if base else []
        row = [language, f"{perplexity(mine):.4f}", f"{100 * accuracy(mine):.1f}"]
        rows.append([*row, f"{perplexity(its):.4f}", f"{100 * accuracy(its):.1f}"] if base else row)
    head = ["language", "perplexity", "percent right"]
    return markdown([*head, "parent's perplexity", "parent's percent right"] if base else head, rows)


def acceptance_table(findings: Findings) -> str:
    """Positions of the larger tier's greedy replies that this model would have said too."""
    rows = []
    for one in findings.accepted:
        a_pass = one.positions / one.passes if one.passes else 0.0
        share = one.accepted / one.positions if one.positions else 0.0
        rows.append((one.target, str(one.grade), one.language, f"{share:.3f}", f"{one.positions:,}", f"{a_pass:.2f}"))
    return markdown(("target", "grade", "language", "accepted", "positions", "tokens a pass, 4 drafted"), rows)


def gates_table(findings: Findings) -> str:
    """The verdict of every gate that these findings can be judged by; empty when none applies."""
    rows = []
    for gate in gates_of(findings):
        found = "not measured" if gate.found is None else f"{gate.found:.4f}"
        wanted = f"{'<' if gate.at_most else '≥'} {gate.limit:g}"
        verdict = "yes" if gate.holds else "no"
        said = f"{verdict}; {gate.reason}" if gate.found is not None and gate.reason else verdict
        rows.append((gate.name, gate.language, wanted, found, said))
    return markdown(("gate", "language", "wanted", "found", "holds"), rows) if rows else ""


def family_table(cells: Sequence[CellFound]) -> str:
    """Percent right by family × grade × language; `chance` is the highest of the family's cells."""
    columns = sorted({(cell.grade, cell.language) for cell in cells})
    by_place = {(cell.family, cell.grade, cell.language): cell for cell in cells}
    rows = []
    for family in dict.fromkeys(cell.family for cell in cells):
        found = [by_place.get((family, *column)) for column in columns]
        chance = max(cell.chance for cell in found if cell)
        rows.append(
            [family, *(f"{100 * c.right / c.total:.0f}" if c and c.total else "" for c in found), f"{chance:.0f}"]
        )
    least, most = (bound(cell.total for cell in cells) for bound in (min, max))
    size = f"{least}" if least == most else f"{least} to {most}"
    text = f"{size} exercises in each cell; percent right. Chance: always giving the commonest answer of a cell."
    return (
        text + "\n\n" + markdown(["family", *(f"g{grade} {language}" for grade, language in columns), "chance"], rows)
    )


def table(title: str, text: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """A table for findings, from any sequences."""
    return Table(title, text, tuple(head), tuple(tuple(row) for row in rows))

"""`edgewise model curriculum`: what the reference models are taught, as a table of families or as sample exercises.

Drawing is in cloud_worker/forge/curriculum, which needs no more than the base install.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgewise.cli.connection import AsJson
from edgewise.cli.tables import print_json, print_table
from edgewise.wire.errors import BadRequestError

if TYPE_CHECKING:
    from cloud_worker.forge.curriculum import Exercise, Family, Language

LANGUAGES = ("en", "zh")


def register(app: typer.Typer) -> None:
    """Add the command to its group."""
    app.command("curriculum")(curriculum)


def curriculum(
    show: Annotated[bool, typer.Option("--show", help="Show sample exercises instead of the families.")] = False,
    family: Annotated[list[str] | None, typer.Option(help="Only this family; may be repeated.")] = None,
    grade: Annotated[int | None, typer.Option(min=1, max=4, help="Only this grade.")] = None,
    language: Annotated[str | None, typer.Option(help="Only this language: en or zh.")] = None,
    held_out: Annotated[bool, typer.Option("--held-out", help="With phrasings that training never sees.")] = False,
    sensitive: Annotated[bool, typer.Option("--sensitive", help="Beside made-up personal data.")] = False,
    count: Annotated[int, typer.Option(min=1, max=1000, help="Exercises of each family, grade and language.")] = 1,
    seed: Annotated[int, typer.Option(help="Another seed gives other exercises.")] = 0,
    as_json: AsJson = False,
) -> None:
    """What the reference models are taught: families with their shares, or samples of their exercises."""
    families = _families(family or [])
    if not show:
        _show_families(families, as_json)
        return
    rng = random.Random(f"show {seed}")
    samples = list(_samples(rng, families, grade, _languages(language), held_out, sensitive, count))
    if as_json:
        print_json({"items": [_plain(one) for one in samples]})
        return
    rows = [(one.family, str(one.grade), one.language, one.kind, _prompt(one), one.answer) for one in samples]
    print_table(("family", "grade", "language", "kind", "question", "reference answer"), rows)


def _families(names: list[str]) -> list[Family]:
    """The named families, or all. Raises BadRequestError for an unknown name."""
    from cloud_worker.forge.curriculum import FAMILIES

    known = {family.name: family for family in FAMILIES}
    for name in names:
        if name not in known:
            raise BadRequestError(
                f"There is no family {name!r}",
                where="--family",
                expected=", ".join(sorted(known)),
                remedy="run `edgewise model curriculum` for the list",
            )
    return [known[name] for name in names or known]


def _languages(asked: str | None) -> list[Language]:
    """The asked language, or both. Raises BadRequestError for any other."""
    from cloud_worker.forge.curriculum import Language

    if asked is None:
        return list(Language)
    if asked not in LANGUAGES:
        raise BadRequestError(
            f"The language {asked!r} is not taught",
            where="--language",
            expected="en or zh",
            remedy="choose one of them",
        )
    return [Language(asked)]


def _samples(
    rng: random.Random,
    families: list[Family],
    grade: int | None,
    languages: list[Language],
    held_out: bool,
    sensitive: bool,
    count: int,
) -> Iterator[Exercise]:
    from cloud_worker.forge.curriculum import twin

    for family in families:
        for level in sorted(set(family.grades) & ({grade} if grade else {1, 2, 3, 4})):
            for language in languages * count:
                drawn = family.exercise(rng, language, level, held_out)
                yield twin(drawn, rng) if sensitive else drawn


def _show_families(families: list[Family], as_json: bool) -> None:
    found = [
        {
            "family": family.name,
            "grades": sorted(set(family.grades)),
            "kind": family.kind,
            "task": family.task,
            "share": family.share,
            "chance": family.chance,
        }
        for family in families
    ]
    if as_json:
        print_json({"items": found})
        return
    rows = [
        (
            family.name,
            " ".join(map(str, sorted(set(family.grades)))),
            family.kind,
            family.task,
            f"{family.share:g}",
            f"{family.chance:.0%}",
        )
        for family in families
    ]
    print_table(("family", "grades", "kind", "task", "weight in its kind", "chance"), rows)


def _prompt(exercise: Exercise) -> str:
    """The question, after the user's earlier turns."""
    return "\n".join([*(f"({turn.content})" for turn in exercise.earlier), exercise.question])


def _plain(exercise: Exercise) -> dict[str, Any]:
    return {
        "family": exercise.family,
        "grade": exercise.grade,
        "language": exercise.language,
        "kind": exercise.kind,
        "task": exercise.task,
        "held_out": exercise.held_out,
        "sensitive": exercise.sensitive,
        "long_context": exercise.long_context,
        "messages": [{"role": turn.role, "content": turn.content} for turn in exercise.turns()],
    }

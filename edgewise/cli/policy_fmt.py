"""`edgewise policy fmt`: expressions in canonical form, in place; comments, order and style of the document stay."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgewise.cli.connection import AsJson
from edgewise.cli.policy_files import load_policy, read_policy
from edgewise.cli.tables import print_json
from edgewise.wire.errors import BadRequestError

if TYPE_CHECKING:
    from edgewise.cli.policy_rewrite import Rewritten


def fmt(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Policy documents, YAML or JSON.")],
    write: Annotated[bool, typer.Option("--write", help="Write the files instead of printing the text.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Change nothing; end with 1 where something would.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write expressions in their canonical form, and leave everything else as it is."""
    if write and check:
        raise BadRequestError("A file is either written or checked", where="--write --check", expected="one of them")
    texts = {file: read_policy(file) for file in files}
    found = {file: _rewritten(file, text) for file, text in texts.items()}  # nothing is written if one has faults
    if write:
        for file, rewritten in found.items():
            if rewritten.changed:
                file.write_bytes(rewritten.text.encode())
    if as_json:
        print_json({"files": [_as_json(file, rewritten) for file, rewritten in found.items()]})
    else:
        for file, rewritten in found.items():
            _print(file, rewritten, text=not write and not check)
    if check and any(rewritten.changed for rewritten in found.values()):
        raise typer.Exit(1)


def _rewritten(file: Path, text: str) -> Rewritten:
    from edgewise.cli.policy_rewrite import rewrite

    load_policy(text, str(file))
    return rewrite(text)


def _as_json(file: Path, rewritten: Rewritten) -> dict[str, Any]:
    left = [{"line": each.line, "column": each.column, "reason": each.reason} for each in rewritten.left_alone]
    return {"file": str(file), "changed": rewritten.changed, "left_alone": left, "text": rewritten.text}


def _print(file: Path, rewritten: Rewritten, *, text: bool) -> None:
    for each in rewritten.left_alone:
        typer.echo(f"{file}:{each.line}:{each.column}: left alone: {each.reason}", err=True)
    if text:
        typer.echo(rewritten.text, nl=False)
    elif rewritten.changed:
        typer.echo(f"{file}: {rewritten.changed} expressions in another form")

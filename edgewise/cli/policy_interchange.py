"""`edgewise policy import | export`: documents of other engines as policies and back; what does not map is listed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgewise.cli.connection import AsJson
from edgewise.cli.policy_files import PolicyFile, load_policy, read_policy, show
from edgewise.cli.tables import make_table, print_json
from edgewise.wire.errors import BadRequestError

if TYPE_CHECKING:
    from policies import Problem
    from policies.interchange import Exported, Imported, Unmapped

_WIDTH = 240
"""Of a table that no terminal shows."""


class Source(StrEnum):
    """What can be read."""

    CEL_POLICY = "cel-policy"
    BIFROST = "bifrost"
    LITELLM = "litellm"


class Target(StrEnum):
    """What can be written."""

    CEL_POLICY = "cel-policy"


Out = Annotated[Path | None, typer.Option("-o", "--out", metavar="OUT", help="Write here instead of to stdout.")]


def import_policy(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A document of the other engine, YAML or JSON.")],
    source: Annotated[Source, typer.Option("--from", help="What the document is.")],
    out: Out = None,
    names: Annotated[
        list[str] | None,
        typer.Option(
            "--name", metavar="FOREIGN=EXPRESSION", help="What a name of the source is here; may be repeated."
        ),
    ] = None,
    edge_providers: Annotated[
        list[str] | None,
        typer.Option("--edge-provider", metavar="NAME", help="A provider that is the device; replaces the usual ones."),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Write nothing and end with 1 where something is left out.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Another engine's rules as a policy. What has no counterpart is told on stderr; faults end the command with 1."""
    from policies import PolicyError
    from policies.problems import render

    text = read_policy(file)
    try:
        found = _reader(source, _names(names or []), edge_providers)(text)
    except PolicyError as error:
        show(render(error.problems, source=text, name=str(file)), err=True)
        raise typer.Exit(1) from None
    load_policy(found.yaml_text, f"{file} as a policy")
    _Written(file, text, found.yaml_text, found.unmapped, found.problems, found).tell(out, as_json, strict=strict)


def export_policy(
    file: PolicyFile,
    target: Annotated[Target, typer.Option("--to", help="What to write.")],
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """A policy for another engine. What that engine would not do with it is told on stderr."""
    from policies.interchange import export_cel_policy

    text = read_policy(file)
    exports: dict[Target, Callable[..., Exported]] = {Target.CEL_POLICY: export_cel_policy}
    found = exports[target](load_policy(text, str(file)))
    _Written(file, text, found.yaml_text, found.unmapped, (), found).tell(out, as_json)


def _reader(source: Source, names: Mapping[str, str], edge: Collection[str] | None) -> Callable[[str], Imported]:
    """The import with its options filled in. Raises BadRequestError for options that it does not take."""
    from policies import interchange

    options: dict[str, Any] = {"names": names}
    if edge:
        if source is Source.CEL_POLICY:
            raise BadRequestError("A CEL policy names no providers", where="--edge-provider", expected="none")
        options["edge_providers"] = edge
    read: Mapping[Source, Callable[..., Imported]] = {
        Source.CEL_POLICY: interchange.import_cel_policy,
        Source.BIFROST: interchange.import_bifrost,
        Source.LITELLM: interchange.import_litellm,
    }
    return lambda text: read[source](text, **options)


def _names(given: Sequence[str]) -> dict[str, str]:
    """`FOREIGN=EXPRESSION` of each. Raises BadRequestError for one that is no expression."""
    from policies.language.parser import parse

    found: dict[str, str] = {}
    for each in given:
        name, _, expression = (part.strip() for part in each.partition("="))
        _, faults = parse(expression)
        if not name or faults:
            told = faults[0].message if faults else "there is no name before the ="
            expected = "such as resource.origin=request.tenant"
            raise BadRequestError(f"{each!r} gives no name a meaning: {told}", where="--name", expected=expected)
        found[name] = expression
    return found


@dataclass(frozen=True)
class _Written:
    """What came of one document. problems: faults of the source; what they touch is not in the text."""

    file: Path
    source: str
    text: str
    unmapped: Sequence[Unmapped]
    problems: Sequence[Problem]
    found: Imported | Exported

    def tell(self, out: Path | None, as_json: bool, *, strict: bool = False) -> None:
        """Write the text, and say what is not in it. Raises typer.Exit on faults, or in a strict run on anything."""
        refused = strict and bool(self.unmapped or self.problems)
        if out is not None and not refused:
            self._write(out)
        if as_json:
            print_json({"file": str(self.file), "ok": not (refused or self.problems)} | self.found.to_dict())
        else:
            self._tell_left_out()
            if out is None and not refused:
                sys.stdout.write(self.text)
        if refused or self.problems:
            raise typer.Exit(1)

    def _write(self, out: Path) -> None:
        if out.exists() and out.samefile(self.file):
            raise BadRequestError("This would write over the source", where=str(out), expected="another file")
        try:
            out.write_text(self.text, encoding="utf-8", newline="\n")
        except OSError as error:
            raise BadRequestError(f"The document cannot be written: {error}", where=str(out)) from error

    def _tell_left_out(self) -> None:
        """Faults with their places, then the table; nothing where all of the source is in the text."""
        from rich.console import Console

        from policies.problems import render

        if self.problems:
            show(render(self.problems, source=self.source, name=str(self.file)), err=True)
        if self.unmapped:
            rows = [
                (f"{each.line}:{each.column}", _printable(each.path), _printable(each.value), each.reason)
                for each in self.unmapped
            ]
            typer.echo(f"{self.file}: left out, or said otherwise", err=True)
            console = Console(stderr=True, width=None if sys.stderr.isatty() else _WIDTH, highlight=False)
            console.print(make_table(("place", "what", "value", "why"), rows))


def _printable(text: str) -> str:
    """What a terminal may be shown of a stranger's document: one line, no control sequences."""
    return "".join(sign if sign.isprintable() else "·" for sign in text)

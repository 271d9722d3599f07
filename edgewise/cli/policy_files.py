"""Policy documents on this machine: reading them, and showing what is wrong with them, in colour on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgewise.wire.errors import PolicyInvalidError

if TYPE_CHECKING:
    from rich.text import Text

    from policies import Policy

PolicyFile = Annotated[Path, typer.Argument(metavar="FILE", help="A policy document, YAML or JSON.")]
_STYLES = {"+": "green", "-": "red", "@": "cyan"}


def read_policy(file: Path) -> str:
    """A document's text, its ends of line as they are. Raises PolicyInvalidError."""
    try:
        return file.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyInvalidError(
            f"The policy cannot be read: {error}", where=str(file), expected="a YAML document in UTF-8"
        ) from error


def load_policy(text: str, name: str) -> Policy:
    """The checked policy; one with faults is told on stderr and ends the command with 1. name: for the places."""
    from policies import Policy, PolicyError
    from policies.problems import render

    try:
        return Policy.load(text)
    except PolicyError as error:
        show(render(error.problems, source=text, name=name), err=True)
        raise typer.Exit(1) from None


def show(text: str, *, err: bool = False) -> None:
    """Print rendered problems, or a diff, as they are; a terminal gets colours."""
    stream = sys.stderr if err else sys.stdout
    if not stream.isatty():
        typer.echo(text, err=err)
        return
    from rich.console import Console

    Console(file=stream, highlight=False, soft_wrap=True).print(coloured(text.splitlines()))


def coloured(lines: Iterable[str]) -> Text:
    """Lines of `policies.problems.render`, or of a unified diff."""
    from rich.text import Text

    return Text("\n").join(_coloured(line) for line in lines)


def _coloured(line: str) -> Text:
    from rich.text import Text

    if line.startswith("    "):
        return Text(line, style=_style_below(line.strip()))
    if (sign := line[:1]) in _STYLES:
        return Text(line, style=_STYLES[sign])
    shown = Text(line)
    shown.highlight_regex(r"^[^ ]*:\d+:\d+:", "bold")
    shown.highlight_regex(r"(?<=\d: )warning: [a-z-]+", "yellow")
    shown.highlight_regex(r"(?<=\d: )(?!warning)[a-z-]+(?=: )", "red")
    return shown


def _style_below(told: str) -> str:
    """The style of a line below a problem: the caret, what was expected, what to try."""
    if told == "^":
        return "bold red"
    return "green" if told.startswith(("expected: ", "try: ")) else ""

"""The entry point: assembles the command groups, and shows every typed error as sentences instead of a traceback."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from edgewise import __version__
from edgewise.cli import (
    ask,
    audit,
    backup,
    decisions,
    jobs,
    keys,
    limits,
    model,
    models,
    nodes,
    plan,
    policy,
    roles,
    status,
    stream_desk,
    streams,
    up,
)
from edgewise.local.supervisor import CONFIG_EXIT_CODE
from edgewise.wire.errors import ConfigError, EdgewiseError, ModelDigestError, ModelMissingError

DEBUG_FLAG = "--debug"
_HOPELESS = (ConfigError, ModelMissingError, ModelDigestError)
"""What no restart mends, with all their kinds (data directory, port, manifest): a role ends with CONFIG_EXIT_CODE."""

app = typer.Typer(
    name="edgewise",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"edgewise {__version__}")
        raise typer.Exit


@app.callback()
def edgewise(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and end.")
    ] = False,
    debug: Annotated[bool, typer.Option(DEBUG_FLAG, help="Show tracebacks of errors.")] = False,
) -> None:
    """Answers from the best place that can say them: the device in your hand, or a GPU far away."""


up.register(app)
ask.register(app)
status.register(app)
streams.register(app)
app.add_typer(policy.app)
app.add_typer(keys.app)
for group in (models, nodes, stream_desk, decisions, audit):
    app.add_typer(group.app, rich_help_panel="For operators")
limits.register(app)
backup.register(app)
app.add_typer(jobs.app)
app.add_typer(plan.app)
app.add_typer(model.app)
roles.register(app)


def run(arguments: Sequence[str]) -> int:
    """Run one command line; returns its exit code: 0, 1 for an error, 2 for wrong usage, 78 where a process cannot
    start as it is configured."""
    try:
        app(args=list(arguments))
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except EdgewiseError as error:
        if DEBUG_FLAG in arguments:
            raise
        sys.stderr.write(f"{_sentences(error)}\n")
        return CONFIG_EXIT_CODE if isinstance(error, _HOPELESS) and roles.is_role(arguments) else 1
    return 0


def _sentences(error: EdgewiseError) -> str:
    lines = [f"Error: {error.message}"]
    for title, text in (("Where", error.where), ("Expected", error.expected), ("To do", error.remedy)):
        if text:
            lines.append(f"  {title + ':':<10}{text}")
    return "\n".join(lines)


def main() -> None:
    """What the `edgewise` script calls."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()

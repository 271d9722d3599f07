"""`edgewise ask`: an answer in the terminal as it comes, then one line that says who gave it and how fast."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgewise.cli.connection import DATA_DIR, AsJson, DataDir, Key, Url, connected, find_target

if TYPE_CHECKING:
    from edgewise.cli.answer import Answer

FAMILY = "edgewise"
READ_TIMEOUT_S = 120.0


def ask(
    question: Annotated[str, typer.Argument(help="What to ask; `-` reads it from standard input.")],
    mode: Annotated[str, typer.Option(help="Wish for a mode: edge, cloud, prefer-edge, prefer-cloud, race …")] = "",
    device: Annotated[str, typer.Option(help="Wish for an edge node, by its name.")] = "",
    model: Annotated[str, typer.Option(help="A model name of /v1/models.")] = FAMILY,
    system: Annotated[str, typer.Option(help="A system message.")] = "",
    max_tokens: Annotated[int | None, typer.Option(min=1, help="The longest answer, in tokens.")] = None,
    temperature: Annotated[float, typer.Option(min=0, max=2, help="0 gives the same answer each time.")] = 0.0,
    seed: Annotated[int | None, typer.Option(help="The seed of the sampling.")] = None,
    as_json: AsJson = False,
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = DATA_DIR,
) -> None:
    """Ask, and watch the answer stream in."""
    target = find_target("app", data_dir=data_dir, url=url, key=key)
    text = sys.stdin.read() if question == "-" else question
    body = _body(text, model=model, system=system, mode=mode, device=device)
    body |= {"temperature": temperature, "max_tokens": max_tokens, "seed": seed}
    from edgewise.cli.answer import AnswerReader

    with connected(target, timeout_s=READ_TIMEOUT_S) as client:
        reader = AnswerReader(client, on_break=tell_break)
        try:
            _print_as_it_comes(reader, body, silent=as_json)
        except KeyboardInterrupt:
            _stop(reader, client)
            raise
    print_end(reader.answer, as_json=as_json)


def _body(text: str, *, model: str, system: str, mode: str, device: str) -> dict[str, Any]:
    messages = [{"role": "system", "content": system}] if system else []
    wishes = {name: value for name, value in (("mode", mode), ("device", device)) if value}
    return {"model": model, "messages": [*messages, {"role": "user", "content": text}], "edgewise": wishes}


def _print_as_it_comes(reader: Any, body: dict[str, Any], *, silent: bool) -> None:
    print_texts(reader.read({name: value for name, value in body.items() if value is not None}), silent=silent)


def print_texts(texts: Iterator[str], *, silent: bool) -> None:
    """Text as it comes; `silent` only reads it."""
    for text in texts:
        if text and not silent:
            sys.stdout.write(printable(text))
            sys.stdout.flush()


def tell_break(why: str) -> None:
    """One line about a connection that was lost; the answer goes on behind it."""
    typer.secho(f"\nconnection lost ({printable(why)}); reading on …", fg="yellow", err=True)


def printable(text: str) -> str:
    """The text without control characters, which a terminal might obey."""
    return "".join(char for char in text if char in "\n\t" or (char >= " " and not "\x7f" <= char < "\xa0"))


def _stop(reader: Any, client: Any) -> None:
    from edgewise.cli.answer import cancel

    if reader.answer.sid:
        cancel(client, reader.answer.sid)
        sys.stderr.write(f"\nStopped; stream {reader.answer.sid}\n")


def print_end(answer: Answer, *, as_json: bool) -> None:
    """The last line of an answer, or the whole of it as JSON."""
    if as_json:
        import json

        typer.echo(json.dumps(report(answer), ensure_ascii=False))
        return
    sys.stdout.write("" if answer.text.endswith("\n") else "\n")
    sys.stdout.flush()
    for warning in answer.warnings:
        typer.secho(f"warning: {warning}", fg="yellow", err=True)
    typer.secho(summary(answer), dim=True, err=True)


def report(answer: Answer) -> dict[str, Any]:
    """The answer as one object."""
    about = {name: answer.about.get(name) for name in ("tier", "mode", "rule", "reason", "policy", "model_version")}
    times = {name: answer.about.get(name) for name in ("first_token_ms", "total_ms", "tokens", "waste_tokens")}
    speed = None if answer.tokens_per_s is None else round(answer.tokens_per_s, 1)
    return {
        "text": answer.text,
        "finish": answer.finish,
        **about,
        **times,
        "tokens_per_s": speed,
        "tiers": answer.tiers,
        "stream": answer.sid,
    }


def summary(answer: Answer) -> str:
    """One line: tier, mode, rule, first-token time, speed, stream."""
    about = answer.about
    first = about.get("first_token_ms")
    parts = [
        " → ".join(answer.tiers) or "no tier",
        f"mode {about.get('mode', '?')}",
        f"rule {about.get('rule', '?')}",
        "first token ?" if first is None else f"first token {first:.0f} ms",
        "? tokens/s" if answer.tokens_per_s is None else f"{answer.tokens_per_s:.1f} tokens/s",
        f"stream {answer.sid}",
    ]
    return "[" + " · ".join(parts) + "]"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(ask)

"""`edgewise job`: durable jobs, what they do, how far they are (role operator)."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable
from typing import IO, TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from edgewise.cli.connection import DATA_DIR, AsJson, DataDir, Key, Url, call, connected, find_target
from edgewise.cli.tables import print_json, print_table, when
from edgewise.wire.errors import BadRequestError

if TYPE_CHECKING:
    import httpx
    from rich.console import RenderableType
    from rich.progress import Progress

app = typer.Typer(name="job", help="Durable jobs.", no_args_is_help=True)
FOLLOW_S = 0.3
_ENDED = {"done", "failed", "dead"}

JobId = Annotated[str, typer.Argument(metavar="ID", help="The job's id, as `job list` shows it.")]
Follow = Annotated[bool, typer.Option("--follow", "--watch", "-f", help="Show its progress until it ends.")]


@app.command("list")
def list_jobs(
    kind: Annotated[str | None, typer.Option(help="Only jobs of this kind.")] = None,
    state: Annotated[str | None, typer.Option(help="queued, running, done, failed or dead.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many.")] = 50,
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = DATA_DIR,
    as_json: AsJson = False,
) -> None:
    """Jobs, newest first."""
    wanted = {"kind": kind, "state": state, "limit": limit}
    params = {name: value for name, value in wanted.items() if value is not None}
    with connected(find_target("operator", data_dir=data_dir, url=url, key=key)) as client:
        items = call(client, "GET", "/admin/v1/jobs", params=params)["items"]
    if as_json:
        print_json(items)
    else:
        print_table(("id", "kind", "state", "progress", "try", "made", "ended", "why"), map(_row, items))


@app.command("show")
def show_job(
    job_id: JobId,
    follow: Follow = False,
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = DATA_DIR,
    as_json: AsJson = False,
) -> None:
    """One job."""
    with connected(find_target("operator", data_dir=data_dir, url=url, key=key)) as client:
        job = call(client, "GET", _path(job_id))
        _show(follow_job(client, job) if follow else job, as_json)


@app.command("run")
def run_job(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="Such as export_decisions.")],
    payload: Annotated[str, typer.Option(help="A JSON object.")] = "{}",
    job_key: Annotated[str | None, typer.Option("--once", help="Not while a job with this key is live.")] = None,
    idempotency_key: Annotated[
        str | None, typer.Option("--idempotency-key", help="A repeat gets the first one's job, ended or not.")
    ] = None,
    follow: Follow = False,
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = DATA_DIR,
    as_json: AsJson = False,
) -> None:
    """Add a job, due now."""
    body = {"kind": kind, "payload": _object(payload)} | ({"key": job_key} if job_key else {})
    headers = {"idempotency-key": idempotency_key} if idempotency_key else {}
    with connected(find_target("operator", data_dir=data_dir, url=url, key=key)) as client:
        job = call(client, "POST", "/admin/v1/jobs", json=body, headers=headers)
        _show(follow_job(client, job) if follow else job, as_json)


@app.command("retry")
def retry_job(
    job_id: JobId, url: Url = None, key: Key = None, data_dir: DataDir = DATA_DIR, as_json: AsJson = False
) -> None:
    """Queue a failed or dead job again."""
    with connected(find_target("operator", data_dir=data_dir, url=url, key=key)) as client:
        _show(call(client, "POST", f"{_path(job_id)}/retry"), as_json)


@app.command("cancel")
def cancel_job(
    job_id: JobId, url: Url = None, key: Key = None, data_dir: DataDir = DATA_DIR, as_json: AsJson = False
) -> None:
    """End a queued or running job."""
    with connected(find_target("operator", data_dir=data_dir, url=url, key=key)) as client:
        _show(call(client, "POST", f"{_path(job_id)}/cancel"), as_json)


def follow_job(
    client: httpx.Client, job: dict[str, Any], sleep: Callable[[float], None] = time.sleep
) -> dict[str, Any]:
    """Ask until the job has ended, with a bar on a terminal's stderr; the job as it ended."""
    with progress_bar(sys.stderr) as bar:
        task = bar.add_task(job["kind"], total=1.0)
        while job["state"] not in _ENDED:
            bar.update(task, completed=job["progress"], description=_told(job))
            sleep(FOLLOW_S)
            job = call(client, "GET", _path(job["id"]))
        bar.update(task, completed=job["progress"])
    return job


def progress_bar(stream: IO[str]) -> Progress:
    """A bar with rate (percent per minute) and time left, silent where `stream` is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    rate = TextColumn("{task.fields[rate]}", style="progress.data.speed")
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), rate)

    class Rated(Progress):
        """Knows each task's rate when it is drawn."""

        def get_renderables(self) -> Iterable[RenderableType]:
            for task in self.tasks:
                task.fields["rate"] = f"{task.speed * 60:.1%}/min" if task.speed else ""
            yield from super().get_renderables()

    return Rated(*columns, TimeRemainingColumn(), console=Console(file=stream), disable=not stream.isatty())


def _told(job: dict[str, Any]) -> str:
    """What the bar says before it: a job that waits has nobody who could tell."""
    return f"{job['kind']} {job['progress_message'] if job['state'] == 'running' else job['state']}"


def _path(job_id: str) -> str:
    return f"/admin/v1/jobs/{quote(job_id, safe='')}"


def _object(text: str) -> dict[str, Any]:
    import msgspec

    try:
        found: dict[str, Any] = msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise BadRequestError(
            "The payload is not a JSON object",
            where="--payload",
            expected="such as '{\"days\": 3}'",
            remedy="quote it for the shell as shown, and write numbers as JSON does",
        ) from error
    return found


def _row(job: dict[str, Any]) -> tuple[str, ...]:
    tries = f"{job['attempt']}/{job['max_attempts']}"
    made, ended = when(job["created_at"]), when(job["ended_at"])
    return job["id"], job["kind"], job["state"], f"{job['progress']:.0%}", tries, made, ended, job["error"] or ""


def _show(job: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(job)
        return
    print_table(("id", "kind", "state", "progress", "try", "made", "ended", "why"), [_row(job)])
    if job["result"]:
        typer.echo(f"result: {json.dumps(job['result'], ensure_ascii=False)}")

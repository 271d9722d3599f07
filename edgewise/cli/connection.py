"""How every command reaches a running stack: its address, a key, and API errors as typed errors."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import urlsplit

import typer

from edgewise.local.keys_file import KEYS_FILE, read_keys
from edgewise.wire.errors import ConfigError, EdgewiseError, ErrorInfo, RemoteError

if TYPE_CHECKING:
    import httpx

DEFAULT_URL = "http://127.0.0.1:8080"
KEY_VARIABLE = "EDGEWISE_API_KEY"
TIMEOUT_S = 30.0
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}

DataDir = Annotated[
    Path, typer.Option("--data-dir", envvar="EDGEWISE_DATA_DIR", help="Where `edgewise up` keeps its data and keys.")
]
Url = Annotated[
    str | None, typer.Option("--url", envvar="EDGEWISE_URL", help="The control plane. Default: as in the keys' file.")
]
Key = Annotated[str | None, typer.Option("--key", help=f"An API key. Default: {KEY_VARIABLE}, else the keys' file.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
DATA_DIR = Path(".edgewise")


class UnreachableError(EdgewiseError):
    """Nothing answers at the address."""

    number, code = 1611, "control_plane_unreachable"


@dataclass(frozen=True)
class Target:
    """Where to ask, and with which key."""

    url: str
    key: str

    def __repr__(self) -> str:
        return f"Target({self.url!r})"


def find_target(
    role: Literal["app", "operator"],
    *,
    data_dir: Path,
    url: str | None,
    key: str | None,
    environ: Mapping[str, str] = os.environ,
) -> Target:
    """What was given, else the environment, else the first keys in the data directory. Raises ConfigError."""
    keys = read_keys(data_dir / KEYS_FILE)
    found = key or environ.get(KEY_VARIABLE) or getattr(keys, role)
    if not found:
        raise ConfigError(
            f"There is no {role} key",
            where=str(data_dir / KEYS_FILE),
            expected="the file that `edgewise up` writes at its first start",
            remedy=f"start the stack with `edgewise up`, or give --data-dir, --key or {KEY_VARIABLE}",
        )
    return Target((url or keys.base_url or DEFAULT_URL).rstrip("/"), found)


@contextmanager
def connected(target: Target, *, timeout_s: float = TIMEOUT_S) -> Iterator[httpx.Client]:
    """A client for this target; what goes wrong on the way raises UnreachableError or ConfigError."""
    import httpx

    local = urlsplit(target.url).hostname in _LOOPBACK
    try:
        with httpx.Client(
            base_url=target.url,
            headers={"Authorization": f"Bearer {target.key}"},
            timeout=timeout_s,
            trust_env=not local,  # a proxy cannot reach this machine's own address
        ) as client:
            yield client
    except httpx.TransportError as error:
        raise unreachable(target.url, str(error) or type(error).__name__) from error
    except (httpx.InvalidURL, UnicodeEncodeError) as error:
        raise ConfigError(
            f"The address or the key cannot be used: {error}", where=target.url, expected="http://host:port"
        ) from error


@contextmanager
def operator(url: str | None, key: str | None, data_dir: Path) -> Iterator[httpx.Client]:
    """A client with an operator's key."""
    with connected(find_target("operator", data_dir=data_dir, url=url, key=key)) as client:
        yield client


def unreachable(url: str, why: str) -> UnreachableError:
    """The error for an address at which nothing answers."""
    return UnreachableError(
        f"The control plane does not answer: {why}",
        where=url,
        remedy="start it with `edgewise up`, or give its address with --url",
    )


def call(client: httpx.Client, method: str, path: str, **request: Any) -> Any:
    """One call of the API; its JSON object. Raises RemoteError with the API's sentences, and ConfigError when what
    answers at the address is something else."""
    response = client.request(method, path, **request)
    if response.is_error:
        raise api_error(response.status_code, response.content)
    try:
        found = response.json()
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ConfigError(
            "What answers at this address is no Edgewise control plane",
            where=str(response.url),
            expected="a JSON object",
            remedy="give the control plane's address with --url",
        )
    return found


def api_error(status: int, body: bytes) -> RemoteError:
    """The error in an API answer; an answer in another form is quoted."""
    import msgspec

    try:
        found = msgspec.json.decode(body)
        error = found["error"]
        info = ErrorInfo(
            number=int(error.get("number") or 1000),
            code=str(error.get("code") or ""),
            message=str(error["message"]).partition(" To do:")[0].rstrip("."),
            where=str(error.get("where") or ""),
            expected=str(error.get("expected") or ""),
            remedy=str(error.get("remedy") or ""),
        )
        problems = found.get("problems") or []
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError, ValueError):
        quoted = body[:200].decode(errors="replace").strip()
        info = ErrorInfo(number=1000, code="", message=f"The API answered with status {status}: {quoted}")
        problems = []
    return RemoteError(_with_problems(info, problems))


def _with_problems(info: ErrorInfo, problems: list[Any]) -> ErrorInfo:
    import msgspec

    lines = [_problem_line(problem) for problem in problems if isinstance(problem, dict)]
    return msgspec.structs.replace(info, message="\n  ".join([info.message, *lines]))


def _problem_line(problem: dict[str, Any]) -> str:
    line = f"line {problem.get('line')}, column {problem.get('column')}: {problem.get('message')}"
    suggestion = problem.get("suggestion")
    return f"{line} (try: {suggestion})" if suggestion else line

"""What compose.yaml says, run as plain processes: its token log, a control plane with its secrets, its enrolment."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from edgewise.local.valkey import find_binary
from edgewise.settings import read_keys
from tests.deploy.reading import DEPLOY, ROOT, env_file, load_yaml, run
from tests.deploy.test_compose import filled

pytestmark = pytest.mark.system
COMPOSE = DEPLOY / "compose"
SERVICES = load_yaml(COMPOSE / "compose.yaml")["services"]
BIN = Path(sys.executable).parent
WITHIN_S = 30.0


@dataclass(frozen=True)
class Running:
    """A control plane on its log. `environ` is what its container would have."""

    url: str
    data_dir: Path
    environ: dict[str, str]
    process: subprocess.Popen[bytes]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def until(ready: Callable[[], bool], what: str) -> None:
    give_up_at = time.monotonic() + WITHIN_S
    while not ready():
        assert time.monotonic() < give_up_at, what
        time.sleep(0.05)


def probe(target: str | Path) -> bool:
    return run(sys.executable, "-m", "edgewise.local.probe", target).returncode == 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the folder with fresh secrets."""
    folder = tmp_path_factory.mktemp("compose")
    for name in ("make-secrets.sh", "enroll.sh"):
        shutil.copy(COMPOSE / name, folder)
    assert run("sh", folder / "make-secrets.sh").returncode == 0
    return folder


@pytest.fixture(scope="module")
def token_log(folder: Path) -> Iterator[str]:
    """Its URL, after its server was started with the words of compose.yaml."""
    port, data = free_port(), folder / "token-log"
    data.mkdir()
    words = [filled(word).replace("/run/secrets", str(folder / "secrets")) for word in SERVICES["token-log"]["command"]]
    words = [str(find_binary()), *(str(data) if word == "/data" else word for word in words[1:])]
    server = subprocess.Popen([*words, "--port", str(port), "--bind", "127.0.0.1"], stdout=subprocess.DEVNULL)
    until(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0, "the token log does not listen")
    url = env_file(folder / "secrets" / "control.env")["EDGEWISE_LOG_URL"]
    yield url.replace("token-log:6379", f"127.0.0.1:{port}")
    server.terminate()
    server.wait()


@pytest.fixture(scope="module")
def control(folder: Path, token_log: str) -> Iterator[Running]:
    """One gateway, on SQLite in place of PostgreSQL."""
    data_dir, url = folder / "control", f"http://127.0.0.1:{free_port()}"
    secrets = env_file(folder / "secrets" / "control.env")
    ours = {
        "EDGEWISE_LOG_URL": token_log,
        "EDGEWISE_METRICS_TOKEN": secrets["EDGEWISE_METRICS_TOKEN"],
        "EDGEWISE_DATA_DIR": str(data_dir),
        "EDGEWISE_MODELS": f"{ROOT}/reference_models/edge,{ROOT}/reference_models/cloud",
        "EDGEWISE_PORT": url.rpartition(":")[2],
    }
    environ = {"PATH": f"{BIN}:{os.environ['PATH']}"} | ours
    process = subprocess.Popen([BIN / "edgewise", "control"], env=environ, stderr=subprocess.DEVNULL)
    until(lambda: probe(f"{url}/readyz?answers=1"), "the control plane is not ready")
    yield Running(url, data_dir, environ, process)
    process.kill()
    process.wait()


def enrol(control: Running, keys: Path, folder: Path) -> list[str]:
    """What the one-shot service prints."""
    environ = control.environ | {"EDGEWISE_URL": control.url, "EDGEWISE_KEYS_DIR": str(keys)}
    done = run("sh", folder / "enroll.sh", *SERVICES["enroll"]["command"], environ=environ)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_nodes_are_enrolled_once_each_with_its_own_key(control: Running, folder: Path, tmp_path: Path) -> None:
    assert enrol(control, tmp_path, folder) == ["worker-0.node is made", "edge-0.node is made", "edge-0.app is made"]
    assert enrol(control, tmp_path, folder) == []
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
    key = read_keys(tmp_path / "worker-0.node", "node")["node"]
    operator = read_keys(control.data_dir / "keys.json", "node")["operator"]
    headers = {"authorization": f"Bearer {operator}"}
    listed = httpx.get(f"{control.url}/admin/v1/keys", headers=headers).json()["items"]
    (mine,) = [each for each in listed if each["device"] == "worker-0"]
    assert key.startswith(mine["prefix"])
    assert mine["roles"] == ["node"]


def test_the_scraper_shows_its_token_and_others_see_nothing(control: Running, folder: Path) -> None:
    token = (folder / "secrets" / "metrics-token").read_text()
    passed_on = {"x-forwarded-for": "192.0.2.1"}
    assert httpx.get(f"{control.url}/metrics", headers=passed_on).status_code == 401
    shown = httpx.get(f"{control.url}/metrics", headers=passed_on | {"authorization": f"Bearer {token}"})
    assert "edgewise_nodes" in shown.text


def test_sigterm_ends_it_in_good_order(control: Running) -> None:
    control.process.send_signal(signal.SIGTERM)
    assert control.process.wait(WITHIN_S) == 0
    assert not probe(f"{control.url}/healthz")

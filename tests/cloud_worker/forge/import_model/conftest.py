"""Finished imports of tiny random models of the three families, each stopped half-way and gone on with."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cloud_worker.forge.import_model.pipeline import ImportReport, ImportRequest, import_model
from tests.factories.imported import KINDS, write_model, write_prompts


class StoppedError(Exception):
    """Stands for a process that is killed."""


@dataclass
class Watch:
    """Remembers the stages in order; stops at the beginning of the one it is told to."""

    stop: str = ""
    stages: dict[str, float] = field(default_factory=dict)

    def __call__(self, stage: str, done: float, total: float, message: str = "") -> None:
        self.stages[stage] = max(done, self.stages.get(stage, 0))
        if stage == self.stop:
            raise StoppedError


@dataclass(frozen=True)
class Imported:
    """A finished import: what was asked, what came of it, the stages of the attempt that ended, and when the graph was
    written before and after the stop."""

    asked: ImportRequest
    report: ImportReport
    stages: dict[str, float]
    graph_at: tuple[int, int]


def done_in_two(folder: Path, kind: str) -> Imported:
    """An import that is stopped while the weights are copied, and started again."""
    source = write_model(folder / "source", kind, shard="100KB")
    prompts = write_prompts(folder / "prompts.jsonl") if kind == "qwen2" else None
    precision = "int8" if kind == "llama" else "int4"
    asked = ImportRequest(
        directory=source, name="mine", out=folder / "out", precision=precision, prompts=prompts, answer_tokens=3
    )
    watch = Watch()
    with pytest.raises(StoppedError):
        import_model(asked, Watch(stop="cloud"))
    before = written_at(asked.out)["edge/model.onnx"]
    report = import_model(asked, watch)
    return Imported(asked, report, watch.stages, (before, written_at(asked.out)["edge/model.onnx"]))


def written_at(out: Path) -> dict[str, int]:
    """When each file of both versions was written."""
    return {str(path.relative_to(out)): path.stat().st_mtime_ns for path in out.glob("[ec]*/*")}


class Imports(dict[str, Imported]):
    """Imports by family, each made when it is first asked for."""

    def __init__(self, home: Path) -> None:
        super().__init__()
        self._home = home

    def __missing__(self, kind: str) -> Imported:
        self[kind] = done_in_two(self._home / kind, kind)
        return self[kind]


@pytest.fixture(scope="session")
def imports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Imported]:
    """One for each family."""
    return Imports(tmp_path_factory.mktemp("imports"))


@pytest.fixture(params=KINDS)
def done(request: pytest.FixtureRequest, imports: dict[str, Imported]) -> Imported:
    """Each family in turn."""
    return imports[request.param]

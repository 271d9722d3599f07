"""`edgewise model import` from end to end: checked, exported, laid out, judged, described. Killed, it goes on.

out/.import/KEY/stages/*.json   what finished stages found; KEY names the model's state and the settings
out/.import/KEY/onnx/           graphs on the way; gone when the import is done
out/edge, out/cloud             the two model directories; manifests come last
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from cloud_worker.architectures import CONFIG_FILE
from cloud_worker.forge.evaluate.decoder import Advance
from cloud_worker.forge.export import assemble, export_onnx
from cloud_worker.forge.export.precision import method_name
from cloud_worker.forge.export.room import Free, disk_free, memory_free, with_own
from cloud_worker.forge.import_model.check import CONTEXT_TOKENS, Candidate, check
from cloud_worker.forge.import_model.cloud_folder import write_cloud_folder
from cloud_worker.forge.import_model.describe import Described, Version, describe
from cloud_worker.forge.import_model.judge import ANSWER_TOKENS, Question, Views, edge_views, parent_views, questions
from cloud_worker.forge.import_model.prompts import OwnPrompt, digest_of, read_prompts
from cloud_worker.forge.jobs.stages import FOLDER, Progress, Stages
from edgewise.wire.errors import BadRequestError

WORK: Final = ".import"
TIERS: Final = ("edge", "cloud")


class ImportPlaceError(BadRequestError):
    """The output folder holds a model that no import made, or another import works in it."""

    number, code = 1871, "import_place_taken"


@dataclass(frozen=True, kw_only=True)
class ImportRequest:
    """What is imported. `precision`: int4, int8, fp32, or a method of the quantization registry. `prompts`: the user's
    JSONL file; without it nothing is judged. `context_tokens`: the most that both versions offer."""

    directory: Path
    name: str
    out: Path
    precision: str = "int4"
    prompts: Path | None = None
    context_tokens: int = CONTEXT_TOKENS
    answer_tokens: int = ANSWER_TOKENS


class ImportReport(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it. `cloud_fault`: why our cloud engine cannot run the cloud version yet; empty when it can.
    `gates`: every judged gate in words, with whether it holds; none where nothing was judged."""

    name: str
    model_type: str
    parameters: int
    method: str
    edge: Version
    cloud: Version
    cloud_fault: str
    warnings: tuple[str, ...]
    judged: bool
    gates: tuple[tuple[str, bool], ...]

    @property
    def failing(self) -> tuple[str, ...]:
        """The gates that do not hold."""
        return tuple(words for words, holds in self.gates if not holds)


def import_model(
    asked: ImportRequest, progress: Progress, disk: Free = disk_free, memory: Free = memory_free
) -> ImportReport:
    """Do it, or go on with it. Raises the errors of `check` and PromptsFileError before any work, ImportPlaceError,
    ExportError."""
    progress("check", 0, 1)
    _check_place(asked.out, asked.directory)
    prompts = read_prompts(asked.prompts) if asked.prompts else ()
    room = with_own(disk, *(asked.out / place for place in (*TIERS, WORK)))
    candidate = check(asked.directory, asked.precision, asked.out, asked.context_tokens, room, memory)
    exam = questions(prompts, candidate.tokenizer, candidate.context_tokens, asked.answer_tokens)
    progress("check", 1, 1)
    with _alone(asked.out):
        return _Run(asked, candidate, prompts, exam, progress).report()


class _Run:
    """The stages of one import, each of them once."""

    def __init__(
        self,
        asked: ImportRequest,
        candidate: Candidate,
        prompts: tuple[OwnPrompt, ...],
        exam: tuple[Question, ...],
        progress: Progress,
    ) -> None:
        self._asked, self._candidate, self._prompts, self._exam = asked, candidate, prompts, exam
        self._progress = progress
        self._work = _only(asked.out / WORK, _key(candidate.digest, asked.precision, str(asked.context_tokens)))
        _check_products(self._work, asked.out)
        judged = _key(asked.name, str(asked.answer_tokens), digest_of(prompts))
        self._made = Stages(self._work, progress)
        self._judged = Stages(_only(self._work / "judged", judged), progress)
        self._end = candidate.source.speech.eos_ids[0]
        self._method = method_name(asked.precision, candidate.sizes)

    def report(self) -> ImportReport:
        graph = self._made.once("graph", str, self._graph)
        self._made.once("edge", str, lambda: self._edge(self._work / "onnx" / graph))
        self._made.once("cloud", str, self._cloud)
        parent = self._judged.once("parent", Views, self._parent)
        edge = self._judged.once("judge", Views, lambda: self._judge(parent))
        found = self._judged.once("describe", Described, lambda: self._described(parent, edge))
        shutil.rmtree(self._work / "onnx", ignore_errors=True)
        sizes = self._candidate.sizes
        return ImportReport(
            name=self._asked.name,
            model_type=sizes.model_type,
            parameters=sizes.parameters,
            method=self._method,
            edge=self._placed(found.edge, "edge"),
            cloud=self._placed(found.cloud, "cloud"),
            cloud_fault=self._candidate.cloud_fault,
            warnings=self._candidate.warnings,
            judged=bool(self._exam),
            gates=found.gates,
        )

    def _placed(self, version: Version, tier: str) -> Version:
        """Where it lies now: the folder may have been moved since, or named from elsewhere."""
        return msgspec.structs.replace(version, directory=str(self._asked.out / tier))

    def _graph(self) -> str:
        place = self._work / "onnx"
        place.mkdir(parents=True, exist_ok=True)
        directory, tokenizer = self._asked.directory, self._candidate.tokenizer_file
        return export_onnx(directory, tokenizer, place, self._asked.precision).name

    def _edge(self, graph: Path) -> str:
        config = self._work / "config.json"
        config.write_text(json.dumps(self._candidate.config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        tokenizer, template = self._candidate.tokenizer_file, self._candidate.template
        return str(assemble("edge", graph, config, tokenizer, self._asked.out, template))

    def _cloud(self) -> str:
        whole, done = sum(each.end - each.begin for each in self._candidate.source.tensors.values()), 0

        def advance(count: int) -> None:
            nonlocal done
            done += count
            self._progress("cloud", done, whole)

        return str(write_cloud_folder(self._candidate, self._asked.out / "cloud", advance))

    def _described(self, parent: Views, edge: Views) -> Described:
        return describe(
            self._asked.out, self._asked.name, self._method, self._candidate, self._exam, digest_of(self._prompts),
            parent, edge,
        )  # fmt: skip

    def _parent(self) -> Views:
        if not self._exam:
            return Views(())
        from cloud_worker.forge.import_model.reference import ReferenceDecoder

        model = ReferenceDecoder(self._asked.directory, self._end, self._candidate.context_tokens)
        limit, advance = self._asked.answer_tokens, self._counter("parent")
        return parent_views(model, self._exam, self._candidate.tokenizer, limit, advance)

    def _judge(self, parent: Views) -> Views:
        if not self._exam:
            return Views(())
        from cloud_worker.forge.evaluate.onnx_rows import open_rows

        model = open_rows(self._asked.out / "edge", self._end, self._candidate.context_tokens)
        limit, advance = self._asked.answer_tokens, self._counter("judge")
        return edge_views(model, self._exam, parent, self._candidate.tokenizer, limit, advance)

    def _counter(self, stage: str) -> Advance:
        done = 0

        def advance(count: int) -> None:
            nonlocal done
            done += count
            self._progress(stage, done, len(self._exam))

        return advance


def _key(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _only(home: Path, key: str) -> Path:
    """home/key, with everything else in `home` gone: it belongs to another model or other settings."""
    home.mkdir(parents=True, exist_ok=True)
    for other in home.iterdir():
        if other.name != key and other.is_dir():
            shutil.rmtree(other)
    (home / key).mkdir(exist_ok=True)
    return home / key


def _check_place(out: Path, directory: Path) -> None:
    """Raises ImportPlaceError, also for a model that lies where the import writes: it would be replaced by itself."""
    if any(directory.resolve().is_relative_to((out / place).resolve()) for place in (*TIERS, WORK)):
        raise ImportPlaceError(
            "The model lies in a folder that the import writes",
            where=str(directory),
            expected="a model outside edge/, cloud/ and .import/ of the output folder",
            remedy="give another folder with --out",
        )
    taken = [tier for tier in TIERS if (out / tier).exists()]
    if taken and not (out / WORK).is_dir():
        raise ImportPlaceError(
            f"There is a folder {taken[0]} already that no import made",
            where=str(out),
            expected="a new folder, or one of an earlier import",
            remedy="give another folder with --out",
        )


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Be the only import in this folder; the lock falls with the process."""
    (out / WORK).mkdir(parents=True, exist_ok=True)
    with (out / WORK / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ImportPlaceError(
                "Another import works in this folder", where=str(out), remedy="wait for it, or give another --out"
            ) from error
        yield


def _check_products(home: Path, out: Path) -> None:
    """Forget what was noted of an import whose folders somebody took away since: it is done again from the start."""
    if any((home / FOLDER / f"{tier}.json").exists() and not (out / tier / CONFIG_FILE).exists() for tier in TIERS):
        shutil.rmtree(home)
        home.mkdir()

"""forge.import: `edgewise model import` as a job. The stages, and what is kept of them, are the import's own."""

from __future__ import annotations

from pathlib import Path

import msgspec

from cloud_worker.forge.import_model.pipeline import ImportReport, ImportRequest
from cloud_worker.forge.import_model.pipeline import import_model as run
from cloud_worker.forge.jobs.kinds import Bench
from cloud_worker.forge.jobs.stages import Progress
from edgewise.wire.forge_jobs import ImportPayload


def import_model(payload: ImportPayload, bench: Bench, progress: Progress) -> ImportReport:
    """Both model directories below the job's folder; their paths are relative to the forge's data directory. Raises
    what the import raises."""
    asked = ImportRequest(
        directory=Path(payload.model),
        name=payload.name,
        out=bench.folder / "model",
        precision=payload.precision,
        prompts=Path(payload.prompts) if payload.prompts else None,
    )
    report = run(asked, progress)
    home = bench.folder.parent.parent
    edge, cloud = (
        msgspec.structs.replace(version, directory=str(Path(version.directory).relative_to(home)))
        for version in (report.edge, report.cloud)
    )
    return msgspec.structs.replace(report, edge=edge, cloud=cloud)

"""The import from end to end on tiny random models of the three families, stopped half-way and gone on with."""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import shutil
import time
from pathlib import Path

import pytest

from cloud_worker.architectures import ConfigJsonError
from cloud_worker.engine.loader import load_engine
from cloud_worker.engine.model.decoder import Decoder
from cloud_worker.engine.work import Segment
from cloud_worker.forge.evaluate.decoder import open_decoder
from cloud_worker.forge.export import NotEnoughRoomError
from cloud_worker.forge.export.room import DISK_BYTES_PER_PARAMETER
from cloud_worker.forge.import_model import STAGES
from cloud_worker.forge.import_model.pipeline import ImportPlaceError, ImportRequest, import_model
from cloud_worker.forge.import_model.reference import ReferenceDecoder
from edgewise.generation.tokenizer import ChatTokenizer
from edgewise.wire.findings import load_findings
from edgewise.wire.manifest import load_manifest
from tests.cloud_worker.forge.import_model.conftest import Imported, StoppedError, Watch, written_at
from tests.factories.imported import HALF_BILLION, write_model, write_prompts
from tests.factories.states import GREEDY, make_state
from tests.factories.tokenizers import END_ID


def test_both_versions_are_whole_and_verify(done: Imported) -> None:
    for tier, version in (("edge", done.report.edge), ("cloud", done.report.cloud)):
        manifest = load_manifest(Path(version.directory), verify=True)
        assert (manifest.id, manifest.name, manifest.tier) == (version.manifest_id, f"mine-{tier}", tier)
        assert (manifest.eos_ids, manifest.context_tokens) == ((END_ID,), 512)
        assert manifest.tensors
    assert load_manifest(Path(done.report.edge.directory)).parent == done.report.cloud.manifest_id


def test_the_tiers_share_tokenizer_and_template(done: Imported) -> None:
    edge, cloud = (ChatTokenizer.load(done.asked.out / tier) for tier in ("edge", "cloud"))
    assert (edge.digest, edge.template_digest) == (cloud.digest, cloud.template_digest)


def test_it_went_on_where_it_was_stopped(done: Imported) -> None:
    assert done.graph_at[0] == done.graph_at[1]
    assert list(done.stages) == list(STAGES)
    assert not list((done.asked.out / ".import").glob("*/onnx"))


def test_a_finished_import_is_not_done_again(done: Imported) -> None:
    before = written_at(done.asked.out)
    assert import_model(done.asked, Watch()) == done.report
    assert written_at(done.asked.out) == before


def test_the_cloud_engine_runs_the_cloud_version(done: Imported) -> None:
    assert done.report.cloud_fault == ""
    reference = ReferenceDecoder(done.asked.directory, END_ID, 512)
    prompt = (3, 60, 61, 1, 4)
    engine = load_engine(done.asked.out / "cloud")
    engine.submit("a", make_state(prompt_ids=prompt, max_tokens=5, sampling=GREEDY))
    said = list[int]()
    while engine.stats().running + engine.stats().queued:
        said += [token for output in engine.step() for token in output.ids]
    assert tuple(said) == tuple(reference.complete([prompt], [5])[0].ids)
    decoder = Decoder.load(done.asked.out / "cloud", "float32", blocks=8)
    rows = decoder.logits(decoder.forward([Segment("a", (0,), 0, (*prompt, 7, 8), prompt=True, wanted=3)]))
    expected = rows.double().log_softmax(-1)[[0, 1, 2], [7, 8, END_ID]]
    assert reference.force([prompt], [(7, 8)])[0].logprobs == pytest.approx(expected.tolist(), abs=1e-4)


def test_the_edge_version_runs(done: Imported) -> None:
    assert len(open_decoder(done.asked.out / "edge").force([(3, 60, 1, 4)], [(7, 8)])[0].best) == 3


def test_what_was_judged_is_in_the_findings(done: Imported) -> None:
    found = load_findings(done.asked.out / "edge")
    assert done.report.judged == (found is not None) == bool(done.asked.prompts)
    if found is None:
        assert done.report.gates == ()
        assert "not judged" in (done.asked.out / "edge" / "CARD.md").read_text(encoding="utf-8")
        return
    assert found.languages() == ["en", "zh"]
    assert {cell.total for cell in found.cells} == {1}
    assert found.parent is not None and found.parent.name == "mine-cloud"
    names = {words.partition(" (")[0] for words, _ in done.report.gates}
    assert {"perplexity change", "agreement with the parent"} <= names


def test_a_changed_model_is_imported_anew(tmp_path: Path) -> None:
    source = write_model(tmp_path / "source", "llama")
    asked = ImportRequest(directory=source, name="mine", out=tmp_path / "out", precision="fp32")
    begun = []
    for attempt in range(2):
        watch = Watch(stop="graph")
        with pytest.raises(StoppedError):
            import_model(asked, watch)
        begun.append([path.name for path in (asked.out / ".import").iterdir() if path.is_dir()])
        config = source / "config.json"
        config.write_text(json.dumps(json.loads(config.read_text()) | {"attempt": attempt}))
    assert len(begun[0]) == len(begun[1]) == 1 and begun[0] != begun[1]


@pytest.mark.parametrize("tier", ["edge", "cloud"])
def test_a_folder_of_somebody_elses_is_left_alone(tmp_path: Path, tier: str) -> None:
    (tmp_path / tier).mkdir()
    with pytest.raises(ImportPlaceError, match="no import made"):
        import_model(ImportRequest(directory=tmp_path, name="mine", out=tmp_path), Watch())


def test_two_imports_do_not_share_a_folder(tmp_path: Path) -> None:
    source = write_model(tmp_path / "source", "llama")
    asked = ImportRequest(directory=source, name="mine", out=tmp_path / "out", precision="fp32")

    def meanwhile(stage: str, done: float, total: float, message: str = "") -> None:
        if stage == "graph":
            import_model(asked, Watch())

    with pytest.raises(ImportPlaceError, match="Another import"):
        import_model(asked, meanwhile)


def test_a_refused_model_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(ConfigJsonError):
        import_model(ImportRequest(directory=tmp_path / "nowhere", name="mine", out=tmp_path / "out"), Watch())
    assert not (tmp_path / "out").exists()


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_half_a_billion_random_weights_go_through(tmp_path: Path) -> None:
    source = write_model(tmp_path / "source", "qwen2", HALF_BILLION)
    prompts = write_prompts(tmp_path / "prompts.jsonl")
    asked = ImportRequest(
        directory=source, name="half", out=tmp_path / "out", prompts=prompts, context_tokens=1024, answer_tokens=8
    )
    started = time.monotonic()
    report = import_model(asked, Watch())
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(f"{time.monotonic() - started:.0f} s, peak {peak / 2**20:.1f} GiB in one process, {os.cpu_count()} cores")
    print(report)
    assert report.parameters == 494_032_768 and report.cloud_fault == ""
    assert load_manifest(asked.out / "edge").id == report.edge.manifest_id
    assert load_manifest(asked.out / "cloud").id == report.cloud.manifest_id


def copied(imports: dict[str, Imported], tmp_path: Path) -> ImportRequest:
    """A finished import, moved to another place."""
    shutil.copytree(imports["llama"].asked.out, tmp_path / "out")
    return dataclasses.replace(imports["llama"].asked, out=tmp_path / "out")


def test_a_model_is_never_imported_over_itself(imports: dict[str, Imported], tmp_path: Path) -> None:
    asked = copied(imports, tmp_path)
    before = written_at(asked.out)
    with pytest.raises(ImportPlaceError, match="lies in a folder that the import writes"):
        import_model(dataclasses.replace(asked, directory=asked.out / "cloud"), Watch())
    assert written_at(asked.out) == before


def test_a_folder_that_was_taken_away_is_made_again(imports: dict[str, Imported], tmp_path: Path) -> None:
    asked = copied(imports, tmp_path)
    assert import_model(asked, Watch()).edge.directory == str(asked.out / "edge")
    shutil.rmtree(asked.out / "edge")
    report = import_model(asked, Watch())
    assert load_manifest(Path(report.edge.directory)).id == report.edge.manifest_id


def test_what_is_finished_counts_as_room_when_it_goes_on(imports: dict[str, Imported], tmp_path: Path) -> None:
    asked = copied(imports, tmp_path)
    needed = imports["llama"].report.parameters * DISK_BYTES_PER_PARAMETER
    own = sum(path.stat().st_size for path in asked.out.rglob("*") if path.is_file())
    assert import_model(asked, Watch(), disk=lambda _: needed - own).edge.bytes
    with pytest.raises(NotEnoughRoomError):
        import_model(asked, Watch(), disk=lambda _: needed - own - 1)

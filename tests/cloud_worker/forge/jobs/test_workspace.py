"""What a job's folder keeps over any death, and that it has one owner."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloud_worker.forge.jobs.claim import GONE, Outcome, failed
from cloud_worker.forge.jobs.workspace import Workspaces
from edgewise.wire.errors import ConfigError, DataDirError
from tests.cloud_worker.forge.jobs.fakes import JOB_ID, claim_of

DONE = Outcome(result={"n": 1})


def test_a_result_is_found_by_the_next_claim_and_a_failure_is_forgotten(tmp_path: Path) -> None:
    space = Workspaces(tmp_path).of(JOB_ID)
    assert space.hold(claim_of(1)) is None
    space.keep(failed("no", retry=True))
    assert space.hold(claim_of(2)) is None
    assert space.outcome() is None
    space.keep(DONE)
    assert space.hold(claim_of(3)) == DONE
    assert space.claim() == claim_of(3)


def test_claims_in_hand_are_found_with_how_they_ended(tmp_path: Path) -> None:
    spaces = Workspaces(tmp_path)
    ids = [JOB_ID[:-1] + last for last in "abc"]
    for job_id in ids:
        spaces.of(job_id).hold(claim_of(job_id=job_id))
    spaces.of(ids[1]).keep(DONE)
    spaces.of(ids[2]).release()
    found = spaces.unreported()
    assert found == [(claim_of(job_id=ids[0]), GONE), (claim_of(job_id=ids[1]), DONE)]


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"\xff\xfe"])
def test_a_damaged_note_is_none(tmp_path: Path, damage: bytes) -> None:
    space = Workspaces(tmp_path).of(JOB_ID)
    space.hold(claim_of())
    (space.folder / "claim.json").write_bytes(damage)
    (space.folder / "outcome.json").write_bytes(damage)
    assert space.claim() is None
    assert space.outcome() is None
    assert Workspaces(tmp_path).unreported() == []


def test_one_process_owns_a_data_directory(tmp_path: Path) -> None:
    with Workspaces(tmp_path).owned():
        second = Workspaces(tmp_path).owned()
        with pytest.raises(DataDirError, match="Another forge process"):
            second.__enter__()
    with Workspaces(tmp_path).owned():
        pass


@pytest.mark.parametrize("job_id", ["", "..", "../x", "/etc", "A" * 26])
def test_an_id_becomes_a_path_only_if_it_is_one(tmp_path: Path, job_id: str) -> None:
    with pytest.raises(ConfigError):
        Workspaces(tmp_path).of(job_id)

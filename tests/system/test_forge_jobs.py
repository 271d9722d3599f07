"""Forge jobs in real processes: killed half-way they resume, and whoever lost a claim can say nothing any more."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cloud_worker.forge.jobs.bodies import tries
from tests.factories.control import own_log_server
from tests.system.forge_stack import ForgeStack, is_gone, until

pytestmark = pytest.mark.system
ALL = {"stages": ["a", "b", "c"]}


@pytest.fixture(scope="module")
def stack() -> Iterator[ForgeStack]:
    with own_log_server() as log_url, tempfile.TemporaryDirectory(prefix="ew-forge-") as folder:
        opened = ForgeStack(Path(folder), log_url)
        try:
            opened.start_control()
            yield opened
        finally:
            opened.close()


@pytest.fixture(autouse=True)
def forge(stack: ForgeStack) -> Iterator[None]:
    stack.start_forge()
    yield
    stack.stop("forge")


def test_killed_half_way_it_resumes_and_ends_with_one_result(stack: ForgeStack) -> None:
    job_id = stack.add(hold="b")
    folder = stack.held(job_id)
    until(lambda: stack.job(job_id)["progress_message"] == "b", "progress in the admin API")
    assert stack.job(job_id)["progress"] == 0.25
    grandchild = int((folder / "grandchild").read_text())
    stack.kill("forge")
    until(lambda: is_gone(grandchild), "everything that the process had started to die with it")
    stack.start_forge()
    ended = stack.await_state(job_id, "done")
    assert (ended["result"], ended["attempt"], ended["epoch"]) == (ALL, 2, 2)
    assert tries(folder) == {"a": 1, "b": 2, "c": 1}
    assert stack.refused_as_zombie(job_id, 1)
    assert stack.refused_as_zombie(job_id, 2)
    assert stack.job(job_id) == ended


def test_a_holder_whose_lease_ran_out_is_refused_once_another_has_the_job(stack: ForgeStack) -> None:
    stack.stop("forge")
    job_id = stack.add(hold="a")
    wanted = {"kinds": ["test.staged"], "holder": "zombie", "offers": ["forge"]}
    zombie = stack.node.post("/internal/v1/jobs/claim", json=wanted).json()
    assert (zombie["id"], zombie["epoch"]) == (job_id, 1)
    stack.start_forge()
    stack.held(job_id)  # claimed when the lease of two seconds was over
    assert stack.job(job_id)["epoch"] == 2
    assert stack.refused_as_zombie(job_id, 1)
    stack.operator.post(f"/admin/v1/jobs/{job_id}/cancel")


def test_a_cancelled_job_is_stopped_with_all_that_it_started(stack: ForgeStack) -> None:
    job_id = stack.add(hold="a")
    grandchild = int((stack.held(job_id) / "grandchild").read_text())
    stack.operator.post(f"/admin/v1/jobs/{job_id}/cancel")
    until(lambda: is_gone(grandchild), "the body to be stopped")
    assert stack.job(job_id)["state"] == "failed"
    stack.operator.post(f"/admin/v1/jobs/{job_id}/retry")
    assert stack.await_state(job_id, "done")["result"] == ALL


def test_told_to_stop_it_gives_the_job_back_and_the_next_goes_on(stack: ForgeStack) -> None:
    job_id = stack.add(hold="c")
    folder = stack.held(job_id)
    assert stack.stop("forge") == 0
    given = stack.job(job_id)
    assert (given["state"], given["attempt"], given["holder"]) == ("queued", 0, "")
    stack.start_forge()
    assert stack.await_state(job_id, "done")["attempt"] == 1
    assert tries(folder) == {"a": 1, "b": 1, "c": 2}


def test_a_result_waits_for_a_control_plane_that_was_killed(stack: ForgeStack) -> None:
    stack.stop("forge")
    job_id = stack.add()
    stack.start_forge()
    folder = stack.folder / "forge" / "jobs" / job_id
    until((folder / "claim.json").exists, "the claim")
    stack.kill("control")
    until((folder / "outcome.json").exists, "the body to end")
    stack.start_control()
    assert stack.await_state(job_id, "done")["result"] == ALL
    assert tries(folder) == {"a": 1, "b": 1, "c": 1}


def test_a_body_that_dies_without_a_word_is_tried_again_and_then_dead(stack: ForgeStack) -> None:
    job_id = stack.add("test.broken")
    until(lambda: bool(stack.job(job_id)["error"]), "the first failure")
    assert "the body's process ended with status 3" in stack.job(job_id)["error"]
    assert stack.job(job_id)["state"] == "queued"
    stack.operator.post(f"/admin/v1/jobs/{job_id}/cancel")

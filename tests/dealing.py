"""How xdist deals test files out to its workers: whole files, those together that share what is dear to make, and those
that wait for processes beside those that compute. What a test needs is no matter of this file."""

from __future__ import annotations

from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]

WAITING = (
    "tests/chaos/",
    "tests/system/",
    "tests/contract/test_policy_bundles.py",
    "tests/control_plane/jobs/test_processes.py",
    "tests/deploy/test_plain_processes.py",
    "tests/edge_agent/test_main.py",
)
"""Where processes are started, killed and waited for: much time and little of it on a processor."""

ON_ONE_STACK = (
    "tests/system/test_answers.py",
    "tests/system/test_bad_input.py",
    "tests/system/test_device_decisions.py",
    "tests/system/test_policy_live.py",
    "tests/system/test_policy_rollout.py",
    "tests/system/test_privacy.py",
    "tests/system/test_readme.py",
    "tests/system/test_warming.py",
)
"""Files that ask for the fixture `stack` of tests/system."""

TOGETHER = (
    ON_ONE_STACK,
    ("tests/chaos/",),  # on a stack, too
    ("tests/cloud_worker/forge/export/", "tests/cloud_worker/forge/quantize/"),  # a float graph
    ("tests/cloud_worker/forge/import_model/",),  # imports of each family
)
"""Files and folders whose tests share what is made once in a process: a group goes to one worker."""


def unit_of(nodeid: str) -> str:
    """What is dealt out as one: a file, or a group under the name of its first."""
    file = nodeid.split("::", 1)[0]
    return next((group[0] for group in TOGETHER if file.startswith(group)), file)


class Dealer(LoadFileScheduling):  # type: ignore[misc]
    """The first worker takes the files that wait for as long as there are any, the others those that compute: all the
    time, and not only at the end, the processors have something to do while somebody waits."""

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(nodeid)

    def _assign_work_unit(self, node: object) -> None:
        waits = node is self.nodes[0]
        wanted = (unit for unit in self.workqueue if unit.startswith(WAITING) == waits)
        self.workqueue.move_to_end(next(wanted, next(iter(self.workqueue))), last=False)
        super()._assign_work_unit(node)

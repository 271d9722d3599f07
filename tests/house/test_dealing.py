"""How test files are dealt out to workers: what shares a stack stays together, and waiting goes on beside computing."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain
from types import SimpleNamespace

from tests import dealing
from tests.house.closure import ROOT

COMPUTING = [f"tests/policies/test_{letter}.py::test_{number}" for letter in "abcd" for number in range(4)]
SLOW = [f"tests/{file}.py::test_{number}" for file in ("chaos/test_x", "system/test_drain") for number in range(3)]


@dataclass(eq=False)
class Worker:
    """Takes what it is given; xdist's own sends it to a process."""

    gateway: SimpleNamespace
    shutting_down: bool = False
    given: list[int] = field(default_factory=list)

    def send_runtest_some(self, indexes: list[int]) -> None:
        self.given += indexes

    def shutdown(self) -> None:
        self.shutting_down = True


def deal(nodeids: list[str], workers: int) -> list[list[str]]:
    """What each worker did when each did one test in turn."""
    config = SimpleNamespace(getvalue=lambda _: ["popen"] * workers, option=SimpleNamespace(loadscopereorder=True))
    dealer, nodes = (
        dealing.Dealer(config, None),
        [Worker(SimpleNamespace(id=f"gw{number}")) for number in range(workers)],
    )
    for node in nodes:
        dealer.add_node(node)
        dealer.add_node_collection(node, nodeids)
    dealer.schedule()
    done: list[list[str]] = [[] for _ in nodes]
    while sum(map(len, done)) < len(nodeids):
        for node, mine in zip(nodes, done, strict=True):
            if len(mine) < len(node.given):
                index = node.given[len(mine)]
                mine.append(nodeids[index])
                dealer.mark_test_complete(node, index)
    return done


def test_one_worker_waits_while_the_others_compute_and_all_is_done_once() -> None:
    done = deal(COMPUTING + SLOW, workers=3)
    assert sorted(chain(*done)) == sorted(COMPUTING + SLOW)
    assert set(done[0][: len(SLOW)]) == set(SLOW)
    assert not set(SLOW) & {*done[1], *done[2]}


def test_who_has_nothing_left_of_his_own_kind_helps() -> None:
    done = deal(COMPUTING, workers=3)
    assert all(done)
    assert sorted(deal(SLOW, workers=1)[0]) == sorted(SLOW)


def test_files_that_share_are_one_unit() -> None:
    assert len({dealing.unit_of(f"{file}::test_x[a::b]") for file in dealing.ON_ONE_STACK}) == 1
    assert len({dealing.unit_of(f"tests/chaos/test_{name}.py::test") for name in "ab"}) == 1
    assert dealing.unit_of("tests/system/test_drain.py::test_x") == "tests/system/test_drain.py"


def test_the_lists_name_what_is_there() -> None:
    """Who takes the stack of tests/system (and has none of its own) is one of those that share it."""
    texts = {path: path.read_text(encoding="utf-8") for path in (ROOT / "tests/system").glob("test_*.py")}
    sharing = {path for path, text in texts.items() if "stack: Stack" in text and "def stack(" not in text}
    own = {path for path in sharing if "slow_stack: Stack" in texts[path] or "running_stack(" in texts[path]}
    assert {str(path.relative_to(ROOT)) for path in sharing - own} == set(dealing.ON_ONE_STACK)
    assert all((ROOT / place).exists() for place in chain(dealing.WAITING, *dealing.TOGETHER))

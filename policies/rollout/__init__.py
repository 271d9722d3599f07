"""Bringing a version of a policy into force by stages: the PolicyRollout document, its state machine, gates and shares.

Pure: no clock, no I/O, no randomness. Nothing is measured, stored or pushed here.
"""

from policies.rollout.applying import Applied, Because, applied
from policies.rollout.counts import NOTHING_MEASURED, Counts, Measures, Share, Spread
from policies.rollout.errors import Refusal, RolloutError
from policies.rollout.gates import Gate, Standing
from policies.rollout.machine import advance, begin, stands
from policies.rollout.plan import Approvals, OnBreach, RolloutPlan, Stage, StageMode, Window
from policies.rollout.read import load_rollout
from policies.rollout.records import read_counts, restored, state_to_dict
from policies.rollout.shadow import Tally, differ
from policies.rollout.states import (
    Approved,
    Done,
    Event,
    HoldAsked,
    Measured,
    OnHold,
    Position,
    Resumed,
    RollBackAsked,
    RolledBack,
    RolloutState,
    Running,
    Scheduled,
    Step,
    Ticked,
    Waiting,
)

__all__ = [
    "NOTHING_MEASURED",
    "Applied",
    "Approvals",
    "Approved",
    "Because",
    "Counts",
    "Done",
    "Event",
    "Gate",
    "HoldAsked",
    "Measured",
    "Measures",
    "OnBreach",
    "OnHold",
    "Position",
    "Refusal",
    "Resumed",
    "RollBackAsked",
    "RolledBack",
    "RolloutError",
    "RolloutPlan",
    "RolloutState",
    "Running",
    "Scheduled",
    "Share",
    "Spread",
    "Stage",
    "StageMode",
    "Standing",
    "Step",
    "Tally",
    "Ticked",
    "Waiting",
    "Window",
    "advance",
    "applied",
    "begin",
    "differ",
    "load_rollout",
    "read_counts",
    "restored",
    "stands",
    "state_to_dict",
]
